//! A directory for one process at a time, and which process that is.
//!
//! The lock is `flock(2)` on a file, whose text names the holder. It ends with the process, however that ends. Processes
//! in several containers see each other's lock, as long as one kernel serves the directory to them.
//!
//! The file may belong to another user that the daemon once ran as. A user that may write in the directory then replaces it
//! by its own file and holds both: a process that has opened the old one finds it held.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, ftruncate, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::{ReadError, read_rest, temporary_name};
use crate::clock::Clock;
use crate::text::printable;

/// The longest name of a holder that is read and shown, in bytes.
const LONGEST: u64 = 256;

/// The right to write in a directory, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _held: Vec<File>,
}

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another process has it.
    #[error("it is held by {0}")]
    Held(String),
    /// The file system does not support locks.
    #[error("its file system does not support locks")]
    Unsupported(#[source] io::Error),
    /// The file cannot be made or opened.
    #[error("open its lock file")]
    Io(#[from] io::Error),
}

/// Locks the file `name` in `directory`, or names the holder. Never waits.
pub(super) fn take(directory: &OwnedFd, name: &str) -> Result<Lock, LockError> {
    match open(directory, name, OFlags::RDWR | OFlags::CREATE) {
        Ok(file) => {
            hold(&file)?;
            sign(&file);
            Ok(Lock { _held: vec![file] })
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let old = open(directory, name, OFlags::RDONLY)?;
            hold(&old)?;
            let own = take_its_place(directory, name)?;
            Ok(Lock { _held: vec![old, own] })
        }
        Err(error) => Err(LockError::Io(error)),
    }
}

fn open(directory: &OwnedFd, name: &str, how: OFlags) -> io::Result<File> {
    let flags = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(directory, name, flags, Mode::from_raw_mode(0o644))?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(ReadError::NotRegular.into()) }
}

fn hold(file: &File) -> Result<(), LockError> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(LockError::Held(holder(file))),
        Err(error @ (Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL)) => {
            Err(LockError::Unsupported(error.into()))
        }
        Err(error) => Err(LockError::Io(error.into())),
    }
}

/// Replaces the file called `name`, which this process holds, by one that it holds as well.
fn take_its_place(directory: &OwnedFd, name: &str) -> Result<File, LockError> {
    let temporary = temporary_name(name);
    let file = open(directory, &temporary, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
    let replaced = hold(&file).and_then(|()| {
        sign(&file);
        renameat(directory, &temporary, directory, name).map_err(|error| LockError::Io(error.into()))
    });
    if replaced.is_err() {
        let _ = unlinkat(directory, &temporary, AtFlags::empty());
    }
    replaced.map(|()| file)
}

/// Names this process in the file, for processes that find it locked. A full disk does not matter.
fn sign(mut file: &File) {
    let _ = ftruncate(file, 0).map_err(io::Error::from).and_then(|()| writeln!(file, "{}", myself()));
}

fn myself() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("process {} on {host} since {}", std::process::id(), Clock::system().now())
}

fn holder(file: &File) -> String {
    let text = read_rest(file, LONGEST).unwrap_or_default();
    match String::from_utf8_lossy(&text).trim() {
        "" => "another process".to_owned(),
        text => printable(text, 200),
    }
}
