//! What goes over the wire, and what is made of the answers.

use std::sync::Mutex;

use super::*;
use crate::provider::aws::wire::{Endpoint, Reply, Request, assert_golden};
use crate::steer::testing::{Serving, at, lead};

const RECORD: &str = "<ResourceRecordSet><Name>db.example.internal.</Name><Type>A</Type><TTL>60</TTL>\
     <ResourceRecords><ResourceRecord><Value>10.0.2.12</Value></ResourceRecord><ResourceRecord>\
     <Value>10.0.3.12</Value></ResourceRecord></ResourceRecords><HealthCheckId>check-1</HealthCheckId>\
     </ResourceRecordSet>";
const STRANGER: &str = "<ResourceRecordSet><Name>db.example.internal.</Name><Type>AAAA</Type><TTL>60</TTL>\
     <ResourceRecords><ResourceRecord><Value>2001:db8::1</Value></ResourceRecord></ResourceRecords>\
     </ResourceRecordSet>";
const OWNERSHIP: &str = "<ResourceRecordSet><Name>_mirrorvip.db.example.internal.</Name><Type>TXT</Type><TTL>60</TTL>\
     <ResourceRecords><ResourceRecord><Value>\"mirrorvip1 owner=i-other epoch=3 at=2026-11-20T00:00:00Z\"</Value>\
     </ResourceRecord></ResourceRecords></ResourceRecordSet>";

fn table() -> Table {
    Table {
        hosted_zone_id: "Z0123456789ABCDEFGHIJ".into(),
        record: "db.example.internal".into(),
        record_type: RecordType::A,
        value: RecordValue::Plain { value: Value::Is("10.0.1.12".into()), ttl: 5 },
        set_identifier: None,
        weight: None,
        write: Write::CompareAndSwap,
    }
}

async fn target(table: &Table, endpoint: &Endpoint) -> Route53 {
    Route53::new(
        table,
        "i-own",
        Me::default(),
        &endpoint.point(crate::provider::aws::sdk_config("us-east-1").await),
    )
}

fn list(records: &[&str]) -> Reply {
    Reply::ok(format!(
        "<ListResourceRecordSetsResponse><ResourceRecordSets>{}</ResourceRecordSets><IsTruncated>true</IsTruncated>\
         <MaxItems>8</MaxItems></ListResourceRecordSetsResponse>",
        records.concat()
    ))
}

fn change(action: &str, status: &str) -> Reply {
    Reply::ok(format!(
        "<{action}Response><ChangeInfo><Id>/change/C123</Id><Status>{status}</Status>\
         <SubmittedAt>2026-11-21T02:40:00Z</SubmittedAt></ChangeInfo></{action}Response>"
    ))
}

/// A zone in which the record belongs to another member, and every change is pending.
fn usual(request: &Request) -> Reply {
    match (request.method.as_str(), request.path.contains("/change/")) {
        ("POST", _) => change("ChangeResourceRecordSets", "PENDING"),
        (_, true) => change("GetChange", "PENDING"),
        (_, false) => list(&[RECORD, STRANGER, OWNERSHIP]),
    }
}

fn golden(requests: &[Request]) -> String {
    requests.iter().map(Request::golden).collect::<Vec<_>>().join("----\n")
}

/// Reads, plans and makes the one step of the plan.
async fn write_once(target: &mut Route53, serving: &Serving, term: u64) -> Result<(), CallError> {
    let observed = target.observe().await.expect("it answers");
    let plan = target.plan(&lead(term), &observed, at(0));
    assert_eq!(plan.steps.len(), 1, "{:?}", plan.then);
    target.apply(serving.allows(&plan.steps[0])).await
}

#[tokio::test]
async fn a_swap_matches_the_recorded_requests() {
    let endpoint = Endpoint::start(usual).await;
    let mut target = target(&table(), &endpoint).await;
    let serving = Serving::in_epoch(4);
    write_once(&mut target, &serving, 4).await.expect("it is accepted");
    target.observe().await.expect("it answers");
    assert_golden("route53_swap", &golden(&endpoint.take()));
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_before_the_first_write() {
    let hour = jiff::SignedDuration::from_hours(1);
    let endpoint = Endpoint::ahead(hour, "SignatureDoesNotMatch", usual).await;
    let mut target = target(&table(), &endpoint).await;
    write_once(&mut target, &Serving::in_epoch(4), 4).await.expect("the time is known from the read");
    assert_eq!(endpoint.take().iter().filter(|request| request.method == "POST").count(), 1);
}

#[tokio::test]
async fn a_weighted_alias_matches_the_recorded_requests() {
    let endpoint = Endpoint::start(|request| match request.method.as_str() {
        "POST" => change("ChangeResourceRecordSets", "INSYNC"),
        _ => list(&[]),
    })
    .await;
    let alias = RecordValue::Alias {
        hosted_zone_id: "Z2".into(),
        dns_name: "lb.eu-west-1.example.com".into(),
        evaluate_target_health: false,
    };
    let table = Table {
        record: "*.example.internal".into(),
        value: alias,
        set_identifier: Some("eu".into()),
        weight: Some(10),
        ..table()
    };
    let mut target = target(&table, &endpoint).await;
    let serving = Serving::in_epoch(1);
    write_once(&mut target, &serving, 1).await.expect("it is accepted");
    assert_golden("route53_weighted_alias", &golden(&endpoint.take()));
    let observed = target.observe().await.expect("it answers");
    assert_eq!(observed.spreading, None, "a change that is in sync at once is not followed");
}

#[tokio::test]
async fn an_upsert_matches_the_recorded_requests() {
    let endpoint = Endpoint::start(usual).await;
    let table = Table { write: Write::Upsert, ..table() };
    let mut target = target(&table, &endpoint).await;
    let serving = Serving::in_epoch(1);
    write_once(&mut target, &serving, 1).await.expect("it is accepted");
    assert_golden("route53_upsert", &golden(&endpoint.take()));
}

#[tokio::test]
async fn a_record_is_found_in_any_spelling() {
    let endpoint = Endpoint::start(|_| {
        let spelt = |xml: &str| xml.replace("db.example.internal.", "DB.Example\\056x\\052.internal.");
        list(&[&spelt(RECORD), &spelt(OWNERSHIP)])
    })
    .await;
    let table = Table { record: "db.example\\056x*.internal".into(), ..table() };
    let mut target = target(&table, &endpoint).await;
    let observed = target.observe().await.expect("it answers");
    assert_eq!(endpoint.take().len(), 1, "one page holds both");
    let record = observed.record.as_ref().expect("it is there");
    assert_eq!(record.name(), "DB.Example\\056x\\052.internal.", "kept as it was read");
    assert_eq!(record.get("HealthCheckId"), Some("check-1"));
    assert_eq!(target.ownership_record(&observed), Some(Claim { term: 3, member: "i-other".into() }));
}

#[tokio::test]
async fn a_delete_repeats_unknown_elements_exactly() {
    const UNKNOWN: &str = "<Novelty><On>a &amp; b</On><Since> 1 </Since></Novelty><HealthCheckId>";
    let read = RECORD.replace("<HealthCheckId>", UNKNOWN);
    let answer = read.clone();
    let endpoint = Endpoint::start(move |request| match request.method.as_str() {
        "POST" => change("ChangeResourceRecordSets", "PENDING"),
        _ => list(&[&answer, OWNERSHIP]),
    })
    .await;
    let mut target = target(&table(), &endpoint).await;
    write_once(&mut target, &Serving::in_epoch(4), 4).await.expect("it is accepted");
    let requests = endpoint.take();
    let batch = &requests.last().expect("a batch").body;
    assert!(batch.contains(&format!("<Change><Action>DELETE</Action>{read}</Change>")), "{batch}");
    assert_eq!(batch.matches(UNKNOWN).count(), 2, "the new record has them as well: {batch}");
}

#[tokio::test]
async fn an_answer_to_another_call_is_not_an_empty_zone() {
    for body in ["<html/>", "<GetChangeResponse/>"] {
        let endpoint = Endpoint::start(move |_| Reply::ok(body)).await;
        let error = target(&table(), &endpoint).await.observe().await.expect_err("it lists nothing");
        assert_eq!((error.action, error.class), (LIST, Class::Retry), "{body}");
    }
}

#[tokio::test]
async fn a_record_with_another_set_identifier_is_in_the_way() {
    let endpoint = Endpoint::start(|_| {
        list(&[&RECORD.replace("<TTL>", "<SetIdentifier>eu</SetIdentifier><Weight>1</Weight><TTL>")])
    })
    .await;
    let mut target = target(&table(), &endpoint).await;
    let observed = target.observe().await.expect("it answers");
    let plan = target.plan(&lead(1), &observed, at(0));
    assert!(matches!(&plan.then, Progress::Blocked { why } if why.contains("`eu`")), "{:?}", plan.then);
}

#[tokio::test]
async fn a_change_is_followed_until_it_has_spread() {
    let answers = Mutex::new(vec![
        change("GetChange", "INSYNC"),
        Reply::query_error(400, "InvalidInput", "not readable"),
        change("GetChange", "PENDING"),
    ]);
    let endpoint = Endpoint::start(move |request| {
        if request.path.contains("/change/") {
            answers.lock().expect("no test panics with it").pop().expect("there are no more requests")
        } else {
            usual(request)
        }
    })
    .await;
    let mut target = target(&table(), &endpoint).await;
    let serving = Serving::in_epoch(4);
    write_once(&mut target, &serving, 4).await.expect("it is accepted");
    assert_eq!(target.observe().await.expect("it answers").spreading.as_deref(), Some("C123"));
    assert_eq!(target.observe().await.expect("it answers").spreading, None, "may not be asked about");
    write_once(&mut target, &serving, 4).await.expect("it is accepted");
    assert_eq!(target.spreading.as_deref(), Some("C123"));
    assert_eq!(target.observe().await.expect("it answers").spreading, None, "it has spread");
    assert_eq!(target.observe().await.expect("it answers").spreading, None, "and is not asked for again");
}

/// The forms in which Route 53 and its simulators refuse a batch.
#[tokio::test]
async fn a_lost_swap_is_distinguished_from_a_refused_batch() {
    let document = |message: &str| Reply::Answer {
        status: 400,
        body: format!(
            "<?xml version=\"1.0\"?><InvalidChangeBatch xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
             <Messages><Message>{message}</Message></Messages><RequestId>1</RequestId></InvalidChangeBatch>"
        ),
    };
    let found =
        "Tried to delete resource record set [name='db.example.internal.', type='A'] but it was not found";
    let values = "Tried to delete resource record set [name='db.example.internal.', type='A'] but the values \
                  provided do not match the current values";
    let cases = [
        (document(found), Class::Observe),
        (document(values), Class::Observe),
        (document("The request contains an invalid set of changes for a resource record set"), Class::Stop),
        (Reply::query_error(400, "InvalidChangeBatch", &format!("[{values}]")), Class::Observe),
        (Reply::query_error(400, "InvalidChangeBatch", "[Invalid Resource Record]"), Class::Stop),
        (Reply::query_error(400, "PriorRequestNotComplete", "still in progress"), Class::Throttled),
        (Reply::query_error(403, "AccessDenied", "not authorized"), Class::Stop),
    ];
    for (reply, expected) in cases {
        let shown = format!("{reply:?}");
        let endpoint = Endpoint::start(move |request| match request.method.as_str() {
            "POST" => reply.clone(),
            _ => usual(request),
        })
        .await;
        let mut target = target(&table(), &endpoint).await;
        let serving = Serving::in_epoch(4);
        let error = write_once(&mut target, &serving, 4).await.expect_err("it is refused");
        assert_eq!(error.class, expected, "{error}; {shown}");
        assert_eq!(target.spreading, None);
    }
}

#[tokio::test]
async fn auto_is_the_instances_address_in_a_records_only() {
    let endpoint = Endpoint::start(usual).await;
    let auto = RecordValue::Plain { value: Value::Auto, ttl: 5 };
    let own = Table { value: auto.clone(), ..table() };
    let identity =
        Identity { instance_id: "i-own".into(), address: "10.0.1.77".into(), region: "eu-west-1".into() };
    let sdk = endpoint.point(crate::provider::aws::sdk_config("us-east-1").await);
    let mut target = Route53::new(&own, "i-own", identity.into(), &sdk);
    let observed = target.observe().await.expect("it answers");
    let step = target.plan(&lead(4), &observed, at(0)).steps.remove(0);
    assert!(step.to_string().contains("CREATE db.example.internal. A 5 10.0.1.77"), "{step}");

    let six = Table { record_type: RecordType::Aaaa, value: auto, ..table() };
    let mut target = Route53::new(&six, "i-own", Me::default(), &sdk);
    let error = target.observe().await.expect_err("there is no such address");
    assert_eq!(error.class, Class::Stop);
    assert!(target.plan(&lead(4), &Observed::default(), at(0)).steps.is_empty());
}
