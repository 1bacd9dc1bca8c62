//! What outlives the process: for each mirror one small file with the last epoch, whether the role was held and when, and
//! the [arbiter](crate::steer::arbiter)'s memory. Written atomically: a new file, flushed, renamed over the old. Beside
//! them is one random identifier, which distinguishes a daemon from a copy of its state.
//!
//! The daemon also runs without the files (absent, read-only, full disk, corrupt, a disk that hangs), and warns. A restart
//! then forgets the epoch and the own term: the member takes traffic only after every other member has confirmed that it
//! is not the primary, or at the next promotion that it sees. It also forgets that another member superseded it: its page
//! may say SUCCESS until that member answers.
//!
//! # One writer
//!
//! One process at a time writes; it holds a lock in the directory. Another one runs without writing, with its own
//! identifier. Each write reads the file first and keeps what this process did not know (`merge`), so that a process that
//! could not read the file at its start, or had to wait for the lock, lowers nothing. An unreadable file is left as it is.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::file::{self, Content, Directory, Lock, LockError, ReadError};
use crate::random::{is_identifier, random_identifier};
use crate::role::Remembered;
use crate::snapshot::PastTransition;
use crate::term::Memory;

mod format;
mod merge;

use format::File;

/// What the previous process saved about a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersistedState {
    /// Of the role machine.
    pub role: Remembered,
    /// Of the arbiter.
    pub arbiter: Memory,
    /// The last changes of state, oldest first.
    pub history: Vec<PastTransition>,
}

/// A state file has some hundred bytes, and an operator's reason; a larger one is not ours.
const LARGEST: u64 = 16 * 1024;

/// The file with the identifier of the daemon whose state this is.
const DAEMON_ID: &str = "daemon-id";

/// The file by which one process holds the directory.
const LOCK: &str = "lock";

/// The file permissions of state: no secrets, and `mirrorvip plan` reads it as another user.
const MODE: u32 = 0o644;

/// The directory with one file per mirror. Clones share what they know of it.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
    shared: Arc<Mutex<Shared>>,
    /// The newest generation of writers, and that of this clone: writes of an older one are outdated.
    newest: Arc<AtomicU64>,
    generation: u64,
}

/// Held while one thread writes, so that writes do not overtake each other.
#[derive(Debug, Default)]
struct Shared {
    lock: Locked,
    /// What this process knows to be in each mirror's file; absent where it could not be read.
    known: HashMap<String, Option<Vec<u8>>>,
    /// What was found there and does not come from this process, which must not lower it.
    floors: HashMap<String, PersistedState>,
}

/// Whether the directory is locked for this process.
#[derive(Debug, Default)]
enum Locked {
    #[default]
    NotYet,
    /// As long as this lives.
    By(#[expect(dead_code, reason = "held, and given up when it is dropped")] Lock),
    /// The file system does not support locks.
    Never,
}

/// The result of locking the directory.
#[derive(Debug)]
pub enum Access {
    /// No other process writes there.
    Exclusive {
        /// Which other users can replace these files, in words.
        exposure: Option<String>,
    },
    /// The file system does not support locks: another process may write there.
    Unlocked(String),
}

/// Why state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The operating system refused.
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
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Another process writes there.
    #[error("{} is held by {holder}", directory.display())]
    Held {
        /// The directory.
        directory: PathBuf,
        /// The process, as it wrote its own name.
        holder: String,
    },
}

impl Store {
    /// A store in `directory`, which need not exist yet.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, shared: Arc::default(), newest: Arc::default(), generation: 0 }
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The same store for writers that replace all earlier ones, whose writes are ignored from here on.
    #[must_use]
    pub fn next_generation(&self) -> Self {
        let generation = self.newest.fetch_add(1, Ordering::Relaxed) + 1;
        Self { generation, ..self.clone() }
    }

    /// Creates the directory and locks it for this process. Blocks on the disk, as the methods below do.
    pub fn claim(&self) -> Result<Access, StateError> {
        self.claim_for(&mut self.shared())
    }

    fn claim_for(&self, shared: &mut Shared) -> Result<Access, StateError> {
        let directory = self.open()?;
        let exposure = directory.exposure();
        match &shared.lock {
            Locked::By(_) => return Ok(Access::Exclusive { exposure }),
            Locked::Never | Locked::NotYet => {}
        }
        match directory.lock(LOCK) {
            Ok(lock) => {
                shared.lock = Locked::By(lock);
                directory.sweep();
                Ok(Access::Exclusive { exposure })
            }
            Err(LockError::Unsupported(error)) => {
                shared.lock = Locked::Never;
                Ok(Access::Unlocked(error.to_string()))
            }
            Err(LockError::Held(holder)) => {
                Err(StateError::Held { directory: self.directory.clone(), holder })
            }
            Err(LockError::Io(error)) => Err(io_error("lock", &self.directory)(error)),
        }
    }

    /// What the previous process saved about `mirror`; `None` when there was none.
    pub fn load(&self, mirror: &str) -> Result<Option<PersistedState>, StateError> {
        let bytes = self.read(mirror)?;
        let state = bytes.as_deref().map(|bytes| self.understand(mirror, bytes)).transpose();
        let mut shared = self.shared();
        // From here on it is part of what this process remembers.
        shared.floors.remove(mirror);
        shared.known.insert(mirror.to_owned(), bytes);
        state
    }

    /// Replaces the saved state of `mirror`, unless newer writers have taken over.
    pub fn save(&self, mirror: &str, state: PersistedState) -> Result<(), StateError> {
        let mut shared = self.shared();
        if self.generation < self.newest.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.claim_for(&mut shared)?;
        let found = self.read(mirror)?;
        if let Some(bytes) = found.as_deref().filter(|_| shared.known.get(mirror) != Some(&found))
            && let Ok(found) = self.understand(mirror, bytes)
        {
            let floor = match shared.floors.remove(mirror) {
                Some(older) => found.keeping(older),
                None => found,
            };
            shared.floors.insert(mirror.to_owned(), floor);
        }
        let state = match shared.floors.get_mut(mirror) {
            Some(floor) => {
                floor.forget_what_ended(&state);
                state.keeping(floor.clone())
            }
            None => state,
        };
        let bytes = serde_json::json!(File::from(state)).to_string().into_bytes();
        self.replace(&format!("{mirror}.json"), &bytes)?;
        shared.known.insert(mirror.to_owned(), Some(bytes));
        Ok(())
    }

    /// The [`daemon_id`](Self::daemon_id) if there is one; creates none.
    pub fn known_daemon_id(&self) -> Option<String> {
        let text = file::read_bounded(&self.directory.join(DAEMON_ID), LARGEST).ok()?;
        identifier(&text)
    }

    /// The identifier of the daemon whose state this is: random, created at the first start. The error comes with one that
    /// lasts as long as the process. Only the process that [holds](Self::claim) the directory may call this.
    pub fn daemon_id(&self) -> Result<String, (String, StateError)> {
        let path = self.directory.join(DAEMON_ID);
        match file::read_bounded(&path, LARGEST) {
            Ok(text) => {
                if let Some(id) = identifier(&text) {
                    return Ok(id);
                }
            }
            Err(ReadError::TooLong { .. }) => {}
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err((random_identifier(), io_error("read", &path)(error.into()))),
        }
        let fresh = random_identifier();
        match self.replace(DAEMON_ID, fresh.as_bytes()) {
            Ok(()) => Ok(fresh),
            Err(error) => Err((fresh, error)),
        }
    }

    /// What is in the file of `mirror`; `None` when there is none.
    fn read(&self, mirror: &str) -> Result<Option<Vec<u8>>, StateError> {
        // The configuration allows no name that means anything to a file system.
        let path = self.directory.join(format!("{mirror}.json"));
        match file::read_bounded(&path, LARGEST) {
            Ok(bytes) => Ok(Some(bytes)),
            // Not ours, and no reason to leave it there.
            Err(ReadError::TooLong { .. }) => Ok(Some(Vec::new())),
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &path)(error.into())),
        }
    }

    fn understand(&self, mirror: &str, bytes: &[u8]) -> Result<PersistedState, StateError> {
        let path = self.directory.join(format!("{mirror}.json"));
        let file: File = serde_json::from_slice(bytes)
            .map_err(|error| StateError::Corrupt { path, detail: error.to_string() })?;
        Ok(file.into())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let content = Content { bytes, mode: MODE, modified: None, durable: true };
        self.open()?.replace(name, content).map_err(io_error("replace", &self.directory.join(name)))
    }

    fn open(&self) -> Result<Directory, StateError> {
        fs::create_dir_all(&self.directory).map_err(io_error("create", &self.directory))?;
        Directory::open(&self.directory).map_err(io_error("open", &self.directory))
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until it is dropped, no write of this process returns: what a disk that hangs looks like.
    #[cfg(test)]
    pub(crate) fn hang(&self) -> impl Drop + '_ {
        self.shared()
    }
}

fn identifier(text: &[u8]) -> Option<String> {
    std::str::from_utf8(text).ok().map(str::trim).filter(|id| is_identifier(id)).map(str::to_owned)
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Timestamp;
    use crate::term::Claim;

    fn read(text: &str) -> PersistedState {
        serde_json::from_str::<File>(text).unwrap().into()
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().join("made/on/demand"));
        assert_eq!(store.load("PROD").unwrap(), None);
        let at = |seconds| {
            Some(Timestamp::new(Duration::from_secs(seconds), Duration::from_secs(1_000 + seconds)))
        };
        let mut state = read(r#"{"epoch":7,"primary":true}"#);
        (state.role.asked_at, state.role.promoted_at) = (at(9), at(5));
        state.arbiter = Memory {
            term: 7,
            proven: true,
            before: 6,
            seen: Claim { term: 8, member: "b".to_owned() },
            superseded_by: Some(crate::term::Successor {
                mark: Claim { term: 8, member: "b".to_owned() },
                address: "10.0.2.12".to_owned(),
            }),
            taken: None,
        };
        store.save("PROD", state.clone()).unwrap();
        assert_eq!(store.load("PROD").unwrap(), Some(state));
        assert_eq!(store.load("TEST").unwrap(), None);
        let files: Vec<_> = fs::read_dir(directory.path().join("made/on/demand")).unwrap().collect();
        assert_eq!(files.len(), 2, "the state and the lock, and no temporary file is left: {files:?}");
    }

    /// An earlier version takes a longer file for a damaged one.
    #[test]
    fn longest_history_fits_what_earlier_versions_read() {
        use crate::observation::{NoEvidence, Observation};
        use crate::role::{Settings, Tracker};
        use crate::snapshot::Snapshot;

        let settings = Settings { stale_after: Duration::from_secs(4), rise: std::num::NonZeroU32::MIN };
        let mut snapshot = Snapshot::new(Tracker::new(settings, None));
        for round in 0..50_u64 {
            let at = Timestamp::new(Duration::from_secs(round * 10), Duration::from_secs(round * 10));
            let text = "\"".repeat(5_000);
            let outcome = if round % 2 == 0 {
                Err(NoEvidence::Failed(text))
            } else {
                Ok(crate::observation::Role::Backup)
            };
            let observation = Observation { asked_at: at, answered_at: at, outcome, evidence: String::new() };
            snapshot.rule(at, |tracker| {
                tracker.expire(at);
                tracker.observe(&observation);
            });
        }
        let history = snapshot.history();
        assert_eq!(history.len(), 16);
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        let state =
            PersistedState { history, ..read(r#"{"epoch":7,"primary":true,"of_a_later_version":{"x":1}}"#) };
        store.save("PROD", state.clone()).unwrap();
        assert_eq!(store.load("PROD").unwrap(), Some(state));
        let length = fs::metadata(directory.path().join("PROD.json")).unwrap().len();
        assert!(length < LARGEST * 3 / 4, "{length} bytes");
    }

    #[test]
    fn a_daemon_keeps_its_identifier_and_a_damaged_one_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().join("state"));
        let id = store.daemon_id().unwrap();
        assert_eq!(store.daemon_id().unwrap(), id);
        fs::write(directory.path().join("state").join(DAEMON_ID), "damaged").unwrap();
        assert_ne!(store.daemon_id().unwrap(), id);
        let file = tempfile::NamedTempFile::new().unwrap();
        let (one, error) = Store::new(file.path().join("below/a/file")).daemon_id().unwrap_err();
        assert!(is_identifier(&one) && error.to_string().contains("below/a/file"), "{error}");
    }

    #[test]
    fn a_corrupt_file_differs_from_a_missing_one() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        fs::write(directory.path().join("PROD.json"), "{").unwrap();
        assert!(matches!(store.load("PROD"), Err(StateError::Corrupt { .. })));
        fs::write(directory.path().join("PROD.json"), "x".repeat(1_000_000)).unwrap();
        assert!(matches!(store.load("PROD"), Err(StateError::Corrupt { .. })));
    }

    /// It could not be read at the start, or another process held the lock then.
    #[test]
    fn state_that_this_process_did_not_know_of_is_not_lowered_however_often_it_writes() {
        let directory = tempfile::tempdir().unwrap();
        let mut known = read(r#"{"epoch":7,"primary":true}"#);
        known.arbiter.term = 41;
        Store::new(directory.path().to_owned()).save("PROD", known).unwrap();
        let store = Store::new(directory.path().to_owned());
        for epoch in 1..4 {
            let mut state = read(&format!(r#"{{"epoch":{epoch},"primary":true}}"#));
            state.arbiter.term = epoch;
            store.save("PROD", state).unwrap();
            let written = store.read("PROD").unwrap().unwrap();
            let written = store.understand("PROD", &written).unwrap();
            assert_eq!((u64::from(written.role.epoch), written.arbiter.term), (7, 41));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        fs::create_dir_all(directory.path().join("PROD.json/kept")).unwrap();
        let error = store.save("PROD", read(r#"{"epoch":1,"primary":true}"#)).unwrap_err();
        assert!(matches!(error, StateError::Io { action: "read", .. }), "{error:?}");
        assert!(directory.path().join("PROD.json/kept").exists());
    }

    #[test]
    fn one_store_at_a_time_writes() {
        let directory = tempfile::tempdir().unwrap();
        let [first, second] = [(); 2].map(|()| Store::new(directory.path().to_owned()));
        let state = || read(r#"{"epoch":1,"primary":true}"#);
        first.save("PROD", state()).unwrap();
        assert!(matches!(second.save("PROD", state()), Err(StateError::Held { .. })));
        assert!(second.load("PROD").unwrap().is_some(), "reading needs no lock");
        drop(first);
        second.save("PROD", state()).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error_with_its_path() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let store = Store::new(file.path().join("below/a/file"));
        let error = store.save("PROD", read(r#"{"epoch":1,"primary":true}"#)).unwrap_err();
        assert!(error.to_string().contains("below/a/file"), "{error}");
    }
}
