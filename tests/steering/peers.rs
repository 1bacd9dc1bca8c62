//! Two daemons that are each other's peers: what they report to each other, and what a member does about a later
//! promotion. Nothing is steered.

use serde_json::{Value, json};

use crate::support::cloud::fast_cloud;
use crate::support::get;
use crate::support::stage::{Peers, Stage, eventually};

fn pair() -> Stage {
    Stage::new(fast_cloud(), (), &["a", "b"], Peers::Asked, "")
}

fn body(stage: &Stage, name: &str, path: &str) -> String {
    get(stage.daemon(name).health[0], path).expect("the daemon answers").body
}

#[test]
fn the_page_of_the_earlier_one_refuses_until_its_own_instance_loses_the_role() {
    let mut stage = pair();
    stage.start_all();
    stage.promote("a");
    stage.until_state("a", "primary");
    stage.until_ruling("a", &["clear"]);
    let report: Value = serde_json::from_str(&body(&stage, "a", "/PROD/peer")).expect("the report is JSON");
    let expected = json!({
        "role": "primary", "definite": true, "serving": true, "term": 1, "proven": true, "authority": "clear",
        "seen": {"term": 1, "member": "a"},
    });
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(&report[key], value, "{key}: {report:#}");
    }

    // The other is promoted by force: IRIS has two that look primary to themselves.
    stage.promote("b");
    stage.until_state("b", "primary");
    stage.until_superseded("a");
    stage.until_page("b", 200);
    let page = body(&stage, "a", "/primary");
    assert!(page.contains("b (term 2) at 10.0.1.12 was promoted after this member (term 1)"), "{page}");
    stage.until_ruling("b", &["clear"]);

    stage.demote("a");
    stage.promote("a");
    stage.until_state("a", "primary");
    stage.until_state("b", "superseded");
    assert_eq!([stage.page("a"), stage.page("b")], [200, 503], "and it is the later one this time");
}

#[test]
fn a_daemon_that_restarts_on_either_knows_the_later_promotion() {
    let mut stage = pair();
    for name in ["a", "b"] {
        stage.configure(name, "superseded = \"warn\"\n");
    }
    stage.start_all();
    stage.promote("a");
    stage.until_state("a", "primary");
    stage.promote("b");
    stage.until_state("b", "primary");
    stage.until_ruling("a", &["superseded"]);
    assert_eq!(stage.page("a"), 200, "it only warns");
    // Neither saw a promotion in its new process; both remember.
    stage.restart("a");
    stage.until_state("a", "primary");
    stage.until_ruling("a", &["superseded"]);
    stage.restart("b");
    stage.until_state("b", "primary");
    stage.until_ruling("b", &["clear"]);
}

#[test]
fn a_reload_keeps_the_ruling_and_starts_and_ends_loops() {
    let mut stage = pair();
    stage.start_all();
    stage.promote("a");
    stage.until_ruling("a", &["clear"]);
    let ruled = stage.status("a")["authority"].clone();
    let hook = "[[mirror.hook]]\ncommand = [\"/bin/true\"]\non = \"promotion\"\n";
    stage.reload("a", "[[mirror.peer]]", &format!("{hook}[[mirror.peer]]"));
    let mirror = stage.status("a");
    assert_eq!((&mirror["state"], &mirror["authority"]), (&"primary".into(), &ruled));
    assert_eq!(mirror["steering"][0]["target"], "hook /bin/true");
    let metrics = get(stage.daemon("a").admin, "/metrics").expect("the daemon answers").body;
    for line in [
        "mirrorvip_authority{mirror=\"PROD\",authority=\"clear\"} 1",
        "mirrorvip_steering_drift_repaired_total{mirror=\"PROD\",target=\"hook /bin/true\"} 0",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }

    stage.reload("a", hook, "");
    stage.remove_peers("a");
    let mirror = stage.status("a");
    assert_eq!((&mirror["authority"], &mirror["steering"]), (&Value::Null, &json!([])));
    assert_eq!(mirror["state"], "primary", "no verdict is lost");
}

#[test]
fn peers_that_ask_do_not_pass_for_a_load_balancer() {
    let mut stage = pair();
    stage.start_all();
    stage.promote("a");
    stage.claim("b");
    eventually("a question of the peer", || {
        let mirror = stage.status("a");
        assert_eq!(mirror["last_checked_at"], Value::Null);
        mirror["checkers"].as_array().is_some_and(|checkers| !checkers.is_empty())
    });
}
