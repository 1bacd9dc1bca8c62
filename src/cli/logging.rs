//! Where log lines go and how they look: standard error, as text on a terminal and as JSON otherwise.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use super::{Exit, Failure, Global, LogFormat, output};

/// Installs the subscriber for the whole process.
pub(super) fn install(global: &Global) -> Result<(), Failure> {
    let builder = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_env_filter(filter(global)?)
        .with_target(false)
        // A full disk or a closed pipe behind standard error must not take the daemon down.
        .log_internal_errors(false);
    let text = match global.log_format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    if text {
        builder.with_ansi(output::colour_on_stderr()).init();
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
    }
    Ok(())
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
