//! The demo's directory: created empty, and removed at the end unless the user chose it.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::DemoError;

/// How many names are tried. A name is taken only if an earlier demo with this process id left its directory behind.
const MOST_NAMES: u32 = 100;
/// A process that was just killed may still create a file while the directory is removed.
const REMOVE_ATTEMPTS: u32 = 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(25);

/// The directory; dropping it removes it if the demo created it.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    ours: bool,
}

impl Directory {
    /// Uses `wanted`, which must be empty or missing, or creates one under the system's temporary directory.
    pub(crate) fn create(wanted: Option<&Path>) -> Result<Self, DemoError> {
        let directory = match wanted {
            Some(path) => Self::use_given(path)?,
            None => Self::create_temporary()?,
        };
        if directory.path.to_str().is_none_or(|path| path.contains(char::is_control)) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "its path is not plain text");
            return Err(unusable(&directory.path)(source));
        }
        Ok(directory)
    }

    /// Where it is: an absolute path of plain text.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it if the demo created it, and reports a failure.
    pub(crate) fn remove(mut self) -> Result<(), DemoError> {
        let ours = std::mem::take(&mut self.ours);
        if !ours {
            return Ok(());
        }
        remove(&self.path).map_err(unusable(&self.path))
    }

    fn use_given(path: &Path) -> Result<Self, DemoError> {
        let prepare = || {
            std::fs::create_dir_all(path)?;
            let path = path.canonicalize()?;
            match std::fs::read_dir(&path)?.next() {
                None => Ok(path),
                Some(_) => Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "it is not empty")),
            }
        };
        prepare().map(|path| Self { path, ours: false }).map_err(unusable(path))
    }

    fn create_temporary() -> Result<Self, DemoError> {
        let parent = std::env::temp_dir();
        let parent = parent.canonicalize().map_err(unusable(&parent))?;
        for number in 0..MOST_NAMES {
            let path = parent.join(format!("mirrorvip-demo-{}-{number}", std::process::id()));
            // Creating it fails if it exists; with mode 0700 no other user writes to it.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, ours: true }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(unusable(&path)(source)),
            }
        }
        Err(unusable(&parent)(io::ErrorKind::AlreadyExists.into()))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.ours {
            // `remove` reports errors; here no caller is left.
            let _ = remove(&self.path);
        }
    }
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> DemoError {
    DemoError::set_up(format!("use the directory {} for the demo", path.display()))
}

fn remove(path: &Path) -> io::Result<()> {
    let mut result = std::fs::remove_dir_all(path);
    for _ in 1..REMOVE_ATTEMPTS {
        match &result {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(REMOVE_PAUSE);
                result = std::fs::remove_dir_all(path);
            }
            Ok(()) | Err(_) => break,
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_goes_and_theirs_stays() {
        let ours = Directory::create(None).expect("a temporary directory can be made");
        let path = ours.path().to_owned();
        std::fs::write(path.join("file"), "").expect("writable");
        ours.remove().expect("removable");
        assert!(!path.exists());

        let parent = tempfile::tempdir().expect("a temporary directory");
        let wanted = parent.path().join("new");
        let theirs = Directory::create(Some(&wanted)).expect("it can be made");
        theirs.remove().expect("nothing to remove");
        assert!(wanted.exists());
        std::fs::write(wanted.join("file"), "").expect("writable");
        let used = Directory::create(Some(&wanted));
        assert!(matches!(used, Err(DemoError::SetUp { .. })), "{used:?}");
    }
}
