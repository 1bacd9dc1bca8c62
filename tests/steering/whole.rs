//! Two real daemons and a simulated cloud: target group, record, overlay route and metric follow the primary
//! over real HTTP, and an old primary that still looks primary to itself takes nothing back.

use crate::support::stage::{Peers, Stage};

#[test]
fn everything_follows_the_primary_there_and_back() {
    let stage = Stage::of_everything(Peers::Asked);
    stage.promote_fully("a");
    stage.demote("a");
    stage.promote_fully("b");
    stage.demote("b");
    stage.promote_fully("a");
    stage.until_fulfilled("a");
    stage.assert_clean();
}

#[test]
fn an_old_primary_that_was_paused_takes_nothing_back() {
    for peers in [Peers::Asked, Peers::None] {
        let stage = Stage::of_everything(peers);
        stage.promote_fully("a");
        stage.until_fulfilled("a");
        stage.freeze("a");
        stage.promote_fully("b");
        stage.resume("a");
        // It still looks primary to itself, and its next read finds everything taken.
        let ruling = if peers == Peers::Asked { "superseded" } else { "unsure" };
        stage.until_ruling("a", &[ruling]);
        stage.until_considered("a");
        assert!(stage.leads_to("b"), "{peers:?}");
        stage.assert_clean();
    }
}

#[test]
fn a_restarted_primary_reads_first_and_an_old_one_that_restarts_takes_nothing() {
    let mut stage = Stage::of_everything(Peers::Asked);
    stage.promote_fully("a");
    stage.stop("a");
    let before = stage.cloud.mutations().iter().filter(|m| m.action != "PutMetricData").count();
    stage.start("a");
    stage.until_state("a", "primary");
    stage.until_fulfilled("a");
    let after = stage.cloud.mutations().iter().filter(|m| m.action != "PutMetricData").count();
    assert_eq!(before, after, "there was nothing to write");

    stage.stop("a");
    stage.promote_fully("b");
    stage.start("a");
    stage.until_state("a", "superseded");
    stage.until_considered("a");
    assert!(stage.leads_to("b"));
    stage.assert_clean();
}
