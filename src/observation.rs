//! The result of a probe: an [`Observation`] with a definite [`Role`], or [`NoEvidence`] and why. PURE.
//!
//! The evidence has three values. A definite *primary* may be served; any other definite role counts at once; *no
//! evidence* is neither, and the [role machine](crate::role) decides how long the last definite answer bridges it. This
//! module does not know how the question was asked; [`probe`](crate::probe) does.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;

/// The role that the local instance reported.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The acting primary failover member.
    Primary,
    /// The failover member that is ready to take over.
    Backup,
    /// An async member that receives the mirror's journals at present.
    Async(AsyncKind),
    /// Definitely neither the primary nor usable for readers: the instance's own word for it.
    Other(OtherRole),
}

/// Kinds of async members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AsyncKind {
    /// Disaster recovery: may be promoted to failover member by a human.
    DisasterRecovery,
    /// Read-only reporting.
    ReadOnlyReporting,
    /// Read-write reporting.
    ReadWriteReporting,
    /// The instance says `Async` without a kind.
    Unspecified,
}

/// Definite states of an instance that is neither primary, backup nor a connected async member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OtherRole {
    /// The instance is stopped.
    InstanceDown,
    /// The instance starts, stops or changes role; users cannot sign on.
    SignOnInhibited,
    /// The instance belongs to no mirror.
    NotMember,
    /// A failover member that is connected, but not (yet) backup.
    Connected,
    /// The member changes its role.
    Transition,
    /// The member catches up with the primary's journal.
    Synchronizing,
    /// The member waits for the primary or for the other failover member.
    Waiting,
    /// Mirroring is stopped on this member.
    Stopped,
    /// The mirror job of this member crashed.
    Crashed,
    /// Mirroring is not initialized on this member (yet).
    NotInitialized,
    /// The mirror is down on this member.
    MirrorDown,
    /// The probe can report *not primary* and no more.
    NotPrimary,
}

/// Why a probe did not find the role.
///
/// The text in a variant is evidence for people; it is sanitized when it is made, see [`printable`](crate::text::printable).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NoEvidence {
    /// The deadline passed before an answer came.
    TimedOut {
        /// The deadline.
        after: Duration,
    },
    /// The command does not exist, or cannot be executed at all.
    CommandMissing(String),
    /// The operating system, the command or the server denied access.
    Denied(String),
    /// The answer came, and it does not know the instance.
    NoSuchInstance(String),
    /// The process died, exited with an error, or could not be started for a passing reason.
    Failed(String),
    /// A child of an earlier probe was killed and still is not gone; no other is started beside it.
    Unkillable {
        /// Its process id.
        pid: u32,
    },
    /// No connection, or the connection broke.
    Unreachable(String),
    /// An answer longer than the limit.
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// An answer that is not in the expected form.
    Unparsable(String),
    /// An unknown word in the right place, or a combination that makes no sense.
    Unrecognised(String),
    /// The member says that it is in trouble: it may look primary while another one is.
    Trouble(String),
    /// The instance itself says that it does not know: `Error`, `Indeterminate`.
    Indeterminate(String),
    /// The publisher's file is older than it may be.
    Outdated {
        /// How old the heartbeat is.
        age: Duration,
    },
}

/// One answer of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// When the question was asked. Freshness counts from here: between asking and answering the role
    /// may already have changed.
    pub asked_at: Timestamp,
    /// When the answer was in.
    pub answered_at: Timestamp,
    /// The answer.
    pub outcome: Outcome,
    /// What the answer was read from, for people: a line, a status; sanitized and bounded.
    pub evidence: String,
}

/// A definite role, or none and why.
pub type Outcome = Result<Role, NoEvidence>;

// === impl Role ===

impl Role {
    /// The role in one lower-case word, as in logs, metrics and role files.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
            Self::Async(AsyncKind::DisasterRecovery) => "disaster-recovery",
            Self::Async(AsyncKind::ReadOnlyReporting) => "read-only-reporting",
            Self::Async(AsyncKind::ReadWriteReporting) => "read-write-reporting",
            Self::Async(AsyncKind::Unspecified) => "async",
            Self::Other(other) => other.word(),
        }
    }

    /// Reads a role word as [`word`](Self::word) writes it, without regard to case; `None` for any other.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::all().find(|role| role.word().eq_ignore_ascii_case(word))
    }

    /// Every role there is.
    pub fn all() -> impl Iterator<Item = Self> {
        let kinds = [
            AsyncKind::DisasterRecovery,
            AsyncKind::ReadOnlyReporting,
            AsyncKind::ReadWriteReporting,
            AsyncKind::Unspecified,
        ];
        [Self::Primary, Self::Backup]
            .into_iter()
            .chain(kinds.map(Self::Async))
            .chain(OtherRole::ALL.map(Self::Other))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

// === impl OtherRole ===

impl OtherRole {
    /// Every one of them.
    pub const ALL: [Self; 12] = [
        Self::InstanceDown,
        Self::SignOnInhibited,
        Self::NotMember,
        Self::Connected,
        Self::Transition,
        Self::Synchronizing,
        Self::Waiting,
        Self::Stopped,
        Self::Crashed,
        Self::NotInitialized,
        Self::MirrorDown,
        Self::NotPrimary,
    ];

    /// It in one lower-case word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::InstanceDown => "down",
            Self::SignOnInhibited => "sign-on-inhibited",
            Self::NotMember => "not-member",
            Self::Connected => "connected",
            Self::Transition => "transition",
            Self::Synchronizing => "synchronizing",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
            Self::Crashed => "crashed",
            Self::NotInitialized => "not-initialized",
            Self::MirrorDown => "mirror-down",
            Self::NotPrimary => "not-primary",
        }
    }
}

// === impl NoEvidence ===

impl NoEvidence {
    /// Whether retrying cannot help until an operator corrects the set-up: the page then answers 500 instead of 503.
    pub const fn is_unanswerable(&self) -> bool {
        matches!(self, Self::CommandMissing(_) | Self::Denied(_) | Self::NoSuchInstance(_))
    }

    /// The reason in one lower-case word, as in metrics and JSON.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::TimedOut { .. } => "timed-out",
            Self::CommandMissing(_) => "command-missing",
            Self::Denied(_) => "denied",
            Self::NoSuchInstance(_) => "no-such-instance",
            Self::Failed(_) => "failed",
            Self::Unkillable { .. } => "unkillable",
            Self::Unreachable(_) => "unreachable",
            Self::TooLong { .. } => "too-long",
            Self::Unparsable(_) => "unparsable",
            Self::Unrecognised(_) => "unrecognised",
            Self::Trouble(_) => "trouble",
            Self::Indeterminate(_) => "indeterminate",
            Self::Outdated { .. } => "outdated",
        }
    }
}

impl fmt::Display for NoEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { after } => write!(f, "no answer within {after:?}"),
            Self::CommandMissing(text) | Self::Denied(text) | Self::NoSuchInstance(text) => f.write_str(text),
            Self::Failed(text) | Self::Unreachable(text) | Self::Unparsable(text) => f.write_str(text),
            Self::Unkillable { pid } => {
                write!(f, "process {pid} of an earlier call was killed and has not ended")
            }
            Self::TooLong { limit } => write!(f, "the answer is longer than {limit} bytes"),
            Self::Unrecognised(text) => write!(f, "unrecognised: {text}"),
            Self::Trouble(text) => write!(f, "in trouble: {text}"),
            Self::Indeterminate(text) => write!(f, "the instance does not know its role: {text}"),
            Self::Outdated { age } => write!(f, "the last heartbeat is {age:.1?} old"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_read_back() {
        let mut words: Vec<_> = Role::all().map(|role| role.word()).collect();
        for role in Role::all() {
            assert_eq!(Role::from_word(&role.word().to_uppercase()), Some(role));
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Role::all().count());
        assert_eq!(Role::from_word("primary or so"), None);
    }

    #[test]
    fn only_a_broken_set_up_is_unanswerable() {
        assert!(NoEvidence::CommandMissing(String::new()).is_unanswerable());
        assert!(NoEvidence::Denied(String::new()).is_unanswerable());
        assert!(NoEvidence::NoSuchInstance(String::new()).is_unanswerable());
        assert!(!NoEvidence::TimedOut { after: Duration::ZERO }.is_unanswerable());
        assert!(!NoEvidence::Trouble(String::new()).is_unanswerable());
    }
}
