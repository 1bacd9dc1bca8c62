//! The role machine: [`Observation`]s in, [`Verdict`]s out. It elects nothing; IRIS has done that.
//!
//! PURE: no I/O, no clock, no task; every moment comes in as a parameter. The [`Tracker`] is driven by one
//! probe loop. What it rules is read by others at any later moment, so a [`Verdict`] to serve carries its
//! own [`Lease`], and the *reader* evaluates it with [`Verdict::at`]: a prober, a task or a runtime that
//! hangs fails closed with nobody having to notice.
//!
//! | evidence | verdict |
//! |---|---|
//! | primary | serve until `asked_at + stale_after`, once it was seen `rise` times in a row |
//! | definitely not primary | refuse, at once |
//! | none, while a lease runs | as it was: silence is bridged until the lease ends and not longer |
//! | none, otherwise | refuse |
//!
//! An [`Epoch`] numbers the promotions that were seen: it rises when the instance regains a role that it
//! was definitely seen (by this process or, through the remembered state, by the one before) not to have.
//! A member that falls silent and then still says *primary* has not been promoted, so it resumes its old
//! epoch; [`Origin`] says which of these it was. The difference decides who may take traffic from whom.
//!
//! A member that only looks primary, while another was promoted later, can be [superseded](Tracker::supersede):
//! it then refuses until its own instance is seen in another role. Who was promoted later is not decided here.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::observation::{NoEvidence, Observation, Role};

mod lease;
mod permit;
mod promotion;
#[cfg(test)]
mod tests;

pub use lease::Lease;
pub use permit::{Held, Permit, PermitLost};
pub use promotion::Promotion;

/// What the role machine rules. Never a bare bool: it carries when it ends, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// This member is the primary.
    Serve {
        /// Which promotion this is.
        epoch: Epoch,
        /// For how long it may be believed.
        until: Lease,
    },
    /// This member is not the primary, or nobody can tell.
    Refuse(Reason),
}

/// Why a verdict refuses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No probe has answered yet.
    Starting,
    /// The instance says that it is something else.
    NotPrimary(Role),
    /// The instance says *primary*, but not often enough in a row yet.
    Rising {
        /// How often so far.
        seen: u32,
        /// How often it must.
        needed: u32,
    },
    /// No answer that tells the role, and no lease left.
    NoEvidence(NoEvidence),
    /// The lease of a verdict to serve ran out, and nobody has ruled since.
    Expired,
    /// The instance says *primary*, and another member was promoted later and serves.
    Superseded {
        /// By whom and how it is known.
        by: String,
    },
    /// The daemon is stopping.
    Stopping,
}

/// Number of a promotion, counted by this member: rises by one at each that it sees. Zero is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(u64);

/// How long before its first answer as primary an instance may have been seen in another role for the promotion
/// to count as seen. A mirror needs longer to promote this member, another after it, and to leave this one behind.
pub const LONGEST_BLINDNESS: Duration = Duration::from_mins(1);

/// How the present period of serving began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// This process saw the instance in another role before, at most [`LONGEST_BLINDNESS`] ago.
    Promoted,
    /// This process saw the instance as primary, then lost sight of it, and then saw it as primary again.
    Resumed,
    /// The instance was primary at the first definite answer that this process got.
    Found,
}

/// What one process leaves to the next about a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Number of the last promotion seen.
    pub epoch: Epoch,
    /// Whether the last definite role was *primary*.
    pub primary: bool,
    /// The promotion that is still held, if it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<Promotion>,
}

/// The two settings of the role machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// How long an answer may be believed, counted from when it was asked for.
    pub stale_after: Duration,
    /// How often *primary* must be seen in a row before it is served.
    pub rise: NonZeroU32,
}

/// The last definite role, and until when it may be believed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// The role.
    pub role: Role,
    /// For how long.
    pub until: Lease,
}

/// The role machine of one mirror.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tracker {
    settings: Settings,
    verdict: Verdict,
    standing: Option<Standing>,
    epoch: Epoch,
    origin: Option<Origin>,
    /// Whether the role was lost since the epoch began, as far as anybody remembers.
    lost: bool,
    /// Whether this process itself saw another role since it last served.
    witnessed_loss: bool,
    /// The promotion with which the epoch began, if anybody saw it.
    promotion: Option<Promotion>,
    /// By whom this member was superseded since the role was regained last.
    superseded: Option<String>,
    /// Why the newest observation was no evidence, while a lease bridges it.
    bridging: Option<NoEvidence>,
}

// === impl Tracker ===

impl Tracker {
    /// A machine that has seen nothing; `remembered` is what the process before it left, if that is known.
    pub fn new(settings: Settings, remembered: Option<Remembered>) -> Self {
        Self {
            settings,
            verdict: Verdict::Refuse(Reason::Starting),
            standing: None,
            epoch: remembered.map_or(Epoch(0), |r| r.epoch),
            origin: None,
            lost: remembered.is_none_or(|r| !r.primary),
            witnessed_loss: false,
            promotion: remembered.filter(|r| r.primary).and_then(|r| r.promotion),
            superseded: None,
            bridging: None,
        }
    }

    /// Takes in one answer.
    pub fn observe(&mut self, observation: &Observation) {
        if self.verdict == Verdict::Refuse(Reason::Stopping) {
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
    }

    /// Draws the consequence of time passing without an observation. Readers do not depend on it, see
    /// [`Verdict::at`]; it is for whoever reports changes.
    pub fn expire(&mut self, now: Timestamp) {
        if let Some(until) = self.running_lease()
            && !until.covers(now)
        {
            self.verdict = Verdict::Refuse(match self.bridging.take() {
                Some(cause) => Reason::NoEvidence(cause),
                None => Reason::Expired,
            });
        }
    }

    /// Rules that another member was promoted later: refuses until the instance is seen in another role,
    /// whatever else is observed. Without effect on a member that is not primary, and in any epoch but the one
    /// that the ruling is about.
    pub fn supersede(&mut self, epoch: Epoch, by: &str) {
        let primary = match &self.verdict {
            Verdict::Serve { .. } => true,
            Verdict::Refuse(Reason::Rising { .. } | Reason::Expired | Reason::NoEvidence(_)) => !self.lost,
            Verdict::Refuse(
                Reason::Starting | Reason::NotPrimary(_) | Reason::Superseded { .. } | Reason::Stopping,
            ) => false,
        };
        if primary && epoch == self.epoch {
            self.superseded = Some(by.to_owned());
            self.bridging = None;
            self.verdict = Verdict::Refuse(Reason::Superseded { by: by.to_owned() });
        }
    }

    /// Rules the end: refuses from here on, whatever is observed.
    pub fn stop(&mut self) {
        self.verdict = Verdict::Refuse(Reason::Stopping);
    }

    /// Takes over new settings. A shorter `stale_after` also shortens what was already granted.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
        if let Verdict::Serve { until, .. } = &mut self.verdict {
            until.valid_for = until.valid_for.min(settings.stale_after);
        }
        if let Some(standing) = &mut self.standing {
            standing.until.valid_for = standing.until.valid_for.min(settings.stale_after);
        }
    }

    /// The verdict as of the last call; whoever acts on it asks [`Verdict::at`].
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The last definite role, however old.
    pub fn standing(&self) -> Option<&Standing> {
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

    /// The promotion with which the present epoch began; `None` when nobody saw it, or the role is lost.
    pub fn promotion(&self) -> Option<Promotion> {
        self.promotion.filter(|_| !self.lost)
    }

    /// Why the newest observation was no evidence, while a lease bridges it.
    pub fn bridging(&self) -> Option<&NoEvidence> {
        self.bridging.as_ref()
    }

    /// When the lease that the verdict rests on ends, if there is one.
    pub fn running_lease(&self) -> Option<Lease> {
        match &self.verdict {
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

    /// What to leave to the next process, or to the next way of asking; `None` when nothing is known. What the
    /// process before left is handed on, whether this one has seen a role or not.
    pub fn remember(&self) -> Option<Remembered> {
        let known = self.standing.is_some() || self.epoch > Epoch(0) || !self.lost;
        let (epoch, primary, promotion) = (self.epoch, !self.lost, self.promotion());
        known.then_some(Remembered { epoch, primary, promotion })
    }

    fn primary_seen(&mut self, lease: Lease, now: Timestamp) {
        if self.superseded.is_some() {
            self.standing = Some(Standing { role: Role::Primary, until: lease });
            return;
        }
        let last = self.standing.as_ref().map(|standing| standing.until.asked_at);
        if last.is_some_and(|last| last.age_at(lease.asked_at) > LONGEST_BLINDNESS) {
            self.witnessed_loss = false;
        }
        let in_a_row = match &self.verdict {
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
            self.standing = Some(Standing { role: Role::Primary, until: lease });
            self.verdict = Verdict::Refuse(Reason::Rising { seen: in_a_row, needed });
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
            self.promotion = self.witnessed_loss.then(|| Promotion::seen(asked_at));
        }
        self.lost = false;
        self.witnessed_loss = false;
    }

    fn renew(&mut self, lease: Lease) {
        self.bridging = None;
        self.standing = Some(Standing { role: Role::Primary, until: lease });
        self.verdict = Verdict::Serve { epoch: self.epoch, until: lease };
    }

    fn other_role_seen(&mut self, role: Role, lease: Lease) {
        self.lost = true;
        self.witnessed_loss = true;
        self.superseded = None;
        self.bridging = None;
        self.verdict = Verdict::Refuse(Reason::NotPrimary(role.clone()));
        self.standing = Some(Standing { role, until: lease });
    }

    fn silence(&mut self, cause: NoEvidence, now: Timestamp) {
        let bridged = match &self.verdict {
            Verdict::Serve { until, .. } => until.covers(now),
            Verdict::Refuse(Reason::NotPrimary(_)) => {
                self.standing.as_ref().is_some_and(|standing| standing.until.covers(now))
            }
            // "In a row" means without a gap: silence starts the count anew.
            Verdict::Refuse(Reason::Rising { .. }) => false,
            // Silence neither loses the role nor regains it.
            Verdict::Refuse(Reason::Superseded { .. }) => return,
            Verdict::Refuse(
                Reason::Starting | Reason::NoEvidence(_) | Reason::Expired | Reason::Stopping,
            ) => false,
        };
        if bridged {
            self.bridging = Some(cause);
        } else {
            self.bridging = None;
            self.verdict = Verdict::Refuse(Reason::NoEvidence(cause));
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// What this verdict means at `now`: one to serve whose lease has ended refuses.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        match self {
            Self::Serve { until, .. } if !until.covers(now) => Self::Refuse(Reason::Expired),
            Self::Serve { .. } | Self::Refuse(_) => self.clone(),
        }
    }

    /// Whether this verdict serves at `now`.
    pub fn serves(&self, now: Timestamp) -> bool {
        matches!(self, Self::Serve { until, .. } if until.covers(now))
    }

    /// The right to write in this epoch, if the verdict serves at `now`.
    pub fn permit(&self, now: Timestamp) -> Option<Permit> {
        match self {
            Self::Serve { epoch, until } if until.covers(now) => Some(Permit::new(*epoch)),
            Self::Serve { .. } | Self::Refuse(_) => None,
        }
    }

    /// The verdict in one lower-case word, as in logs and metrics. Two verdicts with the same label and
    /// epoch are not a change of state.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Serve { .. } => "primary",
            Self::Refuse(reason) => reason.label(),
        }
    }
}

// === impl Reason ===

impl Reason {
    /// The reason in one lower-case word.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::NotPrimary(role) => role.word(),
            Self::Rising { .. } => "rising",
            Self::NoEvidence(cause) if cause.is_unanswerable() => "unanswerable",
            Self::NoEvidence(_) => "no-evidence",
            Self::Expired => "expired",
            Self::Superseded { .. } => "superseded",
            Self::Stopping => "stopping",
        }
    }

    /// Whether the question cannot be answered at all until somebody repairs the set-up.
    pub fn is_unanswerable(&self) -> bool {
        matches!(self, Self::NoEvidence(cause) if cause.is_unanswerable())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("no probe has answered yet"),
            Self::NotPrimary(role) => write!(f, "the instance is {role}"),
            Self::Rising { seen, needed } => write!(f, "primary seen {seen} of {needed} times in a row"),
            Self::NoEvidence(cause) => write!(f, "{cause}"),
            Self::Expired => f.write_str("the last evidence is too old"),
            Self::Superseded { by } => write!(f, "superseded: {by}"),
            Self::Stopping => f.write_str("mirrorvip is stopping"),
        }
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
