//! Reading the configuration from where it is: a file, with the errors that a file can have, or the
//! environment, for containers that have none.
//!
//! A file that is named on the command line comes first, then the variable [`VARIABLE`], then the usual file.
//! The first that is there is the whole configuration; two are never merged. An empty variable is none, since
//! that is how templates write what is absent.

use std::ffi::OsString;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::{Config, Report, parse};

/// The variable of the environment that holds a whole configuration as TOML.
pub const VARIABLE: &str = "MIRRORVIP_CONFIG_TOML";

/// The file that is read when nothing else is said.
pub const DEFAULT_FILE: &str = "/etc/mirrorvip/mirrorvip.toml";

/// The longest file that is read. A mirror takes a few hundred bytes.
const LIMIT: u64 = 1024 * 1024;

/// Where a configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In this file.
    File(PathBuf),
    /// In the variable [`VARIABLE`] of the environment, whose value this is.
    Environment(OsString),
}

/// Why a configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("read the configuration {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The path is that of a directory, a pipe or a device.
    #[error("read the configuration {}: it is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is too long to be a configuration.
    #[error("read the configuration {}: it is longer than {LIMIT} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file, or the variable of this name, is not text.
    #[error("read the configuration {}: line {line} is not UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The first line that is not, counted from 1.
        line: usize,
    },
    /// The file was read, and breaks rules.
    #[error(transparent)]
    Invalid(#[from] Report),
}

/// Reads a configuration from a file.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    understand(read(path)?, path)
}

/// Reads a text that came from `origin`.
fn understand(bytes: Vec<u8>, origin: &Path) -> Result<Config, LoadError> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(parse(&text, &origin.to_string_lossy())?),
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.split(|byte| *byte == b'\n').count();
            Err(LoadError::NotUtf8 { path: origin.to_owned(), line })
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let file = open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(LoadError::NotAFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LIMIT {
        return Err(LoadError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Opens without waiting: opening a pipe that nobody writes to would never return.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

// === impl Source ===

impl Source {
    /// The source to use: the file that the user `named`, else what the environment holds (`variable` is the
    /// value of [`VARIABLE`]), else [`DEFAULT_FILE`].
    pub fn choose(named: Option<PathBuf>, variable: Option<OsString>) -> Self {
        match (named, variable.filter(|text| !text.is_empty())) {
            (Some(path), _) => Self::File(path),
            (None, Some(text)) => Self::Environment(text),
            (None, None) => Self::File(DEFAULT_FILE.into()),
        }
    }

    /// Reads the configuration; of a file as it is by now.
    pub fn load(&self) -> Result<Config, LoadError> {
        match self {
            Self::File(path) => load(path),
            Self::Environment(text) => understand(text.as_bytes().to_vec(), Path::new(VARIABLE)),
        }
    }
}

impl fmt::Display for Source {
    /// The file's path, or the variable's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Environment(_) => f.write_str(VARIABLE),
        }
    }
}

// === impl LoadError ===

impl LoadError {
    /// How to mend it, in full sentences; the report of an invalid file has its own.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Unreadable { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Some(
                    "Name the file with --config, put its text into MIRRORVIP_CONFIG_TOML, or start from the \
                     annotated example: mirrorvip.toml.example in /etc/mirrorvip, config/mirrorvip.toml in the source."
                        .to_owned(),
                ),
                io::ErrorKind::PermissionDenied => Some(format!(
                    "This process runs as user {}: let that user read the file and search the directories \
                     above it.",
                    geteuid().as_raw()
                )),
                _ => None,
            },
            Self::NotAFile { .. } => Some("Name a file with --config.".to_owned()),
            Self::TooLong { .. } => {
                Some("This is hardly a configuration: name the right file with --config.".to_owned())
            }
            Self::NotUtf8 { .. } => Some("Save it as UTF-8.".to_owned()),
            Self::Invalid(_) => None,
        }
    }
}
