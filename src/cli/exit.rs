//! How a verb ends: the exit codes, and an error on its way to the user.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

use super::output;
use crate::explain;
use crate::text::chain;

/// Exit codes, with the numbers of `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Success.
    Ok = 0,
    /// The command line is wrong.
    Usage = 64,
    /// Something required does not answer (the instance, the running daemon), or an address is in use.
    Unavailable = 69,
    /// A bug in mirrorvip.
    Software = 70,
    /// The operating system failed.
    System = 71,
    /// The user may not do this.
    Permission = 77,
    /// The configuration is wrong.
    Config = 78,
    /// The user interrupted it, as a shell reports it: 128 and the number of SIGINT.
    Interrupted = 130,
}

/// An error, and how the process ends because of it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// The error with its causes; `None` if a report of it has been printed already.
    error: Option<anyhow::Error>,
    /// How to correct it: full sentences.
    help: Option<String>,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Failure {
    /// A failure whose error is a complete sentence.
    pub(super) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: Some(error.into()), help: None }
    }

    /// A failure whose error is a fragment that follows "failed to".
    pub(super) fn failed_to(exit: Exit, error: impl Error + Send + Sync + 'static) -> Self {
        let text = format!("failed to {error}");
        match error.source() {
            // The text of the error itself is in the context; its causes follow.
            Some(cause) => Self::new(exit, anyhow::anyhow!(chain(cause)).context(text)),
            None => Self::new(exit, anyhow::anyhow!(text)),
        }
    }

    /// A failure whose report has been printed already.
    pub(super) fn reported(exit: Exit) -> Self {
        Self { exit, error: None, help: None }
    }

    /// A failure of the operating system or of permissions, depending on the error.
    pub(super) fn io(error: io::Error, doing: &'static str) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::PermissionDenied => Exit::Permission,
            _ => Exit::System,
        };
        Self::new(exit, anyhow::Error::new(error).context(doing))
    }

    /// The same failure with the way to correct it, if known.
    #[must_use]
    pub(super) fn help(self, help: Option<impl Into<String>>) -> Self {
        Self { help: help.map(Into::into), ..self }
    }

    pub(super) fn print(&self) {
        output::complain(self);
    }
}

impl fmt::Display for Failure {
    /// The error with its causes, the help and the page of the runbook, each on its own line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(error) = &self.error else { return Ok(()) };
        let text = format!("{error:#}");
        writeln!(f, "{BAD}error:{BAD:#} {text}", BAD = output::BAD)?;
        if let Some(help) = &self.help {
            writeln!(f, "  help: {help}")?;
        }
        match explain::of_error(&text) {
            Some(word) => writeln!(f, "  more: mirrorvip explain {word}"),
            None => Ok(()),
        }
    }
}
