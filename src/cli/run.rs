//! `mirrorvip run`: the daemon in the foreground, and its reaction to signals.

use std::error::Error;
use std::future::Future;
use std::io;
use std::sync::Arc;

use clap::Args;

use super::signals::{Order, Signals};
use super::{Exit, Failure, Global, hardening, logging, output};
use crate::clock::Clock;
use crate::config::LoadError;
use crate::daemon::{Daemon, StartError};
use crate::descriptors;
use crate::provider::Config;
use crate::service::{Inherited, Service};

mod reload;

use reload::Reloading;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// End when the process that started this one ends; for the demo and for tests
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.exit_with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
            .map_err(|error| Failure::io(error.into(), "failed to tie this process to its parent"))?;
    }
    // No other descriptor may be opened before the inherited ones are known.
    let inherited = Inherited::from_environment().map_err(|error| Failure::failed_to(Exit::Config, error))?;
    hardening::protect()?;
    let config = load(global)?;
    logging::install(global)?;
    descriptors::raise();
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

/// Runs `work` on a current-thread runtime: the control plane has little to do, and the health listener has its own thread
/// and runtime.
pub(super) fn on_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io(error, "failed to start the runtime"))?;
    let result = runtime.block_on(work);
    // All that must finish has finished. A call that hangs on a disk ends with the process.
    runtime.shutdown_background();
    result
}

async fn serve(global: &Global, config: Config, service: Service) -> Result<Exit, Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::io(error, "failed to listen for signals"))?;
    let manager = Arc::clone(&service.manager);
    let mut daemon = Daemon::start(config, Clock::system(), service).await.map_err(start_failure)?;
    signals.started();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %global.source(),
        health = ?daemon.health_addresses(),
        admin = %daemon.admin_address(),
        "started"
    );
    let source = global.source();
    daemon.loaded_from(source.to_string());
    let mut reloading = Reloading::new(source.clone());
    loop {
        // Cancel-safe: a signal that was not received stays pending, and a reload under way goes on.
        let order = tokio::select! {
            biased;
            order = signals.next() => order,
            decision = reloading.decide(daemon.config()) => {
                reload::conclude(decision, &mut daemon, &source, &manager).await;
                continue;
            }
        };
        match order {
            Order::Probe => daemon.wake(),
            Order::Reload => reloading.begin(&manager),
            Order::Stop(signal) => {
                tracing::info!(signal, "stopping");
                // A second signal stops at once.
                return Ok(tokio::select! {
                    () = daemon.stop() => {
                        tracing::info!("stopped");
                        Exit::Ok
                    }
                    () = signals.stop_again() => {
                        tracing::warn!("stopped at once: a second signal came");
                        Exit::Ok
                    }
                });
            }
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
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => Exit::Config,
                _ => Exit::System,
            };
        }
        cause = error.source();
    }
    let help = error.hint();
    Failure::failed_to(exit, error).help(help)
}
