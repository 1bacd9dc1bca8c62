//! What is new in a file, at each look. It waits for nothing; when to look is its caller's business.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::is_about_mirroring;
use crate::file;

/// How much of a log is read at one look.
const TURN: usize = 64 * 1024;

/// How much of a log is read that grew between two looks. Of more, the end alone is read: an instance writes a few lines
/// a second, and what another program put there is unknown.
const BACKLOG: u64 = 1 << 20;

/// How much of an unfinished line is kept. What a longer one says beyond this is seen only if it begins and
/// ends in one look.
pub(crate) const LINE: usize = 4 * 1024;

/// How many looks in a row must miss the file before that is logged. In the middle of a roll-over there is
/// no file for a moment, and an event or two to look at.
const MISSES: u32 = 4;

/// Follows one file.
pub(super) struct Tail {
    path: PathBuf,
    kind: Kind,
    /// How many looks in a row could not be had.
    misses: u32,
    /// Whether that has been logged: once an episode.
    reported: bool,
    /// Whether this is the first look: what is there already is no news.
    first: bool,
}

enum Kind {
    Log(Option<Log>),
    Any(Option<Version>),
}

/// What a poll found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Something that is worth a probe.
    pub(super) wake: bool,
    /// There is more to read at once.
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

    /// Takes in what happened since the last look.
    pub(super) fn look(&mut self) -> Look {
        let first = std::mem::replace(&mut self.first, false);
        let (look, present) = match &mut self.kind {
            Kind::Any(known) => look_at_version(&self.path, known),
            Kind::Log(log) => look_at_log(&self.path, log, first),
        };
        self.report(present, first);
        Look { wake: look.wake && !first, ..look }
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

fn look_at_version(path: &Path, known: &mut Option<Version>) -> (Look, io::Result<()>) {
    let (version, present) = match fs::metadata(path) {
        Ok(metadata) => (Some(version(&metadata)), Ok(())),
        Err(error) => (None, Err(error)),
    };
    let wake = *known != version;
    *known = version;
    (Look { wake, more: false }, present)
}

fn look_at_log(path: &Path, log: &mut Option<Log>, first: bool) -> (Look, io::Result<()>) {
    let mut look = match log {
        Some(log) => log.read(),
        None => Look::default(),
    };
    if look.more {
        return (look, Ok(()));
    }
    let named = fs::metadata(path);
    let known = log.as_ref().map(|log| log.identity);
    let present = match named {
        Ok(named) if known == Some(identity(&named)) => Ok(()),
        // Another file has the name; what the old one still held has been read just above.
        Ok(_) => Log::open(path, first).map(|opened| {
            let opened = log.insert(opened);
            let new = if first { Look::default() } else { opened.read() };
            look = Look { wake: look.wake || new.wake, more: new.more };
        }),
        // In the middle of a roll-over the open file may still be written to.
        Err(error) => Err(error),
    };
    (look, present)
}

// === impl Log ===

impl Log {
    fn open(path: &Path, at_end: bool) -> io::Result<Self> {
        let (file, metadata) = file::open(path)?;
        let position = if at_end { metadata.len() } else { 0 };
        Ok(Self { identity: identity(&metadata), file, position, line: UnfinishedLine::default() })
    }

    /// Reads on for one turn. An error is left to the next look: the file may be coming back.
    fn read(&mut self) -> Look {
        let mut look = Look::default();
        if let Ok(length) = self.file.metadata().map(|metadata| metadata.len()) {
            if length < self.position {
                self.position = 0;
                self.line = UnfinishedLine::default();
            }
            if length - self.position > BACKLOG {
                let skipped = length - self.position - TURN as u64;
                tracing::debug!(
                    skipped,
                    "the log grew by more than is read; its end is read, and a probe is asked"
                );
                self.position += skipped;
                self.line = UnfinishedLine::default();
                look.wake = true;
            }
        }
        let mut turn = vec![0; TURN];
        if let Ok(count) = self.file.read_at(&mut turn, self.position) {
            self.position += count as u64;
            look.wake |= self.line.extend(&turn[..count]);
            look.more = count == TURN;
        }
        look
    }
}

// === impl UnfinishedLine ===

impl UnfinishedLine {
    /// Takes in what was read next; whether a line in it, finished or not, is worth a probe.
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
