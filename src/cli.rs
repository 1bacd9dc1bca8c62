//! The command line: one file a verb, exit codes from `sysexits.h`, and what all verbs share.
//!
//! A verb gets parsed arguments and returns an [`Exit`] or a failure; it never ends the process itself.
//! Output for people and machines goes to standard output, logs and errors to standard error.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

mod admin;
mod check;
mod completions;
#[cfg(feature = "simulation")]
mod demo;
mod exit;
mod explain;
mod explained;
mod hardening;
mod healthcheck;
mod iam_policy;
mod journal;
mod logging;
mod man;
mod output;
mod plan;
mod probe;
mod publish;
mod reference;
mod run;
mod signals;
mod status;
mod take;
mod terminal;

pub use exit::Exit;
use exit::Failure;
pub use signals::catch as catch_signals;

use crate::child::guard;
use crate::config;

const AFTER_HELP: &str = "\
Exit codes: 0 success, 64 usage, 69 unavailable, 70 a bug in mirrorvip, 71 system error,
77 permission denied, 78 configuration error, 130 interrupted.

Getting started:
  mirrorvip demo                          see it work without IRIS and without a cloud
  mirrorvip check --config FILE           check everything that the daemon will need
  mirrorvip run --config FILE             the daemon";

/// Answers load balancers' health checks from the role of an InterSystems IRIS mirror member.
///
/// mirrorvip asks the local instance for its mirror role and answers the status page that load balancers
/// poll: 200 SUCCESS on the primary, 503 FAILED elsewhere. It replaces the mirror's virtual IP where a
/// virtual IP cannot exist. IRIS decides which member is primary; mirrorvip publishes that decision.
#[derive(Debug, Parser)]
#[command(name = "mirrorvip", version, after_help = AFTER_HELP, max_term_width = 100)]
struct CommandLine {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Options that every verb has.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// The configuration file [default: the text in `MIRRORVIP_CONFIG_TOML` if that is set, else
    /// /etc/mirrorvip/mirrorvip.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to log: a level, or directives as in RUST_LOG, which it overrides [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
    /// How to log
    #[arg(long, global = true, value_name = "FORMAT", default_value = "auto")]
    log_format: LogFormat,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Fields in the journal when standard error leads there, text on a terminal, JSON otherwise
    Auto,
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
    /// Structured fields in systemd's journal
    Journald,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon in the foreground
    ///
    /// Signals: TERM and INT shut it down cleanly, HUP reloads the configuration (and keeps the old one on
    /// any error), USR1 probes the instance at once.
    Run(run::Arguments),
    /// Check configuration, files, ports, the instance, peers and AWS before a failover does
    ///
    /// Reads the configuration and tries everything that the daemon will need: the command, the files, the
    /// addresses, the certificates, and what is steered in AWS, with the time that clients will wait after a
    /// promotion. Run it as the user that the daemon runs as. Changes nothing.
    Check(check::Arguments),
    /// Probe the instance once, and show the evidence, the verdict and the reason
    Probe(probe::Arguments),
    /// Write role and heartbeat to files, for a daemon in another container
    ///
    /// Probes as the daemon does, and opens no port. The daemon reads the files with the probe `file`. Signals: TERM
    /// and INT shut it down cleanly, USR1 probes the instance at once.
    Publish(publish::Arguments),
    /// Print the API calls that a promotion would make now, and send none
    ///
    /// Reads every steering target as the daemon does, with the same rights, and plans as for a primary.
    Plan(plan::Arguments),
    /// Print the rights that the configuration needs in AWS, as a policy for its role
    IamPolicy,
    /// Show the running daemon's current state and decisions
    Status(status::Arguments),
    /// Direct clients to this member by an operator's decision, where mirrorvip is unsure
    ///
    /// For a primary that is superseded, or unsure whether another member was promoted later. Ask the mirror itself first
    /// which member is the primary (`iris list`): a wrong decision sends clients to two databases. The command shows what
    /// it overrides and asks for confirmation. The decision is in force until the instance loses the role; log, status and
    /// state file record it with reason, user and time. Refused unless the instance is the primary now and there is
    /// something to override.
    #[command(after_help = take::AFTER_HELP)]
    Take(take::Arguments),
    /// Explain a word of `status`, `check` or the log: a page of the runbook
    ///
    /// For states, rulings, causes, findings and messages: what it means, how it shows, why it happens, what to do and what
    /// clients see meanwhile. Log entries and findings that need a human name the word. Needs no daemon and no network.
    Explain(explain::Arguments),
    /// Report by the exit code whether the daemon in this container answers
    ///
    /// Asks the configured health listener for /live: for the HEALTHCHECK of an image. The role does not matter.
    Healthcheck,
    /// Show a simulated mirror of three members through failovers
    #[cfg(feature = "simulation")]
    Demo(demo::Arguments),
    /// Print completions for a shell
    Completions(completions::Arguments),
    /// Print a manual page, in the format of man(1)
    Man(man::Arguments),
}

/// The whole program: parses, acts, and says how it went.
pub fn main() -> ExitCode {
    // The guard of a daemon's children is this program without a command line.
    if env::args_os().nth(1).is_some_and(|argument| argument == guard::ARGUMENT) {
        guard::stand();
        return Exit::Ok.into();
    }
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(error) => {
            // Help and version are asked for, and go to standard output; anything else is wrong usage.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    let CommandLine { global, verb } = command_line;
    global.color.write_global();
    if !matches!(verb, Verb::Run(_) | Verb::Publish(_)) {
        signals::release();
    }
    let result = match verb {
        Verb::Run(arguments) => run::run(&global, &arguments),
        Verb::Check(arguments) => check::run(&global, &arguments),
        Verb::Probe(arguments) => probe::run(&global, &arguments),
        Verb::Publish(arguments) => publish::run(&global, &arguments),
        Verb::Plan(arguments) => plan::run(&global, &arguments),
        Verb::IamPolicy => iam_policy::run(&global),
        Verb::Status(arguments) => status::run(&global, &arguments),
        Verb::Take(arguments) => take::run(&global, &arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Healthcheck => healthcheck::run(&global),
        #[cfg(feature = "simulation")]
        Verb::Demo(arguments) => demo::run(arguments),
        Verb::Completions(arguments) => completions::run(&arguments),
        Verb::Man(arguments) => man::run(&arguments),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit.into()
        }
    }
}

/// The command line for completions, the manual page and the reference.
pub(crate) fn command() -> clap::Command {
    CommandLine::command()
}

// === impl Global ===

impl Global {
    /// Where the configuration is.
    fn source(&self) -> config::Source {
        config::Source::choose(self.config.clone(), env::var_os(config::VARIABLE))
    }
}

// === impl Color ===

impl Color {
    /// Decides for all output of this process.
    fn write_global(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}
