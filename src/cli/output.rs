//! Writes output: colour where it is wanted, and no error when the reader has closed the pipe.

use std::fmt::Display;
use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Exit, Failure};

/// Style of `error:` and of errors among findings.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Style of warnings.
pub(super) const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();
/// Style of good results.
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Style of details.
pub(super) const FAINT: Style = Style::new().dimmed();

/// Writes to standard output. A closed pipe (`| head`) is no error.
pub(super) fn print(text: impl Display) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io(error, "failed to write to standard output"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether the reader of standard output is gone: an endless loop checks before each round.
pub(super) fn reader_is_gone() -> bool {
    let stdout = io::stdout();
    // No event is requested: poll(2) reports POLLERR in any case if the reader is gone.
    let mut ends = [PollFd::new(&stdout, PollFlags::empty())];
    let polled = poll(&mut ends, Some(&Timespec::default()));
    polled.is_ok() && ends[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Writes to standard error; errors are ignored.
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
