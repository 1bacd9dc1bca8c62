//! What a snapshot of a member's machine holds of its daemon: the files of the state directory.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

/// The files of a state directory as they were at one moment.
#[derive(Debug)]
pub(crate) struct StateFiles(Vec<(OsString, Vec<u8>)>);

impl StateFiles {
    /// Reads the files in `directory`.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let read = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.file_name(), fs::read(entry.path())?))
        };
        fs::read_dir(directory)?.map(read).collect::<io::Result<_>>().map(Self)
    }

    /// Makes `directory` hold these files and no others.
    pub(crate) fn restore(&self, directory: &Path) -> io::Result<()> {
        fs::remove_dir_all(directory)?;
        fs::create_dir_all(directory)?;
        self.0.iter().try_for_each(|(name, content)| fs::write(directory.join(name), content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_as_it_was() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("kept"), "then").expect("writable");
        let files = StateFiles::read(directory.path()).expect("readable");
        fs::write(path("kept"), "now").expect("writable");
        fs::write(path("later"), "").expect("writable");
        files.restore(directory.path()).expect("writable");
        assert_eq!(fs::read(path("kept")).expect("it was there then"), b"then");
        assert!(!path("later").exists());
    }
}
