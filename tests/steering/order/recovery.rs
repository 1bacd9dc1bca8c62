//! What ends a doubt by itself: evidence, without a restart and without an operator.

use mirrorvip::simulation::cloud::{Effect, Fault, Service, Target};

use crate::support::relay::Way;
use crate::support::stage::{Peers, Stage, eventually};

#[test]
fn primary_that_lost_its_state_serves_and_steers_beside_backups() {
    let mut stage = Stage::unstarted(&["a", "b", "c"], Peers::Asked);
    stage.start_all();
    stage.promote_fully("a");
    stage.stop("a");
    stage.lose_state("a");
    // The record carries its name with a number that it does not know, and leads elsewhere.
    stage.write_ownership("a", 50);
    stage.write_record("10.0.9.9");
    stage.start("a");
    stage.until_ruling("a", &["clear"]);
    assert_eq!(stage.page("a"), 200);
    stage.until_leads_to("a");
    stage.until_fulfilled("a");
    stage.assert_clean();

    // The others know its term, so the next promotion has a higher one.
    stage.demote("a");
    stage.promote_fully("b");
    stage.until_fulfilled("b");
    let term = stage.status("b")["term"].as_u64().expect("a number");
    assert!(term > 50, "{term}");
    stage.assert_clean();
}

#[test]
fn supersession_ends_when_the_later_member_is_a_backup() {
    let stage = Stage::of_everything(Peers::Asked);
    stage.promote_fully("a");
    // Promoted by mistake.
    stage.promote_fully("b");
    stage.until_superseded("a");
    stage.demote("b");
    stage.decide(Some("a"));
    stage.until_serves("a");
    stage.assert_clean();
}

#[test]
fn promotion_beside_a_dead_predecessor_and_a_slow_first_read_takes_the_record() {
    let mut stage = Stage::of_everything(Peers::Asked);
    // The backup learns nothing of the promotion, neither from its peer nor from the record.
    stage.set_ways_of("a", Way::Refused);
    let unread =
        stage.cloud.fault(Fault::new(Effect::ServerError(500)).by("b").action("ListResourceRecordSets"));
    stage.promote_fully("a");
    stage.kill("a");
    stage.cloud.clear_fault(unread);
    let slow = Fault::new(Effect::Delay(std::time::Duration::from_millis(2_200)));
    stage.cloud.fault(slow.on(Service::Route53).action("ListResourceRecordSets").by("b").times(1));
    stage.promote_fully("b");
    stage.until_fulfilled("b");
    stage.assert_clean();
}

#[test]
fn registration_by_another_tool_stops_no_other_object() {
    let mut stage = Stage::of_everything(Peers::Asked);
    stage.promote_fully("a");
    stage.until_fulfilled("a");
    stage.stop("b");
    stage.cloud.register(&stage.objects.group, Target { id: stage.address("b"), port: 1972 });
    stage.write_record("10.0.9.9");
    stage.until_considered("a");
    eventually("the record to be repaired", || stage.record_leads_to("a"));
    stage.until_ruling("a", &["clear"]);
    assert_eq!(stage.page("a"), 200);
    assert!(stage.route_leads_to("a"));
    // As soon as the other member answers, the pool is repaired, too.
    stage.start("b");
    stage.until_at_rest("b");
    stage.until_leads_to("a");
    stage.until_fulfilled("a");
    stage.assert_clean();
}

#[test]
fn nonsense_term_in_the_record_is_overwritten_beside_backups() {
    let stage = Stage::of_everything(Peers::Asked);
    stage.write_ownership("x", u64::MAX);
    stage.promote_fully("a");
    stage.until_fulfilled("a");
    stage.until_alarm("a", &["record-term"]);
    stage.assert_owner("a", 1);
    stage.assert_clean();
}
