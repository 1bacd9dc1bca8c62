//! The packages as `config/packages/build` makes them: what is in them, and what installing, upgrading and
//! removing them does to a machine.

#[path = "../support/mod.rs"]
mod support;

mod container;
mod contents;
#[path = "../systemd/haproxy.rs"]
mod haproxy;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::docker::output_of;
use support::documents::Document;
use tempfile::TempDir;

/// Both packages of one build.
pub(crate) struct Packages {
    directory: TempDir,
}

/// The project's directory.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The blocks of code of one language below a heading of a document.
pub(crate) fn blocks(document: &str, heading: &str, language: &str) -> Vec<String> {
    Document::read(document).blocks_below(heading, language)
}

// === impl Packages ===

impl Packages {
    /// Packages of this build's binary, without the network. `surroundings` is what must not matter: shell before
    /// the build.
    pub(crate) fn build(revision: u8, surroundings: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let script = format!("{surroundings}\nexec config/packages/build \"$@\"");
        let revision = format!("--revision={revision}");
        // Packed loosely: the package is not downloaded.
        let arguments = [&revision, "--compression=0", "--binary", env!("CARGO_BIN_EXE_mirrorvip")];
        output_of(
            Command::new("sh")
                .args(["-ec", &script, "build"])
                .args(arguments)
                .arg(directory.path())
                .current_dir(root())
                .env("CARGO_NET_OFFLINE", "true"),
        );
        Self { directory }
    }

    pub(crate) fn deb(&self) -> PathBuf {
        self.one("deb")
    }

    pub(crate) fn rpm(&self) -> PathBuf {
        self.one("rpm")
    }

    fn one(&self, extension: &str) -> PathBuf {
        let entries = fs::read_dir(self.directory.path()).expect("the packages are there");
        let paths = entries.map(|entry| entry.expect("readable").path());
        let found: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
        let [package] = found.as_slice() else { panic!("{} files *.{extension}", found.len()) };
        package.clone()
    }
}
