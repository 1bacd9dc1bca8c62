//! What single values may be, up to the limits and beyond.

use super::*;

/// Section, key, values that are accepted, values that are refused.
type Row = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

#[rustfmt::skip] // a table reads best with a row a line
const VALUES: &[Row] = &[
    ("", "state_directory", &["'/'", "'/a b'"], &["''", "'a'", "'./a'", r#""/a\n""#, r#""/a\u0000""#]),
    ("health", "listen", &["'1.2.3.4:0'", "'[::1]:65535'"], &["[]", "[[]]", "'1.2.3.4'", "'a:80'", "{}"]),
    ("health", "agent_check", &["'1.2.3.4:81'"], &["[]", "'off'", "false"]),
    ("health", "allowed_networks", &["'::/0'", "'10.1.2.3'", "[]"], &["'10.1.2.3/8'", "'10'", "['']"]),
    ("health", "proxy_protocol", &["true", "false"], &["'true'", "1"]),
    ("health", "header_timeout", &["'10ms'", "'5s'"], &["'9ms'", "'61s'", "''", "'-1s'", "'1s ago'", "inf"]),
    ("health", "request_timeout", &["'2s'", "'5m'"], &["'1999ms'", "'301s'", "'PT5S'"]),
    ("health", "max_connections", &["16", "0x1_0000"], &["15", "65537", "-1", "99999999999999999999", "16.0"]),
    ("health", "unasked_warning", &["'0s'", "'1s'", "'24h'"], &["'999ms'", "'24h 1s'"]),
    ("health", "drain", &["'0s'", "'300s'"], &["'301s'", "0"]),
    ("admin", "listen", &["'127.9.9.9:1'", "'[::1]:1'", "'[::ffff:127.0.0.1]:1'"], &["'10.0.0.1:1'", "[]"]),
    ("mirror", "name", &["'a'", "'A.b_c-9'", "'-'"], &["''", "'.a'", "'a b'", "'ä'", "'a/b'", "'PRIMARY'", "'csp'"]),
    ("mirror", "paths", &["'/csp'", "'/csp///'", "'/a.b~c'"], &[]),
    ("mirror", "paths", &[], &["[]", "''", "'/'", "'//'", "'csp'", "'/a//b'", "'/./a'", "'/a/..'", "'/a?b'"]),
    ("mirror", "paths", &[], &["'/a#b'", "'/a%20'", "'/a b'", "'/ä'", r#""/a\u0007""#, "'/csp/Mirror_Status.cxw'"]),
    ("mirror", "interval", &["'20ms'", "'2s'"], &["'19ms'", "'61s'", "'2001ms'"]),
    ("mirror", "timeout", &["'10ms'", "'3s'"], &["'9ms'", "'3001ms'", "'301s'"]),
    ("mirror", "stale_after", &["'3s'", "'7999ms'"], &["'2999ms'", "'8s'", "'0s'"]),
    ("mirror", "qos_timeout", &["'4001ms'", "'600s'"], &["'4s'", "'601s'"]),
    ("mirror", "drift_interval", &["'5s'", "'5m'"], &["'4999ms'", "'5m 1ms'", "'0s'", "30"]),
    ("mirror", "rise", &["1", "10"], &["0", "11", "-1", "'1'"]),
    ("mirror", "member", &["'auto'", "'db1.example'", "'.'"], &["''", "'a b'", "'ä'", "'a/b'", "['a']"]),
    ("mirror", "peers", &["'none'"], &["''", "'None'", "[]", "false"]),
    ("mirror", "peer_key_file", &["'/secret'"], &["''", "'secret'", "'./secret'", "['/a']"]),
    ("mirror.peer", "member", &["'db2.example'", "'-'"], &["''", "'a b'", "'ä'", "'a/b'", "['a']"]),
    ("mirror.probe.qlist", "instance", &["'IRIS'", "'9a-b_c.d'"], &["''", "'-x'", "'^x'", "'a^b'", "'a b'", "' a'", r#""a\n""#]),
    ("mirror.probe.qlist", "command", &["'ccontrol'", "'/usr/bin/iris'", "'/opt/a b/iris'"], &["['iris']"]),
    ("mirror.probe.qlist", "command", &[], &["''", "'./iris'", "'bin/iris'", "'iris qlist'", "'-iris'", "'/'", "'/bin/'"]),
    ("mirror.probe.qlist", "environment", &["'_A1'", "['A', 'b']"], &["''", "'A=1'", "'1A'", "'A B'"]),
    ("mirror.probe.qlist", "wake_on", &["'/a'", "['/a', '/b']"], &["'a'", "['/a', 'b']"]),
    ("mirror.probe.exec", "command", &["['a']", r#"["/a", "", "a b\n"]"#], &["'a'", "[]", "['']", "['a b']", "['a', 1]"]),
    ("mirror.probe.exec", "command", &[], &[r#"["a", "\u0000"]"#, r#"["/a\u0000"]"#, "['./a']"]),
    ("mirror.probe.file", "path", &["'/run/role'"], &["'role'", "['/run/role']"]),
    ("mirror.probe.gateway", "url", &["'http://h'", "'https://h:1/x?y'", "'http://[::1]/'"], &["''", "'h'", "'/x'"]),
    ("mirror.probe.gateway", "url", &[], &["'ftp://h/'", "'http://'", "'http://:80/'", "'http://h:0/'", "'http://h:65536/'"]),
    ("mirror.probe.gateway", "url", &[], &["'http://h:/'", "'http://u@h/'", "'http://u:p@h/'", "'http://h/#x'", "'http://h/ x'"]),
];

#[test]
fn values_are_accepted_up_to_their_limits_and_refused_beyond() {
    for (section, key, accepted, refused) in VALUES {
        for value in *accepted {
            accept(&document(section, &format!("{key} = {value}")));
        }
        for value in *refused {
            let line = format!("{key} = {value}");
            let text = document(section, &line);
            let number = text.lines().position(|written| written == line).map(|index| index + 1);
            let report = refuse(&text);
            assert!(report.problems().any(|problem| problem.line() == number), "{}", report.render(false));
        }
    }
}

#[test]
fn lengths_are_limited() {
    let text = |length: usize| format!("'/{}'", "a".repeat(length - 1));
    let name = |length: usize| format!("'{}'", "a".repeat(length));
    let list = |length: usize| format!("[{}]", "'/x', ".repeat(length));
    let url = |length: usize| format!("'http://{}'", "a".repeat(length - "http://".len()));
    let both = |section: &str, key: &str, value: &dyn Fn(usize) -> String, most: usize| {
        accept(&document(section, &format!("{key} = {}", value(most))));
        refuse(&document(section, &format!("{key} = {}", value(most + 1))));
    };
    both("mirror", "name", &name, 64);
    both("mirror", "paths", &text, 256);
    both("mirror.probe.qlist", "instance", &name, 64);
    both("mirror.probe.qlist", "wake_on", &list, 64);
    both("mirror.probe.metrics", "url", &url, 2048);

    let mirror =
        |number| format!("[[mirror]]\nname = 'M{number}'\npaths = '/{number}'\nprobe.file.path = '/r'\n");
    accept(&(0..64).map(mirror).collect::<Vec<_>>().concat());
    assert_eq!(
        only_message(&(0..65).map(mirror).collect::<Vec<_>>().concat()),
        "`mirror` has 65 entries; the limit is 64"
    );
}
