//! Members of a process group that SIGKILL did not end, read from `/proc`.
//!
//! Zombies do not count: they hold nothing, and in a container whose process 1 does not reap they stay for
//! ever. A survivor is recognised by its number and its start time together, as numbers are used again.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process_group};

/// How many are remembered; one is enough to hold back the next probe.
const REMEMBERED: usize = 16;

/// A process that should be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Survivor {
    /// Its process id.
    pub(super) pid: Pid,
    /// When it started, in clock ticks after the machine did.
    started: u64,
}

/// What `/proc/PID/stat` says, see `man 5 proc_pid_stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    group: i32,
    started: u64,
}

/// The living members of `group`. None when `/proc` cannot be read: then nothing is held back.
pub(super) fn of_group(group: Pid) -> Vec<Survivor> {
    // One system call answers in the usual case, that no process is left. Another error says that one is,
    // and runs as a user whom we may not kill.
    if test_kill_process_group(group) == Err(Errno::SRCH) {
        return Vec::new();
    }
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .filter_map(|pid| {
            let stat = Stat::of(pid)?;
            let member = stat.group == group.as_raw_nonzero().get() && stat.lives();
            member.then_some(Survivor { pid, started: stat.started })
        })
        .take(REMEMBERED)
        .collect()
}

// === impl Survivor ===

impl Survivor {
    /// Whether the same process still lives.
    pub(super) fn is_alive(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.started == self.started && stat.lives())
    }
}

// === impl Stat ===

impl Stat {
    fn of(pid: Pid) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?)
    }

    /// The name in parentheses may hold anything, parentheses and spaces too: fields count from the last.
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let group = fields.nth(1)?.parse().ok()?;
        let started = fields.nth(16)?.parse().ok()?;
        Some(Self { state, group, started })
    }

    fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_state_group_and_start_whatever_the_name() {
        let stat =
            "77 (a) b (c)) Z 1 70 71 0 -1 4228364 0 0 0 0 0 0 0 0 20 0 1 0 123456 0 0 18446744073709551615";
        let parsed = Stat::parse(stat).expect("all fields are there");
        assert_eq!(parsed, Stat { state: 'Z', group: 70, started: 123_456 });
        assert!(!parsed.lives());
        assert_eq!(Stat::parse("77 (a) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn finds_the_members_of_a_living_group() {
        let own = rustix::process::getpgrp();
        let members = of_group(own);
        assert!(!members.is_empty());
        assert!(members.iter().any(Survivor::is_alive));
        let impostor = Survivor { started: members[0].started + 1, ..members[0] };
        assert!(!impostor.is_alive(), "a number that was used again");
    }
}
