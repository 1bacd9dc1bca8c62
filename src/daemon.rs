//! The daemon: builds the channels, owns every task, defines how it is reloaded and in which order it stops.
//!
//! ```text
//! messages.log, POST /probe, SIGUSR1 ──Notify──┐
//!                                              ▼
//!                                  one probe loop a group of mirrors
//!                                              │ watch<Snapshot>, one a mirror
//!                 ┌────────────────────────────┼─────────────────────┐
//!                 ▼                            ▼                     ▼
//!        health listener (own thread)   admin listener      keeper of the state file,
//!                                                           warner of unchecked mirrors,
//!                                                           arbiter among the peers,
//!                                                           steering loops (own thread)
//! ```
//!
//! *Start*: everything that can fail (addresses, certificates, token) is done before the first task runs. What is on
//! disk is read in the background and within a deadline, see `files`.
//!
//! *Reload*: the same for the new configuration, while the old one serves; an error leaves the old as it was.
//! A loop whose mirrors did not change goes on undisturbed; any other mirror keeps its verdict and its epoch
//! if it is still asked in the same way.
//!
//! *Stop*: the service manager is told; no further steering step is sent and what is in flight is finished;
//! sockets that the service manager keeps open are left to the next process, unless `drain` is set; the loops
//! end, every verdict becomes a refusal, the page says so for as long as `drain` asks, the ports close, the
//! state is written. Nothing is withdrawn from anywhere.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::status::Build;
use crate::admin::{self, MirrorView, View};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::descriptors;
use crate::health;
use crate::service::{self, Service, SocketError};
use crate::state::Store;

mod files;
mod keep;
mod mirrors;
mod steering;
mod unchecked;

use files::{Files, Secrets};
use mirrors::Mirrors;
pub use mirrors::PeerKeyError;
use steering::Steering;

/// How much later than planned a round of a probe loop may end on a busy machine before it counts as hung.
const ROUND_SLACK: Duration = Duration::from_secs(5);

/// How long the tasks may take to end after they were told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the last write of the state may take; a disk that hangs must not keep the process, nor hold up a reload.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// A running daemon. [`stop`](Self::stop) is the orderly end.
#[derive(Debug)]
pub struct Daemon {
    config: Config,
    clock: Clock,
    started_at: Timestamp,
    files: Files,
    store: Store,
    mirrors: Mirrors,
    steering: Steering,
    health: health::Server,
    admin: AdminTask,
    view: watch::Sender<Arc<View>>,
    tasks: TaskTracker,
    watchers: Watchers,
    service: Service,
    /// Ends the task that tells the service manager.
    telling: CancellationToken,
}

/// Why a configuration cannot be put to work.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The health listener cannot start.
    #[error("start the health listener")]
    Health(#[from] health::StartError),
    /// The admin listener cannot start.
    #[error("start the admin listener")]
    Admin(#[from] admin::StartError),
    /// A socket that the service manager passed cannot be used.
    #[error(transparent)]
    Inherited(#[from] SocketError),
    /// The file of a mirror's shared secret is unusable.
    #[error(transparent)]
    PeerKey(#[from] PeerKeyError),
    /// The thread of the steering loops cannot start.
    #[error("start the steering thread")]
    Steering(#[source] io::Error),
    /// The disk with a secret or a certificate does not answer.
    #[error("read {}", path.display())]
    Hangs {
        /// The file, or the first of several.
        path: PathBuf,
        /// For how long it did not.
        source: io::Error,
    },
    /// A socket was lost between binding and serving.
    #[error("ask the operating system for an address")]
    Address(#[from] io::Error),
}

/// The admin listener's task, which hands its socket back when it is cancelled.
#[derive(Debug)]
struct AdminTask {
    configured: SocketAddr,
    address: SocketAddr,
    cancelled: CancellationToken,
    handed_back: oneshot::Receiver<TcpListener>,
}

/// The tasks that watch the mirrors for one configuration: keepers of state, warners.
#[derive(Debug, Default)]
struct Watchers {
    cancelled: CancellationToken,
    tasks: TaskTracker,
}

// === impl StartError ===

impl StartError {
    /// How to mend it: a full sentence, if there is one to say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Health(error) => error.hint(),
            Self::Admin(error) => error.hint(),
            Self::Hangs { .. } => {
                Some("A port is not opened without what protects it: see why the file system hangs.")
            }
            Self::Inherited(_) | Self::PeerKey(_) | Self::Steering(_) | Self::Address(_) => None,
        }
    }
}

// === impl Daemon ===

impl Daemon {
    /// Starts everything that `config` asks for. Must be called within a tokio runtime, on which the control
    /// plane runs; the health listener brings its own. `service` gives the sockets and hears how it goes.
    pub async fn start(config: Config, clock: Clock, service: Service) -> Result<Self, StartError> {
        let tasks = TaskTracker::new();
        service.inherited.check(&config)?;
        service.inherited.warn(&config);
        let mut mirrors = Mirrors::new(clock.clone(), tasks.clone());
        let (mut files, store) = (Files::new(), Store::new(config.state_directory.clone()));
        let Secrets { keys, access } = files.secrets(&config).await?;
        let memory = match mirrors.unknown(&config.mirrors) {
            Some(unknown) => Some(files.remember(&store, unknown).await),
            None => None,
        };
        let prepared = mirrors.prepare(&config.mirrors, memory, &keys);
        let listener = admin::bind(config.admin.listen, service.inherited.for_admin(config.admin.listen)?)?;
        let address = listener.local_addr()?;
        let mut steering = Steering::new(clock.clone(), tasks.clone()).map_err(StartError::Steering)?;
        let inherited = service.inherited.for_health()?;
        let health = health::Server::start(
            &descriptors::fitted(&config.health),
            prepared.readers().collect(),
            clock.clone(),
            inherited,
        )?;
        mirrors.commit(prepared).await;
        steering.commit(mirrors.entries()).await;
        let started_at = clock.now();
        let view = watch::Sender::new(Arc::new(make_view(&health, &mirrors, &steering, started_at)));
        let (cancelled, (hand_back, handed_back)) = (CancellationToken::new(), oneshot::channel());
        let reader = view.subscribe();
        tasks.spawn(admin::serve(listener, access, reader, clock.clone(), cancelled.clone(), hand_back));
        let admin = AdminTask { configured: config.admin.listen, address, cancelled, handed_back };
        let telling = CancellationToken::new();
        let (manager, reader) = (Arc::clone(&service.manager), view.subscribe());
        tasks.spawn(service::follow(manager, reader, health.pulse(), clock.clone(), telling.clone()));
        let watchers = Watchers::default();
        let daemon = Self {
            config,
            clock,
            started_at,
            files,
            store,
            mirrors,
            steering,
            health,
            admin,
            view,
            tasks,
            watchers,
            service,
            telling,
        };
        daemon.start_watchers();
        Ok(daemon)
    }

    /// Puts another configuration to work; on an error everything is as it was.
    pub async fn reload(&mut self, config: Config) -> Result<(), StartError> {
        self.service.inherited.check(&config)?;
        let Secrets { keys, access } = self.files.secrets(&config).await?;
        let same_place = config.state_directory == self.config.state_directory;
        let store = if same_place { self.store.clone() } else { Store::new(config.state_directory.clone()) };
        let memory = match self.mirrors.unknown(&config.mirrors) {
            Some(unknown) => Some(self.files.remember(&store, unknown).await),
            None => None,
        };
        let prepared = self.mirrors.prepare(&config.mirrors, memory, &keys);
        let moved = config.admin.listen != self.admin.configured;
        let inherited = self.service.inherited.for_admin(config.admin.listen)?;
        let listener = if moved { Some(admin::bind(config.admin.listen, inherited)?) } else { None };
        // The last step that can fail; what was bound for it is dropped again if it does.
        self.health.reconfigure(&descriptors::fitted(&config.health), prepared.readers().collect())?;
        self.mirrors.commit(prepared).await;
        // Before loops that are replaced finish what they have sent: the watchdog must not look at snapshots that
        // nobody writes any more.
        self.publish_view();
        self.steering.commit(self.mirrors.entries()).await;
        self.publish_view();
        self.replace_admin(config.admin.listen, listener, access).await?;
        self.service.inherited.warn(&config);
        self.config = config;
        std::mem::take(&mut self.watchers).stop().await;
        // One that hangs must not write over what those that come next have written.
        self.store = store.next_generation();
        self.start_watchers();
        Ok(())
    }

    fn publish_view(&self) {
        let view = make_view(&self.health, &self.mirrors, &self.steering, self.started_at);
        self.view.send_replace(Arc::new(view));
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Asks every instance at once.
    pub fn wake(&self) {
        self.mirrors.wake();
    }

    /// The addresses of the health listener, with the ports that the system chose where the configuration says 0.
    pub fn health_addresses(&self) -> Vec<SocketAddr> {
        self.health.addresses()
    }

    /// The address of the admin listener.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address
    }

    /// Stops in order: send no further steering step, leave inherited sockets to the next process, refuse, drain,
    /// close the ports, write the state.
    ///
    /// Who asks for a drain wants the page to say 503 before it goes, on inherited sockets, too. Otherwise nobody
    /// is refused there: the process that comes next answers who waits, and until it comes nobody is told
    /// SUCCESS either.
    pub async fn stop(mut self) {
        self.service.manager.stopping(self.config.health.drain);
        self.steering.stop();
        if self.config.health.drain.is_zero() {
            self.health.hand_over().await;
        }
        self.mirrors.stop().await;
        if !self.config.health.drain.is_zero() {
            tracing::info!(drain = ?self.config.health.drain, "the page answers 503 before the port closes");
            tokio::time::sleep(self.config.health.drain).await;
        }
        self.health.stop().await;
        self.steering.stopped().await;
        self.admin.cancelled.cancel();
        self.telling.cancel();
        self.watchers.stop().await;
        self.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
    }

    /// Serves admin requests with other settings: on `listener`, or on the old socket when there is none.
    async fn replace_admin(
        &mut self,
        configured: SocketAddr,
        listener: Option<TcpListener>,
        access: admin::Access,
    ) -> io::Result<()> {
        self.admin.cancelled.cancel();
        let old = (&mut self.admin.handed_back).await;
        let old = old.expect("the admin listener's task neither panics nor is aborted");
        let listener = listener.unwrap_or(old);
        let address = listener.local_addr()?;
        let (cancelled, (hand_back, handed_back)) = (CancellationToken::new(), oneshot::channel());
        let (reader, clock) = (self.view.subscribe(), self.clock.clone());
        self.tasks.spawn(admin::serve(listener, access, reader, clock, cancelled.clone(), hand_back));
        self.admin = AdminTask { configured, address, cancelled, handed_back };
        Ok(())
    }

    fn start_watchers(&self) {
        let store = &self.store;
        for entry in self.mirrors.entries() {
            let name = entry.config.name.clone();
            let Watchers { cancelled, tasks } = &self.watchers;
            let (snapshot, channels) = (entry.snapshot.clone(), Arc::clone(&entry.channels));
            tasks.spawn(keep::keep(store.clone(), name.clone(), snapshot, channels, cancelled.clone()));
            if let Some(limit) = self.config.health.unasked_warning {
                let (checkers, clock) = (self.health.checkers(), self.clock.clone());
                let snapshot = entry.snapshot.clone();
                let cancelled = cancelled.clone();
                tasks.spawn(unchecked::warn(name.into(), limit, snapshot, checkers, clock, cancelled));
            }
        }
    }
}

// === impl Watchers ===

impl Watchers {
    /// Ends them after a last write of the state.
    async fn stop(self) {
        self.cancelled.cancel();
        self.tasks.close();
        if tokio::time::timeout(LAST_WRITE_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                "the state directory hangs; the state file may be of the transition before the last"
            );
        }
    }
}

fn make_view(health: &health::Server, mirrors: &Mirrors, steering: &Steering, started_at: Timestamp) -> View {
    let mirror = |entry: &mirrors::Entry| MirrorView {
        name: entry.config.name.as_str().into(),
        paths: entry.config.paths.clone(),
        snapshot: entry.snapshot.clone(),
        round: entry.config.interval + entry.config.timeout + ROUND_SLACK,
        wake: Arc::clone(&entry.wake),
        members: entry.channels.view.subscribe(),
        profile: entry.channels.profile.subscribe(),
        steering: steering.view(&entry.config.name),
    };
    View {
        build: Build::this(),
        pid: std::process::id(),
        started_at,
        health: health.addresses(),
        agent_check: health.agent_check_address(),
        checkers: health.checkers(),
        tally: health.tally(),
        mirrors: mirrors.entries().iter().map(mirror).collect(),
    }
}
