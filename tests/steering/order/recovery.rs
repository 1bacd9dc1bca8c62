//! What ends a doubt by itself: evidence, without a restart and without an operator.

use mirrorvip::simulation::cloud::{Effect, Fault, Service, Target};

use crate::rig::{
    Peers, RECORD, Rig, address, until_alarm, until_fulfilled, until_ruling, until_state, until_superseded,
};
use crate::support::eventually;
use crate::support::relay::Way;

#[test]
fn primary_that_lost_its_state_serves_and_steers_beside_backups() {
    let rig = Rig::of(&["a", "b", "c"], Peers::Asked);
    let [a, b, c] = rig.start_all();
    rig.promote_fully(0, &a);
    assert!(a.stop().success());
    rig.lose_state(0);
    // The record carries its name with a number that it does not know, and leads elsewhere.
    rig.write_ownership("a", 50);
    rig.cloud.create_record(&rig.zone, RECORD, "A", 5, &["10.0.9.9"]);
    let a = rig.start(0);
    until_ruling(&a, "clear");
    assert_eq!(a.page(), 200);
    rig.until_points_at(0, &a);
    until_fulfilled(&a);
    rig.assert_clean();

    // The others know its term, so the next promotion has a higher one.
    rig.demote(0, &a);
    rig.promote_fully(1, &b);
    until_fulfilled(&b);
    let term = b.status()["mirrors"][0]["term"].as_u64().expect("a number");
    assert!(term > 50, "{term}");
    drop(c);
    rig.assert_clean();
}

#[test]
fn supersession_ends_when_the_later_member_is_a_backup() {
    let rig = Rig::new(Peers::Asked);
    let [a, b] = rig.start_all();
    rig.promote_fully(0, &a);
    // Promoted by mistake.
    rig.promote_fully(1, &b);
    until_superseded(&a);
    rig.demote(1, &b);
    rig.is_primary(0);
    rig.until_serves(0, &a);
    rig.assert_clean();
}

#[test]
fn promotion_beside_a_dead_predecessor_and_a_slow_first_read_takes_the_record() {
    let rig = Rig::new(Peers::Asked);
    let [a, b] = rig.start_all();
    // The backup learns nothing of the promotion, neither from its peer nor from the record.
    rig.set_ways_of(0, Way::Refused);
    let unread =
        rig.cloud.fault(Fault::new(Effect::ServerError(500)).by("b").action("ListResourceRecordSets"));
    rig.promote_fully(0, &a);
    a.crash();
    rig.cloud.clear_fault(unread);
    let slow = Fault::new(Effect::Delay(std::time::Duration::from_millis(2_200)));
    rig.cloud.fault(slow.on(Service::Route53).action("ListResourceRecordSets").by("b").times(1));
    rig.promote_fully(1, &b);
    until_fulfilled(&b);
    rig.assert_clean();
}

#[test]
fn registration_by_another_tool_stops_no_other_object() {
    let rig = Rig::new(Peers::Asked);
    let [a, b] = rig.start_all();
    rig.promote_fully(0, &a);
    until_fulfilled(&a);
    assert!(b.stop().success());
    rig.cloud.register(&rig.group, Target { id: address(1), port: 1972 });
    rig.cloud.create_record(&rig.zone, RECORD, "A", 5, &["10.0.9.9"]);
    rig.until_considered(0, &a);
    eventually("the record to be repaired", || rig.record_points_at(0).then_some(()));
    until_ruling(&a, "clear");
    assert_eq!(a.page(), 200);
    assert!(rig.route_points_at(0));
    // As soon as the other member answers, the pool is repaired, too.
    let b = rig.start(1);
    until_state(&b, "not-primary");
    rig.until_points_at(0, &a);
    until_fulfilled(&a);
    rig.assert_clean();
    drop(b);
}

#[test]
fn nonsense_term_in_the_record_is_overwritten_beside_backups() {
    let rig = Rig::new(Peers::Asked);
    let [a, b] = rig.start_all();
    rig.write_ownership("x", u64::MAX);
    rig.promote_fully(0, &a);
    until_fulfilled(&a);
    until_alarm(&a, &["record-term"]);
    assert!(rig.ownership().contains("owner=a term=1 "), "{}", rig.ownership());
    drop(b);
    rig.assert_clean();
}
