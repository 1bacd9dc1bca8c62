//! Ends the children of a daemon that was killed.
//!
//! SIGKILL and an abort run no destructor, so another process must do it: the guard, a process of the same program that the
//! daemon starts before its first child. Through a pipe it learns of each process group when that starts and before it
//! ends. When the pipe ends because the daemon has ended, it sends SIGKILL to the groups that are left, and exits.
//!
//! A parent-death signal (`prctl`) is not enough: it reaches the child itself but none of *its* children; a set-user-id
//! program drops it, as `iris` is in some installations; and it comes when the *thread* that started the child ends, and
//! threads of the blocking pool end at any time.
//!
//! - The guard leads its own process group and ignores the signals that end a daemon: a signal to the whole control group
//!   or terminal ends the daemon first, and then the guard.
//! - A group is noted right after its start, and its note is removed before its leader is reaped, so that its number cannot
//!   belong to another process.
//! - No child starts before the guard ignores those signals, which it reports on its standard output.
//! - A missing guard is replaced before the next child starts. All running groups are noted in its pipe before it starts, so
//!   it knows them however soon the daemon is killed.
//! - Without a guard (no `/proc`, no process left) children still start, and the log says so once.
//!
//! It does not reach descendants that left the group (`setsid`), those that run as another user, and a child whose daemon is
//! killed between the start and the note, less than a millisecond. A control group of systemd or of a container reaches
//! those as well.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, PipeWriter, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

/// The only argument of a process that is a guard.
pub(crate) const ARGUMENT: &str = "__guard-children";

/// This program, also after an upgrade has replaced its file.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// How long a guard may take to ignore signals. One that takes longer is relied on all the same.
const READY_WITHIN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The guard of this process.
static GUARD: Mutex<Guard> =
    Mutex::new(Guard { wanted: false, process: None, groups: BTreeSet::new(), warned: false });

/// Held while a guard is started, which may take as long as the file system of this program: no other caller waits for it.
static STARTING: Mutex<()> = Mutex::new(());

/// Set by the signals that a guard ignores, and never read.
static IGNORED: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
struct Guard {
    /// Whether this process is a daemon: only then children must not outlive it.
    wanted: bool,
    process: Option<Process>,
    /// The groups that were noted and not forgotten, for a guard that comes later.
    groups: BTreeSet<i32>,
    /// Whether its absence was reported.
    warned: bool,
}

/// A guard that runs, and the pipe with its notes.
#[derive(Debug)]
struct Process {
    child: process::Child,
    notes: PipeWriter,
}

/// Gives the children of this process a guard from here on.
pub(crate) fn want() {
    guard().wanted = true;
}

/// Makes sure that there is a guard, if one is wanted. Blocks for as long as it takes to start a process.
pub(super) fn ensure() {
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let known = {
        let mut guard = guard();
        if !guard.needs_process() {
            return;
        }
        guard.groups.clone()
    };
    let started = start(&known);
    let mut guard = guard();
    match started {
        Ok(process) => {
            guard.process = Some(process);
            // The groups that started and ended meanwhile.
            let groups = guard.groups.clone();
            groups.difference(&known).for_each(|group| guard.send(*group));
            known.difference(&groups).for_each(|group| guard.send(-group));
        }
        Err(_) if guard.warned => {}
        Err(error) => {
            guard.warned = true;
            tracing::warn!(%error, "no guard for commands: a command that runs while the daemon is killed survives it");
        }
    }
}

/// Notes that `group` has started.
pub(super) fn note(group: Pid) {
    let (mut guard, group) = (guard(), group.as_raw_nonzero().get());
    guard.groups.insert(group);
    guard.send(group);
}

/// Removes the note of `group`. Must be called before its leader is reaped.
pub(super) fn forget(group: Pid) {
    let (mut guard, group) = (guard(), group.as_raw_nonzero().get());
    guard.groups.remove(&group);
    guard.send(-group);
}

/// The guard's own work: listens on standard input until the daemon has ended.
pub(crate) fn stand() {
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] {
        // It fails for signals that cannot be caught, which these can.
        let _registered = signal_hook::flag::register(signal, &IGNORED);
    }
    // It fails when the daemon does not wait for it.
    let _reported = io::stdout().write_all(b"\n");
    for group in listen(io::stdin().lock()) {
        // It fails when no process is left in it.
        let _gone = kill_process_group(group, Signal::KILL);
    }
}

/// The groups that are left when the notes end.
fn listen(mut notes: impl Read) -> HashSet<Pid> {
    let mut groups = HashSet::new();
    let mut note = [0; size_of::<i32>()];
    while notes.read_exact(&mut note).is_ok() {
        let note = i32::from_ne_bytes(note);
        // 1 is init; zero and less would mean other groups than one.
        match Pid::from_raw(note.saturating_abs()) {
            Some(group) if note > 1 => groups.insert(group),
            Some(group) => groups.remove(&group),
            None => false,
        };
    }
    groups
}

fn guard() -> MutexGuard<'static, Guard> {
    GUARD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(groups: &BTreeSet<i32>) -> io::Result<Process> {
    let (stdin, mut notes) = io::pipe()?;
    // A guard that was stopped must not stop the daemon.
    rustix::io::ioctl_fionbio(&notes, true)?;
    groups.iter().try_for_each(|group| notes.write_all(&group.to_ne_bytes()))?;
    let mut child = Command::new(THIS_PROGRAM)
        .arg0(env!("CARGO_PKG_NAME"))
        .arg(ARGUMENT)
        .env_clear()
        .current_dir("/")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    if let Some(ready) = child.stdout.take() {
        let wait = || poll(&mut [PollFd::new(&ready, PollFlags::IN)], Some(&READY_WITHIN));
        let _ready = rustix::io::retry_on_intr(wait);
    }
    Ok(Process { child, notes })
}

// === impl Guard ===

impl Guard {
    /// Whether one is wanted and none lives; reaps one that has ended.
    fn needs_process(&mut self) -> bool {
        let lives = self.process.as_mut().is_some_and(|process| matches!(process.child.try_wait(), Ok(None)));
        if !lives {
            self.process = None;
        }
        self.wanted && !lives
    }

    /// A pipe takes so few bytes whole or not at all.
    fn send(&mut self, note: i32) {
        if let Some(process) = &mut self.process {
            // It fails when the guard is gone, which the next start of a child finds.
            let _sent = process.notes.write_all(&note.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_were_not_forgotten_are_left() {
        let notes: Vec<u8> =
            [70, 71, -70, 72, 0, 1, -1, i32::MIN].iter().flat_map(|note: &i32| note.to_ne_bytes()).collect();
        let left: HashSet<_> =
            listen(&*notes).into_iter().map(|group| group.as_raw_nonzero().get()).collect();
        assert_eq!(left, [71, 72].into());
        assert!(listen(&notes[..3]).is_empty(), "half a note is none");
    }
}
