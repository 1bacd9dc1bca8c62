//! The overlay address: its route in two tables follows, through faults, and is never taken back.

use std::time::Duration;

use mirrorvip::simulation::cloud::{Effect, Fault, Service};

use crate::support::cloud::fast_cloud;
use crate::support::stage::{Peers, Stage, eventually};

const OVERLAY: &str = "10.99.0.1/32";
const READ: &str = "DescribeRouteTables";

/// The tables: one has a route already, the other none.
type Tables = [String; 2];

fn stage(peers: Peers) -> Stage<Tables> {
    stage_with(peers, "")
}

/// The same with further tables before those.
fn stage_with(peers: Peers, others: &str) -> Stage<Tables> {
    let cloud = fast_cloud();
    let tables = [cloud.create_route_table(), cloud.create_route_table()];
    cloud.create_route(&tables[0], OVERLAY, "c");
    let [first, second] = &tables;
    let table = format!(
        "[[mirror.route]]\nroute_tables = [{others}\"{first}\", \"{second}\"]\ndestination = \"{OVERLAY}\"\n"
    );
    Stage::started(cloud, tables, &["a", "b"], peers, &table)
}

impl Stage<Tables> {
    fn routes_lead_to(&self, name: &str) -> bool {
        let interface = Some(self.host(name).network_interface);
        self.objects.iter().all(|table| self.cloud.route(table, OVERLAY) == interface)
    }

    fn until_routes_lead_to(&self, name: &str) {
        eventually(&format!("both routes to {name}"), || self.routes_lead_to(name));
    }

    fn until_routes_follow(&self, name: &str) {
        self.until_routes_lead_to(name);
        self.until_led(name);
        assert!(self.routes_lead_to(name));
        self.assert_clean();
    }
}

#[test]
fn routes_of_both_tables_follow_through_faults() {
    let stage = stage(Peers::None);
    assert_eq!(stage.cloud.mutations(), [], "no backup touches them");
    stage.promote("a");
    stage.until_routes_follow("a");
    let on = |action, effect| Fault::new(effect).on(Service::Ec2).action(action);
    let shifts = [
        vec![on("ReplaceRoute", Effect::Throttle).times(3)],
        vec![on("ReplaceRoute", Effect::ServerError(503)).times(1), on(READ, Effect::Throttle).times(2)],
        vec![on("ReplaceRoute", Effect::HangAfter).times(1)],
        vec![on("ReplaceRoute", Effect::Hang).times(1), on(READ, Effect::Reset).times(1)],
    ];
    for (faults, to) in shifts.iter().zip(["b", "a"].into_iter().cycle()) {
        stage.break_for(to, faults);
        stage.fail_over(to);
        stage.until_routes_follow(to);
        assert_eq!(stage.cloud.faults_left(), 0, "every fault struck");
    }
}

#[test]
fn one_table_that_refuses_does_not_hold_up_for_ever() {
    let stage = stage(Peers::Asked);
    stage.promote("a");
    stage.until_routes_follow("a");
    // The second call is lost: one table leads to the new primary, the other to the old one, for a moment.
    let slow = Fault::new(Effect::Reset).on(Service::Ec2).action("ReplaceRoute").times(2);
    stage.break_for("b", &[slow]);
    stage.fail_over("b");
    stage.until_routes_follow("b");
    stage.fail_over("a");
    stage.until_routes_follow("a");
}

#[test]
fn a_table_that_is_gone_or_refuses_holds_up_no_other() {
    let gone = "rtb-0fedcba9876543210";
    let stage = stage_with(Peers::Asked, &format!("\"{gone}\", "));
    stage.promote("a");
    stage.until_routes_lead_to("a");
    let target = stage.until_target("a", "impossible");
    assert!(target["reason"].as_str().is_some_and(|why| why.contains(gone)), "{target:#}");

    // The first of the others refuses, too.
    stage
        .break_for("b", &[Fault::new(Effect::AccessDenied).on(Service::Ec2).action("ReplaceRoute").times(1)]);
    stage.fail_over("b");
    stage.until_routes_lead_to("b");
    let writes = stage.calls_of("b", "ReplaceRoute");
    let errors: Vec<_> = writes.iter().map(|call| call.error.as_deref()).collect();
    assert_eq!(errors, [Some("UnauthorizedOperation"), None, None], "the second was made at once");
    stage.assert_clean();
}

#[test]
fn a_read_from_before_the_write_does_not_make_it_again() {
    let stage = stage(Peers::None);
    stage.cloud.lag(Duration::from_secs(2));
    // The other member does not know yet that the second route was created.
    for (name, refused) in [("a", 0), ("b", 1), ("a", 0)] {
        let before = stage.cloud.calls().len();
        stage.fail_over(name);
        stage.until_routes_follow(name);
        let mut writes = stage.cloud.calls().split_off(before);
        writes.retain(|call| ["CreateRoute", "ReplaceRoute"].contains(&call.action.as_str()));
        let errors = writes.iter().filter(|call| call.error.is_some()).count();
        assert_eq!(writes.len() - errors, 2, "one for each table: {writes:#?}");
        assert!(errors <= refused, "{writes:#?}");
    }
}

#[test]
fn a_route_that_vanished_since_the_last_read_is_created_at_once() {
    let mut stage = stage(Peers::None);
    // The first write of a promotion rests on the last drift check, which saw a route to replace.
    stage.reload("a", "drift_interval = \"5s\"", "drift_interval = \"5m\"");
    stage.until_target("a", "fulfilled");
    stage.cloud.delete_route(&stage.objects[0], OVERLAY);
    stage.promote("a");
    stage.until_routes_follow("a");
    let refused = stage.calls_of("a", "ReplaceRoute");
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].error.as_deref(), Some("InvalidParameterValue"));
    let error = stage.target("a")["last_error"].clone();
    assert_eq!(error["class"], "observe", "{error:#}");
}

#[test]
fn a_black_hole_is_replaced_unless_it_points_to_this_member() {
    let stage = stage(Peers::None);
    stage.cloud.detach("c");
    stage.promote("a");
    stage.until_routes_follow("a");
    stage.cloud.detach("b");
    stage.fail_over("b");
    let target = stage.until_target("b", "impossible");
    let why = target["reason"].as_str().expect("a reason");
    assert!(why.contains("which is not attached to a running instance"), "{why}");
    stage.fail_over("a");
    stage.until_routes_follow("a");
}

#[test]
fn an_old_primary_never_takes_routes_back() {
    for peers in [Peers::None, Peers::Asked] {
        let mut stage = stage(peers);
        stage.promote("a");
        stage.until_routes_follow("a");
        stage.freeze("a");
        stage.promote("b");
        stage.until_routes_follow("b");
        stage.thaw("a");
        // A route carries no term: where no peer is named either, a member that lost its state counts as a new one.
        let restarts =
            if peers == Peers::Asked { &[None, Some(true), Some(false)][..] } else { &[None, Some(true)] };
        for memory in restarts.iter().copied() {
            match memory {
                None => {}
                Some(true) => stage.restart("a"),
                Some(false) => stage.restart_without_memory("a"),
            }
            stage.until_ruling("a", &["superseded", "unsure", "holding"]);
            stage.until_read("a", READ);
            assert!(stage.routes_lead_to("b"), "{peers:?}, {memory:?}");
            stage.assert_clean();
        }
        stage.fail_over("b");
        stage.fail_over("a");
        stage.until_routes_follow("a");
    }
}
