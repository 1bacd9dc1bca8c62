//! The role machine: [`Observation`]s in, [`Verdict`]s out. It elects no member; IRIS does.
//!
//! PURE: no I/O, no clock, no task; every moment comes in as a parameter. One probe loop drives the [`Tracker`]. Its
//! verdicts are read at any later moment, so a [`Verdict`] to serve carries its own [`Lease`], and the *reader* evaluates
//! it with [`Verdict::at`]: when a prober, a task or the runtime hangs, the verdict expires without a task that notices.
//!
//! | evidence | verdict |
//! |---|---|
//! | primary | serve until `asked_at + stale_after`, once it was seen `rise` times in a row |
//! | definitely not primary | refuse, at once |
//! | none, while a lease runs | unchanged: silence is bridged until the lease ends and not longer |
//! | none, otherwise | refuse |
//!
//! An [`Epoch`] numbers the promotions that were seen: it rises when the instance becomes primary after this process, or
//! the previous one, definitely saw it in another role. A member that falls silent and then still says *primary* has not
//! been promoted, so it resumes its old epoch; [`Origin`] distinguishes the two. The difference decides which member may
//! take traffic.
//!
//! A member that looks primary although another was promoted later can be [superseded](Tracker::supersede): it then
//! refuses while the ruling is in force, and at most until its own instance is seen in another role. The
//! [arbiter](crate::steer::arbiter) decides which member was promoted later.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::observation::{NoEvidence, Observation, Role};

mod lease;
mod permit;
#[cfg(test)]
mod tests;
mod verdict;

pub use lease::Lease;
pub use permit::{Held, Permit, PermitLost};
pub use verdict::{Reason, Verdict};

/// An order to the probe loop: in this epoch the page refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supersede {
    /// The epoch that it applies to.
    pub(crate) epoch: Epoch,
    /// Which member was promoted later, and how it is known.
    pub(crate) by: String,
}

/// Number of a promotion, counted by this member: rises by one at each that it sees. Zero is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(u64);

/// How the present period of serving began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// This process saw the instance in another role before.
    Promoted,
    /// This process saw the instance as primary, got no answer for a time, and then saw it as primary again.
    Resumed,
    /// The instance was primary at the first definite answer that this process got.
    Found,
}

/// What one process saves for the next about a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Number of the last promotion seen.
    pub epoch: Epoch,
    /// Whether the last definite role was *primary*.
    pub primary: bool,
    /// When the last question was asked that the instance answered with this role, on this boot's clocks.
    #[serde(skip)]
    pub asked_at: Option<Timestamp>,
    /// When the present promotion was seen, on this boot's clocks.
    #[serde(skip)]
    pub promoted_at: Option<Timestamp>,
}

/// The two settings of the role machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// How long an answer is valid, counted from the question.
    pub stale_after: Duration,
    /// How often *primary* must be seen in a row before it is served.
    pub rise: NonZeroU32,
}

/// The last definite role, and how long it is valid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LastRole {
    /// The role.
    pub role: Role,
    /// For how long.
    pub until: Lease,
}

/// The role machine of one mirror.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tracker {
    settings: Settings,
    /// The verdict from the own instance's evidence alone.
    evidence: Verdict,
    /// The same, unless another member supersedes this one.
    verdict: Verdict,
    standing: Option<LastRole>,
    epoch: Epoch,
    origin: Option<Origin>,
    /// Whether the role was lost since the epoch began, as far as is known.
    lost: bool,
    /// Whether this process itself saw another role since it last served.
    witnessed_loss: bool,
    /// When the promotion that began the epoch was seen.
    promoted_at: Option<Timestamp>,
    /// When the last question was asked that the instance answered with another role than primary.
    other_at: Option<Timestamp>,
    /// When the question was asked whose answer last let this member serve, in this process or the previous one.
    held_at: Option<Timestamp>,
    /// Which member supersedes this one, and how that is known.
    superseded: Option<String>,
    /// Why the newest observation was no evidence, while a lease bridges it.
    bridging: Option<NoEvidence>,
}

// === impl Tracker ===

impl Tracker {
    /// A machine that has seen nothing; `remembered` is what the previous process saved, if that is known.
    pub fn new(settings: Settings, remembered: Option<Remembered>) -> Self {
        Self {
            settings,
            evidence: Verdict::Refuse(Reason::Starting),
            verdict: Verdict::Refuse(Reason::Starting),
            standing: None,
            epoch: remembered.map_or(Epoch(0), |r| r.epoch),
            origin: None,
            lost: remembered.is_none_or(|r| !r.primary),
            witnessed_loss: false,
            promoted_at: remembered.filter(|r| r.primary).and_then(|r| r.promoted_at),
            other_at: remembered.filter(|r| !r.primary).and_then(|r| r.asked_at),
            held_at: remembered.filter(|r| r.primary).and_then(|r| r.asked_at),
            superseded: None,
            bridging: None,
        }
    }

    /// Takes in one answer.
    pub fn observe(&mut self, observation: &Observation) {
        if self.evidence == Verdict::Refuse(Reason::Stopping) {
            return;
        }
        let now = observation.answered_at;
        let lease = Lease { asked_at: observation.asked_at, valid_for: self.settings.stale_after };
        match &observation.outcome {
            Ok(Role::Primary) if lease.covers(now) => self.primary_seen(lease, now),
            Ok(Role::Primary) => {
                self.silence(NoEvidence::Outdated { age: observation.asked_at.age_at(now) }, now);
            }
            Ok(role) => self.other_role_seen(role.clone(), lease),
            Err(cause) => self.silence(cause.clone(), now),
        }
        self.conclude();
    }

    /// Ends a lease that has run out. Readers do not depend on it, see [`Verdict::at`]; it is for reports of changes.
    pub fn expire(&mut self, now: Timestamp) {
        if let Some(until) = self.running_lease()
            && !until.covers(now)
        {
            self.evidence = Verdict::Refuse(match self.bridging.take() {
                Some(cause) => Reason::NoEvidence(cause),
                None => Reason::Expired,
            });
            self.conclude();
        }
    }

    /// Another member was promoted later: the verdict refuses instead of serving, until the ruling is
    /// [lifted](Self::reinstate) or the instance is seen in another role. Has no effect on a member that does not hold the
    /// role, or in another epoch.
    pub fn supersede(&mut self, epoch: Epoch, by: &str) {
        if !self.lost && epoch == self.epoch {
            self.superseded = Some(by.to_owned());
            self.conclude();
        }
    }

    /// No other member supersedes this one.
    pub fn reinstate(&mut self) {
        self.superseded = None;
        self.conclude();
    }

    /// Refuses from here on, whatever is observed.
    pub fn stop(&mut self) {
        self.evidence = Verdict::Refuse(Reason::Stopping);
        self.conclude();
    }

    /// Applies new settings. A shorter `stale_after` also shortens a lease that was already granted.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
        if let Verdict::Serve { until, .. } = &mut self.evidence {
            until.valid_for = until.valid_for.min(settings.stale_after);
        }
        if let Some(standing) = &mut self.standing {
            standing.until.valid_for = standing.until.valid_for.min(settings.stale_after);
        }
        self.conclude();
    }

    /// The verdict as of the last call; code that acts on it asks [`Verdict::at`].
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The last definite role, however old.
    pub fn standing(&self) -> Option<&LastRole> {
        self.standing.as_ref()
    }

    /// Number of the last promotion.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How the present or the last period of serving began; `None` before the first.
    pub fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// The epoch in which the instance is the primary at `now` by its own evidence, whether or not another member
    /// supersedes it.
    pub fn primary_at(&self, now: Timestamp) -> Option<Epoch> {
        self.evidence.serves(now).then_some(self.epoch)
    }

    /// Which member supersedes this one, and how that is known.
    pub fn superseded(&self) -> Option<&str> {
        self.superseded.as_deref()
    }

    /// When the promotion that began the present epoch was seen; `None` when no process of this boot saw it, or the role
    /// is lost.
    pub fn promoted_at(&self) -> Option<Timestamp> {
        self.promoted_at.filter(|_| !self.lost)
    }

    /// When the last question was asked that the instance answered with another role than primary.
    pub fn other_at(&self) -> Option<Timestamp> {
        self.other_at
    }

    /// Why the newest observation was no evidence, while a lease bridges it.
    pub fn bridging(&self) -> Option<&NoEvidence> {
        self.bridging.as_ref()
    }

    /// The lease that the verdict depends on, if there is one.
    pub fn running_lease(&self) -> Option<Lease> {
        match &self.evidence {
            Verdict::Serve { until, .. } => Some(*until),
            Verdict::Refuse(Reason::NotPrimary(_) | Reason::Rising { .. }) => {
                self.standing.as_ref().map(|s| s.until)
            }
            Verdict::Refuse(
                Reason::Starting
                | Reason::NoEvidence(_)
                | Reason::Expired
                | Reason::Superseded { .. }
                | Reason::Stopping,
            ) => None,
        }
    }

    /// What to save for the next process or the next probe; `None` when nothing is known. Includes what the previous
    /// process saved, even if this one has seen no role.
    pub fn remember(&self) -> Option<Remembered> {
        let known = self.standing.is_some() || self.epoch > Epoch(0) || !self.lost;
        // An answer of primary does not count while it rises.
        let asked_at = if self.lost { self.other_at } else { self.held_at };
        let (epoch, primary, promoted_at) = (self.epoch, !self.lost, self.promoted_at());
        known.then_some(Remembered { epoch, primary, asked_at, promoted_at })
    }

    fn primary_seen(&mut self, lease: Lease, now: Timestamp) {
        let in_a_row = match &self.evidence {
            Verdict::Serve { until, .. } if until.covers(now) => {
                self.renew(lease);
                return;
            }
            Verdict::Refuse(Reason::Rising { seen, .. })
                if self.standing.as_ref().is_some_and(|s| s.until.covers(now)) =>
            {
                seen.saturating_add(1)
            }
            Verdict::Serve { .. } | Verdict::Refuse(_) => 1,
        };
        let needed = self.settings.rise.get();
        if in_a_row >= needed {
            self.begin_to_serve(lease.asked_at);
            self.renew(lease);
        } else {
            self.bridging = None;
            self.standing = Some(LastRole { role: Role::Primary, until: lease });
            self.evidence = Verdict::Refuse(Reason::Rising { seen: in_a_row, needed });
        }
    }

    fn begin_to_serve(&mut self, asked_at: Timestamp) {
        self.origin = Some(match (self.witnessed_loss, self.origin) {
            (true, _) => Origin::Promoted,
            (false, Some(_)) => Origin::Resumed,
            (false, None) => Origin::Found,
        });
        if self.lost {
            self.epoch = self.epoch.next();
            self.promoted_at = self.witnessed_loss.then_some(asked_at);
        }
        self.lost = false;
        self.witnessed_loss = false;
    }

    fn renew(&mut self, lease: Lease) {
        self.bridging = None;
        self.held_at = Some(lease.asked_at);
        self.standing = Some(LastRole { role: Role::Primary, until: lease });
        self.evidence = Verdict::Serve { epoch: self.epoch, until: lease };
    }

    fn other_role_seen(&mut self, role: Role, lease: Lease) {
        self.lost = true;
        self.witnessed_loss = true;
        self.superseded = None;
        self.bridging = None;
        self.other_at = Some(lease.asked_at);
        self.evidence = Verdict::Refuse(Reason::NotPrimary(role.clone()));
        self.standing = Some(LastRole { role, until: lease });
    }

    fn silence(&mut self, cause: NoEvidence, now: Timestamp) {
        let bridged = match &self.evidence {
            Verdict::Serve { until, .. } => until.covers(now),
            Verdict::Refuse(Reason::NotPrimary(_)) => {
                self.standing.as_ref().is_some_and(|standing| standing.until.covers(now))
            }
            // "In a row" means without a gap: silence resets the count.
            Verdict::Refuse(Reason::Rising { .. }) => false,
            Verdict::Refuse(
                Reason::Starting
                | Reason::NoEvidence(_)
                | Reason::Expired
                | Reason::Superseded { .. }
                | Reason::Stopping,
            ) => false,
        };
        if bridged {
            self.bridging = Some(cause);
        } else {
            self.bridging = None;
            self.evidence = Verdict::Refuse(Reason::NoEvidence(cause));
        }
    }

    /// From the evidence to the verdict.
    fn conclude(&mut self) {
        self.verdict = match (&self.evidence, &self.superseded) {
            (Verdict::Serve { .. }, Some(by)) => Verdict::Refuse(Reason::Superseded { by: by.clone() }),
            (evidence, _) => evidence.clone(),
        };
    }
}

// === impl Epoch ===

impl Epoch {
    /// The number of the promotion after this one.
    #[must_use]
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Epoch> for u64 {
    fn from(epoch: Epoch) -> Self {
        epoch.0
    }
}

// === impl Origin ===

impl Origin {
    /// The origin in one lower-case word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Resumed => "resumed",
            Self::Found => "found",
        }
    }
}
