//! The overlay address: its route in two tables follows, through faults, and is never taken back.

use std::time::Duration;

use mirrorvip::simulation::cloud::{Effect, Fault, Service};

use crate::records::stage::{Peers, Stage, fast_cloud};
use crate::support::eventually;

const OVERLAY: &str = "10.99.0.1/32";
const LOOK: &str = "DescribeRouteTables";

/// Two tables: one has a route already, the other none.
fn stage(peers: Peers) -> (Stage, [String; 2]) {
    let cloud = fast_cloud();
    let tables = [cloud.create_route_table(), cloud.create_route_table()];
    cloud.create_route(&tables[0], OVERLAY, "c");
    let table = format!(
        "[[mirror.route]]\nroute_tables = [\"{}\", \"{}\"]\ndestination = \"{OVERLAY}\"\n",
        tables[0], tables[1]
    );
    (Stage::new(cloud, peers, &table), tables)
}

fn lead_to(stage: &Stage, tables: &[String; 2], name: &str) -> bool {
    let interface = stage.interface(name);
    tables.iter().all(|table| stage.cloud.route(table, OVERLAY).as_ref() == Some(&interface))
}

fn follow(stage: &Stage, tables: &[String; 2], name: &str) {
    eventually(&format!("both routes to {name}"), || lead_to(stage, tables, name).then_some(()));
    stage.until_led_to(name);
    assert!(lead_to(stage, tables, name));
    stage.assert_clean();
}

#[test]
fn routes_of_both_tables_follow_through_faults() {
    let (stage, tables) = stage(Peers::Unknown);
    assert_eq!(stage.cloud.mutations(), [], "no backup touches them");
    stage.elect("a");
    follow(&stage, &tables, "a");
    let on = |action, effect| Fault::new(effect).on(Service::Ec2).action(action);
    let shifts = [
        vec![on("ReplaceRoute", Effect::Throttle).times(3)],
        vec![on("ReplaceRoute", Effect::ServerError(503)).times(1), on(LOOK, Effect::Throttle).times(2)],
        vec![on("ReplaceRoute", Effect::HangAfter).times(1)],
        vec![on("ReplaceRoute", Effect::Hang).times(1), on(LOOK, Effect::Reset).times(1)],
    ];
    for (faults, to) in shifts.iter().zip(["b", "a"].into_iter().cycle()) {
        stage.break_for(to, faults);
        stage.fail_over(to);
        follow(&stage, &tables, to);
        assert_eq!(stage.cloud.faults_left(), 0, "every fault struck");
    }
}

#[test]
fn one_table_that_refuses_does_not_hold_up_for_ever() {
    let (stage, tables) = stage(Peers::Known);
    stage.elect("a");
    follow(&stage, &tables, "a");
    // The second call is lost: one table leads to the new primary, the other to the old one, for a moment.
    let slow = Fault::new(Effect::Reset).on(Service::Ec2).action("ReplaceRoute").times(2);
    stage.break_for("b", &[slow]);
    stage.fail_over("b");
    follow(&stage, &tables, "b");
    stage.fail_over("a");
    follow(&stage, &tables, "a");
}

#[test]
fn a_table_that_is_gone_or_refuses_holds_up_no_other() {
    let cloud = fast_cloud();
    let tables = [cloud.create_route_table(), cloud.create_route_table()];
    cloud.create_route(&tables[0], OVERLAY, "c");
    let gone = "rtb-0fedcba9876543210";
    let table = format!(
        "[[mirror.route]]\nroute_tables = [\"{gone}\", \"{}\", \"{}\"]\ndestination = \"{OVERLAY}\"\n",
        tables[0], tables[1]
    );
    let stage = Stage::new(cloud, Peers::Known, &table);
    stage.elect("a");
    eventually("both routes to a", || lead_to(&stage, &tables, "a").then_some(()));
    let told = stage.until_target("a", "impossible");
    assert!(told["reason"].as_str().is_some_and(|why| why.contains(gone)), "{told:#}");

    // The first of the others refuses, too.
    stage
        .break_for("b", &[Fault::new(Effect::AccessDenied).on(Service::Ec2).action("ReplaceRoute").times(1)]);
    stage.fail_over("b");
    eventually("both routes to b", || lead_to(&stage, &tables, "b").then_some(()));
    let writes = stage.calls_of("b", "ReplaceRoute");
    let errors: Vec<_> = writes.iter().map(|call| call.error.as_deref()).collect();
    assert_eq!(errors, [Some("UnauthorizedOperation"), None, None], "the second was made at once");
    stage.assert_clean();
}

#[test]
fn a_read_from_before_the_write_does_not_make_it_again() {
    let (stage, tables) = stage(Peers::Unknown);
    stage.cloud.lag(Duration::from_secs(2));
    // The other member does not know yet that somebody made the second route.
    for (name, refused) in [("a", 0), ("b", 1), ("a", 0)] {
        let before = stage.cloud.calls().len();
        stage.fail_over(name);
        follow(&stage, &tables, name);
        let mut writes = stage.cloud.calls().split_off(before);
        writes.retain(|call| ["CreateRoute", "ReplaceRoute"].contains(&call.action.as_str()));
        let errors = writes.iter().filter(|call| call.error.is_some()).count();
        assert_eq!(writes.len() - errors, 2, "one for each table: {writes:#?}");
        assert!(errors <= refused, "{writes:#?}");
    }
}

#[test]
fn a_route_that_went_since_the_last_look_is_made_at_once() {
    let (stage, tables) = stage(Peers::Unknown);
    // The first write of a promotion rests on the last drift check, which saw a route to replace.
    stage.until_target("a", "fulfilled");
    stage.cloud.delete_route(&tables[0], OVERLAY);
    stage.elect("a");
    follow(&stage, &tables, "a");
    let refused = stage.calls_of("a", "ReplaceRoute");
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].error.as_deref(), Some("InvalidParameterValue"));
    let error = stage.target("a")["last_error"].clone();
    assert_eq!(error["class"], "observe", "{error:#}");
}

#[test]
fn a_black_hole_is_replaced_and_one_of_its_own_is_told() {
    let (stage, tables) = stage(Peers::Unknown);
    stage.cloud.detach("c");
    stage.elect("a");
    follow(&stage, &tables, "a");
    stage.cloud.detach("b");
    stage.fail_over("b");
    let told = stage.until_target("b", "impossible");
    let why = told["reason"].as_str().expect("a reason");
    assert!(why.contains("which is not attached to an instance that runs"), "{why}");
    stage.fail_over("a");
    follow(&stage, &tables, "a");
}

#[test]
fn an_old_primary_never_takes_routes_back() {
    for peers in [Peers::Unknown, Peers::Known] {
        let (mut stage, tables) = stage(peers);
        stage.elect("a");
        follow(&stage, &tables, "a");
        stage.freeze("a");
        stage.elect("b");
        follow(&stage, &tables, "b");
        stage.thaw("a");
        // A route carries no term: where no peer is named either, a member that lost its state counts as a new one.
        let restarts =
            if peers == Peers::Known { &[None, Some(true), Some(false)][..] } else { &[None, Some(true)] };
        for memory in restarts.iter().copied() {
            match memory {
                None => {}
                Some(true) => stage.restart("a"),
                Some(false) => stage.restart_without_memory("a"),
            }
            stage.until_ruling("a", &["superseded", "unsure", "holding"]);
            stage.until_looked("a", LOOK);
            assert!(lead_to(&stage, &tables, "b"), "{peers:?}, {memory:?}");
            stage.assert_clean();
        }
        stage.fail_over("b");
        stage.fail_over("a");
        follow(&stage, &tables, "a");
    }
}
