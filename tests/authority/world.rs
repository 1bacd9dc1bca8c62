//! The world of the model: the true state of the mirror, three members, what lies between them, and which moves there are.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mirrorvip::clock::Timestamp;
use mirrorvip::role::{Remembered, Tracker};
use mirrorvip::steer::arbiter::{self, Arbiter, Input, Instance, Output, PeerReport};
use mirrorvip::term::{Claim, HIGHEST_FIRST, Memory, Taken};
use stateright::{Model, Property};

mod action;
mod daemons;
mod mirror;
mod properties;

pub(crate) use action::{Action, Budget, Setup};

const MEMBERS: usize = 3;
const NAMES: [&str; MEMBERS] = ["a", "b", "c"];
const STALE_AFTER: Duration = Duration::from_secs(3);
/// The mirror replaces a silent primary no earlier.
const QOS_TIMEOUT: Duration = Duration::from_secs(4);
/// An orderly hand-over takes as long as an answer is believed at least; `tests/model.rs` shows what follows otherwise.
const HAND_OVER: Duration = STALE_AFTER;
/// One step of time, in milliseconds.
const TICK: u64 = 1_000;
/// Longer than any answer may be believed, and than a mirror needs.
const LONG: u64 = 5_000;
/// A term that no member accepts.
const FAR: u64 = 5 * HIGHEST_FIRST;
/// The member that has a status page and nothing else, in the world with one.
const PLAIN: usize = 2;

#[derive(Clone, Debug)]
pub(crate) struct World {
    setup: Setup,
    budget: Budget,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    setup: Setup,
    now: u64,
    left: Budget,
    members: [Member; MEMBERS],
    /// Pairs of daemons that cannot reach each other.
    cut: [[bool; MEMBERS]; MEMBERS],
    /// Members that cannot reach the cloud.
    no_cloud: [bool; MEMBERS],
    /// The answers of the second to the first are in the name of another.
    confused: [[bool; MEMBERS]; MEMBERS],
    record: Record,
    /// The members that are registered at the load balancer.
    pool: [bool; MEMBERS],
    /// The member that the mirror takes for its primary, and the rank of the last promotion.
    acting: Option<usize>,
    rank: u8,
    /// From when on the mirror may promote another, in milliseconds.
    vacant_until: u64,
    /// When the last promotion was.
    promoted_at: u64,
    /// Whether some answer was forged. That can withhold traffic, so the properties say where it cannot send it.
    forged: bool,
    /// The property that a move violated, and how.
    wrong: Option<(&'static str, &'static str)>,
}

/// The object, and in the name of which promotion it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Record {
    owner: usize,
    term: u64,
    rank: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Member {
    truth: Truth,
    daemon: Option<Daemon>,
    disk: Option<Disk>,
    snapshot: Option<Box<(Truth, Option<Disk>)>>,
}

/// The instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Truth {
    /// Says that it is the primary since the promotion of this rank; `true` while it is cut off from the mirror.
    Primary(u8, bool),
    Backup,
    /// Answers nothing; it was the primary of this rank, or the backup (0).
    Hung(u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Daemon {
    tracker: Tracker,
    arbiter: Arbiter,
    /// Whether a round of questions is under way.
    asking: bool,
    refuse: Option<String>,
    published: Memory,
    /// The promotion that it saw last, and whether it saw it less than a QoS timeout after the instance was something else.
    rank: u8,
    timely: bool,
    /// Since when it is certain of its promotion, in milliseconds.
    certain_since: Option<u64>,
    /// Which members it asked with success before a QoS timeout had passed since.
    reached: [bool; MEMBERS],
    heard: [Heard; MEMBERS],
    /// Its term when its loop began to act.
    term_before: u64,
}

/// What is remarkable in the last answer of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Heard {
    Nothing,
    Facts,
    /// It answered in the name of another.
    Conflict,
    /// A page without a term said SUCCESS at this moment.
    Success(u64),
}

/// What outlives a daemon.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Disk {
    epoch: u64,
    primary: bool,
    asked_at: Option<Timestamp>,
    memory: Memory,
}

impl World {
    pub(crate) fn new(setup: Setup, budget: Budget) -> Self {
        Self { setup, budget }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    /// The first member is the primary of a promotion that every member knows, and owns the object; or the second was promoted
    /// when the first was cut off from the mirror, and the first has asked no member since (where they can ask).
    fn init_states(&self) -> Vec<State> {
        let member = || Member { truth: Truth::Backup, daemon: None, disk: None, snapshot: None };
        let mut state = State {
            setup: self.setup,
            now: 10_000,
            left: self.budget,
            members: [member(), member(), member()],
            cut: [[false; MEMBERS]; MEMBERS],
            no_cloud: [false; MEMBERS],
            confused: [[false; MEMBERS]; MEMBERS],
            record: Record { owner: 0, term: 0, rank: 0 },
            pool: [true; MEMBERS],
            acting: None,
            rank: 0,
            vacant_until: 0,
            promoted_at: 0,
            forged: false,
            wrong: None,
        };
        for member in 0..MEMBERS {
            state.start(member);
        }
        state.meet();
        state.promote(0);
        state.meet();
        state.act(0);
        state.act(0);
        state.meet();
        assert_eq!(state.pool, [true, false, false], "the first primary is alone in the pool");
        assert_eq!((state.record.owner, state.record.term), (0, 1), "the first primary owns the object");
        assert!(state.serves(0));
        if self.setup != Setup::Peers {
            return vec![state];
        }
        let mut two = state.clone();
        two.make(Action::Isolate(0));
        two.pass(QOS_TIMEOUT);
        two.promote(1);
        two.observe(1);
        two.poll(1);
        two.act(1);
        two.pass(QOS_TIMEOUT);
        two.left = self.budget;
        assert!(two.serves(0) && two.serves(1) && two.record.owner == 1);
        vec![state, two]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.left.moves == 0 || state.wrong.is_some() {
            return;
        }
        let left = state.left;
        let has_peers = state.setup != Setup::Alone;
        actions.extend([Action::Time(TICK), Action::Time(LONG)]);
        for i in 0..MEMBERS {
            let member = &state.members[i];
            if member.daemon.is_some() {
                actions.push(Action::Observe(i));
                if !state.is_plain(i) {
                    actions.push(Action::Act(i));
                    if has_peers {
                        actions.push(Action::Poll(i));
                    }
                    if left.takes > 0 && state.may_take(i) {
                        actions.push(Action::Take(i));
                    }
                }
            }
            match member.truth {
                Truth::Primary(_, isolated) => {
                    if state.acting == Some(i) {
                        actions.push(Action::StepDown(i));
                    }
                    if left.faults > 0 && !isolated && state.acting == Some(i) {
                        actions.extend([Action::Isolate(i), Action::Hang(i)]);
                    }
                    if isolated {
                        actions.push(Action::Rejoin(i));
                    }
                }
                Truth::Backup => {
                    if left.promotions > 0 && state.may_promote() {
                        actions.push(Action::Promote(i));
                    }
                    if left.mischief > 0 && left.promotions > 0 && state.may_force() {
                        actions.push(Action::Force(i));
                    }
                }
                Truth::Hung(_) => actions.push(Action::Rejoin(i)),
            }
            if left.faults > 0 {
                match member.daemon {
                    Some(_) => actions.extend([Action::Stop(i), Action::Reload(i)]),
                    None => actions.push(Action::Lose(i)),
                }
                if matches!(member.truth, Truth::Primary(..)) && member.snapshot.is_none() {
                    actions.push(Action::Snapshot(i));
                }
                if member.snapshot.is_some() {
                    actions.push(Action::Revert(i));
                }
            }
            if member.daemon.is_none() {
                actions.push(Action::Start(i));
            }
            if left.cuts > 0 && !state.no_cloud[i] {
                actions.push(Action::CutCloud(i));
            }
            if state.no_cloud[i] {
                actions.push(Action::HealCloud(i));
            }
            if left.mischief > 0 && state.record.term < FAR {
                actions.push(Action::ForgeRecord(i));
            }
            for j in others(i).filter(|_| has_peers) {
                if i < j && state.cut[i][j] {
                    actions.push(Action::Heal(i, j));
                }
                if i < j && !state.cut[i][j] && left.cuts > 0 {
                    actions.push(Action::Cut(i, j));
                }
                if state.confused[i][j] {
                    actions.push(Action::Clarify(i, j));
                }
                let is_asked = member.daemon.is_some() && matches!(member.truth, Truth::Primary(..));
                if left.mischief > 0 && is_asked && !state.is_plain(i) && !state.is_plain(j) {
                    actions.extend([Action::Forge(i, j), Action::Exaggerate(i, j)]);
                    if !state.confused[i][j] {
                        actions.push(Action::Confuse(i, j));
                    }
                }
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.left.moves -= 1;
        next.make(action);
        (next.members != state.members
            || next.record != state.record
            || next.pool != state.pool
            || next.confused != state.confused
            || next.now != state.now
            || next.cut != state.cut
            || next.no_cloud != state.no_cloud
            || next.wrong != state.wrong)
            .then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("S1", |_, state: &State| state.is_right("S1")),
            Property::always("S4", |_, state: &State| state.is_right("S4")),
            Property::always("S5", |_, state: &State| state.is_right("S5")),
            Property::always("S6", |_, state: &State| state.numbers_are_small()),
            Property::always("S7", |_, state: &State| state.is_right("S7")),
            Property::always("S8", |_, state: &State| state.a_decision_ends_with_a_later_promotion()),
            Property::always("N", |_, state: &State| state.pool != [false; MEMBERS]),
            Property::always("L5", |_, state: &State| state.is_right("L5")),
            Property::always("L2", |_, state: &State| state.a_seen_promotion_needs_no_peer()),
            Property::always("L4", |_, state: &State| state.a_proven_promotion_needs_no_peer()),
        ];
        match self.setup {
            Setup::Peers => properties.extend([
                Property::always("S2", |_, state: &State| state.two_pages_end()),
                Property::always("S3", |_, state: &State| state.silence_reinstates_no_member()),
                Property::always("L1", |_, state: &State| state.a_lone_primary_takes_traffic()),
                Property::always("L3", |_, state: &State| state.superseded_ends_with_its_cause()),
            ]),
            Setup::Alone => properties.extend([Property::always("L6", |_, state: &State| {
                state.without_peers_no_answer_is_awaited()
            })]),
            Setup::Plain => properties.extend([
                Property::always("S3", |_, state: &State| state.silence_reinstates_no_member()),
                Property::always("L3", |_, state: &State| state.superseded_ends_with_its_cause()),
            ]),
        }
        properties
    }
}

impl State {
    fn at(&self) -> Timestamp {
        Timestamp::new(Duration::from_millis(self.now), Duration::from_millis(1_000_000_000 + self.now))
    }

    fn rank_of(&self, i: usize) -> u8 {
        match self.members[i].truth {
            Truth::Primary(rank, _) | Truth::Hung(rank) => rank,
            Truth::Backup => 0,
        }
    }

    fn is_plain(&self, i: usize) -> bool {
        self.setup == Setup::Plain && i == PLAIN
    }

    /// Whether an operator who knows the true primary decides for this member, and there is something to decide.
    fn may_take(&self, i: usize) -> bool {
        self.acting == Some(i)
            && self.rank_of(i) == self.rank
            && self.members[i].daemon.as_ref().is_some_and(|daemon| daemon.arbiter.doubt(self.at()).is_ok())
    }

    fn settings(&self, i: usize) -> arbiter::Settings {
        let peers = others(i).filter(|_| self.setup != Setup::Alone);
        arbiter::Settings {
            member: NAMES[i].to_owned(),
            peers: peers.map(|j| (NAMES[j].to_owned(), None)).collect(),
            qos_timeout: QOS_TIMEOUT,
            refuses: true,
        }
    }

    fn daemon(&mut self, i: usize) -> &mut Daemon {
        self.members[i].daemon.as_mut().expect("moves of a daemon are made while it runs")
    }

    fn serves(&self, i: usize) -> bool {
        self.members[i].daemon.as_ref().is_some_and(|daemon| daemon.tracker.verdict().serves(self.at()))
    }
}

impl fmt::Display for State {
    /// For counterexamples.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>6} ms, record {} term {}, pool {:?} |",
            self.now - 10_000,
            NAMES[self.record.owner],
            self.record.term,
            NAMES
                .iter()
                .zip(self.pool)
                .filter(|(_, is_in)| *is_in)
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
        )?;
        if let Some((_, how)) = self.wrong {
            write!(f, " WRONG: {how} |")?;
        }
        for (i, member) in self.members.iter().enumerate() {
            write!(f, " {}: {:?}", NAMES[i], member.truth)?;
            if let Some(daemon) = &member.daemon {
                let Memory { term, proven, before, seen, superseded_by, taken } = daemon.arbiter.memory();
                let page = if self.serves(i) { "SUCCESS" } else { "FAILED" };
                let (proven, by) =
                    (if *proven { "" } else { "?" }, superseded_by.as_ref().map(|by| &by.mark));
                let taken = if taken.is_some() { " taken" } else { "" };
                write!(f, " term {term}{proven}{taken} before {before} seen {seen} by {by:?} {page};")?;
            }
        }
        Ok(())
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).expect("a few seconds")
}

fn others(i: usize) -> impl Iterator<Item = usize> {
    (0..MEMBERS).filter(move |j| *j != i)
}
