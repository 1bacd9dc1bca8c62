//! The arbiter: may this member take traffic? PURE and sans-IO: inputs with their moment in, outputs out; no task, no
//! clock, no channel.
//!
//! IRIS elects. The arbiter only has to know whether its own instance's promotion is the *latest*, because a member
//! that was isolated, paused, restarted or reverted to a snapshot can look primary to itself while another was promoted
//! after it. One number orders promotions: the [term](crate::term).
//!
//! The rule itself is a table of nine rows, in `rule`.
//!
//! # Where terms come from
//!
//! - A promotion that was seen (certainly not primary before, restarts included) gets the term after the highest that
//!   was known when the instance was certainly not primary. A term that becomes known later counts as a later
//!   promotion, except in row 4.
//! - A term is *proven* while no gap between two answers of the instance has lasted a QoS timeout since that promotion:
//!   in a longer gap the mirror can promote another member, and then this one again. Row 3 proves an unproven term.
//! - A term is written to the state file before its first use.
//! - A higher term of a member outdates that member's last answer: it does not show any more that the member is not the
//!   primary, and the member is asked again.
//! - A term far above every known one is [not believed](Memory::believes): the member that reports it counts as silent.
//!
//! An ownership record with this member's name authorizes nothing.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::observation::Role;
use crate::role::{Remembered, Tracker};
use crate::term::{Claim, Memory, Taken};

mod alarm;
pub(crate) mod driver;
mod handle;
mod members;
mod rule;
#[cfg(test)]
mod tests;

pub(crate) use driver::{Channels, Driver};
pub use driver::{MemberView, View};
#[cfg(test)]
pub(crate) use handle::Message;
pub use handle::{ArbiterHandle, TakeError};
use members::Members;
pub use members::{PeerFacts, PeerReport, PeerRole};

/// How old peers' answers may be when traffic is taken.
pub const FRESH: Duration = Duration::from_secs(2);

/// Whether this member may take traffic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Authority {
    /// As far as is known, its promotion is the latest.
    Clear {
        /// The term that its writes carry.
        term: u64,
        /// Whether that is certain whatever a cloud object says: rows 1 and 3.
        certain: bool,
    },
    /// Another member was promoted later and serves, or served when it last answered.
    Superseded {
        /// Which, and how it is known.
        by: String,
    },
    /// The evidence does not decide, so nothing is taken; every turn rules again.
    Unsure {
        /// Why, and what would help.
        why: String,
        /// This member's term as it is.
        term: u64,
    },
}

/// The arbiter's settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// This member's name.
    pub member: String,
    /// The address of each peer, and its name if the configuration says it.
    pub peers: Vec<(String, Option<String>)>,
    /// How long the mirror needs at least to promote another member.
    pub qos_timeout: Duration,
    /// Whether the page of a superseded member refuses.
    pub refuses: bool,
}

/// What the role machine knows of the own instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Instance {
    /// The last definite role.
    pub role: LastRole,
    /// Whether it is the primary now, as its own evidence says.
    pub primary: bool,
    /// Number of the last promotion that the role machine saw.
    pub epoch: u64,
    /// When the last question was asked that the instance answered with another role.
    pub other_at: Option<Timestamp>,
}

/// The last definite role of an instance, and when the question was asked; `None` for a question of another boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LastRole {
    /// There was none.
    #[default]
    Unknown,
    /// Primary.
    Primary(Option<Timestamp>),
    /// Something else.
    Other(Option<Timestamp>),
}

/// What happens to an arbiter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The role machine took in an answer, or a lease ended.
    Instance(Instance),
    /// A peer answered the question of an [`Output::Ask`], or stayed silent.
    Answer {
        /// Its place in the configuration.
        peer: usize,
        /// When the question was asked.
        asked_at: Timestamp,
        /// What came back.
        report: PeerReport,
    },
    /// A loop read the ownership record of its object.
    Record {
        /// The steering target.
        target: Arc<str>,
        /// What it carries.
        mark: Option<Claim>,
    },
    /// Steering of this target has ended.
    Gone {
        /// The steering target.
        target: Arc<str>,
    },
    /// A loop is about to take traffic.
    Consult {
        /// Identifies the answer.
        ticket: u64,
    },
    /// This memory is on disk, or it is known that it cannot be written.
    Stored(Memory),
    /// The operator decides that this member's promotion is the latest.
    Take(Taken),
    /// Time for a round of questions.
    Poll,
}

/// What an arbiter wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Ask every peer; each answers with one [`Input::Answer`].
    Ask,
    /// Write this to the state file; then [`Input::Stored`].
    Store(Memory),
    /// Publish this.
    Publish(Ruling),
    /// The answer to a consultation.
    Answer {
        /// That of the consultation.
        ticket: u64,
        /// The ruling of this moment.
        authority: Authority,
    },
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ruling {
    /// Whether this member may take traffic.
    pub authority: Authority,
    /// Why its page must refuse; `None` where it says what the instance says.
    pub refuse: Option<String>,
    /// The term to report, whether it is proven, and the highest term known.
    pub memory: Memory,
}

/// The arbiter of one mirror.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arbiter {
    settings: Settings,
    memory: Memory,
    /// The term that is on disk, or cannot be written.
    stored: u64,
    instance: Instance,
    members: Members,
    /// What ownership records carry.
    records: BTreeMap<Arc<str>, Claim>,
    round: Option<Round>,
    /// When the last round ended whose answers were all current.
    answered_at: Option<Timestamp>,
    waiting: Vec<u64>,
    published: Option<Ruling>,
}

/// A round of questions under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Round {
    /// How many answers are missing.
    missing: usize,
    /// Whether something became known since it began that its answers may not cover.
    outdated: bool,
}

impl Arbiter {
    /// An arbiter with what an earlier one left: its memory, and the last definite role of the instance.
    pub fn new(settings: Settings, memory: Memory, instance: Instance) -> Self {
        let members = Members::new(&settings.member, settings.qos_timeout, &settings.peers);
        let mut memory = memory;
        if memory.seen.member.is_empty() && memory.seen.term == memory.term {
            memory.seen.member.clone_from(&settings.member);
        }
        // A former peer cannot be asked whether it still serves; its term still counts.
        memory.superseded_by = memory.superseded_by.filter(|by| members.has(&by.address));
        let stored = memory.term;
        let instance = Instance { primary: false, ..instance };
        let mut arbiter = Self {
            settings,
            memory,
            stored,
            instance,
            members,
            records: BTreeMap::new(),
            round: None,
            answered_at: None,
            waiting: Vec::new(),
            published: None,
        };
        if let LastRole::Other(_) = instance.role {
            // The role was lost after the memory was written.
            arbiter.lose();
        }
        arbiter
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Vec<Output> {
        let before = self.memory.clone();
        let mut ask = false;
        match input {
            Input::Instance(instance) => ask = self.observe(instance),
            Input::Answer { peer, asked_at, report } => self.answered(now, peer, asked_at, report),
            Input::Record { target, mark } => self.read(target, mark),
            Input::Gone { target } => drop(self.records.remove(&target)),
            Input::Consult { ticket } => self.waiting.push(ticket),
            Input::Stored(memory) => self.stored = memory.term,
            Input::Take(taken) => self.take(taken),
            Input::Poll => ask = true,
        }
        let authority = self.rule(now);
        let mut outputs = Vec::new();
        if self.memory != before {
            outputs.push(Output::Store(self.memory.clone()));
        }
        let usable = self.stored == self.memory.term;
        let fresh = self.nothing_can_be_newer(now);
        ask |= !fresh && !self.waiting.is_empty();
        if ask && self.round.is_none() && !self.members.none() {
            self.round = Some(Round { missing: self.members.count(), outdated: false });
            outputs.push(Output::Ask);
        }
        if usable {
            let refuse = self.refuses(&authority);
            let ruling = Ruling { authority: authority.clone(), refuse, memory: self.memory.clone() };
            if self.published.as_ref() != Some(&ruling) {
                self.published = Some(ruling.clone());
                outputs.push(Output::Publish(ruling));
            }
            if fresh {
                let answer = |ticket| Output::Answer { ticket, authority: authority.clone() };
                outputs.extend(std::mem::take(&mut self.waiting).into_iter().map(answer));
            }
        }
        outputs
    }

    /// Why the page must refuse. A supersession stays in force while the instance does not answer: otherwise the page
    /// would say SUCCESS between the instance's next answer and the next ruling.
    fn refuses(&self, authority: &Authority) -> Option<String> {
        let by = match authority {
            Authority::Superseded { by } => Some(by.clone()),
            Authority::Unsure { .. } if !self.instance.primary => self.superseded(),
            Authority::Clear { .. } | Authority::Unsure { .. } => None,
        };
        by.filter(|_| self.settings.refuses)
    }

    /// The memory as it should be on disk.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What `take` would override at `now`; the error says why there is nothing to take.
    pub fn doubt(&self, now: Timestamp) -> Result<String, &'static str> {
        if !self.instance.primary {
            return Err("the instance is not the primary now: only a primary can take traffic");
        }
        // Of a copy: a term that rises here would never be stored.
        match self.clone().rule(now) {
            Authority::Clear { certain: true, .. } => {
                Err("this member may take traffic already; there is nothing to override")
            }
            // An object that another member or tool wrote is held: that can be overridden.
            Authority::Clear { term, certain: false } => Ok(format!(
                "clear, term {term}, but not every other member has confirmed that it is not the primary: objects that \
                 another member or tool wrote are left as they are"
            )),
            doubt @ (Authority::Superseded { .. } | Authority::Unsure { .. }) => Ok(doubt.to_string()),
        }
    }

    // --- what happens

    /// Returns whether to ask the peers: a primary whose instance answers again cannot rely on earlier answers.
    fn observe(&mut self, new: Instance) -> bool {
        let old = std::mem::replace(&mut self.instance, new);
        match new.role {
            // The previous process's observation counts until there is a definite answer.
            LastRole::Unknown => self.instance.role = old.role,
            LastRole::Other(_) => self.lose(),
            LastRole::Primary(_) if !new.primary => self.instance.role = old.role,
            LastRole::Primary(asked_at) => match old.role {
                // A watcher may miss that the role was lost and regained; the role machine never does.
                LastRole::Primary(_) if new.epoch != old.epoch => {
                    self.lose();
                    self.promote();
                }
                LastRole::Other(_) => self.promote(),
                LastRole::Primary(then) => {
                    let blind = !matches!((then, asked_at), (Some(then), Some(now)) if then.age_at(now) < self.settings.qos_timeout);
                    if blind {
                        // Nor is it certain that this is the promotion that the operator decided about.
                        (self.memory.proven, self.memory.taken) = (false, None);
                    }
                }
                LastRole::Unknown => self.memory.proven = false,
            },
        }
        let regained = new.primary && !old.primary;
        if regained {
            self.outdate_answers();
        }
        regained
    }

    /// The instance certainly is not the primary.
    fn lose(&mut self) {
        let memory = &mut self.memory;
        (memory.proven, memory.before) = (false, memory.seen.term);
        (memory.superseded_by, memory.taken) = (None, None);
    }

    /// A promotion was seen.
    fn promote(&mut self) {
        // The own term counts as well: while steering was off, `before` was not kept up to date.
        self.memory.term = self.memory.before.max(self.memory.term).saturating_add(1);
        self.memory.proven = true;
        if self.memory.term > self.memory.seen.term {
            self.memory.seen = self.own_mark();
        }
    }

    /// Takes a term above every one that is known.
    fn rise(&mut self) {
        self.memory.term = self.memory.term.max(self.memory.seen.term).saturating_add(1);
        (self.memory.proven, self.memory.seen) = (true, self.own_mark());
    }

    fn answered(&mut self, now: Timestamp, peer: usize, asked_at: Timestamp, report: PeerReport) {
        let current = self.round.is_some_and(|round| !round.outdated);
        let mut marks = self.members.answered(peer, asked_at, report, current, &self.memory);
        // Highest first: after the lowest, the highest could seem too far above it to be believed.
        marks.sort_unstable_by_key(|mark| Reverse(mark.term));
        for mark in marks {
            // Others' reports of this member's own term would hide theirs; a lost term is recovered from its own records.
            if !self.members.is_me(&mark.member) {
                self.learn(&mark);
            }
        }
        if let Some(round) = &mut self.round {
            round.missing = round.missing.saturating_sub(1);
            if round.missing == 0 {
                // A silent peer may have made the round last long; no later answer exists.
                self.answered_at = (!round.outdated).then_some(now);
                self.round = None;
            }
        }
    }

    fn read(&mut self, target: Arc<str>, mark: Option<Claim>) {
        match mark.filter(|mark| self.memory.believes(mark.term)) {
            Some(mark) => {
                // Only this member writes its own name there: a lost term is recovered.
                if !self.memory.proven && self.members.is_me(&mark.member) {
                    self.memory.term = self.memory.term.max(mark.term);
                    self.stored = self.stored.max(mark.term);
                }
                self.learn(&mark);
                self.records.insert(target, mark);
            }
            None => drop(self.records.remove(&target)),
        }
    }

    fn learn(&mut self, mark: &Claim) {
        if !self.memory.believes(mark.term) {
            return;
        }
        let highest = mark.term > self.memory.seen.term;
        if self.members.heard(mark, highest) {
            self.outdate_answers();
        }
        if highest {
            self.memory.seen = mark.clone();
        }
    }

    /// Something became known that the peers' answers may not cover.
    fn outdate_answers(&mut self) {
        self.answered_at = None;
        if let Some(round) = &mut self.round {
            round.outdated = true;
        }
    }

    fn take(&mut self, taken: Taken) {
        if self.instance.primary {
            self.memory.superseded_by = None;
            self.memory.taken = Some(taken);
            self.rise();
        }
    }

    fn own_mark(&self) -> Claim {
        Claim { term: self.memory.term, member: self.settings.member.clone() }
    }
}

// === impl Instance ===

impl Instance {
    /// What the role machine knows at `now`.
    pub fn of(tracker: &Tracker, now: Timestamp) -> Self {
        let role = tracker.standing().map_or(LastRole::Unknown, |standing| match standing.role {
            Role::Primary => LastRole::Primary(Some(standing.until.asked_at())),
            _ => LastRole::Other(Some(standing.until.asked_at())),
        });
        Self {
            role,
            primary: tracker.primary_at(now).is_some(),
            epoch: tracker.epoch().into(),
            other_at: tracker.other_at(),
        }
    }

    /// What the previous process left.
    pub fn remembered(remembered: Option<Remembered>) -> Self {
        let Some(Remembered { epoch, primary, asked_at, .. }) = remembered else { return Self::default() };
        let role = if primary { LastRole::Primary(asked_at) } else { LastRole::Other(asked_at) };
        Self { role, primary: false, epoch: epoch.into(), other_at: asked_at.filter(|_| !primary) }
    }
}

// === impl Authority ===

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear { term, .. } => write!(f, "clear, term {term}"),
            Self::Superseded { by } => write!(f, "superseded: {by}"),
            Self::Unsure { why, .. } => write!(f, "unsure whether another member was promoted later: {why}"),
        }
    }
}

impl Authority {
    /// The ruling in one lower-case word, as in status and metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Clear { .. } => "clear",
            Self::Superseded { .. } => "superseded",
            Self::Unsure { .. } => "unsure",
        }
    }
}
