//! A Docker daemon that belongs to one test, and base images made from this machine's own programs.
//!
//! The daemon has its own socket, directories and networks, and is ended with everything in it when the test ends.
//! It touches neither the packet filter nor the routing of the machine, so several run beside each other; containers
//! reach each other over bridges alone, which is all that the tests need. No image is pulled from anywhere: bases are
//! made here, under the names that the Dockerfiles and compose files expect.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use super::{Guarded, eventually};

/// Of RFC 2544, for tests of networks: nobody's own. Each daemon takes a 64th of its first half for what it numbers
/// by itself, and of its second half for networks whose addresses the test chooses.
const NETWORK: &str = "198.18";
const CHOSEN: &str = "198.19";

/// The daemon.
pub struct Docker {
    daemon: Guarded,
    directory: TempDir,
}

/// The files of an image that is being made.
pub struct Root {
    directory: TempDir,
}

/// Whether this process may run a Docker daemon. Only root may; CI is, and `tests/run` says so where it is skipped.
pub fn possible() -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "CI runs these tests as root and skips none");
    root
}

/// What a command printed, which must succeed.
pub fn done(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
    let Output { status, stdout, stderr } = output;
    assert!(
        status.success(),
        "{command:?}: {status}\n{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8_lossy(&stdout).trim().to_owned()
}

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

// === impl Docker ===

impl Docker {
    /// Starts a daemon without images.
    pub fn start() -> Self {
        // A short path: those of sockets below it may have 107 characters.
        let directory = tempfile::Builder::new().prefix("mv").tempdir_in("/tmp").expect("a directory");
        let log = File::create(directory.path().join("log")).expect("the test's directory is writable");
        let at = |name: &str| directory.path().join(name);
        // Told to stop in order by the kernel if this process is killed.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM", "dockerd"])
            .arg(format!("--host=unix://{}", at("socket").display()))
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .args(["--ip-masq=false", "--ip-forward=false"])
            .arg(format!("--default-address-pool=base={NETWORK}.{}.0/22,size=27", part() * 4))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let docker = Self { daemon: Guarded::start(&mut command), directory };
        eventually("the Docker daemon; is docker.io installed? `tests/run` does that", || {
            docker.docker(&["version"]).output().is_ok_and(|output| output.status.success()).then_some(())
        });
        docker
    }

    /// The client with these arguments.
    pub fn docker(&self, arguments: &[&str]) -> Command {
        self.client("docker", arguments)
    }

    /// The compose tool with these arguments.
    pub fn compose(&self, arguments: &[&str]) -> Command {
        self.client("docker-compose", arguments)
    }

    /// Runs the client, which must succeed.
    pub fn run(&self, arguments: &[&str]) -> String {
        done(&mut self.docker(arguments))
    }

    /// The address with this last number in the network whose addresses the test chooses.
    pub fn chosen_address(number: u8) -> String {
        format!("{CHOSEN}.{}.{number}", part())
    }

    /// Makes the network whose addresses the test chooses.
    pub fn make_network(&self, name: &str) {
        let subnet = format!("{CHOSEN}.{}.0/24", part());
        self.run(&["network", "create", "--subnet", &subnet, name]);
    }

    /// Makes `root` an image of this name. `settings` are lines of a Dockerfile, such as `USER 51773`.
    pub fn import(&self, root: &Root, name: &str, settings: &[&str]) {
        let archive = self.directory.path().join("image.tar");
        done(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(root.directory.path()).arg("."));
        let mut command = self.docker(&["import"]);
        for setting in settings {
            command.args(["--change", setting]);
        }
        done(command.arg(&archive).arg(name));
        fs::remove_file(archive).expect("it was just made");
    }

    fn client(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .env("DOCKER_HOST", format!("unix://{}", self.directory.path().join("socket").display()))
            // Nobody's log-ins and plug-ins.
            .env("DOCKER_CONFIG", self.directory.path())
            .args(arguments);
        command
    }
}

impl Drop for Docker {
    /// Containers end with their daemon only if they are told to.
    fn drop(&mut self) {
        if let Ok(output) = self.docker(&["ps", "-aq"]).output() {
            let ids = String::from_utf8_lossy(&output.stdout).into_owned();
            let ids: Vec<_> = ids.split_whitespace().collect();
            if !ids.is_empty() {
                let _ = self.docker(&["rm", "--force", "--volumes"]).args(ids).output();
            }
        }
        if let Ok(output) = self.docker(&["network", "prune", "--force"]).output() {
            drop(output);
        }
        // In order, so that the daemon ends the containerd that it started, and unmounts what it mounted.
        let _ = rustix::process::kill_process(Pid::from_child(&self.daemon.0), Signal::TERM);
        for _ in 0..2_000 {
            if self.daemon.0.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// This process's part of the networks: processes that run at the same time have different ones.
fn part() -> u32 {
    std::process::id() % 64
}

// === impl Root ===

impl Root {
    /// An empty file system.
    pub fn new() -> Self {
        let root = Self { directory: TempDir::new().expect("a temporary directory") };
        for directory in
            ["bin", "etc", "usr/bin", "usr/local/bin", "lib", "dev", "proc", "sys", "var/lib", "run"]
        {
            root.make_directory(directory, 0o755);
        }
        root.make_directory("tmp", 0o1777);
        fs::set_permissions(root.directory.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        root
    }

    /// One with the command-line tools of busybox, which is a single static binary.
    pub fn with_shell() -> Self {
        let root = Self::new();
        let busybox = which("busybox");
        root.copy(&busybox, "bin/busybox");
        for name in done(Command::new(&busybox).arg("--list")).lines().filter(|name| *name != "busybox") {
            symlink("/bin/busybox", root.at(&format!("bin/{name}"))).expect("a fresh link");
        }
        root
    }

    pub fn make_directory(&self, path: &str, mode: u32) {
        fs::create_dir_all(self.at(path)).expect("the test's directory is writable");
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    /// Writes a file; whoever may read it may execute it.
    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).expect("the test's directory is writable");
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755)).expect("it is ours");
    }

    /// Copies a file of this machine.
    pub fn copy(&self, from: &Path, to: &str) {
        let target = self.at(to);
        fs::create_dir_all(target.parent().expect("it is below the root")).expect("it is writable");
        fs::copy(from, target).unwrap_or_else(|error| panic!("failed to copy {}: {error}", from.display()));
    }

    /// Copies the shared libraries that a program of this machine needs, and the loader that finds them.
    pub fn copy_libraries_of(&self, program: &Path) {
        let listed = done(Command::new("ldd").arg(program));
        for path in listed.split_whitespace().filter(|word| word.starts_with('/')) {
            self.copy(Path::new(path), path.trim_start_matches('/'));
        }
    }

    pub fn owned_by(&self, path: &str, id: u32) {
        std::os::unix::fs::chown(self.at(path), Some(id), Some(id)).expect("only root runs these tests");
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }
}

/// Where a program of this machine is.
pub fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = directories.map(|directory| directory.join(program)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{program} is not installed; `tests/run` does that"))
}
