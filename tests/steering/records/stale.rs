//! An old primary that still looks primary to itself: paused and resumed after a takeover, isolated,
//! restarted with its memory and without. It never takes the record back.

use crate::steering::zone::{LIST, Zone};
use crate::support::cloud::fast_cloud;
use crate::support::stage::{Peers, Stage, eventually};

/// `a` was primary, was frozen, and awakes where `b` is primary and the record is `b`'s. Its instance reports
/// that it is still primary.
fn awakened(peers: Peers, keys: &str) -> Stage<Zone> {
    let stage = Stage::of_record_with(&["a", "b"], fast_cloud(), peers, keys);
    stage.promote_fully("a");
    stage.freeze("a");
    stage.promote_fully("b");
    stage.thaw("a");
    stage
}

/// `a` has read the record again, and it is still `b`'s.
fn keeps_off(stage: &Stage<Zone>, rulings: &[&str]) {
    stage.until_ruling("a", rulings);
    stage.until_read("a", LIST);
    assert!(stage.record_leads_to("b"), "{:?}", stage.record());
    stage.assert_clean();
}

#[test]
fn record_with_a_higher_term_is_never_taken_back() {
    let mut stage = awakened(Peers::None, "");
    keeps_off(&stage, &["unsure"]);
    stage.restart("a");
    keeps_off(&stage, &["unsure"]);
    stage.restart_without_memory("a");
    keeps_off(&stage, &["unsure"]);

    // Its instance loses the role and regains it: that ends the doubt.
    stage.fail_over("b");
    stage.fail_over_fully("a");
}

#[test]
fn with_peers_its_page_refuses_too() {
    let mut stage = awakened(Peers::Asked, "");
    keeps_off(&stage, &["superseded"]);
    stage.until_page("a", 503);
    assert_eq!(stage.page("b"), 200);
    stage.restart("a");
    keeps_off(&stage, &["superseded"]);
    stage.restart_without_memory("a");
    keeps_off(&stage, &["superseded", "unsure"]);
    // The true primary loses its state, too, while the other claims to be one: it loses no object.
    stage.restart_without_memory("b");
    stage.until_read("b", LIST);
    assert!(stage.record_leads_to("b"));
    stage.assert_clean();
}

/// With `superseded = "warn"` the page follows the instance; steering does not.
#[test]
fn a_policy_of_warning_leaves_the_page_alone_and_takes_nothing_back() {
    let mut stage = Stage::of_record(Peers::Asked);
    for name in ["a", "b"] {
        stage.reload(name, "interval = \"200ms\"", "interval = \"200ms\"\nsuperseded = \"warn\"");
    }
    stage.promote_fully("a");
    stage.promote_fully("b");
    stage.until_ruling("a", &["superseded"]);
    let pages = |stage: &Stage<Zone>| [stage.page("a"), stage.page("b")];
    assert_eq!((stage.status("a")["state"].as_str(), pages(&stage)), (Some("primary"), [200, 200]));
    let warned = |stage: &Stage<Zone>| {
        let log = stage.daemon("a").log();
        log.iter().filter(|line| line["alarm"] == "two-serve" && line["level"] == "ERROR").count()
    };
    eventually("the alarm", || warned(&stage) == 1);
    // Neither drift checks nor a restart make it take the record.
    stage.restart("a");
    keeps_off(&stage, &["superseded"]);
    stage.until_page("a", 200);
    eventually("the alarm of the new process", || warned(&stage) == 1);
    assert_eq!(stage.page("b"), 200);

    stage.fail_over("b");
    stage.fail_over_fully("a");
}

#[test]
fn upsert_without_an_ownership_record_is_not_taken_back_either() {
    let mut stage = awakened(Peers::None, "write = \"upsert\"\n");
    keeps_off(&stage, &["holding"]);
    stage.restart("a");
    keeps_off(&stage, &["unsure"]);
    drop(stage);

    // A member that lost its state as well can know of the other only from its peer.
    let mut stage = awakened(Peers::Asked, "write = \"upsert\"\n");
    keeps_off(&stage, &["superseded", "unsure"]);
    stage.restart("a");
    keeps_off(&stage, &["superseded", "unsure"]);
    stage.restart_without_memory("a");
    keeps_off(&stage, &["superseded", "unsure"]);
}

#[test]
fn higher_term_of_an_unknown_member_withholds_the_record() {
    let mut stage = Stage::of_record(Peers::None);
    stage.promote_fully("a");
    stage.freeze("a");
    stage.write_ownership("c", 50);
    stage.write_record("10.0.1.13");
    stage.thaw("a");
    for restart in [false, true] {
        if restart {
            stage.restart("a");
        }
        stage.until_ruling("a", &["unsure"]);
        stage.until_read("a", LIST);
        assert_eq!(stage.record(), ["10.0.1.13"]);
    }
    // A promotion that is seen is later than all that was known before it.
    stage.until_read("b", LIST);
    stage.fail_over_fully("b");
    stage.assert_owner("b", 51);
}
