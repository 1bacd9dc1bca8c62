//! What one member shows of the others, while they answer and when they do not, and of a later promotion.

use serde_json::Value;

use crate::support::cloud::fast_cloud;
use crate::support::stage::{Peers, Stage, eventually};
use crate::support::{get, mirrorvip};

/// What `mirrorvip` prints, asked with these arguments for a member's daemon.
fn printed(stage: &Stage, name: &str, arguments: &[&str]) -> String {
    let url = format!("http://{}", stage.daemon(name).admin);
    let output = mirrorvip().args(arguments).args(["--url", &url]).output().expect("the command starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("what is printed is UTF-8")
}

fn metrics(stage: &Stage, name: &str) -> String {
    get(stage.daemon(name).admin, "/metrics").expect("the admin listener answers").body
}

/// Two members that ask each other and steer nothing; `a` is the primary and may take traffic.
fn pair() -> Stage {
    let stage = Stage::started(fast_cloud(), (), &["a", "b"], Peers::Asked, "");
    stage.promote("a");
    stage.until_ruling("a", &["clear"]);
    stage
}

/// Promotes `b` beside `a` by mistake, once it knows the term of `a`.
fn promote_b(stage: &Stage) {
    stage.until_term("b", 1);
    stage.promote("b");
    stage.until_superseded("a");
}

#[test]
fn later_promotion_shows_as_superseded_everywhere_and_silence_with_its_age() {
    let mut stage = pair();
    let address_of_b = stage.address("b");
    let mirror = stage.status("a");
    let members = mirror["members"].as_array().expect("a list");
    assert_eq!(members.len(), 2);
    let own = &members[0];
    assert_eq!((&own["self"], &own["member"], &own["address"]), (&true.into(), &"a".into(), &Value::Null));
    assert_eq!((&own["role"], &own["serving"], &own["term"]), (&"primary".into(), &true.into(), &1.into()));
    assert_eq!(own["authority"], "clear");
    let other = &members[1];
    assert_eq!((&other["self"], &other["member"]), (&false.into(), &"b".into()));
    assert_eq!(other["address"], address_of_b);
    assert_eq!((&other["role"], &other["serving"]), (&"backup".into(), &false.into()));
    assert_eq!((&other["agrees"], &other["problem"]), (&true.into(), &Value::Null));

    promote_b(&stage);
    let mirror = stage.status("a");
    assert_eq!(
        (&mirror["state"], &mirror["authority"]["ruling"]),
        (&"superseded".into(), &"superseded".into())
    );
    assert_eq!(mirror["members"][0]["authority"], "superseded");
    assert_eq!(
        (&mirror["term"], &mirror["seen"]["term"], &mirror["seen"]["member"]),
        (&1.into(), &2.into(), &"b".into())
    );
    let samples = metrics(&stage, "a");
    for sample in [
        "mirrorvip_authority{mirror=\"PROD\",authority=\"superseded\"} 1",
        "mirrorvip_state{mirror=\"PROD\",state=\"superseded\"} 1",
        "mirrorvip_term{mirror=\"PROD\"} 1",
        &format!("mirrorvip_peer_serving{{mirror=\"PROD\",peer=\"{address_of_b}\"}} 1"),
        &format!("mirrorvip_peer_term{{mirror=\"PROD\",peer=\"{address_of_b}\"}} 2"),
    ] {
        assert!(samples.lines().any(|line| line.starts_with(sample)), "no {sample} in\n{samples}");
    }
    let shown = printed(&stage, "a", &["status"]);
    for words in [
        "PROD  superseded  page 503 FAILED",
        "  term      1; the highest known is 2, of b\n",
        "  ruling    superseded: b (term 2) at ",
        "  members   member ",
    ] {
        assert!(shown.contains(words), "no `{words}` in\n{shown}");
    }
    stage.until("b", "the ruling of a", |mirror| mirror["members"][1]["authority"] == "superseded");

    // The successor falls silent: that releases nothing, and is shown as what it is.
    stage.kill("b");
    stage.until("a", "the silence", |mirror| mirror["members"][1]["reachable"] == false);
    let mirror = stage.status("a");
    let silent = &mirror["members"][1];
    assert_eq!((&silent["member"], &silent["role"]), (&"b".into(), &"primary".into()));
    assert!(silent["age_seconds"].as_f64().unwrap() > 0.0 && silent["since"].is_string(), "{silent}");
    assert!(silent["problem"].is_string(), "{silent}");
    assert_eq!(mirror["authority"]["ruling"], "superseded");
    let sample = format!("mirrorvip_peer_serving{{mirror=\"PROD\",peer=\"{address_of_b}\"}} NaN");
    let samples = metrics(&stage, "a");
    assert!(samples.contains(&sample), "{samples}");
    let shown = printed(&stage, "a", &["status"]);
    assert!(shown.contains("none since "), "{shown}");
}

#[test]
fn different_configuration_is_shown() {
    let mut stage = Stage::new(fast_cloud(), (), &["a", "b"], Peers::Asked, "");
    stage.reconfigure("b", "qos_timeout = \"3s\"", "qos_timeout = \"9s\"");
    stage.start_all();
    stage.until("a", "the difference", |mirror| mirror["members"][1]["agrees"] == false);
    let samples = metrics(&stage, "a");
    assert!(samples.contains("mirrorvip_peer_agrees{"), "{samples}");
    let shown = printed(&stage, "a", &["status"]);
    assert!(shown.contains("its configuration differs"), "{shown}");
}

#[test]
fn decision_of_a_superseded_member_supersedes_the_other() {
    let stage = pair();
    promote_b(&stage);
    // Before that `b` knows that no other member can have been promoted after it, whatever an operator decides.
    eventually("the promotion of b to be a QoS timeout ago", || {
        let status = stage.daemon("b").status();
        let time = |value: &Value| value.as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        let transitions = status["mirrors"][0]["transitions"].as_array().cloned().unwrap_or_default();
        let times = (time(&status["now"]), transitions.last().and_then(|last| time(&last["at"])));
        matches!(times, (Some(now), Some(promoted)) if now.duration_since(promoted).as_secs() > 3)
    });
    let text = printed(&stage, "a", &["take", "--yes", "--reason", "b was promoted by mistake"]);
    for words in [
        "  superseded: b (term 2) at ",
        "  - its term rises from 1 to 3 or higher",
        "  - its status page says SUCCESS again\n",
        "  - b (",
        "PROD: a takes the traffic with term 3\n",
    ] {
        assert!(text.contains(words), "no `{words}` in\n{text}");
    }
    stage.until_page("a", 200);
    stage.until_superseded("b");
    assert!(stage.status("a")["taken"]["overrode"].as_str().unwrap().starts_with("superseded"));
}
