//! `mirrorvip completions`: completions for a shell, made from the command line's own definition.

use clap::Args;
use clap_complete::Shell;

use super::{Exit, Failure, command, output};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// For which shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command(), "mirrorvip", &mut script);
    output::print(String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
