//! What happens to a simulated mirror, and what it tells about the consequences. PURE.

use std::time::Duration;

use super::instance::{Instance, LogLine, MemberId};

/// Something that happens to a member from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is shut down in an orderly way.
    Stop(MemberId),
    /// It is gone without a word.
    Crash(MemberId),
    /// It hangs.
    Hang(MemberId),
    /// It is started again, or wakes up from hanging.
    Start(MemberId),
    /// A human promotes a disaster recovery member.
    Promote(MemberId),
    /// Its machine is reverted to a snapshot of when it was primary last, and is cut off from the mirror.
    Revert(MemberId),
}

/// Something that follows, in the order in which it must be made visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An instance is something else than before.
    Became {
        /// Which.
        member: MemberId,
        /// What it was.
        from: Instance,
        /// What it is.
        to: Instance,
    },
    /// An instance wrote into its `messages.log`.
    Logged {
        /// Which.
        member: MemberId,
        /// What it wrote.
        line: LogLine,
    },
}

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the orderly stop of a primary until the backup begins to take over.
    pub handover: Duration,
    /// From the last word of a primary until the backup begins to take over: the quality of service timeout.
    pub detection: Duration,
    /// From the log line about becoming primary until the member is it.
    pub transition: Duration,
    /// From the start of an instance until it looks for its mirror.
    pub startup: Duration,
    /// From finding the primary until having caught up with it.
    pub catch_up: Duration,
}

/// The mirror is in no state for what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The instance is stopped.
    #[error("the instance {0} is down")]
    Down(MemberId),
    /// The instance hangs already.
    #[error("the instance {0} hangs already")]
    Hung(MemberId),
    /// The instance runs.
    #[error("the instance {0} runs")]
    Running(MemberId),
    /// Only a running disaster recovery member can be promoted.
    #[error("{0} is not a disaster recovery member that runs")]
    NotPromotable(MemberId),
    /// While there is a primary, or a member that becomes it, a promotion would make a second one. Nor is its machine
    /// reverted.
    #[error("{0} is the primary, or becomes it")]
    HasPrimary(MemberId),
    /// The member was never primary, so that no snapshot shows it as one.
    #[error("there is no snapshot of {0} as primary")]
    NoSnapshot(MemberId),
}

// === impl Change ===

impl Change {
    /// Whom it concerns.
    pub fn member(&self) -> MemberId {
        match self {
            Self::Became { member, .. } | Self::Logged { member, .. } => *member,
        }
    }
}
