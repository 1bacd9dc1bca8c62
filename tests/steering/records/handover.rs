//! A record of Route 53 that follows: adopted, handed over and back, through the faults of the service, and
//! against somebody else who writes it, too.

use std::time::Duration;

use mirrorvip::simulation::cloud::{Effect, Fault, Service, Settings, SimulatedCloud};
use serde_json::Value;

use crate::records::stage::{
    DRIFT_BOUND, MARK, Peers, RECORD, Stage, eventually_within, fast_cloud, record_table, zone_with_record,
};
use crate::support::eventually;

const CHANGE: &str = "ChangeResourceRecordSets";
const LIST: &str = "ListResourceRecordSets";

fn on(action: &str, effect: Effect) -> Fault {
    Fault::new(effect).on(Service::Route53).action(action)
}

fn stage(peers: Peers) -> (Stage, String) {
    let cloud = fast_cloud();
    let zone = zone_with_record(&cloud);
    let table = record_table(&zone);
    (Stage::new(cloud, peers, &table), zone)
}

/// Fails over back and forth, each time through other faults.
fn through(shifts: &[Vec<Fault>]) {
    let (stage, zone) = stage(Peers::Unknown);
    stage.elect("a");
    stage.record_follows(&zone, "a");
    for (faults, to) in shifts.iter().zip(["b", "a"].into_iter().cycle()) {
        stage.break_for(to, faults);
        stage.fail_over(to);
        stage.record_follows(&zone, to);
        eventually("every fault to strike", || (stage.cloud.faults_left() == 0).then_some(()));
        stage.record_follows(&zone, to);
    }
}

#[test]
fn a_record_without_a_mark_is_adopted_and_then_handed_over_and_back() {
    let (stage, zone) = stage(Peers::Known);
    assert_eq!(stage.record(&zone), ["10.0.9.9"], "no backup touches it");
    stage.elect("a");
    stage.record_follows(&zone, "a");
    let said = stage.daemon("a").log_text();
    assert!(said.contains("adopted a record without an ownership record"), "{said}");
    assert!(stage.mark(&zone).contains("owner=member-a term=1 "), "{}", stage.mark(&zone));

    stage.fail_over("b");
    stage.record_follows(&zone, "b");
    assert!(stage.mark(&zone).contains("owner=member-b term=2 "), "{}", stage.mark(&zone));
    assert!(!stage.daemon("b").log_text().contains("adopted"), "it bore a mark");

    stage.fail_over("a");
    stage.record_follows(&zone, "a");
    assert!(stage.mark(&zone).contains("owner=member-a term=3 "), "{}", stage.mark(&zone));
    // Record and mark, three times: nothing was written twice.
    assert_eq!(stage.moves().len(), 6, "{:#?}", stage.moves());
}

#[test]
fn a_record_that_is_not_there_is_created() {
    let cloud = fast_cloud();
    let zone = cloud.create_zone("example.internal");
    let table = record_table(&zone);
    let stage = Stage::new(cloud, Peers::Unknown, &table);
    assert!(stage.record(&zone).is_empty(), "no backup creates it");
    stage.elect("b");
    stage.record_follows(&zone, "b");
    stage.fail_over("a");
    stage.record_follows(&zone, "a");
}

#[test]
fn a_daemon_that_restarts_on_the_primary_writes_nothing() {
    let (mut stage, zone) = stage(Peers::Unknown);
    stage.elect("a");
    stage.record_follows(&zone, "a");
    let before = stage.moves().len();
    stage.restart("a");
    stage.record_follows(&zone, "a");
    stage.restart_without_memory("a");
    stage.record_follows(&zone, "a");
    assert_eq!(stage.moves().len(), before);
}

#[test]
fn refusals_of_the_service_do_not_stop_it() {
    through(&[
        vec![on(CHANGE, Effect::Throttle).times(3)],
        vec![on(CHANGE, Effect::PriorRequestNotComplete).times(3)],
        vec![on(CHANGE, Effect::ServerError(500)).times(1), on(CHANGE, Effect::ServerError(502)).times(1)],
        vec![on(LIST, Effect::Throttle).times(3), on(CHANGE, Effect::Throttle).times(1)],
        vec![on("GetChange", Effect::AccessDenied).times(1)],
    ]);
}

#[test]
fn answers_that_never_come_do_not_stop_it() {
    through(&[
        vec![on(CHANGE, Effect::Hang).times(1)],
        vec![on(CHANGE, Effect::HangAfter).times(1)],
        vec![on(CHANGE, Effect::Reset).times(1), on(LIST, Effect::Reset).times(1)],
        vec![on(CHANGE, Effect::CutOff).times(1), on(LIST, Effect::DeadKeepAlive).times(1)],
    ]);
}

#[test]
fn reads_that_hang_do_not_stop_it() {
    through(&[
        vec![on(LIST, Effect::Hang).times(1)],
        vec![on(LIST, Effect::CutOff).times(1), on("GetChange", Effect::Hang).times(1)],
    ]);
}

#[test]
fn who_loses_a_swap_looks_again_and_then_wins() {
    let (stage, zone) = stage(Peers::Unknown);
    stage.elect("a");
    stage.record_follows(&zone, "a");
    stage.break_for("b", &[on(CHANGE, Effect::Delay(Duration::from_secs(1))).times(1)]);
    stage.fail_over("b");
    eventually("the swap to be under way", || (stage.cloud.faults_left() == 0).then_some(()));
    // An administrator is quicker: what the swap deletes is not there any more.
    stage.cloud.create_record(&zone, RECORD, "A", 60, &["10.0.9.8"]);
    stage.record_follows(&zone, "b");
    let refused = stage.calls_of("b", CHANGE).into_iter().filter(|call| call.error.is_some());
    let errors: Vec<_> = refused.filter_map(|call| call.error).collect();
    assert_eq!(errors, ["InvalidChangeBatch"], "the swap was lost as a whole, and once");
    let log = stage.daemon("b").log_text();
    assert!(log.contains("somebody else changed the object meanwhile"), "{log}");
}

#[test]
fn it_is_fulfilled_when_resolvers_see_it_and_not_before() {
    let settings = Settings {
        second: Duration::from_millis(100),
        insync: Duration::from_secs(40),
        processing: Duration::from_secs(5),
        ..Settings::default()
    };
    let cloud = SimulatedCloud::start(settings).expect("loopback ports are free");
    let zone = zone_with_record(&cloud);
    let table = record_table(&zone);
    let stage = Stage::new(cloud, Peers::Unknown, &table);
    stage.elect("a");
    stage.until_target("a", "waiting");
    let served = || stage.cloud.resolve(&zone, RECORD, "A").map(|record| record.values).unwrap_or_default();
    assert_eq!(served(), ["10.0.9.9"]);
    stage.record_follows(&zone, "a");
    assert_eq!(served(), [stage.address("a").as_str()]);
    assert!(!stage.calls_of("a", "GetChange").is_empty());
    assert!(stage.daemon("a").log_text().contains("the change has reached every name server"));
}

#[test]
fn what_an_administrator_changed_is_put_right() {
    let (stage, zone) = stage(Peers::Unknown);
    stage.elect("a");
    stage.record_follows(&zone, "a");
    stage.cloud.create_record(&zone, RECORD, "A", 60, &["10.0.9.8"]);
    eventually_within(DRIFT_BOUND, "the repair", || (stage.target("a")["drift_repaired"] == 1).then_some(()));
    stage.record_follows(&zone, "a");
}

#[test]
fn another_drift_interval_is_taken_up_and_costs_neither_verdict_nor_epoch() {
    let (mut stage, zone) = stage(Peers::Unknown);
    stage.elect("a");
    stage.record_follows(&zone, "a");
    let identity = |stage: &Stage| {
        let status = stage.status("a");
        let target = &status["steering"][0];
        let transitions = status["transitions"].as_array().expect("a list").len();
        [&status["state"], &status["epoch"], &status["authority"], &target["since"], &target["ladder"]]
            .map(Clone::clone)
            .into_iter()
            .chain([transitions.into()])
            .collect::<Vec<_>>()
    };
    let (before, moves, looks) = (identity(&stage), stage.moves().len(), stage.calls_of("a", LIST).len());
    stage.reload("a", "interval = \"200ms\"", "interval = \"200ms\"\ndrift_interval = \"5s\"");
    // In half a minute there would be two at most.
    eventually("four looks", || (stage.calls_of("a", LIST).len() >= looks + 4).then_some(()));
    stage.reload("a", "drift_interval = \"5s\"", "drift_interval = \"5m\"");
    assert_eq!(identity(&stage), before);
    assert_eq!((stage.moves().len(), stage.daemon("a").page()), (moves, 200));
    stage.assert_clean();
}

#[test]
fn credentials_that_expired_are_told_with_the_fix_and_hold_it_up_until_they_are_renewed() {
    let (stage, zone) = stage(Peers::Unknown);
    stage.elect("a");
    stage.record_follows(&zone, "a");
    stage.break_for("b", &[Fault::new(Effect::ExpiredCredentials).on(Service::Route53)]);
    stage.fail_over("b");
    let target = stage.until_target("b", "failing");
    let why = target["reason"].as_str().expect("a reason");
    assert!(why.contains("ExpiredToken") && why.contains("Renew the credentials"), "{why}");
    let error = &target["last_error"];
    assert_eq!((&error["class"], &error["code"]), (&"retry".into(), &"ExpiredToken".into()), "{target:#}");
    eventually("the warning", || {
        let told = |line: &Value| {
            line["message"] == "a steering call fails and is tried again"
                && line["help"].as_str().is_some_and(|help| help.starts_with("Renew the credentials"))
        };
        stage.daemon("b").log().iter().any(told).then_some(())
    });
    assert_eq!(stage.daemon("b").page(), 200, "the page needs no cloud");
    assert_eq!(stage.record(&zone), [stage.address("a").as_str()], "nothing is withdrawn");
    stage.cloud.clear_faults();
    stage.record_follows(&zone, "b");
    stage
        .daemon("b")
        .log()
        .iter()
        .find(|line| line["message"] == "steering calls work again")
        .expect("the end");
}

#[test]
fn an_upsert_follows_too_and_leaves_no_mark() {
    let cloud = fast_cloud();
    let zone = zone_with_record(&cloud);
    let table = record_table(&zone) + "write = \"upsert\"\n";
    let stage = Stage::new(cloud, Peers::Known, &table);
    stage.elect("a");
    stage.record_follows(&zone, "a");
    let faults = [
        on(CHANGE, Effect::PriorRequestNotComplete).times(2),
        on(CHANGE, Effect::HangAfter).times(1),
        on(CHANGE, Effect::Throttle).times(1),
    ];
    stage.break_for("b", &faults);
    stage.fail_over("b");
    stage.record_follows(&zone, "b");
    stage.cloud.clear_faults();
    stage.fail_over("a");
    stage.record_follows(&zone, "a");
    assert_eq!(stage.cloud.record(&zone, MARK, "TXT"), None);
}
