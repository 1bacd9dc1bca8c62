//! Writing for people: colour where it is wanted, and no complaint when the reader has gone away.

use std::fmt::Display;
use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};

use super::{Exit, Failure};

/// Style of `error:` and of findings that must be mended.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Style of warnings.
pub(super) const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();
/// Style of what is well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Style of what matters less.
pub(super) const FAINT: Style = Style::new().dimmed();

/// Writes to standard output. That the reader has closed it (`| head`) is the reader's wish and no error.
pub(super) fn print(text: impl Display) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io(error, "failed to write to standard output"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes to standard error; there is nobody to tell if that fails.
pub(super) fn complain(text: impl Display) {
    let _ = write!(anstream::stderr().lock(), "{text}");
}

/// Prints `value` as JSON, for machines.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(Exit::Software, error))?;
    print(format_args!("{text}\n"))
}

/// Whether standard error takes colour.
pub(super) fn colour_on_stderr() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}
