//! The verdict as a metric: 1 from the primary, 0 from the other, over and over.

use mirrorvip::simulation::cloud::{Effect, Fault, Service};

use crate::support::cloud::fast_cloud;
use crate::support::stage::{Peers, Stage, eventually};

const TABLE: &str = "[[mirror.cloudwatch]]\ninterval = \"5s\"\n";

/// Waits until what both put last is this.
fn until_values(stage: &Stage, expected: [f64; 2]) {
    eventually(&format!("the metrics {expected:?}"), || {
        ["a", "b"].map(|name| value(stage, name)) == expected.map(Some)
    });
    stage.assert_clean();
}

fn value(stage: &Stage, name: &str) -> Option<f64> {
    stage.cloud.metrics().into_iter().rfind(|datum| datum.member == name).map(|datum| datum.value)
}

#[test]
fn the_metric_is_one_from_the_primary_and_zero_from_the_other() {
    let stage = Stage::started(fast_cloud(), (), &["a", "b"], Peers::None, TABLE);
    until_values(&stage, [0.0, 0.0]);
    stage.promote("a");
    until_values(&stage, [1.0, 0.0]);
    stage.break_for("b", &[Fault::new(Effect::Throttle).on(Service::CloudWatch).times(2)]);
    stage.fail_over("b");
    until_values(&stage, [0.0, 1.0]);
    assert_eq!(stage.cloud.faults_left(), 0);

    for datum in stage.cloud.metrics() {
        assert_eq!((datum.namespace.as_str(), datum.metric.as_str()), ("mirrorvip", "Primary"));
        let own = stage.host(&datum.member).instance_id;
        assert_eq!(datum.dimensions.get("Member"), Some(&own), "each publishes for itself");
        assert_eq!(datum.dimensions.get("Mirror").map(String::as_str), Some("PROD"));
    }

    // It is published again although nothing changes: silence is an alarm.
    let count = stage.cloud.metrics().len();
    eventually("both to repeat themselves", || stage.cloud.metrics().len() >= count + 4);
    until_values(&stage, [0.0, 1.0]);
}

#[test]
fn a_superseded_member_publishes_zero() {
    let stage = Stage::started(fast_cloud(), (), &["a", "b"], Peers::Asked, TABLE);
    stage.promote("a");
    until_values(&stage, [1.0, 0.0]);
    // No ownership record carries the term: the other member learns it from its peer.
    stage.until_term("b", 1);
    stage.freeze("a");
    stage.promote("b");
    until_values(&stage, [1.0, 1.0]);
    stage.thaw("a");
    stage.until_ruling("a", &["superseded"]);
    until_values(&stage, [0.0, 1.0]);
}
