//! Three members and one record: two that fail over and one for disaster recovery, which a human promotes.

use crate::records::stage::{Peers, Stage, fast_cloud, record_table, zone_with_record};

const LIST: &str = "ListResourceRecordSets";

fn stage(peers: Peers) -> (Stage, String) {
    let cloud = fast_cloud();
    let zone = zone_with_record(&cloud);
    let table = record_table(&zone);
    (Stage::of_three(cloud, peers, &table), zone)
}

/// A term that is known before a promotion is earlier. Beside silent peers the record has to be read for that.
fn knows_the_term(stage: &mut Stage, name: &str) {
    stage.reload(name, "interval = \"200ms\"", "interval = \"200ms\"\ndrift_interval = \"5s\"");
    stage.until_looked(name, LIST);
}

#[test]
fn record_goes_round_with_rising_terms() {
    for peers in [Peers::Known, Peers::Unknown] {
        let (stage, zone) = stage(peers);
        stage.elect("a");
        stage.record_follows(&zone, "a");
        for (to, term) in [("b", 2), ("c", 3), ("a", 4), ("c", 5)] {
            stage.fail_over(to);
            stage.record_follows(&zone, to);
            let mark = stage.mark(&zone);
            assert!(mark.contains(&format!("owner=member-{to} term={term} ")), "{mark}");
        }
        assert_eq!(stage.moves().len(), 10, "record and mark, once each: {:#?}", stage.moves());
    }
}

/// Both failover members are lost, the third is promoted by hand, and then the lost ones come back as they were.
#[test]
fn what_the_disaster_recovery_member_took_nobody_takes_back() {
    let (mut stage, zone) = stage(Peers::Known);
    stage.elect("a");
    stage.record_follows(&zone, "a");
    stage.freeze("b");
    stage.freeze("a");
    knows_the_term(&mut stage, "c");
    stage.elect("c");
    stage.record_follows(&zone, "c");

    stage.thaw("a");
    stage.until_ruling("a", &["superseded"]);
    stage.until_looked("a", LIST);
    stage.daemon("a").wait_for_page(503);
    stage.restart_without_memory("a");
    stage.until_ruling("a", &["superseded", "unsure"]);
    stage.until_looked("a", LIST);
    assert_eq!(stage.record(&zone), [stage.address("c").as_str()]);
    assert_eq!(stage.daemon("c").page(), 200);

    // The other one never was primary, and is promoted after all of them.
    stage.thaw("b");
    stage.until_looked("b", LIST);
    stage.fail_over("b");
    stage.record_follows(&zone, "b");
}

/// One silent peer must not keep a member whose promotion was seen from its work.
#[test]
fn a_peer_that_is_down_holds_up_nobody() {
    let (mut stage, zone) = stage(Peers::Known);
    stage.elect("b");
    stage.record_follows(&zone, "b");
    stage.freeze("c");
    knows_the_term(&mut stage, "a");
    stage.demote("b");
    stage.elect("a");
    stage.record_follows(&zone, "a");
    // It forgets nothing by a restart: the record is its own.
    stage.restart("a");
    stage.record_follows(&zone, "a");
    let moves = stage.moves().len();
    stage.thaw("c");
    stage.until_looked("c", LIST);
    assert_eq!(stage.record(&zone), [stage.address("a").as_str()]);
    assert_eq!(stage.moves().len(), moves);
    stage.assert_clean();
}
