//! `mirrorvip publish`: writes role and heartbeat of the local instance to files, for a daemon in another container.

use std::path::PathBuf;

use clap::Args;

use super::signals::{Order, Signals};
use super::{Exit, Failure, Global, hardening, logging, run};
use crate::clock::Clock;
use crate::provider::Config;
use crate::publish::{Publisher, role_file};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Directory of the files, one per mirror, `NAME.role`: the volume that the reader shares
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, Failure> {
    hardening::protect()?;
    let config = run::load(global)?;
    let directory = &arguments.directory;
    if !directory.is_dir() {
        let error = anyhow::anyhow!("{} is not a directory", directory.display());
        return Err(Failure::new(Exit::Unavailable, error)
            .help(Some("Mount the volume that the reader shares there, or create the directory.")));
    }
    logging::install(global)?;
    run::on_runtime(serve(global, &config, arguments))
}

async fn serve(global: &Global, config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::io(error, "failed to listen for signals"))?;
    let publisher = Publisher::start(&config.mirrors, &arguments.directory, &Clock::system());
    signals.started();
    let files: Vec<_> =
        config.mirrors.iter().map(|mirror| role_file(&mirror.name, &arguments.directory)).collect();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %global.source(), ?files, "publishing");
    loop {
        match signals.next().await {
            Order::Probe => publisher.wake(),
            // A publisher has neither port nor epoch to preserve: a restart has the same effect.
            Order::Reload => tracing::warn!("a publisher does not reload its configuration; restart it"),
            Order::Stop(signal) => {
                tracing::info!(signal, "stopping");
                publisher.stop().await;
                tracing::info!("stopped");
                return Ok(Exit::Ok);
            }
        }
    }
}
