//! Failovers while the cloud fails.

use std::time::Duration;

use mirrorvip::simulation::cloud::{Effect, Fault, Service};

use super::balancer::Pool;
use crate::support::eventually_within;
use crate::support::stage::{Peers, Stage, eventually};

const REGISTER: &str = "RegisterTargets";
const DEREGISTER: &str = "DeregisterTargets";
const DESCRIBE: &str = "DescribeTargetHealth";

/// How soon a write that a promotion waits for arrives after the end of a fault: three seconds, and as much again for a
/// machine that is busy.
const NOTICED_WITHIN: Duration = Duration::from_secs(6);

fn on(effect: Effect, action: &str) -> Fault {
    Fault::new(effect).on(Service::Elbv2).action(action).by("b")
}

/// A failover of a pool with the primary alone from `a` to `b` under `faults`; those that still are there when `b` has met
/// them are switched off.
fn fails_over_under(faults: &[Fault]) {
    let stage = Stage::at_rest(Pool::PrimaryOnly, Peers::Asked, &["a", "b"]);
    for fault in faults {
        stage.cloud.fault(fault.clone());
    }
    stage.fail_over("b");
    eventually("b to meet the faults", || {
        stage.target("b")["attempts"].as_u64() > Some(1) || stage.leads_to("b")
    });
    stage.cloud.clear_faults();
    stage.until_leads_to("b");
    assert!(stage.leads_to("b"));
    stage.assert_safe();
}

#[test]
fn a_write_that_hangs() {
    fails_over_under(&[on(Effect::Hang, REGISTER)]);
}

#[test]
fn a_write_that_is_made_and_never_answered() {
    fails_over_under(&[on(Effect::HangAfter, REGISTER).times(1), on(Effect::HangAfter, DEREGISTER).times(1)]);
}

#[test]
fn connections_that_are_reset() {
    fails_over_under(&[on(Effect::Reset, REGISTER).times(3), on(Effect::Reset, DESCRIBE).times(3)]);
}

#[test]
fn answers_that_are_cut_off() {
    fails_over_under(&[on(Effect::CutOff, REGISTER).times(2), on(Effect::CutOff, DEREGISTER).times(2)]);
}

#[test]
fn connections_that_are_dead_although_alive() {
    fails_over_under(&[Fault::new(Effect::DeadKeepAlive).on(Service::Elbv2).by("b").times(3)]);
}

#[test]
fn a_burst_of_server_errors() {
    let burst = |status| Fault::new(Effect::ServerError(status)).on(Service::Elbv2).by("b").times(4);
    fails_over_under(&[burst(500), burst(503)]);
}

#[test]
fn throttling_of_everything() {
    fails_over_under(&[Fault::new(Effect::Throttle).on(Service::Elbv2).times(30)]);
}

#[test]
fn writes_that_arrive_late() {
    fails_over_under(&[on(Effect::Delay(Duration::from_secs(1)), REGISTER).times(1)]);
}

#[test]
fn rights_that_are_missing_and_then_granted() {
    fails_over_under(&[on(Effect::AccessDenied, REGISTER).times(1)]);
}

#[test]
fn pairs_of_faults() {
    let pairs = [
        [on(Effect::Throttle, REGISTER).times(2), on(Effect::Hang, DEREGISTER).times(1)],
        [on(Effect::CutOff, REGISTER).times(1), on(Effect::ServerError(502), DESCRIBE).times(2)],
        [on(Effect::Reset, REGISTER).times(2), on(Effect::DeadKeepAlive, DESCRIBE).times(2)],
    ];
    for pair in &pairs {
        fails_over_under(pair);
    }
}

/// Every change was sent once, though reads were behind it.
fn changes_once_behind_the_times(pool: Pool, actions: &[&str]) {
    let stage = Stage::at_rest(pool, Peers::Asked, &["a", "b"]);
    stage.cloud.lag(Duration::from_secs(2));
    stage.hand_over("b");
    let made: Vec<_> = stage.mutations_by("b").into_iter().map(|mutation| mutation.action).collect();
    assert_eq!(made, actions);
    stage.assert_safe();
}

#[test]
fn reads_that_are_behind_the_writes() {
    changes_once_behind_the_times(Pool::PrimaryOnly, &[REGISTER, DEREGISTER]);
}

#[test]
fn reads_of_a_classic_load_balancer_that_are_behind_the_writes() {
    let (register, deregister) = ("RegisterInstancesWithLoadBalancer", "DeregisterInstancesFromLoadBalancer");
    changes_once_behind_the_times(Pool::ClassicPrimaryOnly, &[register, deregister]);
}

#[test]
fn an_all_members_pool_needs_no_api_to_fail_over() {
    let stage = Stage::at_rest(Pool::AllMembers, Peers::Asked, &["a", "b"]);
    stage.until_fulfilled("b");
    stage.cloud.fault(Fault::new(Effect::Hang));
    stage.fail_over("b");
    eventually("clients led to b", || stage.leads_to("b"));
    stage.assert_safe();
}

#[test]
fn a_demotion_in_the_middle_cancels_what_was_not_sent() {
    let stage = Stage::at_rest(Pool::PrimaryOnly, Peers::Asked, &["a", "b"]);
    // Carried out long after `b` has stopped being the primary.
    stage.cloud.fault(on(Effect::Delay(Duration::from_secs(4)), REGISTER).times(1));
    stage.fail_over("b");
    eventually("the write to be under way", || stage.cloud.faults_left() == 0);
    stage.fail_over("a");
    eventually("the write to arrive", || stage.mutations_by("b").iter().any(|made| made.action == REGISTER));
    // It was sent by the primary of that moment, and is repaired by the primary of this one.
    eventually("the repair", || stage.registered() == [stage.registration("a")]);
    stage.until_leads_to("a");
    assert!(!stage.mutations_by("b").iter().any(|made| made.action == DEREGISTER));
    stage.assert_safe();
}

/// A promotion does not wait longer because a fault has lasted longer: retries that become ever slower add as much to an
/// outage as it has lasted already.
#[test]
fn a_fault_that_lasts_slows_no_promotion_down() {
    for effect in [Effect::Reset, Effect::ServerError(503)] {
        let stage = Stage::at_rest(Pool::PrimaryOnly, Peers::Asked, &["a", "b"]);
        stage.cloud.fault(Fault::new(effect).on(Service::Elbv2).by("b"));
        stage.fail_over("b");
        eventually("many attempts", || stage.target("b")["attempts"].as_u64() > Some(20));
        stage.cloud.clear_faults();
        eventually_within(NOTICED_WITHIN, &format!("a registration after {effect:?}"), || {
            stage.registered().contains(&stage.registration("b"))
        });
        stage.until_leads_to("b");
        stage.assert_safe();
    }
}
