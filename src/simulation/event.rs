//! Events of a simulated mirror, and the changes that follow. PURE.

use std::time::Duration;

use super::instance::{Instance, LogLine, MemberId};

/// An event that happens to a member from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is shut down cleanly.
    Stop(MemberId),
    /// It crashes.
    Crash(MemberId),
    /// It hangs.
    Hang(MemberId),
    /// It is started again, or wakes up from hanging.
    Start(MemberId),
    /// An operator promotes a disaster recovery member.
    Promote(MemberId),
    /// Its machine is reverted to a snapshot from when it was last primary, and is cut off from the mirror.
    Revert(MemberId),
}

/// A change that follows, in the order in which it becomes visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The state of an instance changed.
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
    /// From the clean shutdown of a primary until the backup begins to take over.
    pub handover: Duration,
    /// From the last sign of life of a primary until the backup begins to take over: the quality of service timeout.
    pub detection: Duration,
    /// From the log line about becoming primary until the member is primary.
    pub transition: Duration,
    /// From the start of an instance until it looks for its mirror.
    pub startup: Duration,
    /// From finding the primary until having caught up with it.
    pub catch_up: Duration,
}

/// Why an event is impossible in the mirror's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The instance is stopped.
    #[error("the instance {0} is down")]
    Down(MemberId),
    /// The instance hangs already.
    #[error("the instance {0} already hangs")]
    Hung(MemberId),
    /// The instance runs.
    #[error("the instance {0} already runs")]
    Running(MemberId),
    /// Only a running disaster recovery member can be promoted.
    #[error("{0} is not a running disaster recovery member")]
    NotPromotable(MemberId),
    /// While there is a primary, or a member that becomes it, no other is promoted, and its machine is not reverted.
    #[error("{0} is the primary, or is becoming it")]
    HasPrimary(MemberId),
    /// The member was never primary, so no snapshot shows it as one.
    #[error("there is no snapshot of {0} as primary")]
    NoSnapshot(MemberId),
}

// === impl Change ===

impl Change {
    /// The member that it is about.
    pub fn member(&self) -> MemberId {
        match self {
            Self::Became { member, .. } | Self::Logged { member, .. } => *member,
        }
    }
}
