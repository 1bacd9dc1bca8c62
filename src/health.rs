//! The health listener: what load balancers poll. The data plane.
//!
//! It answers every check at once and truthfully, whatever other clients and the rest of the process do, and does
//! nothing else. It evaluates each mirror's [`Snapshot`] at the moment of the answer; it asks no database, reads no file,
//! resolves no name and calls no cloud.
//!
//! ```text
//!             listener ─► accept ─┬─ whole request there ──► answer, close        (most checks)
//!                                 └─ else ─► connection ───► wait, answer, close  (one task each)
//!                                                 │
//!              head, proxy ─► route ─► respond ◄──┘      agent: HAProxy's agent check
//!              (pure, what was asked)  (pure, what is answered)
//! ```
//!
//! Why it is designed this way:
//!
//! - A thread of its own, with a runtime of its own: a control plane that blocks cannot delay a check, and a
//!   panic on the thread ends the process, so that no port stays open without a thread that answers.
//! - HTTP/1 is spoken by hand. A status page is three fixed strings; one request a connection, as load
//!   balancers do it, leaves most of a web server idle, and the common case needs five system calls.
//! - Every wait is for a client, has a deadline, and gives way: when there are too many connections, the source that
//!   has the most makes room (`seats`), and handshakes are queued by source (`handshakes`).
//! - The control plane keeps the [`Server`], the thread keeps the sockets' work. What should run is published
//!   as one value and the thread follows it, so a reload is one switch: sockets of unchanged addresses stay
//!   open, new ones are open before old ones close, and no request sees half a configuration.
//!
//! Load is bounded by the system calls of one core; memory by `max_connections` times some 4 KiB.
//!
//! [`Snapshot`]: crate::snapshot::Snapshot

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::warn;

use crate::clock::Clock;
use crate::config;
use crate::peer::document::Profile;
use crate::snapshot::Snapshot;
use crate::tls::ReloadingCertificate;

mod abort;
mod accept;
mod agent;
mod checkers;
mod connection;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod handshakes;
mod head;
mod listener;
mod proxy;
mod respond;
mod route;
mod seats;
mod server_config;
mod source;
mod thread;

pub use checkers::{Asked, Checker, Checkers, MAX_CHECKERS};
pub use listener::StartError;
pub use respond::page_status;
pub(crate) use route::NO_SUCH_PAGE;
pub use server_config::{Counters, Tally};

use handshakes::Handshakes;
use listener::Listener;
use seats::Seats;
use server_config::{Plan, Purpose, ServerConfig, Service};

/// How long the thread may take to answer that it runs. It never works longer than a batch of connections, and a machine
/// that is this slow fails its load balancer's checks as well.
const TURN_TIMEOUT: Duration = Duration::from_secs(1);

/// How many questions to the thread may wait for an answer.
const MAX_QUESTIONS: usize = 4;

/// The index of the mirror whose verdict the page at `path` shows; `None` for any other page, and for none. A query is
/// ignored, as in a request.
pub(crate) fn mirror_told_at<T>(mirrors: &[config::Mirror<T>], path: &str) -> Option<usize> {
    let names_and_paths = mirrors.iter().map(|mirror| (mirror.name.as_str(), mirror.paths.as_slice()));
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    match route::Routes::new(names_and_paths).select(path)? {
        route::Page::Status(index) | route::Page::Role(index, route::Asked::Primary) => Some(index),
        route::Page::Role(_, _) | route::Page::Live | route::Page::Ready => None,
    }
}

/// A mirror as the health listener sees it.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Its name in paths and agent checks.
    pub name: Arc<str>,
    /// Path prefixes of its status page.
    pub paths: Vec<String>,
    /// Its state, from its probe loop.
    pub snapshot: watch::Receiver<Snapshot>,
    /// What its member reports to the others besides its role.
    pub profile: watch::Receiver<Profile>,
}

/// The running health listener. Dropping it closes the ports too, without waiting for anything.
#[derive(Debug)]
pub struct Server {
    plan: Publisher,
    pulse: Pulse,
    /// Sockets that the service manager keeps open; listeners use duplicates.
    inherited: Vec<TcpListener>,
    checkers: Checkers,
    tally: Arc<Tally>,
    thread: JoinHandle<()>,
    /// Sends nothing; dropped when the thread has done its work.
    ended: oneshot::Receiver<()>,
}

/// Asks the health thread whether it runs.
#[derive(Clone, Debug)]
pub struct Pulse(mpsc::Sender<thread::Question>);

/// Publishes what the thread should run. The thread ends when this is dropped.
#[derive(Debug)]
struct Publisher(watch::Sender<Plan>);

// === impl Server ===

impl Server {
    /// Opens every address and starts to answer. On an error nothing runs and nothing stays open.
    ///
    /// `inherited` are sockets that the service manager keeps open beyond this process; each is used while the
    /// configuration has the address that it is bound to. They answer nothing before every mirror has a verdict, or one
    /// and a half seconds have passed: until then clients wait in the queue, as during a restart.
    pub fn start(
        settings: &config::Health,
        mirrors: Vec<Mirror>,
        clock: Clock,
        inherited: Vec<TcpListener>,
    ) -> Result<Self, StartError> {
        let plan = make_plan(settings, mirrors, &[], &inherited)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .map_err(StartError::Thread)?;
        let (plan, plans) = watch::channel(plan);
        let (questions, asked) = mpsc::channel(MAX_QUESTIONS);
        let (checkers, tally) = (Checkers::default(), Arc::<Tally>::default());
        let (ending, ended) = oneshot::channel();
        let service = Arc::new(Service {
            plan: plans,
            clock,
            checkers: checkers.clone(),
            seats: Arc::<Seats>::default(),
            handshakes: Arc::<Handshakes>::default(),
            tally: Arc::clone(&tally),
        });
        let thread = std::thread::Builder::new()
            .name("health".to_owned())
            .spawn(move || {
                let _ending: oneshot::Sender<()> = ending;
                thread::run(runtime, service, asked);
            })
            .map_err(StartError::Thread)?;
        Ok(Self { plan: Publisher(plan), pulse: Pulse(questions), inherited, checkers, tally, thread, ended })
    }

    /// Applies another configuration: sockets of unchanged addresses stay open with their queues, and new ones are opened
    /// before old ones are closed. On an error nothing has changed.
    pub fn reconfigure(&mut self, settings: &config::Health, mirrors: Vec<Mirror>) -> Result<(), StartError> {
        let open = self.plan.0.borrow().listeners.clone();
        let names: Vec<_> = mirrors.iter().map(|mirror| Arc::clone(&mirror.name)).collect();
        let plan = make_plan(settings, mirrors, &open, &self.inherited)?;
        self.plan.0.send_replace(plan);
        self.checkers.retain(&names);
        Ok(())
    }

    /// Where the pages answer, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses_for(Purpose::Page)
    }

    /// Where the agent check answers, if it is configured.
    pub fn agent_check_address(&self) -> Option<SocketAddr> {
        self.addresses_for(Purpose::AgentCheck).first().copied()
    }

    /// The table of the clients that check.
    pub fn checkers(&self) -> Checkers {
        self.checkers.clone()
    }

    /// The counters, which can be read at any time.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Whether the thread runs, see [`Pulse::is_turning`].
    pub async fn is_turning(&self) -> bool {
        self.pulse.is_turning().await
    }

    /// For the watchdog of the thread.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Leaves the inherited sockets to the next process: accepts nothing more from them, and lets their requests finish
    /// for up to a quarter of a second. Later clients wait in the queue, which the service manager keeps open.
    pub async fn hand_over(&self) {
        let (answer, answered) = oneshot::channel();
        if self.pulse.0.try_send(thread::Question::HandOver(answer)).is_ok() {
            let _ = timeout(TURN_TIMEOUT, answered).await;
        }
    }

    /// Closes the ports, lets requests in flight finish within their deadline, and ends the thread.
    pub async fn stop(self) {
        let Self { plan, thread, ended, .. } = self;
        let deadline = plan.0.borrow().server_config.request_timeout + TURN_TIMEOUT;
        drop(plan);
        if timeout(deadline, ended).await.is_err() {
            warn!("the health thread did not end in time");
        } else if thread.join().is_err() {
            // A panic on the thread has ended the process before this could be seen.
            warn!("the health thread panicked");
        }
    }

    fn addresses_for(&self, purpose: Purpose) -> Vec<SocketAddr> {
        let plan = self.plan.0.borrow();
        let matching = plan.listeners.iter().filter(|(_, p)| *p == purpose);
        matching.map(|(listener, _)| listener.local()).collect()
    }
}

// === impl Pulse ===

impl Pulse {
    /// Of a thread that never answers.
    #[cfg(test)]
    pub(crate) fn without_a_thread() -> Self {
        Self(mpsc::channel(1).0)
    }

    /// Whether the thread runs: asks it, and waits for up to a second. For the watchdog.
    pub async fn is_turning(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        let asked = self.0.try_send(thread::Question::Turning(answer));
        asked.is_ok() && matches!(timeout(TURN_TIMEOUT, answered).await, Ok(Ok(())))
    }
}

// === impl Publisher ===

impl Drop for Publisher {
    fn drop(&mut self) {
        // The last plan outlives its sender in the channel, and must not hold the ports open.
        self.0.send_modify(|plan| plan.listeners.clear());
    }
}

fn make_plan(
    settings: &config::Health,
    mirrors: Vec<Mirror>,
    open: &[(Arc<Listener>, Purpose)],
    inherited: &[TcpListener],
) -> Result<Plan, StartError> {
    let tls = settings.tls.as_ref().map(ReloadingCertificate::load).transpose()?.map(Arc::new);
    let mut listeners = Vec::new();
    for (purpose, addresses) in
        [(Purpose::Page, settings.listen.as_slice()), (Purpose::AgentCheck, settings.agent_check.as_slice())]
    {
        let kept: Vec<_> =
            open.iter().filter(|(_, p)| *p == purpose).map(|(listener, _)| Arc::clone(listener)).collect();
        let opened = listener::open_all(addresses, &kept, inherited)?;
        listeners.extend(opened.into_iter().map(|listener| (listener, purpose)));
    }
    Ok(Plan { server_config: Arc::new(ServerConfig::new(settings, mirrors, tls)), listeners })
}
