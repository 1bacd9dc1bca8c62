//! What outlives the process: for each mirror the last epoch, whether the role was held and when that was seen, and what
//! the [arbiter](crate::steer::arbiter) remembers, in one small file. Written atomically: a new file, flushed, renamed
//! over the old. Beside them one random identifier, by which daemons tell themselves from copies of themselves.
//!
//! The files are an aid and not a condition. Without them (absent, read-only, full disk, corrupt) the daemon warns and
//! runs. What that costs: a restart forgets the epoch and the own term, so that the member takes traffic only once every
//! other member has said that it certainly is not the primary, or at the next promotion that it sees; and it forgets that
//! another member superseded it, so that its page may say SUCCESS until that member answers.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::peer::key::{is_identifier, random_identifier};
use crate::role::Remembered;
use crate::term::{Mark, Memory};

/// What the process before left about a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersistedState {
    /// Of the role machine.
    pub role: Remembered,
    /// Of the arbiter.
    pub arbiter: Memory,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
struct File {
    #[serde(flatten)]
    role: Remembered,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clocks: Option<Clocks>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arbiter: Option<Memory>,
    /// What versions before terms wrote in place of `arbiter`.
    #[serde(default, skip_serializing)]
    claims: Option<Claims>,
}

/// Moments, which mean something only on the boot in which they were read.
#[derive(Debug, Serialize, Deserialize)]
struct Clocks {
    /// The kernel's random identifier of the boot.
    boot: String,
    /// When the instance was last asked with a definite answer.
    asked_at: Option<Moment>,
    /// When the promotion was seen.
    promoted_at: Option<Moment>,
}

/// Milliseconds since the machine's start and since the Unix epoch.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Moment {
    boot: u64,
    wall: u64,
}

/// The highest numbers that this member wrote to ownership records, and saw there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Claims {
    own: u64,
    seen: u64,
}

/// A state file is some hundred bytes, and an operator's reason; more than this is not ours.
const LARGEST: u64 = 16 * 1024;

/// The file with the identifier of the daemon whose state this is.
const DAEMON_ID: &str = "daemon-id";

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
    Corrupt {
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
    pub fn load(&self, mirror: &str) -> Result<Option<PersistedState>, StateError> {
        let path = self.path(mirror);
        let mut text = String::new();
        match fs::File::open(&path) {
            Ok(file) => file.take(LARGEST).read_to_string(&mut text).map_err(io_error("read", &path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        let file: File = serde_json::from_str(&text)
            .map_err(|error| StateError::Corrupt { path, detail: error.to_string() })?;
        Ok(Some(file.into()))
    }

    /// Replaces what is remembered about `mirror`. Blocks on the disk.
    pub fn save(&self, mirror: &str, state: PersistedState) -> Result<(), StateError> {
        self.replace(&format!("{mirror}.json"), &serde_json::json!(File::from(state)).to_string())
    }

    /// The same as [`daemon_id`](Self::daemon_id) if there is one; makes none.
    pub fn known_daemon_id(&self) -> Option<String> {
        let mut text = String::new();
        fs::File::open(self.directory.join(DAEMON_ID)).ok()?.take(LARGEST).read_to_string(&mut text).ok()?;
        Some(text.trim().to_owned()).filter(|id| is_identifier(id))
    }

    /// The identifier of the daemon whose state this is: random, made at the first start. The error comes with one
    /// that ends with the process.
    pub fn daemon_id(&self) -> Result<String, (String, StateError)> {
        let path = self.directory.join(DAEMON_ID);
        let mut text = String::new();
        match fs::File::open(&path).and_then(|file| file.take(LARGEST).read_to_string(&mut text)) {
            Ok(_) if is_identifier(text.trim()) => return Ok(text.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err((random_identifier(), io_error("read", &path)(error))),
        }
        let fresh = random_identifier();
        match self.replace(DAEMON_ID, &fresh) {
            Ok(()) => Ok(fresh),
            Err(error) => Err((fresh, error)),
        }
    }

    /// Replaces the file called `name`.
    fn replace(&self, name: &str, text: &str) -> Result<(), StateError> {
        fs::create_dir_all(&self.directory).map_err(io_error("create", &self.directory))?;
        let path = self.directory.join(name);
        let fresh = self.directory.join(format!(".{name}.new"));
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

// === impl File ===

impl From<File> for PersistedState {
    fn from(File { role, clocks, arbiter, claims }: File) -> Self {
        let clocks = clocks.filter(|clocks| boot_id().as_deref() == Some(&clocks.boot));
        let of_this_boot = |moment: Option<Moment>| moment.map(Timestamp::from);
        let role = Remembered {
            asked_at: clocks.as_ref().and_then(|clocks| of_this_boot(clocks.asked_at)),
            promoted_at: clocks.as_ref().and_then(|clocks| of_this_boot(clocks.promoted_at)),
            ..role
        };
        Self { role, arbiter: arbiter.unwrap_or_else(|| claims.unwrap_or_default().into()) }
    }
}

impl From<PersistedState> for File {
    fn from(PersistedState { role, arbiter }: PersistedState) -> Self {
        let moment = |at: Option<Timestamp>| at.map(Moment::from);
        let (asked_at, promoted_at) = (moment(role.asked_at), moment(role.promoted_at));
        let clocks = boot_id().map(|boot| Clocks { boot, asked_at, promoted_at });
        Self { role, clocks, arbiter: Some(arbiter), claims: None }
    }
}

impl From<Claims> for Memory {
    /// Claims rose as terms do, and whose the highest was is not known. That a promotion is the latest was not
    /// remembered in a way that can be relied on.
    fn from(Claims { own, seen }: Claims) -> Self {
        let highest = own.max(seen);
        Self {
            term: own,
            before: highest,
            seen: Mark { term: highest, member: String::new() },
            ..Self::default()
        }
    }
}

impl From<Moment> for Timestamp {
    fn from(Moment { boot, wall }: Moment) -> Self {
        Self::new(Duration::from_millis(boot), Duration::from_millis(wall))
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        let milliseconds = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self { boot: milliseconds(at.since_boot()), wall: milliseconds(at.since_unix_epoch()) }
    }
}

/// The kernel's random identifier of this boot.
fn boot_id() -> Option<String> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let read = || fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned());
    BOOT.get_or_init(read).clone()
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            seen: Mark { term: 8, member: "b".to_owned() },
            superseded_by: Some(crate::term::Successor {
                mark: Mark { term: 8, member: "b".to_owned() },
                address: "10.0.2.12".to_owned(),
            }),
            taken: None,
        };
        store.save("PROD", state.clone()).unwrap();
        assert_eq!(store.load("PROD").unwrap(), Some(state));
        assert_eq!(store.load("TEST").unwrap(), None);
        let files: Vec<_> = fs::read_dir(directory.path().join("made/on/demand")).unwrap().collect();
        assert_eq!(files.len(), 1, "no temporary file is left");
    }

    #[test]
    fn moments_of_another_boot_mean_nothing() {
        let of_boot = |boot: &str| {
            let clocks = serde_json::json!({"boot": boot, "asked_at": {"boot": 9_000, "wall": 10_000}, "promoted_at": null});
            read(&serde_json::json!({"epoch": 7, "primary": true, "clocks": clocks}).to_string())
                .role
                .asked_at
        };
        assert_eq!(of_boot("another"), None);
        assert!(of_boot(&boot_id().unwrap()).is_some());
    }

    #[test]
    fn files_of_earlier_versions_are_read() {
        let before_steering = read(r#"{"epoch":7,"primary":true}"#);
        assert_eq!((u64::from(before_steering.role.epoch), before_steering.arbiter.seen.term), (7, 0));
        let before_terms = read(
            r#"{"epoch":7,"primary":true,"promotion":1795228800123,"claims":{"own":3,"seen":4,"superseded_in":7}}"#,
        );
        let Memory { term, proven, before, seen, superseded_by, taken } = before_terms.arbiter;
        assert_eq!((term, proven, before, seen.term, seen.member.as_str()), (3, false, 4, 4, ""));
        assert_eq!((superseded_by, taken), (None, None));
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
    fn a_corrupt_file_is_told_from_absence() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        fs::write(directory.path().join("PROD.json"), "{").unwrap();
        assert!(matches!(store.load("PROD"), Err(StateError::Corrupt { .. })));
        fs::write(directory.path().join("PROD.json"), "x".repeat(1_000_000)).unwrap();
        assert!(matches!(store.load("PROD"), Err(StateError::Corrupt { .. })));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error_with_its_path() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let store = Store::new(file.path().join("below/a/file"));
        let error = store.save("PROD", read(r#"{"epoch":1,"primary":true}"#)).unwrap_err();
        assert!(error.to_string().contains("below/a/file"), "{error}");
    }
}
