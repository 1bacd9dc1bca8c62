//! The daemon: builds the channels, owns every task, defines reload and shutdown.
//!
//! ```text
//! messages.log, POST /probe, SIGUSR1 ──Notify──┐
//!                                              ▼
//!                               one probe loop per group of mirrors
//!                                              │ watch<Snapshot>, one per mirror
//!                 ┌────────────────────────────┼─────────────────────┐
//!                 ▼                            ▼                     ▼
//!        health listener (own thread)   admin listener      keeper of the state file,
//!                                                           warner of unchecked mirrors,
//!                                                           arbiter among the peers,
//!                                                           steering loops (own thread)
//! ```
//!
//! *Start*: everything that can fail (addresses, certificates, token) is done before the first task runs. Files are read in
//! the background and within a deadline, see `files`.
//!
//! *Reload*: the same for the new configuration while the old one serves; an error leaves the old one unchanged. A loop
//! whose mirrors did not change goes on undisturbed; any other mirror keeps its verdict and its epoch if its probe did not
//! change.
//!
//! *Stop*: notifies the service manager; sends no further steering step and finishes the one in flight; leaves the sockets
//! that the service manager keeps open to the next process, unless `drain` is set; ends the loops, so that every verdict
//! becomes a refusal; the page answers it for the time of `drain`; closes the ports; writes the state. Nothing is withdrawn
//! from any target.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Build, ConfigurationView, MirrorView, View};
use crate::clock::{Clock, Timestamp};
use crate::descriptors;
use crate::health;
use crate::provider::Config;
use crate::service::{self, Service, SocketError};
use crate::state::Store;

mod files;
mod keep;
mod mirrors;
mod steering;
mod unchecked;

pub use files::PeerKeyError;
use files::{Files, Secrets};
use mirrors::Mirrors;
use steering::Steering;

/// How much later than planned a round of a probe loop may end on a busy machine before it counts as hung.
const ROUND_SLACK: Duration = Duration::from_secs(5);

/// How long the tasks may take to end after they were cancelled.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the last write of the state may take; a disk that hangs must delay neither a stop nor a reload.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// A running daemon. [`stop`](Self::stop) shuts it down cleanly.
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
    configuration: Option<ConfigurationView>,
    tasks: TaskTracker,
    watchers: Watchers,
    service: Service,
    /// Ends the task that notifies the service manager.
    notifying: CancellationToken,
}

/// Why a configuration cannot be applied.
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
        /// The timeout.
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

/// The tasks that watch the mirrors of one configuration: they write state files and warn of unchecked mirrors.
#[derive(Debug, Default)]
struct Watchers {
    cancelled: CancellationToken,
    tasks: TaskTracker,
}

// === impl StartError ===

impl StartError {
    /// How to correct it: a full sentence, if there is advice.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Health(error) => error.hint(),
            Self::Admin(error) => error.hint(),
            Self::Hangs { .. } => Some(
                "The port stays closed without its certificate or token. Find out why the file system hangs.",
            ),
            Self::Inherited(_) | Self::PeerKey(_) | Self::Steering(_) | Self::Address(_) => None,
        }
    }
}

// === impl Daemon ===

impl Daemon {
    /// Starts everything that `config` needs. Must be called within a tokio runtime, on which the control
    /// plane runs; the health listener has its own. `service` passes sockets and receives notifications.
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
        let view = watch::Sender::new(Arc::new(make_view(&health, &mirrors, &steering, started_at, None)));
        let (cancelled, (hand_back, handed_back)) = (CancellationToken::new(), oneshot::channel());
        let reader = view.subscribe();
        tasks.spawn(admin::serve(listener, access, reader, clock.clone(), cancelled.clone(), hand_back));
        let admin = AdminTask { configured: config.admin.listen, address, cancelled, handed_back };
        let notifying = CancellationToken::new();
        let (manager, reader) = (Arc::clone(&service.manager), view.subscribe());
        tasks.spawn(service::follow(manager, reader, health.pulse(), clock.clone(), notifying.clone()));
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
            configuration: None,
            tasks,
            watchers,
            service,
            notifying,
        };
        daemon.start_watchers();
        Ok(daemon)
    }

    /// Applies another configuration; on an error nothing changes.
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
        // The last step that can fail; if it does, new sockets are dropped.
        self.health.reconfigure(&descriptors::fitted(&config.health), prepared.readers().collect())?;
        self.mirrors.commit(prepared).await;
        // Before replaced loops finish their last step: the watchdog must not read snapshots that no loop writes any more.
        self.publish_view();
        self.steering.commit(self.mirrors.entries()).await;
        self.publish_view();
        self.replace_admin(config.admin.listen, listener, access).await?;
        self.service.inherited.warn(&config);
        self.config = config;
        std::mem::take(&mut self.watchers).stop().await;
        // A write that hangs must not overwrite what later ones have written.
        self.store = store.next_generation();
        self.start_watchers();
        Ok(())
    }

    fn publish_view(&self) {
        let configuration = self.configuration.clone();
        let view = make_view(&self.health, &self.mirrors, &self.steering, self.started_at, configuration);
        self.view.send_replace(Arc::new(view));
    }

    /// Sets the source of the configuration for reports.
    pub fn loaded_from(&mut self, source: String) {
        let loaded_at = self.started_at;
        self.configuration = Some(ConfigurationView { source, loaded_at, last_reload: None });
        self.publish_view();
    }

    /// Sets the result of a reload for reports: `error` is why the previous configuration stays in force.
    pub fn reload_ended(&mut self, error: Option<String>) {
        let now = self.clock.now();
        if let Some(configuration) = &mut self.configuration {
            if error.is_none() {
                configuration.loaded_at = now;
            }
            configuration.last_reload = Some((now, error));
        }
        self.publish_view();
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Asks every instance at once.
    pub fn wake(&self) {
        self.mirrors.wake();
    }

    /// The addresses of the health listener; port 0 of the configuration is replaced by the chosen port.
    pub fn health_addresses(&self) -> Vec<SocketAddr> {
        self.health.addresses()
    }

    /// The address of the admin listener.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address
    }

    /// Shuts down cleanly: sends no further steering step, leaves inherited sockets to the next process, refuses, drains,
    /// closes the ports, writes the state.
    ///
    /// With `drain` the page answers 503 before it closes, on inherited sockets as well. Without it no client of an
    /// inherited socket is refused: the next process answers the waiting ones, and none gets SUCCESS until then.
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
        self.notifying.cancel();
        self.watchers.stop().await;
        self.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end within the deadline");
        }
    }

    /// Serves admin requests with new settings: on `listener`, or on the old socket if there is none.
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
            tracing::warn!("the state directory hangs; the state file may lack the last transition");
        }
    }
}

fn make_view(
    health: &health::Server,
    mirrors: &Mirrors,
    steering: &Steering,
    started_at: Timestamp,
    configuration: Option<ConfigurationView>,
) -> View {
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
        configuration,
        health: health.addresses(),
        agent_check: health.agent_check_address(),
        checkers: health.checkers(),
        tally: health.tally(),
        mirrors: mirrors.entries().iter().map(mirror).collect(),
    }
}
