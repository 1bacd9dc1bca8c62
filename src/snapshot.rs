//! The state that one probe loop publishes about its mirror.
//!
//! One task writes it, through a `tokio::sync::watch` channel; the health listener, the admin listener and the steering
//! loops have a receiver each. Readers take the verdict from [`Snapshot::verdict_at`], which applies its expiry, so a writer
//! that hangs cannot keep a member in service.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::observation::{NoEvidence, Observation, Role};
use crate::role::{Epoch, Origin, Reason, Settings, Tracker, Verdict};

/// How many transitions are kept for `/status`.
pub const HISTORY_LENGTH: usize = 100;

/// How many transitions outlive the process, and the limit of their reasons in bytes: the state file must stay below 16 KiB
/// for older versions.
const KEPT: usize = 16;
const KEPT_REASON: usize = 160;

/// One mirror's state at the moment of publishing. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    tracker: Tracker,
    /// The newest observation, definite or not; `None` before the first.
    pub newest: Option<Arc<Observation>>,
    /// The last changes of state, oldest first.
    pub transitions: Arc<VecDeque<Transition>>,
    /// The last changes of state that earlier processes saw, oldest first.
    pub earlier: Arc<[PastTransition]>,
    /// What the probe loop counted.
    pub counters: Counters,
}

/// Counts of one probe loop since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Answers with a role.
    pub definite: u64,
    /// Answers without a role.
    pub no_evidence: u64,
    /// Questions not asked because an earlier child could not be killed.
    pub unkillable: u64,
    /// Questions triggered by a wake-up, not by the timer.
    pub woken: u64,
    /// Total time between questions and answers.
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
    /// How serving began; `None` if the verdict after refuses.
    pub origin: Option<Origin>,
    /// Why, for people.
    pub reason: String,
    /// How old the evidence for it was; `None` if there was none.
    pub evidence_age: Option<Duration>,
}

/// A change of state as it is kept for the next process, only for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastTransition {
    /// When it was ruled, RFC 3339 in UTC.
    pub at: String,
    /// Label of the verdict before.
    pub from: String,
    /// Label of the verdict after.
    pub to: String,
    /// The epoch after. The state file has a key `epoch` of its own, which scripts find by its name.
    #[serde(rename = "promotion")]
    pub epoch: u64,
    /// Why, shortened.
    pub reason: String,
}

// === impl PastTransition ===

impl From<&Transition> for PastTransition {
    fn from(transition: &Transition) -> Self {
        let reason = &transition.reason;
        Self {
            at: format!("{:.6}", transition.at.to_utc()),
            from: transition.from.to_owned(),
            to: transition.to.to_owned(),
            epoch: transition.epoch.into(),
            reason: reason[..reason.floor_char_boundary(KEPT_REASON)].to_owned(),
        }
    }
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
        let (transitions, earlier) = (Arc::default(), Arc::default());
        Self { tracker, newest: None, transitions, earlier, counters: Counters::default() }
    }

    /// The same with what earlier processes saw.
    #[must_use]
    pub fn after(self, earlier: Vec<PastTransition>) -> Self {
        Self { earlier: earlier.into(), ..self }
    }

    /// The last changes of state for the next process, oldest first.
    pub fn history(&self) -> Vec<PastTransition> {
        let own = self.transitions.iter().map(PastTransition::from);
        let all: Vec<_> = self.earlier.iter().cloned().chain(own).collect();
        all[all.len().saturating_sub(KEPT)..].to_vec()
    }

    /// The verdict that is valid at `now`.
    pub fn verdict_at(&self, now: Timestamp) -> Verdict {
        self.tracker.verdict().at(now)
    }

    /// The verdict as it was ruled, without its expiry: only for reports.
    pub fn verdict(&self) -> &Verdict {
        self.tracker.verdict()
    }

    /// The definite role that is valid at `now`; the error says why there is none.
    ///
    /// Unlike the verdict it does not wait for `rise`.
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

    /// Whether a first probe has been answered, with any outcome.
    pub fn has_ruled(&self) -> bool {
        !matches!(self.tracker.verdict(), Verdict::Refuse(Reason::Starting))
    }

    /// Whether the answers so far were enough for a verdict: not while a primary rises.
    pub(crate) fn has_settled(&self) -> bool {
        !matches!(self.tracker.verdict(), Verdict::Refuse(Reason::Starting | Reason::Rising { .. }))
    }

    /// Sets new settings of the role machine, which is no transition.
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
