//! A record of Route 53 that follows: adopted, handed over and back, through the faults of the service, and
//! against another tool that writes it.

use std::time::Duration;

use mirrorvip::simulation::cloud::{Effect, Fault, Service, Settings, SimulatedCloud};
use serde_json::Value;

use crate::steering::zone::{self, LIST, RECORD, Zone};
use crate::support::cloud::fast_cloud;
use crate::support::stage::{Peers, Stage, eventually};

const CHANGE: &str = "ChangeResourceRecordSets";

fn on(action: &str, effect: Effect) -> Fault {
    Fault::new(effect).on(Service::Route53).action(action)
}

/// Fails over back and forth, each time through other faults.
fn through(shifts: &[Vec<Fault>]) {
    let stage = Stage::of_record(Peers::None);
    stage.promote_fully("a");
    for (faults, to) in shifts.iter().zip(["b", "a"].into_iter().cycle()) {
        stage.break_for(to, faults);
        stage.fail_over_fully(to);
        eventually("every fault to strike", || stage.cloud.faults_left() == 0);
        stage.until_follows(to);
    }
}

#[test]
fn a_record_without_an_ownership_record_is_adopted_and_then_handed_over_and_back() {
    let stage = Stage::of_record(Peers::Asked);
    assert_eq!(stage.record(), ["10.0.9.9"], "no backup touches it");
    stage.promote_fully("a");
    let said = stage.daemon("a").log_text();
    assert!(said.contains("adopted a record without an ownership record"), "{said}");
    stage.assert_owner("a", 1);

    stage.fail_over_fully("b");
    stage.assert_owner("b", 2);
    assert!(!stage.daemon("b").log_text().contains("adopted"), "it has an ownership record");

    stage.fail_over_fully("a");
    stage.assert_owner("a", 3);
    // Record and ownership record, three times: nothing was written twice.
    assert_eq!(stage.moves().len(), 6, "{:#?}", stage.moves());
}

#[test]
fn a_record_that_is_not_there_is_created() {
    let cloud = fast_cloud();
    let zone = cloud.create_zone("example.internal");
    let table = zone::table(&zone);
    let stage = Stage::started(cloud, Zone(zone), &["a", "b"], Peers::None, &table);
    assert!(stage.record().is_empty(), "no backup creates it");
    stage.promote_fully("b");
    stage.fail_over_fully("a");
}

#[test]
fn a_daemon_that_restarts_on_the_primary_writes_nothing() {
    let mut stage = Stage::of_record(Peers::None);
    stage.promote_fully("a");
    let before = stage.moves().len();
    stage.restart("a");
    stage.until_follows("a");
    stage.restart_without_memory("a");
    stage.until_follows("a");
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
fn the_loser_of_a_swap_reads_again_and_then_wins() {
    let stage = Stage::of_record(Peers::None);
    stage.promote_fully("a");
    stage.break_for("b", &[on(CHANGE, Effect::Delay(Duration::from_secs(1))).times(1)]);
    stage.fail_over("b");
    eventually("the swap to be under way", || stage.cloud.faults_left() == 0);
    // An administrator is quicker: what the swap deletes is not there any more.
    stage.write_record("10.0.9.8");
    stage.until_follows("b");
    let refused = stage.calls_of("b", CHANGE).into_iter().filter(|call| call.error.is_some());
    let errors: Vec<_> = refused.filter_map(|call| call.error).collect();
    assert_eq!(errors, ["InvalidChangeBatch"], "the swap was lost as a whole, and once");
    let log = stage.daemon("b").log_text();
    assert!(log.contains("another writer changed the object"), "{log}");
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
    let stage = Stage::of_record_with(&["a", "b"], cloud, Peers::None, "");
    stage.promote("a");
    stage.until_target("a", "waiting");
    let served =
        || stage.cloud.resolve(&stage.objects.0, RECORD, "A").map(|record| record.values).unwrap_or_default();
    assert_eq!(served(), ["10.0.9.9"]);
    stage.until_follows("a");
    assert_eq!(served(), [stage.address("a")]);
    assert!(!stage.calls_of("a", "GetChange").is_empty());
    assert!(stage.daemon("a").log_text().contains("the change has reached every name server"));
}

#[test]
fn an_administrators_change_is_reverted() {
    let stage = Stage::of_record(Peers::None);
    stage.promote_fully("a");
    stage.write_record("10.0.9.8");
    eventually("the repair", || stage.target("a")["drift_repaired"] == 1);
    stage.until_follows("a");
}

#[test]
fn another_drift_interval_is_taken_up_and_costs_neither_verdict_nor_epoch() {
    let mut stage = Stage::of_record(Peers::None);
    stage.promote_fully("a");
    stage.reload("a", "drift_interval = \"5s\"", "drift_interval = \"5m\"");
    let identity = |stage: &Stage<Zone>| {
        let status = stage.status("a");
        let target = &status["steering"][0];
        let transitions = status["transitions"].as_array().expect("a list").len();
        [&status["state"], &status["epoch"], &status["authority"], &target["since"], &target["ladder"]]
            .map(Clone::clone)
            .into_iter()
            .chain([transitions.into()])
            .collect::<Vec<_>>()
    };
    let (before, moves, reads) = (identity(&stage), stage.moves().len(), stage.calls_of("a", LIST).len());
    stage.reload("a", "drift_interval = \"5m\"", "drift_interval = \"5s\"");
    // In five minutes there would be one.
    eventually("two reads", || stage.calls_of("a", LIST).len() >= reads + 2);
    stage.reload("a", "drift_interval = \"5s\"", "drift_interval = \"4m\"");
    assert_eq!(identity(&stage), before);
    assert_eq!((stage.moves().len(), stage.page("a")), (moves, 200));
    stage.assert_clean();
}

#[test]
fn expired_credentials_are_reported_with_the_fix_and_block_until_renewed() {
    let stage = Stage::of_record(Peers::None);
    stage.promote_fully("a");
    stage.break_for("b", &[Fault::new(Effect::ExpiredCredentials).on(Service::Route53)]);
    stage.fail_over("b");
    let target = stage.until_target("b", "failing");
    let why = target["reason"].as_str().expect("a reason");
    assert!(why.contains("ExpiredToken") && why.contains("Renew the credentials"), "{why}");
    let error = &target["last_error"];
    assert_eq!((&error["class"], &error["code"]), (&"retry".into(), &"ExpiredToken".into()), "{target:#}");
    let is_warning = |line: &Value| {
        line["message"] == "a steering call failed; retrying"
            && line["help"].as_str().is_some_and(|help| help.starts_with("Renew the credentials"))
    };
    eventually("the warning", || stage.daemon("b").log().iter().any(is_warning));
    assert_eq!(stage.page("b"), 200, "the page needs no cloud");
    assert!(stage.record_leads_to("a"), "nothing is withdrawn");
    stage.cloud.clear_faults();
    stage.until_follows("b");
    let log = stage.daemon("b").log();
    assert!(log.iter().any(|line| line["message"] == "steering calls work again"));
}

#[test]
fn an_upsert_follows_too_and_leaves_no_ownership_record() {
    let stage = Stage::of_record_with(&["a", "b"], fast_cloud(), Peers::Asked, "write = \"upsert\"\n");
    stage.promote_fully("a");
    let faults = [
        on(CHANGE, Effect::PriorRequestNotComplete).times(2),
        on(CHANGE, Effect::HangAfter).times(1),
        on(CHANGE, Effect::Throttle).times(1),
    ];
    stage.break_for("b", &faults);
    stage.fail_over_fully("b");
    stage.cloud.clear_faults();
    stage.fail_over_fully("a");
    assert_eq!(stage.ownership(), "");
}
