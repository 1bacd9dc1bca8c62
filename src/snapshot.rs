//! What one probe loop publishes about its mirror, and everybody else reads.
//!
//! One task writes it, through a `tokio::sync::watch` channel; the health listener, the admin listener and
//! the loops that steer hold a receiver each. A reader never trusts a verdict without asking
//! [`Snapshot::verdict_at`], so a writer that hangs cannot keep a member in service.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::observation::{NoEvidence, Observation, Role};
use crate::role::{Epoch, Origin, Reason, Settings, Tracker, Verdict};

/// How many transitions are kept for `/status`.
pub const HISTORY_LENGTH: usize = 100;

/// One mirror's state at the moment of publishing. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    tracker: Tracker,
    /// The newest observation, definite or not; `None` before the first.
    pub newest: Option<Arc<Observation>>,
    /// The last changes of state, oldest first.
    pub transitions: Arc<VecDeque<Transition>>,
    /// What the probe loop counted.
    pub counters: Counters,
}

/// Counts of one probe loop since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Answers with a role.
    pub definite: u64,
    /// Answers that did not.
    pub no_evidence: u64,
    /// Questions not asked because a child that could not be killed was in the way.
    pub unkillable: u64,
    /// Questions asked because of a wake-up, not of the timer.
    pub woken: u64,
    /// Time between asking and answering, added up.
    pub probing: Duration,
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When it was ruled.
    pub at: Timestamp,
    /// Label of the verdict before, see [`Verdict::label`].
    pub from: &'static str,
    /// Label of the verdict after.
    pub to: &'static str,
    /// The epoch after.
    pub epoch: Epoch,
    /// How serving began; `None` when the verdict after refuses.
    pub origin: Option<Origin>,
    /// Why, for people.
    pub reason: String,
    /// How old the evidence was that led to it; `None` when there was none.
    pub evidence_age: Option<Duration>,
}

// === impl Counters ===

impl Counters {
    /// Counts one answer that took `took`.
    pub(crate) fn count(&mut self, observation: &Observation, took: Duration, woken: bool) {
        match &observation.outcome {
            Ok(_) => self.definite += 1,
            Err(cause) => {
                self.no_evidence += 1;
                self.unkillable += u64::from(matches!(cause, NoEvidence::Unkillable { .. }));
            }
        }
        self.woken += u64::from(woken);
        self.probing = self.probing.saturating_add(took);
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// A snapshot of `tracker` before any observation.
    pub fn new(tracker: Tracker) -> Self {
        Self { tracker, newest: None, transitions: Arc::default(), counters: Counters::default() }
    }

    /// The verdict as a reader at `now` must take it.
    pub fn verdict_at(&self, now: Timestamp) -> Verdict {
        self.tracker.verdict().at(now)
    }

    /// The verdict as it was ruled, whatever the time: for reports, never to act on.
    pub fn verdict(&self) -> &Verdict {
        self.tracker.verdict()
    }

    /// The definite role as a reader at `now` may take it; the error says why there is none.
    ///
    /// Unlike the verdict it does not wait for `rise`: it says what the instance said.
    pub fn role_at(&self, now: Timestamp) -> Result<&Role, Reason> {
        if let Verdict::Refuse(Reason::Stopping) = self.tracker.verdict() {
            return Err(Reason::Stopping);
        }
        match self.tracker.standing() {
            Some(standing) if standing.until.covers(now) => Ok(&standing.role),
            Some(_) | None => Err(match self.tracker.verdict().at(now) {
                Verdict::Refuse(reason @ (Reason::Starting | Reason::NoEvidence(_))) => reason,
                Verdict::Refuse(_) | Verdict::Serve { .. } => Reason::Expired,
            }),
        }
    }

    /// The role machine's own state, for reports.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// Whether a first probe has been answered, with whatever outcome.
    pub fn has_ruled(&self) -> bool {
        !matches!(self.tracker.verdict(), Verdict::Refuse(Reason::Starting))
    }

    /// Whether the answers so far were enough for a verdict: not while a primary rises.
    pub(crate) fn has_settled(&self) -> bool {
        !matches!(self.tracker.verdict(), Verdict::Refuse(Reason::Starting | Reason::Rising { .. }))
    }

    /// Takes over new settings of the role machine; that alone is no transition.
    pub fn set(&mut self, settings: Settings) {
        self.tracker.set(settings);
    }

    /// Changes the role machine and records the transition, if it is one.
    pub fn rule(&mut self, now: Timestamp, change: impl FnOnce(&mut Tracker)) -> Option<Transition> {
        let (from, epoch, origin) =
            (self.tracker.verdict().label(), self.tracker.epoch(), self.tracker.origin());
        let served = matches!(self.tracker.verdict(), Verdict::Serve { .. });
        change(&mut self.tracker);
        let to = self.tracker.verdict().label();
        let still_serves = matches!(self.tracker.verdict(), Verdict::Serve { .. });
        if from == to
            && epoch == self.tracker.epoch()
            && !(still_serves && (!served || origin != self.tracker.origin()))
        {
            return None;
        }
        let transition = Transition {
            at: now,
            from,
            to,
            epoch: self.tracker.epoch(),
            origin: self.tracker.origin().filter(|_| still_serves),
            reason: match self.tracker.verdict() {
                Verdict::Serve { .. } => "the instance is primary".to_owned(),
                Verdict::Refuse(reason) => reason.to_string(),
            },
            evidence_age: self.tracker.standing().map(|standing| standing.until.asked_at().age_at(now)),
        };
        let transitions = Arc::make_mut(&mut self.transitions);
        if transitions.len() == HISTORY_LENGTH {
            transitions.pop_front();
        }
        transitions.push_back(transition.clone());
        Some(transition)
    }
}
