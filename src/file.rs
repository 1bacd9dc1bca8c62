//! Reads and replaces the few small files of this program: configuration, secrets, certificates, state, role files.
//!
//! A path of the configuration may lead to anything, and a user that may write to a directory can replace a file by
//! anything. So:
//!
//! - Only regular files are read, and no more of them than the caller's limit. A FIFO, a device or a socket is refused
//!   before it is opened, and opening waits for no other process.
//! - A file is replaced by a new one that is renamed over it. The new one has a random name, must not exist, is no
//!   symbolic link, and belongs to this process until it is complete: no other file is ever written, and its mode is set
//!   on the descriptor. On an error it is removed.
//!
//! All of this blocks for as long as the file system takes. Callers must not delay other tasks with it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, fstat, fsync, openat, renameat, statat, unlinkat};

use crate::random::{is_identifier, random_identifier};

mod denied;
mod lock;
mod rights;
#[cfg(test)]
mod tests;

pub(crate) use denied::{own_user, to_execute, to_read};
pub(crate) use lock::{Lock, LockError};
pub(crate) use rights::{open_to_writers, readable_by, writable_by};

/// How many entries of a directory are searched for files that a dead process left behind.
const SWEPT: usize = 10_000;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A directory, a FIFO, a socket or a device has the path.
    #[error("it is not a regular file")]
    NotRegular,
    /// It is longer than such a file can be.
    #[error("it is longer than {limit} bytes")]
    TooLong {
        /// How much may be in it.
        limit: u64,
    },
}

/// A directory in which files are replaced.
#[derive(Debug)]
pub(crate) struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
}

/// What a new file is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    pub(crate) bytes: &'a [u8],
    /// Its permissions, whatever the umask says.
    pub(crate) mode: u32,
    /// Its modification time since the Unix epoch; `None` is now.
    pub(crate) modified: Option<Duration>,
    /// Whether it must survive a loss of power.
    pub(crate) durable: bool,
}

/// Opens the regular file at `path` for reading, without waiting for another process.
pub(crate) fn open(path: &Path) -> Result<(File, Metadata), ReadError> {
    // First without opening: a device may act on being opened.
    if !fs::metadata(path)?.is_file() {
        return Err(ReadError::NotRegular);
    }
    // The standard library adds CLOEXEC.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(ReadError::NotRegular) }
}

/// Reads the regular file at `path`, which holds at most `limit` bytes.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    read_rest(&open(path)?.0, limit)
}

/// Reads what is in `file`, at most `limit` bytes.
pub(crate) fn read_rest(file: &File, limit: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLong { limit });
    }
    Ok(bytes)
}

/// Makes `call` on a thread of its own and waits for it, at most `patience`. A call that takes longer goes on, and its
/// result is dropped. For code that runs before there is a runtime.
pub(crate) fn within<T: Send + 'static>(
    patience: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("file".to_owned()).spawn(move || {
        // The caller may have given up.
        let _ = sender.send(call());
    })?;
    receiver.recv_timeout(patience).map_err(|_| no_answer(patience))
}

/// The error of a call that did not return in time.
pub(crate) fn no_answer(after: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the file system did not answer within {after:?}"))
}

// === impl ReadError ===

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => error,
            error @ ReadError::NotRegular => Self::new(io::ErrorKind::InvalidInput, error),
            error @ ReadError::TooLong { .. } => Self::new(io::ErrorKind::FileTooLarge, error),
        }
    }
}

// === impl Directory ===

impl Directory {
    /// Opens the directory at `path`. A symbolic link to a directory is followed: that is the operator's choice.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let descriptor = openat(CWD, path, flags, Mode::empty())?;
        Ok(Self { descriptor, path: path.to_owned() })
    }

    /// Replaces the file called `name`, or makes it. A reader sees the old file or the new one, and no half of one.
    pub(crate) fn replace(&self, name: &str, content: Content<'_>) -> io::Result<()> {
        let temporary = temporary_name(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.descriptor, &temporary, flags, Mode::RUSR | Mode::WUSR)?;
        let completed = self.complete(File::from(file), &temporary, name, content);
        if completed.is_err() {
            // The error that matters is the first.
            let _ = unlinkat(&self.descriptor, &temporary, AtFlags::empty());
        }
        completed
    }

    fn complete(
        &self,
        mut file: File,
        temporary: &str,
        name: &str,
        Content { bytes, mode, modified, durable }: Content<'_>,
    ) -> io::Result<()> {
        file.write_all(bytes)?;
        fchmod(&file, Mode::from_raw_mode(mode))?;
        if let Some(modified) = modified {
            file.set_modified(UNIX_EPOCH + modified)?;
        }
        if durable {
            file.sync_all()?;
        }
        drop(file);
        renameat(&self.descriptor, temporary, &self.descriptor, name)?;
        if durable {
            // Without this the rename itself may be lost with the power; some file systems cannot, and need not.
            let _ = fsync(&self.descriptor);
        }
        Ok(())
    }

    /// Removes files of processes that died while they replaced one. The caller holds the [`Lock`], so that no other process
    /// is replacing one.
    pub(crate) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        let own = rustix::process::geteuid().as_raw();
        for name in entries.take(SWEPT).flatten().map(|entry| entry.file_name()) {
            let Some(name) = name.to_str().filter(|name| is_temporary(name)) else { continue };
            let is_ours = statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|found| {
                rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::RegularFile
                    && found.st_uid == own
            });
            if is_ours && unlinkat(&self.descriptor, name, AtFlags::empty()).is_ok() {
                tracing::debug!(name, directory = %self.path.display(), "removed a file that a dead process left behind");
            }
        }
    }

    /// Whether a file can be created in it; removes it again.
    pub(crate) fn try_writing(&self) -> io::Result<()> {
        let temporary = temporary_name("check");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.descriptor, &temporary, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(unlinkat(&self.descriptor, &temporary, AtFlags::empty())?)
    }

    /// Which other users can replace files in it, in words; `None` if only this user and root can.
    pub(crate) fn exposure(&self) -> Option<String> {
        let found = fstat(&self.descriptor).ok()?;
        open_to_writers(found.st_mode, found.st_uid, found.st_gid)
    }

    /// Holds it for this process, as long as the [`Lock`] lives; `name` is the file that says so.
    pub(crate) fn lock(&self, name: &str) -> Result<Lock, LockError> {
        lock::take(&self.descriptor, name)
    }
}

/// The name of a file that will be renamed to `name`, which no other process knows.
fn temporary_name(name: &str) -> String {
    format!(".{name}.{}.tmp", random_identifier())
}

fn is_temporary(name: &str) -> bool {
    let random = name
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(".tmp"))
        .and_then(|name| name.rsplit_once('.'));
    random.is_some_and(|(name, random)| !name.is_empty() && is_identifier(random))
}

/// Device, inode, length, and times of the last change of content and of the file itself: differs whenever a file was
/// written, replaced, made readable, or a symbolic link to it was changed.
pub(crate) type Stamp = (u64, u64, u64, i64, i64, i64, i64);

pub(crate) fn stamp(metadata: &Metadata) -> Stamp {
    let (modified, changed) =
        ((metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec()));
    (metadata.dev(), metadata.ino(), metadata.len(), modified.0, modified.1, changed.0, changed.1)
}
