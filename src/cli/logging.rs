//! Where log lines go and how they look: fields in the journal when standard error leads there, text on a
//! terminal, JSON otherwise.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::explained::Explained;
use super::journal::{self, Journal};
use super::{Exit, Failure, Global, LogFormat, output};

/// Where to, once it is decided.
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
    let lines = |filter| {
        tracing_subscriber::fmt()
            .with_writer(io::stderr)
            .with_env_filter(filter)
            .with_target(false)
            // A full disk or a closed pipe behind standard error must not take the daemon down.
            .log_internal_errors(false)
    };
    match sink {
        Sink::Text => {
            let ansi = output::colour_on_stderr();
            lines(filter).with_ansi(ansi).map_event_format(|format| Explained(format.with_ansi(ansi))).init();
        }
        Sink::Json => {
            lines(filter)
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .map_event_format(Explained)
                .init();
        }
        Sink::Journal(journal) => tracing_subscriber::registry().with(filter).with(journal).init(),
    }
    Ok(())
}

fn choose() -> Sink {
    match (journal::is_stderr(), io::stderr().is_terminal()) {
        // A journal that cannot be reached natively still takes lines, which people read there.
        (true, _) => Journal::open().map_or(Sink::Text, Sink::Journal),
        (false, true) => Sink::Text,
        (false, false) => Sink::Json,
    }
}

fn filter(global: &Global) -> Result<EnvFilter, Failure> {
    let wrong = |error: anyhow::Error| Failure::new(Exit::Usage, error);
    match (&global.log, std::env::var("RUST_LOG")) {
        (Some(directives), _) => EnvFilter::try_new(directives).map_err(|error| {
            wrong(anyhow::anyhow!("--log {directives}: {error}; write a level, such as --log debug"))
        }),
        (None, Ok(directives)) if !directives.is_empty() => EnvFilter::try_new(&directives)
            .map_err(|error| wrong(anyhow::anyhow!("RUST_LOG={directives}: {error}"))),
        (None, _) => Ok(EnvFilter::new("info")),
    }
}
