//! The arbiter on a test bench: the shipped role machine before it, and a disk, peers and records that a test controls.

use std::num::NonZeroU32;

use super::*;
use crate::observation::{NoEvidence, Observation, Outcome};
use crate::peer::document::{Document, Identity, Profile};
use crate::role::{Settings as RoleSettings, Tracker};
use crate::snapshot::Snapshot;

mod loopback;
mod random;
mod rows;
mod stories;
mod terms;

const QOS_TIMEOUT: Duration = Duration::from_secs(8);
const STALE_AFTER: Duration = Duration::from_secs(4);

/// One member of a mirror: `a`, unless a test says otherwise.
#[derive(Clone)]
struct Bench {
    settings: Settings,
    arbiter: Arbiter,
    snapshot: Snapshot,
    now: Timestamp,
    /// What is on disk.
    disk: Memory,
    /// Memory that was to be written and is not yet, while the disk is slow.
    writing: Vec<Memory>,
    slow_disk: bool,
    /// What was published last.
    ruling: Option<Ruling>,
    /// Every answer to a consultation.
    answers: Vec<Authority>,
    rounds: usize,
}

/// `seconds` after a common start.
fn at(seconds: u64) -> Timestamp {
    Timestamp::new(Duration::from_secs(10_000 + seconds), Duration::from_secs(1_700_000_000 + seconds))
}

fn settings(peers: &[&str]) -> Settings {
    Settings {
        member: "a".to_owned(),
        peers: peers.iter().map(|peer| (format!("10.0.0.{peer}"), Some((*peer).to_owned()))).collect(),
        qos_timeout: QOS_TIMEOUT,
        refuses: true,
    }
}

fn settings_of(me: &str, peers: &[&str]) -> Settings {
    Settings { member: me.to_owned(), ..settings(peers) }
}

/// Both ask each other.
fn meet(one: &mut Bench, other: &mut Bench) {
    let (first, second) = (one.report(), other.report());
    one.round([second]);
    other.round([first]);
}

fn mark(member: &str, term: u64) -> Claim {
    Claim { term, member: member.to_owned() }
}

/// What a member remembers whose promotion with `term` was the highest.
fn promoted(term: u64) -> Memory {
    Memory { term, proven: true, before: term - 1, seen: mark("a", term), ..Memory::default() }
}

fn facts(member: &str, role: PeerRole, term: u64) -> PeerFacts {
    let serving = role == PeerRole::Primary;
    PeerFacts { member: member.to_owned(), role, serving, term, proven: true, seen: mark(member, term) }
}

/// The answer of a backup whose last promotion had `term`.
fn backup(member: &str, term: u64) -> PeerReport {
    PeerReport::Facts(facts(member, PeerRole::Other { age: Duration::from_millis(500) }, term))
}

/// The same from one that knows of `seen`.
fn backup_knowing(member: &str, term: u64, seen: Claim) -> PeerReport {
    let role = PeerRole::Other { age: Duration::from_millis(500) };
    PeerReport::Facts(PeerFacts { seen, ..facts(member, role, term) })
}

/// The answer of a primary whose page says SUCCESS.
fn primary(member: &str, term: u64) -> PeerReport {
    PeerReport::Facts(facts(member, PeerRole::Primary, term))
}

fn silent() -> PeerReport {
    PeerReport::Silent("no answer".to_owned())
}

fn clear(term: u64) -> Authority {
    Authority::Clear { term, certain: false }
}

fn certain(term: u64) -> Authority {
    Authority::Clear { term, certain: true }
}

fn decision() -> Taken {
    let [reason, user, at, overrode] = ["why", "me", "2026-11-21T02:40:00Z", ""].map(str::to_owned);
    Taken { reason, user, at, overrode }
}

impl Bench {
    /// A member without a past.
    fn new(peers: &[&str]) -> Self {
        Self::after(settings(peers), Memory::default(), None)
    }

    /// A member whose process before this one left `memory` and `role`.
    fn after(settings: Settings, memory: Memory, role: Option<Remembered>) -> Self {
        let rules = RoleSettings { stale_after: STALE_AFTER, rise: NonZeroU32::MIN };
        let mut bench = Self {
            arbiter: Arbiter::new(settings.clone(), memory.clone(), Instance::remembered(role)),
            settings,
            disk: memory,
            snapshot: Snapshot::new(Tracker::new(rules, role)),
            now: at(0),
            writing: Vec::new(),
            slow_disk: false,
            ruling: None,
            answers: Vec::new(),
            rounds: 0,
        };
        bench.follow();
        bench
    }

    /// The next process, which finds what this one left on disk.
    fn restart(&self, settings: Settings) -> Self {
        let mut next = Self::after(settings, self.disk.clone(), self.snapshot.tracker().remember());
        next.now = self.now;
        next
    }

    /// A primary beside `peers` whose promotion was seen, some time ago.
    fn serving(peers: &[&str]) -> Self {
        Self::new(peers).after_promotion()
    }

    fn after_promotion(self) -> Self {
        let mut bench = self;
        bench.is(Ok(Role::Backup));
        bench.pass(1);
        bench.is(Ok(Role::Primary));
        bench.hold(2 * QOS_TIMEOUT.as_secs());
        bench
    }

    /// A primary that was found as such: its promotion was not seen.
    fn found(peers: &[&str]) -> Self {
        let mut bench = Self::new(peers);
        bench.is(Ok(Role::Primary));
        bench
    }

    fn input(&mut self, input: Input) {
        if let Input::Stored(memory) = &input {
            self.disk = memory.clone();
        }
        let outputs = self.arbiter.handle(self.now, input);
        let mut stored = Vec::new();
        for output in outputs {
            match output {
                Output::Ask => self.rounds += 1,
                Output::Store(memory) if self.slow_disk => self.writing.push(memory),
                Output::Store(memory) => stored.push(memory),
                Output::Publish(ruling) => self.publish(ruling),
                Output::Answer { authority, .. } => self.answers.push(authority),
            }
        }
        for memory in stored {
            self.input(Input::Stored(memory));
        }
    }

    /// Carries the ruling out as the probe loop does.
    fn publish(&mut self, ruling: Ruling) {
        self.snapshot.rule(self.now, |tracker| match &ruling.refuse {
            Some(by) => tracker.supersede(tracker.epoch(), by),
            None => tracker.reinstate(),
        });
        self.ruling = Some(ruling);
    }

    /// What this member reports to the others at this moment.
    fn report(&self) -> PeerReport {
        let Ruling { memory, authority, .. } = self.ruling();
        let identity = Identity { member: self.settings.member.clone(), ..Identity::default() };
        let profile =
            Profile { proven: memory.proven, authority: authority.word(), ..Profile::new(identity, memory) };
        PeerReport::Facts(PeerFacts::of(&Document::of(&profile, self.snapshot.tracker(), self.now)))
    }

    /// The disk has written all that it was to write.
    fn written(&mut self) {
        for memory in std::mem::take(&mut self.writing) {
            self.input(Input::Stored(memory));
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.later_by(Duration::from_secs(seconds));
    }

    /// The instance is asked now, and answers at once.
    fn is(&mut self, outcome: Outcome) {
        let (asked_at, answered_at) = (self.now, self.now);
        let observation = Observation { asked_at, answered_at, outcome, evidence: String::new() };
        self.snapshot.rule(self.now, |tracker| tracker.observe(&observation));
        self.follow();
    }

    fn follow(&mut self) {
        self.input(Input::Instance(Instance::of(self.snapshot.tracker(), self.now)));
    }

    /// Lets time pass while the instance says each second that it is the primary.
    fn hold(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(1);
            self.is(Ok(Role::Primary));
        }
    }

    /// The instance does not answer for `seconds`.
    fn blind(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(1);
            self.is(Err(NoEvidence::TimedOut { after: Duration::from_secs(2) }));
        }
    }

    /// A round of questions, with the peers' answers in the order of the configuration.
    fn round<const N: usize>(&mut self, reports: [PeerReport; N]) {
        let asked_at = self.now;
        self.input(Input::Poll);
        for (peer, report) in reports.into_iter().enumerate() {
            self.input(Input::Answer { peer, asked_at, report });
        }
    }

    fn reads(&mut self, target: &str, mark: Claim) {
        self.input(Input::Record { target: target.into(), mark: Some(mark) });
    }

    /// The answer to a consultation; `None` while it is waited for.
    fn consult(&mut self) -> Option<Authority> {
        let before = self.answers.len();
        self.input(Input::Consult { ticket: before as u64 });
        (self.answers.len() > before).then(|| self.answers[before].clone())
    }

    fn ruling(&self) -> &Ruling {
        self.ruling.as_ref().expect("something is published from the start")
    }

    fn authority(&self) -> &Authority {
        &self.ruling().authority
    }

    /// The published ruling in one word.
    fn word(&self) -> &'static str {
        self.authority().word()
    }

    /// Why nothing is taken.
    fn why(&self) -> String {
        self.authority().to_string()
    }

    /// Whether the page says SUCCESS.
    fn page_serves(&self) -> bool {
        self.snapshot.verdict_at(self.now).serves(self.now)
    }

    fn memory(&self) -> &Memory {
        self.arbiter.memory()
    }
}
