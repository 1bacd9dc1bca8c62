//! An old primary that still looks primary to itself takes nothing back: not after a pause, not after a restart of
//! its daemon, not when it was cut off.
//!
//! With `[[mirror.peer]]` it learns that another was promoted later, and its page says so. Without, its page can
//! only say what its instance says; so these stories are about pools that hold the primary alone.

use std::time::Duration;

use mirrorvip::simulation::cloud::{Effect, Fault};
use rustix::process::Signal;

use crate::pools::stage::{BOUND, DRIFT_BOUND, Peers, Pool, STALE_AFTER, Stage, within};

/// What `a` had done before it became stale.
struct Before {
    changes: usize,
    reads: usize,
}

// === impl Before ===

impl Before {
    fn of(stage: &Stage) -> Self {
        Self { changes: stage.mutations_by("a").len(), reads: stage.reads_by("a") }
    }

    /// `a` comes to know what it can, looks at the pool again and leaves it as it is.
    fn and_then_nothing(self, stage: &Stage, peers: Peers) {
        match peers {
            Peers::Asked => {
                stage.until_page("a", 503);
                stage.until_superseded("a");
            }
            Peers::None => {
                // A pool carries no term; that another member is in it is reason enough to leave it alone.
                stage.until_page("a", 200);
                stage.until_holding("a");
            }
        }
        within(
            DRIFT_BOUND,
            || (stage.reads_by("a") > self.reads).then_some(()),
            || format!("a looks at the pool; {}", stage.describe()),
        );
        stage.until_led_to("b", BOUND);
        stage.until_page("b", 200);
        assert_eq!(stage.mutations_by("a").len(), self.changes, "{}", stage.describe());
        stage.assert_safe();
    }
}

/// `b` takes over.
fn taken_over(stage: &Stage) {
    stage.promote("b");
    stage.until_led_to("b", BOUND);
    stage.until_fulfilled("b");
}

/// `a` is paused while `b` takes over, for `pause` at least, and goes on.
fn paused(pool: Pool, peers: Peers, pause: Duration) {
    let stage = Stage::at_rest(pool, peers, &["a", "b"]);
    stage.daemon("a").signal(Signal::STOP);
    taken_over(&stage);
    std::thread::sleep(pause);
    let before = Before::of(&stage);
    stage.daemon("a").signal(Signal::CONT);
    before.and_then_nothing(&stage, peers);
}

/// The daemon of `a` stops, `b` takes over, and the daemon starts again.
fn restarted(pool: Pool, peers: Peers) {
    let mut stage = Stage::at_rest(pool, peers, &["a", "b"]);
    stage.stop("a");
    taken_over(&stage);
    let before = Before::of(&stage);
    stage.start("a");
    before.and_then_nothing(&stage, peers);
}

/// `a` is cut off from everything, `b` takes over, and the network heals.
fn isolated(pool: Pool, peers: Peers) {
    let stage = Stage::at_rest(pool, peers, &["a", "b"]);
    stage.isolate("a", true);
    let cut = stage.cloud.fault(Fault::new(Effect::Hang).by("a"));
    taken_over(&stage);
    let before = Before::of(&stage);
    stage.isolate("a", false);
    stage.cloud.clear_fault(cut);
    before.and_then_nothing(&stage, peers);
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
    let stage = Stage::at_rest(Pool::PrimaryOnly, Peers::Asked, &["a", "b"]);
    stage.daemon("a").signal(Signal::STOP);
    taken_over(&stage);
    let before = Before::of(&stage);
    stage.daemon("a").signal(Signal::CONT);
    before.and_then_nothing(&stage, Peers::Asked);
    // It is told by its mirror and becomes the backup; `b` hands over to it later.
    stage.step_back("a");
    stage.hand_over("b", "a");
    stage.until_led_to("a", BOUND);
    stage.until_fulfilled("a");
    stage.assert_safe();
}
