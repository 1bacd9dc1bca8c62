//! Finds what is new in a file at each poll. It never waits; the caller decides when to poll.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::is_about_mirroring;
use crate::file;

/// How much of a log is read per poll.
const TURN: usize = 64 * 1024;

/// If a log grew by more than this between two polls, only its end is read: an instance writes only a few lines per second.
const BACKLOG: u64 = 1 << 20;

/// How much of an unfinished line is kept. The rest of a longer one is seen only if it begins and ends in one poll.
pub(crate) const LINE: usize = 4 * 1024;

/// How many polls in a row must miss the file before that is logged. During a roll-over there is no file for a moment, with
/// one or two events.
const MISSES: u32 = 4;

/// Follows one file.
pub(super) struct Tail {
    path: PathBuf,
    kind: Kind,
    /// How many polls in a row failed.
    misses: u32,
    /// Whether that has been logged: once per episode.
    reported: bool,
    /// Whether this is the first poll: existing content is not new.
    first: bool,
}

enum Kind {
    Log(Option<Log>),
    Any(Option<Version>),
}

/// The result of a poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether a probe is worthwhile.
    pub(super) wake: bool,
    /// Whether there is more to read at once.
    pub(super) more: bool,
}

/// An open log.
struct Log {
    file: File,
    identity: Identity,
    position: u64,
    line: UnfinishedLine,
}

/// Bytes after the last newline. A line wakes as soon as it can be recognised, finished or not: some
/// writers end a line only when they begin the next.
#[derive(Default)]
pub(crate) struct UnfinishedLine {
    kept: Vec<u8>,
    reported: bool,
}

/// Device and inode: which file it is, whatever its name.
type Identity = (u64, u64);

/// Identity, length, and modification time in seconds and nanoseconds.
type Version = (Identity, u64, i64, i64);

// === impl Tail ===

impl Tail {
    pub(super) fn new(path: PathBuf) -> Self {
        let is_log = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("log"));
        let kind = if is_log { Kind::Log(None) } else { Kind::Any(None) };
        Self { path, kind, misses: 0, reported: false, first: true }
    }

    /// Reads what is new since the last poll.
    pub(super) fn poll(&mut self) -> Found {
        let first = std::mem::replace(&mut self.first, false);
        let (found, present) = match &mut self.kind {
            Kind::Any(known) => poll_version(&self.path, known),
            Kind::Log(log) => poll_log(&self.path, log, first),
        };
        self.report(present, first);
        Found { wake: found.wake && !first, ..found }
    }

    fn report(&mut self, present: io::Result<()>, first: bool) {
        let path = self.path.display();
        match present {
            Ok(()) => {
                if self.reported {
                    tracing::info!(%path, "following the file again");
                }
                (self.misses, self.reported) = (0, false);
            }
            Err(error) => {
                self.misses = self.misses.saturating_add(1);
                if !self.reported && (first || self.misses >= MISSES) {
                    tracing::warn!(%path, %error, "cannot follow the file; no wake-up until it is there");
                    self.reported = true;
                }
            }
        }
    }
}

fn poll_version(path: &Path, known: &mut Option<Version>) -> (Found, io::Result<()>) {
    let (version, present) = match fs::metadata(path) {
        Ok(metadata) => (Some(version(&metadata)), Ok(())),
        Err(error) => (None, Err(error)),
    };
    let wake = *known != version;
    *known = version;
    (Found { wake, more: false }, present)
}

fn poll_log(path: &Path, log: &mut Option<Log>, first: bool) -> (Found, io::Result<()>) {
    let mut found = match log {
        Some(log) => log.read(),
        None => Found::default(),
    };
    if found.more {
        return (found, Ok(()));
    }
    let named = fs::metadata(path);
    let known = log.as_ref().map(|log| log.identity);
    let present = match named {
        Ok(named) if known == Some(identity(&named)) => Ok(()),
        // The name belongs to another file; the rest of the old one was read just above.
        Ok(_) => Log::open(path, first).map(|opened| {
            let opened = log.insert(opened);
            let new = if first { Found::default() } else { opened.read() };
            found = Found { wake: found.wake || new.wake, more: new.more };
        }),
        // During a roll-over the open file may still be written.
        Err(error) => Err(error),
    };
    (found, present)
}

// === impl Log ===

impl Log {
    fn open(path: &Path, at_end: bool) -> io::Result<Self> {
        let (file, metadata) = file::open(path)?;
        let position = if at_end { metadata.len() } else { 0 };
        Ok(Self { identity: identity(&metadata), file, position, line: UnfinishedLine::default() })
    }

    /// Reads at most [`TURN`] bytes. An error is left to the next poll: the file may come back.
    fn read(&mut self) -> Found {
        let mut found = Found::default();
        if let Ok(length) = self.file.metadata().map(|metadata| metadata.len()) {
            if length < self.position {
                self.position = 0;
                self.line = UnfinishedLine::default();
            }
            if length - self.position > BACKLOG {
                let skipped = length - self.position - TURN as u64;
                tracing::debug!(
                    skipped,
                    "the log grew faster than it is read; its end is read, and a probe is triggered"
                );
                self.position += skipped;
                self.line = UnfinishedLine::default();
                found.wake = true;
            }
        }
        let mut turn = vec![0; TURN];
        if let Ok(count) = self.file.read_at(&mut turn, self.position) {
            self.position += count as u64;
            found.wake |= self.line.extend(&turn[..count]);
            found.more = count == TURN;
        }
        found
    }
}

// === impl UnfinishedLine ===

impl UnfinishedLine {
    /// Adds what was read next; returns whether a line in it, finished or not, is worth a probe.
    pub(crate) fn extend(&mut self, bytes: &[u8]) -> bool {
        let mut wake = false;
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.kept.is_empty() && part.ends_with(b"\n") {
                wake |= !self.reported && is_about_mirroring(part);
            } else {
                self.kept.extend_from_slice(part);
                if !self.reported && is_about_mirroring(&self.kept) {
                    self.reported = true;
                    wake = true;
                }
                self.kept.truncate(LINE);
            }
            if part.ends_with(b"\n") {
                *self = Self::default();
            }
        }
        wake
    }
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

fn version(metadata: &Metadata) -> Version {
    (identity(metadata), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

#[cfg(test)]
mod tests;
