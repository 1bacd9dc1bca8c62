//! Three members and one record: two that fail over and one for disaster recovery, which an operator promotes.

use crate::steering::zone::{LIST, Zone};
use crate::support::cloud::fast_cloud;
use crate::support::stage::{Peers, Stage};

fn stage(peers: Peers) -> Stage<Zone> {
    Stage::of_record_with(&["a", "b", "c"], fast_cloud(), peers, "")
}

#[test]
fn record_goes_round_with_rising_terms() {
    for peers in [Peers::Asked, Peers::None] {
        let stage = stage(peers);
        stage.promote_fully("a");
        for (to, term) in [("b", 2), ("c", 3), ("a", 4), ("c", 5)] {
            stage.fail_over_fully(to);
            stage.assert_owner(to, term);
        }
        assert_eq!(stage.moves().len(), 10, "record and ownership record, once each: {:#?}", stage.moves());
    }
}

/// Both failover members are lost, the third is promoted by hand, and then the lost ones come back as they were.
#[test]
fn what_the_disaster_recovery_member_took_is_not_taken_back() {
    let mut stage = stage(Peers::Asked);
    stage.promote_fully("a");
    stage.freeze("b");
    stage.freeze("a");
    stage.until_read("c", LIST);
    stage.promote_fully("c");

    stage.thaw("a");
    stage.until_ruling("a", &["superseded"]);
    stage.until_read("a", LIST);
    stage.until_page("a", 503);
    stage.restart_without_memory("a");
    stage.until_ruling("a", &["superseded", "unsure"]);
    stage.until_read("a", LIST);
    assert!(stage.record_leads_to("c"));
    assert_eq!(stage.page("c"), 200);

    // The other one never was primary, and is promoted after all of them.
    stage.thaw("b");
    stage.until_read("b", LIST);
    stage.fail_over_fully("b");
}

/// One silent peer must not keep a member whose promotion was seen from its work.
#[test]
fn a_peer_that_is_down_delays_no_other() {
    let mut stage = stage(Peers::Asked);
    stage.promote_fully("b");
    stage.freeze("c");
    stage.until_read("a", LIST);
    stage.demote("b");
    stage.promote_fully("a");
    // It forgets nothing by a restart: the record is its own.
    stage.restart("a");
    stage.until_follows("a");
    let moves = stage.moves().len();
    stage.thaw("c");
    stage.until_read("c", LIST);
    assert!(stage.record_leads_to("a"));
    assert_eq!(stage.moves().len(), moves);
    stage.assert_clean();
}
