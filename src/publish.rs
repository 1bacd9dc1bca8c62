//! `mirrorvip publish`: the role of the local instance as a file with a heartbeat, for a daemon in another
//! container that reads it with the [`file`](mod@crate::probe::file) probe over a shared volume.
//!
//! It uses the daemon's probe loop, including wake-ups, and writes every definite answer at once. It has no verdict, epoch
//! or port, as the reader has them. The reader relies on this:
//!
//! - The file's name is the mirror's name and `.role`. Its first line is the [role word](Role::word); the second is for
//!   people.
//! - The modification time is the heartbeat: the time when the question was *asked*, by the wall clock. So the file never
//!   looks younger than its evidence, however long the answer, the disk or a frozen process took.
//! - A new file replaces the old one by renaming: a reader never sees half a file.
//! - Without evidence nothing is written. The heartbeat then ages until the reader's `stale_after`, exactly as the reader's
//!   own last answer would.
//! - No other file is written: the new file has a random name and must not exist, see `file`.
//! - The file stays after a stop, so that a new publisher continues where the old one ended.
//!
//! It is not synced to the disk: after a power loss the heartbeat would be too old anyway.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::blocking::SingleFlight;
use crate::clock::{Clock, Timestamp};
use crate::config::Mirror;
use crate::file::{Content, Directory, Lock, LockError};
use crate::observation::{Observation, Role};
use crate::probe::Prober;
use crate::probe::run::{self, Watched};
use crate::role::{Settings, Tracker};
use crate::snapshot::Snapshot;
use crate::wake;

#[cfg(test)]
mod tests;

/// Time limit of a write. A volume that hangs longer is reported, and no second write starts until the first returns.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a write in flight may delay a stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The lock file of a publisher; it differs from that of a state directory, which may be the same directory.
const LOCK: &str = "publish.lock";

/// Readable for a reader that runs as another user, writable only for the publisher.
const MODE: u32 = 0o644;

/// The publishers of all mirrors of a configuration. [`stop`](Self::stop) shuts them down cleanly.
#[derive(Debug)]
pub struct Publisher {
    wakes: Vec<Arc<Notify>>,
    cancelled: CancellationToken,
    tasks: TaskTracker,
}

/// The file of one mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RoleFile {
    directory: PathBuf,
    name: String,
}

/// One content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Beat {
    text: String,
    /// The heartbeat, since the Unix epoch.
    modified: Duration,
}

// === impl Publisher ===

impl Publisher {
    /// Probes `mirrors` and keeps their files in `directory` up to date. Must be called within a tokio runtime. Never fails:
    /// a directory that cannot be written is reported, and tried again with the next answer.
    pub fn start<T>(mirrors: &[Mirror<T>], directory: &Path, clock: &Clock) -> Self {
        let (tasks, cancelled) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(hold(directory.to_owned(), cancelled.clone()));
        let mut wakes = Vec::new();
        for (prober, members) in Prober::group(mirrors, clock) {
            let members: Vec<&Mirror<T>> = members.into_iter().map(|index| &mirrors[index]).collect();
            // Mirrors that share a probe have the same interval.
            let Some(interval) = members.first().map(|mirror| mirror.interval) else { continue };
            let wake = Arc::new(Notify::new());
            let wake_on = members.iter().flat_map(|mirror| mirror.wake_on.clone()).collect();
            tasks.spawn(wake::follow(wake_on, Arc::clone(&wake), cancelled.clone()));
            let mut watched = Vec::new();
            for mirror in members {
                let settings = Settings { stale_after: mirror.stale_after, rise: mirror.rise };
                let (sender, snapshot) = watch::channel(Snapshot::new(Tracker::new(settings, None)));
                watched.push(Watched::new(mirror.name.as_str().into(), sender));
                let file = RoleFile::of(&mirror.name, directory);
                tasks.spawn(publish(mirror.name.clone(), file, snapshot, clock.clone(), cancelled.clone()));
            }
            tasks.spawn(run::run(
                prober,
                watched,
                interval,
                Arc::clone(&wake),
                clock.clone(),
                cancelled.clone(),
            ));
            wakes.push(wake);
        }
        Self { wakes, cancelled, tasks }
    }

    /// Asks every instance at once.
    pub fn wake(&self) {
        for wake in &self.wakes {
            wake.notify_one();
        }
    }

    /// Ends the probes and finishes the write in flight. The files stay.
    pub async fn stop(self) {
        self.cancelled.cancel();
        self.tasks.close();
        if timeout(STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("the directory of the role files hangs; a write is still in flight");
        }
    }
}

/// The file of the mirror of this name in `directory`.
pub fn role_file(mirror: &str, directory: &Path) -> PathBuf {
    directory.join(RoleFile::of(mirror, directory).name)
}

/// Locks the directory for this process, and reports if another publisher holds it, as both would write the same files.
/// Publishing twice is better than not at all, so it goes on in any case.
async fn hold(directory: PathBuf, cancelled: CancellationToken) {
    let lock = spawn_blocking(move || {
        let opened = Directory::open(&directory).ok()?;
        let directory = directory.display();
        if let Some(exposure) = opened.exposure() {
            tracing::warn!(%directory, exposure, "others can replace files in the directory of the role files");
        }
        match opened.lock(LOCK) {
            Ok(lock) => {
                opened.sweep();
                Some(lock)
            }
            Err(LockError::Held(holder)) => {
                tracing::error!(%directory, holder, "another publisher writes there as well, and readers see the answers of both in turn: stop one of the two");
                None
            }
            // A file system without locks, or a read-only one, which the first write reports.
            Err(_) => None,
        }
    });
    // A directory that hangs is reported by the first write.
    let _lock: Option<Option<Lock>> = cancelled.run_until_cancelled(lock).await.and_then(Result::ok);
    cancelled.cancelled().await;
}

/// Writes each definite answer once, at once. Reports the first failure and the end of failures.
async fn publish(
    mirror: String,
    file: RoleFile,
    mut snapshots: watch::Receiver<Snapshot>,
    clock: Clock,
    cancelled: CancellationToken,
) {
    let mut writing = SingleFlight::new();
    let mut seen: Option<Arc<Observation>> = None;
    let mut failing = false;
    loop {
        let newest = snapshots.borrow_and_update().newest.clone();
        // A snapshot also changes without a new answer, when a lease ends.
        let is_new = newest.as_ref().map(Arc::as_ptr) != seen.as_ref().map(Arc::as_ptr);
        if let Some(beat) =
            newest.as_deref().filter(|_| is_new).and_then(|answer| Beat::of(answer, clock.now()))
        {
            match write(&mut writing, &file, beat).await {
                Ok(()) if failing => {
                    failing = false;
                    tracing::info!(mirror, %file, "the role file is written again");
                }
                Ok(()) => {}
                Err(_) if failing => {}
                Err(error) => {
                    failing = true;
                    tracing::error!(mirror, %file, %error, "failed to write the role file; its reader refuses once the last one is too old");
                }
            }
        }
        seen = newest;
        // Cancel-safe: `changed` marks nothing as seen when it is dropped.
        tokio::select! {
            () = cancelled.cancelled() => return,
            changed = snapshots.changed() => if changed.is_err() { return },
        }
    }
}

async fn write(writing: &mut SingleFlight<io::Result<()>>, file: &RoleFile, beat: Beat) -> io::Result<()> {
    let file = file.clone();
    match timeout(WRITE_TIMEOUT, writing.run(move || file.replace(&beat))).await {
        Ok(written) => written,
        Err(_elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, "the file system does not answer")),
    }
}

// === impl RoleFile ===

impl RoleFile {
    fn of(mirror: &str, directory: &Path) -> Self {
        // The configuration allows no name that means anything to a file system.
        Self { directory: directory.to_owned(), name: format!("{mirror}.role") }
    }

    /// Blocks on the file system.
    fn replace(&self, beat: &Beat) -> io::Result<()> {
        let Beat { text, modified } = beat;
        let content =
            Content { bytes: text.as_bytes(), mode: MODE, modified: Some(*modified), durable: false };
        Directory::open(&self.directory)?.replace(&self.name, content)
    }
}

impl fmt::Display for RoleFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.directory.join(&self.name).display().fmt(f)
    }
}

// === impl Beat ===

impl Beat {
    /// The content for an answer at `now`; none without evidence. PURE.
    fn of(answer: &Observation, now: Timestamp) -> Option<Self> {
        let role: &Role = answer.outcome.as_ref().ok()?;
        // The larger age of both clocks: the reader sees only the wall clock.
        let age = answer.asked_at.age_at(now);
        Some(Self {
            text: format!("{role}\nasked at {}\n", answer.asked_at),
            modified: now.since_unix_epoch().saturating_sub(age),
        })
    }
}
