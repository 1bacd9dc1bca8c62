//! PURE: the role that a mirror member's type and status mean together. [`qlist`](super::qlist) and
//! [`metrics`](super::metrics) translate the text and numbers of their formats.
//!
//! Only `Failover` with `Primary` is the primary. A combination that makes no sense is no evidence: the words may have
//! another meaning than expected.

use crate::observation::{AsyncKind, NoEvidence, OtherRole, Outcome, Role};

/// Mirror member type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberType {
    /// One of the two members that may be primary.
    Failover,
    /// A member that never is, unless a human promotes it.
    Async(AsyncKind),
    /// No mirror is configured.
    NotMember,
    /// The instance does not know.
    Indeterminate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MirrorStatus {
    /// The field is empty, as on an instance without a mirror.
    Blank,
    /// Acting primary.
    Primary,
    /// Ready to take over.
    Backup,
    /// Connected to the primary.
    Connected,
    /// An async member of several mirrors: connected to this many of that many.
    ConnectedTo {
        /// How many it is connected to.
        connected: u32,
        /// How many there are.
        of: u32,
    },
    /// `Transition`.
    Transition,
    /// `Synchronizing`.
    Synchronizing,
    /// `Waiting`.
    Waiting,
    /// `Stopped`.
    Stopped,
    /// `Crashed`.
    Crashed,
    /// `Not Initialized`.
    NotInitialized,
    /// `Down`.
    Down,
    /// The instance cannot tell: `Error`, `Indeterminate`.
    Indeterminate,
    /// `Not Member` in the place of the status.
    NotMember,
}

/// The role of a running instance. `evidence` is the text of an error.
pub(crate) fn rule(member: MemberType, status: MirrorStatus, evidence: &str) -> Outcome {
    use MirrorStatus as S;
    let contradiction = || Err(NoEvidence::Unrecognised(evidence.to_owned()));
    match (member, status) {
        (MemberType::Indeterminate, _) | (_, S::Indeterminate) => {
            Err(NoEvidence::Indeterminate(evidence.to_owned()))
        }
        // An instance without a mirror reports an uninitialised one in some of its interfaces.
        (MemberType::NotMember, S::Blank | S::NotMember | S::NotInitialized) => {
            Ok(Role::Other(OtherRole::NotMember))
        }
        (MemberType::NotMember, _) => contradiction(),
        (MemberType::Failover | MemberType::Async(_), S::Blank | S::NotMember) => contradiction(),
        (MemberType::Failover, S::Primary) => Ok(Role::Primary),
        (MemberType::Failover, S::Backup) => Ok(Role::Backup),
        (MemberType::Failover, S::Connected) => Ok(Role::Other(OtherRole::Connected)),
        (MemberType::Failover, S::ConnectedTo { .. }) => contradiction(),
        (MemberType::Async(_), S::Primary | S::Backup) => contradiction(),
        (MemberType::Async(kind), S::Connected) => Ok(Role::Async(kind)),
        (MemberType::Async(_), S::ConnectedTo { connected, of }) if connected > of => contradiction(),
        (MemberType::Async(_), S::ConnectedTo { connected: 0, .. }) => Ok(Role::Other(OtherRole::Waiting)),
        (MemberType::Async(kind), S::ConnectedTo { .. }) => Ok(Role::Async(kind)),
        (MemberType::Failover | MemberType::Async(_), S::Transition) => {
            Ok(Role::Other(OtherRole::Transition))
        }
        (MemberType::Failover | MemberType::Async(_), S::Synchronizing) => {
            Ok(Role::Other(OtherRole::Synchronizing))
        }
        (MemberType::Failover | MemberType::Async(_), S::Waiting) => Ok(Role::Other(OtherRole::Waiting)),
        (MemberType::Failover | MemberType::Async(_), S::Stopped) => Ok(Role::Other(OtherRole::Stopped)),
        (MemberType::Failover | MemberType::Async(_), S::Crashed) => Ok(Role::Other(OtherRole::Crashed)),
        (MemberType::Failover | MemberType::Async(_), S::NotInitialized) => {
            Ok(Role::Other(OtherRole::NotInitialized))
        }
        (MemberType::Failover | MemberType::Async(_), S::Down) => Ok(Role::Other(OtherRole::MirrorDown)),
    }
}
