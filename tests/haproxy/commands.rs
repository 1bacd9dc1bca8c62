//! `iris` commands that misbehave, as HAProxy sees it: only a definite answer keeps a member in service.

use mirrorvip::simulation::Mode;

use super::balancer::Balancer;
use super::clients::NO_MEMBER;
use super::stage::Stage;
use crate::support::eventually;

/// How many processes one probe may show at a glance: the command, a subshell of it, and the next probe's.
const AT_A_GLANCE: usize = 4;

#[test]
fn a_command_that_hangs() {
    fails_closed(Mode::Hang, "timed-out");
}

#[test]
fn a_command_that_prints_garbage() {
    fails_closed(Mode::Corrupt, "unparsable");
}

#[test]
fn a_command_that_prints_without_end() {
    fails_closed(Mode::Flood, "too-long");
}

#[test]
fn a_command_that_prints_nothing() {
    fails_closed(Mode::Nothing, "unparsable");
}

#[test]
fn a_command_that_is_killed() {
    fails_closed(Mode::Die, "failed");
}

#[test]
fn a_command_that_fails() {
    fails_closed(Mode::Exit(7), "failed");
}

#[test]
fn a_command_whose_child_holds_the_pipe_keeps_its_member_in_service() {
    let mut stage = Stage::start();
    let before = stage.balancer.server("a");
    let asked = |stage: &Stage| stage.a.status()["probes"]["definite"].as_u64().expect("a count");
    let (probes, checks) = (asked(&stage), stage.a.checks());
    stage.a.iris.set_mode(Mode::Grandchild).expect("the test's directory is writable");
    eventually("twenty probes and ten checks", || {
        asked(&stage) >= probes + 20 && stage.a.checks() >= checks + 10
    });
    let running = stage.a.commands_running();
    assert!(running <= AT_A_GLANCE, "{running} processes are left of twenty probes");
    let after = stage.balancer.server("a");
    assert!(after.is_up(), "{after:?}");
    assert_eq!(after.falls(), before.falls());
    assert_eq!(stage.a.status()["evidence"]["outcome"], "primary");
    // The mode stays: only the daemon ends the grandchildren.
    stage.a.hurry_to_the_end();
    leaves_no_process(&stage);
}

/// A primary whose command goes wrong as `mode` says goes down, says why, and comes back when it answers.
fn fails_closed(mode: Mode, outcome: &str) {
    let mut stage = Stage::start();
    let (a, b) = (stage.balancer.server("a"), stage.balancer.server("b"));
    let epoch = stage.a.status()["epoch"].take();
    let clients = stage.clients();
    clients.wait_for("a");

    stage.a.iris.set_mode(mode).expect("the test's directory is writable");
    let fallen = stage.balancer.wait_until_down("a");
    assert_eq!(fallen.check_status(), "L7RSP", "the daemon answers, without SUCCESS");
    clients.wait_for(NO_MEMBER);
    let status = stage.a.status();
    assert_eq!(status["evidence"]["outcome"], outcome, "{status}");
    let running = stage.a.commands_running();
    assert!(running <= AT_A_GLANCE, "{running} processes at once");

    stage.a.iris.set_mode(Mode::Answer).expect("the test's directory is writable");
    stage.balancer.wait_until_up("a");
    clients.wait_for("a");
    assert_eq!(stage.a.status()["epoch"], epoch, "silence is no promotion");
    assert_eq!(clients.story(), ["a", NO_MEMBER, "a"]);
    assert_eq!(falls(&stage.balancer), (a.falls() + 1, b.falls()), "the backup was never up");

    stage.a.iris.set_mode(mode).expect("the test's directory is writable");
    eventually("a probe fails", || stage.a.status()["evidence"]["outcome"] == outcome);
    stage.a.hurry_to_the_end();
    leaves_no_process(&stage);
}

fn falls(balancer: &Balancer) -> (u64, u64) {
    (balancer.server("a").falls(), balancer.server("b").falls())
}

/// The mode is unchanged: a command that hangs would hang for ever.
fn leaves_no_process(stage: &Stage) {
    eventually("the daemon's commands end with it", || stage.a.commands_running() == 0);
}
