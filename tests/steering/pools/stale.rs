//! An old primary that still looks primary to itself takes nothing back: not after a pause, not after a restart of
//! its daemon, not when it was cut off.
//!
//! With `[[mirror.peer]]` it learns that another was promoted later, and its page says so. Without, its page can
//! only say what its instance says; so these stories are about pools that hold the primary alone.

use std::time::Duration;

use super::balancer::{Balancer, Pool};
use crate::support::stage::{Peers, STALE_AFTER, Stage, eventually};

/// What an old primary does not do while `b` takes over and `a` is `absent`, nor after it is `back`.
fn takes_nothing_back(
    pool: Pool,
    peers: Peers,
    absent: impl Fn(&mut Stage<Balancer>),
    back: impl Fn(&mut Stage<Balancer>),
) -> Stage<Balancer> {
    let mut stage = Stage::at_rest(pool, peers, &["a", "b"]);
    absent(&mut stage);
    stage.promote("b");
    stage.until_leads_to("b");
    let done = |stage: &Stage<Balancer>| (stage.mutations_by("a").len(), stage.reads_by("a"));
    let (changes, reads) = done(&stage);
    back(&mut stage);
    match peers {
        Peers::Asked => stage.until_superseded("a"),
        Peers::None => {
            // A pool carries no term; that another member is in it is reason enough to leave it alone.
            stage.until_page("a", 200);
            stage.until_ruling("a", &["holding"]);
        }
    }
    eventually("a to read the pool", || done(&stage).1 > reads);
    stage.until_leads_to("b");
    stage.until_page("b", 200);
    assert_eq!(done(&stage).0, changes);
    stage.assert_safe();
    stage
}

/// `a` is paused while `b` takes over, for `pause` at least, and goes on.
fn paused(pool: Pool, peers: Peers, pause: Duration) -> Stage<Balancer> {
    takes_nothing_back(
        pool,
        peers,
        |stage| stage.freeze("a"),
        |stage| {
            std::thread::sleep(pause);
            stage.resume("a");
        },
    )
}

/// The daemon of `a` stops, `b` takes over, and the daemon starts again.
fn restarted(pool: Pool, peers: Peers) {
    takes_nothing_back(pool, peers, |stage| stage.stop("a"), |stage| stage.start("a"));
}

/// `a` is cut off from everything, `b` takes over, and the network heals.
fn isolated(pool: Pool, peers: Peers) {
    takes_nothing_back(pool, peers, |stage| stage.isolate("a"), |stage| stage.heal("a"));
}

#[test]
fn paused_for_long_among_peers() {
    paused(Pool::PrimaryOnly, Peers::Asked, 2 * STALE_AFTER);
}

#[test]
fn paused_for_long_without_peers() {
    paused(Pool::PrimaryOnly, Peers::None, 2 * STALE_AFTER);
}

#[test]
fn paused_for_a_moment_among_peers() {
    paused(Pool::PrimaryOnly, Peers::Asked, Duration::ZERO);
}

#[test]
fn paused_for_a_moment_without_peers() {
    paused(Pool::PrimaryOnly, Peers::None, Duration::ZERO);
}

#[test]
fn paused_in_a_pool_of_all_members() {
    paused(Pool::AllMembers, Peers::Asked, Duration::ZERO);
}

#[test]
fn paused_behind_a_classic_load_balancer() {
    paused(Pool::ClassicPrimaryOnly, Peers::Asked, Duration::ZERO);
}

#[test]
fn restarted_among_peers() {
    restarted(Pool::PrimaryOnly, Peers::Asked);
}

#[test]
fn restarted_without_peers() {
    restarted(Pool::PrimaryOnly, Peers::None);
}

#[test]
fn restarted_in_a_pool_of_all_members() {
    restarted(Pool::AllMembers, Peers::Asked);
}

#[test]
fn cut_off_among_peers() {
    isolated(Pool::PrimaryOnly, Peers::Asked);
}

#[test]
fn cut_off_without_peers() {
    isolated(Pool::PrimaryOnly, Peers::None);
}

#[test]
fn cut_off_in_a_pool_of_all_members() {
    isolated(Pool::AllMembers, Peers::Asked);
}

#[test]
fn a_superseded_member_leads_again_after_its_instance_lost_and_regained_the_role() {
    let stage = paused(Pool::PrimaryOnly, Peers::Asked, Duration::ZERO);
    // The mirror makes it the backup; `b` hands over to it later.
    stage.demote("a");
    stage.hand_over("a");
    stage.assert_safe();
}
