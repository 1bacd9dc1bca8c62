//! Classic load balancers: the plan's laws over random pools, and the calls as they go over the wire.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::steering::Value;
use crate::provider::aws::Identity;
use crate::provider::aws::region::Region;
use crate::provider::aws::wire::{Endpoint, Reply, Request, assert_golden};
use crate::steer::pool::Pool;
use crate::steer::pool::PoolTarget;
use crate::steer::testing::{Serving, at, lead};
use crate::steer::{Class, Progress, Target as _};

const ME: &str = "i-0aaaaaaaaaaaaaaaa";
const PEER: &str = "i-0bbbbbbbbbbbbbbbb";
const STRANGER: &str = "i-0ccccccccccccccccc";

const REGISTERING: &str = "Instance registration is still in progress.";
const LEAVING: &str = "Instance deregistration currently in progress.";
const FAILED: &str =
    "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.";
const ELSEWHERE: &str =
    "Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to.";

fn table() -> Table {
    Table {
        load_balancer: "iris".into(),
        region: Value::Is(Region::named("eu-west-1")),
        pool: Pool::PrimaryOnly,
        instance_id: Value::Auto,
        owned_instances: vec![ME.into(), PEER.into()],
        healthy_within: Duration::from_mins(5),
    }
}

async fn target(table: &Table, endpoint: &Endpoint) -> PoolTarget<ClassicElb> {
    let identity =
        Identity { instance_id: ME.into(), address: "10.0.1.12".into(), region: "eu-central-1".into() };
    let sdk = endpoint.point(crate::provider::aws::sdk_config("eu-west-1").await);
    PoolTarget::new(ClassicElb::new(table, identity.into(), &sdk))
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
    Call { load_balancer: "iris".into(), as_primary: true, change: Move::Add(ME.into()) }
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

    target.apply(serving.allows(&register())).await.expect("it is accepted");
    assert_golden("classic-elb-register-instances", &endpoint.take()[0].golden());

    let plan = target.plan(&lead(1), &observed, at(0));
    let [deregister] = plan.steps.as_slice() else { panic!("one step in {plan:?}") };
    target.apply(serving.allows(deregister)).await.expect("it is accepted");
    assert_golden("classic-elb-deregister-instances", &endpoint.take()[0].golden());
}

#[tokio::test]
async fn each_attempt_at_a_write_needs_a_proof_of_its_own() {
    let endpoint = Endpoint::start(|_| Reply::query_error(503, "ServiceUnavailable", "later")).await;
    let mut target = target(&table(), &endpoint).await;
    let error = target.apply(Serving::in_epoch(1).allows(&register())).await.expect_err("it is refused");
    assert_eq!(error.class, Class::Retry);
    assert_eq!(endpoint.take().len(), 1);
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_before_the_first_write() {
    let hour = jiff::SignedDuration::from_hours(1);
    let endpoint = Endpoint::ahead(hour, "SignatureDoesNotMatch", usual).await;
    let mut target = target(&table(), &endpoint).await;
    target.observe().await.expect("the SDK corrects it");
    endpoint.take();
    target.apply(Serving::in_epoch(1).allows(&register())).await.expect("the time is known");
    assert_eq!(endpoint.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_never_answers_is_given_up_in_time() {
    let endpoint = Endpoint::start(|_| Reply::Silence).await;
    let mut target = target(&table(), &endpoint).await;
    let deadline = crate::provider::aws::OPERATION_TIMEOUT + Duration::from_millis(100);
    let read = tokio::time::timeout(deadline, target.observe()).await.expect("reads have a deadline");
    assert_eq!(read.expect_err("no answer").class, Class::Retry);
}

#[tokio::test]
async fn a_missing_load_balancer_is_reported() {
    let endpoint =
        Endpoint::start(|_| Reply::query_error(400, "LoadBalancerNotFound", "no such thing")).await;
    let error = target(&table(), &endpoint).await.observe().await.expect_err("it is refused");
    assert_eq!((error.action, error.class), (DESCRIBE, Class::Stop));
}

#[tokio::test]
async fn an_answer_without_states_is_no_empty_pool() {
    let endpoint = Endpoint::start(|_| Reply::ok("<DescribeInstanceHealthResponse/>")).await;
    let error = target(&table(), &endpoint).await.observe().await.expect_err("it is incomplete");
    assert_eq!(error.class, Class::Retry);
}

// === the plan ===

type Instances = BTreeMap<&'static str, (&'static str, &'static str)>;

fn observed(instances: &Instances) -> Observed {
    let described = instances.iter().map(|(instance, (state, description))| Described {
        instance: (*instance).into(),
        state: (*state).into(),
        description: (*description).into(),
    });
    Observed { me: ME.into(), instances: described.collect() }
}

fn turn(instances: &mut Instances, memory: &mut Memory<String>, read: u64) -> Plan<Call> {
    let (table, observed) = (table(), observed(instances));
    memory.note(&lead(1), &plan::view(&table, &observed), read, at(read));
    let planned = plan::plan(&table, memory, &lead(1), &observed, at(read));
    for call in &planned.steps {
        match &call.change {
            Move::Add(me) => {
                assert_eq!(me, ME);
                instances.insert(ME, ("OutOfService", REGISTERING));
            }
            Move::Remove(removed) => {
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
