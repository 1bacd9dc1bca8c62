//! What a batch does, what it refuses and with which words.

use proptest::prelude::*;

use super::*;

const DELAYS: Delays = Delays { processing: Duration::from_secs(1), insync: Duration::from_secs(30) };

fn zone() -> Zone {
    Zone::new("example.internal", DELAYS)
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn record(record_type: &str, name: &str, value: &str) -> RecordSet {
    RecordSet { ttl: Some(5), values: vec![value.to_owned()], ..RecordSet::empty(name, record_type) }
}

fn a(value: &str) -> RecordSet {
    record("A", "db.example.internal", value)
}

fn create(record: RecordSet) -> Change {
    Change { action: Action::Create, record }
}

fn delete(record: RecordSet) -> Change {
    Change { action: Action::Delete, record }
}

fn upsert(record: RecordSet) -> Change {
    Change { action: Action::Upsert, record }
}

/// Changes at `now`, and expects the one problem to be `expected`.
fn refused(zone: &mut Zone, now: Duration, batch: &[Change], expected: &str) {
    let before = zone.records.clone();
    let problems = match zone.change(now, "C".to_owned(), batch) {
        Err(Refusal::Invalid(problems)) => problems,
        other => panic!("{other:?} where a refusal was due: {expected}"),
    };
    assert_eq!(problems, [expected]);
    assert_eq!(zone.records, before, "a refused batch changes nothing");
}

#[test]
fn a_swap_needs_what_is_there() {
    let mut zone = zone();
    zone.change(at(0), "C1".to_owned(), &[create(a("10.0.1.11"))]).expect("a new record");
    let swap = [delete(a("10.0.1.11")), create(a("10.0.1.12"))];
    zone.change(at(2), "C2".to_owned(), &swap).expect("the current record was named");
    refused(
        &mut zone,
        at(4),
        &[delete(a("10.0.1.11")), upsert(record("TXT", "_mirrorvip.db.example.internal", "\"x\""))],
        "Tried to delete resource record set [name='db.example.internal.', type='A'] but the values provided do \
         not match the current values",
    );
    refused(
        &mut zone,
        at(4),
        &[create(a("10.0.1.13"))],
        "Tried to create resource record set [name='db.example.internal.', type='A'] but it already exists",
    );
    refused(
        &mut zone,
        at(4),
        &[delete(record("A", "other.example.internal", "10.0.1.11"))],
        "Tried to delete resource record set [name='other.example.internal.', type='A'] but it was not found",
    );
}

#[test]
fn the_list_begins_with_the_zones_own_name() {
    let mut zone = zone();
    let others = [create(a("10.0.1.11")), create(record("A", "a.example.internal", "10.0.1.11"))];
    zone.change(at(0), "C1".to_owned(), &others).expect("new records");
    let listed: Vec<_> =
        zone.list(None).map(|record| (record.name.as_str(), record.record_type.as_str())).collect();
    assert_eq!(listed[..2], [("example.internal.", "NS"), ("example.internal.", "SOA")]);
    zone.change(at(2), "C2".to_owned(), &[create(record("A", "example.internal", "10.0.1.11"))])
        .expect("a new record");
    let first = zone.list(None).next().expect("a zone is never empty");
    assert_eq!((first.name.as_str(), first.record_type.as_str()), ("example.internal.", "A"));
}

#[test]
fn another_time_to_live_is_another_record() {
    let mut zone = zone();
    zone.change(at(0), "C1".to_owned(), &[create(a("10.0.1.11"))]).expect("a new record");
    refused(
        &mut zone,
        at(2),
        &[delete(RecordSet { ttl: Some(60), ..a("10.0.1.11") })],
        "Tried to delete resource record set [name='db.example.internal.', type='A'] but the values provided do \
         not match the current values",
    );
}

#[test]
fn all_problems_of_a_batch_are_reported_at_once() {
    let mut zone = zone();
    let batch = [delete(a("10.0.1.11")), create(record("A", "x.example.com", "10.0.1.11"))];
    let Err(Refusal::Invalid(problems)) = zone.change(at(0), "C".to_owned(), &batch) else {
        panic!("both are wrong");
    };
    assert_eq!(problems.len(), 2);
    assert_eq!(problems[1], "RRSet with DNS name x.example.com. is not permitted in zone example.internal.");
}

#[test]
fn resolvers_see_a_change_when_it_is_insync() {
    let mut zone = zone();
    zone.change(at(0), "C1".to_owned(), &[create(a("10.0.1.11"))]).expect("a new record");
    let key = a("").key();
    assert_eq!(zone.record(&key), Some(&a("10.0.1.11")), "listed at once");
    assert_eq!(zone.resolve(&key), None);
    assert_eq!(zone.is_insync(at(29), "C1"), Some(false));
    zone.change(at(10), "C2".to_owned(), &[upsert(a("10.0.1.12"))]).expect("a change");
    zone.advance(at(30));
    assert_eq!(zone.is_insync(at(30), "C1"), Some(true));
    assert_eq!(zone.resolve(&key), Some(&a("10.0.1.11")), "changes arrive in their order");
    zone.advance(at(40));
    assert_eq!(zone.resolve(&key), Some(&a("10.0.1.12")));
    assert_eq!(zone.is_insync(at(40), "C9"), None);
}

#[test]
fn a_batch_while_another_is_processed_is_to_be_sent_again() {
    let mut zone = zone();
    zone.change(at(0), "C1".to_owned(), &[create(a("10.0.1.11"))]).expect("a new record");
    let early = zone.change(Duration::from_millis(500), "C2".to_owned(), &[upsert(a("10.0.1.12"))]);
    assert_eq!(early, Err(Refusal::PriorRequestNotComplete));
    zone.change(at(1), "C2".to_owned(), &[upsert(a("10.0.1.12"))]).expect("the other is processed");
}

#[test]
fn what_cannot_stand_together_is_refused() {
    let mut zone = zone();
    zone.change(at(0), "C1".to_owned(), &[create(a("10.0.1.11"))]).expect("a new record");
    let name = "db.example.internal";
    refused(
        &mut zone,
        at(2),
        &[create(record("CNAME", name, "other.example.com"))],
        "RRSet of type CNAME with DNS name db.example.internal. is not permitted as it conflicts with other \
         records with the same DNS name in zone example.internal.",
    );
    let weighted = RecordSet { set_identifier: Some("eu".to_owned()), ..a("10.0.1.12") };
    refused(
        &mut zone,
        at(2),
        &[create(weighted)],
        "RRSet with DNS name db.example.internal., type A cannot be created as simple and other records with \
         the same name and type cannot exist together",
    );
    refused(
        &mut zone,
        at(2),
        &[upsert(a("10.0.1.12")), delete(a("10.0.1.12"))],
        "The request contains an invalid set of changes for a resource record set 'A db.example.internal.'",
    );
    refused(
        &mut zone,
        at(2),
        &[upsert(a("10.0.1.999"))],
        "Invalid Resource Record: 'FATAL problem: ARRDATAIllegalIPv4Address (Value is not a valid IPv4 \
         address) encountered with '10.0.1.999''",
    );
    let own = zone.list(None).find(|record| record.record_type == "SOA").cloned().expect("the zone's own");
    refused(
        &mut zone,
        at(2),
        &[delete(own)],
        "A HostedZone must contain at least one SOA record for the zone itself.",
    );
}

#[test]
fn the_limits_of_a_batch_count_an_upsert_twice() {
    let many = |count: usize| RecordSet {
        values: (0..count).map(|n| format!("10.1.{}.{}", n / 250, n % 250)).collect(),
        ..a("")
    };
    zone().change(at(0), "C".to_owned(), &[create(many(1_000))]).expect("a thousand values");
    refused(&mut zone(), at(0), &[upsert(many(501))], "Number of records limit of 1000 exceeded.");
}

#[test]
fn records_are_listed_by_their_labels_from_the_right() {
    let mut zone = zone();
    let names = [
        "b.example.internal",
        "a.b.example.internal",
        "_mirrorvip.db.example.internal",
        "db.example.internal",
    ];
    for (second, name) in (0..).zip(names) {
        let batch = [create(record("A", name, "10.0.0.1"))];
        zone.change(at(2 * second), format!("C{second}"), &batch).expect("a new record");
    }
    let listed: Vec<_> =
        zone.list(None).map(|record| format!("{} {}", record.name, record.record_type)).collect();
    assert_eq!(
        listed,
        [
            "example.internal. NS",
            "example.internal. SOA",
            "b.example.internal. A",
            "a.b.example.internal. A",
            "db.example.internal. A",
            "_mirrorvip.db.example.internal. A"
        ]
    );
    let start = RecordKey::new("DB.example.internal", "A", None);
    assert_eq!(zone.list(Some(&start)).count(), 2);
}

proptest! {
    /// Of writers who swap what they read a moment ago, exactly one wins each round: whatever the order in
    /// which their batches arrive.
    #[test]
    fn of_two_swaps_from_the_same_state_one_wins(order in prop::collection::vec(any::<bool>(), 1..20)) {
        let mut zone = zone();
        zone.change(at(0), "C".to_owned(), &[create(a("10.0.1.10"))]).expect("a new record");
        let mut now = at(10);
        for first_is_left in order {
            let read = zone.record(&a("").key()).expect("it is there").clone();
            let last: u32 = read.values[0].rsplit('.').next().and_then(|n| n.parse().ok()).expect("a number");
            let left = [delete(read.clone()), create(a(&format!("10.0.1.{}", (last + 1) % 200)))];
            let right = [delete(read), create(a(&format!("10.0.1.{}", (last + 2) % 200)))];
            let (first, second) = if first_is_left { (&left, &right) } else { (&right, &left) };
            prop_assert!(zone.change(now, "C".to_owned(), first).is_ok());
            prop_assert!(matches!(zone.change(now + at(2), "C".to_owned(), second), Err(Refusal::Invalid(_))));
            prop_assert_eq!(zone.record(&a("").key()), Some(&first[1].record));
            now += at(10);
        }
    }
}
