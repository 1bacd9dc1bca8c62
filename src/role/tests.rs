//! Rules of the role machine that no single timeline shows: properties over all histories, against an
//! oracle that knows no state machine and reads the rules off the whole history each time.

use proptest::prelude::*;

use super::*;

const STALE_AFTER: Duration = Duration::from_secs(4);

fn at(millis: u64) -> Timestamp {
    Timestamp::new(
        Duration::from_millis(millis),
        Duration::from_secs(1_000_000) + Duration::from_millis(millis),
    )
}

fn settings(rise: u32) -> Settings {
    Settings { stale_after: STALE_AFTER, rise: NonZeroU32::new(rise).expect("rise is not zero") }
}

fn seen(asked: u64, answered: u64, outcome: Result<Role, NoEvidence>) -> Observation {
    Observation { asked_at: at(asked), answered_at: at(answered), outcome, evidence: String::new() }
}

fn silent() -> NoEvidence {
    NoEvidence::TimedOut { after: Duration::from_secs(2) }
}

// === table ===

#[test]
fn a_permit_ends_with_the_verdict_and_with_the_epoch() {
    let mut tracker = Tracker::new(settings(1), None);
    assert!(tracker.verdict().permit(at(0)).is_none());
    tracker.observe(&seen(0, 10, Ok(Role::Primary)));
    let permit = tracker.verdict().permit(at(10)).expect("serving");
    assert_eq!(permit.hold(tracker.verdict(), at(3_999)).expect("the lease runs").epoch(), Epoch(1));
    assert_eq!(
        permit.hold(tracker.verdict(), at(4_000)).expect_err("the lease has ended"),
        PermitLost::NotServing(Reason::Expired)
    );
    tracker.observe(&seen(1_000, 1_010, Ok(Role::Backup)));
    assert_eq!(
        permit.hold(tracker.verdict(), at(1_011)).expect_err("demoted"),
        PermitLost::NotServing(Reason::NotPrimary(Role::Backup))
    );
    tracker.observe(&seen(2_000, 2_010, Ok(Role::Primary)));
    assert_eq!(
        permit.hold(tracker.verdict(), at(2_011)).expect_err("promoted again"),
        PermitLost::OtherEpoch { then: Epoch(1), now: Epoch(2) }
    );
}

#[test]
fn an_answer_that_took_longer_than_it_may_be_believed_is_no_evidence() {
    let mut tracker = Tracker::new(settings(1), None);
    tracker.observe(&seen(0, 4_000, Ok(Role::Primary)));
    assert_eq!(tracker.verdict().label(), "no-evidence");
}

#[test]
fn a_wall_clock_that_jumps_forwards_ends_the_lease() {
    let mut tracker = Tracker::new(settings(1), None);
    tracker.observe(&seen(0, 10, Ok(Role::Primary)));
    let paused = Timestamp::new(Duration::from_millis(500), Duration::from_secs(2_000_000));
    assert_eq!(tracker.verdict().at(paused), Verdict::Refuse(Reason::Expired));
}

#[test]
fn nothing_is_observed_after_the_stop() {
    let mut tracker = Tracker::new(settings(1), None);
    tracker.observe(&seen(0, 10, Ok(Role::Primary)));
    tracker.stop();
    tracker.observe(&seen(20, 30, Ok(Role::Primary)));
    tracker.expire(at(9_000));
    assert_eq!(tracker.verdict(), &Verdict::Refuse(Reason::Stopping));
}

#[test]
fn a_shorter_stale_after_shortens_what_was_granted() {
    let mut tracker = Tracker::new(settings(1), None);
    tracker.observe(&seen(0, 10, Ok(Role::Primary)));
    tracker.set(Settings { stale_after: Duration::from_secs(1), ..settings(1) });
    assert!(tracker.verdict().serves(at(999)));
    assert!(!tracker.verdict().serves(at(1_000)));
    tracker.set(settings(1));
    assert!(!tracker.verdict().serves(at(1_000)), "a longer one prolongs nothing that was granted before");
}

#[test]
fn the_next_process_continues_the_epoch_unless_the_role_was_lost() {
    let primary = |remembered| {
        let mut tracker = Tracker::new(settings(1), remembered);
        tracker.observe(&seen(0, 10, Ok(Role::Primary)));
        (tracker.epoch(), tracker.origin())
    };
    assert_eq!(primary(None), (Epoch(1), Some(Origin::Found)));
    let remembered =
        |primary| Some(Remembered { epoch: Epoch(7), primary, asked_at: None, promoted_at: None });
    assert_eq!(primary(remembered(true)), (Epoch(7), Some(Origin::Found)));
    assert_eq!(primary(remembered(false)), (Epoch(8), Some(Origin::Found)));
}

#[test]
fn a_promotion_counts_as_seen_however_long_the_instance_was_out_of_sight_before() {
    for blind in [1, 3_600] {
        let mut tracker = Tracker::new(settings(1), None);
        tracker.observe(&seen(1_000, 1_010, Ok(Role::Backup)));
        let asked = 1_000 + blind * 1_000;
        tracker.observe(&seen(asked, asked + 10, Ok(Role::Primary)));
        assert_eq!((tracker.epoch(), tracker.origin()), (Epoch(1), Some(Origin::Promoted)), "{blind} s");
        // The arbiter decides what may have happened in between; it learns when the last answer came.
        assert_eq!((tracker.other_at(), tracker.promoted_at()), (Some(at(1_000)), Some(at(asked))));
    }
}

#[test]
fn the_moment_of_a_promotion_is_known_if_it_was_seen_and_as_long_as_it_is_held() {
    let mut tracker = Tracker::new(settings(1), None);
    tracker.observe(&seen(0, 10, Ok(Role::Primary)));
    assert_eq!(tracker.promoted_at(), None, "found, not seen");
    tracker.observe(&seen(1_000, 1_010, Ok(Role::Backup)));
    tracker.observe(&seen(2_000, 2_010, Ok(Role::Primary)));
    assert_eq!(tracker.promoted_at(), Some(at(2_000)));
    tracker.observe(&seen(9_000, 9_010, Ok(Role::Primary)));
    assert_eq!((tracker.origin(), tracker.promoted_at()), (Some(Origin::Resumed), Some(at(2_000))));

    let remembered = tracker.remember().expect("it has seen roles");
    assert_eq!((remembered.asked_at, remembered.promoted_at), (Some(at(9_000)), Some(at(2_000))));
    let mut next = Tracker::new(settings(1), Some(remembered));
    assert_eq!(next.promoted_at(), Some(at(2_000)));
    next.observe(&seen(20_000, 20_010, Ok(Role::Primary)));
    assert_eq!((next.epoch(), next.promoted_at()), (Epoch(2), Some(at(2_000))));

    tracker.observe(&seen(23_000, 23_010, Ok(Role::Backup)));
    let remembered = tracker.remember().expect("it has seen roles");
    assert_eq!((tracker.promoted_at(), remembered.promoted_at), (None, None));
    assert_eq!(Tracker::new(settings(1), Some(remembered)).other_at(), Some(at(23_000)));
}

#[test]
fn a_ruling_that_is_lifted_leaves_what_the_evidence_says() {
    let mut tracker = Tracker::new(settings(1), None);
    tracker.observe(&seen(0, 10, Ok(Role::Primary)));
    tracker.supersede(Epoch(1), "10.0.2.12");
    assert!(!tracker.verdict().serves(at(10)));
    assert_eq!(
        tracker.primary_at(at(10)),
        Some(Epoch(1)),
        "the instance itself is the primary all the while"
    );
    tracker.reinstate();
    assert!(
        tracker.verdict().serves(at(10)) && !tracker.verdict().serves(at(4_000)),
        "the lease is no longer"
    );
    assert_eq!((tracker.epoch(), tracker.origin()), (Epoch(1), Some(Origin::Found)), "it is no promotion");

    tracker.supersede(Epoch(1), "10.0.2.12");
    tracker.expire(at(4_000));
    tracker.reinstate();
    assert_eq!(tracker.verdict(), &Verdict::Refuse(Reason::Expired));
}

#[test]
fn a_superseded_member_refuses_until_the_instance_is_seen_in_another_role() {
    let mut tracker = Tracker::new(settings(1), None);
    tracker.supersede(Epoch(0), "10.0.2.12");
    assert_eq!(tracker.verdict().label(), "starting", "there is nothing to supersede");
    tracker.observe(&seen(0, 10, Ok(Role::Primary)));
    tracker.supersede(Epoch(7), "10.0.2.12");
    assert_eq!(tracker.verdict().label(), "primary", "a ruling about another epoch");
    tracker.supersede(Epoch(1), "10.0.2.12");
    let superseded = Verdict::Refuse(Reason::Superseded { by: "10.0.2.12".to_owned() });
    assert_eq!(tracker.verdict(), &superseded);
    tracker.observe(&seen(1_000, 1_010, Ok(Role::Primary)));
    tracker.observe(&seen(2_000, 2_010, Err(silent())));
    tracker.expire(at(90_000));
    tracker.observe(&seen(90_000, 90_010, Ok(Role::Primary)));
    assert_eq!(tracker.verdict(), &superseded);
    tracker.observe(&seen(91_000, 91_010, Ok(Role::Backup)));
    assert_eq!(tracker.verdict(), &Verdict::Refuse(Reason::NotPrimary(Role::Backup)));
    tracker.observe(&seen(92_000, 92_010, Ok(Role::Primary)));
    assert!(tracker.verdict().serves(at(92_010)));
    assert_eq!((tracker.epoch(), tracker.origin()), (Epoch(2), Some(Origin::Promoted)));
}

#[test]
fn what_was_remembered_is_handed_on_before_any_answer() {
    let mut tracker = Tracker::new(settings(1), None);
    assert_eq!(tracker.remember(), None);
    tracker.observe(&seen(0, 10, Err(silent())));
    assert_eq!(tracker.remember(), None);
    for primary in [true, false] {
        let promoted_at = primary.then_some(at(3));
        let remembered = Remembered { epoch: Epoch(7), primary, asked_at: Some(at(5)), promoted_at };
        let mut tracker = Tracker::new(settings(1), Some(remembered));
        assert_eq!(tracker.remember(), Some(remembered));
        tracker.observe(&seen(0, 10, Err(silent())));
        assert_eq!(tracker.remember(), Some(remembered));
    }
}

#[test]
fn an_answer_that_is_not_counted_yet_is_not_handed_on() {
    let handed_on = |tracker: &Tracker| {
        let remembered = tracker.remember().expect("it has seen roles");
        (remembered.primary, remembered.asked_at)
    };
    let mut tracker = Tracker::new(settings(2), None);
    tracker.observe(&seen(0, 0, Ok(Role::Backup)));
    tracker.observe(&seen(1_000, 1_000, Ok(Role::Primary)));
    assert_eq!((tracker.verdict().label(), handed_on(&tracker)), ("rising", (false, Some(at(0)))));
    tracker.observe(&seen(2_000, 2_000, Ok(Role::Primary)));
    assert_eq!(handed_on(&tracker), (true, Some(at(2_000))));
    // Out of sight for long; the next process must learn for how long.
    tracker.expire(at(60_000));
    tracker.observe(&seen(60_000, 60_000, Ok(Role::Primary)));
    assert_eq!((tracker.verdict().label(), handed_on(&tracker)), ("rising", (true, Some(at(2_000)))));
}

// === properties ===

/// One thing that happens to a member: time passes, and then a question is asked and answered.
#[derive(Clone, Debug)]
struct Event {
    pause: u64,
    takes: u64,
    outcome: Result<Role, NoEvidence>,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let outcome = prop_oneof![
        5 => Just(Ok(Role::Primary)),
        1 => Just(Ok(Role::Backup)),
        3 => Just(Err(silent())),
        1 => Just(Err(NoEvidence::CommandMissing(String::new()))),
    ];
    let event = (0_u64..2_500, 0_u64..4_500, outcome).prop_map(|(pause, takes, outcome)| Event {
        pause,
        takes,
        outcome,
    });
    prop::collection::vec(event, 1..24)
}

fn history(events: &[Event]) -> Vec<Observation> {
    let mut now = 0;
    events
        .iter()
        .map(|event| {
            let asked = now + event.pause;
            now = asked + event.takes;
            seen(asked, now, event.outcome.clone())
        })
        .collect()
}

fn track(rise: u32, history: &[Observation]) -> Tracker {
    let mut tracker = Tracker::new(settings(rise), None);
    for observation in history {
        tracker.observe(observation);
    }
    tracker
}

/// The rules, read off the whole history: who serves at `now` after all of it.
fn oracle_serves(rise: usize, history: &[Observation], now: Timestamp) -> bool {
    let fresh = |o: &Observation, then: Timestamp| o.asked_at.age_at(then) < STALE_AFTER;
    let good = |o: &Observation| o.outcome == Ok(Role::Primary) && fresh(o, o.answered_at);
    let bad = |o: &Observation| matches!(&o.outcome, Ok(role) if *role != Role::Primary);
    // Only what came after the last definite bad news counts.
    let since = history.iter().rposition(bad).map_or(0, |index| index + 1);
    let history = &history[since..];
    // The newest good news must be fresh at the reader.
    let Some(newest) = history.iter().rposition(good) else { return false };
    if !fresh(&history[newest], now) {
        return false;
    }
    // And it must hang together, without a gap in freshness, with `rise` good answers in a row.
    (0..=newest).filter(|&end| good(&history[end])).any(|end| {
        let unbroken = (end..newest).all(|index| {
            let last_good = history[..=index].iter().rposition(good).expect("`end` is good");
            !good(&history[index + 1]) || fresh(&history[last_good], history[index + 1].answered_at)
        });
        let risen = end + 1 >= rise && {
            let run = &history[end + 1 - rise..=end];
            run.iter().all(good) && run.windows(2).all(|pair| fresh(&pair[0], pair[1].answered_at))
        };
        unbroken && risen
    })
}

#[test]
fn one_answer_after_silence_is_not_two_in_a_row() {
    let history = [seen(0, 0, Err(silent())), seen(0, 0, Ok(Role::Primary))];
    assert!(!track(2, &history).verdict().serves(at(0)));
    assert!(track(1, &history).verdict().serves(at(0)));
}

proptest! {
    #[test]
    fn agrees_with_the_oracle(events in events(), rise in 1_u32..4, later in 0_u64..5_000) {
        let history = history(&events);
        let now = history.last().expect("not empty").answered_at.later_by(Duration::from_millis(later));
        let tracker = track(rise, &history);
        prop_assert_eq!(tracker.verdict().serves(now), oracle_serves(rise as usize, &history, now));
    }

    #[test]
    fn never_serves_past_the_newest_answer_of_primary(events in events(), later in 0_u64..5_000) {
        let history = history(&events);
        let now = history.last().expect("not empty").answered_at.later_by(Duration::from_millis(later));
        let newest = history.iter().rev().find(|o| o.outcome == Ok(Role::Primary));
        if track(1, &history).verdict().serves(now) {
            let newest = newest.expect("serving without ever having seen a primary");
            prop_assert!(newest.asked_at.age_at(now) < STALE_AFTER);
        }
    }

    #[test]
    fn a_failure_in_place_of_good_news_never_helps(events in events(), rise in 1_u32..4, index in any::<prop::sample::Index>()) {
        let history = history(&events);
        let now = history.last().expect("not empty").answered_at;
        let good: Vec<usize> = (0..history.len()).filter(|&i| history[i].outcome == Ok(Role::Primary)).collect();
        let mut worse = history.clone();
        if !good.is_empty() {
            worse[good[index.index(good.len())]].outcome = Err(silent());
        }
        if track(rise, &worse).verdict().serves(now) {
            prop_assert!(track(rise, &history).verdict().serves(now));
        }
    }

    #[test]
    fn definite_bad_news_is_believed_at_once(events in events(), rise in 1_u32..4) {
        let mut tracker = track(rise, &history(&events));
        tracker.observe(&seen(200_000, 200_001, Ok(Role::Backup)));
        prop_assert_eq!(tracker.verdict(), &Verdict::Refuse(Reason::NotPrimary(Role::Backup)));
    }

    #[test]
    fn the_epoch_counts_the_promotions_seen(events in events()) {
        let mut tracker = Tracker::new(settings(1), None);
        let (mut promotions, mut lost) = (0, true);
        for observation in history(&events) {
            tracker.observe(&observation);
            match &observation.outcome {
                Ok(Role::Primary) if observation.asked_at.age_at(observation.answered_at) < STALE_AFTER => {
                    promotions += u64::from(std::mem::take(&mut lost));
                }
                Ok(Role::Primary) | Err(_) => {}
                Ok(_) => lost = true,
            }
            prop_assert_eq!(u64::from(tracker.epoch()), promotions);
        }
    }

    #[test]
    fn nothing_but_a_loss_makes_a_superseded_member_serve(before in events(), after in events()) {
        let history = history(&before);
        let now = history.last().expect("not empty").answered_at;
        let mut tracker = track(1, &history);
        tracker.observe(&seen(500_000, 500_000, Ok(Role::Primary)));
        tracker.supersede(tracker.epoch(), "another");
        let mut lost = false;
        for event in self::history(&after) {
            let shift = |t: Timestamp| t.later_by(Duration::from_secs(600));
            let observation = Observation { asked_at: shift(event.asked_at), answered_at: shift(event.answered_at), ..event };
            lost |= matches!(&observation.outcome, Ok(role) if *role != Role::Primary);
            tracker.observe(&observation);
            prop_assert!(lost || !tracker.verdict().serves(observation.answered_at), "{now}");
        }
    }

    #[test]
    fn expiring_changes_no_readers_mind(events in events(), later in 0_u64..9_000) {
        let history = history(&events);
        let now = history.last().expect("not empty").answered_at.later_by(Duration::from_millis(later));
        let tracker = track(1, &history);
        let mut expired = tracker.clone();
        expired.expire(now);
        prop_assert_eq!(expired.verdict().serves(now), tracker.verdict().serves(now));
    }
}
