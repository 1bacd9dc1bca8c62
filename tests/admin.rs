//! The admin listener over real connections: the documents, the wake-up, and which clients may ask how much.

mod members;
mod openmetrics;
mod strangers;
mod take;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;

use mirrorvip::admin::metrics::METRICS;
use serde_json::Value;

use crate::support::certificate::Certificate;
use crate::support::node::{Node, change, without_timer};
use crate::support::{Daemon, eventually, get, mirrorvip, request};

fn post(daemon: &Daemon, path: &str) -> u16 {
    let text =
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    request(daemon.admin, &text).expect("the admin listener answers").status
}

// === documents ===

/// Every field of the documented schema: where it is, and what may stand there.
const SCHEMA: &str = "\
.build.commit null
.build.version string
.configuration.last_reload null
.configuration.loaded_at string
.configuration.source string
.health.agent_check string
.health.listen[] string
.mirrors[].authority null
.mirrors[].authority.claim number
.mirrors[].authority.reason null
.mirrors[].authority.ruling string
.mirrors[].authority.term number
.mirrors[].checkers[].address string
.mirrors[].checkers[].checks number
.mirrors[].checkers[].last_at string
.mirrors[].checkers[].last_status number
.mirrors[].epoch number
.mirrors[].evidence.age_seconds number
.mirrors[].evidence.asked_at string
.mirrors[].evidence.outcome string
.mirrors[].evidence.reason null|string
.mirrors[].evidence.text string
.mirrors[].last_checked_at null|string
.mirrors[].members[].address null|string
.mirrors[].members[].age_seconds number
.mirrors[].members[].agrees bool|null
.mirrors[].members[].authority null|string
.mirrors[].members[].definite bool
.mirrors[].members[].member string
.mirrors[].members[].problem null
.mirrors[].members[].proven bool
.mirrors[].members[].reachable bool
.mirrors[].members[].role null|string
.mirrors[].members[].self bool
.mirrors[].members[].serving bool
.mirrors[].members[].since null|string
.mirrors[].members[].term number
.mirrors[].members[].version string
.mirrors[].name string
.mirrors[].origin null|string
.mirrors[].page number
.mirrors[].paths[] string
.mirrors[].probes.definite number
.mirrors[].probes.no_evidence number
.mirrors[].probes.unkillable number
.mirrors[].probes.woken number
.mirrors[].reason null|string
.mirrors[].remaining_seconds null|number
.mirrors[].role null|string
.mirrors[].seen.member string
.mirrors[].seen.term number
.mirrors[].serving bool
.mirrors[].state string
.mirrors[].steering[].attempts number
.mirrors[].steering[].calls[].action string
.mirrors[].steering[].calls[].count number
.mirrors[].steering[].calls[].result string
.mirrors[].steering[].drift_repaired number
.mirrors[].steering[].ladder.accepted null|string
.mirrors[].steering[].ladder.epoch number
.mirrors[].steering[].ladder.fulfilled null|string
.mirrors[].steering[].ladder.page_flipped string
.mirrors[].steering[].ladder.role_changed string
.mirrors[].steering[].last_error null
.mirrors[].steering[].last_error.action string
.mirrors[].steering[].last_error.at string
.mirrors[].steering[].last_error.class string
.mirrors[].steering[].last_error.code null
.mirrors[].steering[].last_error.message string
.mirrors[].steering[].last_success string
.mirrors[].steering[].reason null|string
.mirrors[].steering[].since string
.mirrors[].steering[].state string
.mirrors[].steering[].target string
.mirrors[].steering[].writes_left number
.mirrors[].taken null
.mirrors[].term number
.mirrors[].transitions[].at string
.mirrors[].transitions[].epoch number
.mirrors[].transitions[].evidence_age_seconds null|number
.mirrors[].transitions[].from string
.mirrors[].transitions[].origin null|string
.mirrors[].transitions[].reason string
.mirrors[].transitions[].to string
.mirrors[].until null|string
.now string
.pid number
.started_at string
";

fn collect(path: String, value: &Value, into: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    let kind = match value {
        Value::Object(fields) => {
            return fields.iter().for_each(|(name, value)| collect(format!("{path}.{name}"), value, into));
        }
        Value::Array(values) => {
            return values.iter().for_each(|value| collect(format!("{path}[]"), value, into));
        }
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
    };
    into.entry(path).or_default().insert(kind);
}

/// The table of a peer: the daemon that answers on `health`.
fn peer(health: SocketAddr) -> String {
    format!(
        "\n[[mirror.peer]]\naddress = \"{}\"\npage = \"http://{health}/csp/bin/mirrorstatus.cxw\"\n",
        health.ip()
    )
}

/// A mirror that serves, is checked and has the peer `other`, and one that never gets an answer.
fn two_mirrors(node: &Node, other: &Daemon) -> String {
    let listeners = change(
        &node.listeners(),
        "max_connections = 16",
        "max_connections = 16\nagent_check = \"127.0.0.1:0\"",
    );
    let mute = node.mirror("MUTE", "[\"/mute\"]");
    let mute = mute.replace(&*node.iris.command().to_string_lossy(), "/nonexistent/iris");
    // One hook that works and one that fails stand for everything that is steered.
    let hooks = "[[mirror.hook]]\ncommand = [\"true\"]\n[[mirror.hook]]\ncommand = [\"false\"]\n";
    let prod = change(
        &node.mirror("PROD", "[\"/csp/bin\"]"),
        "name = \"PROD\"\n",
        "name = \"PROD\"\nmember = \"db1\"\n",
    );
    listeners + &prod + &peer(other.health[0]) + hooks + &mute
}

#[test]
fn status_has_every_documented_field() {
    let (node, beside) = (Node::backup(), Node::backup());
    let other = Daemon::start(beside.path(), &beside.config());
    let daemon = Daemon::start(node.path(), &two_mirrors(&node, &other));
    eventually("the backup to be seen", || daemon.mirror("PROD")["state"] == "backup");
    node.iris.set_role("Failover", "Primary").unwrap();
    daemon.wait_for_page(200);
    eventually("both hooks' outcome", || {
        let steering = &daemon.mirror("PROD")["steering"];
        steering[0]["state"] == "fulfilled" && steering[1]["last_error"].is_object()
    });
    eventually("an answer about MUTE", || daemon.mirror("MUTE")["evidence"].is_object());
    eventually("an answer of the peer", || daemon.mirror("PROD")["members"][1]["role"].is_string());
    let answer = get(daemon.admin, "/status").unwrap();
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    let mut fields = BTreeMap::new();
    collect(String::new(), &serde_json::from_str(&answer.body).unwrap(), &mut fields);
    let join = |kinds: BTreeSet<&str>| kinds.into_iter().collect::<Vec<_>>().join("|");
    let schema: Vec<_> = fields.into_iter().map(|(path, kinds)| format!("{path} {}", join(kinds))).collect();
    assert_eq!(schema, SCHEMA.lines().collect::<Vec<_>>());
    let mute = daemon.mirror("MUTE");
    assert_eq!((&mute["state"], &mute["page"]), (&"unanswerable".into(), &500.into()));
    let prod = daemon.mirror("PROD");
    assert_eq!((&prod["state"], &prod["role"]), (&"primary".into(), &"primary".into()));
    let remaining = prod["remaining_seconds"].as_f64().unwrap();
    assert!(remaining > 0.0 && remaining <= 6.0, "{remaining}");
}

#[test]
fn metrics_are_openmetrics_and_those_of_the_table() {
    let (node, beside) = (Node::primary(), Node::backup());
    let other = Daemon::start(beside.path(), &beside.config());
    let daemon = Daemon::start(node.path(), &two_mirrors(&node, &other));
    daemon.wait_for_page(200);
    eventually("an answer about MUTE", || daemon.mirror("MUTE")["evidence"].is_object());
    eventually("an answer of the peer", || daemon.mirror("PROD")["authority"]["ruling"] == "clear");
    let answer = get(daemon.admin, "/metrics").unwrap();
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(answer.head.contains(kind), "{}", answer.head);
    let families =
        openmetrics::parse(&answer.body).unwrap_or_else(|error| panic!("{error}\n{}", answer.body));

    let names: BTreeSet<_> = families.keys().map(String::as_str).collect();
    assert_eq!(names, METRICS.iter().map(|metric| metric.name).collect());
    for metric in METRICS {
        let family = &families[metric.name];
        assert_eq!(family.kind, if metric.counter { "counter" } else { "gauge" }, "{}", metric.name);
        assert_eq!(family.help, metric.help, "{}", metric.name);
        assert!(!family.samples.is_empty(), "{} has no sample", metric.name);
    }

    let value = |name: &str, mirror: &str| {
        let of_mirror = format!("mirror=\"{mirror}\"");
        let mut samples = families[name].samples.iter().filter(|sample| sample.labels.contains(&of_mirror));
        samples.next().expect("each mirror has one").value
    };
    assert_eq!((value("mirrorvip_serving", "PROD"), value("mirrorvip_serving", "MUTE")), (1.0, 0.0));
    assert_eq!(
        (value("mirrorvip_page_status", "PROD"), value("mirrorvip_page_status", "MUTE")),
        (200.0, 500.0)
    );
    assert_eq!((value("mirrorvip_epoch", "PROD"), value("mirrorvip_epoch", "MUTE")), (1.0, 0.0));
    assert!(value("mirrorvip_checks", "PROD") >= 1.0);
    assert!(value("mirrorvip_last_check_age_seconds", "PROD") >= 0.0);
    assert!(value("mirrorvip_last_check_age_seconds", "MUTE").is_nan());
    assert!(value("mirrorvip_evidence_age_seconds", "MUTE").is_nan());
    assert_eq!((value("mirrorvip_term", "PROD"), value("mirrorvip_term", "MUTE")), (1.0, 0.0));
    assert!(value("mirrorvip_taken", "PROD").abs() < f64::EPSILON);
    for (name, expected) in [("reachable", 1.0), ("serving", 0.0), ("term", 0.0), ("agrees", 1.0)] {
        let found = value(&format!("mirrorvip_peer_{name}"), "PROD");
        assert!((found - expected).abs() < f64::EPSILON, "mirrorvip_peer_{name} is {found}");
    }
    let age = value("mirrorvip_peer_answer_age_seconds", "PROD");
    assert!((0.0..30.0).contains(&age), "{age}");
    let [info] = &families["mirrorvip_peer_info"].samples[..] else { panic!("one peer has one sample") };
    assert!(info.labels.starts_with("mirror=\"PROD\",peer=\"127.0.0.1\",member=\""), "{}", info.labels);
    assert!(info.labels.ends_with(",role=\"backup\",authority=\"unsure\""), "{}", info.labels);
    let states: Vec<_> = families["mirrorvip_state"].samples.iter().map(|s| s.labels.as_str()).collect();
    assert_eq!(
        states,
        ["mirror=\"PROD\",state=\"primary\"", "mirror=\"MUTE\",state=\"unanswerable\""],
        "one state a mirror"
    );
}

#[test]
fn only_known_paths_and_methods_are_answered() {
    let node = Node::primary();
    let daemon = Daemon::start(node.path(), &node.config());
    let head = |request_line: &str| {
        let text = format!(
            "{request_line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        request(daemon.admin, &text).unwrap()
    };
    assert!(head("GET /").body.contains("POST /probe"));
    assert_eq!(head("GET /nothing").status, 404);
    assert_eq!(head("HEAD /status").body, "");
    for (line, allowed) in [
        ("DELETE /status", "allow: GET, HEAD"),
        ("POST /metrics", "allow: GET, HEAD"),
        ("GET /probe", "allow: POST"),
        ("PUT /take", "allow: GET, HEAD, POST"),
    ] {
        let answer = head(line);
        assert_eq!(answer.status, 405, "{line}");
        assert!(answer.head.contains(allowed), "{line}: {}", answer.head);
    }
}

// === waking ===

#[test]
fn post_probe_wakes_one_mirror_or_all() {
    let node = Node::backup();
    let other = Node::backup();
    let config =
        node.listeners() + &node.mirror("PROD", "[\"/csp/bin\"]") + &other.mirror("TEST", "[\"/test\"]");
    let daemon = Daemon::start(node.path(), &without_timer(&config));
    let state = |name: &str| daemon.mirror(name)["state"].as_str().unwrap_or_default().to_owned();
    let wait_for = |name: &str, wanted: &str| {
        eventually(&format!("{name} to be {wanted}"), || state(name) == wanted);
    };
    wait_for("PROD", "backup");
    wait_for("TEST", "backup");
    for iris in [&node.iris, &other.iris] {
        iris.set_role("Failover", "Primary").unwrap();
    }
    assert_eq!(post(&daemon, "/probe?mirror=UNKNOWN"), 404);
    assert_eq!(post(&daemon, "/probe?name=TEST"), 400);
    assert_eq!(post(&daemon, "/probe?mirror=test"), 202);
    wait_for("TEST", "primary");
    assert_eq!(state("PROD"), "backup");
    assert_eq!(daemon.mirror("PROD")["probes"]["woken"], 0);
    assert_eq!(post(&daemon, "/probe"), 202);
    wait_for("PROD", "primary");
}

// === access ===

const TOKEN: &str = "5f1d7a90c3b24e68a1f0";

/// The node's configuration with a token.
fn guarded(node: &Node) -> String {
    let token = node.path().join("token");
    fs::write(&token, format!("{TOKEN}\n")).expect("the test's directory is writable");
    change(&node.config(), "[admin]\n", &format!("[admin]\ntoken_file = \"{}\"\n", token.display()))
}

#[test]
fn without_the_token_nothing_is_shown_and_nothing_woken() {
    let node = Node::primary();
    let daemon = Daemon::start(node.path(), &guarded(&node));
    for path in ["/", "/status", "/metrics", "/take", "/nothing"] {
        let answer = get(daemon.admin, path).unwrap();
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.head.contains("www-authenticate: Bearer"), "{}", answer.head);
        assert_eq!(answer.body, "a bearer token is required\n");
    }
    assert_eq!(post(&daemon, "/probe"), 401);
    assert_eq!(post(&daemon, "/take"), 401);
    let with = |authorization: &str| {
        let text = format!(
            "GET /status HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n"
        );
        request(daemon.admin, &text).unwrap().status
    };
    assert_eq!(with(&format!("Bearer {TOKEN}")), 200);
    assert_eq!(with(&format!("bearer {TOKEN}")), 200);
    assert_eq!(with(&format!("Bearer {TOKEN}x")), 401);
    assert_eq!(with(&format!("Basic {TOKEN}")), 401);

    let url = format!("http://{}", daemon.admin);
    let status = |file: &[&str]| mirrorvip().args(["status", "--url", &url]).args(file).output().unwrap();
    assert_eq!(status(&[]).status.code(), Some(77));
    let token = node.path().join("token").to_string_lossy().into_owned();
    assert!(status(&["--token-file", &token]).status.success());
    assert_eq!(status(&["--token-file", "/nonexistent/token"]).status.code(), Some(77));
    // Neither a log line nor a message ever shows it.
    assert!(!daemon.log_text().contains(TOKEN));
}

#[test]
fn over_tls_status_asks_by_name_or_by_configuration() {
    let node = Node::primary();
    let made = Certificate::new();
    let config = guarded(&node) + &made.table("admin", node.path());
    let daemon = Daemon::start(node.path(), &config);
    let (certificate, token) = (node.path().join("tls.crt"), node.path().join("token"));
    let url = format!("https://localhost:{}", daemon.admin.port());
    let by_name = mirrorvip()
        .args(["status", "--json", "--url", &url, "--ca-file"])
        .arg(&certificate)
        .arg("--token-file")
        .arg(&token)
        .output()
        .unwrap();
    assert!(by_name.status.success(), "{}", String::from_utf8_lossy(&by_name.stderr));
    let document: Value = serde_json::from_slice(&by_name.stdout).unwrap();
    assert_eq!(document["mirrors"][0]["name"], "PROD");

    let listen = format!("listen = \"{}\"", daemon.admin);
    let elsewhere = node.path().join("elsewhere.toml");
    fs::write(&elsewhere, change(&config, "listen = \"127.0.0.1:0\"", &listen)).unwrap();
    let by_configuration = mirrorvip().args(["status", "--config"]).arg(&elsewhere).output().unwrap();
    assert!(by_configuration.status.success(), "{}", String::from_utf8_lossy(&by_configuration.stderr));

    let stranger = node.path().join("stranger.crt");
    fs::write(&stranger, Certificate::new().certificate).unwrap();
    let distrusted =
        mirrorvip().args(["status", "--url", &url, "--ca-file"]).arg(&stranger).output().unwrap();
    assert_eq!(distrusted.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&distrusted.stderr).contains("ca_file"));
    assert!(get(daemon.admin, "/status").is_ok_and(|answer| answer.status != 200), "nothing in the clear");

    // A renewed certificate is taken up without a reload.
    let renewed = Certificate::new();
    renewed.write(node.path());
    eventually("the renewed certificate", || renewed.get(daemon.admin, "/").ok());
    assert!(made.get(daemon.admin, "/").is_err());
}
