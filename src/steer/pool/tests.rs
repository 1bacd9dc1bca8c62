//! The rules of pools, row by row; the laws over random pools are with the load balancers that use them.

use super::*;
use crate::steer::testing::{at, epoch, lead};

type Names = View<&'static str>;

const ME: &str = "me";
const OTHER: &str = "other";

fn unknown() -> Health {
    Health::Unknown("initial".into())
}

fn failing() -> Health {
    Health::Failing("unhealthy".into())
}

fn unused() -> Health {
    Health::Unused("no listener".into())
}

fn view(registered: &[(&'static str, Health)]) -> Names {
    let entries = registered.iter().map(|(key, health)| Entry { key: *key, health: health.clone() });
    View { me: ME, registered: entries.collect() }
}

fn rules(pool: Pool) -> Rules {
    Rules { pool, healthy_within: Duration::from_mins(5) }
}

fn hold() -> Intent {
    Intent::Hold { reason: "a doubt".into() }
}

/// What follows for a primary that has been shown `shown` one after the other, a second apart.
fn primary_shown(shown: &[Names]) -> (Vec<Move<&'static str>>, Progress) {
    let mut memory = Memory::default();
    let mut last = (Vec::new(), Progress::Fulfilled);
    for (read, view) in shown.iter().enumerate() {
        let (read, now) = (read as u64, at(read as u64));
        memory.note(&lead(1), view, read, now);
        last = plan(rules(Pool::PrimaryOnly), &memory, &lead(1), view, now);
    }
    last
}

#[test]
fn every_member_is_added_to_a_pool_of_all_and_none_removed() {
    let all = rules(Pool::AllMembers);
    for intent in [lead(1), Intent::Follow, hold()] {
        let (moves, _) = plan(all, &Memory::default(), &intent, &view(&[(OTHER, Health::Healthy)]), at(0));
        assert_eq!(moves, [Move::Add(ME)], "{intent:?}");
        let both = view(&[(ME, Health::Healthy), (OTHER, Health::Healthy)]);
        let done = plan(all, &Memory::default(), &intent, &both, at(0));
        assert_eq!(done, (vec![], Progress::Fulfilled), "{intent:?}");
    }
}

#[test]
fn only_the_primary_waits_for_its_health() {
    let all = rules(Pool::AllMembers);
    let sick = view(&[(ME, failing())]);
    let (_, then) = plan(all, &Memory::default(), &lead(1), &sick, at(0));
    assert_eq!(then, Progress::waiting("me to be healthy (unhealthy)"));
    let (_, then) = plan(all, &Memory::default(), &Intent::Follow, &sick, at(0));
    assert_eq!(then, Progress::Fulfilled, "a backup fails its check for good");
}

#[test]
fn a_member_that_does_not_lead_leaves_a_primary_only_pool_alone() {
    for intent in [Intent::Follow, hold()] {
        for shown in [view(&[]), view(&[(ME, Health::Healthy)]), view(&[(OTHER, failing())])] {
            let (moves, then) = plan(rules(Pool::PrimaryOnly), &Memory::default(), &intent, &shown, at(0));
            assert_eq!((moves, then), (vec![], Progress::Fulfilled), "{intent:?} {shown:?}");
        }
    }
}

#[test]
fn the_primary_adds_itself_then_waits_then_removes_the_others() {
    let added = primary_shown(&[view(&[(OTHER, failing())])]);
    let what = "me to be healthy, before other is taken out".to_owned();
    assert_eq!(added, (vec![Move::Add(ME)], Progress::waiting(what)));
    let waits = primary_shown(&[view(&[(OTHER, failing())]), view(&[(ME, unknown()), (OTHER, failing())])]);
    let what = "me to be healthy (initial), before other is taken out".to_owned();
    assert_eq!(waits, (vec![], Progress::waiting(what)));
    let removes = primary_shown(&[view(&[(ME, Health::Healthy), (OTHER, Health::Healthy)])]);
    assert_eq!(removes, (vec![Move::Remove(vec![OTHER])], Progress::Fulfilled));
}

#[test]
fn the_wait_for_health_ends_counted_from_registration() {
    let both = view(&[(ME, failing()), (OTHER, failing())]);
    let mut memory = Memory::default();
    let planned =
        |memory: &Memory<&'static str>, now| plan(rules(Pool::PrimaryOnly), memory, &lead(1), &both, at(now));
    memory.note(&lead(1), &view(&[(OTHER, failing())]), 0, at(0));
    memory.note(&lead(1), &both, 1, at(100));
    assert_eq!(planned(&memory, 399).0, []);
    let (moves, then) = planned(&memory, 400);
    assert_eq!(moves, [Move::Remove(vec![OTHER])]);
    let what = "me to be healthy (unhealthy) for more than 300s: the others are removed meanwhile".to_owned();
    assert_eq!(then, Progress::waiting(what));
    memory.note(&lead(2), &both, 2, at(400));
    assert_eq!(planned(&memory, 400).0, [], "the memory is of another epoch");
}

#[test]
fn a_target_without_traffic_is_the_operators_business() {
    let (moves, then) = primary_shown(&[view(&[(ME, unused()), (OTHER, Health::Healthy)])]);
    assert_eq!((moves, then), (vec![], Progress::Blocked { why: "no listener".into() }));
}

#[test]
fn a_member_that_was_in_and_is_removed_lost_ownership() {
    let before = view(&[(OTHER, Health::Healthy)]);
    let both = view(&[(ME, unknown()), (OTHER, Health::Healthy)]);
    let taken = primary_shown(&[before.clone(), both, before.clone()]);
    assert_eq!(taken, (vec![], Progress::LostOwnership { by: "other".into() }));
    let empty = primary_shown(&[view(&[(ME, Health::Healthy)]), view(&[(ME, Health::Healthy)]), view(&[])]);
    assert_eq!(empty.0, [Move::Add(ME)], "no other member has the pool");
}

#[test]
fn a_read_from_before_the_promotion_proves_nothing() {
    let left_over = view(&[(ME, Health::Healthy)]);
    let (moves, _) = primary_shown(&[left_over, view(&[(OTHER, Health::Healthy)])]);
    assert_eq!(moves, [Move::Add(ME)]);
}

#[test]
fn a_member_that_was_alone_tells_a_newcomer_from_drift() {
    let alone = view(&[(ME, Health::Healthy)]);
    let newcomer = |health| {
        primary_shown(&[alone.clone(), alone.clone(), view(&[(ME, Health::Healthy), (OTHER, health)])])
    };
    assert_eq!(newcomer(Health::Healthy), (vec![], Progress::LostOwnership { by: "other".into() }));
    let what = "the health of other, registered by another member or tool".to_owned();
    assert_eq!(newcomer(unknown()), (vec![], Progress::waiting(what)));
    assert_eq!(newcomer(failing()), (vec![Move::Remove(vec![OTHER])], Progress::Fulfilled));
}

#[test]
fn a_reset_affects_only_the_memory_of_its_epoch() {
    let mut memory = Memory::default();
    let both = view(&[(ME, Health::Healthy), (OTHER, Health::Healthy)]);
    let removed = view(&[(OTHER, Health::Healthy)]);
    let planned =
        |memory: &Memory<&'static str>| plan(rules(Pool::PrimaryOnly), memory, &lead(2), &removed, at(3));
    memory.note(&lead(2), &both, 0, at(0));
    memory.note(&lead(2), &both, 1, at(1));
    memory.note(&hold(), &removed, 2, at(2));
    memory.forget(epoch(1));
    assert_eq!(planned(&memory).1, Progress::LostOwnership { by: "other".into() });
    memory.forget(epoch(2));
    assert_eq!(planned(&memory).0, [Move::Add(ME)]);
}

#[test]
fn what_was_accepted_a_moment_ago_is_not_sent_again() {
    let alone = view(&[(OTHER, Health::Healthy)]);
    let both = view(&[(ME, Health::Healthy), (OTHER, Health::Healthy)]);
    let rules = rules(Pool::PrimaryOnly);
    let mut memory = Memory::default();
    let shown = |memory: &mut Memory<_>, view: &Names, now| {
        memory.note(&lead(1), view, now, at(now));
        plan(rules, memory, &lead(1), view, at(now))
    };
    assert_eq!(shown(&mut memory, &alone, 0).0, [Move::Add(ME)]);
    memory.added(&ME);
    let what = "the registration of me to be seen".to_owned();
    assert_eq!(shown(&mut memory, &alone, 1), (vec![], Progress::waiting(what)));
    assert_eq!(shown(&mut memory, &alone, 5).0, []);
    assert_eq!(shown(&mut memory, &alone, 6).0, [Move::Add(ME)], "it had its time to show");

    assert_eq!(shown(&mut memory, &both, 7).0, [Move::Remove(vec![OTHER])]);
    memory.removed(&OTHER);
    let what = "the removal of other to be seen".to_owned();
    assert_eq!(shown(&mut memory, &both, 8), (vec![], Progress::waiting(what)));
    // It was seen alone; then a read from before that.
    assert_eq!(shown(&mut memory, &view(&[(ME, Health::Healthy)]), 9), (vec![], Progress::Fulfilled));
    assert_eq!(shown(&mut memory, &both, 10).0, [], "a member that was just removed is not new");
    let back = Progress::LostOwnership { by: OTHER.into() };
    assert_eq!(shown(&mut memory, &both, 13), (vec![], back.clone()), "later it is");

    memory.removed(&OTHER);
    assert_eq!(shown(&mut memory, &alone, 14), (vec![], back), "this member is out: the other removed it");
}

#[test]
fn an_accepted_registration_is_void_in_the_next_epoch() {
    let other = view(&[(OTHER, Health::Healthy)]);
    let mut memory = Memory::default();
    memory.note(&lead(1), &other, 0, at(0));
    memory.added(&ME);
    memory.note(&lead(2), &other, 1, at(1));
    let (moves, _) = plan(rules(Pool::PrimaryOnly), &memory, &lead(2), &other, at(1));
    assert_eq!(moves, [Move::Add(ME)]);
}

#[test]
fn any_role_enrols_itself_once_until_that_had_its_time_to_show() {
    let other = view(&[(OTHER, Health::Healthy)]);
    let mut memory = Memory::default();
    memory.note(&Intent::Follow, &other, 0, at(0));
    memory.added(&ME);
    for (now, moves) in [(1, vec![]), (5, vec![]), (6, vec![Move::Add(ME)])] {
        memory.note(&Intent::Follow, &other, now, at(now));
        assert_eq!(
            plan(rules(Pool::AllMembers), &memory, &Intent::Follow, &other, at(now)).0,
            moves,
            "{now}"
        );
    }
}
