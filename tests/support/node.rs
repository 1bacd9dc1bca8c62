//! A node with one simulated instance, and a configuration for it that tests change to their needs.

use std::path::{Path, PathBuf};

use mirrorvip::simulation::FakeIris;
use tempfile::TempDir;

/// A directory with an `iris` command; everything that a daemon writes goes there, too.
pub struct Node {
    directory: TempDir,
    pub iris: FakeIris,
}

/// Replaces `from`, which must be there once, so that no test goes on with a configuration it did not mean.
pub fn change(config: &str, from: &str, to: &str) -> String {
    assert_eq!(config.matches(from).count(), 1, "`{from}` is once in: {config}");
    config.replace(from, to)
}

/// Makes every interval so long that a test whose answer does not come fails before the timer asks.
pub fn without_timer(config: &str) -> String {
    config.replace(
        "interval = \"100ms\"\ntimeout = \"5s\"\nstale_after = \"6s\"",
        "interval = \"60s\"\ntimeout = \"5s\"\nstale_after = \"70s\"\nqos_timeout = \"90s\"",
    )
}

// === impl Node ===

impl Node {
    /// A node whose instance is the primary.
    pub fn primary() -> Self {
        let node = Self::new();
        node.iris.set_role("Failover", "Primary").expect("the role can be set");
        node
    }

    /// A node whose instance is the backup.
    pub fn backup() -> Self {
        let node = Self::new();
        node.iris.set_role("Failover", "Backup").expect("the role can be set");
        node
    }

    fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let iris = FakeIris::new(&directory.path().join("iris"), "IRIS").expect("the simulated command runs");
        Self { directory, iris }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where its configuration is.
    pub fn config_file(&self) -> PathBuf {
        self.path().join("mirrorvip.toml")
    }

    /// Replaces its configuration.
    pub fn write(&self, toml: &str) {
        std::fs::write(self.config_file(), toml).expect("the test's directory is writable");
    }

    /// What every daemon of this node needs, up to its mirrors.
    pub fn listeners(&self) -> String {
        format!(
            "state_directory = \"{}/state\"\n\n\
             [health]\nlisten = [\"127.0.0.1:0\"]\nmax_connections = 16\n\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n",
            self.path().display()
        )
    }

    /// A mirror of this node that is asked through the simulated command.
    pub fn mirror(&self, name: &str, paths: &str) -> String {
        format!(
            "\n[[mirror]]\nname = \"{name}\"\npaths = {paths}\n\
             interval = \"100ms\"\ntimeout = \"5s\"\nstale_after = \"6s\"\n\n\
             [mirror.probe.qlist]\ninstance = \"IRIS\"\ncommand = \"{}\"\n",
            self.iris.command().display()
        )
    }

    /// A whole configuration with the one mirror `PROD`.
    pub fn config(&self) -> String {
        self.listeners() + &self.mirror("PROD", "[\"/csp/bin\"]")
    }
}
