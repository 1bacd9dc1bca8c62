//! Reading the configuration from where it is: a file, with the errors that a file can have, or the
//! environment, for containers that have none.
//!
//! A file named on the command line comes first, then the variable [`VARIABLE`], then the usual file. The first of them is
//! the whole configuration; two are never merged. An empty variable counts as absent, because templates write absent values
//! that way.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Config, Report, Tables, parse};
use crate::file::{self, ReadError, Stamp};

/// The variable of the environment that holds a whole configuration as TOML.
pub const VARIABLE: &str = "MIRRORVIP_CONFIG_TOML";

/// The file that is read when nothing else is said.
pub const DEFAULT_FILE: &str = "/etc/mirrorvip/mirrorvip.toml";

/// The longest file that is read. A mirror takes a few hundred bytes.
const LIMIT: u64 = 1024 * 1024;

/// How long reading the file may take.
const PATIENCE: Duration = Duration::from_secs(5);

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
    #[error("read the configuration {}: the file is too large (limit 1 MiB)", path.display())]
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

/// One reading of a configuration.
#[derive(Clone, Debug)]
pub struct Reading<T> {
    /// What it says.
    pub config: Config<T>,
    /// Which version of the file this is, to the byte; `None` for a variable, which cannot change.
    version: Option<(Stamp, Vec<u8>)>,
}

/// Reads a configuration from a file.
pub fn load<T: Tables>(path: &Path) -> Result<Config<T>, LoadError> {
    understand(&read(path)?.1, path)
}

/// Reads a text that came from `origin`.
fn understand<T: Tables>(bytes: &[u8], origin: &Path) -> Result<Config<T>, LoadError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(parse(text, &origin.to_string_lossy())?),
        Err(error) => {
            let valid = &bytes[..error.valid_up_to()];
            let line = valid.split(|byte| *byte == b'\n').count();
            Err(LoadError::NotUtf8 { path: origin.to_owned(), line })
        }
    }
}

/// The file's version and its bytes, within [`PATIENCE`].
fn read(path: &Path) -> Result<(Stamp, Vec<u8>), LoadError> {
    let owned = path.to_owned();
    let read = file::within(PATIENCE, move || -> Result<_, ReadError> {
        let (opened, metadata) = file::open(&owned)?;
        Ok((file::stamp(&metadata), file::read_rest(&opened, LIMIT)?))
    });
    read.map_err(ReadError::Io).flatten().map_err(|error| match error {
        ReadError::Io(source) => LoadError::Unreadable { path: path.to_owned(), source },
        ReadError::NotRegular => LoadError::NotAFile { path: path.to_owned() },
        ReadError::TooLong { .. } => LoadError::TooLong { path: path.to_owned() },
    })
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

    /// Reads the configuration; a file as it is now.
    pub fn load<T: Tables>(&self) -> Result<Config<T>, LoadError> {
        self.read().map(|reading| reading.config)
    }

    /// The same, with what distinguishes the versions of a file.
    pub fn read<T: Tables>(&self) -> Result<Reading<T>, LoadError> {
        match self {
            Self::File(path) => {
                let (stamp, bytes) = read(path)?;
                Ok(Reading { config: understand(&bytes, path)?, version: Some((stamp, bytes)) })
            }
            Self::Environment(text) => {
                let config = understand(text.as_bytes(), Path::new(VARIABLE))?;
                Ok(Reading { config, version: None })
            }
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

// === impl Reading ===

impl<T> Reading<T> {
    /// Whether both are of one version of the file: the same bytes, and no write in between.
    pub fn is_same_version(&self, other: &Self) -> bool {
        self.version == other.version
    }

    /// Whether it could be the beginning of a longer text: the last line does not end.
    pub fn ends_within_a_line(&self) -> bool {
        self.version.as_ref().is_some_and(|(_, bytes)| !bytes.ends_with(b"\n"))
    }
}

// === impl LoadError ===

impl LoadError {
    /// How to correct it, in full sentences; the report of an invalid file has its own.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Unreadable { path, source } => match source.kind() {
                io::ErrorKind::NotFound => Some(
                    "Name the file with --config, put its text into MIRRORVIP_CONFIG_TOML, or start from the \
                     annotated example: mirrorvip.toml.example in /etc/mirrorvip, config/mirrorvip.toml in the source."
                        .to_owned(),
                ),
                io::ErrorKind::PermissionDenied => Some(file::to_read(path)),
                _ => None,
            },
            Self::NotAFile { .. } => Some("Name a file with --config.".to_owned()),
            Self::TooLong { .. } => Some("Name the right file with --config.".to_owned()),
            Self::NotUtf8 { .. } => Some("Save it as UTF-8.".to_owned()),
            Self::Invalid(_) => None,
        }
    }
}
