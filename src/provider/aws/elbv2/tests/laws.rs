//! Laws of the plan, over random target groups and a small model of the service.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::steer::Plan;
use crate::steer::pool::Memory;

const ME: &str = "10.0.1.12";
const PEER: &str = "10.0.2.12";
const PORT: u16 = 1972;

/// A target group: registration, draining and health as the service keeps them.
#[derive(Clone, Debug, PartialEq)]
struct Group(BTreeMap<Target, State>);

fn key(id: &str, port: u16) -> Target {
    Target { id: id.into(), port }
}

fn settings(pool: Pool) -> Settings {
    Settings {
        group: GROUP.into(),
        rules: Rules { pool, healthy_within: Duration::from_mins(5) },
        owned: [ME, PEER, "10.0.3.12"].map(str::to_owned).to_vec(),
    }
}

impl Group {
    fn observed(&self) -> Observed {
        let described = self.0.iter().map(|(target, state)| Described {
            target: target.clone(),
            in_all_zones: false,
            state: state.clone(),
            reason: None,
        });
        Observed {
            target_type: TargetType::Ip,
            me: key(ME, PORT),
            in_all_zones: false,
            targets: described.collect(),
        }
    }

    /// The laws of each single step are checked where it is made.
    fn apply(&mut self, call: &Call) {
        match call {
            Call::Register { me, .. } => {
                assert_eq!(me.target, key(ME, PORT), "it registers itself alone");
                if self.0.get(&me.target).is_none_or(|state| *state == State::Draining) {
                    self.0.insert(me.target.clone(), State::Initial);
                }
            }
            Call::Deregister { targets, .. } => {
                assert!(!targets.is_empty() && targets.len() <= plan::TARGETS_PER_CALL);
                for named in targets {
                    let Target { id, port } = &named.target;
                    assert!(settings(Pool::PrimaryOnly).owned.contains(id) && *port == PORT, "it is owned");
                    assert_ne!(named.target, key(ME, PORT), "it never removes itself");
                    self.0.insert(named.target.clone(), State::Draining);
                }
                let own = self.0.get(&key(ME, PORT));
                assert!(own.is_some_and(|state| *state != State::Draining), "added before removed");
            }
        }
        assert!(self.0.values().any(|state| *state != State::Draining), "never empty");
    }

    /// Time passes: what was registered is checked, what drained is gone.
    fn settle(&mut self, healthy: bool) {
        self.0.retain(|_, state| *state != State::Draining);
        if let Some(own @ State::Initial) = self.0.get_mut(&key(ME, PORT)) {
            *own = if healthy { State::Healthy } else { State::Unhealthy };
        }
    }

    fn strangers(&self) -> BTreeMap<Target, State> {
        let owned = settings(Pool::PrimaryOnly).owned;
        let is_stranger = |target: &Target| target.port != PORT || !owned.contains(&target.id);
        let strangers =
            self.0.iter().filter(|(target, state)| is_stranger(target) && **state != State::Draining);
        strangers.map(|(target, state)| (target.clone(), state.clone())).collect()
    }

    /// This mirror's members that are registered.
    fn members(&self) -> Vec<&str> {
        let strangers = self.strangers();
        let ours = self.0.iter().filter(|(target, _)| !strangers.contains_key(target));
        ours.filter(|(_, state)| **state != State::Draining).map(|(target, _)| target.id.as_str()).collect()
    }
}

/// One turn of the loop, without its loop.
fn turn(
    group: &mut Group,
    memory: &mut Memory<Target>,
    pool: Pool,
    intent: &Intent,
    read: u64,
    now: u64,
) -> Plan<Call> {
    let (settings, observed) = (settings(pool), group.observed());
    memory.note(intent, &plan::view(&settings, &observed), read, at(now));
    let planned = plan::plan(&settings, memory, intent, &observed, at(now));
    assert_eq!(planned, plan::plan(&settings, memory, intent, &observed, at(now)), "the same plan again");
    for call in &planned.steps {
        group.apply(call);
    }
    planned
}

/// States that a member can leave by being registered or by passing its check.
fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Initial),
        Just(State::Healthy),
        Just(State::Unhealthy),
        Just(State::UnhealthyDraining),
        Just(State::Unavailable),
        Just(State::Draining),
        "[a-z]{1,8}".prop_map(State::Other),
    ]
}

fn group() -> impl Strategy<Value = Group> {
    let id = prop_oneof![Just(ME), Just(PEER), Just("10.0.3.12"), Just("10.0.9.9")];
    let target = (id, prop_oneof![Just(PORT), Just(1973)]).prop_map(|(id, port)| key(id, port));
    prop::collection::btree_map(target, state(), 0..8).prop_map(Group)
}

proptest! {
    /// `apply(plan(d, o), o) == d`, and `plan(d, d)` is empty; every step kept the laws above.
    #[test]
    fn a_primary_ends_as_the_only_member(mut group in group(), healthy: bool) {
        let strangers = group.strangers();
        let mut memory = Memory::default();
        // A wait that ends by health, or else by `healthy_within`.
        for read in 0..6 {
            turn(&mut group, &mut memory, Pool::PrimaryOnly, &lead(1), read, read * 100);
            group.settle(healthy);
        }
        prop_assert_eq!(group.members(), [ME]);
        prop_assert_eq!(group.strangers(), strangers);
        let done = turn(&mut group, &mut memory, Pool::PrimaryOnly, &lead(1), 6, 600);
        prop_assert_eq!(done.steps, []);
        if group.0[&key(ME, PORT)] == State::Healthy {
            prop_assert_eq!(done.then, Progress::Fulfilled);
        }
    }

    #[test]
    fn every_member_enrols_itself_and_removes_no_other(mut group in group(), leads: bool) {
        let before = group.clone();
        let intent = if leads { lead(1) } else { Intent::Follow };
        let first = turn(&mut group, &mut Memory::default(), Pool::AllMembers, &intent, 0, 0);
        prop_assert!(first.steps.iter().all(|step| !step.moves_traffic()));
        prop_assert!(group.members().contains(&ME));
        for (target, state) in before.0.iter().filter(|(target, _)| **target != key(ME, PORT)) {
            prop_assert_eq!(&group.0[target], state);
        }
        let second = turn(&mut group, &mut Memory::default(), Pool::AllMembers, &intent, 1, 1);
        prop_assert_eq!(second.steps, []);
    }

    #[test]
    fn a_member_that_does_not_lead_moves_no_client(mut group in group(), holds: bool) {
        let before = group.clone();
        let intent = if holds { Intent::Hold { reason: "a doubt".into() } } else { Intent::Follow };
        let planned = turn(&mut group, &mut Memory::default(), Pool::PrimaryOnly, &intent, 0, 0);
        prop_assert_eq!(planned.steps, []);
        prop_assert_eq!(group, before);
    }

    /// A member that still looks primary to itself sees another take the pool: it takes nothing back, however
    /// the looks fall between the other's steps.
    #[test]
    fn a_stale_primary_takes_nothing_back(mut group in group(), looks in prop::collection::vec(any::<bool>(), 4)) {
        let mut memory = Memory::default();
        for read in 0..6 {
            turn(&mut group, &mut memory, Pool::PrimaryOnly, &lead(1), read, read * 100);
            group.settle(true);
        }
        let steps: [fn(&mut Group); 4] = [
            |group| drop(group.0.insert(key(PEER, PORT), State::Initial)),
            |group| drop(group.0.insert(key(PEER, PORT), State::Healthy)),
            |group| drop(group.0.insert(key(ME, PORT), State::Draining)),
            |group| drop(group.0.remove(&key(ME, PORT))),
        ];
        for (read, (step, look)) in (6..).zip(steps.iter().zip(looks)) {
            step(&mut group);
            if look {
                let before = group.clone();
                let planned = turn(&mut group, &mut memory, Pool::PrimaryOnly, &lead(1), read, read * 100);
                prop_assert_eq!(planned.steps, []);
                prop_assert_eq!(&group, &before);
            }
        }
        let last = turn(&mut group, &mut memory, Pool::PrimaryOnly, &lead(1), 10, 1_000);
        let by = key(PEER, PORT).to_string();
        prop_assert_eq!(last, Plan { steps: vec![], then: Progress::LostOwnership { by } });
    }
}

#[test]
fn a_large_pool_is_emptied_in_calls_of_two_hundred() {
    let ids: Vec<_> = (0..=255).map(|n| format!("10.0.8.{n}")).collect();
    let mut group = Group(ids.iter().map(|id| (key(id, PORT), State::Healthy)).collect());
    group.0.insert(key(ME, PORT), State::Healthy);
    let settings = Settings { owned: ids, ..settings(Pool::PrimaryOnly) };
    let planned = plan::plan(&settings, &Memory::default(), &lead(1), &group.observed(), at(0));
    let sizes = planned.steps.iter().map(|call| match call {
        Call::Deregister { targets, .. } => targets.len(),
        Call::Register { .. } => 0,
    });
    let sizes: Vec<_> = sizes.collect();
    assert_eq!(sizes, [200, 56]);
}

#[test]
fn a_target_without_traffic_is_left_as_it_is() {
    let mut group =
        Group(BTreeMap::from([(key(ME, PORT), State::Unused), (key(PEER, PORT), State::Healthy)]));
    let planned = turn(&mut group, &mut Memory::default(), Pool::PrimaryOnly, &lead(1), 0, 0);
    assert_eq!(planned.steps, []);
    let Progress::Blocked { why } = planned.then else { panic!("{planned:?}") };
    assert!(why.starts_with("10.0.1.12:1972 is registered and gets no traffic"), "{why}");
}

#[test]
fn addresses_are_compared_as_addresses() {
    assert_eq!(plan::canonical("fd00:0:0::0001"), "fd00::1");
    assert_eq!(plan::canonical("i-0123"), "i-0123");
}
