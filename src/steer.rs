//! Steering: makes the objects that direct clients (target groups, records, routes) point at this member
//! while it is the primary, and keeps them so.
//!
//! # How it works
//!
//! One loop a steering target, level-triggered. Each turn: *observe* what the cloud says, *plan* the steps
//! from there to what the verdict calls for (pure), *apply* them one by one, *observe again*. A change of
//! verdict wakes the loop; so does a timer, and then the turn is a drift check, which keeps connections and
//! credentials warm and finds missing rights before the failover needs them. Nothing is done because an edge
//! was seen, so nothing is left undone because an edge was missed.
//!
//! # What it may do
//!
//! | intent | when | steps that are sent |
//! |---|---|---|
//! | [`Intent::Lead`] | the verdict serves, and the member is not superseded | all |
//! | [`Intent::Follow`] | the instance is definitely something else | those that any role may make |
//! | [`Intent::Hold`] | anything else: silence, expiry, superseded, stopping | those that any role may make |
//!
//! While [authority](arbiter) is in doubt the intent is to lead, so that a member for which nothing is left to do
//! knows that; but no write authorization is minted, so nothing is taken.
//!
//! A step that moves traffic needs write authorization, minted right before it from the verdict and the authority
//! of that very moment. A demotion therefore cancels whatever was not sent. What has been sent is waited for
//! within its deadline and then verified: dropping a request does not un-send it. The steps that any role
//! may make are enrolling oneself in a pool of all members, and publishing one's own verdict: as a metric, or as
//! the label of one's own pod.
//!
//! Nothing is withdrawn because of silence, an error of ours or a stop of the daemon. What replaces something
//! is there before that is removed, and no step leaves a pool or a record empty.
//!
//! # When it goes wrong
//!
//! Every [`CallError`] has a class: try again, more slowly, look again, or stop and tell. Pauses have full
//! jitter and a cap: half a second after a passing fault while a promotion waits for its end, so that the write is
//! sent within three seconds of it; ten seconds while nobody waits. Reads and writes back off
//! separately: throttled reads do not hold up a write whose start is known from the last one. Whoever writes
//! too often in a while is fighting over the object; the loop then holds and raises the alarm.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::aws::IdentityError;
use crate::clock::Timestamp;
use crate::role::{Epoch, Held, Permit, PermitLost, Reason, Verdict};
use crate::snapshot::Snapshot;
use crate::term::Claim;

mod accepted;
pub mod arbiter;
pub(crate) mod classic_elb;
pub(crate) mod cloudwatch;
pub(crate) mod elbv2;
pub mod error;
pub(crate) mod foresight;
pub(crate) mod hook;
pub mod iam;
pub(crate) mod kubernetes;
mod name;
mod pace;
pub(crate) mod pool;
pub mod preview;
pub mod report;
pub(crate) mod route;
pub(crate) mod route53;
mod run;
mod start;
#[cfg(test)]
pub(crate) mod testing;

pub use arbiter::Authority;
pub use error::{CallError, Class};
pub(crate) use name::names;
pub(crate) use start::{Member, start};

/// How old peers' answers may be on which traffic is moved: when they are older, the next step waits for new ones.
pub(crate) const FRESH_ANSWERS: Duration = arbiter::FRESH;

/// What a loop should bring about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Clients go to this member.
    Lead {
        /// The promotion in whose name.
        epoch: Epoch,
        /// The fencing number of its writes, see [`Authority::Clear`]; while authority is in doubt, what it
        /// would be.
        term: u64,
        /// Whether it is certain that no other member is the primary, whatever the object says.
        certain: bool,
    },
    /// Clients go elsewhere; the primary sees to that, this member only keeps itself enrolled.
    Follow,
    /// Everything stays as it is.
    Hold {
        /// Why.
        reason: String,
    },
}

/// One kind of object that directs clients: how to look at it, what to do, and how to do it.
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

    /// Reads it. Changes nothing. Bounds its own time. Dropped when the intent changes meanwhile.
    fn observe(&mut self) -> impl Future<Output = Result<Self::Observed, CallError>> + Send;

    /// Takes note of what `observed` shows under `intent`. The loop calls it before each plan: what an object
    /// showed earlier in an epoch tells one that is still to be taken from one that was taken away.
    fn note(&mut self, _intent: &Intent, _observed: &Self::Observed, _now: Timestamp) {}

    /// The object was [taken over](Progress::LostOwnership) in `epoch`, and yet it is certain that no other member is the
    /// primary: what was noted in `epoch` is void, the object is to be taken again.
    fn reset_memory(&mut self, _epoch: Epoch) {}

    /// The steps from `observed` to `intent`. PURE. The steps of a plan are in the order in which they must be
    /// made, except for those that [stand alone](Step::stands_alone); of a fulfilled intent there are none.
    fn plan(&self, intent: &Intent, observed: &Self::Observed, now: Timestamp) -> Plan<Self::Step>;

    /// What `observed` will be when this member is in and healthy, of an object that has members and their health:
    /// what will follow can then be told beforehand. PURE.
    fn once_healthy(&self, _observed: &Self::Observed) -> Option<Self::Observed> {
        None
    }

    /// The ownership record that the object carries, if it is of a kind that can carry one and does.
    fn ownership_record(&self, _observed: &Self::Observed) -> Option<Claim> {
        None
    }

    /// Makes one step. `proof` says in whose name; a step that [moves traffic](Step::moves_traffic) is never
    /// made without write authorization. Bounds its own time, and is not dropped before its end.
    fn apply(
        &mut self,
        step: &Self::Step,
        proof: Proof<'_>,
    ) -> impl Future<Output = Result<(), CallError>> + Send;
}

/// One call that changes something. Displayed as the call, with all that it carries: `mirrorvip plan` prints it.
pub(crate) trait Step: Clone + fmt::Debug + fmt::Display + PartialEq + Send + Sync {
    /// Whether it changes who receives traffic. The others any role may make.
    fn moves_traffic(&self) -> bool;

    /// Whether it takes something away without putting anything in its place. Such a step is made only after a
    /// look in the same turn: what an older look showed to be enough may be gone.
    fn withdraws(&self) -> bool {
        false
    }

    /// Whether no other step of its plan rests on it. When it fails, the others are made all the same.
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
    /// The cloud has to do its part (a target has to become healthy, a change to spread): look again soon.
    Waiting {
        /// For what.
        what: String,
        /// How long, at least, before another look can show more. Whole accounts share the rate of some APIs.
        pause: Duration,
    },
    /// Another member has what this one had, or was about to have, in the epoch in which it intends to lead. That may
    /// be a later promotion, or another tool: the object is left alone unless it is certain that no other member is the
    /// primary. An object that is still to be taken is not meant.
    LostOwnership {
        /// By whom, as far as the object tells.
        by: String,
    },
    /// It cannot be fulfilled, and asking again does not help: tell the operator.
    Blocked {
        /// Why, and what to change.
        why: String,
    },
}

/// Between two looks while the cloud does what takes it seconds.
const SOON: Duration = Duration::from_secs(1);

/// In whose name a step is made.
#[derive(Debug)]
pub(crate) enum Proof<'a> {
    /// The primary's, proven a moment ago.
    WriteAuthorization(WriteAuthorization<'a>),
    /// Any member's: the step moves no traffic.
    AnyRole,
}

/// The right to move traffic, of this very moment: a permit that holds and an authority that is clear.
#[derive(Debug)]
pub(crate) struct WriteAuthorization<'permit> {
    held: Held<'permit>,
    /// The fencing number to write, higher than any that is known to be earlier.
    term: u64,
}

/// Why there is no write authorization.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAuthorized {
    /// The verdict does not bear it.
    #[error(transparent)]
    Permit(#[from] PermitLost),
    /// Another member may have been promoted later.
    #[error("{0}")]
    Authority(Authority),
}

/// What `"auto"` means is not known.
fn unidentified(error: &IdentityError) -> CallError {
    CallError::new("instance metadata", Class::Retry, format!("{error}. {}", error.help()))
}

// === impl Intent ===

impl Intent {
    /// What the verdict and the authority of this moment intent for.
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

    /// Whether both intent for the same, whatever their reasons and terms.
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
    /// The cloud has to do `what`, which takes it seconds.
    pub(crate) fn waiting(what: impl Into<String>) -> Self {
        Self::Waiting { what: what.into(), pause: SOON }
    }
}

// === impl WriteAuthorization ===

impl<'permit> WriteAuthorization<'permit> {
    /// A write authorization for one step, if the permit holds and the authority is clear at `now`.
    pub(crate) fn mint(
        permit: &'permit Permit,
        snapshot: &Snapshot,
        authority: &Authority,
        now: Timestamp,
    ) -> Result<Self, NotAuthorized> {
        let held = permit.hold(snapshot.verdict(), now)?;
        match authority {
            Authority::Clear { term, .. } => Ok(Self { held, term: *term }),
            doubt @ (Authority::Superseded { .. } | Authority::Unsure { .. }) => {
                Err(NotAuthorized::Authority(doubt.clone()))
            }
        }
    }

    /// The epoch in whose name.
    pub(crate) fn epoch(&self) -> Epoch {
        self.held.epoch()
    }

    /// The fencing number to write.
    pub(crate) fn term(&self) -> u64 {
        self.term
    }
}
