//! `mirrorvip demo`: the simulated mirror of [`demo`] on the terminal.

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failure, run};
use crate::demo::{self, DemoError, Options};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Keep it running after the scenarios, with addresses to try and failovers to trigger
    #[arg(long)]
    keep: bool,
    /// Keep its files (configurations, logs, simulated instances) in this directory, which must be empty
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { keep, directory } = arguments;
    let options = Options { keep, directory, program: None };
    let mut out = anstream::stdout();
    run::on_runtime(async {
        match demo::run(options, &mut out).await {
            Ok(_summary) => Ok(Exit::Ok),
            Err(DemoError::Interrupted) => Ok(Exit::Interrupted),
            Err(DemoError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
            Err(error) => Err(Failure::new(exit(&error), error)),
        }
    })
}

fn exit(error: &DemoError) -> Exit {
    match error {
        DemoError::FakeIris(_) | DemoError::SetUp { .. } => Exit::System,
        DemoError::Exhausted(_) | DemoError::Output(_) => Exit::System,
        DemoError::MemberEnded { .. } | DemoError::NotInTime { .. } => Exit::Unavailable,
        DemoError::Violation(_) | DemoError::Simulation(_) | DemoError::ObserverEnded => Exit::Software,
        DemoError::Interrupted => Exit::Interrupted,
    }
}
