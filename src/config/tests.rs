//! Every rule, at its limits. What the reports look like is in `tests/config`.

mod file;
mod hostile;
mod targets;
mod values;

use std::fmt::Write;

use super::*;
use crate::provider::{Config, Table, known_keys, parse};

/// The shortest configuration there is, in which every other key has its default.
const MINIMAL: &str = "[[mirror]]\nname = \"PROD\"\n[mirror.probe.qlist]\ninstance = \"IRIS\"\n";

/// A configuration in which every key but those of `qlist` is written, in one form or another.
const FULL: &str = r#"
state_directory = "/state"
[health]
listen = ["127.0.0.1:81", "[::1]:81"]
agent_check = "127.0.0.1:82"
allowed_networks = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]
proxy_protocol = true
header_timeout = "1s"
request_timeout = "1m 30s"
max_connections = 65_536
unasked_warning = "0s"
drain = "10s"
tls = { certificate = "/h.crt", key = "/h.key" }
[admin]
listen = "[::]:83"
token_file = "/token"
[admin.tls]
certificate = "/a.crt"
key = "/a.key"
[[mirror]]
name = "A"
paths = "/a/"
interval = "250ms"
timeout = "0.5s"
stale_after = "750ms"
qos_timeout = "2s"
rise = 3
probe.exec = { command = ["/bin/ask", "", "-x"], environment = "ORACLE_HOME", wake_on = ["/x", "/y"] }
[[mirror]]
name = "B"
paths = ["/b", "/b/c"]
[mirror.probe.metrics]
url = "https://[::1]:52773/api/monitor/metrics?x=1"
ca_file = "/ca.crt"
wake_on = "/z"
[[mirror]]
name = "C"
paths = "/c"
[mirror.probe.gateway]
url = "http://gateway/csp/bin/mirror_status.cxw"
[[mirror]]
name = "D"
paths = "/d"
probe.file.path = "/run/role"
"#;

/// What a table needs besides the key under test.
const NEEDED: &[(&str, &str)] = &[
    ("health.tls", "certificate = \"/c\""),
    ("health.tls", "key = \"/k\""),
    ("admin.tls", "certificate = \"/c\""),
    ("admin.tls", "key = \"/k\""),
    ("mirror", "name = \"PROD\""),
    ("mirror.probe.qlist", "instance = \"IRIS\""),
    ("mirror.probe.gateway", "url = \"https://localhost/csp/bin/mirror_status.cxw\""),
    ("mirror.probe.metrics", "url = \"https://localhost/api/monitor/metrics\""),
    ("mirror.probe.exec", "command = [\"is-primary\"]"),
    ("mirror.probe.file", "path = \"/run/mirrorvip/role\""),
    ("mirror.peer", "address = \"10.0.2.12\""),
    ("mirror.peer", "page = \"https://10.0.2.12:8080/csp/bin/mirrorstatus.cxw\""),
    (
        "mirror.elbv2",
        "target_group_arn = \"arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/iris/0123456789abcdef\"",
    ),
    ("mirror.elbv2", "port = 1972"),
    ("mirror.classic_elb", "load_balancer = \"iris\""),
    ("mirror.route53", "hosted_zone_id = \"Z0123456789ABCDEFGHIJ\""),
    ("mirror.route53", "record = \"db.example.internal\""),
    ("mirror.route53", "type = \"A\""),
    ("mirror.route", "route_tables = \"rtb-0123456789abcdef0\""),
    ("mirror.route", "destination = \"192.168.99.1/32\""),
    ("mirror.hook", "command = [\"tell\"]"),
];

/// The tables that move traffic, beside which it must be said which other members there are.
const MOVERS: [&str; 2] = ["mirror.route53", "mirror.route"];

/// A configuration with `line` in `section`, valid if the line is.
fn document(section: &str, line: &str) -> String {
    let key_of = |line: &str| line.split('=').next().map(str::trim).map(str::to_owned);
    let probe = if section.starts_with("mirror.probe.") { section } else { "mirror.probe.qlist" };
    let mut text = if section.is_empty() { format!("{line}\n") } else { String::new() };
    let steering =
        (!section.starts_with("mirror.probe.") && section.starts_with("mirror.")).then_some(section);
    for table in ["health", "health.tls", "admin", "admin.tls", "mirror", probe].into_iter().chain(steering) {
        if table.contains("tls") && table != section {
            continue;
        }
        writeln!(text, "{}", Keys::of::<Table>().title(table)).expect("a String takes all");
        if table == "mirror" && MOVERS.contains(&section) {
            text.push_str("peers = \"none\"\n");
        }
        for (needing, needed) in NEEDED {
            if *needing == table && (table != section || key_of(needed) != key_of(line)) {
                writeln!(text, "{needed}").expect("a String takes all");
            }
        }
        if table == section {
            writeln!(text, "{line}").expect("a String takes all");
        }
    }
    text
}

fn accept(text: &str) -> Config {
    parse(text, "test.toml").unwrap_or_else(|report| panic!("{}\n{text}", report.render(false)))
}

fn refuse(text: &str) -> Report {
    parse(text, "test.toml").map(|config| panic!("{config:#?}\n{text}")).unwrap_err()
}

/// The only message of a text that has one problem.
fn only_message(text: &str) -> String {
    let report = refuse(text);
    let [problem] = report.problems().collect::<Vec<_>>()[..] else { panic!("{}", report.render(false)) };
    problem.message().to_owned()
}

#[test]
fn defaults_are_the_documented_ones() {
    let seconds = Duration::from_secs;
    let expected = Config {
        state_directory: "/var/lib/mirrorvip".into(),
        health: Health {
            listen: vec!["0.0.0.0:8080".parse().unwrap()],
            agent_check: None,
            tls: None,
            allowed_networks: Vec::new(),
            proxy_protocol: false,
            header_timeout: seconds(2),
            request_timeout: seconds(5),
            max_connections: 1024,
            unasked_warning: Some(seconds(60)),
            drain: Duration::ZERO,
        },
        admin: Admin { listen: "127.0.0.1:9180".parse().unwrap(), tls: None, token_file: None },
        mirrors: vec![Mirror {
            name: "PROD".to_owned(),
            paths: ["/csp/bin", "/csp", "/csp/user"].map(str::to_owned).to_vec(),
            interval: seconds(1),
            timeout: seconds(2),
            stale_after: seconds(4),
            qos_timeout: seconds(8),
            rise: NonZeroU32::MIN,
            probe: Probe::Qlist {
                instance: "IRIS".to_owned(),
                command: "iris".to_owned(),
                environment: Vec::new(),
            },
            wake_on: Vec::new(),
            member: None,
            peer_key_file: None,
            peers: Vec::new(),
            superseded: steering::Superseded::Refuse,
            drift_interval: seconds(30),
            targets: Vec::new(),
        }],
    };
    assert_eq!(accept(MINIMAL), expected);
}

#[test]
fn every_value_arrives_in_its_field() {
    let config = accept(FULL);
    let tls = |name: &str| {
        Some(Tls { certificate: format!("/{name}.crt").into(), key: format!("/{name}.key").into() })
    };
    assert_eq!(config.state_directory, PathBuf::from("/state"));
    assert_eq!(
        config.health,
        Health {
            listen: vec!["127.0.0.1:81".parse().unwrap(), "[::1]:81".parse().unwrap()],
            agent_check: Some("127.0.0.1:82".parse().unwrap()),
            tls: tls("h"),
            allowed_networks: ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]
                .map(|network| network.parse().unwrap())
                .to_vec(),
            proxy_protocol: true,
            header_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(90),
            max_connections: 65_536,
            unasked_warning: None,
            drain: Duration::from_secs(10),
        }
    );
    assert_eq!(
        config.admin,
        Admin { listen: "[::]:83".parse().unwrap(), tls: tls("a"), token_file: Some("/token".into()) }
    );
    let [a, b, c, d] = &config.mirrors[..] else { panic!("{:#?}", config.mirrors) };
    assert_eq!(a.paths, ["/a"]);
    assert_eq!(
        (a.interval, a.timeout, a.stale_after, a.qos_timeout, a.rise.get()),
        (
            Duration::from_millis(250),
            Duration::from_millis(500),
            Duration::from_millis(750),
            Duration::from_secs(2),
            3
        )
    );
    assert_eq!(
        a.probe,
        Probe::Exec {
            command: ["/bin/ask", "", "-x"].map(str::to_owned).to_vec(),
            environment: vec!["ORACLE_HOME".to_owned()],
        }
    );
    assert_eq!(a.wake_on, [PathBuf::from("/x"), PathBuf::from("/y")]);
    assert_eq!(b.paths, ["/b", "/b/c"]);
    assert_eq!(
        b.probe,
        Probe::Metrics(HttpTarget {
            url: "https://[::1]:52773/api/monitor/metrics?x=1".parse().unwrap(),
            ca_file: Some("/ca.crt".into()),
        })
    );
    assert_eq!(b.wake_on, [PathBuf::from("/z")]);
    assert_eq!(
        c.probe,
        Probe::Gateway(HttpTarget {
            url: "http://gateway/csp/bin/mirror_status.cxw".parse().unwrap(),
            ca_file: None,
        })
    );
    assert_eq!(d.probe, Probe::File { path: "/run/role".into() });
}

#[test]
fn every_key_of_the_table_is_read() {
    for key in known_keys() {
        // No key takes a date.
        let line = format!("{} = 1979-05-27", key.name);
        let text = document(key.section, &line);
        let message = only_message(&text);
        let expected = format!("`{}` must be ", key.name);
        assert!(message.starts_with(&expected), "{}.{}: {message}", key.section, key.name);
    }
}

#[test]
fn the_table_of_keys_says_truly_what_absence_means() {
    for key in known_keys() {
        let absent = document(key.section, "");
        match key.when_absent {
            WhenAbsent::Means(default) => {
                let written = document(key.section, &format!("{} = {default}", key.name));
                assert_eq!(accept(&written), accept(&absent), "{}.{}", key.section, key.name);
            }
            WhenAbsent::Off => {
                accept(&absent);
            }
            WhenAbsent::Refused => {
                let without = document(key.section, &format!("{} = 0", key.name))
                    .replace(&format!("{} = 0\n", key.name), "");
                assert!(only_message(&without).ends_with(&format!(" has no `{}`", key.name)), "{without}");
            }
        }
    }
}

#[test]
fn an_admin_listener_that_others_reach_needs_protection() {
    let open = "[admin]\nlisten = \"10.0.0.1:9180\"\n";
    assert_eq!(
        only_message(&format!("{open}{MINIMAL}")),
        "`admin.listen` on 10.0.0.1:9180 is open to every client that can reach it"
    );
    accept(&format!("{open}token_file = \"/token\"\n{MINIMAL}"));
    accept(&format!("{open}tls = {{ certificate = \"/c\", key = \"/k\" }}\n{MINIMAL}"));
}

#[test]
fn listeners_do_not_get_in_each_others_way() {
    let with = |health: &str, agent: &str, admin: &str| {
        format!(
            "[health]\nlisten = \"{health}\"\nagent_check = \"{agent}\"\n[admin]\nlisten = \"{admin}\"\n{MINIMAL}"
        )
    };
    accept(&with("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"));
    accept(&with("0.0.0.0:1", "[::]:1", "127.0.0.1:2"));
    accept(&with("10.0.0.1:1", "10.0.0.2:1", "127.0.0.1:1"));
    refuse(&with("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:1"));
    refuse(&with("0.0.0.0:1", "127.0.0.1:2", "127.0.0.1:1"));
    refuse(&with("[::]:1", "127.0.0.1:2", "[::1]:1"));
    refuse(&with("[::ffff:127.0.0.1]:1", "127.0.0.1:1", "127.0.0.1:2"));
}

#[test]
fn nothing_is_said_about_what_the_parser_could_not_read() {
    // The mirror has a name, a probe and a timing; only the parser cannot see them.
    let text = "[[mirror]]\nname = PROD\ntimeout = \"3500ms\"\nstale_after = 6s\nrise = 0\n";
    let lines: Vec<_> = refuse(text).problems().map(Problem::line).collect();
    assert_eq!(lines, [Some(2), Some(4), Some(5)]);
}

#[test]
fn problems_give_their_place_in_characters() {
    let report = refuse(&format!("# ä\r\nstate_directory = \"/ä\" # ö\r\n{MINIMAL}\"ü\" = 1\r\nx = 2\r\n"));
    let places: Vec<_> = report.problems().map(|problem| (problem.line(), problem.column())).collect();
    assert_eq!(places, [(Some(7), Some(1)), (Some(8), Some(1))]);
    let report = refuse("a = { ä = 1, \"b\": 2 }");
    assert!(report.problems().all(|problem| problem.line().is_none_or(|line| line == 1)));
}

#[test]
fn a_byte_order_mark_is_no_problem() {
    accept(&format!("\u{feff}{MINIMAL}"));
}

#[test]
fn colour_is_a_matter_of_asking() {
    let report = refuse("");
    assert!(report.render(true).contains('\u{1b}'));
    assert!(!report.render(false).contains('\u{1b}'));
}

#[test]
fn passwords_and_control_characters_are_not_shown() {
    let hostile = "\"http://user:p/s3cret@host/\" # \u{9b}2J \u{202e}\n[mirror.\"azure\\u001b[2J\"]\n";
    let origin = "evil\u{1b}[2J.toml";
    let line = format!("url = {hostile}[health]\nlisten = \"localhost:\\u001b[2J\"");
    let text = format!("[[mirror]]\nname = \"PROD\"\n[mirror.probe.gateway]\n{line}");
    let report = parse(&text, origin).unwrap_err();
    for problem in report.problems() {
        let said = format!("{} {:?}", problem.message(), problem.help());
        assert!(!said.chars().any(char::is_control), "{said:?}");
    }
    let shown = report.render(false);
    assert!(shown.contains("host/"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
    let fit = |c: char| c == '\n' || !(c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
    assert!(shown.chars().all(fit), "{shown:?}");
}
