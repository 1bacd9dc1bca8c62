//! The three ways to run mirrorvip beside IRIS in containers: clients follow the primary through a failover, a
//! partition and its end, and every silence fails closed.

use super::node::Member::{First, Second};
use super::node::Stage;
use crate::support::eventually;

/// A failover, and a page that HAProxy does not reach for a while.
fn survives_what_all_survive(stage: &Stage) {
    stage.wait_for_traffic_to(&[First]);
    stage.promote(Second);
    stage.wait_for_traffic_to(&[Second]);
    stage.partition(Second);
    stage.wait_for_traffic_to(&[]);
    stage.heal(Second);
    stage.wait_for_traffic_to(&[Second]);
}

#[test]
fn beside_the_web_gateway() {
    let Some(stage) = Stage::start("gateway.yaml", "mirrorvip") else { return };
    survives_what_all_survive(&stage);
    // The gateway is asked over the network between them: cut it, and the role is unknown.
    stage.isolate(Second, "webgateway");
    stage.wait_for_traffic_to(&[]);
    stage.rejoin(Second, "webgateway");
    stage.wait_for_traffic_to(&[Second]);
    // A gateway that hangs does not answer, and does not delay the page.
    stage.docker("pause", Second, "webgateway");
    stage.wait_for_traffic_to(&[]);
    stage.docker("unpause", Second, "webgateway");
    stage.wait_for_traffic_to(&[Second]);
    stage.wait_until_healthy(First, "mirrorvip");
    stage.wait_until_healthy(Second, "mirrorvip");
}

#[test]
fn inside_the_container_of_iris() {
    let Some(stage) = Stage::start("inside.yaml", "iris") else { return };
    survives_what_all_survive(&stage);
    // A daemon that is killed is started again by the hook's loop.
    let daemon = || stage.process(Second, "iris", "mirrorvip");
    let killed = daemon().expect("it answers HAProxy");
    stage.docker.run(&["exec", &stage.container(Second, "iris"), "kill", "-KILL", &killed]);
    eventually("another daemon", || daemon().filter(|fresh| *fresh != killed));
    stage.wait_for_traffic_to(&[Second]);
    stage.docker("pause", Second, "iris");
    stage.wait_for_traffic_to(&[]);
    stage.docker("unpause", Second, "iris");
    stage.wait_for_traffic_to(&[Second]);
}

#[test]
fn over_a_shared_volume() {
    let Some(stage) = Stage::start("publish.yaml", "mirrorvip") else { return };
    survives_what_all_survive(&stage);
    // The publisher pauses with its container; the last role on the volume ages.
    stage.docker("pause", Second, "iris");
    stage.wait_for_traffic_to(&[]);
    stage.docker("unpause", Second, "iris");
    stage.wait_for_traffic_to(&[Second]);
    // The container of the instance starts again, and finds the old file there.
    stage.docker("kill", Second, "iris");
    stage.wait_for_traffic_to(&[]);
    stage.docker("start", Second, "iris");
    stage.wait_for_traffic_to(&[Second]);
    stage.wait_until_healthy(First, "mirrorvip");
    stage.wait_until_healthy(Second, "mirrorvip");
}
