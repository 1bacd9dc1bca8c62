//! Failovers while the cloud fails.

use std::time::Duration;

use mirrorvip::simulation::cloud::{Effect, Fault, Service};

use crate::pools::stage::{BOUND, DRIFT_BOUND, Peers, Pool, Stage, within};

const REGISTER: &str = "RegisterTargets";
const DEREGISTER: &str = "DeregisterTargets";
const DESCRIBE: &str = "DescribeTargetHealth";

/// How soon a write that a promotion waits for arrives after the end of a fault: three seconds, and as much again for a
/// machine that is busy.
const NOTICED_WITHIN: Duration = Duration::from_secs(6);

fn on(effect: Effect, action: &str) -> Fault {
    Fault::new(effect).on(Service::Elbv2).action(action).by("b")
}

/// A failover from `a` to `b` under `faults`; those that still are there when `b` has felt them are switched off.
fn fails_over_under(pool: Pool, faults: &[Fault], bound: Duration) {
    let stage = Stage::at_rest(pool, Peers::Asked, &["a", "b"]);
    for fault in faults {
        stage.cloud.fault(fault.clone());
    }
    stage.hand_over("a", "b");
    within(
        bound,
        || (stage.steering("b")["attempts"].as_u64() > Some(1) || stage.leads_to("b")).then_some(()),
        || format!("the faults are felt; {}", stage.describe()),
    );
    stage.cloud.clear_faults();
    stage.until_led_to("b", bound);
    stage.until_fulfilled("b");
    assert!(stage.leads_to("b"), "{}", stage.describe());
    stage.assert_safe();
}

fn primary_only(faults: &[Fault]) {
    fails_over_under(Pool::PrimaryOnly, faults, BOUND);
}

#[test]
fn a_write_that_hangs() {
    primary_only(&[on(Effect::Hang, REGISTER)]);
}

#[test]
fn a_write_that_is_made_and_never_answered() {
    primary_only(&[on(Effect::HangAfter, REGISTER).times(1), on(Effect::HangAfter, DEREGISTER).times(1)]);
}

#[test]
fn connections_that_are_reset() {
    primary_only(&[on(Effect::Reset, REGISTER).times(3), on(Effect::Reset, DESCRIBE).times(3)]);
}

#[test]
fn answers_that_are_cut_off() {
    primary_only(&[on(Effect::CutOff, REGISTER).times(2), on(Effect::CutOff, DEREGISTER).times(2)]);
}

#[test]
fn connections_that_are_dead_although_alive() {
    primary_only(&[Fault::new(Effect::DeadKeepAlive).on(Service::Elbv2).by("b").times(3)]);
}

#[test]
fn a_burst_of_server_errors() {
    let burst = |status| Fault::new(Effect::ServerError(status)).on(Service::Elbv2).by("b").times(4);
    primary_only(&[burst(500), burst(503)]);
}

#[test]
fn throttling_of_everything() {
    primary_only(&[Fault::new(Effect::Throttle).on(Service::Elbv2).times(30)]);
}

#[test]
fn writes_that_arrive_late() {
    primary_only(&[on(Effect::Delay(Duration::from_secs(1)), REGISTER).times(1)]);
}

#[test]
fn rights_that_are_missing_and_then_granted() {
    fails_over_under(Pool::PrimaryOnly, &[on(Effect::AccessDenied, REGISTER).times(1)], DRIFT_BOUND);
}

#[test]
fn pairs_of_faults() {
    let pairs = [
        [on(Effect::Throttle, REGISTER).times(2), on(Effect::Hang, DEREGISTER).times(1)],
        [on(Effect::CutOff, REGISTER).times(1), on(Effect::ServerError(502), DESCRIBE).times(2)],
        [on(Effect::Reset, REGISTER).times(2), on(Effect::DeadKeepAlive, DESCRIBE).times(2)],
    ];
    for pair in &pairs {
        primary_only(pair);
    }
}

/// Every change was sent once, though reads were behind it.
fn changes_once_behind_the_times(pool: Pool, actions: &[&str]) {
    let stage = Stage::at_rest(pool, Peers::Asked, &["a", "b"]);
    stage.cloud.lag(Duration::from_secs(2));
    stage.hand_over("a", "b");
    stage.until_led_to("b", BOUND);
    stage.until_fulfilled("b");
    let made: Vec<_> = stage.mutations_by("b").into_iter().map(|mutation| mutation.action).collect();
    assert_eq!(made, actions, "{}", stage.describe());
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
    let everything = Fault::new(Effect::Hang);
    let stage = Stage::at_rest(Pool::AllMembers, Peers::Asked, &["a", "b"]);
    stage.until_fulfilled("b");
    stage.cloud.fault(everything);
    stage.hand_over("a", "b");
    stage.until_led_to("b", BOUND);
    stage.assert_safe();
}

#[test]
fn a_demotion_in_the_middle_cancels_what_was_not_sent() {
    let stage = Stage::at_rest(Pool::PrimaryOnly, Peers::Asked, &["a", "b"]);
    // Carried out long after `b` has stopped being the primary.
    let late = on(Effect::Delay(Duration::from_secs(4)), REGISTER).times(1);
    stage.cloud.fault(late);
    stage.hand_over("a", "b");
    within(
        BOUND,
        || (stage.cloud.faults_left() == 0).then_some(()),
        || format!("the write is under way; {}", stage.describe()),
    );
    stage.hand_over("b", "a");
    within(
        BOUND,
        || stage.mutations_by("b").into_iter().find(|mutation| mutation.action == REGISTER),
        || format!("the write arrives; {}", stage.describe()),
    );
    // It was sent by the primary of that moment, and is repaired by the primary of this one.
    within(
        DRIFT_BOUND,
        || (stage.registered() == [stage.target("a")]).then_some(()),
        || format!("only a is registered; {}", stage.describe()),
    );
    stage.until_led_to("a", BOUND);
    let removals = stage.mutations_by("b").into_iter().filter(|mutation| mutation.action == DEREGISTER);
    assert_eq!(removals.count(), 0, "{}", stage.describe());
    stage.assert_safe();
}

/// A promotion that waits does not wait the longer, the longer a fault has lasted: who tries ever more slowly adds as
/// much to an outage as it has lasted already.
#[test]
fn a_fault_that_lasts_slows_no_promotion_down() {
    for effect in [Effect::Reset, Effect::ServerError(503)] {
        let stage = Stage::at_rest(Pool::PrimaryOnly, Peers::Asked, &["a", "b"]);
        stage.cloud.fault(Fault::new(effect).on(Service::Elbv2).by("b"));
        stage.hand_over("a", "b");
        within(
            BOUND,
            || (stage.steering("b")["attempts"].as_u64() > Some(20)).then_some(()),
            || format!("{effect:?}: it is tried again and again; {}", stage.describe()),
        );
        stage.cloud.clear_faults();
        within(
            NOTICED_WITHIN,
            || stage.registered().contains(&stage.target("b")).then_some(()),
            || format!("{effect:?}: the end is noticed; {}", stage.describe()),
        );
        stage.until_led_to("b", BOUND);
        stage.assert_safe();
    }
}
