//! The state of one simulated instance, and the line that `iris qlist` prints for it.
//!
//! PURE. Only the states that simulated failovers pass through; the words are those of the real command.

use std::fmt;
use std::path::Path;

/// A member of the simulated mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberId {
    /// Failover member, primary at the beginning.
    A,
    /// Failover member, backup at the beginning.
    B,
    /// Disaster recovery async member.
    C,
}

/// The state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Field 11.
    pub member_type: MemberType,
    /// Fields 4 and 12.
    pub status: Status,
    /// The instance hangs: its `iris` command does not answer.
    pub hung: bool,
    /// The instance runs from a snapshot of its machine, cut off from the mirror, and reports its state from then.
    pub reverted: bool,
}

/// Kinds of members, field 11 of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberType {
    /// One of the pair that takes over from each other.
    Failover,
    /// An async member that an operator may promote.
    DisasterRecovery,
}

/// Status of an instance and of its membership, fields 4 and 12 of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The instance is stopped.
    Down,
    /// The instance starts; users cannot sign on.
    Starting,
    /// Catches up with the primary's journal.
    Synchronizing,
    /// Ready to take over.
    Backup,
    /// Becomes the primary.
    Transition,
    /// The acting primary.
    Primary,
    /// An async member that receives the journal.
    Connected,
    /// Runs, and has no primary to connect to.
    Waiting,
}

/// A line for `messages.log`, but for its time and process id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// 0 informs, 1 warns, 2 is severe, 3 is fatal.
    pub severity: u8,
    /// Facility and event, as `Utility.Event`.
    pub facility: &'static str,
    /// What happened.
    pub text: String,
}

// === impl MemberId ===

impl MemberId {
    /// The three members in order.
    pub const ALL: [Self; 3] = [Self::A, Self::B, Self::C];

    /// Position in arrays that have one element per member.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        }
    }

    /// Name of its directory.
    pub const fn directory(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
        }
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

// === impl Instance ===

impl Instance {
    /// Whether it is the acting primary and answers.
    pub fn is_primary(self) -> bool {
        self.says_primary() && !self.reverted
    }

    /// Whether it says that it is the primary, rightly or not.
    pub fn says_primary(self) -> bool {
        self.status == Status::Primary && !self.hung
    }

    /// The thirteen fields that `iris qlist` prints, in the order of the System Administration Guide.
    ///
    /// `since` is the date at which the instance was started, or last used if it is down. A stopped instance has no mirror
    /// fields, as in `iris list`.
    pub fn qlist_line(self, name: &str, directory: &Path, since: &str) -> String {
        let directory = directory.display();
        let (health, member_type, status) = match self.status {
            Status::Down => ("", "", ""),
            _ => ("ok", self.member_type.field(), self.status.field()),
        };
        let running = self.status.instance_status();
        format!(
            "{name}^{directory}^2024.1.0.267.2^{running} {since}^iris.cpf^1972^0^62972^{health}^IRIS^\
             {member_type}^{status}^{directory}"
        )
    }
}

impl fmt::Display for Instance {
    /// For people: `Failover/Primary`, `down`, `Failover/Primary (hung)`, `Failover/Primary (reverted)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Status::Down | Status::Starting => write!(f, "{}", self.status)?,
            _ => write!(f, "{}/{}", self.member_type.field(), self.status)?,
        }
        if self.reverted {
            f.write_str(" (reverted)")?;
        }
        if self.hung { f.write_str(" (hung)") } else { Ok(()) }
    }
}

// === impl MemberType ===

impl MemberType {
    /// The word in field 11.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Failover => "Failover",
            Self::DisasterRecovery => "Disaster Recovery",
        }
    }
}

// === impl Status ===

impl Status {
    /// The word in field 12.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Down => "Down",
            Self::Starting => "Not Initialized",
            Self::Synchronizing => "Synchronizing",
            Self::Backup => "Backup",
            Self::Transition => "Transition",
            Self::Primary => "Primary",
            Self::Connected => "Connected",
            Self::Waiting => "Waiting",
        }
    }

    /// What field 4 says up to the date.
    const fn instance_status(self) -> &'static str {
        match self {
            Self::Down => "down, last used",
            Self::Starting => "sign-on inhibited, last used",
            _ => "running, since",
        }
    }
}

impl fmt::Display for Status {
    /// The mirror's own word, or ours for an instance that does not run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Down => "down",
            Self::Starting => "starting",
            _ => self.field(),
        })
    }
}

// === impl LogLine ===

impl LogLine {
    /// The line as it stands in the file, without its end; `at` is local time.
    pub fn format(&self, at: &jiff::Zoned, process: u32) -> String {
        let time = at.strftime("%m/%d/%y-%H:%M:%S");
        let Self { severity, facility, text } = self;
        format!("{time}:{:03} ({process}) {severity} [{facility}] {text}", at.millisecond())
    }
}
