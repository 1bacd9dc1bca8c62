//! Real daemons in front of a simulated cloud whose load balancer checks their real pages: where clients are led
//! while the members of a mirror fail over, crash, freeze, restart and are cut off, and while the cloud fails.
//!
//! Every story ends with the same questions: does the load balancer lead to the primary and to no other member, did
//! every change that moved traffic come from the member that was primary at that moment, and was the pool never
//! empty?

mod balancer;
mod faults;
mod stale;

use balancer::Pool;

use crate::support::stage::{Peers, Stage};

/// An orderly failover and the way back.
fn there_and_back(pool: Pool, peers: Peers) {
    let stage = Stage::at_rest(pool, peers, &["a", "b"]);
    stage.hand_over("b");
    stage.hand_over("a");
    stage.assert_safe();
}

#[test]
fn an_all_members_pool_follows_there_and_back_without_a_change_of_registration() {
    let stage = Stage::at_rest(Pool::AllMembers, Peers::None, &["a", "b"]);
    stage.until_fulfilled("b");
    let changes = stage.cloud.mutations().len();
    stage.hand_over("b");
    stage.hand_over("a");
    assert_eq!(stage.cloud.mutations().len(), changes, "the health check decides");
    stage.assert_safe();
}

#[test]
fn a_primary_only_pool_follows_there_and_back() {
    there_and_back(Pool::PrimaryOnly, Peers::None);
}

#[test]
fn a_primary_only_pool_follows_members_that_ask_each_other() {
    there_and_back(Pool::PrimaryOnly, Peers::Asked);
}

#[test]
fn a_classic_load_balancer_follows_there_and_back() {
    there_and_back(Pool::ClassicAllMembers, Peers::Asked);
}

#[test]
fn a_primary_only_classic_load_balancer_follows_there_and_back() {
    there_and_back(Pool::ClassicPrimaryOnly, Peers::Asked);
}

#[test]
fn a_start_as_primary_writes_only_what_differs() {
    // `c` is a stranger here: it belongs to no member of this mirror.
    let mut stage = Stage::of_pool(Pool::PrimaryOnly, Peers::Asked, &["a", "b"]);
    stage.register("b");
    stage.register("c");
    stage.promote("a");
    stage.start("b");
    stage.start("a");
    stage.until_fulfilled("a");
    let changes = stage.mutations_by("a");
    let actions: Vec<_> = changes.iter().map(|mutation| &*mutation.action).collect();
    assert_eq!(actions, ["RegisterTargets", "DeregisterTargets"]);
    assert!(changes[1].after.contains(&stage.registration("c").to_string()), "strangers stay: {changes:?}");
    assert_eq!(stage.registered(), [stage.registration("a"), stage.registration("c")]);
    stage.assert_safe();
}

#[test]
fn a_start_as_primary_where_nothing_differs_writes_nothing() {
    let mut stage = Stage::of_pool(Pool::PrimaryOnly, Peers::None, &["a"]);
    stage.register("a");
    stage.promote("a");
    stage.start("a");
    stage.until_fulfilled("a");
    assert_eq!(stage.cloud.mutations(), []);
    assert!(stage.reads_by("a") > 0);
}

#[test]
fn a_restart_on_the_true_primary_writes_nothing() {
    for (pool, peers) in [(Pool::PrimaryOnly, Peers::None), (Pool::AllMembers, Peers::Asked)] {
        let mut stage = Stage::at_rest(pool, peers, &["a", "b"]);
        stage.until_fulfilled("b");
        let (changes, reads) = (stage.cloud.mutations().len(), stage.reads_by("a"));
        stage.restart("a");
        stage.until_leads_to("a");
        assert!(stage.reads_by("a") > reads, "it has looked");
        assert_eq!(stage.cloud.mutations().len(), changes);
        stage.assert_safe();
    }
}

#[test]
fn a_host_that_crashes_is_replaced_and_comes_back_as_the_backup() {
    for pool in [Pool::PrimaryOnly, Pool::AllMembers] {
        let mut stage = Stage::at_rest(pool, Peers::Asked, &["a", "b"]);
        stage.crash("a");
        stage.promote("b");
        stage.until_leads_to("b");
        stage.bring_back("a");
        stage.until_fulfilled("a");
        assert!(stage.leads_to("b"));
        stage.hand_over("a");
        stage.assert_safe();
    }
}

#[test]
fn a_promotion_of_the_disaster_recovery_member_needs_nothing_else() {
    for pool in [Pool::PrimaryOnly, Pool::AllMembers] {
        let mut stage = Stage::at_rest(pool, Peers::Asked, &["a", "b", "c"]);
        stage.crash("a");
        stage.crash("b");
        stage.promote("c");
        stage.until_leads_to("c");
        stage.bring_back("b");
        stage.until_fulfilled("b");
        assert!(stage.leads_to("c"));
        stage.hand_over("b");
        stage.assert_safe();
    }
}
