//! An earlier primary takes nothing from a later one, and stops serving as soon as it can know.

use std::path::Path;
use std::process::Command;

use mirrorvip::simulation::cloud::{Effect, Fault, Service};

use crate::steering::everything::Everything;
use crate::support::get;
use crate::support::relay::Way;
use crate::support::stage::{Peers, Stage, eventually};

const TWO: [&str; 2] = ["two-serve", "two-primaries"];

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.is_ok_and(|status| status.success()), "{} can be copied", from.display());
}

#[test]
fn isolated_primary_takes_nothing_and_stops_serving_once_it_is_reached() {
    let stage = Stage::of_everything(Peers::Asked);
    stage.promote_fully("a");
    stage.set_ways_of("a", Way::Swallowed);
    let cut = stage.cloud.fault(Fault::new(Effect::Hang).by("a"));
    stage.promote_fully("b");
    stage.until_fulfilled("b");

    // The cloud can be read again, and the peer cannot be asked yet.
    stage.cloud.clear_fault(cut);
    stage.until_ruling("a", &["unsure"]);
    stage.until_considered("a");
    assert!(stage.leads_to("b"));
    assert_eq!([stage.page("a"), stage.page("b")], [200, 200], "neither can know");

    stage.set_ways_of("a", Way::Open);
    stage.until_superseded("a");
    assert_eq!(stage.page("b"), 200);
    stage.until_ruling("b", &["clear"]);
    stage.until_alarm("a", &TWO);
    stage.until_alarm("b", &TWO);
    stage.until_considered("a");
    assert!(stage.leads_to("b"));
    stage.assert_clean();
}

#[test]
fn state_reverted_to_an_earlier_promotion_takes_nothing() {
    let mut stage = Stage::of_everything(Peers::Asked);
    stage.promote_fully("a");
    stage.stop("a");
    let saved = stage.path("a", "saved");
    copy(&stage.path("a", "state"), &saved);
    stage.start("a");
    stage.until_state("a", "primary");
    stage.demote("a");
    stage.promote_fully("b");
    stage.until_fulfilled("b");
    stage.stop("a");

    for way in [Way::Refused, Way::Open] {
        stage.lose_state("a");
        copy(&saved, &stage.path("a", "state"));
        stage.set_ways_of("a", way);
        stage.claim("a");
        stage.start("a");
        stage.until_ruling("a", &[if way == Way::Open { "superseded" } else { "unsure" }]);
        stage.until_considered("a");
        assert!(stage.leads_to("b"), "{way:?}");
        let page = if way == Way::Open { 503 } else { 200 };
        assert_eq!([stage.page("a"), stage.page("b")], [page, 200], "{way:?}");
        stage.until_ruling("b", &["clear"]);
        stage.stop("a");
    }
    stage.assert_clean();
}

#[test]
fn superseded_member_stays_out_when_its_successor_falls_silent() {
    let mut stage = Stage::of_everything(Peers::Asked);
    stage.promote_fully("a");
    stage.promote_fully("b");
    stage.until_superseded("a");

    let stays_out = |stage: &Stage<Everything>| {
        stage.until("a", "the peer to be silent", |mirror| mirror["members"][1]["reachable"] == false);
        stage.until_ruling("a", &["superseded"]);
        stage.until_considered("a");
        assert_eq!(stage.page("a"), 503);
        assert!(stage.is_left_to("b"));
    };
    stage.set_ways_of("a", Way::Refused);
    stays_out(&stage);
    stage.kill("b");
    stage.set_ways_of("a", Way::Open);
    stage.stop("a");
    stage.start("a");
    stage.until_state("a", "superseded");
    stays_out(&stage);
    stage.assert_clean();

    // What ends it is evidence: the other one is back, as the backup.
    stage.rest("b");
    stage.decide(Some("a"));
    stage.start("b");
    stage.until_at_rest("b");
    stage.until_leads_to("a");
    stage.until_page("a", 200);
    stage.assert_clean();
}

/// The true primary could write the pool and the route, but not the record.
#[test]
fn record_that_still_names_an_earlier_primary_authorises_nothing_else() {
    let mut stage = Stage::of_everything(Peers::Asked);
    stage.promote_fully("a");
    stage.until_fulfilled("a");
    stage.stop("a");
    let denied = Fault::new(Effect::AccessDenied).on(Service::Route53).action("ChangeResourceRecordSets");
    stage.cloud.fault(denied.by("b"));
    stage.promote("b");
    eventually("pool and route of b", || stage.pool_leads_to("b") && stage.route_leads_to("b"));

    stage.set_ways_of("a", Way::Refused);
    stage.start("a");
    stage.until_state("a", "primary");
    stage.until_considered("a");
    stage.until_ruling("a", &["unsure"]);
    assert!(stage.pool_leads_to("b") && stage.route_leads_to("b"));
    stage.assert_owner("a", 1);
    stage.assert_clean();
    assert_eq!(get(stage.daemon("b").health[0], "/PROD/peer").map(|answer| answer.status).ok(), Some(200));
}
