//! What a steering loop publishes about itself: for the status document and the metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::CallError;
use crate::clock::Timestamp;
use crate::role::Epoch;
use crate::snapshot::Snapshot;

/// Different calls that are counted. There are a dozen; the bound is for a target that invents names.
const MOST_CALLS: usize = 64;

/// One steering target at the moment of publishing.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The table's name and which object.
    pub target: Arc<str>,
    /// Its state.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// When everything was last seen as it should be.
    pub last_success: Option<Timestamp>,
    /// Failures in a row of the present episode.
    pub attempts: u64,
    /// The last error, and when it came.
    pub last_error: Option<(Timestamp, CallError)>,
    /// What happened when in the present or the last epoch.
    pub ladder: Option<PromotionTimeline>,
    /// Calls by action and result; the result is `ok` or the [class](super::Class::word) of the error.
    pub calls: BTreeMap<(Arc<str>, &'static str), u64>,
    /// How often this member reverted an external change.
    pub drift_repaired: u64,
    /// Writes left before the loop assumes a competing writer and holds.
    pub writes_left: usize,
}

/// The state of a steering target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not been read yet.
    Starting,
    /// It is as this member intends.
    Fulfilled,
    /// Steps are being made.
    Working,
    /// The cloud has to finish a change.
    Waiting {
        /// For what.
        what: String,
    },
    /// It stays as it is.
    Holding {
        /// Why.
        why: String,
    },
    /// Calls fail, and are tried again.
    Failing {
        /// How.
        how: String,
    },
    /// Too many writes in a short time: another process writes, too.
    Contested,
    /// An operator has to change something first.
    Blocked {
        /// What.
        why: String,
    },
}

/// The moments between the instance's change of role and clients following it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromotionTimeline {
    /// Which promotion.
    pub epoch: Epoch,
    /// When the question was asked whose answer was *primary*; `None` if the transition is forgotten.
    pub role_changed: Option<Timestamp>,
    /// When the page changed: the verdict was published.
    pub page_flipped: Option<Timestamp>,
    /// When the API accepted the first step; `None` before, and if none was needed.
    pub accepted: Option<Timestamp>,
    /// When the object was first seen to be as it should be.
    pub fulfilled: Option<Timestamp>,
}

// === impl Report ===

impl Report {
    /// About a target that has not been read yet.
    pub(crate) fn new(target: Arc<str>, now: Timestamp) -> Self {
        Self {
            target,
            state: State::Starting,
            since: now,
            last_success: None,
            attempts: 0,
            last_error: None,
            ladder: None,
            calls: BTreeMap::new(),
            drift_repaired: 0,
            writes_left: 0,
        }
    }

    /// Enters a state; returns whether it differs from the one before.
    pub(crate) fn enter(&mut self, state: State, now: Timestamp) -> bool {
        let changed = self.state.word() != state.word();
        if changed {
            self.since = now;
        }
        self.state = state;
        changed
    }

    pub(super) fn count(&mut self, action: &str, result: &'static str) {
        let key = (Arc::from(action), result);
        if self.calls.len() < MOST_CALLS || self.calls.contains_key(&key) {
            *self.calls.entry(key).or_default() += 1;
        }
    }
}

// === impl State ===

impl State {
    /// Every word that [`word`](Self::word) gives.
    pub const WORDS: [&'static str; 8] =
        ["starting", "fulfilled", "working", "waiting", "holding", "failing", "contested", "impossible"];

    /// The state in one lower-case word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Fulfilled => "fulfilled",
            Self::Working => "working",
            Self::Waiting { .. } => "waiting",
            Self::Holding { .. } => "holding",
            Self::Failing { .. } => "failing",
            Self::Contested => "contested",
            Self::Blocked { .. } => "impossible",
        }
    }

    /// For what, why or how, for people.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Starting | Self::Fulfilled | Self::Working => None,
            Self::Contested => Some("too many writes in a short time: find the other tool that changes it"),
            Self::Waiting { what: text }
            | Self::Holding { why: text }
            | Self::Failing { how: text }
            | Self::Blocked { why: text } => Some(text),
        }
    }
}

// === impl PromotionTimeline ===

impl PromotionTimeline {
    /// The timeline of the epoch in which `snapshot` serves, with its first two moments.
    pub(super) fn begin(epoch: Epoch, snapshot: &Snapshot) -> Self {
        let flipped = snapshot.transitions.iter().rev().find(|t| t.epoch == epoch && t.origin.is_some());
        Self {
            epoch,
            role_changed: flipped.and_then(|t| Some(t.at.earlier_by(t.evidence_age?))),
            page_flipped: flipped.map(|t| t.at),
            accepted: None,
            fulfilled: None,
        }
    }
}
