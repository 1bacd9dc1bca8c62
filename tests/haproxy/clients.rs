//! Clients of the database: they connect to the load balancer and ask which member answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::{PATIENCE, eventually};

/// What is noted when HAProxy has no server for a client.
pub(crate) const NO_MEMBER: &str = "no member";

/// Between two clients: many times in the life of a state that HAProxy could be in.
const PAUSE: Duration = Duration::from_millis(10);

/// One session with a database.
pub(crate) struct Session(BufReader<TcpStream>);

/// One client after the other, each on a connection of its own, and the members that they reached.
pub(crate) struct Clients {
    story: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

// === impl Session ===

impl Session {
    /// Connects through the load balancer.
    pub(crate) fn open(front: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&front, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Asks which member answers; `None` when the session has been cut.
    pub(crate) fn ask(&mut self) -> Option<String> {
        let mut name = String::new();
        self.0.get_mut().write_all(b"who\n").ok()?;
        let read = self.0.read_line(&mut name).ok()?;
        (read > 0).then(|| name.trim_end().to_owned())
    }
}

// === impl Clients ===

impl Clients {
    /// Clients that begin to come.
    pub(crate) fn start(front: SocketAddr) -> Self {
        let (story, ended) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (written, stopped) = (Arc::clone(&story), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let met = Session::open(front).ok().and_then(|mut session| session.ask());
                let met = met.unwrap_or_else(|| NO_MEMBER.to_owned());
                let mut story = written.lock().expect("no thread panics with it");
                if story.last() != Some(&met) {
                    story.push(met);
                }
                drop(story);
                std::thread::sleep(PAUSE);
            }
        });
        Self { story, ended, thread: Some(thread) }
    }

    /// Waits until clients meet this member.
    pub(crate) fn wait_for(&self, member: &str) {
        eventually(&format!("clients meet {member}; so far {:?}", self.story()), || {
            self.story().last().is_some_and(|last| last == member)
        });
    }

    /// The members that they met, in order, without repetitions.
    pub(crate) fn story(&self) -> Vec<String> {
        self.story.lock().expect("no thread panics with it").clone()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
