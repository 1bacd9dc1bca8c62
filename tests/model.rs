//! Every interleaving of two members with the real role machine, up to a horizon.
//!
//! The model is IRIS and time: a primary that hangs, is isolated or hands over cleanly, a backup that takes
//! over no earlier than IRIS lets it, probes that are answered early, late or never, and with the true role of any
//! moment between asking and answering. The role machine in each member is the shipped one. What is checked:
//!
//! - `never two`: the pages of two members never say SUCCESS at the same moment, provided that a member that
//!   fell silent is replaced no earlier than the QoS timeout, and that an orderly hand-over takes at least as
//!   long as one question that was lost in it and the next one. (Without either proviso the checker finds the
//!   overlap, of `stale_after` at most: an instance that is silent *while* it hands over in less time.)
//! - `the end is near`: in every case, a page stops saying SUCCESS within `stale_after` of the moment at
//!   which its instance stopped being the primary;
//! - `a takeover succeeds`: that the model is not empty: a takeover with the new primary serving is reached.
//!
//! The checks can fail: with freshness counted from the answer, and with a `stale_after` beyond the QoS
//! timeout, the checker finds the counterexample.

use std::num::NonZeroU32;
use std::time::Duration;

use mirrorvip::clock::Timestamp;
use mirrorvip::observation::{NoEvidence, Observation, OtherRole, Role};
use mirrorvip::role::{Settings, Tracker};
use stateright::{Checker, Model, Property};

type Tick = u8;

/// One of the two members: 0 is the primary at the beginning, 1 the backup.
type Member = usize;

#[derive(Clone, Debug)]
struct Mirror {
    interval: Tick,
    timeout: Tick,
    stale_after: Tick,
    /// How long IRIS waits before the backup replaces a silent primary.
    qos_timeout: Tick,
    /// How long an orderly hand-over takes at least: more than `max(interval, timeout) + timeout`.
    hand_over: Tick,
    horizon: Tick,
    freshness: Freshness,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Freshness {
    FromTheQuestion,
    FromTheAnswer,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: Tick,
    members: [MemberState; 2],
    /// When the first primary stopped being it.
    lost_at: Option<Tick>,
    /// From when on the backup may become primary.
    takeover_from: Option<Tick>,
    /// Whether the old primary hands over cleanly, and so answers what it is asked from then on.
    orderly: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct MemberState {
    /// What the instance would say; `None` while it hangs.
    truth: Option<Truth>,
    daemon: Daemon,
    tracker: Tracker,
    asked_at: Option<Tick>,
    last_asked: Option<Tick>,
    /// What the instance has been since the question was asked.
    since_asked: Vec<Truth>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Daemon {
    Running,
    /// SIGSTOP, a hung runtime: it asks no more, and its page still answers.
    Frozen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Truth {
    Primary,
    Backup,
    Down,
    Trouble,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Tick,
    Ask(Member),
    Answer(Member, Truth),
    NoAnswer(Member),
    /// The primary hangs, loses power or is cut off.
    Silence,
    /// The primary is cut off and says so.
    InTrouble,
    HandOver,
    FreezeDaemon,
    TakeOver,
    Rejoin,
}

impl Model for Mirror {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let settings =
            Settings { stale_after: Duration::from_secs(self.stale_after.into()), rise: NonZeroU32::MIN };
        let member = |truth| MemberState {
            truth: Some(truth),
            daemon: Daemon::Running,
            tracker: Tracker::new(settings, None),
            asked_at: None,
            last_asked: None,
            since_asked: Vec::new(),
        };
        vec![State {
            now: 0,
            members: [member(Truth::Primary), member(Truth::Backup)],
            lost_at: None,
            takeover_from: None,
            orderly: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let [old, new] = &state.members;
        for (index, member) in state.members.iter().enumerate() {
            match member.asked_at {
                None if member.daemon == Daemon::Running && self.is_due(member, state.now) => {
                    actions.push(Action::Ask(index));
                }
                None => {}
                Some(asked) => {
                    let must_answer = index == 0 && state.orderly && state.lost_at <= Some(asked);
                    if !must_answer {
                        actions.push(Action::NoAnswer(index));
                    }
                    actions.extend(member.since_asked.iter().map(|truth| Action::Answer(index, *truth)));
                }
            }
        }
        if state.lost_at.is_none() {
            actions.extend([Action::Silence, Action::InTrouble]);
            // A frozen daemon on a member that hands over cleanly is two failures at once: out of scope.
            if old.daemon == Daemon::Running {
                actions.extend([Action::HandOver, Action::FreezeDaemon]);
            }
        }
        if state.takeover_from.is_some_and(|from| state.now >= from) && new.truth == Some(Truth::Backup) {
            actions.push(Action::TakeOver);
        }
        if new.truth == Some(Truth::Primary) && old.truth != Some(Truth::Backup) {
            actions.push(Action::Rejoin);
        }
        if state.now < self.horizon && state.members.iter().all(|member| self.may_wait(member, state.now)) {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut state = state.clone();
        let now = state.now;
        match action {
            Action::Tick => state.now += 1,
            Action::Ask(index) => {
                let member = &mut state.members[index];
                (member.asked_at, member.last_asked) = (Some(now), Some(now));
                member.since_asked = member.truth.into_iter().collect();
            }
            Action::Answer(index, truth) => self.observe(&mut state, index, Some(truth)),
            Action::NoAnswer(index) => self.observe(&mut state, index, None),
            Action::Silence => Self::lose(&mut state, None, self.qos_timeout),
            Action::InTrouble => Self::lose(&mut state, Some(Truth::Trouble), self.qos_timeout),
            Action::HandOver => {
                state.orderly = true;
                Self::lose(&mut state, Some(Truth::Down), self.hand_over);
            }
            Action::FreezeDaemon => state.members[0].daemon = Daemon::Frozen,
            Action::TakeOver => change(&mut state.members[1], Some(Truth::Primary)),
            Action::Rejoin => change(&mut state.members[0], Some(Truth::Backup)),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("never two", |_, state: &State| !(serves(state, 0) && serves(state, 1))),
            Property::always("the end is near", |model: &Self, state: &State| {
                state
                    .lost_at
                    .is_none_or(|lost_at| state.now < lost_at + model.stale_after || !serves(state, 0))
            }),
            Property::sometimes("a takeover succeeds", |_, state: &State| serves(state, 1)),
        ]
    }
}

impl Mirror {
    fn is_due(&self, member: &MemberState, now: Tick) -> bool {
        member.last_asked.is_none_or(|asked| now >= asked + self.interval)
    }

    /// Time passes over a running daemon only when it has done what was due.
    fn may_wait(&self, member: &MemberState, now: Tick) -> bool {
        match member.asked_at {
            Some(asked) => now < asked + self.timeout || member.daemon == Daemon::Frozen,
            None => !self.is_due(member, now) || member.daemon == Daemon::Frozen,
        }
    }

    fn lose(state: &mut State, truth: Option<Truth>, takeover_after: Tick) {
        state.lost_at = Some(state.now);
        state.takeover_from = Some(state.now + takeover_after);
        change(&mut state.members[0], truth);
    }

    fn observe(&self, state: &mut State, index: Member, answer: Option<Truth>) {
        let now = moment(state.now);
        let member = &mut state.members[index];
        let asked_at = moment(member.asked_at.take().expect("only a question in flight is answered"));
        member.since_asked.clear();
        let outcome = match answer {
            Some(Truth::Primary) => Ok(Role::Primary),
            Some(Truth::Backup) => Ok(Role::Backup),
            Some(Truth::Down) => Ok(Role::Other(OtherRole::InstanceDown)),
            Some(Truth::Trouble) => Err(NoEvidence::Trouble(String::new())),
            None => Err(NoEvidence::TimedOut { after: Duration::ZERO }),
        };
        let asked_at = match self.freshness {
            Freshness::FromTheQuestion => asked_at,
            Freshness::FromTheAnswer => now,
        };
        member.tracker.observe(&Observation { asked_at, answered_at: now, outcome, evidence: String::new() });
    }
}

fn change(member: &mut MemberState, truth: Option<Truth>) {
    member.truth = truth;
    if member.asked_at.is_some() {
        member.since_asked.extend(truth);
    }
}

fn serves(state: &State, member: Member) -> bool {
    state.members[member].tracker.verdict().serves(moment(state.now))
}

fn moment(tick: Tick) -> Timestamp {
    let since_start = Duration::from_secs(tick.into());
    Timestamp::new(since_start, Duration::from_secs(1_000_000) + since_start)
}

fn shipped() -> Mirror {
    Mirror {
        interval: 1,
        timeout: 1,
        stale_after: 4,
        qos_timeout: 5,
        hand_over: 3,
        horizon: 9,
        freshness: Freshness::FromTheQuestion,
    }
}

#[test]
fn two_members_never_serve_together() {
    let checker = shipped().checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    println!("{} states", checker.unique_state_count());
    assert!(
        checker.unique_state_count() > 1_000,
        "the model has shrunk to {} states",
        checker.unique_state_count()
    );
}

#[test]
fn freshness_counted_from_the_answer_serves_too_long() {
    let mutant = Mirror { freshness: Freshness::FromTheAnswer, ..shipped() };
    let checker = mutant.checker().threads(2).spawn_bfs().join();
    assert!(checker.discovery("the end is near").is_some(), "the checker did not see it");
}

#[test]
fn a_hand_over_faster_than_the_probe_makes_two_primaries() {
    let mutant = Mirror { hand_over: 0, ..shipped() };
    let checker = mutant.checker().threads(2).spawn_bfs().join();
    assert!(checker.discovery("never two").is_some(), "the checker did not see it");
}

#[test]
fn an_answer_believed_beyond_the_qos_timeout_makes_two_primaries() {
    let mutant = Mirror { stale_after: 7, ..shipped() };
    let checker = mutant.checker().threads(2).spawn_bfs().join();
    assert!(checker.discovery("never two").is_some(), "the checker did not see it");
}
