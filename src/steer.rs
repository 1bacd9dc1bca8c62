//! Steering: makes the objects that direct clients (target groups, records, routes) point at this member
//! while it is the primary, and keeps them so.
//!
//! # How it works
//!
//! One loop per steering target, level-triggered. Each turn: *observe* the object, *plan* the steps from there to
//! what the verdict calls for (pure), *apply* them one by one, *observe again*. A change of verdict wakes the loop.
//! So does a timer: that turn is a drift check, which keeps connections and credentials warm and finds missing
//! rights before a failover needs them. The loop acts on states, not on events, so a missed event does no harm.
//!
//! # What it may do
//!
//! | intent | when | steps that are sent |
//! |---|---|---|
//! | [`Intent::Lead`] | the verdict serves, and the member is not superseded | all |
//! | [`Intent::Follow`] | the instance is definitely something else | those that any role may make |
//! | [`Intent::Hold`] | anything else: silence, expiry, superseded, stopping | those that any role may make |
//!
//! While [authority](arbiter) is in doubt the intent is still to lead, so that a member with nothing left to do
//! knows that; but no write authorization is minted, so nothing is taken.
//!
//! A step that moves traffic needs write authorization, minted right before it from the verdict and the authority
//! of that moment. Only the loop can make an [`Authorized`] step, and a target can apply no other. A demotion
//! therefore cancels every step that was not sent. The loop waits for a step that was sent until its deadline and
//! then verifies it: dropping a request does not un-send it. Two kinds of steps are allowed in any role: enrolling
//! this member in a pool of all members, and publishing its own verdict as a metric or as the label of its own pod.
//!
//! Silence, an error of this daemon or its stop withdraws nothing. A replacement is in place before anything is
//! removed, and no step leaves a pool or a record empty.
//!
//! # When it goes wrong
//!
//! Every [`CallError`] has a class: retry, retry more slowly, read again, or stop and report. Pauses have full
//! jitter and a cap: half a second after a passing fault while a promotion waits, so that its write is sent within
//! three seconds of the fault's end; ten seconds otherwise. Reads and writes back off separately: throttled reads
//! do not delay a write that starts from the last read. A loop that writes too often is competing with another
//! writer; it then holds and raises an alarm.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::role::{Epoch, Reason, Verdict};
use crate::snapshot::Snapshot;
use crate::term::Claim;

pub(crate) mod accepted;
pub mod arbiter;
pub(crate) mod epoch;
pub mod error;
pub(crate) mod foresight;
mod pace;
pub(crate) mod pool;
pub mod report;
mod run;
#[cfg(test)]
pub(crate) mod testing;

pub use arbiter::Authority;
pub use error::{CallError, Class};
pub(crate) use run::{Authorized, LoopContext, run};

/// How old peers' answers may be on which traffic is moved: when they are older, the next step waits for new ones.
pub(crate) const FRESH_ANSWERS: Duration = arbiter::FRESH;

/// What a loop should bring about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Clients go to this member.
    Lead {
        /// The promotion that this member leads in.
        epoch: Epoch,
        /// The fencing number of its writes, see [`Authority::Clear`]; while authority is in doubt, what it
        /// would be.
        term: u64,
        /// Whether it is certain that no other member is the primary, whatever the object says.
        certain: bool,
    },
    /// Clients go elsewhere. The primary takes care of that; this member only keeps itself enrolled.
    Follow,
    /// Everything stays as it is.
    Hold {
        /// Why.
        reason: String,
    },
}

/// One kind of object that directs clients: how to read it, plan its steps and apply them.
pub(crate) trait Target: Send {
    /// What the cloud says about it.
    type Observed: Clone + fmt::Debug + PartialEq + Send + Sync;
    /// One call that changes it.
    type Step: Step;

    /// How many writes it takes at most to direct clients to this member.
    fn parts(&self) -> usize {
        1
    }

    /// The pause after which a turn is wanted even though the intent is fulfilled; `None` leaves it to the pace
    /// of drift checks.
    fn pace(&self) -> Option<Duration> {
        None
    }

    /// Reads the object and changes nothing. Sets its own deadline. The loop drops the read when the intent changes.
    fn observe(&mut self) -> impl Future<Output = Result<Self::Observed, CallError>> + Send;

    /// Remembers what `observed` shows under `intent`. The loop calls it before each plan: the history of an epoch
    /// distinguishes an object that is still to be taken from one that was taken away.
    fn note(&mut self, _intent: &Intent, _observed: &Self::Observed, _now: Timestamp) {}

    /// Forgets what was noted in `epoch`, so that the object is taken again: it was [lost](Progress::LostOwnership), and
    /// yet certainly no other member is the primary.
    fn reset_memory(&mut self, _epoch: Epoch) {}

    /// The steps from `observed` to `intent`. PURE. The steps of a plan are in the order in which they must be
    /// made, except for those that [stand alone](Step::stands_alone); of a fulfilled intent there are none.
    fn plan(&self, intent: &Intent, observed: &Self::Observed, now: Timestamp) -> Plan<Self::Step>;

    /// What `observed` becomes once this member is registered and healthy, for an object that has members: `mirrorvip
    /// plan` shows the steps that follow. PURE.
    fn once_healthy(&self, _observed: &Self::Observed) -> Option<Self::Observed> {
        None
    }

    /// The ownership record that the object carries, if it is of a kind that can carry one and does.
    fn ownership_record(&self, _observed: &Self::Observed) -> Option<Claim> {
        None
    }

    /// Makes one step, which the loop has [authorized](Authorized) for this moment. Sets its own deadline; the loop never
    /// drops it before its end.
    fn apply(
        &mut self,
        step: Authorized<'_, Self::Step>,
    ) -> impl Future<Output = Result<(), CallError>> + Send;
}

/// One call that changes something. Displayed as the call, with all that it carries: `mirrorvip plan` prints it.
pub(crate) trait Step: Clone + fmt::Debug + fmt::Display + PartialEq + Send + Sync {
    /// Whether it changes which member receives traffic. The others are allowed in any role.
    fn moves_traffic(&self) -> bool;

    /// Whether it was planned for the promotion with this epoch and term. A step that carries neither fits any.
    fn is_planned_for(&self, _epoch: Epoch, _term: u64) -> bool {
        true
    }

    /// Whether it removes something without a replacement. Such a step needs a read in the same turn: a member that
    /// an older read showed may be gone.
    fn withdraws(&self) -> bool {
        false
    }

    /// Whether no other step of its plan depends on it. When it fails, the others are still made.
    fn stands_alone(&self) -> bool {
        false
    }
}

/// What to do now, and what to expect then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan<S> {
    /// The calls, in order.
    pub(crate) steps: Vec<S>,
    /// What remains when they have been made.
    pub(crate) then: Progress,
}

/// What remains after a plan's steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing: the intent is fulfilled.
    Fulfilled,
    /// The cloud has to finish (a target becomes healthy, a change propagates): read again soon.
    Waiting {
        /// For what.
        what: String,
        /// The shortest time after which another read can show more. A whole account shares some APIs' rate limits.
        pause: Duration,
    },
    /// Another member took the object after this one had it, or was about to have it, in the present epoch. The cause
    /// may be a later promotion or another tool: the loop leaves the object alone unless certainly no other member is
    /// the primary. An object that this member has not taken yet is not lost.
    LostOwnership {
        /// The new owner, as far as the object shows.
        by: String,
    },
    /// It cannot be fulfilled, and retrying does not help: report it to the operator.
    Blocked {
        /// Why, and what to change.
        why: String,
    },
}

/// Between two reads while the cloud works on a change that takes seconds.
const SOON: Duration = Duration::from_secs(1);

// === impl Intent ===

impl Intent {
    /// What the verdict and the authority of this moment call for.
    pub(crate) fn at(snapshot: &Snapshot, authority: &Authority, now: Timestamp) -> Self {
        match (snapshot.verdict_at(now), authority) {
            (Verdict::Serve { .. }, Authority::Superseded { .. }) => {
                Self::Hold { reason: authority.to_string() }
            }
            (Verdict::Serve { epoch, .. }, Authority::Clear { term, certain }) => {
                Self::Lead { epoch, term: *term, certain: *certain }
            }
            (Verdict::Serve { epoch, .. }, Authority::Unsure { term, .. }) => {
                Self::Lead { epoch, term: *term, certain: false }
            }
            (Verdict::Refuse(Reason::NotPrimary(_)), _) => Self::Follow,
            (Verdict::Refuse(reason), _) => Self::Hold { reason: reason.to_string() },
        }
    }

    /// Whether both call for the same, whatever their reasons and terms.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Lead { epoch, .. }, Self::Lead { epoch: others, .. }) => epoch == others,
            (Self::Follow, Self::Follow) | (Self::Hold { .. }, Self::Hold { .. }) => true,
            (Self::Lead { .. } | Self::Follow | Self::Hold { .. }, _) => false,
        }
    }
}

// === impl Progress ===

impl Progress {
    /// The cloud needs some seconds for `what`.
    pub(crate) fn waiting(what: impl Into<String>) -> Self {
        Self::Waiting { what: what.into(), pause: SOON }
    }
}
