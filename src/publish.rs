//! `mirrorvip publish`: the role of the local instance as a file with a heartbeat, for a daemon in another
//! container that reads it with the [`file`](mod@crate::probe::file) probe over a shared volume.
//!
//! It asks with the probe loop of the daemon, wake-ups and all, and writes every definite answer at once. It
//! rules nothing: no verdict, no epoch and no port are here, since the reader has them all. What the reader
//! relies on:
//!
//! - The file's name is the mirror's with `.role` behind it. Its first line is the [role word](Role::word); the
//!   second is for people.
//! - The modification time is the heartbeat: when the question was *asked*, by the wall clock. However long the
//!   answer, the disk or a frozen process took, the file never looks younger than its evidence.
//! - A new file takes the place of the old by renaming: a reader sees the one or the other, and no half of one.
//! - Without evidence nothing is written. The heartbeat then ages until the reader's `stale_after`, as its own
//!   last answer would: the same silence has the same length with a publisher and without.
//! - No other file is written to: the new file has a random name and must not exist, see `file`.
//! - The file stays at a stop, for the same reason. A new publisher goes on where the old one ended.
//!
//! It is not synced to the disk: after a loss of power the heartbeat would be outdated anyway.

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

/// How long one file may take to be written. A volume that hangs for longer is reported; nothing is written
/// beside what hangs there.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a write in flight may hold up a stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The file by which a publisher holds the directory: not that of a state directory, should it be the same.
const LOCK: &str = "publish.lock";

/// Readable for a reader that runs as another user, writable for the publisher alone.
const MODE: u32 = 0o644;

/// The publishers of all mirrors of a configuration. [`stop`](Self::stop) is the orderly end.
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
    /// Asks about every one of `mirrors` and keeps its file in `directory` up to date. Must be called within a
    /// tokio runtime. Fails at nothing: a directory that cannot be written to is reported, and tried again with
    /// the next answer.
    pub fn start(mirrors: &[Mirror], directory: &Path, clock: &Clock) -> Self {
        let (tasks, cancelled) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(hold(directory.to_owned(), cancelled.clone()));
        let mut wakes = Vec::new();
        for (prober, members) in Prober::group(mirrors, clock) {
            let members: Vec<&Mirror> = members.into_iter().map(|index| &mirrors[index]).collect();
            // Mirrors that share a probe have the same interval.
            let Some(interval) = members.first().map(|mirror| mirror.interval) else { continue };
            let wake = Arc::new(Notify::new());
            let mut wake_on: Vec<_> = members.iter().flat_map(|mirror| mirror.wake_on.clone()).collect();
            wake_on.sort();
            wake_on.dedup();
            if !wake_on.is_empty() {
                tasks.spawn(wake::follow(wake_on, Arc::clone(&wake), cancelled.clone()));
            }
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

    /// Ends the questions and finishes the write in flight. The files stay.
    pub async fn stop(self) {
        self.cancelled.cancel();
        self.tasks.close();
        if timeout(STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("the directory of the role files hangs; a write is still in flight");
        }
    }
}

/// The file in `directory` that the mirror of this name is published in.
pub fn role_file(mirror: &str, directory: &Path) -> PathBuf {
    directory.join(RoleFile::of(mirror, directory).name)
}

/// Holds the directory for this process, for as long as it lives, and says so if another one does: both would write the
/// same files. Being published twice is better than not at all, so it goes on either way.
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
                tracing::error!(%directory, holder, "another publisher writes there, too: stop one of the two, or readers see now one answer, now the other");
                None
            }
            // A file system without locks, or one that cannot be written to, which the first write will report.
            Err(_) => None,
        }
    });
    // A directory that hangs is reported by the first write.
    let _lock: Option<Option<Lock>> = cancelled.run_until_cancelled(lock).await.and_then(Result::ok);
    cancelled.cancelled().await;
}

/// Writes each definite answer once, as soon as it is known. A failure is reported once, and its end.
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
                    tracing::error!(mirror, %file, %error, "failed to write the role file; its reader refuses when the last one is too old");
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
    /// What an answer makes known at `now`; nothing without evidence. PURE.
    fn of(answer: &Observation, now: Timestamp) -> Option<Self> {
        let role: &Role = answer.outcome.as_ref().ok()?;
        // As old as either clock says: the reader sees the wall clock alone.
        let age = answer.asked_at.age_at(now);
        Some(Self {
            text: format!("{role}\nasked at {}\n", answer.asked_at),
            modified: now.since_unix_epoch().saturating_sub(age),
        })
    }
}
