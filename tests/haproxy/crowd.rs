//! Clients that keep the page's port busy: two thousand that send nothing, and two hundred that never come to
//! the end of a sentence.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{PATIENCE, eventually};

const IDLE: usize = 2000;
const SLOW: usize = 200;

/// Between two rounds, in each of which every slow one writes a byte and every client that was closed comes back.
const PAUSE: Duration = Duration::from_millis(20);

/// This process holds the crowd's end of each connection, its daemon the other.
const DESCRIPTORS: u64 = 8192;

/// The crowd, and how it fared. It goes when it is dropped.
pub(crate) struct Crowd {
    tally: Arc<Tally>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Tally {
    rounds: AtomicU64,
    turned_out: AtomicU64,
    ended: AtomicBool,
}

/// One of the crowd.
struct Nuisance {
    stream: TcpStream,
    slow: bool,
    written: usize,
}

/// Lets this process and its children have enough descriptors; children take the limit over.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= DESCRIPTORS) {
        return;
    }
    let raised = Rlimit { current: Some(DESCRIPTORS), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("8192 descriptors (ulimit -Hn)");
}

// === impl Crowd ===

impl Crowd {
    /// A crowd, all of whom are connected when this returns.
    pub(crate) fn gather(page: SocketAddr) -> Self {
        let mut members: Vec<_> =
            (0..IDLE + SLOW).map(|number| Nuisance::come(page, number >= IDLE)).collect();
        let tally = Arc::<Tally>::default();
        let shared = Arc::clone(&tally);
        let thread = std::thread::spawn(move || {
            while !shared.ended.load(Ordering::Relaxed) {
                for member in &mut members {
                    if !member.stays() {
                        shared.turned_out.fetch_add(1, Ordering::Relaxed);
                        *member = Nuisance::come(page, member.slow);
                    }
                }
                shared.rounds.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(PAUSE);
            }
        });
        Self { tally, thread: Some(thread) }
    }

    /// Waits until each has had this many turns.
    pub(crate) fn wait_for_rounds(&self, rounds: u64) {
        eventually("the crowd's rounds", || self.tally.rounds.load(Ordering::Relaxed) >= rounds);
    }

    /// How often the daemon closed a connection of theirs.
    pub(crate) fn turned_out(&self) -> u64 {
        self.tally.turned_out.load(Ordering::Relaxed)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.tally.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// === impl Nuisance ===

impl Nuisance {
    fn come(page: SocketAddr, slow: bool) -> Self {
        let stream = TcpStream::connect_timeout(&page, PATIENCE).expect("the daemon accepts every client");
        stream.set_nonblocking(true).expect("a connected socket");
        Self { stream, slow, written: 0 }
    }

    /// Takes its turn; whether the daemon still has it.
    fn stays(&mut self) -> bool {
        if self.slow {
            // A head without end, a byte at a time.
            let head = b"GET /csp/bin/mirrorstatus.cxw HTTP/1.1\r\nX-Slow: ";
            let byte = head.get(self.written).unwrap_or(&b'x');
            self.written += 1;
            if self.stream.write_all(&[*byte]).is_err() {
                return false;
            }
        }
        let mut answer = [0; 512];
        matches!(self.stream.read(&mut answer), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}
