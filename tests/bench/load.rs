//! The load: health checks as load balancers make them, each on a connection of its own.
//!
//! A check connects, sends its request, and reads until the server has closed. That is the same work for every
//! server and leaves nothing out: one that were slow to accept or to close would be slow here. One thread
//! makes all connections, with `poll`: with a thread for each, the switching between them costs more than
//! the servers do, and hides the differences.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::process::{Core, now};

/// What every server is asked.
const PATH: &str = "/csp/bin/mirrorstatus.cxw";

/// How long a check may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// The answers of all servers are below 200 bytes.
const ANSWER_SIZE: usize = 1024;

/// One run against one server.
#[derive(Debug)]
pub(crate) struct Run {
    /// How long it took.
    pub(crate) took: Duration,
    /// How long each check took, from before the connection until after its end; sorted.
    pub(crate) latencies: Vec<Duration>,
}

/// One check under way.
struct Check {
    stream: TcpStream,
    asked: Instant,
    answer: [u8; ANSWER_SIZE],
    length: usize,
}

/// Checks `server` for `duration` from `core`, with `connections` at a time.
///
/// Any answer but a whole `SUCCESS` is an error: what a server does fast must be the right thing.
pub(crate) fn run(server: SocketAddr, connections: usize, duration: Duration, core: Core) -> Result<Run> {
    let client = std::thread::spawn(move || {
        core.pin_this_thread()?;
        check_until(now() + duration, server, connections)
    });
    let run = client.join().map_err(|_| anyhow!("the client panicked"))?;
    run.with_context(|| format!("failed to check {server}"))
}

fn check_until(until: Instant, server: SocketAddr, connections: usize) -> Result<Run> {
    let request = request(PATH);
    let started = now();
    let mut latencies = Vec::new();
    let mut checks = Vec::with_capacity(connections);
    for _ in 0..connections {
        checks.push(Check::begin(server, &request)?);
    }
    loop {
        for index in ready(&checks)? {
            let check = &mut checks[index];
            if !check.is_answered()? {
                continue;
            }
            latencies.push(check.asked.elapsed());
            check.verify()?;
            *check = Check::begin(server, &request)?;
        }
        if now() >= until {
            break;
        }
    }
    let took = started.elapsed();
    latencies.sort_unstable();
    Ok(Run { took, latencies })
}

/// Which checks there is something to read for; waits for the first.
fn ready(checks: &[Check]) -> Result<Vec<usize>> {
    let mut polled: Vec<_> = checks.iter().map(|check| PollFd::new(&check.stream, PollFlags::IN)).collect();
    let patience = Timespec::try_from(PATIENCE)?;
    match poll(&mut polled, Some(&patience)) {
        Ok(0) => bail!("no answer within {PATIENCE:?}"),
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno).context("failed to wait for answers"),
    }
    Ok(polled.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty()).map(|(index, _)| index).collect())
}

/// Asks for `path` and returns the whole answer.
pub(crate) fn get(server: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request(path).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A check as a load balancer sends it.
fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nConnection: close\r\n\r\n")
}

// === impl Run ===

impl Run {
    /// How many checks there were.
    pub(crate) fn count(&self) -> u64 {
        self.latencies.len() as u64
    }
}

// === impl Check ===

impl Check {
    fn begin(server: SocketAddr, request: &str) -> Result<Self> {
        let asked = now();
        // On loopback a connection is there or refused at once: no other client is kept waiting.
        let mut stream = TcpStream::connect(server)?;
        stream.write_all(request.as_bytes())?;
        Ok(Self { stream, asked, answer: [0; ANSWER_SIZE], length: 0 })
    }

    /// Reads what is there; whether the server has closed.
    fn is_answered(&mut self) -> Result<bool> {
        loop {
            match rustix::net::recv(&self.stream, &mut self.answer[self.length..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Ok(true),
                Ok((_, read)) => self.length += read,
                Err(Errno::AGAIN) => return Ok(false),
                Err(errno) => return Err(errno).context("failed to read an answer"),
            }
        }
    }

    fn verify(&self) -> Result<()> {
        let answer = &self.answer[..self.length];
        if answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"\r\n\r\nSUCCESS") {
            return Ok(());
        }
        bail!("unexpected answer: {}", answer.escape_ascii())
    }
}
