//! The three ways to run mirrorvip beside IRIS in containers: clients follow the primary through a failover, a
//! partition and its end, and every silence fails closed.

use crate::images::{build_mirrorvip, make_others};
use crate::node::Member::{First, Second};
use crate::node::Stage;
use crate::support::containers::{Docker, possible};
use crate::support::eventually;

/// A failover, and a page that HAProxy does not reach for a while.
fn tell_the_common_story(stage: &Stage<'_>) {
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
    if !possible() {
        return;
    }
    let docker = Docker::start();
    build_mirrorvip(&docker);
    make_others(&docker);
    let stage = Stage::start(&docker, "gateway.yaml", "mirrorvip");
    tell_the_common_story(&stage);
    // The gateway is asked over the network between them: cut it, and nobody knows the role.
    stage.isolate(Second, "webgateway");
    stage.wait_for_traffic_to(&[]);
    stage.rejoin(Second, "webgateway");
    stage.wait_for_traffic_to(&[Second]);
    // A gateway that hangs does not answer, and does not hold up the page.
    stage.docker("pause", Second, "webgateway");
    stage.wait_for_traffic_to(&[]);
    stage.docker("unpause", Second, "webgateway");
    stage.wait_for_traffic_to(&[Second]);
    stage.wait_until_healthy(First, "mirrorvip");
    stage.wait_until_healthy(Second, "mirrorvip");
}

#[test]
fn inside_the_container_of_iris() {
    if !possible() {
        return;
    }
    let docker = Docker::start();
    build_mirrorvip(&docker);
    make_others(&docker);
    let stage = Stage::start(&docker, "inside.yaml", "iris");
    tell_the_common_story(&stage);
    // A daemon that is killed is started again by the hook's loop.
    let daemon = || stage.process(Second, "iris", "mirrorvip");
    let killed = daemon().expect("it answers HAProxy");
    docker.run(&["exec", &stage.container(Second, "iris"), "kill", "-KILL", &killed]);
    eventually("another daemon", || daemon().filter(|fresh| *fresh != killed));
    stage.wait_for_traffic_to(&[Second]);
    stage.docker("pause", Second, "iris");
    stage.wait_for_traffic_to(&[]);
    stage.docker("unpause", Second, "iris");
    stage.wait_for_traffic_to(&[Second]);
}

#[test]
fn over_a_shared_volume() {
    if !possible() {
        return;
    }
    let docker = Docker::start();
    build_mirrorvip(&docker);
    make_others(&docker);
    let stage = Stage::start(&docker, "publish.yaml", "mirrorvip");
    tell_the_common_story(&stage);
    // The publisher is silent with its container; the last word on the volume ages.
    stage.docker("pause", Second, "iris");
    stage.wait_for_traffic_to(&[]);
    stage.docker("unpause", Second, "iris");
    stage.wait_for_traffic_to(&[Second]);
    // The container of the instance is made anew, and finds the old file there.
    stage.docker("kill", Second, "iris");
    stage.wait_for_traffic_to(&[]);
    stage.docker("start", Second, "iris");
    stage.wait_for_traffic_to(&[Second]);
    stage.wait_until_healthy(First, "mirrorvip");
    stage.wait_until_healthy(Second, "mirrorvip");
}
