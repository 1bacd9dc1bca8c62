//! The laws of the plan: what holds for every zone.

use proptest::prelude::*;

use super::*;

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

/// A record as another program may have left it: other spellings, several values, a health check, an unknown element.
fn found(key: Key) -> impl Strategy<Value = RecordSet> {
    let values = prop::sample::subsequence(vec!["10.0.1.12", "10.0.2.12", "10.0.9.9"], 1..=3).prop_shuffle();
    (contents(), values, 1_u32..600, any::<[bool; 3]>()).prop_map(
        move |(content, values, ttl, [checked, upper, unknown])| {
            let mut record = key.blank();
            match &content {
                Content::Plain { .. } => record = text_record(&key, &values),
                Content::Alias { .. } => content.put_into(&mut record),
            }
            if record.has("TTL") {
                record.set("TTL", ttl);
            }
            if key.set_identifier.is_some() {
                record.set("Weight", 77);
            }
            if checked {
                record.set("HealthCheckId", "check");
            }
            if upper {
                record.set("Name", record.name().to_uppercase());
            }
            if unknown {
                record.set("Novelty", "on");
            }
            record
        },
    )
}

fn marks(key: Key) -> impl Strategy<Value = Option<RecordSet>> {
    let owned = ("[abc]", 0_u64..6, any::<bool>()).prop_map(|(owner, term, earlier)| {
        // Versions before terms wrote and read epochs alone.
        let numbers = if earlier { format!("epoch={term}") } else { format!("term={term} epoch={term}") };
        format!("\"mirrorvip1 owner={owner} {numbers} at=2026-11-21T02:40:00Z\"")
    });
    let text = prop_oneof![8 => owned, 1 => Just("\"v=spf1 -all\"".to_owned()), 1 => Just("\"mirrorvip2\"".to_owned())];
    prop::option::weighted(0.7, text.prop_map(move |text| text_record(&key, &[text.as_str()])))
}

/// A zone with strangers around, and what a member wants in it.
fn zones() -> impl Strategy<Value = (Desired, Zone)> {
    targets().prop_flat_map(|desired| {
        let record = prop::option::weighted(0.8, found(desired.record.clone()));
        let mark = marks(desired.ownership_key());
        (Just(desired), record, mark).prop_map(|(desired, record, mark)| {
            let set = desired.record.set_identifier.as_ref().map(|_| "two");
            let strangers = [
                text_record(&key(NAME, "A", Some(set.unwrap_or("other"))), &["10.9.9.9"]),
                text_record(&key(NAME, "AAAA", None), &["2001:db8::1"]),
                text_record(&key("other.example.internal.", "A", None), &["10.9.9.9"]),
                text_record(&key("_mirrorvip.other.example.internal.", "TXT", None), &["\"x\""]),
            ];
            // Simple and weighted records of one name and type do not live together.
            let strangers = strangers.into_iter().skip(usize::from(set.is_none()));
            (desired, Zone(strangers.chain(record).chain(mark).collect()))
        })
    })
}

fn strangers(zone: &Zone, desired: &Desired) -> Vec<RecordSet> {
    let (record, mark) = (&desired.record, desired.ownership_key());
    let mut strangers = zone.0.clone();
    strangers.retain(|other| {
        let own_mark = desired.write == Write::CompareAndSwap && mark.is_of(other);
        !record.is_of(other) && !own_mark
    });
    strangers
}

proptest! {
    /// One batch makes the zone as wanted, and then nothing more is planned.
    #[test]
    fn one_batch_makes_the_zone_as_wanted((desired, zone) in zones(), term in 1_u64..7) {
        let observed = zone.look(&desired);
        let plan = desired.plan(&lead(term), &observed, now());
        prop_assert!(plan.steps.len() <= 1);
        let mut after = zone.clone();
        for step in &plan.steps {
            prop_assert!(step.moves_traffic());
            prop_assert_eq!(after.apply(step), Ok(()));
        }
        prop_assert_eq!(strangers(&after, &desired), strangers(&zone, &desired), "nothing else is touched");
        let seen = after.look(&desired);
        prop_assert!(observed.record.is_none() || seen.record.is_some(), "a record is never absent after");
        let again = desired.plan(&lead(term), &seen, now());
        prop_assert!(again.steps.is_empty(), "nothing is left to do: {:?}", again);
        let fulfilled = matches!(again.then, Progress::Fulfilled);
        prop_assert!(fulfilled || plan.steps.is_empty(), "what was written is what was wanted: {:?}", again);
        if fulfilled {
            let record = seen.record.as_ref().expect("a fulfilled intent has a record");
            let mut wanted = record.clone();
            desired.content.put_into(&mut wanted);
            prop_assert!(same(record, &wanted));
            let is_mine = owner(&seen).is_some_and(|(owner, _)| owner == "a");
            prop_assert!(is_mine || desired.write == Write::Upsert);
            for kept in ["HealthCheckId", "Novelty"] {
                let of = |observed: &Observed| observed.record.as_ref().and_then(|r| r.get(kept)).map(str::to_owned);
                prop_assert!(observed.record.is_none() || of(&observed) == of(&seen), "{} is kept", kept);
            }
        }
    }

    /// Nothing is taken from an owner whose term is as high or higher, whatever the record says, unless it is certain
    /// that no other member is the primary; nor ever when the ownership record cannot be read.
    #[test]
    fn a_later_term_is_overwritten_only_in_certainty((desired, zone) in zones(), term in 1_u64..7) {
        prop_assume!(desired.write == Write::CompareAndSwap);
        let observed = zone.look(&desired);
        let plan = desired.plan(&lead(term), &observed, now());
        let in_certainty = desired.plan(&certain(term), &observed, now());
        match observed.read_ownership_record() {
            Ok(Some(mark)) if mark.owner != desired.owner && mark.term >= term => {
                prop_assert!(plan.steps.is_empty());
                prop_assert!(matches!(plan.then, Progress::LostOwnership { .. }), "{:?}", plan);
                prop_assert_eq!(in_certainty.steps.len(), 1);
                prop_assert_eq!(in_certainty.steps[0].term, term);
            }
            Ok(Some(mark)) => prop_assert!(plan.steps.iter().all(|step| step.term >= mark.term)),
            Ok(None) => prop_assert_eq!(plan.steps.len(), 1),
            Err(_) => {
                prop_assert!(plan.steps.is_empty() && in_certainty.steps.is_empty());
                prop_assert!(matches!(plan.then, Progress::Blocked { .. }), "{:?}", plan);
            }
        }
    }

    /// Only a member that leads writes.
    #[test]
    fn a_member_that_does_not_lead_plans_nothing((desired, zone) in zones()) {
        let observed = zone.look(&desired);
        for intent in [Intent::Follow, Intent::Hold { reason: String::new() }] {
            prop_assert!(desired.plan(&intent, &observed, now()).steps.is_empty());
        }
    }

    /// Of two members that plan from the same read one wins, and the other's batch changes nothing.
    #[test]
    fn of_two_swaps_from_one_read_the_second_is_lost((desired, zone) in zones(), terms in (1_u64..7, 1_u64..7)) {
        prop_assume!(desired.write == Write::CompareAndSwap);
        let other = Desired { owner: "b".to_owned(), content: plain("10.0.3.12"), ..desired.clone() };
        let observed = zone.look(&desired);
        let ours = desired.plan(&lead(terms.0), &observed, now()).steps;
        let theirs = other.plan(&lead(terms.1), &observed, now()).steps;
        if let ([ours], [theirs]) = (&ours[..], &theirs[..]) {
            let mut zone = zone;
            prop_assert_eq!(zone.apply(ours), Ok(()));
            let won = zone.clone();
            prop_assert!(zone.apply(theirs).is_err());
            prop_assert_eq!(zone, won);
        }
    }
}
