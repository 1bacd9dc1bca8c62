//! What the role machine rules: serve until a moment, or refuse for a reason. PURE.

use std::fmt;

use super::{Epoch, Lease, Permit};
use crate::clock::Timestamp;
use crate::observation::{NoEvidence, OtherRole, Role};

/// What the role machine rules. Never a bare bool: it carries when it ends, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// This member is the primary.
    Serve {
        /// Which promotion this is.
        epoch: Epoch,
        /// How long it is valid.
        until: Lease,
    },
    /// This member is not the primary, or that is not known.
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
    /// No answer with the role, and no lease left.
    NoEvidence(NoEvidence),
    /// The lease of a verdict to serve ended without a new verdict.
    Expired,
    /// The instance says *primary*, and another member was promoted later and serves.
    Superseded {
        /// By whom and how it is known.
        by: String,
    },
    /// The daemon is stopping.
    Stopping,
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

    /// Whether the question cannot be answered until the set-up is corrected.
    pub fn is_unanswerable(&self) -> bool {
        matches!(self, Self::NoEvidence(cause) if cause.is_unanswerable())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("no probe has answered yet"),
            Self::NotPrimary(Role::Other(OtherRole::NotPrimary)) => {
                f.write_str("the instance is not primary")
            }
            Self::NotPrimary(role) => write!(f, "the instance is {role}"),
            Self::Rising { seen, needed } => write!(f, "primary seen {seen} of {needed} times in a row"),
            Self::NoEvidence(cause) => write!(f, "{cause}"),
            Self::Expired => f.write_str("the last evidence is too old"),
            Self::Superseded { by } => write!(f, "superseded: {by}"),
            Self::Stopping => f.write_str("mirrorvip is stopping"),
        }
    }
}
