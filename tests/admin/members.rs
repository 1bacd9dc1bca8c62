//! What one member shows of the others, while they answer and when they do not, and of a later promotion.

use std::net::SocketAddr;

use serde_json::Value;

use super::peer;
use crate::support::address::{free_port, own_address};
use crate::support::node::{Node, change};
use crate::support::{Daemon, eventually, get, mirrorvip};

/// A member called `name` that answers on `health` and asks `other`.
fn member(node: &Node, name: &str, health: SocketAddr, other: SocketAddr) -> String {
    let config = change(&node.config(), "[\"127.0.0.1:0\"]", &format!("[\"{health}\"]"));
    let named = format!("name = \"PROD\"\nmember = \"{name}\"\nqos_timeout = \"8s\"\n");
    change(&config, "name = \"PROD\"\n", &named) + &peer(other)
}

fn text(daemon: &Daemon) -> String {
    let url = format!("http://{}", daemon.admin);
    let output = mirrorvip().args(["status", "--url", &url]).output().expect("the command starts");
    String::from_utf8(output.stdout).expect("what is printed is UTF-8")
}

fn metrics(daemon: &Daemon) -> String {
    get(daemon.admin, "/metrics").expect("the admin listener answers").body
}

/// Two members that ask each other; db1 is the primary and may take traffic.
struct Pair {
    nodes: [Node; 2],
    health: [SocketAddr; 2],
    db1: Daemon,
    db2: Daemon,
}

fn ruling(daemon: &Daemon) -> Value {
    daemon.mirror("PROD")["authority"]["ruling"].clone()
}

impl Pair {
    fn start() -> Self {
        let nodes = [Node::primary(), Node::backup()];
        let health = [free_port(own_address()), free_port(own_address())];
        let db1 = Daemon::start(nodes[0].path(), &member(&nodes[0], "db1", health[0], health[1]));
        let db2 = Daemon::start(nodes[1].path(), &member(&nodes[1], "db2", health[1], health[0]));
        eventually("db1 to be clear", || (ruling(&db1) == "clear").then_some(()));
        Self { nodes, health, db1, db2 }
    }

    /// Promotes db2 beside db1 by mistake, once it was backup and knew the term of db1.
    fn promote_db2(&self) {
        let answers = || self.db2.mirror("PROD")["probes"]["definite"].as_u64().unwrap_or_default();
        eventually("db2 to know the term", || (self.db2.mirror("PROD")["seen"]["term"] == 1).then_some(()));
        let known = answers();
        eventually("db2 to be backup after that", || (answers() > known + 1).then_some(()));
        self.nodes[1].iris.set_role("Failover", "Primary").expect("the role can be set");
        eventually("db1 to be superseded", || (ruling(&self.db1) == "superseded").then_some(()));
        self.db1.wait_for_page(503);
    }
}

#[test]
fn later_promotion_shows_as_superseded_everywhere_and_silence_with_its_age() {
    let pair = Pair::start();
    let [_, health_b] = pair.health;
    let mirror = pair.db1.mirror("PROD");
    let members = mirror["members"].as_array().expect("a list");
    assert_eq!(members.len(), 2);
    let own = &members[0];
    assert_eq!((&own["self"], &own["member"], &own["address"]), (&true.into(), &"db1".into(), &Value::Null));
    assert_eq!((&own["role"], &own["serving"], &own["term"]), (&"primary".into(), &true.into(), &1.into()));
    assert_eq!(own["authority"], "clear");
    let other = &members[1];
    assert_eq!((&other["self"], &other["member"]), (&false.into(), &"db2".into()));
    assert_eq!(other["address"], health_b.ip().to_string());
    assert_eq!((&other["role"], &other["serving"]), (&"backup".into(), &false.into()));
    assert_eq!((&other["agrees"], &other["problem"]), (&true.into(), &Value::Null));

    pair.promote_db2();
    let Pair { db1: a, db2: b, nodes: _nodes, .. } = pair;
    let mirror = a.mirror("PROD");
    assert_eq!(
        (&mirror["state"], &mirror["authority"]["ruling"]),
        (&"superseded".into(), &"superseded".into())
    );
    assert_eq!(mirror["members"][0]["authority"], "superseded");
    assert_eq!(
        (&mirror["term"], &mirror["seen"]["term"], &mirror["seen"]["member"]),
        (&1.into(), &2.into(), &"db2".into())
    );
    for sample in [
        "mirrorvip_authority{mirror=\"PROD\",authority=\"superseded\"} 1",
        "mirrorvip_state{mirror=\"PROD\",state=\"superseded\"} 1",
        "mirrorvip_term{mirror=\"PROD\"} 1",
        &format!("mirrorvip_peer_serving{{mirror=\"PROD\",peer=\"{}\"}} 1", health_b.ip()),
        &format!("mirrorvip_peer_term{{mirror=\"PROD\",peer=\"{}\"}} 2", health_b.ip()),
    ] {
        assert!(metrics(&a).lines().any(|line| line.starts_with(sample)), "no {sample} in\n{}", metrics(&a));
    }
    let shown = text(&a);
    for words in [
        "PROD  superseded  page 503 FAILED",
        "  term      1; the highest known is 2, of db2\n",
        "  ruling    superseded: db2 (term 2) at ",
        "  members   member ",
    ] {
        assert!(shown.contains(words), "no `{words}` in\n{shown}");
    }
    eventually("db2 to show it", || {
        (b.mirror("PROD")["members"][1]["authority"] == "superseded").then_some(())
    });

    // The successor falls silent: that releases nothing, and is shown as what it is.
    b.crash();
    eventually("the silence", || (a.mirror("PROD")["members"][1]["reachable"] == false).then_some(()));
    let mirror = a.mirror("PROD");
    let silent = &mirror["members"][1];
    assert_eq!((&silent["member"], &silent["role"]), (&"db2".into(), &"primary".into()));
    assert!(silent["age_seconds"].as_f64().unwrap() > 0.0 && silent["since"].is_string(), "{silent}");
    assert!(silent["problem"].is_string(), "{silent}");
    assert_eq!(mirror["authority"]["ruling"], "superseded");
    let sample = format!("mirrorvip_peer_serving{{mirror=\"PROD\",peer=\"{}\"}} NaN", health_b.ip());
    assert!(metrics(&a).contains(&sample), "{}", metrics(&a));
    assert!(text(&a).contains("none since "), "{}", text(&a));
}

#[test]
fn different_configuration_is_shown() {
    let (node_a, node_b) = (Node::primary(), Node::backup());
    let (health_a, health_b) = (free_port(own_address()), free_port(own_address()));
    let a = Daemon::start(node_a.path(), &member(&node_a, "db1", health_a, health_b));
    let other = change(&member(&node_b, "db2", health_b, health_a), "\"8s\"", "\"9s\"");
    let _b = Daemon::start(node_b.path(), &other);
    eventually("the difference", || (a.mirror("PROD")["members"][1]["agrees"] == false).then_some(()));
    assert!(metrics(&a).contains("mirrorvip_peer_agrees{"), "{}", metrics(&a));
    assert!(text(&a).contains("its configuration differs"), "{}", text(&a));
}

#[test]
fn decision_of_a_superseded_member_supersedes_the_other() {
    let pair = Pair::start();
    pair.promote_db2();
    // Before that db2 knows that no other member can have been promoted after it, whatever anyone decides.
    eventually("the promotion of db2 to be a QoS timeout ago", || {
        let status = pair.db2.status();
        let time = |value: &Value| value.as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        let transitions = status["mirrors"][0]["transitions"].as_array().cloned().unwrap_or_default();
        let (now, promoted) = (time(&status["now"])?, time(&transitions.last()?["at"])?);
        (now.duration_since(promoted).as_secs() > 8).then_some(())
    });
    let url = format!("http://{}", pair.db1.admin);
    let take = ["take", "--yes", "--reason", "db2 was promoted by mistake", "--url", &url];
    let output = mirrorvip().args(take).output().expect("the command starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("what is printed is UTF-8");
    for words in [
        "  superseded: db2 (term 2) at ",
        "  - its term rises from 1 to 3 or higher",
        "  - its status page says SUCCESS again\n",
        "  - db2 (",
        "PROD: db1 takes the traffic with term 3\n",
    ] {
        assert!(text.contains(words), "no `{words}` in\n{text}");
    }
    pair.db1.wait_for_page(200);
    eventually("db2 to be superseded", || (ruling(&pair.db2) == "superseded").then_some(()));
    pair.db2.wait_for_page(503);
    assert!(pair.db1.mirror("PROD")["taken"]["overrode"].as_str().unwrap().starts_with("superseded"));
}
