//! Cases of the plan, against a zone in memory whose batches are atomic and whose DELETE is exact.

use super::*;
use crate::role::Epoch;
use crate::steer::testing::at;

mod laws;

const NAME: &str = "db.example.internal.";

/// A hosted zone.
#[derive(Clone, Debug, PartialEq)]
struct Zone(Vec<RecordSet>);

impl Zone {
    /// Makes all changes or none, as Route 53 does.
    fn apply(&mut self, batch: &Batch) -> Result<(), String> {
        let mut records = self.0.clone();
        for change in &batch.changes {
            let record = &change.record;
            let key = key_of(record);
            let found = records.iter().position(|other| key.is_of(other));
            match (change.action, found) {
                (Action::Delete, Some(at)) if records[at] == *record => {
                    records.remove(at);
                }
                (Action::Delete, Some(_)) => return Err("do not match the current values".to_owned()),
                (Action::Delete, None) => return Err("but it was not found".to_owned()),
                (Action::Create, Some(_)) => return Err("already exists".to_owned()),
                (Action::Create | Action::Upsert, None) => records.push(record.clone()),
                (Action::Upsert, Some(at)) => records[at] = record.clone(),
            }
        }
        self.0 = records;
        Ok(())
    }

    fn look(&self, desired: &Desired) -> Observed {
        let find = |key: &Key| self.0.iter().find(|record| key.is_of(record)).cloned();
        let ownership_record = match desired.write {
            Write::CompareAndSwap => find(&desired.ownership_key()),
            Write::Upsert => None,
        };
        Observed { record: find(&desired.record), ownership_record, spreading: None }
    }
}

fn key_of(record: &RecordSet) -> Key {
    key(&canonical(record.name()), record.rr_type(), record.set_identifier())
}

fn key(name: &str, rr_type: &str, set: Option<&str>) -> Key {
    Key { name: name.to_owned(), rr_type: rr_type.to_owned(), set_identifier: set.map(str::to_owned) }
}

fn text_record(key: &Key, values: &[&str]) -> RecordSet {
    let mut record = key.blank();
    record.set_values(values);
    record.set("TTL", 60);
    if key.set_identifier.is_some() {
        record.set("Weight", 1);
    }
    record
}

fn desired(write: Write, set: Option<&str>, content: Content) -> Desired {
    Desired {
        zone: "Z1".to_owned(),
        record: key(NAME, "A", set),
        content,
        weight: set.map(|_| 10),
        write,
        owner: "a".to_owned(),
    }
}

fn plain(value: &str) -> Content {
    Content::Plain { value: value.to_owned(), ttl: 5 }
}

fn swapped(value: &str) -> Desired {
    desired(Write::CompareAndSwap, None, plain(value))
}

fn by(owner: &str, value: &str) -> Desired {
    Desired { owner: owner.to_owned(), ..swapped(value) }
}

fn lead(term: u64) -> Intent {
    Intent::Lead { epoch: Epoch::default(), term, certain: false }
}

/// The same while it is certain that no other member is the primary.
fn certain(term: u64) -> Intent {
    Intent::Lead { epoch: Epoch::default(), term, certain: true }
}

/// Which member owns the record, by its ownership record.
fn owner(observed: &Observed) -> Option<(String, u64)> {
    observed.ownership().map(|claim| (claim.member, claim.term))
}

fn now() -> Timestamp {
    at(0)
}

/// The one batch of a plan that has one.
fn batch(plan: Plan<Batch>) -> Batch {
    let mut steps = plan.steps;
    assert_eq!(steps.len(), 1, "{:?}", plan.then);
    steps.remove(0)
}

#[test]
fn a_batch_is_displayed_as_its_call() {
    let zone = Zone(vec![
        text_record(&key(NAME, "A", None), &["10.0.2.12", "10.0.3.12"]),
        text_record(
            &key("_mirrorvip.db.example.internal.", "TXT", None),
            &["\"mirrorvip1 owner=b epoch=3 at=2026-11-20T00:00:00Z\""],
        ),
    ]);
    let desired = swapped("10.0.1.12");
    let step = batch(desired.plan(&lead(4), &zone.look(&desired), now()));
    let expected = "ChangeResourceRecordSets Z1: DELETE db.example.internal. A 60 10.0.2.12 10.0.3.12; \
         DELETE _mirrorvip.db.example.internal. TXT 60 \"mirrorvip1 owner=b epoch=3 at=2026-11-20T00:00:00Z\"; \
         CREATE db.example.internal. A 5 10.0.1.12; \
         CREATE _mirrorvip.db.example.internal. TXT 60 \"mirrorvip1 owner=a term=4 epoch=4 at=2023-11-14T22:13:20Z\"";
    assert_eq!(step.to_string(), expected);
    assert!(!step.adopts);
}

#[test]
fn a_record_fails_over_and_back() {
    let mut zone = Zone(Vec::new());
    let (a, b) = (by("a", "10.0.1.12"), by("b", "10.0.2.12"));
    zone.apply(&batch(a.plan(&lead(1), &zone.look(&a), now()))).expect("a makes it");
    let seen_by_a = zone.look(&a);
    zone.apply(&batch(b.plan(&lead(2), &zone.look(&b), now()))).expect("b takes over");
    assert_eq!(owner(&zone.look(&a)), Some(("b".to_owned(), 2)));
    assert!(
        matches!(a.plan(&lead(1), &zone.look(&a), now()).then, Progress::LostOwnership { by } if by.contains('b'))
    );
    assert!(
        matches!(a.plan(&lead(2), &zone.look(&a), now()).then, Progress::LostOwnership { .. }),
        "the first of two equals"
    );
    // What a knew from before is worth nothing: address drift, then the old plan.
    let mut drifted = seen_by_a;
    drifted.record.as_mut().expect("a made it").set("TTL", 300);
    assert!(zone.apply(&batch(a.plan(&lead(1), &drifted, now()))).is_err());
    zone.apply(&batch(a.plan(&lead(3), &zone.look(&a), now()))).expect("a is promoted again");
    assert_eq!(owner(&zone.look(&a)), Some(("a".to_owned(), 3)));
}

#[test]
fn a_record_without_ownership_record_is_adopted() {
    let desired = swapped("10.0.1.12");
    let record = text_record(&key(NAME, "A", None), &["10.0.1.12"]);
    let observed = Observed { record: Some(record), ..Observed::default() };
    let step = batch(desired.plan(&lead(1), &observed, now()));
    assert!(step.adopts, "even where the value is right already, the ownership record is missing");
    assert!(!batch(desired.plan(&lead(1), &Observed::default(), now())).adopts);
}

#[test]
fn a_spreading_change_is_waited_for() {
    let mut zone = Zone(Vec::new());
    let desired = swapped("10.0.1.12");
    zone.apply(&batch(desired.plan(&lead(1), &zone.look(&desired), now()))).expect("it makes it");
    let observed = Observed { spreading: Some("C1".to_owned()), ..zone.look(&desired) };
    let plan = desired.plan(&lead(1), &observed, now());
    assert_eq!(plan, Plan { steps: Vec::new(), then: spreading("change C1 to spread".to_owned()) });
}

#[test]
fn a_term_never_goes_down_in_doubt() {
    let mut zone = Zone(Vec::new());
    let desired = swapped("10.0.1.12");
    zone.apply(&batch(desired.plan(&lead(5), &zone.look(&desired), now()))).expect("it makes it");
    assert_eq!(desired.plan(&lead(2), &zone.look(&desired), now()).then, Progress::Fulfilled, "as wanted");
    let moved = swapped("10.0.1.13");
    let plan = moved.plan(&lead(2), &zone.look(&moved), now());
    assert!(plan.steps.is_empty() && matches!(plan.then, Progress::Waiting { .. }), "{plan:?}");
    assert_eq!(batch(moved.plan(&lead(5), &zone.look(&moved), now())).term, 5);
}

/// Otherwise the others would compare with a term that this member does not have any more (story 3).
#[test]
fn an_own_ownership_record_of_a_lower_term_is_rewritten() {
    let mut zone = Zone(Vec::new());
    let desired = swapped("10.0.1.12");
    zone.apply(&batch(desired.plan(&lead(2), &zone.look(&desired), now()))).expect("it makes it");
    zone.apply(&batch(desired.plan(&lead(5), &zone.look(&desired), now()))).expect("it rewrites it");
    assert_eq!(owner(&zone.look(&desired)), Some(("a".to_owned(), 5)));
    assert_eq!(desired.plan(&lead(5), &zone.look(&desired), now()).then, Progress::Fulfilled);
}

/// An ownership record with the highest possible number, by mistake or on purpose (story 14), or of a member that was replaced.
#[test]
fn anothers_ownership_record_of_a_higher_term_is_rewritten_only_in_certainty() {
    let mut zone = Zone(Vec::new());
    let (a, b) = (by("a", "10.0.1.12"), by("b", "10.0.2.12"));
    zone.apply(&batch(b.plan(&lead(u64::MAX), &zone.look(&b), now()))).expect("b makes it");
    let in_doubt = a.plan(&lead(3), &zone.look(&a), now());
    assert!(matches!(in_doubt, Plan { steps, then: Progress::LostOwnership { .. } } if steps.is_empty()));
    zone.apply(&batch(a.plan(&certain(3), &zone.look(&a), now()))).expect("a takes over");
    assert_eq!(owner(&zone.look(&a)), Some(("a".to_owned(), 3)));

    // The same after its own state was lost: its own ownership record has a higher term, and the record another value.
    let moved = by("a", "10.0.1.13");
    assert!(moved.plan(&lead(2), &zone.look(&moved), now()).steps.is_empty());
    zone.apply(&batch(moved.plan(&certain(2), &zone.look(&moved), now()))).expect("a takes over from itself");
    assert_eq!(owner(&zone.look(&moved)), Some(("a".to_owned(), 2)));
}

#[test]
fn blocked_records_are_reported_in_every_role() {
    let check = |desired: &Desired, observed: &Observed, expected: &str| {
        for intent in [lead(9), Intent::Follow, Intent::Hold { reason: String::new() }] {
            let plan = desired.plan(&intent, observed, now());
            assert!(plan.steps.is_empty());
            assert!(
                matches!(&plan.then, Progress::Blocked { why } if why.contains(expected)),
                "{:?}",
                plan.then
            );
        }
    };
    let record =
        |key: Key| Observed { record: Some(text_record(&key, &["10.0.1.12"])), ..Observed::default() };
    let simple = swapped("10.0.1.12");
    check(&simple, &record(key(NAME, "A", Some("eu"))), "has the set identifier `eu`");
    let mut policy = record(key(NAME, "A", None));
    policy.record.as_mut().expect("a record").set("TrafficPolicyInstanceId", "p");
    check(&simple, &policy, "belongs to a traffic policy");
    let mut unweighted = desired(Write::CompareAndSwap, Some("eu"), plain("10.0.1.12"));
    unweighted.weight = None;
    check(&unweighted, &Observed::default(), "without a `weight`");
    check(&by("two words", "10.0.1.12"), &Observed::default(), "name `two words`");
    let spf = text_record(&simple.ownership_key(), &["\"v=spf1 -all\""]);
    check(
        &simple,
        &Observed { ownership_record: Some(spf), ..Observed::default() },
        "_mirrorvip.db.example.internal",
    );
    let two = text_record(&simple.ownership_key(), &["\"a\"", "\"b\""]);
    check(&simple, &Observed { ownership_record: Some(two), ..Observed::default() }, "it has 2 values");
}

#[test]
fn what_the_configuration_does_not_mention_stays() {
    let mut latency = text_record(&key(NAME, "A", Some("eu")), &["10.0.2.12"]);
    latency.remove("Weight");
    latency.set("Region", "eu-west-1");
    latency.set("HealthCheckId", "check");
    let mut desired = desired(Write::Upsert, Some("eu"), plain("10.0.1.12"));
    desired.weight = None;
    let step =
        batch(desired.plan(&lead(1), &Observed { record: Some(latency), ..Observed::default() }, now()));
    assert_eq!(
        step.to_string(),
        "ChangeResourceRecordSets Z1: UPSERT db.example.internal. A 5 10.0.1.12 set-identifier=eu \
         region=eu-west-1 health-check=check"
    );
}
