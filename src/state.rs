//! What outlives the process: for each mirror the last epoch, whether the role was held, and what this member
//! claimed, in one small file. Written atomically: a new file, flushed, renamed over the old.
//!
//! It is an aid and not a condition. Without it (absent, read-only, full disk, rubbish in the file) the
//! daemon warns and runs; what is lost is the number of the epoch, and where steering is in doubt who was
//! promoted later, an answer to that.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::role::{Epoch, Remembered};

/// What the file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Of the role machine.
    #[serde(flatten)]
    pub role: Remembered,
    /// Of steering; zero in a file that was written before there was any.
    #[serde(default)]
    pub claims: Claims,
}

/// What steering leaves to the next process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The highest claim that this member wrote to a record, or tried to.
    pub own: u64,
    /// The highest claim that it saw in a record.
    pub seen: u64,
    /// The epoch in which it was superseded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_in: Option<Epoch>,
}

/// A state file is some hundred bytes; more than this is not ours.
const LARGEST: u64 = 4096;

/// The directory with one file a mirror.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// Why state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The operating system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is not a state file: {detail}", path.display())]
    Rubbish {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

impl Store {
    /// A store in `directory`, which need not exist yet.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// What the process before left about `mirror`; `None` when there was none.
    pub fn load(&self, mirror: &str) -> Result<Option<Kept>, StateError> {
        let path = self.path(mirror);
        let mut text = String::new();
        match fs::File::open(&path) {
            Ok(file) => file.take(LARGEST).read_to_string(&mut text).map_err(io_error("read", &path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| StateError::Rubbish { path, detail: error.to_string() })
    }

    /// Replaces what is remembered about `mirror`. Blocks on the disk.
    pub fn save(&self, mirror: &str, kept: Kept) -> Result<(), StateError> {
        fs::create_dir_all(&self.directory).map_err(io_error("create", &self.directory))?;
        let path = self.path(mirror);
        let fresh = self.directory.join(format!(".{mirror}.json.new"));
        let text = serde_json::json!(kept).to_string();
        let write = || -> io::Result<()> {
            let mut file = fs::File::create(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(io_error("write", &fresh))?;
        fs::rename(&fresh, &path).map_err(io_error("replace", &path))?;
        // Without this the rename itself may be lost with the power; some file systems cannot, and need not.
        let _ = fs::File::open(&self.directory).and_then(|directory| directory.sync_all());
        Ok(())
    }

    fn path(&self, mirror: &str) -> PathBuf {
        // The configuration allows no name that means anything to a file system.
        self.directory.join(format!("{mirror}.json"))
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> Kept {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().join("made/on/demand"));
        assert_eq!(store.load("PROD").unwrap(), None);
        let state = kept(
            r#"{"epoch":7,"primary":true,"promotion":1795228800123,"claims":{"own":3,"seen":4,"superseded_in":7}}"#,
        );
        store.save("PROD", state).unwrap();
        assert_eq!(store.load("PROD").unwrap(), Some(state));
        assert_eq!(store.load("TEST").unwrap(), None);
        let files: Vec<_> = fs::read_dir(directory.path().join("made/on/demand")).unwrap().collect();
        assert_eq!(files.len(), 1, "no temporary file is left");
    }

    #[test]
    fn a_file_from_before_there_was_steering_is_read() {
        let old = kept(r#"{"epoch":7,"primary":true}"#);
        assert_eq!((u64::from(old.role.epoch), old.claims), (7, Claims::default()));
    }

    #[test]
    fn rubbish_is_told_from_absence() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        fs::write(directory.path().join("PROD.json"), "{").unwrap();
        assert!(matches!(store.load("PROD"), Err(StateError::Rubbish { .. })));
        fs::write(directory.path().join("PROD.json"), "x".repeat(1_000_000)).unwrap();
        assert!(matches!(store.load("PROD"), Err(StateError::Rubbish { .. })));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error_with_its_path() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let store = Store::new(file.path().join("below/a/file"));
        let error = store.save("PROD", kept(r#"{"epoch":1,"primary":true}"#)).unwrap_err();
        assert!(error.to_string().contains("below/a/file"), "{error}");
    }
}
