//! An old primary that still looks primary to itself: paused and resumed after a takeover, isolated,
//! restarted with its memory and without. It never takes the record back.

use crate::records::stage::{MARK, Peers, RECORD, Stage, fast_cloud, record_table, zone_with_record};
use crate::support::eventually;

const LIST: &str = "ListResourceRecordSets";

/// `a` was primary, was frozen, and awakes where `b` is primary and the record is `b`'s. Its instance says
/// that it is still primary.
fn awakened(peers: Peers, extra: &str) -> (Stage, String) {
    let cloud = fast_cloud();
    let zone = zone_with_record(&cloud);
    let table = record_table(&zone) + extra;
    let stage = Stage::new(cloud, peers, &table);
    stage.elect("a");
    stage.record_follows(&zone, "a");
    stage.freeze("a");
    stage.elect("b");
    stage.record_follows(&zone, "b");
    stage.thaw("a");
    (stage, zone)
}

/// `a` has had its chance, and the record is still `b`'s.
fn keeps_off(stage: &Stage, zone: &str, rulings: &[&str]) {
    stage.until_ruling("a", rulings);
    stage.until_looked("a", LIST);
    assert_eq!(stage.record(zone), [stage.address("b").as_str()]);
    stage.assert_clean();
}

#[test]
fn record_with_a_higher_term_is_never_taken_back() {
    let (mut stage, zone) = awakened(Peers::Unknown, "");
    keeps_off(&stage, &zone, &["unsure"]);
    stage.restart("a");
    keeps_off(&stage, &zone, &["unsure"]);
    stage.restart_without_memory("a");
    keeps_off(&stage, &zone, &["unsure"]);

    // Its instance loses the role and regains it: that makes its word good again.
    stage.fail_over("b");
    stage.fail_over("a");
    stage.record_follows(&zone, "a");
}

#[test]
fn with_peers_its_page_refuses_too() {
    let (mut stage, zone) = awakened(Peers::Known, "");
    keeps_off(&stage, &zone, &["superseded"]);
    stage.daemon("a").wait_for_page(503);
    assert_eq!(stage.daemon("b").page(), 200);
    stage.restart("a");
    keeps_off(&stage, &zone, &["superseded"]);
    stage.restart_without_memory("a");
    keeps_off(&stage, &zone, &["superseded", "unsure"]);
    // The true primary forgets everything, too, while the other claims to be one: it loses nothing.
    stage.restart_without_memory("b");
    stage.until_looked("b", LIST);
    assert_eq!(stage.record(&zone), [stage.address("b").as_str()]);
    stage.assert_clean();
}

#[test]
fn an_isolated_primary_hears_of_the_later_promotion_and_stops() {
    let cloud = fast_cloud();
    let zone = zone_with_record(&cloud);
    let table = record_table(&zone);
    let stage = Stage::new(cloud, Peers::Known, &table);
    stage.elect("a");
    stage.record_follows(&zone, "a");
    stage.elect("b");
    stage.record_follows(&zone, "b");
    stage.until_ruling("a", &["superseded"]);
    stage.daemon("a").wait_for_page(503);
    // It is alone in the world again, and knows it all the same.
    stage.freeze("b");
    stage.until_looked("a", LIST);
    assert_eq!(stage.record(&zone), [stage.address("b").as_str()]);
    assert_eq!(stage.daemon("a").page(), 503);
    stage.assert_clean();
}

/// With `superseded = "warn"` the page is the instance's business; what is steered is not.
#[test]
fn a_policy_of_warning_leaves_the_page_alone_and_takes_nothing_back() {
    let cloud = fast_cloud();
    let zone = zone_with_record(&cloud);
    let table = record_table(&zone);
    let mut stage = Stage::new(cloud, Peers::Known, &table);
    for name in ["a", "b"] {
        stage.reload(name, "interval = \"200ms\"", "interval = \"200ms\"\nsuperseded = \"warn\"");
    }
    stage.elect("a");
    stage.record_follows(&zone, "a");
    stage.elect("b");
    stage.record_follows(&zone, "b");
    stage.until_ruling("a", &["superseded"]);
    let pages = |stage: &Stage| [stage.daemon("a").page(), stage.daemon("b").page()];
    assert_eq!((stage.status("a")["state"].as_str(), pages(&stage)), (Some("primary"), [200, 200]));
    let warned = |stage: &Stage| {
        let log = stage.daemon("a").log();
        log.iter().filter(|line| line["alarm"] == "two-serve" && line["level"] == "ERROR").count()
    };
    eventually("the alarm", || (warned(&stage) == 1).then_some(()));
    // It looks on, and drift checks do not tempt it; a restart does not, either.
    stage.restart("a");
    keeps_off(&stage, &zone, &["superseded"]);
    stage.daemon("a").wait_for_page(200);
    eventually("the alarm of the new process", || (warned(&stage) == 1).then_some(()));
    assert_eq!(stage.daemon("b").page(), 200);

    stage.fail_over("b");
    stage.fail_over("a");
    stage.record_follows(&zone, "a");
}

#[test]
fn upsert_without_an_ownership_record_is_not_taken_back_either() {
    let (mut stage, zone) = awakened(Peers::Unknown, "write = \"upsert\"\n");
    keeps_off(&stage, &zone, &["holding"]);
    stage.restart("a");
    keeps_off(&stage, &zone, &["unsure"]);
    drop(stage);

    // A member that lost its state as well can know of the other only from its peer.
    let (mut stage, zone) = awakened(Peers::Known, "write = \"upsert\"\n");
    keeps_off(&stage, &zone, &["superseded", "unsure"]);
    stage.restart("a");
    keeps_off(&stage, &zone, &["superseded", "unsure"]);
    stage.restart_without_memory("a");
    keeps_off(&stage, &zone, &["superseded", "unsure"]);
}

#[test]
fn higher_term_of_an_unknown_member_withholds_the_record() {
    let cloud = fast_cloud();
    let zone = zone_with_record(&cloud);
    let table = record_table(&zone);
    let mut stage = Stage::new(cloud, Peers::Unknown, &table);
    stage.elect("a");
    stage.record_follows(&zone, "a");
    stage.freeze("a");
    let mark = "\"mirrorvip1 owner=member-c term=50 epoch=50 at=2026-11-21T02:40:00Z\"";
    stage.cloud.create_record(&zone, MARK, "TXT", 60, &[mark]);
    stage.cloud.create_record(&zone, RECORD, "A", 5, &["10.0.1.13"]);
    stage.thaw("a");
    for restart in [false, true] {
        if restart {
            stage.restart("a");
        }
        stage.until_ruling("a", &["unsure"]);
        stage.until_looked("a", LIST);
        assert_eq!(stage.record(&zone), ["10.0.1.13"]);
    }
    // A promotion that is seen is later than all that was known before it.
    stage.until_looked("b", LIST);
    stage.fail_over("b");
    stage.record_follows(&zone, "b");
    assert!(stage.mark(&zone).contains("owner=member-b term=51 "), "{}", stage.mark(&zone));
}
