//! Laws of the plan, over random route tables and a small model of the service.

use proptest::prelude::*;

use super::*;

/// Applies one call as EC2 does, and checks what must hold of every single call.
fn apply(call: &Call, tables: &mut [TableState]) {
    let table = tables.iter_mut().find(|table| table.id == call.table).expect("one of our tables");
    assert_eq!(call.hop, me(), "it leads to this member");
    assert_eq!(call.destination, overlay());
    match (&table.route, call.replace) {
        (RouteState::Nowhere, false) | (RouteState::To { .. }, true) => {}
        (route, replace) => panic!("EC2 refuses: {route:?}, replace {replace}"),
    }
    // Atomic: there is no moment without a route where there was one.
    table.route = leads_to(ME, false);
}

fn any_way() -> impl Strategy<Value = RouteState> {
    let gateway = |blackhole| RouteState::To {
        interface: None,
        instance: None,
        other: Some("tgw-1".to_owned()),
        blackhole,
    };
    prop_oneof![
        Just(RouteState::Nowhere),
        any::<bool>().prop_map(|blackhole| leads_to(PEER, blackhole)),
        any::<bool>().prop_map(gateway),
        Just(leads_to(ME, false)),
    ]
}

fn plan_for(intent: &Intent, memory: &Memory, observed: &Observed) -> Plan<Call> {
    plan::plan(overlay(), memory, intent, observed, at(0))
}

proptest! {
    #[test]
    fn a_plan_reaches_the_intent_and_then_has_nothing_left(ways in proptest::collection::vec(any_way(), 1..6)) {
        let mut state = observed(&ways);
        let plan = plan_for(&lead(1), &Memory::default(), &state);
        prop_assert_eq!(&plan.then, &Progress::Fulfilled);
        let wrong = ways.iter().filter(|way| **way != leads_to(ME, false)).count();
        prop_assert_eq!(plan.steps.len(), wrong, "one call for each table that leads elsewhere, no other");
        for call in &plan.steps {
            apply(call, &mut state.tables);
        }
        prop_assert!(state.tables.iter().all(|table| table.route == leads_to(ME, false)));
        let again = plan_for(&lead(1), &Memory::default(), &state);
        prop_assert_eq!(again, Plan { steps: Vec::new(), then: Progress::Fulfilled });
    }

    #[test]
    fn a_member_that_does_not_lead_touches_nothing(ways in proptest::collection::vec(any_way(), 1..6)) {
        for intent in [Intent::Follow, Intent::Hold { reason: "doubt".into() }] {
            let mut memory = Memory::default();
            memory.note(&intent, &observed(&ways), 2, at(0));
            prop_assert_eq!(&memory, &Memory::default());
            prop_assert!(plan_for(&intent, &memory, &observed(&ways)).steps.is_empty());
        }
    }

    /// Two members, one route, read each turn: once both have led, the earlier one never writes again.
    #[test]
    fn the_earlier_of_two_writes_nothing_after_it_was_replaced(
        ways in proptest::collection::vec(any_way(), 1..4), later in proptest::collection::vec(1..20_u64, 1..20),
    ) {
        let mut memory = Memory::default();
        let mine = observed(&vec![leads_to(ME, false); ways.len()]);
        memory.note(&lead(1), &observed(&ways), 1, at(0));
        memory.note(&lead(1), &mine, 2, at(0));
        let taken = observed(&vec![leads_to(PEER, false); ways.len()]);
        let mut seconds = 0;
        for (read, pause) in (3..).zip(later) {
            seconds += pause;
            memory.note(&lead(1), &taken, read, at(seconds));
            let plan = plan::plan(overlay(), &memory, &lead(1), &taken, at(seconds));
            prop_assert!(plan.steps.is_empty());
            let suspicious = matches!(plan.then, Progress::Waiting { .. } | Progress::LostOwnership { .. });
            prop_assert!(suspicious);
        }
    }
}
