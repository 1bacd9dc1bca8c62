//! Classic load balancers: the plan's laws over random pools, and the calls as they go over the wire.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::aws::wire::{Endpoint, Reply, Request, assert_golden};
use crate::config::steering::Pool;
use crate::steer::testing::{Serving, at, lead};
use crate::steer::{Progress, Target as _};

const ME: &str = "i-0aaaaaaaaaaaaaaaa";
const PEER: &str = "i-0bbbbbbbbbbbbbbbb";
const STRANGER: &str = "i-0ccccccccccccccccc";

const REGISTERING: &str = "Instance registration is still in progress.";
const LEAVING: &str = "Instance deregistration currently in progress.";
const FAILED: &str =
    "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.";
const ELSEWHERE: &str =
    "Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to.";

fn table() -> steering::ClassicElb {
    steering::ClassicElb {
        load_balancer: "iris".into(),
        region: Value::Is("eu-west-1".into()),
        pool: Pool::PrimaryOnly,
        instance_id: Value::Auto,
        owned_instances: vec![ME.into(), PEER.into()],
        healthy_within: Duration::from_mins(5),
    }
}

async fn target(table: &steering::ClassicElb, endpoint: &Endpoint) -> ClassicElb {
    let identity =
        Identity { instance_id: ME.into(), address: "10.0.1.12".into(), region: "eu-central-1".into() };
    ClassicElb::new(table, Some(identity), &endpoint.point(crate::aws::sdk_config("us-east-1").await))
}

fn usual(request: &Request) -> Reply {
    let action = request.parameter("Action").unwrap_or_default();
    if action != DESCRIBE {
        return Reply::ok(format!("<{action}Response><{action}Result/></{action}Response>"));
    }
    let states = [(PEER, "OutOfService", FAILED), (ME, "InService", "N/A"), (STRANGER, "InService", "N/A")];
    let members = states.map(|(instance, state, description)| {
        format!(
            "<member><Description>{description}</Description><InstanceId>{instance}</InstanceId>\
             <State>{state}</State><ReasonCode>N/A</ReasonCode></member>"
        )
    });
    Reply::ok(format!(
        "<DescribeInstanceHealthResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/\">\
         <DescribeInstanceHealthResult><InstanceStates>{}</InstanceStates></DescribeInstanceHealthResult>\
         </DescribeInstanceHealthResponse>",
        members.concat()
    ))
}

fn register() -> Call {
    Call::Register { load_balancer: "iris".into(), me: ME.into(), as_primary: true }
}

// === the wire ===

#[tokio::test]
async fn calls_go_over_the_wire_as_they_should() {
    let endpoint = Endpoint::start(usual).await;
    let mut target = target(&table(), &endpoint).await;
    let serving = Serving::in_epoch(1);

    let observed = target.observe().await.expect("it answers");
    assert_golden("classic-elb-describe-instance-health", &endpoint.take()[0].golden());
    assert_eq!(observed.me, ME);
    let seen: Vec<_> = observed.instances.iter().map(|i| (i.instance.as_str(), i.state.as_str())).collect();
    assert_eq!(seen, [(ME, "InService"), (PEER, "OutOfService"), (STRANGER, "InService")]);

    target.apply(&register(), serving.proof()).await.expect("it is accepted");
    assert_golden("classic-elb-register-instances", &endpoint.take()[0].golden());

    let plan = target.plan(&lead(1), &observed, at(0));
    let [deregister] = plan.steps.as_slice() else { panic!("one step in {plan:?}") };
    target.apply(deregister, serving.proof()).await.expect("it is accepted");
    assert_golden("classic-elb-deregister-instances", &endpoint.take()[0].golden());
}

#[tokio::test]
async fn auto_means_the_instances_own_region() {
    let endpoint = Endpoint::start(usual).await;
    let table = steering::ClassicElb { region: Value::Auto, ..table() };
    target(&table, &endpoint).await.observe().await.expect("it answers");
    let authorization = endpoint.take()[0].header("authorization").expect("it is signed").to_owned();
    assert!(authorization.contains("/eu-central-1/elasticloadbalancing/"), "{authorization}");
}

#[tokio::test]
async fn each_attempt_at_a_write_needs_a_proof_of_its_own() {
    let endpoint = Endpoint::start(|_| Reply::query_error(503, "ServiceUnavailable", "later")).await;
    let mut target = target(&table(), &endpoint).await;
    let error = target.apply(&register(), Serving::in_epoch(1).proof()).await.expect_err("it is refused");
    assert_eq!(error.class, Class::Retry);
    assert_eq!(endpoint.take().len(), 1);
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_before_the_first_write() {
    let hour = jiff::SignedDuration::from_hours(1);
    let endpoint = Endpoint::ahead(hour, "SignatureDoesNotMatch", usual).await;
    let mut target = target(&table(), &endpoint).await;
    target.observe().await.expect("the SDK mends it");
    endpoint.take();
    target.apply(&register(), Serving::in_epoch(1).proof()).await.expect("the time is known");
    assert_eq!(endpoint.take().len(), 1);
}

#[tokio::test]
async fn nothing_that_moves_traffic_is_sent_without_write_authorization() {
    let endpoint = Endpoint::start(usual).await;
    let mut target = target(&table(), &endpoint).await;
    let error = target.apply(&register(), Proof::AnyRole).await.expect_err("it moves traffic");
    assert_eq!(error.class, Class::Stop);
    assert_eq!(endpoint.take().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_never_answers_is_given_up_in_time() {
    let endpoint = Endpoint::start(|_| Reply::Silence).await;
    let mut target = target(&table(), &endpoint).await;
    let deadline = crate::aws::OPERATION_TIMEOUT + Duration::from_millis(100);
    let read = tokio::time::timeout(deadline, target.observe()).await.expect("reads have a deadline");
    assert_eq!(read.expect_err("nobody answers").class, Class::Retry);
}

#[tokio::test]
async fn a_load_balancer_that_does_not_exist_is_told() {
    let endpoint =
        Endpoint::start(|_| Reply::query_error(400, "LoadBalancerNotFound", "no such thing")).await;
    let error = target(&table(), &endpoint).await.observe().await.expect_err("it is refused");
    assert_eq!((error.action, error.class), (DESCRIBE, Class::Stop));
}

#[tokio::test]
async fn an_answer_without_states_is_no_empty_pool() {
    let endpoint = Endpoint::start(|_| Reply::ok("<DescribeInstanceHealthResponse/>")).await;
    let error = target(&table(), &endpoint).await.observe().await.expect_err("nothing was told");
    assert_eq!(error.class, Class::Retry);
}

// === the plan ===

type Instances = BTreeMap<&'static str, (&'static str, &'static str)>;

fn settings() -> Settings {
    let rules = Rules { pool: Pool::PrimaryOnly, healthy_within: Duration::from_mins(5) };
    Settings { load_balancer: "iris".into(), rules, owned: vec![ME.into(), PEER.into()] }
}

fn observed(instances: &Instances) -> Observed {
    let described = instances.iter().map(|(instance, (state, description))| Described {
        instance: (*instance).into(),
        state: (*state).into(),
        description: (*description).into(),
    });
    Observed { me: ME.into(), instances: described.collect() }
}

fn turn(instances: &mut Instances, memory: &mut Memory<String>, read: u64) -> Plan<Call> {
    let (settings, observed) = (settings(), observed(instances));
    memory.note(&lead(1), &plan::view(&settings, &observed), read, at(read));
    let planned = plan::plan(&settings, memory, &lead(1), &observed, at(read));
    for call in &planned.steps {
        match call {
            Call::Register { me, .. } => {
                assert_eq!(me, ME);
                instances.insert(ME, ("OutOfService", REGISTERING));
            }
            Call::Deregister { instances: removed, .. } => {
                assert_eq!(removed, &[PEER], "owned, and not itself");
                assert!(instances.get(ME).is_some_and(|(_, why)| *why != LEAVING), "added before removed");
                instances.insert(PEER, ("InService", LEAVING));
            }
        }
    }
    planned
}

proptest! {
    #[test]
    fn a_primary_ends_as_the_only_member(mut instances in prop::collection::btree_map(
        prop::sample::select(vec![ME, PEER, STRANGER]),
        prop::sample::select(vec![
            ("InService", "N/A"), ("InService", LEAVING), ("OutOfService", REGISTERING),
            ("OutOfService", FAILED), ("Unknown", "A transient error occurred. Please try again later."),
        ]),
        0..4,
    )) {
        let stranger = instances.get(STRANGER).copied();
        let mut memory = Memory::default();
        for read in 0..4 {
            turn(&mut instances, &mut memory, read);
            instances.retain(|instance, (_, why)| *instance == STRANGER || *why != LEAVING);
            instances.entry(ME).and_modify(|own| *own = ("InService", "N/A"));
        }
        prop_assert_eq!(instances.get(ME), Some(&("InService", "N/A")));
        prop_assert_eq!(instances.get(PEER), None);
        prop_assert_eq!(instances.get(STRANGER).copied(), stranger);
        let done = turn(&mut instances, &mut memory, 4);
        prop_assert_eq!(done, Plan { steps: vec![], then: Progress::Fulfilled });
    }
}

#[test]
fn an_instance_in_a_zone_without_traffic_is_the_operators_business() {
    let mut instances = Instances::from([(ME, ("OutOfService", ELSEWHERE)), (PEER, ("InService", "N/A"))]);
    let planned = turn(&mut instances, &mut Memory::default(), 0);
    assert_eq!(planned.steps, []);
    assert!(matches!(planned.then, Progress::Blocked { .. }), "{planned:?}");
}

#[test]
fn a_step_is_displayed_as_the_call() {
    assert_eq!(
        register().to_string(),
        format!("RegisterInstancesWithLoadBalancer LoadBalancerName=iris Instances=[{{InstanceId={ME}}}]")
    );
}
