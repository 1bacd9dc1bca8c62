//! The output of a child, up to a limit.

use std::future::{self, Future};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{self, ExitStatus};
use std::{io, pin};

use tokio::net::unix::pipe;

use super::Finished;
use crate::observation::NoEvidence;
use crate::text::printable;

/// How much a child may print on standard output.
pub(crate) const OUTPUT_LIMIT: usize = 64 * 1024;

/// How much of standard error is kept for the reason text; the rest is read and dropped.
const COMPLAINT_LIMIT: usize = 4 * 1024;

/// How much of the complaint is shown, in characters.
const COMPLAINT_SHOWN: usize = 200;

/// How much is read at once.
const CHUNK: usize = 8 * 1024;

/// The reading ends of a child's pipes, and what came out of them.
pub(super) struct Capture {
    stdout: Stream,
    stderr: Stream,
}

/// Why the gathering ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The child exited.
    Exited,
    /// It printed more than [`OUTPUT_LIMIT`].
    Overlong,
}

struct Stream {
    /// `None` after its end.
    pipe: Option<pipe::Receiver>,
    kept: Vec<u8>,
    limit: usize,
    overlong: bool,
}

// === impl Capture ===

impl Capture {
    /// Takes the pipes of a child that was just started.
    pub(super) fn of(child: Option<&mut process::Child>) -> Result<Self, NoEvidence> {
        let (stdout, stderr) = child.map_or((None, None), |c| (c.stdout.take(), c.stderr.take()));
        let stream = |pipe: Option<OwnedFd>, limit| Stream::new(pipe, limit);
        let capture = || -> io::Result<Self> {
            Ok(Self {
                stdout: stream(stdout.map(OwnedFd::from), OUTPUT_LIMIT)?,
                stderr: stream(stderr.map(OwnedFd::from), COMPLAINT_LIMIT)?,
            })
        };
        capture().map_err(|error| NoEvidence::Failed(format!("failed to read from the command: {error}")))
    }

    /// Reads until `exited`, or until there is more than may be. Cancel-safe.
    pub(super) async fn gather(&mut self, exited: impl Future<Output = ()>) -> End {
        let mut exited = pin::pin!(exited);
        while !self.stdout.overlong {
            tokio::select! {
                () = &mut exited => {
                    self.stdout.drain();
                    self.stderr.drain();
                    break;
                }
                // A read is either done or has taken nothing.
                () = self.stdout.read() => {}
                () = self.stderr.read() => {}
            }
        }
        if self.stdout.overlong { End::Overlong } else { End::Exited }
    }

    /// The answer of a child that ended with `status`.
    pub(super) fn finish(self, status: ExitStatus) -> Finished {
        let complaint = String::from_utf8_lossy(&self.stderr.kept);
        let line = complaint.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        Finished { status, stdout: self.stdout.kept, complaint: printable(line, COMPLAINT_SHOWN) }
    }
}

// === impl Stream ===

impl Stream {
    fn new(pipe: Option<OwnedFd>, limit: usize) -> io::Result<Self> {
        let pipe = pipe.map(pipe::Receiver::from_owned_fd).transpose()?;
        Ok(Self { pipe, kept: Vec::new(), limit, overlong: false })
    }

    /// Reads once; waits for ever after the end.
    async fn read(&mut self) {
        let Some(pipe) = &self.pipe else { return future::pending().await };
        let readable = pipe.readable().await;
        let mut chunk = [0; CHUNK];
        match readable.and_then(|()| pipe.try_read(&mut chunk)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => self.pipe = None,
            Ok(count) => self.keep(&chunk[..count]),
        }
    }

    /// Takes what is in the pipe without waiting for more, and closes it. The system call is made directly:
    /// the runtime may not have noticed yet that there is something to read.
    fn drain(&mut self) {
        let Some(pipe) = self.pipe.take() else { return };
        let mut chunk = [0; CHUNK];
        // The bound holds against a descendant that writes as fast as this reads.
        for _ in 0..=OUTPUT_LIMIT / CHUNK {
            match rustix::io::retry_on_intr(|| rustix::io::read(pipe.as_fd(), &mut chunk)) {
                Ok(0) | Err(_) => break,
                Ok(count) => self.keep(&chunk[..count]),
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit - self.kept.len();
        self.overlong |= bytes.len() > room;
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}
