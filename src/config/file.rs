//! Reading the configuration from its file, with the errors that a file can have.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::{Config, Report, parse};

/// The longest file that is read. A mirror takes a few hundred bytes.
const LIMIT: u64 = 1024 * 1024;

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
    /// The file is not text.
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
    let bytes = read(path)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(parse(&text, &path.to_string_lossy())?),
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.split(|byte| *byte == b'\n').count();
            Err(LoadError::NotUtf8 { path: path.to_owned(), line })
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

// === impl LoadError ===

impl LoadError {
    /// How to mend it, in full sentences; the report of an invalid file has its own.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Unreadable { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Some(
                    "Name the file with --config, or start from the annotated example config/mirrorvip.toml."
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
            Self::NotUtf8 { .. } => Some("Save the file as UTF-8.".to_owned()),
            Self::Invalid(_) => None,
        }
    }
}
