//! The verdict as a metric: 1 from the primary, 0 from the other, over and over.

use mirrorvip::simulation::cloud::{Effect, Fault, Service};

use crate::records::stage::{Peers, Stage, fast_cloud};
use crate::support::eventually;

const TABLE: &str = "[[mirror.cloudwatch]]\ninterval = \"5s\"\n";

/// Waits until what both put last is this.
fn until_values(stage: &Stage, expected: [f64; 2]) {
    eventually(&format!("the metrics {expected:?}"), || {
        let last = ["a", "b"].map(|name| value(stage, name));
        (last == expected.map(Some)).then_some(())
    });
    stage.assert_clean();
}

fn value(stage: &Stage, name: &str) -> Option<f64> {
    stage.cloud.metrics().into_iter().rfind(|datum| datum.member == name).map(|datum| datum.value)
}

#[test]
fn the_metric_is_one_from_the_primary_and_zero_from_the_other() {
    let stage = Stage::new(fast_cloud(), Peers::Unknown, TABLE);
    until_values(&stage, [0.0, 0.0]);
    stage.elect("a");
    until_values(&stage, [1.0, 0.0]);
    stage.break_for("b", &[Fault::new(Effect::Throttle).on(Service::CloudWatch).times(2)]);
    stage.fail_over("b");
    until_values(&stage, [0.0, 1.0]);
    assert_eq!(stage.cloud.faults_left(), 0);

    for datum in stage.cloud.metrics() {
        assert_eq!((datum.namespace.as_str(), datum.metric.as_str()), ("mirrorvip", "Primary"));
        let settings = stage.cloud.settings();
        let own = settings.members.iter().find(|member| member.name == datum.member).expect("a member");
        assert_eq!(datum.dimensions.get("Member"), Some(&own.instance_id), "each speaks for itself");
        assert_eq!(datum.dimensions.get("Mirror").map(String::as_str), Some("PROD"));
    }

    // It is said again although nothing changes: silence is an alarm.
    let count = stage.cloud.metrics().len();
    eventually("both to repeat themselves", || (stage.cloud.metrics().len() >= count + 4).then_some(()));
    until_values(&stage, [0.0, 1.0]);
}

#[test]
fn who_is_superseded_publishes_zero() {
    let stage = Stage::new(fast_cloud(), Peers::Known, TABLE);
    stage.elect("a");
    until_values(&stage, [1.0, 0.0]);
    // No ownership record carries the term: the other member learns it from its peer.
    eventually("b to know the term", || (stage.status("b")["seen"]["term"] == 1).then_some(()));
    stage.freeze("a");
    stage.elect("b");
    until_values(&stage, [1.0, 1.0]);
    stage.thaw("a");
    stage.until_ruling("a", &["superseded"]);
    until_values(&stage, [0.0, 1.0]);
}
