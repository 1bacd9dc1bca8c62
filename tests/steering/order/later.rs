//! An earlier primary takes nothing from a later one, and stops serving as soon as it can know.

use mirrorvip::simulation::cloud::{Effect, Fault, Service};

use crate::rig::{
    Peers, Rig, until, until_alarm, until_fulfilled, until_ruling, until_state, until_superseded,
};
use crate::support::relay::Way;
use crate::support::{eventually, get};

const TWO: [&str; 2] = ["two-serve", "two-primaries"];

#[test]
fn isolated_primary_takes_nothing_and_stops_serving_once_it_is_reached() {
    let rig = Rig::new(Peers::Asked);
    let [a, b] = rig.start_all();
    rig.promote_fully(0, &a);
    rig.set_ways_of(0, Way::Swallowed);
    let cut = rig.cloud.fault(Fault::new(Effect::Hang).by("a"));
    rig.promote_fully(1, &b);
    until_fulfilled(&b);

    // The cloud can be read again, and the peer cannot be asked yet.
    rig.cloud.clear_fault(cut);
    until_ruling(&a, "unsure");
    rig.until_considered(0, &a);
    assert!(rig.points_at(1), "{}", a.log_text());
    assert_eq!([a.page(), b.page()], [200, 200], "neither can know");

    rig.set_ways_of(0, Way::Open);
    until_superseded(&a);
    assert_eq!(b.page(), 200);
    until_ruling(&b, "clear");
    until_alarm(&a, &TWO);
    until_alarm(&b, &TWO);
    rig.until_considered(0, &a);
    assert!(rig.points_at(1));
    rig.assert_clean();
}

#[test]
fn state_reverted_to_an_earlier_promotion_takes_nothing() {
    let rig = Rig::new(Peers::Asked);
    let [a, b] = rig.start_all();
    rig.promote_fully(0, &a);
    assert!(a.stop().success());
    let saved = rig.save_state(0);
    let a = rig.start(0);
    until_state(&a, "primary");
    rig.demote(0, &a);
    rig.promote_fully(1, &b);
    until_fulfilled(&b);
    assert!(a.stop().success());

    for way in [Way::Refused, Way::Open] {
        rig.restore_state(0, &saved);
        rig.set_ways_of(0, way);
        rig.report_role(0, "primary");
        let a = rig.start(0);
        until_ruling(&a, if way == Way::Open { "superseded" } else { "unsure" });
        rig.until_considered(0, &a);
        assert!(rig.points_at(1), "{way:?}: {}", a.log_text());
        let page = if way == Way::Open { 503 } else { 200 };
        assert_eq!([a.page(), b.page()], [page, 200], "{way:?}");
        until_ruling(&b, "clear");
        assert!(a.stop().success());
    }
    rig.assert_clean();
}

#[test]
fn superseded_member_stays_out_when_its_successor_falls_silent() {
    let rig = Rig::new(Peers::Asked);
    let [a, b] = rig.start_all();
    rig.promote_fully(0, &a);
    rig.promote_fully(1, &b);
    until_superseded(&a);

    let stays_out = |a: &crate::support::Daemon| {
        until(a, "the peer to be silent", |mirror| mirror["members"][1]["reachable"] == false);
        until_ruling(a, "superseded");
        rig.until_considered(0, a);
        assert_eq!(a.page(), 503, "{}", a.log_text());
        assert!(rig.is_left_to(1), "{}", a.log_text());
    };
    rig.set_ways_of(0, Way::Refused);
    stays_out(&a);
    b.crash();
    rig.set_ways_of(0, Way::Open);
    assert!(a.stop().success());
    let a = rig.start(0);
    until_state(&a, "superseded");
    stays_out(&a);
    rig.assert_clean();

    // What ends it is evidence: the other one is back, as the backup.
    rig.report_role(1, "backup");
    rig.is_primary(0);
    let b = rig.start(1);
    until_state(&b, "not-primary");
    rig.until_points_at(0, &a);
    a.wait_for_page(200);
    rig.assert_clean();
}

/// The true primary could write the pool and the route, but not the record.
#[test]
fn record_that_still_names_an_earlier_primary_authorises_nothing_else() {
    let rig = Rig::new(Peers::Asked);
    let [a, b] = rig.start_all();
    rig.promote_fully(0, &a);
    until_fulfilled(&a);
    assert!(a.stop().success());
    let denied = Fault::new(Effect::AccessDenied).on(Service::Route53).action("ChangeResourceRecordSets");
    rig.cloud.fault(denied.by("b"));
    rig.promote(1);
    eventually("pool and route of b", || (rig.pool_points_at(1) && rig.route_points_at(1)).then_some(()));

    rig.set_ways_of(0, Way::Refused);
    let a = rig.start(0);
    until_state(&a, "primary");
    rig.until_considered(0, &a);
    until_ruling(&a, "unsure");
    assert!(rig.pool_points_at(1) && rig.route_points_at(1), "{}", a.log_text());
    assert!(rig.ownership().contains("owner=a term=1 "), "{}", rig.ownership());
    rig.assert_clean();
    assert_eq!(get(b.health[0], "/PROD/peer").map(|answer| answer.status).ok(), Some(200));
}
