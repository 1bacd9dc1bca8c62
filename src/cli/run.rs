//! `mirrorvip run`: the daemon in the foreground, and the signals that steer it.

use std::error::Error;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Exit, Failure, Global, logging, output};
use crate::check::chain;
use crate::clock::Clock;
use crate::config::{Config, LoadError};
use crate::daemon::{Daemon, StartError};
use crate::service::{Inherited, Manager, Service};

/// How long blocking work (a hung disk) may hold up the end of the process.
const RUNTIME_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// End when the process that started this one ends; for the demo and for tests
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

/// The signals that the daemon understands.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user1: Signal,
}

/// What a signal means.
pub(super) enum Order {
    Stop(&'static str),
    Reload,
    Probe,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.exit_with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
            .map_err(|error| Failure::io(error.into(), "failed to tie this process to its parent"))?;
    }
    // First of all: nothing else may open a descriptor before the passed ones are known.
    let inherited = Inherited::from_environment().map_err(|error| Failure::failed_to(Exit::Config, error))?;
    let config = load(global)?;
    logging::install(global)?;
    on_runtime(serve(global, config, Service::from_environment(inherited)))
}

/// Reads the configuration; every problem goes to standard error.
pub(super) fn load(global: &Global) -> Result<Config, Failure> {
    global.source().load().map_err(|error| match error {
        LoadError::Invalid(report) => {
            output::complain(report.render(output::colour_on_stderr()));
            Failure::reported(Exit::Config)
        }
        error => {
            let help = error.help();
            let exit = match &error {
                LoadError::Unreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                    Exit::Permission
                }
                _ => Exit::Config,
            };
            Failure::failed_to(exit, error).help(help)
        }
    })
}

/// Runs `work` on a current-thread runtime: the control plane has little to do, and the health listener has
/// a thread and a runtime of its own.
pub(super) fn on_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io(error, "failed to start the runtime"))?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(RUNTIME_TIMEOUT);
    result
}

async fn serve(global: &Global, config: Config, service: Service) -> Result<Exit, Failure> {
    // Before the ports open: from here on a signal is an order and not the end.
    let mut signals = Signals::new().map_err(|error| Failure::io(error, "failed to listen for signals"))?;
    let manager = Arc::clone(&service.manager);
    let mut daemon = Daemon::start(config, Clock::system(), service).await.map_err(start_failure)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %global.source(),
        health = ?daemon.health_addresses(),
        admin = %daemon.admin_address(),
        "started"
    );
    loop {
        match signals.next().await {
            Order::Probe => daemon.wake(),
            Order::Reload => reload(&mut daemon, global, &manager).await,
            Order::Stop(signal) => {
                tracing::info!(signal, "stopping");
                // A second signal means: at once.
                return Ok(tokio::select! {
                    () = daemon.stop() => {
                        tracing::info!("stopped");
                        Exit::Ok
                    }
                    () = signals.stop_again() => {
                        tracing::warn!("stopped without order: a second signal came");
                        Exit::Ok
                    }
                });
            }
        }
    }
}

async fn reload(daemon: &mut Daemon, global: &Global, manager: &Manager) {
    manager.reloading();
    let taken_over = take_over(daemon, global).await;
    manager.reloaded(taken_over);
}

/// Reads the configuration again and puts it to work, and tells whether it could.
async fn take_over(daemon: &mut Daemon, global: &Global) -> bool {
    let source = global.source();
    let config = match source.load() {
        Ok(config) => config,
        Err(error) => {
            let report = match &error {
                LoadError::Invalid(report) => report.render(false),
                error => format!("failed to {}", chain(error)),
            };
            tracing::error!(config = %source, %report, "the new configuration is invalid; the old one stays in force");
            return false;
        }
    };
    match daemon.reload(config).await {
        Ok(()) => {
            tracing::info!(health = ?daemon.health_addresses(), admin = %daemon.admin_address(), "reloaded");
            true
        }
        Err(error) => {
            let (error, help) = (chain(&error), error.hint());
            tracing::error!(
                error,
                help,
                "the new configuration cannot be put to work; the old one stays in force"
            );
            false
        }
    }
}

fn start_failure(error: StartError) -> Failure {
    let mut cause: Option<&dyn Error> = Some(&error);
    let mut exit = Exit::Config;
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            exit = match error.kind() {
                io::ErrorKind::PermissionDenied => Exit::Permission,
                io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => Exit::Unavailable,
                // A certificate or token that the configuration names.
                io::ErrorKind::NotFound => Exit::Config,
                _ => Exit::System,
            };
        }
        cause = error.source();
    }
    let help = error.hint();
    Failure::failed_to(exit, error).help(help)
}

// === impl Signals ===

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    /// The next order. Cancel-safe: a signal that was not taken stays.
    pub(super) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop("TERM"),
            _ = self.interrupt.recv() => Order::Stop("INT"),
            _ = self.hang_up.recv() => Order::Reload,
            _ = self.user1.recv() => Order::Probe,
        }
    }

    async fn stop_again(&mut self) {
        while !matches!(self.next().await, Order::Stop(_)) {}
    }
}
