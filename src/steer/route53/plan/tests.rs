//! The laws of the plan, against a zone in memory whose batches are atomic and whose DELETE is exact.

use proptest::prelude::*;

use super::*;
use crate::role::Epoch;
use crate::steer::testing::at;

const NAME: &str = "db.example.internal.";

/// A hosted zone.
#[derive(Clone, Debug, PartialEq)]
struct Zone(Vec<ResourceRecordSet>);

impl Zone {
    /// Makes all changes or none, as Route 53 does.
    fn apply(&mut self, batch: &Batch) -> Result<(), String> {
        let mut records = self.0.clone();
        for change in &batch.changes {
            let record = change.resource_record_set.as_ref().expect("every change has a record");
            let key = key_of(record);
            let found = records.iter().position(|other| key.is_of(other));
            match (&change.action, found) {
                (ChangeAction::Delete, Some(at)) if records[at] == *record => {
                    records.remove(at);
                }
                (ChangeAction::Delete, Some(_)) => return Err("do not match the current values".to_owned()),
                (ChangeAction::Delete, None) => return Err("but it was not found".to_owned()),
                (ChangeAction::Create, Some(_)) => return Err("already exists".to_owned()),
                (ChangeAction::Create | ChangeAction::Upsert, None) => records.push(record.clone()),
                (ChangeAction::Upsert, Some(at)) => records[at] = record.clone(),
                (action, _) => return Err(format!("unknown action {action}")),
            }
        }
        self.0 = records;
        Ok(())
    }

    fn look(&self, desired: &Desired) -> Observed {
        let find = |key: &Key| self.0.iter().find(|record| key.is_of(record)).cloned();
        let mark = match desired.write {
            Write::CompareAndSwap => find(&desired.mark_key()),
            Write::Upsert => None,
        };
        Observed { record: find(&desired.record), mark, spreading: None }
    }
}

fn key_of(record: &ResourceRecordSet) -> Key {
    let set_identifier = record.set_identifier.clone();
    Key { name: canonical(&record.name), rr_type: record.r#type.clone(), set_identifier }
}

fn key(name: &str, rr_type: &RrType, set: Option<&str>) -> Key {
    Key { name: name.to_owned(), rr_type: rr_type.clone(), set_identifier: set.map(str::to_owned) }
}

fn text_record(key: &Key, values: &[&str]) -> ResourceRecordSet {
    let mut record = key.blank();
    let value = |value: &&str| ResourceRecord::builder().value(*value).build().expect("a value");
    record.resource_records = Some(values.iter().map(value).collect());
    record.ttl = Some(60);
    record.weight = record.set_identifier.as_ref().map(|_| 1);
    record
}

fn desired(write: Write, set: Option<&str>, content: Content) -> Desired {
    Desired {
        zone: "Z1".to_owned(),
        record: key(NAME, &RrType::A, set),
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

fn lead(claim: u64) -> Wish {
    Wish::Lead { epoch: Epoch::default(), claim }
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

// === laws ===

prop_compose! {
    fn contents()(
        value in prop::sample::select(vec!["10.0.1.12", "10.0.2.12"]),
        alias in prop::bool::weighted(0.3),
        flag: bool,
    ) -> Content {
        if alias {
            Content::Alias {
                hosted_zone_id: "Z2".to_owned(),
                dns_name: format!("lb.{value}.example."),
                evaluate_target_health: flag,
            }
        } else {
            plain(value)
        }
    }
}

prop_compose! {
    fn targets()(write: bool, set: bool, content in contents()) -> Desired {
        let write = if write { Write::CompareAndSwap } else { Write::Upsert };
        desired(write, set.then_some("one"), content)
    }
}

/// A record as somebody may have left it: other spellings, several values, a health check.
fn found(key: Key) -> impl Strategy<Value = ResourceRecordSet> {
    let values = prop::sample::subsequence(vec!["10.0.1.12", "10.0.2.12", "10.0.9.9"], 1..=3).prop_shuffle();
    (contents(), values, 1_i64..600, any::<bool>(), any::<bool>()).prop_map(
        move |(content, values, ttl, checked, upper)| {
            let mut record = key.blank();
            match &content {
                Content::Plain { .. } => record = text_record(&key, &values),
                Content::Alias { .. } => content.put_into(&mut record),
            }
            record.ttl = record.ttl.map(|_| ttl);
            record.weight = record.set_identifier.as_ref().map(|_| 77);
            record.health_check_id = checked.then(|| "check".to_owned());
            if upper {
                record.name = record.name.to_uppercase();
            }
            record
        },
    )
}

fn marks(key: Key) -> impl Strategy<Value = Option<ResourceRecordSet>> {
    let owned = ("[abc]", 0_u64..6).prop_map(|(owner, epoch)| {
        format!("\"mirrorvip1 owner={owner} epoch={epoch} at=2026-11-21T02:40:00Z\"")
    });
    let text = prop_oneof![8 => owned, 1 => Just("\"v=spf1 -all\"".to_owned()), 1 => Just("\"mirrorvip2\"".to_owned())];
    prop::option::weighted(0.7, text.prop_map(move |text| text_record(&key, &[text.as_str()])))
}

/// A zone with strangers around, and what a member wants in it.
fn zones() -> impl Strategy<Value = (Desired, Zone)> {
    targets().prop_flat_map(|desired| {
        let record = prop::option::weighted(0.8, found(desired.record.clone()));
        let mark = marks(desired.mark_key());
        (Just(desired), record, mark).prop_map(|(desired, record, mark)| {
            let set = desired.record.set_identifier.as_ref().map(|_| "two");
            let strangers = [
                text_record(&key(NAME, &RrType::A, Some(set.unwrap_or("other"))), &["10.9.9.9"]),
                text_record(&key(NAME, &RrType::Aaaa, None), &["2001:db8::1"]),
                text_record(&key("other.example.internal.", &RrType::A, None), &["10.9.9.9"]),
                text_record(&key("_mirrorvip.other.example.internal.", &RrType::Txt, None), &["\"x\""]),
            ];
            // Simple and weighted records of one name and type do not live together.
            let strangers = strangers.into_iter().skip(usize::from(set.is_none()));
            (desired, Zone(strangers.chain(record).chain(mark).collect()))
        })
    })
}

fn strangers(zone: &Zone, desired: &Desired) -> Vec<ResourceRecordSet> {
    let (record, mark) = (&desired.record, desired.mark_key());
    let mut strangers = zone.0.clone();
    strangers.retain(|other| {
        let own_mark = desired.write == Write::CompareAndSwap && mark.is_of(other);
        !record.is_of(other) && !own_mark
    });
    strangers
}

proptest! {
    /// What is planned brings about what is wanted, in one batch, and then nothing is planned any more.
    #[test]
    fn one_batch_brings_about_what_is_wanted((desired, zone) in zones(), claim in 1_u64..7) {
        let observed = zone.look(&desired);
        let plan = desired.plan(&lead(claim), &observed, now());
        prop_assert!(plan.steps.len() <= 1);
        let mut after = zone.clone();
        for step in &plan.steps {
            prop_assert!(step.moves_traffic());
            prop_assert_eq!(after.apply(step), Ok(()));
        }
        prop_assert_eq!(strangers(&after, &desired), strangers(&zone, &desired), "nothing else is touched");
        let seen = after.look(&desired);
        prop_assert!(observed.record.is_none() || seen.record.is_some(), "a record is never absent after");
        let again = desired.plan(&lead(claim), &seen, now());
        prop_assert!(again.steps.is_empty(), "nothing is left to do: {:?}", again);
        let fulfilled = matches!(again.then, Outlook::Fulfilled);
        prop_assert!(fulfilled || plan.steps.is_empty(), "what was written is what was wanted: {:?}", again);
        if fulfilled {
            let record = seen.record.as_ref().expect("a fulfilled wish has a record");
            let mut wanted = record.clone();
            desired.content.put_into(&mut wanted);
            prop_assert!(same(record, &wanted));
            prop_assert!(seen.record_fact("a").is_mine || desired.write == Write::Upsert);
            let check = |observed: &Observed| observed.record.as_ref().and_then(|r| r.health_check_id.clone());
            prop_assert!(observed.record.is_none() || check(&observed) == check(&seen), "checks are kept");
        }
    }

    /// Nothing is taken from an owner whose claim is as late or later, whatever the record says, nor from
    /// one whose claim cannot be read.
    #[test]
    fn a_later_claim_is_never_overwritten((desired, zone) in zones(), claim in 1_u64..7) {
        prop_assume!(desired.write == Write::CompareAndSwap);
        let observed = zone.look(&desired);
        let plan = desired.plan(&lead(claim), &observed, now());
        match observed.read_mark() {
            Ok(Some(mark)) if mark.owner != desired.owner && mark.epoch >= claim => {
                prop_assert!(plan.steps.is_empty());
                prop_assert!(matches!(plan.then, Outlook::TakenOver { .. }), "{:?}", plan);
            }
            Ok(Some(mark)) => prop_assert!(plan.steps.iter().all(|step| step.claim >= mark.epoch)),
            Ok(None) => prop_assert_eq!(plan.steps.len(), 1),
            Err(_) => {
                prop_assert!(plan.steps.is_empty());
                prop_assert!(matches!(plan.then, Outlook::Impossible { .. }), "{:?}", plan);
            }
        }
    }

    /// Only who leads writes.
    #[test]
    fn who_does_not_lead_plans_nothing((desired, zone) in zones()) {
        let observed = zone.look(&desired);
        for wish in [Wish::Follow, Wish::Hold { reason: String::new() }] {
            prop_assert!(desired.plan(&wish, &observed, now()).steps.is_empty());
        }
    }

    /// Of two members that plan from the same look one wins, and the other's batch changes nothing.
    #[test]
    fn a_swap_is_lost_to_whoever_wrote_meanwhile((desired, zone) in zones(), claims in (1_u64..7, 1_u64..7)) {
        prop_assume!(desired.write == Write::CompareAndSwap);
        let other = Desired { owner: "b".to_owned(), content: plain("10.0.3.12"), ..desired.clone() };
        let observed = zone.look(&desired);
        let ours = desired.plan(&lead(claims.0), &observed, now()).steps;
        let theirs = other.plan(&lead(claims.1), &observed, now()).steps;
        if let ([ours], [theirs]) = (&ours[..], &theirs[..]) {
            let mut zone = zone;
            prop_assert_eq!(zone.apply(ours), Ok(()));
            let won = zone.clone();
            prop_assert!(zone.apply(theirs).is_err());
            prop_assert_eq!(zone, won);
        }
    }
}

// === cases ===

#[test]
fn a_batch_reads_as_the_call_that_it_is() {
    let zone = Zone(vec![
        text_record(&key(NAME, &RrType::A, None), &["10.0.2.12", "10.0.3.12"]),
        text_record(
            &key("_mirrorvip.db.example.internal.", &RrType::Txt, None),
            &["\"mirrorvip1 owner=b epoch=3 at=2026-11-20T00:00:00Z\""],
        ),
    ]);
    let desired = swapped("10.0.1.12");
    let step = batch(desired.plan(&lead(4), &zone.look(&desired), now()));
    let expected = "ChangeResourceRecordSets Z1: DELETE db.example.internal. A 60 10.0.2.12 10.0.3.12; \
         DELETE _mirrorvip.db.example.internal. TXT 60 \"mirrorvip1 owner=b epoch=3 at=2026-11-20T00:00:00Z\"; \
         CREATE db.example.internal. A 5 10.0.1.12; \
         CREATE _mirrorvip.db.example.internal. TXT 60 \"mirrorvip1 owner=a epoch=4 at=2023-11-14T22:13:20Z\"";
    assert_eq!(step.to_string(), expected);
    assert!(!step.adopts);
}

#[test]
fn a_record_fails_over_and_back_and_the_stale_member_gives_way() {
    let mut zone = Zone(Vec::new());
    let (a, b) = (by("a", "10.0.1.12"), by("b", "10.0.2.12"));
    zone.apply(&batch(a.plan(&lead(1), &zone.look(&a), now()))).expect("a makes it");
    let seen_by_a = zone.look(&a);
    zone.apply(&batch(b.plan(&lead(2), &zone.look(&b), now()))).expect("b takes over");
    assert_eq!(
        zone.look(&a).record_fact("a"),
        RecordFact { owner: Some("b".to_owned()), epoch: 2, is_mine: false }
    );
    assert!(
        matches!(a.plan(&lead(1), &zone.look(&a), now()).then, Outlook::TakenOver { by } if by.contains('b'))
    );
    assert!(
        matches!(a.plan(&lead(2), &zone.look(&a), now()).then, Outlook::TakenOver { .. }),
        "the first of two equals"
    );
    // What a knew from before is worth nothing: address drift, then the old plan.
    let mut drifted = seen_by_a;
    drifted.record.as_mut().expect("a made it").ttl = Some(300);
    assert!(zone.apply(&batch(a.plan(&lead(1), &drifted, now()))).is_err());
    zone.apply(&batch(a.plan(&lead(3), &zone.look(&a), now()))).expect("a is promoted again");
    assert!(zone.look(&a).record_fact("a").is_mine);
}

#[test]
fn adoption_is_told_from_making_and_from_taking_over() {
    let desired = swapped("10.0.1.12");
    let record = text_record(&key(NAME, &RrType::A, None), &["10.0.1.12"]);
    let observed = Observed { record: Some(record), ..Observed::default() };
    let step = batch(desired.plan(&lead(1), &observed, now()));
    assert!(step.adopts, "even where the value is right already, the mark is missing");
    assert!(!batch(desired.plan(&lead(1), &Observed::default(), now())).adopts);
}

#[test]
fn a_change_that_spreads_is_waited_for() {
    let mut zone = Zone(Vec::new());
    let desired = swapped("10.0.1.12");
    zone.apply(&batch(desired.plan(&lead(1), &zone.look(&desired), now()))).expect("it makes it");
    let observed = Observed { spreading: Some("C1".to_owned()), ..zone.look(&desired) };
    let plan = desired.plan(&lead(1), &observed, now());
    assert_eq!(plan, Plan { steps: Vec::new(), then: spreading("change C1 to spread".to_owned()) });
}

#[test]
fn an_epoch_never_goes_down() {
    let mut zone = Zone(Vec::new());
    let desired = swapped("10.0.1.12");
    zone.apply(&batch(desired.plan(&lead(5), &zone.look(&desired), now()))).expect("it makes it");
    assert_eq!(desired.plan(&lead(2), &zone.look(&desired), now()).then, Outlook::Fulfilled, "as wanted");
    let moved = swapped("10.0.1.13");
    let plan = moved.plan(&lead(2), &zone.look(&moved), now());
    assert!(plan.steps.is_empty() && matches!(plan.then, Outlook::Waiting { .. }), "{plan:?}");
    assert_eq!(batch(moved.plan(&lead(5), &zone.look(&moved), now())).claim, 5);
}

#[test]
fn what_cannot_be_is_told_to_every_member() {
    let check = |desired: &Desired, observed: &Observed, expected: &str| {
        for wish in [lead(9), Wish::Follow, Wish::Hold { reason: String::new() }] {
            let plan = desired.plan(&wish, observed, now());
            assert!(plan.steps.is_empty());
            assert!(
                matches!(&plan.then, Outlook::Impossible { why } if why.contains(expected)),
                "{:?}",
                plan.then
            );
        }
    };
    let record =
        |key: Key| Observed { record: Some(text_record(&key, &["10.0.1.12"])), ..Observed::default() };
    let simple = swapped("10.0.1.12");
    check(&simple, &record(key(NAME, &RrType::A, Some("eu"))), "has the set identifier `eu`");
    let mut policy = record(key(NAME, &RrType::A, None));
    policy.record.as_mut().expect("a record").traffic_policy_instance_id = Some("p".to_owned());
    check(&simple, &policy, "belongs to a traffic policy");
    let mut unweighted = desired(Write::CompareAndSwap, Some("eu"), plain("10.0.1.12"));
    unweighted.weight = None;
    check(&unweighted, &Observed::default(), "without a `weight`");
    check(&by("two words", "10.0.1.12"), &Observed::default(), "name `two words`");
    let spf = text_record(&simple.mark_key(), &["\"v=spf1 -all\""]);
    check(&simple, &Observed { mark: Some(spf), ..Observed::default() }, "_mirrorvip.db.example.internal");
    let two = text_record(&simple.mark_key(), &["\"a\"", "\"b\""]);
    check(&simple, &Observed { mark: Some(two), ..Observed::default() }, "it has 2 values");
}

#[test]
fn what_the_configuration_does_not_speak_of_stays() {
    let mut latency = text_record(&key(NAME, &RrType::A, Some("eu")), &["10.0.2.12"]);
    latency.weight = None;
    latency.region = Some("eu-west-1".into());
    latency.health_check_id = Some("check".to_owned());
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
