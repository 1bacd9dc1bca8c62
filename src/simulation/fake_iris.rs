//! An `iris` command that prints a given line, and misbehaves in every way that a probe must survive.
//!
//! A directory holds the executable `iris` (a shell script; `iris.sh` says what it copies of the real one), the files
//! `qlist` and `mode` that it reads, and the instance's `messages.log`. The files are replaced by renaming, so a running
//! command reads the old or the new text and never half of one. The caller owns the directory and removes it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::instance::LogLine;
use crate::clock::Clock;

const SCRIPT: &str = include_str!("iris.sh");

/// How long a fresh script may take to prove that it runs: it does nothing, but the machine may be busy.
const SELF_TEST_LIMIT: Duration = Duration::from_secs(10);
const SELF_TEST_PAUSE: Duration = Duration::from_millis(2);

/// The `iris` command of one simulated instance.
#[derive(Debug)]
pub struct FakeIris {
    directory: PathBuf,
    instance: String,
}

/// How the command behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Prints its line at once.
    Answer,
    /// Prints its line after this long.
    Slow(Duration),
    /// Prints nothing and does not end, until the mode is changed or its directory is removed.
    Hang,
    /// Prints bytes that are not a line: control characters, broken UTF-8, carets.
    Corrupt,
    /// Prints without end while its output is read.
    Flood,
    /// Prints nothing and exits 0.
    Nothing,
    /// Is killed by a signal before it prints.
    Die,
    /// Prints its line and exits; a child that it leaves behind holds the pipe open.
    Grandchild,
    /// Prints nothing and exits with this code.
    Exit(u8),
}

/// Why the command could not be created.
#[derive(Debug, thiserror::Error)]
pub enum FakeIrisError {
    /// Its files could not be written.
    #[error("failed to write the simulated iris command in {path}")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The script's interpreter is missing.
    #[error("failed to run the simulated iris command: it needs /bin/sh, and this system has none")]
    NoShell,
    /// The operating system does not execute it.
    #[error(
        "failed to run the simulated iris command {path}: executing it is forbidden (file system mounted noexec?)"
    )]
    NotExecutable {
        /// Where it is.
        path: PathBuf,
    },
    /// It does not run for another reason.
    #[error("failed to run the simulated iris command {path}")]
    Run {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It runs, but does not do what it should.
    #[error("failed to run the simulated iris command {path}: its self-test ended with {status}")]
    SelfTest {
        /// Where it is.
        path: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
}

impl FakeIris {
    /// Writes the command into `directory`, which is created when missing, and runs it once.
    ///
    /// It prints a line without roles until [`set_line`](Self::set_line) is called. Running it once finds a missing shell
    /// or a `noexec` mount early, which would otherwise look like a broken probe. It also waits out `ETXTBSY`, which the
    /// kernel returns while any process, such as a child that another thread has just forked, has the file open for
    /// writing.
    pub fn new(directory: &Path, instance: &str) -> Result<Self, FakeIrisError> {
        let fake = Self { directory: directory.to_owned(), instance: instance.to_owned() };
        fake.write_files().map_err(|source| FakeIrisError::Write { path: directory.to_owned(), source })?;
        fake.self_test()?;
        Ok(fake)
    }

    /// The directory that holds its files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Path of the executable.
    pub fn command(&self) -> PathBuf {
        self.directory.join("iris")
    }

    /// Path of the instance's log; [`new`](Self::new) creates it empty.
    pub fn messages_log(&self) -> PathBuf {
        self.directory.join("messages.log")
    }

    /// Name of its instance.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Sets the line that it prints; several lines are several instances.
    pub fn set_line(&self, line: &str) -> io::Result<()> {
        self.replace("qlist", line)
    }

    /// Sets the line to that of a running instance with these words in fields 11 and 12.
    pub fn set_role(&self, member_type: &str, status: &str) -> io::Result<()> {
        let Self { instance, .. } = self;
        self.set_line(&format!(
            "{instance}^/usr/irissys^2024.1.0.267.2^running, since Sat Nov 21 02:40:00 2026^iris.cpf^\
             1972^0^62972^ok^IRIS^{member_type}^{status}^/usr/irissys"
        ))
    }

    /// Sets how it behaves from the next call on; calls that hang end when the mode changes.
    pub fn set_mode(&self, mode: Mode) -> io::Result<()> {
        let word = match mode {
            Mode::Answer => "answer".to_owned(),
            Mode::Slow(delay) => format!("slow {:.3}", delay.as_secs_f64()),
            Mode::Hang => "hang".to_owned(),
            Mode::Corrupt => "corrupt".to_owned(),
            Mode::Flood => "flood".to_owned(),
            Mode::Nothing => "nothing".to_owned(),
            Mode::Die => "die".to_owned(),
            Mode::Grandchild => "grandchild".to_owned(),
            Mode::Exit(code) => format!("exit {code}"),
        };
        self.replace("mode", &word)
    }

    /// Appends a line to `messages.log`, dated from `clock` in local time.
    pub fn log(&self, clock: &Clock, line: &LogLine) -> io::Result<()> {
        let at = clock.now().to_utc().to_zoned(jiff::tz::TimeZone::system());
        let text = line.format(&at, std::process::id()) + "\n";
        // One write: a reader of the log never sees half a line.
        OpenOptions::new().append(true).create(true).open(self.messages_log())?.write_all(text.as_bytes())
    }

    fn write_files(&self) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        self.set_role("", "")?;
        self.set_mode(Mode::Answer)?;
        File::create(self.messages_log())?;
        let mut script = OpenOptions::new().write(true).create_new(true).mode(0o755).open(self.command())?;
        script.write_all(SCRIPT.as_bytes())?;
        // The file's mode was subject to the umask; a probe may run as another user.
        script.set_permissions(fs::Permissions::from_mode(0o755))
    }

    fn replace(&self, name: &str, text: &str) -> io::Result<()> {
        let fresh = self.directory.join(format!("{name}.new"));
        fs::write(&fresh, format!("{text}\n"))?;
        fs::rename(fresh, self.directory.join(name))
    }

    fn self_test(&self) -> Result<(), FakeIrisError> {
        let path = self.command();
        let attempts = SELF_TEST_LIMIT.as_millis() / SELF_TEST_PAUSE.as_millis();
        for _ in 0..attempts {
            let mut command = Command::new(&path);
            command.arg("selftest").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            match command.spawn() {
                Ok(child) => return self.wait_for_self_test(child),
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                    std::thread::sleep(SELF_TEST_PAUSE);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FakeIrisError::NoShell),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(FakeIrisError::NotExecutable { path });
                }
                Err(source) => return Err(FakeIrisError::Run { path, source }),
            }
        }
        Err(FakeIrisError::Run { path, source: io::ErrorKind::ExecutableFileBusy.into() })
    }

    fn wait_for_self_test(&self, mut child: Child) -> Result<(), FakeIrisError> {
        let path = self.command();
        let polls = SELF_TEST_LIMIT.as_millis() / SELF_TEST_PAUSE.as_millis();
        for _ in 0..polls {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(FakeIrisError::SelfTest { path, status }),
                Ok(None) => std::thread::sleep(SELF_TEST_PAUSE),
                Err(source) => return Err(FakeIrisError::Run { path, source }),
            }
        }
        // Best effort: the error to report is the timeout.
        let _ = child.kill();
        let _ = child.wait();
        Err(FakeIrisError::Run { path, source: io::ErrorKind::TimedOut.into() })
    }
}
