//! Two real daemons and a simulated cloud: target group, record, overlay route and metric follow the primary
//! over the real AWS SDK, and an old primary that still looks primary to itself takes nothing back.

use mirrorvip::simulation::cloud::{Effect, Fault};
use rustix::process::Signal;

use crate::rig::{Peers, Rig, until_fulfilled, until_ruling, until_state};

#[test]
fn everything_follows_the_primary_there_and_back() {
    let rig = Rig::new(Peers::Asked);
    let (a, b) = (rig.start(0), rig.start(1));
    until_state(&a, "not-primary");
    until_state(&b, "not-primary");
    rig.promote_fully(0, &a);
    rig.demote(0, &a);
    rig.promote_fully(1, &b);
    rig.demote(1, &b);
    rig.promote_fully(0, &a);
    until_fulfilled(&a);
    rig.assert_clean();
}

#[test]
fn an_old_primary_that_was_paused_takes_nothing_back() {
    for peers in [Peers::Asked, Peers::None] {
        let rig = Rig::new(peers);
        let (a, b) = (rig.start(0), rig.start(1));
        until_state(&a, "not-primary");
        until_state(&b, "not-primary");
        rig.promote_fully(0, &a);
        until_fulfilled(&a);
        a.signal(Signal::STOP);
        rig.promote_fully(1, &b);
        a.signal(Signal::CONT);
        // It still looks primary to itself, and its next read finds everything taken.
        let ruling = if peers == Peers::Asked { "superseded" } else { "unsure" };
        until_ruling(&a, ruling);
        rig.until_considered(0, &a);
        assert!(rig.points_at(1), "{peers:?}");
        rig.assert_clean();
    }
}

#[test]
fn a_restarted_primary_reads_first_and_an_old_one_that_restarts_takes_nothing() {
    let rig = Rig::new(Peers::Asked);
    let (a, b) = (rig.start(0), rig.start(1));
    until_state(&a, "not-primary");
    until_state(&b, "not-primary");
    rig.promote_fully(0, &a);
    assert!(a.stop().success());
    let before = rig.cloud.mutations().iter().filter(|m| m.action != "PutMetricData").count();
    let a = rig.start(0);
    until_state(&a, "primary");
    until_fulfilled(&a);
    let after = rig.cloud.mutations().iter().filter(|m| m.action != "PutMetricData").count();
    assert_eq!(before, after, "there was nothing to write");

    assert!(a.stop().success());
    rig.promote_fully(1, &b);
    let a = rig.start(0);
    until_state(&a, "superseded");
    rig.until_considered(0, &a);
    assert!(rig.points_at(1));
    rig.assert_clean();
}

#[test]
fn throttles_are_outlived() {
    let rig = Rig::new(Peers::Asked);
    let (a, b) = (rig.start(0), rig.start(1));
    until_state(&a, "not-primary");
    until_state(&b, "not-primary");
    for _ in 0..10 {
        rig.cloud.fault(Fault::new(Effect::Throttle).times(1));
    }
    rig.promote_fully(0, &a);
    rig.assert_clean();
}
