//! The metric: when it is due, and the call as it goes over the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;
use crate::config::steering::Value;
use crate::provider::aws::Identity;
use crate::provider::aws::region::Region;
use crate::provider::aws::wire::{Endpoint, Reply, Request, assert_golden};
use crate::steer::testing::{Serving, at, lead};
use crate::steer::{Class, Target as _};

const INTERVAL: Duration = Duration::from_secs(10);

fn table() -> Table {
    Table {
        namespace: "Mirrors/IRIS".into(),
        metric: "Primary".into(),
        member: Value::Auto,
        region: Value::Is(Region::named("eu-west-1")),
        interval: INTERVAL,
    }
}

fn identity() -> Identity {
    Identity {
        instance_id: "i-0123456789abcdef0".into(),
        address: "10.0.1.12".into(),
        region: "eu-central-1".into(),
    }
}

/// The metric of `table`.
async fn target(table: &Table, endpoint: &Endpoint) -> CloudWatch {
    CloudWatch::new(
        table,
        "PROD",
        identity().into(),
        &endpoint.point(crate::provider::aws::sdk_config("eu-west-1").await),
    )
}

fn accepts(request: &Request) -> Reply {
    assert_eq!(request.parameter("Action"), Some("PutMetricData"));
    Reply::ok("<PutMetricDataResponse><ResponseMetadata/></PutMetricDataResponse>")
}

fn hold() -> Intent {
    Intent::Hold { reason: "the last evidence is too old".into() }
}

/// One turn of a loop: the values that were planned and accepted.
async fn turn(target: &mut CloudWatch, intent: &Intent, seconds: u64) -> Vec<bool> {
    let observed = target.observe().await.expect("nothing is asked for");
    let plan = target.plan(intent, &observed, at(seconds));
    assert_eq!(plan.then, Progress::Fulfilled);
    for step in &plan.steps {
        target.apply(Serving::in_epoch(1).allows(step)).await.expect("it is accepted");
    }
    plan.steps.iter().map(|step| step.leads).collect()
}

#[tokio::test]
async fn the_verdict_goes_over_the_wire_as_it_should() {
    let endpoint = Endpoint::start(accepts).await;
    let mut target = target(&table(), &endpoint).await;
    assert_eq!(turn(&mut target, &lead(1), 0).await, [true]);
    assert_eq!(turn(&mut target, &Intent::Follow, 0).await, [false]);
    let sent = endpoint.take();
    assert_eq!(sent.len(), 2);
    assert_golden("cloudwatch-put-metric-data", &sent[0].golden());
    assert_eq!(sent[0].parameter("MetricData.member.1.Value"), Some("1"));
    assert_eq!(sent[1].parameter("MetricData.member.1.Value"), Some("0"));
}

#[tokio::test]
async fn a_value_is_due_when_it_differs_and_before_the_interval_has_passed() {
    let endpoint = Endpoint::start(accepts).await;
    let mut target = target(&table(), &endpoint).await;
    assert_eq!(target.pace(), Some(INTERVAL));
    let mut values = Vec::new();
    for (seconds, intent) in [
        (0, Intent::Follow), // the first
        (1, hold()),         // the same value
        (2, lead(1)),        // another
        (3, hold()),         // another, and at once
        (7, hold()),
        (8, hold()), // half the interval has passed
        (18, Intent::Follow),
        (19, lead(2)),
        (20, lead(3)), // another epoch, the same value
    ] {
        values.push(turn(&mut target, &intent, seconds).await);
    }
    let due: [&[bool]; 9] = [&[false], &[], &[true], &[false], &[], &[false], &[false], &[true], &[]];
    assert_eq!(values, due);
}

#[tokio::test]
async fn what_was_not_accepted_stays_due_and_is_attempted_once_a_turn() {
    let refuses = Arc::new(AtomicBool::new(false));
    let answers = {
        let refuses = Arc::clone(&refuses);
        move |request: &Request| {
            if refuses.load(Ordering::SeqCst) {
                Reply::query_error(503, "ServiceUnavailable", "later")
            } else {
                accepts(request)
            }
        }
    };
    let endpoint = Endpoint::start(answers).await;
    let mut target = target(&table(), &endpoint).await;
    assert_eq!(turn(&mut target, &Intent::Follow, 0).await, [false]);

    refuses.store(true, Ordering::SeqCst);
    let observed = target.observe().await.expect("nothing is asked for");
    let plan = target.plan(&lead(1), &observed, at(1));
    let error = target.apply(Serving::in_epoch(1).allows(&plan.steps[0])).await.expect_err("it is refused");
    assert_eq!((error.action, error.class), ("PutMetricData", Class::Retry));
    assert_eq!(endpoint.take().len(), 2, "the value of the next attempt is the verdict of its own moment");

    // The answer may have been lost on the way back: 0 was accepted before, and must be sent again.
    refuses.store(false, Ordering::SeqCst);
    assert_eq!(turn(&mut target, &Intent::Follow, 2).await, [false]);
    assert!(turn(&mut target, &Intent::Follow, 2).await.is_empty());
}

#[test]
fn the_call_is_shown_with_all_that_it_carries() {
    let publish = Publish {
        namespace: "mirrorvip".into(),
        metric: "Primary".into(),
        mirror: "PROD".into(),
        member: "i-1".into(),
        leads: true,
        at: at(0),
    };
    assert!(!publish.moves_traffic());
    assert_eq!(
        publish.to_string(),
        "PutMetricData Namespace=mirrorvip MetricData=[{MetricName=Primary, Dimensions=[{Mirror=PROD}, \
         {Member=i-1}], Value=1, StorageResolution=60}]"
    );
}

proptest! {
    /// With a turn at every drift check, however they fall, no gap is longer than half the interval and one
    /// pause between turns; and 1 is never planned except by the member that leads.
    #[test]
    fn no_gap_reads_as_silence(pauses in proptest::collection::vec(1..=10_u64, 1..60), leads in any::<u64>()) {
        let sdk = SdkConfig::builder().build();
        let target = CloudWatch::new(&table(), "PROD", identity().into(), &sdk);
        let (mut now, mut accepted): (u64, Option<Accepted>) = (0, None);
        for (turn, pause) in pauses.into_iter().enumerate() {
            let intent = if leads >> (turn % 64) & 1 == 1 { lead(1) } else { hold() };
            let before = accepted;
            let observed = Observed { member: "i-1".into(), accepted };
            let plan = target.plan(&intent, &observed, at(now));
            for step in &plan.steps {
                prop_assert_eq!(step.leads, matches!(intent, Intent::Lead { .. }));
                accepted = Some(Accepted { leads: step.leads, at: step.at });
            }
            let newest = accepted.expect("the first turn publishes");
            prop_assert_eq!(newest.leads, matches!(intent, Intent::Lead { .. }));
            prop_assert!(newest.at.age_at(at(now)) < INTERVAL / 2);
            let fulfilled = target.plan(&intent, &Observed { member: "i-1".into(), accepted }, at(now));
            prop_assert!(fulfilled.steps.is_empty());
            prop_assert!(plan.steps.len() == usize::from(accepted != before));
            now += pause;
        }
    }
}
