//! Target groups: the plan's laws over random groups, and the calls as they go over the wire.

use std::time::Duration;

use super::*;
use crate::config::steering::Value;
use crate::provider::aws::Identity;
use crate::provider::aws::wire::{Endpoint, Reply, Request, assert_golden};
use crate::steer::pool::Pool;
use crate::steer::pool::PoolTarget;
use crate::steer::testing::{Serving, at, lead};
use crate::steer::{Progress, Step as _, Target as _};

mod laws;

const GROUP: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/iris/0123456789abcdef";

fn table() -> Table {
    Table {
        target_group_arn: GROUP.parse().unwrap(),
        pool: Pool::PrimaryOnly,
        target_id: Value::Is("10.0.1.12".into()),
        port: 1972,
        owned_targets: vec!["10.0.1.12".into(), "10.0.2.12".into()],
        healthy_within: Duration::from_mins(5),
    }
}

fn identity() -> Identity {
    Identity {
        instance_id: "i-0123456789abcdef0".into(),
        address: "10.0.1.12".into(),
        region: "us-east-1".into(),
    }
}

/// The target of `table`, pointed at `endpoint`.
async fn target(table: &Table, endpoint: &Endpoint) -> PoolTarget<Elbv2> {
    PoolTarget::new(Elbv2::new(
        table,
        identity().into(),
        &endpoint.point(crate::provider::aws::sdk_config("eu-west-1").await),
    ))
}

fn groups(target_type: &str) -> Reply {
    Reply::ok(format!(
        "<DescribeTargetGroupsResponse><DescribeTargetGroupsResult><TargetGroups><member>\
         <TargetGroupArn>{GROUP}</TargetGroupArn><TargetType>{target_type}</TargetType>\
         </member></TargetGroups></DescribeTargetGroupsResult></DescribeTargetGroupsResponse>"
    ))
}

/// Targets as (id, port, zone, state, reason).
fn health(targets: &[(&str, u16, &str, &str, &str)]) -> Reply {
    let members = targets.iter().map(|(id, port, zone, state, reason)| {
        format!(
            "<member><Target><Id>{id}</Id><Port>{port}</Port><AvailabilityZone>{zone}</AvailabilityZone></Target>\
             <TargetHealth><State>{state}</State><Reason>{reason}</Reason></TargetHealth></member>"
        )
    });
    Reply::ok(format!(
        "<DescribeTargetHealthResponse><DescribeTargetHealthResult><TargetHealthDescriptions>{}\
         </TargetHealthDescriptions></DescribeTargetHealthResult></DescribeTargetHealthResponse>",
        members.collect::<String>()
    ))
}

/// A group of addresses with this member, the other member and a stranger on its port.
fn usual(request: &Request) -> Reply {
    match request.parameter("Action") {
        Some("DescribeTargetGroups") => groups("ip"),
        Some("DescribeTargetHealth") => health(&[
            ("10.0.9.9", 1972, "eu-west-1c", "healthy", ""),
            ("10.0.2.12", 1972, "all", "unhealthy", "Target.ResponseCodeMismatch"),
            ("10.0.1.12", 1972, "eu-west-1a", "healthy", ""),
            ("10.0.1.12", 1973, "eu-west-1a", "draining", "Target.DeregistrationInProgress"),
        ]),
        Some(action @ ("RegisterTargets" | "DeregisterTargets")) => {
            Reply::ok(format!("<{action}Response><{action}Result/></{action}Response>"))
        }
        other => panic!("unexpected action {other:?}"),
    }
}

fn named(id: &str, in_all_zones: bool) -> Named {
    Named { target: Target { id: id.into(), port: 1972 }, in_all_zones }
}

fn register(in_all_zones: bool) -> Call {
    Call::Register { group: GROUP.into(), me: named("10.0.1.12", in_all_zones), as_primary: true }
}

// === the wire ===

#[tokio::test]
async fn reads_match_the_recorded_requests() {
    let endpoint = Endpoint::start(usual).await;
    let mut target = target(&table(), &endpoint).await;
    let observed = target.observe().await.expect("it answers");
    let sent = endpoint.take();
    assert_eq!(sent.len(), 2);
    assert_golden("elbv2-describe-target-groups", &sent[0].golden());
    assert_golden("elbv2-describe-target-health", &sent[1].golden());
    assert_eq!(observed.target_type, TargetType::Ip);
    assert_eq!(observed.me, Target { id: "10.0.1.12".into(), port: 1972 });
    let states: Vec<_> = observed.targets.iter().map(|t| (t.target.to_string(), t.state.word())).collect();
    let states: Vec<_> = states.iter().map(|(target, state)| (target.as_str(), *state)).collect();
    assert_eq!(
        states,
        [
            ("10.0.1.12:1972", "healthy"),
            ("10.0.1.12:1973", "draining"),
            ("10.0.2.12:1972", "unhealthy"),
            ("10.0.9.9:1972", "healthy"),
        ]
    );

    target.observe().await.expect("it answers");
    assert_eq!(endpoint.take().len(), 1, "a group's type is asked for once");
}

#[tokio::test]
async fn writes_match_the_recorded_requests() {
    let endpoint = Endpoint::start(usual).await;
    let mut target = target(&table(), &endpoint).await;
    let observed = target.observe().await.expect("it answers");
    endpoint.take();
    let serving = Serving::in_epoch(1);

    target.apply(serving.allows(&register(false))).await.expect("it is accepted");
    assert_golden("elbv2-register-targets", &endpoint.take()[0].golden());
    target.apply(serving.allows(&register(true))).await.expect("it is accepted");
    assert_golden("elbv2-register-targets-outside-vpc", &endpoint.take()[0].golden());

    target.note(&lead(1), &observed, at(0));
    let plan = target.plan(&lead(1), &observed, at(0));
    assert_eq!(plan.then, Progress::Fulfilled);
    let [deregister] = plan.steps.as_slice() else { panic!("one step in {plan:?}") };
    target.apply(serving.allows(deregister)).await.expect("it is accepted");
    assert_golden("elbv2-deregister-targets", &endpoint.take()[0].golden());
}

#[tokio::test]
async fn writes_use_the_connection_of_the_reads() {
    let endpoint = Endpoint::start(usual).await;
    let mut target = target(&table(), &endpoint).await;
    target.observe().await.expect("it answers");
    target.apply(Serving::in_epoch(1).allows(&register(false))).await.expect("it is accepted");
    target.observe().await.expect("it answers");
    assert_eq!((endpoint.take().len(), endpoint.connections()), (4, 1));
}

#[tokio::test]
async fn a_failed_write_is_sent_once() {
    let endpoint = Endpoint::start(|_| Reply::query_error(503, "ServiceUnavailable", "later")).await;
    let mut target = target(&table(), &endpoint).await;
    let error = target.apply(Serving::in_epoch(1).allows(&register(false))).await.expect_err("it is refused");
    assert_eq!(error.class, Class::Retry);
    assert_eq!(endpoint.take().len(), 1);
}

#[tokio::test]
async fn an_answer_without_a_result_is_not_an_empty_group() {
    let endpoint = Endpoint::start(|request| match request.parameter("Action") {
        Some("DescribeTargetHealth") => Reply::ok("<DescribeTargetHealthResponse/>"),
        _ => usual(request),
    })
    .await;
    let error = target(&table(), &endpoint).await.observe().await.expect_err("it lists no targets");
    assert_eq!(error.class, Class::Retry);
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_before_the_first_write() {
    let hour = jiff::SignedDuration::from_hours(1);
    let endpoint = Endpoint::ahead(hour, "SignatureDoesNotMatch", usual).await;
    let mut target = target(&table(), &endpoint).await;
    target.observe().await.expect("the SDK corrects it");
    endpoint.take();
    target.apply(Serving::in_epoch(1).allows(&register(false))).await.expect("the time is known");
    assert_eq!(endpoint.take().len(), 1);
}

#[tokio::test]
async fn a_member_registers_itself_in_any_role() {
    let endpoint = Endpoint::start(usual).await;
    let mut target = target(&table(), &endpoint).await;
    let register_self =
        Call::Register { group: GROUP.into(), me: named("10.0.1.12", false), as_primary: false };
    assert!(!register_self.moves_traffic() && register(false).moves_traffic());
    target.apply(Serving::in_epoch(1).allows(&register_self)).await.expect("any member may register itself");
    assert_eq!(endpoint.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_endpoint_times_out() {
    let endpoint = Endpoint::start(|_| Reply::Silence).await;
    let mut target = target(&table(), &endpoint).await;
    let serving = Serving::in_epoch(1);
    let begun = tokio::time::Instant::now();
    let deadline = crate::provider::aws::OPERATION_TIMEOUT * 4;
    let read = tokio::time::timeout(deadline, target.observe()).await.expect("reads have a deadline");
    assert_eq!(read.expect_err("nothing answers").class, Class::Retry);
    let write = tokio::time::timeout(deadline, target.apply(serving.allows(&register(false)))).await;
    let write = write.expect("writes have a deadline").expect_err("nothing answers");
    assert_eq!(write.class, Class::Retry);
    assert!(begun.elapsed() <= crate::provider::aws::OPERATION_TIMEOUT * 2 + Duration::from_millis(100));
}

#[tokio::test]
async fn errors_have_a_class() {
    for (status, code, class) in [
        (400, "AccessDenied", Class::Stop),
        (400, "TargetGroupNotFound", Class::Stop),
        (400, "Throttling", Class::Throttled),
        (503, "ServiceUnavailable", Class::Retry),
    ] {
        let answer = Reply::query_error(status, code, "words of the service");
        let endpoint = Endpoint::start(move |_| answer.clone()).await;
        let mut target = target(&table(), &endpoint).await;
        let error = target.observe().await.expect_err("it is refused");
        assert_eq!((error.action, error.class), ("DescribeTargetGroups", class), "{code}");
        assert_eq!(error.code.as_deref(), Some(code));
    }
}

// === what a member learns from answers ===

#[tokio::test]
async fn auto_follows_the_target_type() {
    for (target_type, expected) in [("instance", "i-0123456789abcdef0"), ("ip", "10.0.1.12")] {
        let endpoint = Endpoint::start(move |request| match request.parameter("Action") {
            Some("DescribeTargetGroups") => groups(target_type),
            _ => health(&[]),
        })
        .await;
        let table = Table { target_id: Value::Auto, ..table() };
        let observed = target(&table, &endpoint).await.observe().await.expect("it answers");
        assert_eq!(observed.me.id, expected);
    }
}

#[tokio::test]
async fn an_id_of_the_wrong_kind_is_reported_before_a_failover() {
    for (target_type, words) in
        [("instance", "takes instance ids"), ("lambda", "groups of type instance or ip")]
    {
        let endpoint = Endpoint::start(move |_| groups(target_type)).await;
        let error = target(&table(), &endpoint).await.observe().await.expect_err("an address does not fit");
        assert_eq!(error.class, Class::Stop);
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_sets_the_zone() {
    const OUTSIDE: [&str; 2] = [
        "You must specify a valid Availability Zone or select 'all' for all enabled Availability zones, since \
         the IP address '10.0.1.12' is outside the VPC",
        "The Availability Zone is required for IP address '10.0.1.12' because it is not in the VPC",
    ];
    const INSIDE: &str = "The IP address '10.0.1.12' is within the VPC, and cannot have its Availability Zone \
                          overridden to 'all' from 'eu-west-1b'";
    let serving = Serving::in_epoch(1);
    for outside in OUTSIDE {
        let endpoint = Endpoint::start(move |request| match request.parameter("Action") {
            Some("RegisterTargets") if request.body.contains("AvailabilityZone") => {
                Reply::query_error(400, "ValidationError", INSIDE)
            }
            Some("RegisterTargets") => Reply::query_error(400, "ValidationError", outside),
            Some("DescribeTargetHealth") => health(&[]),
            _ => usual(request),
        })
        .await;
        let mut target = target(&table(), &endpoint).await;
        for all in [false, true, false] {
            let observed = target.observe().await.expect("it answers");
            let plan = target.plan(&lead(1), &observed, at(0));
            assert_eq!(plan.steps, [register(all)]);
            let error = target.apply(serving.allows(&plan.steps[0])).await.expect_err("it is refused");
            assert_eq!(error.class, Class::Observe, "{error}");
        }
    }
    assert_eq!(wants_all_zones("The Availability Zone is closed"), None);
}

#[tokio::test]
async fn a_draining_address_is_retried() {
    let endpoint = Endpoint::start(|request| match request.parameter("Action") {
        Some("RegisterTargets") => Reply::query_error(400, "InvalidTarget", "it is draining"),
        Some("DescribeTargetHealth") => health(&[("10.0.1.12", 1972, "all", "draining", "")]),
        _ => usual(request),
    })
    .await;
    let mut target = target(&table(), &endpoint).await;
    let observed = target.observe().await.expect("it answers");
    let plan = target.plan(&lead(1), &observed, at(0));
    assert_eq!(plan.steps, [register(true)], "it is absent, and it was outside the VPC");
    let error = target.apply(Serving::in_epoch(1).allows(&plan.steps[0])).await.expect_err("it is refused");
    assert_eq!(error.class, Class::Retry);
}

// === display ===

#[test]
fn a_step_is_displayed_as_its_call() {
    assert_eq!(
        register(false).to_string(),
        format!("RegisterTargets TargetGroupArn={GROUP} Targets=[{{Id=10.0.1.12, Port=1972}}]")
    );
    let targets = vec![named("10.0.2.12", false), named("fd00::1", true)];
    assert_eq!(
        Call::Deregister { group: GROUP.into(), targets }.to_string(),
        format!(
            "DeregisterTargets TargetGroupArn={GROUP} Targets=[{{Id=10.0.2.12, Port=1972}}, \
             {{Id=fd00::1, Port=1972, AvailabilityZone=all}}]"
        )
    );
}
