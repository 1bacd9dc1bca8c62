//! Running a command: starts it, reads a bounded answer, and makes sure that it is gone.
//!
//! It knows nothing about roles; the probes read the answers, and a hook uses only the exit code.
//!
//! The command of a database can hang, fork, flood or die, and the daemon must survive all of it:
//!
//! - No shell. The environment contains what [`Call`] lists, standard input is empty, and the child leads a
//!   process group of its own.
//! - The group gets SIGKILL when the child has answered, when it overruns its deadline or its output limit,
//!   and when no caller waits for it any more. The signal is sent before the leader is reaped: an unreaped
//!   leader keeps the group's number from being given to strangers. Therefore the exit is noticed with
//!   `WNOWAIT`, at SIGCHLD, which works on any kernel; a process descriptor would need Linux 5.4.
//! - A descendant that holds the pipe is not waited for: when the child itself has exited, the pipe is
//!   emptied and closed. One that left the group with `setsid` lives on, but delays no caller.
//! - A daemon that is killed leaves no process behind: its [`guard`] kills the groups that are left.
//! - A process that survives SIGKILL sleeps in the kernel, mostly in a broken file system. It is remembered,
//!   and nothing is started beside it until it is gone: a hang costs one process, not one for each call.
//!
//! As process 1 of a container the daemon inherits the descendants of its children. Those in the group are
//! reaped here; the ones that left it need an init in the container.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::signal::unix::{self as signals, SignalKind};
use tokio::time::{Instant, timeout, timeout_at};

use crate::blocking::SingleFlight;
use crate::observation::NoEvidence;

mod capture;
pub(crate) mod guard;
mod start;
mod survivors;
#[cfg(test)]
mod tests;

use capture::{Capture, End};
pub(crate) use start::Call;
use survivors::Survivor;

/// How long killed processes may take to disappear before they count as unkillable. Releasing the memory
/// of a large process takes milliseconds. The call's deadline is exceeded by at most twice this.
const GRACE: Duration = Duration::from_millis(200);

/// How often the child is checked without a SIGCHLD: the daemon's parent may have blocked it.
const TICK: Duration = Duration::from_millis(100);

/// How often killed descendants are searched for. They are not our children, so no signal reports their end.
const DESCENDANTS_TICK: Duration = Duration::from_millis(5);

/// Runs one child at a time.
#[derive(Debug)]
pub(crate) struct Runner {
    starting: SingleFlight<Result<Running, NoEvidence>>,
    running: Option<Running>,
}

/// What a child left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it printed, at most [`capture::OUTPUT_LIMIT`] bytes.
    pub(crate) stdout: Vec<u8>,
    /// The first line of what it printed on standard error; sanitized and bounded.
    pub(crate) complaint: String,
}

/// A child and its process group, until nothing of them is left. Dropping it kills the group.
#[derive(Debug)]
struct Running {
    /// The leader of the group; `None` once it has been reaped.
    child: Option<process::Child>,
    group: Pid,
    /// Members of the group that outlived SIGKILL and the leader.
    survivors: Vec<Survivor>,
}

/// A start that a caller waits for. If the caller gives up, the started group is killed, even if it started just before.
#[derive(Debug, Default)]
struct Awaited(Arc<Mutex<Start>>);

/// How far a start is.
#[derive(Clone, Copy, Debug, Default)]
enum Start {
    #[default]
    UnderWay,
    /// The group has started, and the caller does not know yet.
    Came(Pid),
    /// The caller knows.
    Taken,
    GivenUp,
}

/// Kills the group when the future that holds it ends, however it ends. The child stays in its slot, where
/// the next run finds and reaps it.
struct Leash<'a> {
    slot: &'a mut Option<Running>,
}

/// Killed children whose runner was dropped before they were gone. The next caller that runs or drops a child
/// reaps them.
static ORPHANS: Mutex<Vec<(process::Child, Pid)>> = Mutex::new(Vec::new());

// === impl Runner ===

impl Runner {
    /// Makes a runner that has run nothing.
    pub(crate) const fn new() -> Self {
        Self { starting: SingleFlight::new(), running: None }
    }

    /// Runs `call` for at most `limit`, to which the clean-up adds at most twice [`GRACE`].
    ///
    /// Dropping the future kills the child's group. A start that hangs in the kernel continues by itself, and its group is
    /// killed as soon as it has started.
    pub(crate) async fn run(&mut self, call: &Call, limit: Duration) -> Result<Finished, NoEvidence> {
        let deadline = Instant::now() + limit;
        reap_orphans();
        // Listening begins before the child does: no exit is missed.
        let mut exits = signals::signal(SignalKind::child())
            .map_err(|error| NoEvidence::Failed(format!("failed to listen for SIGCHLD: {error}")))?;
        self.bury_predecessor(&mut exits).await?;

        let (call, awaited) = (call.clone(), Awaited::default());
        let state = Arc::clone(&awaited.0);
        let start = move || {
            let running = call.start()?;
            lock(&state).came(&running);
            Ok(running)
        };
        let started = timeout_at(deadline, self.starting.run(start)).await;
        let running = started.map_err(|_| NoEvidence::TimedOut { after: limit })??;
        let leash = Leash { slot: &mut self.running };
        let running = leash.slot.insert(running);
        awaited.taken();

        let mut capture = Capture::of(running.child.as_mut())?;
        let end = timeout_at(deadline, capture.gather(running.exited(&mut exits))).await;
        running.kill();
        let grace = Instant::now() + GRACE;
        let status = running.reap(&mut exits, grace).await;
        let pid = running.pid();
        if running.is_gone(grace).await {
            *leash.slot = None;
        }
        match end {
            Err(_elapsed) => Err(NoEvidence::TimedOut { after: limit }),
            Ok(End::Overlong) => Err(NoEvidence::TooLong { limit: capture::OUTPUT_LIMIT }),
            Ok(End::Exited) => match status {
                Some(Ok(status)) => Ok(capture.finish(status)),
                Some(Err(error)) => Err(NoEvidence::Failed(format!("failed to read its exit code: {error}"))),
                None => Err(NoEvidence::Unkillable { pid }),
            },
        }
    }

    /// Makes sure that nothing is left of the run before, whose caller may have given up at any point.
    async fn bury_predecessor(&mut self, exits: &mut signals::Signal) -> Result<(), NoEvidence> {
        let Ok(started) = timeout(GRACE, self.starting.settle()).await else {
            let text = "the command of an earlier call still has not started; its file system may hang";
            return Err(NoEvidence::Failed(text.to_owned()));
        };
        if let Some(Ok(running)) = started {
            self.running = Some(running);
        }
        let Some(running) = &mut self.running else { return Ok(()) };
        let grace = Instant::now() + GRACE;
        running.kill();
        // Its exit code answers a question that has been abandoned.
        let _status = running.reap(exits, grace).await;
        if !running.is_gone(grace).await {
            return Err(NoEvidence::Unkillable { pid: running.pid() });
        }
        self.running = None;
        Ok(())
    }
}

// === impl Running ===

impl Running {
    fn new(child: process::Child) -> Self {
        let group = Pid::from_child(&child);
        guard::note(group);
        Self { group, child: Some(child), survivors: Vec::new() }
    }

    /// Sends SIGKILL to the whole group, as long as its number is certain to be ours.
    fn kill(&self) {
        if self.child.is_some() {
            // It fails only when no process is left to kill.
            let _gone = kill_process_group(self.group, Signal::KILL);
        }
    }

    /// Waits until the leader has exited, and leaves it to be reaped. Cancel-safe.
    async fn exited(&self, exits: &mut signals::Signal) {
        while !has_exited(self.group) {
            let _signal_or_tick = timeout(TICK, exits.recv()).await;
        }
    }

    /// Reaps the leader; `None` when it has not exited by `deadline`.
    async fn reap(
        &mut self,
        exits: &mut signals::Signal,
        deadline: Instant,
    ) -> Option<io::Result<ExitStatus>> {
        if self.child.is_some() {
            timeout_at(deadline, self.exited(exits)).await.ok()?;
        }
        // Does not block: it has exited, or an error says that it was reaped elsewhere.
        self.child.take().map(|mut child| {
            guard::forget(self.group);
            child.wait()
        })
    }

    /// Whether the leader and every member of the group are gone, for which it waits until `deadline`.
    async fn is_gone(&mut self, deadline: Instant) -> bool {
        if self.child.is_some() {
            return false;
        }
        loop {
            self.survivors.retain(Survivor::is_alive);
            if self.survivors.is_empty() {
                self.survivors = survivors::of_group(self.group);
            }
            if self.survivors.is_empty() {
                // They were all seen dead, or not at all: what of them is ours can be reaped.
                reap_descendants(self.group);
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(DESCENDANTS_TICK).await;
        }
    }

    /// The process to name to people: the leader, or a survivor when that is gone.
    fn pid(&self) -> u32 {
        let survivor = self.survivors.first().map(|survivor| survivor.pid);
        survivor.unwrap_or(self.group).as_raw_nonzero().get().unsigned_abs()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if let Some(child) = self.child.take() {
            lock(&ORPHANS).push((child, self.group));
            reap_orphans();
        }
    }
}

// === impl Start ===

impl Start {
    /// The group has started.
    fn came(&mut self, running: &Running) {
        match self {
            Self::UnderWay => *self = Self::Came(running.group),
            Self::GivenUp => running.kill(),
            Self::Came(_) | Self::Taken => {}
        }
    }
}

// === impl Awaited ===

impl Awaited {
    /// From here on a [`Leash`] holds it.
    fn taken(&self) {
        *lock(&self.0) = Start::Taken;
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let mut start = lock(&self.0);
        match *start {
            Start::UnderWay => *start = Start::GivenUp,
            // It is not reaped before the next run finds it: its number is certain to be ours.
            Start::Came(group) => {
                let _gone = kill_process_group(group, Signal::KILL);
            }
            Start::Taken | Start::GivenUp => {}
        }
    }
}

// === impl Leash ===

impl Drop for Leash<'_> {
    fn drop(&mut self) {
        if let Some(running) = self.slot {
            running.kill();
        }
    }
}

// === impl Finished ===

impl Finished {
    /// How it ended, with its first line of standard error.
    pub(crate) fn describe(&self) -> String {
        let end = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exited with code {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => "ended in an unknown way".to_owned(),
        };
        if self.complaint.is_empty() { end } else { format!("{end}: {}", self.complaint) }
    }
}

/// Whether the child `leader` has exited; leaves it to be reaped.
fn has_exited(leader: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::Pid(leader), options) {
        Ok(None) => false,
        // An error: it was reaped elsewhere.
        Ok(Some(_)) | Err(_) => true,
    }
}

/// Their values are consistent at any moment, so a poisoned lock can be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reap_orphans() {
    let mut orphans = lock(&ORPHANS);
    orphans.retain_mut(|(child, group)| {
        let ended = has_exited(*group);
        if ended {
            guard::forget(*group);
            let _status = child.wait();
            reap_descendants(*group);
        }
        !ended
    });
}

/// Reaps dead members of the group that became our children because we are process 1.
fn reap_descendants(group: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    while let Ok(Some(_)) = waitid(WaitId::Pgid(Some(group)), options) {}
}
