//! The overlay route: the plan's laws over random tables, and the calls as they go over the wire.

use super::*;
use crate::provider::aws::region::Region;
use crate::provider::aws::wire::{Endpoint, Reply, Request, assert_golden};
use crate::steer::testing::{Serving, at, lead};
use crate::steer::{Progress, Target as _};

mod laws;

const ME: &str = "eni-0123456789abcdef0";
const PEER: &str = "eni-0fedcba9876543210";

fn me() -> NextHop {
    NextHop::NetworkInterface(ME.into())
}

fn overlay() -> IpNet {
    "10.99.0.1/32".parse().unwrap()
}

fn table() -> Table {
    Table {
        route_tables: vec!["rtb-1".into(), "rtb-2".into()],
        destination: overlay(),
        target: Value::Is(me()),
        region: Value::Is(Region::named("eu-west-1")),
    }
}

async fn target(table: &Table, endpoint: &Endpoint) -> Route {
    Route::new(table, &endpoint.point(crate::provider::aws::sdk_config("eu-west-1").await))
}

/// An answer with these tables, each with its routes' inner XML.
fn tables(tables: &[(&str, &[&str])]) -> Reply {
    let mut items = String::new();
    for (id, routes) in tables {
        let routes: Vec<_> = routes.iter().map(|route| ["<item>", route, "</item>"].concat()).collect();
        let routes = routes.concat();
        let table =
            format!("<routeTableId>{id}</routeTableId><vpcId>vpc-1</vpcId><routeSet>{routes}</routeSet>");
        items += &["<item>", &table, "</item>"].concat();
    }
    Reply::ok(format!(
        "<DescribeRouteTablesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>1</requestId>\
         <routeTableSet>{items}</routeTableSet></DescribeRouteTablesResponse>"
    ))
}

const LOCAL: &str = "<destinationCidrBlock>10.0.0.0/16</destinationCidrBlock><gatewayId>local</gatewayId>\
    <state>active</state><origin>CreateRouteTable</origin>";
const TO_PEER: &str = "<destinationCidrBlock>10.99.0.1/32</destinationCidrBlock>\
    <instanceId>i-2</instanceId><instanceOwnerId>123456789012</instanceOwnerId>\
    <networkInterfaceId>eni-0fedcba9876543210</networkInterfaceId><state>blackhole</state>\
    <origin>CreateRoute</origin>";
const PROPAGATED: &str = "<destinationCidrBlock>10.99.0.1/32</destinationCidrBlock><gatewayId>vgw-1</gatewayId>\
    <state>active</state><origin>EnableVgwRoutePropagation</origin>";

/// The first table leads to the other member, which is gone; the second has no such route of its own.
fn usual(request: &Request) -> Reply {
    match request.parameter("Action") {
        Some("DescribeRouteTables") => {
            tables(&[("rtb-2", &[LOCAL, PROPAGATED]), ("rtb-1", &[LOCAL, TO_PEER])])
        }
        Some(action @ ("ReplaceRoute" | "CreateRoute")) => Reply::ok(format!(
            "<{action}Response><requestId>1</requestId><return>true</return></{action}Response>"
        )),
        other => panic!("unexpected action {other:?}"),
    }
}

fn call(replace: bool) -> Call {
    Call { replace, table: "rtb-1".into(), destination: overlay(), hop: me() }
}

// === the wire ===

#[tokio::test]
async fn reads_and_writes_go_over_the_wire_as_they_should() {
    let endpoint = Endpoint::start(usual).await;
    let mut target = target(&table(), &endpoint).await;
    let observed = target.observe().await.expect("it answers");
    assert_golden("route-describe-route-tables", &endpoint.take()[0].golden());
    let peer = RouteState::To {
        interface: Some(PEER.into()),
        instance: Some("i-2".into()),
        other: None,
        blackhole: true,
    };
    assert_eq!(observed.tables[0], TableState { id: "rtb-1".into(), route: peer });
    assert_eq!(observed.tables[1], TableState { id: "rtb-2".into(), route: RouteState::Nowhere });

    let plan = target.plan(&lead(1), &observed, at(0));
    let told: Vec<_> = plan.steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "ReplaceRoute RouteTableId=rtb-1 DestinationCidrBlock=10.99.0.1/32 NetworkInterfaceId=eni-0123456789abcdef0",
            "CreateRoute RouteTableId=rtb-2 DestinationCidrBlock=10.99.0.1/32 NetworkInterfaceId=eni-0123456789abcdef0",
        ]
    );
    let serving = Serving::in_epoch(1);
    for step in &plan.steps {
        target.apply(serving.allows(step)).await.expect("it is accepted");
    }
    let sent = endpoint.take();
    assert_eq!(sent.len(), 2);
    assert_golden("route-replace-route", &sent[0].golden());
    assert_golden("route-create-route", &sent[1].golden());
}

#[tokio::test]
async fn instances_and_the_newer_internet_have_parameters_of_their_own() {
    let endpoint = Endpoint::start(|request| match request.parameter("Action") {
        Some("DescribeRouteTables") => tables(&[(
            "rtb-1",
            &["<destinationIpv6CidrBlock>fd00::63/128</destinationIpv6CidrBlock><instanceId>i-2</instanceId>\
               <networkInterfaceId>eni-2</networkInterfaceId><state>active</state>"],
        )]),
        _ => Reply::ok("<ReplaceRouteResponse><return>true</return></ReplaceRouteResponse>"),
    })
    .await;
    let table = Table {
        route_tables: vec!["rtb-1".into()],
        destination: "fd00:0::63/128".parse().unwrap(),
        target: Value::Is(NextHop::Instance("i-1".into())),
        ..table()
    };
    let mut target = target(&table, &endpoint).await;
    let observed = target.observe().await.expect("it answers");
    let plan = target.plan(&lead(1), &observed, at(0));
    assert_eq!(
        plan.steps[0].to_string(),
        "ReplaceRoute RouteTableId=rtb-1 DestinationIpv6CidrBlock=fd00::63/128 InstanceId=i-1"
    );
    target.apply(Serving::in_epoch(1).allows(&plan.steps[0])).await.expect("it is accepted");
    assert_golden("route-replace-route-instance-ipv6", &endpoint.take()[1].golden());
}

#[tokio::test]
async fn each_attempt_at_a_write_needs_a_proof_of_its_own() {
    let endpoint = Endpoint::start(|_| Reply::query_error(503, "Unavailable", "later")).await;
    let mut target = target(&table(), &endpoint).await;
    let error = target.apply(Serving::in_epoch(1).allows(&call(true))).await.expect_err("it is refused");
    assert_eq!((error.action, error.class), ("ReplaceRoute", Class::Retry));
    assert_eq!(endpoint.take().len(), 1);
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_before_the_first_write() {
    let endpoint = Endpoint::ahead(jiff::SignedDuration::from_hours(1), "AuthFailure", usual).await;
    let mut target = target(&table(), &endpoint).await;
    target.observe().await.expect("the SDK corrects it");
    endpoint.take();
    target.apply(Serving::in_epoch(1).allows(&call(true))).await.expect("the time is known");
    assert_eq!(endpoint.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_never_answers_is_given_up_in_time() {
    let endpoint = Endpoint::start(|_| Reply::Silence).await;
    let mut target = target(&table(), &endpoint).await;
    let deadline = crate::provider::aws::OPERATION_TIMEOUT * 4;
    let read = tokio::time::timeout(deadline, target.observe()).await.expect("reads have a deadline");
    assert_eq!(read.expect_err("no answer").class, Class::Retry);
    let serving = Serving::in_epoch(1);
    let write = tokio::time::timeout(deadline, target.apply(serving.allows(&call(true)))).await;
    assert_eq!(write.expect("writes have a deadline").expect_err("no answer").class, Class::Retry);
}

#[tokio::test]
async fn a_missing_table_is_reported_and_the_others_are_steered() {
    let endpoint = Endpoint::start(|_| tables(&[("rtb-1", &[LOCAL])])).await;
    let mut target = target(&table(), &endpoint).await;
    let observed = target.observe().await.expect("it answers");
    assert_eq!(observed.tables[1], TableState { id: "rtb-2".into(), route: RouteState::NoTable });
    let plan = target.plan(&lead(1), &observed, at(0));
    assert_eq!(plan.steps.iter().map(|call| call.table.as_str()).collect::<Vec<_>>(), ["rtb-1"]);
    let told = "there is no route table rtb-2 in this account and region";
    assert_eq!(plan.then, Progress::Blocked { why: told.into() });
}

#[tokio::test]
async fn an_answer_in_pages_is_read_to_its_end_and_not_for_ever() {
    let page = |reply: Reply, token: &str| match reply {
        Reply::Answer { status, body } => {
            let next = format!("</routeTableSet><nextToken>{token}</nextToken>");
            Reply::Answer { status, body: body.replace("</routeTableSet>", &next) }
        }
        reply => reply,
    };
    let endpoint = Endpoint::start(move |request| match request.parameter("NextToken") {
        None => page(tables(&[("rtb-1", &[LOCAL])]), "2"),
        Some(_) => page(tables(&[("rtb-2", &[LOCAL, TO_PEER])]), ""),
    });
    let endpoint = endpoint.await;
    let observed = target(&table(), &endpoint).await.observe().await.expect("it answers");
    assert_eq!(observed.tables[0].route, RouteState::Nowhere);
    assert!(matches!(observed.tables[1].route, RouteState::To { .. }));
    assert_eq!(endpoint.take().len(), 2);

    let endpoint = Endpoint::start(move |_| page(tables(&[]), "more")).await;
    let error = target(&table(), &endpoint).await.observe().await.expect_err("it never ends");
    assert_eq!((error.class, endpoint.take().len()), (Class::Retry, PAGES));
}

#[tokio::test]
async fn a_refusal_in_a_friendly_answer_is_one() {
    let endpoint =
        Endpoint::start(|_| Reply::ok("<ReplaceRouteResponse><return>false</return></ReplaceRouteResponse>"));
    let endpoint = endpoint.await;
    let mut target = target(&table(), &endpoint).await;
    let error = target.apply(Serving::in_epoch(1).allows(&call(true))).await.expect_err("it is refused");
    assert_eq!(error.class, Class::Retry);
}

// === the plan ===

fn leads_to(interface: &str, blackhole: bool) -> RouteState {
    RouteState::To { interface: Some(interface.into()), instance: None, other: None, blackhole }
}

fn observed(ways: &[RouteState]) -> Observed {
    let tables = ways.iter().enumerate();
    Observed {
        me: me(),
        tables: tables
            .map(|(n, route)| TableState { id: format!("rtb-{}", n + 1), route: route.clone() })
            .collect(),
    }
}

/// The plan of the last turn of a loop that reads these routes at these seconds.
fn after(turns: &[(u64, [RouteState; 2])]) -> Plan<Call> {
    let mut memory = Memory::default();
    let mut last = None;
    for (read, (seconds, ways)) in (1..).zip(turns) {
        memory.note(&lead(1), &observed(ways), read, at(*seconds));
        last = Some(plan::plan(overlay(), &memory, &lead(1), &observed(ways), at(*seconds)));
    }
    last.expect("there are turns")
}

#[test]
fn a_route_that_led_here_and_leads_elsewhere_was_taken_over() {
    let (me, peer) = (leads_to(ME, false), leads_to(PEER, false));
    let taken = [me.clone(), peer.clone()];
    let fresh = (0, [peer.clone(), peer.clone()]);
    let mine = (1, [me.clone(), me.clone()]);

    let first_look = after(&[fresh.clone(), mine.clone(), (10, taken.clone())]);
    assert_eq!(first_look.steps, [], "an answer may be outdated, so nothing is sent");
    assert!(matches!(first_look.then, Progress::Waiting { .. }), "{:?}", first_look.then);

    let second_look = after(&[fresh.clone(), mine.clone(), (10, taken.clone()), (15, taken.clone())]);
    assert_eq!(second_look.steps, []);
    let by = format!("{PEER}, to which rtb-2 leads");
    assert_eq!(second_look.then, Progress::LostOwnership { by });

    let out_of_date =
        after(&[fresh.clone(), mine.clone(), (10, taken.clone()), (12, mine.1.clone()), (16, taken.clone())]);
    assert!(matches!(out_of_date.then, Progress::Waiting { .. }), "it led here in between");

    // One table that was reached is enough, though the other never was.
    let half = [me.clone(), peer.clone()];
    let lost = [peer.clone(), peer.clone()];
    let plan = after(&[fresh, (1, half), (10, lost.clone()), (15, lost)]);
    assert_eq!(plan.then, Progress::LostOwnership { by: format!("{PEER}, to which rtb-1 leads") });
    assert_eq!(plan.steps, []);
}

#[test]
fn what_was_accepted_a_moment_ago_is_not_sent_again() {
    let (me, peer) = (leads_to(ME, false), leads_to(PEER, false));
    let mut memory = Memory::default();
    let shown = |memory: &mut Memory, read, seconds, ways: [&RouteState; 2]| {
        let observed = observed(&ways.map(RouteState::clone));
        memory.note(&lead(1), &observed, read, at(seconds));
        plan::plan(overlay(), memory, &lead(1), &observed, at(seconds))
    };
    let fresh = [&peer, &RouteState::Nowhere];
    assert_eq!(shown(&mut memory, 1, 0, fresh).steps.len(), 2);
    memory.accepted("rtb-1");
    let half = shown(&mut memory, 2, 1, fresh);
    assert_eq!(half.steps, [Call { replace: false, table: "rtb-2".into(), ..call(false) }]);
    memory.accepted("rtb-2");
    let what = "the change of rtb-1, rtb-2 to be seen".to_owned();
    assert_eq!(shown(&mut memory, 3, 2, fresh), Plan { steps: vec![], then: Progress::waiting(what) });

    let mut settled = memory.clone();
    let seen = shown(&mut settled, 4, 3, [&me, &me]);
    assert_eq!(seen, Plan { steps: vec![], then: Progress::Fulfilled });
    assert!(shown(&mut settled, 5, 4, [&me, &RouteState::Nowhere]).steps.len() == 1, "it was deleted since");

    // It never shows: the call was accepted, so it led here, and another writer has replaced it since.
    let by = format!("{PEER}, to which rtb-1 leads");
    assert_eq!(shown(&mut memory, 4, 7, fresh).then, Progress::LostOwnership { by });
    memory.forget(crate::steer::testing::epoch(1));
    assert_eq!(shown(&mut memory, 5, 8, fresh).steps.len(), 2, "the memory was reset");
}

#[tokio::test]
async fn an_accepted_call_is_remembered() {
    let endpoint = Endpoint::start(usual).await;
    let mut target = target(&table(), &endpoint).await;
    let observed = target.observe().await.expect("it answers");
    target.note(&lead(1), &observed, at(0));
    let serving = Serving::in_epoch(1);
    for step in target.plan(&lead(1), &observed, at(0)).steps {
        target.apply(serving.allows(&step)).await.expect("it is accepted");
    }
    let observed = target.observe().await.expect("it answers as before");
    target.note(&lead(1), &observed, at(1));
    let plan = target.plan(&lead(1), &observed, at(1));
    assert_eq!(plan.steps, []);
    assert!(matches!(plan.then, Progress::Waiting { .. }), "{:?}", plan.then);
}

#[test]
fn a_read_from_before_the_promotion_says_nothing_about_it() {
    let old = (0, [leads_to(ME, false), leads_to(ME, false)]);
    let plan = after(&[
        old,
        (1, [leads_to(PEER, false), leads_to(PEER, false)]),
        (60, [leads_to(PEER, false), leads_to(PEER, false)]),
    ]);
    assert_eq!(plan.steps.len(), 2);
}

#[test]
fn a_route_that_was_deleted_or_given_up_is_taken_again() {
    let mine = [leads_to(ME, false), leads_to(ME, false)];
    let deleted = [leads_to(ME, false), RouteState::Nowhere];
    let plan = after(&[(0, mine.clone()), (1, mine.clone()), (10, deleted.clone()), (60, deleted)]);
    assert_eq!(plan.steps.iter().map(Call::action).collect::<Vec<_>>(), ["CreateRoute"]);

    let mut memory = Memory::default();
    let lost = observed(&[leads_to(PEER, false)]);
    for (read, observed) in
        [(1, &observed(&[leads_to(ME, false)])), (2, &observed(&[leads_to(ME, false)])), (3, &lost)]
    {
        memory.note(&lead(1), observed, read, at(read));
    }
    let destination = overlay();
    assert!(plan::plan(destination, &memory, &lead(1), &lost, at(60)).steps.is_empty());
    assert_eq!(plan::plan(destination, &memory, &lead(2), &lost, at(60)).steps.len(), 1, "promoted again");
    memory.forget(crate::steer::testing::epoch(1));
    assert_eq!(
        plan::plan(destination, &memory, &lead(1), &lost, at(60)).steps.len(),
        1,
        "the memory was reset"
    );
}

#[test]
fn what_no_call_can_fix_is_reported() {
    let detached = after(&[(0, [leads_to(ME, true), leads_to(PEER, true)])]);
    assert_eq!(detached.steps.len(), 1, "the other table is still taken");
    assert!(matches!(&detached.then, Progress::Blocked { why } if why.contains("not attached")));
    let local = after(&[(0, [RouteState::Local, leads_to(ME, false)])]);
    assert_eq!(local.steps, []);
    assert!(matches!(&local.then, Progress::Blocked { why } if why.contains("VPC's own network")));
}
