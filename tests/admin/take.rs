//! `/take` and `mirrorvip take`: what is refused and why, and what a decision changes and leaves behind.

use std::process::{Command, Output};

use serde_json::{Value, json};

use super::peer;
use crate::support::address::{free_port, own_address};
use crate::support::node::{Node, change};
use crate::support::{Answer, Daemon, eventually, get, mirrorvip, request};

/// A node with a peer that never answers.
pub(crate) fn beside_a_silent_peer(node: &Node) -> String {
    let member = change(&node.config(), "name = \"PROD\"\n", "name = \"PROD\"\nmember = \"db1\"\n");
    member + &peer(free_port(own_address()))
}

fn post(daemon: &Daemon, path: &str, head: &str, body: &str) -> Answer {
    let text = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\n{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        daemon.admin,
        body.len()
    );
    request(daemon.admin, &text).expect("the admin listener answers")
}

const JSON: &str = "Content-Type: application/json\r\n";

fn decision() -> String {
    json!({"reason": "db2 is lost", "user": "anna"}).to_string()
}

fn error(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    body["error"].as_str().unwrap_or_else(|| panic!("no error in {answer:?}")).to_owned()
}

fn take(daemon: &Daemon) -> Command {
    let mut command = mirrorvip();
    command.args(["take", "--reason", "db2 is lost", "--url", &format!("http://{}", daemon.admin)]);
    command.env("SUDO_USER", "anna");
    command
}

fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("what is printed is UTF-8");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn decision_on_a_backup_is_refused_with_the_reason() {
    let node = Node::backup();
    let daemon = Daemon::start(node.path(), &beside_a_silent_peer(&node));
    eventually("the backup", || daemon.mirror("PROD")["state"] == "backup");
    let asked = get(daemon.admin, "/take?mirror=prod").unwrap();
    assert_eq!(asked.status, 409);
    assert!(error(&asked).contains("not the primary"), "{asked:?}");
    let decided = post(&daemon, "/take", JSON, &decision());
    assert_eq!((decided.status, error(&decided)), (409, error(&asked)));
    assert_eq!(daemon.mirror("PROD")["taken"], Value::Null);

    let (code, stdout, stderr) = outcome(take(&daemon).arg("--yes"));
    assert_eq!((code, stdout.as_str()), (Some(69), ""), "{stderr}");
    assert!(stderr.contains("not the primary") && stderr.contains("Nothing was changed"), "{stderr}");
}

#[test]
fn only_whole_decisions_of_programs_are_read() {
    let node = Node::primary();
    let daemon = Daemon::start(node.path(), &beside_a_silent_peer(&node));
    daemon.wait_for_page(200);
    let whole = decision();
    for (path, head, body, status) in [
        ("/take", "Content-Type: application/x-www-form-urlencoded\r\n", "reason=x&user=y", 415),
        ("/take", "Content-Type: text/plain\r\n", &whole, 415),
        ("/take", "", &whole, 415),
        ("/take", &format!("{JSON}Origin: https://evil.example\r\n"), &whole, 403),
        ("/take?mirror=TEST", JSON, &whole, 404),
        ("/take?name=PROD", JSON, &whole, 400),
        ("/take", JSON, "", 400),
        ("/take", JSON, "{\"reason\": \"x\"}", 400),
        ("/take", JSON, &json!({"reason": " ", "user": "anna"}).to_string(), 400),
        ("/take", JSON, &json!({"reason": "two\nlines", "user": "anna"}).to_string(), 400),
        ("/take", JSON, &json!({"reason": "x".repeat(5_000), "user": "anna"}).to_string(), 413),
    ] {
        let answer = post(&daemon, path, head, body);
        assert_eq!(answer.status, status, "{path} {head} {body}: {answer:?}");
        assert!(!error(&answer).is_empty());
    }
    // A name that an attacker points to this machine.
    let text = format!(
        "POST /take HTTP/1.1\r\nHost: evil.example\r\n{JSON}Content-Length: {}\r\nConnection: close\r\n\r\n{whole}",
        whole.len()
    );
    assert_eq!(request(daemon.admin, &text).unwrap().status, 403);
    let agreed = json!({"reason": "x", "user": "anna", "overrides": "something else"}).to_string();
    let answer = post(&daemon, "/take", JSON, &agreed);
    assert_eq!(answer.status, 409);
    assert!(error(&answer).contains("the state has changed"), "{answer:?}");
    assert_eq!(daemon.mirror("PROD")["taken"], Value::Null, "nothing of this was a decision");
}

#[test]
fn decision_ends_a_doubt_and_is_recorded_until_the_role_is_lost() {
    let node = Node::primary();
    let mut daemon = Daemon::start(node.path(), &beside_a_silent_peer(&node));
    daemon.wait_for_page(200);
    // Its promotion was not seen, and the peer does not say that it is something else.
    let offer = get(daemon.admin, "/take").unwrap();
    assert_eq!(offer.status, 200);
    let offer: Value = serde_json::from_str(&offer.body).unwrap();
    assert_eq!((&offer["mirror"], &offer["member"]), (&"PROD".into(), &"db1".into()));
    assert!(offer["overrides"].as_str().unwrap().starts_with("unsure"), "{offer}");

    // Without a terminal nothing is asked, and nothing done.
    let (code, stdout, stderr) = outcome(&mut take(&daemon));
    assert_eq!(code, Some(64), "{stderr}");
    assert!(stdout.contains("its term rises from 0 to 1"), "{stdout}");
    assert!(stderr.contains("--yes"), "{stderr}");
    assert_eq!(daemon.mirror("PROD")["taken"], Value::Null);

    let (code, stdout, stderr) = outcome(take(&daemon).args(["--yes", "--json", "--mirror", "prod"]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("PROD: db1 takes the traffic, and overrides"), "{stderr}");
    let taken: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&taken["mirror"], &taken["term"]), (&"PROD".into(), &1.into()));
    assert_eq!(taken["taken"]["user"], "anna from 127.0.0.1");

    let mirror = daemon.mirror("PROD");
    assert_eq!(mirror["taken"], taken["taken"]);
    assert_eq!(mirror["taken"]["reason"], "db2 is lost");
    assert_eq!((&mirror["authority"]["ruling"], &mirror["term"]), (&"clear".into(), &1.into()));
    let metrics = get(daemon.admin, "/metrics").unwrap().body;
    assert!(metrics.contains("mirrorvip_taken{mirror=\"PROD\"} 1"), "{metrics}");
    let log = daemon.wait_for_log("an operator takes traffic to this member, for its present promotion");
    assert_eq!((&log["level"], &log["user"]), (&"WARN".into(), &"anna from 127.0.0.1".into()));
    let state = std::fs::read_to_string(node.path().join("state/PROD.json")).unwrap();
    assert!(state.contains("db2 is lost"), "{state}");
    let (_, text, _) = outcome(mirrorvip().args(["status", "--url", &format!("http://{}", daemon.admin)]));
    assert!(
        text.contains("  taken     by anna from 127.0.0.1 at ") && text.contains(": db2 is lost\n"),
        "{text}"
    );

    let (code, _, stderr) = outcome(take(&daemon).arg("--yes"));
    assert_eq!(code, Some(69));
    assert!(stderr.contains("nothing to override"), "{stderr}");

    node.iris.set_role("Failover", "Backup").unwrap();
    eventually("the end of the decision", || daemon.mirror("PROD")["taken"].is_null());
}

#[test]
fn mirror_is_named_where_there_are_several_and_has_members_to_override() {
    let node = Node::primary();
    let config = beside_a_silent_peer(&node) + &node.mirror("TEST", "[\"/test\"]");
    let daemon = Daemon::start(node.path(), &config);
    daemon.wait_for_page(200);
    for (mirror, code, words) in [
        (None, 64, "several mirrors: name one of PROD, TEST"),
        (Some("NONE"), 64, "no mirror is named NONE; the configuration has PROD, TEST"),
        (Some("TEST"), 64, "neither peers nor steering"),
        (Some("a b"), 64, "cannot be a mirror's name"),
        (Some("PROD"), 0, ""),
    ] {
        let mut command = take(&daemon);
        command.arg("--yes").args(mirror.iter().flat_map(|name| ["--mirror", name]));
        let (exit, _, stderr) = outcome(&mut command);
        assert_eq!(exit, Some(code), "{mirror:?}: {stderr}");
        assert!(stderr.contains(words), "{stderr}");
    }
}
