//! The daemon's part of a snapshot of a member's machine: the files of the state directory.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

/// How often the directory is read while a daemon replaces its files.
const READ_ATTEMPTS: u32 = 10;

/// The files of a state directory as they were at one moment.
#[derive(Debug)]
pub(crate) struct StateFiles(Vec<(OsString, Vec<u8>)>);

impl StateFiles {
    /// Reads the files in `directory`, which a daemon may replace at the same time.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::read_once(directory) {
                // A file was renamed between the listing and its reading.
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < READ_ATTEMPTS => {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn read_once(directory: &Path) -> io::Result<Self> {
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
    fn files_that_are_replaced_meanwhile_are_read() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().to_owned();
        let writer = std::thread::spawn(move || {
            for round in 0..2_000 {
                let temporary = path.join(format!("temporary-{round}"));
                fs::write(&temporary, "whole").expect("writable");
                fs::rename(&temporary, path.join("state")).expect("writable");
            }
        });
        while !writer.is_finished() {
            let files = StateFiles::read(directory.path()).expect("readable");
            assert!(files.0.len() <= 2, "{files:?}");
        }
        writer.join().expect("it wrote");
    }

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
