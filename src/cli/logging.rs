//! The format of the log: fields in the journal when standard error leads there, text on a
//! terminal, JSON otherwise.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::explained::Explained;
use super::journal::{self, Journal};
use super::{Exit, Failure, Global, LogFormat, output};

/// The chosen format.
enum Sink {
    Text,
    Json,
    Journal(Journal),
}

/// Installs the subscriber for the whole process.
pub(super) fn install(global: &Global) -> Result<(), Failure> {
    let sink = match global.log_format {
        LogFormat::Auto => choose(),
        LogFormat::Text => Sink::Text,
        LogFormat::Json => Sink::Json,
        LogFormat::Journald => {
            Sink::Journal(Journal::open().map_err(|error| Failure::io(error, "failed to reach the journal"))?)
        }
    };
    let filter = filter(global)?;
    // A full disk or a closed pipe behind standard error must not take the daemon down.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .log_internal_errors(false);
    let layer = match sink {
        Sink::Text => {
            let ansi = output::colour_on_stderr();
            lines.with_ansi(ansi).map_event_format(|format| Explained(format.with_ansi(ansi))).boxed()
        }
        Sink::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .map_event_format(Explained)
            .boxed(),
        Sink::Journal(journal) => journal.boxed(),
    };
    tracing_subscriber::registry().with(filter).with(layer).init();
    Ok(())
}

fn choose() -> Sink {
    match (journal::is_stderr(), io::stderr().is_terminal()) {
        // If the journal's socket is not reachable, it still receives the lines from standard error.
        (true, _) => Journal::open().map_or(Sink::Text, Sink::Journal),
        (false, true) => Sink::Text,
        (false, false) => Sink::Json,
    }
}

fn filter(global: &Global) -> Result<Targets, Failure> {
    let wrong = |error: anyhow::Error| Failure::new(Exit::Usage, error);
    match (&global.log, std::env::var("RUST_LOG")) {
        (Some(directives), _) => parse(directives).map_err(|error| {
            wrong(anyhow::anyhow!("--log {directives}: {error}; write a level, such as --log debug"))
        }),
        (None, Ok(directives)) if !directives.is_empty() => {
            parse(&directives).map_err(|error| wrong(anyhow::anyhow!("RUST_LOG={directives}: {error}")))
        }
        (None, _) => Ok(Targets::new().with_default(LevelFilter::INFO)),
    }
}

/// Levels, each for everything or for one module; extra commas are ignored.
fn parse(directives: &str) -> Result<Targets, ParseError> {
    let given: Vec<_> =
        directives.split(',').map(str::trim).filter(|directive| !directive.is_empty()).collect();
    given.join(",").parse()
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn directives_are_levels_for_everything_or_for_one_module() {
        let enabled = |directives, module, level| parse(directives).unwrap().would_enable(module, &level);
        assert!(enabled("info", "mirrorvip", Level::INFO) && !enabled("info", "hyper", Level::DEBUG));
        assert!(enabled("warn,mirrorvip::steer=debug", "mirrorvip::steer::run", Level::DEBUG));
        assert!(!enabled("warn,mirrorvip::steer=debug", "mirrorvip::probe", Level::INFO));
        assert!(enabled("info,", "mirrorvip", Level::INFO) && !enabled("off", "mirrorvip", Level::ERROR));
        assert!(enabled("", "mirrorvip", Level::ERROR) && !enabled("", "mirrorvip", Level::WARN));
        assert!(parse("prod=loud").is_err());
    }
}
