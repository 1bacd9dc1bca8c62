//! A Docker daemon for one test, for tests that need containers. It runs in a network namespace of its own, so that its bridges
//! and rules change nothing of the machine; it ends with its value, and all its containers with it.
//!
//! No image is pulled. [`Docker::start`] has none, and [`import`](Docker::import) makes one of files of this machine.
//! [`Docker::with_debian`] has an image of the machine's own Debian, in which systemd can [`boot`](Docker::boot):
//! `debootstrap` makes it once, and it is kept in the build directory. Tests that use it wait for each other.
//!
//! It needs root, or `sudo` without a password, as CI has it.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of this module")]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::fs::FlockOperation;
use serde_json::Value;
use tempfile::TempDir;

use super::eventually_within;

/// What the Debian image has besides the smallest Debian: an init, and the clients that tests use in it.
const PACKAGES: &str = "ca-certificates,curl,dbus,haproxy,iproute2,procps,systemd,systemd-sysv";

/// How long a step may take that installs a system or waits for another test's.
const LONG: Duration = Duration::from_secs(600);

/// How long a daemon may take to start, and systemd to boot.
const START: Duration = Duration::from_secs(120);

/// A running `dockerd`; ends, with all its containers, when it is dropped.
pub struct Docker {
    daemon: Child,
    directory: TempDir,
    /// Held as long as the kept image is in use.
    _lock: Option<File>,
}

/// A container that does not outlive its test.
pub struct Container<'a> {
    docker: &'a Docker,
    id: String,
}

/// The files of an image that is being made.
pub struct Root {
    directory: TempDir,
}

/// Whether this process is root. CI is, and `tests/run` reports what it skips for another user.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "CI runs these tests as root and skips none");
    root
}

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A command that runs as root.
pub fn as_root(program: &str) -> Command {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new(program)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "env", &format!("PATH={path}"), program]);
        sudo
    };
    command.env("PATH", path).stdin(Stdio::null());
    command
}

/// What a command printed; fails the test with its complaint if it fails.
pub fn output_of(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (tests/run installs it)"));
    succeeded(&format!("{command:?}"), &output)
}

fn succeeded(what: &str, output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what} ended with {}: {out}{err}", output.status);
    out.trim_end().to_owned()
}

/// Where a program of this machine is.
pub fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = directories.map(|directory| directory.join(program)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{program} is not installed; `tests/run` does that"))
}

// === impl Docker ===

impl Docker {
    /// The name of the Debian image.
    pub const DEBIAN: &str = "mirrorvip-test/debian";

    /// Starts a daemon without images.
    pub fn start() -> Self {
        Self::spawn(None, None)
    }

    /// Starts a daemon with the Debian image, which is made if it is not there yet.
    pub fn with_debian() -> Self {
        let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("docker");
        fs::create_dir_all(&kept).expect("the build directory is writable");
        let lock = File::create(kept.join("lock")).expect("the build directory is writable");
        eventually_within(LONG, "the Docker of another test to end", || {
            rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()
        });
        let docker = Self::spawn(Some(&kept.join("data")), Some(lock));
        docker.remove_containers();
        docker.make_debian(&kept.join("system"));
        docker
    }

    /// `dockerd` in a network namespace of its own; it ends with the thread that started it.
    fn spawn(data: Option<&Path>, lock: Option<File>) -> Self {
        // A socket's path is short: the build directory may lie too deep.
        let directory = TempDir::new().expect("a temporary directory");
        let at = directory.path().display();
        let script = format!(
            "ip link set lo up && exec setpriv --pdeathsig TERM dockerd --host unix://{at}/socket \
             --data-root {data} --exec-root {at}/exec --pidfile {at}/pid",
            data = data.unwrap_or(&directory.path().join("data")).display()
        );
        let log = File::create(directory.path().join("log")).expect("the test's directory is writable");
        let daemon = as_root("unshare")
            .args(["--net", "sh", "-c", &script])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("unshare is installed (tests/run does it)");
        let docker = Self { daemon, directory, _lock: lock };
        eventually_within(START, "dockerd; is docker.io installed? `tests/run` does that", || {
            docker.try_run(&["info"]).status.success()
        });
        docker
    }

    /// `docker`, set up for this daemon.
    pub fn command(&self) -> Command {
        // Debian's client fits Debian's daemon, even if another one is in PATH.
        let debian = "/usr/bin/docker";
        self.client(if Path::new(debian).exists() { debian } else { "docker" })
    }

    /// The compose tool, set up for this daemon.
    pub fn compose(&self) -> Command {
        self.client("docker-compose")
    }

    fn client(&self, program: &str) -> Command {
        let mut command = as_root(program);
        command.arg("--host").arg(format!("unix://{}/socket", self.directory.path().display()));
        // Without log-ins and plug-ins of the user.
        command.env("DOCKER_CONFIG", self.directory.path());
        command
    }

    /// Runs `docker` with these arguments, and gives what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        output_of(self.command().args(arguments))
    }

    /// The same, without an assertion.
    pub fn try_run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("docker is installed (tests/run does it)")
    }

    /// `docker run --detach` with these arguments, of which the image and its command are the last.
    pub fn container(&self, arguments: &[&str]) -> Container<'_> {
        let id = self.run(&[&["run", "--detach"], arguments].concat());
        Container { docker: self, id }
    }

    /// A container of the Debian image, without a network, in which systemd has booted.
    pub fn boot(&self) -> Container<'_> {
        // Without SYS_PTRACE an init is not what it is on a machine: ProtectProc=invisible would hide its own children
        // from it.
        let init =
            ["--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--security-opt", "seccomp=unconfined"];
        let mounts = ["--tmpfs", "/run", "--tmpfs", "/tmp", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"];
        let system = ["--network", "none", Self::DEBIAN, "/sbin/init"];
        let container = self.container(&[&init[..], &mounts, &system].concat());
        eventually_within(START, "systemd to boot", || {
            let output = container.try_exec(&["systemctl", "is-system-running"]);
            matches!(output.stdout.trim_ascii(), b"running" | b"degraded")
        });
        // On a machine systemd does it itself, in a container it leaves it to others; without it, credentials are
        // mounted where the service does not see them.
        container.exec(&["mount", "--make-rshared", "/"]);
        container
    }

    /// Makes `root` an image of this name. `settings` are lines of a Dockerfile, such as `USER 51773`.
    pub fn import(&self, root: &Root, name: &str, settings: &[&str]) {
        self.import_directory(root.directory.path(), name, settings);
    }

    fn import_directory(&self, directory: &Path, name: &str, settings: &[&str]) {
        let mut tar = as_root("tar");
        tar.arg("-C").arg(directory).args(["-c", "."]).stdout(Stdio::piped());
        let mut tar = tar.spawn().expect("tar is installed");
        let archive = tar.stdout.take().expect("it is piped");
        let mut import = self.command();
        import.arg("import");
        for setting in settings {
            import.args(["--change", setting]);
        }
        output_of(import.args(["-", name]).stdin(archive));
        assert!(tar.wait().is_ok_and(|status| status.success()), "the image was packed");
    }

    fn make_debian(&self, system: &Path) {
        if self.try_run(&["image", "inspect", Self::DEBIAN]).status.success() {
            return;
        }
        output_of(as_root("rm").args(["--recursive", "--force"]).arg(system));
        let release = fs::read_to_string("/etc/os-release").expect("this is Debian");
        let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        output_of(
            as_root("debootstrap")
                .args(["--variant=minbase", &format!("--include={PACKAGES}")])
                .arg(codename.expect("a release with a name").trim_matches('"'))
                .arg(system)
                // As the machine's own sources say.
                .args(debian_mirror()),
        );
        self.import_directory(system, Self::DEBIAN, &[]);
        output_of(as_root("rm").args(["--recursive", "--force"]).arg(system));
    }

    fn remove_containers(&self) {
        let Ok(listed) = self.command().args(["ps", "--all", "--quiet"]).output() else { return };
        let listed = String::from_utf8_lossy(&listed.stdout);
        let ids: Vec<_> = listed.split_whitespace().collect();
        if !ids.is_empty() {
            let _ = self.command().args(["rm", "--force", "--volumes"]).args(ids).output();
        }
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.remove_containers();
        // It ends the containerd that it started, and unmounts what it mounted.
        let pid = fs::read_to_string(self.directory.path().join("pid")).unwrap_or_default();
        let signalled = as_root("kill").args(["-TERM", pid.trim()]).status();
        if !signalled.is_ok_and(|status| status.success()) {
            let _ = self.daemon.kill();
        }
        let _ = self.daemon.wait();
    }
}

/// The Debian mirror of this machine, if its sources name one.
fn debian_mirror() -> Option<String> {
    let sources = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
    let text: String = sources.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        match words.next()? {
            "URIs:" => words.next().map(str::to_owned),
            "deb" => words.find(|word| word.contains("://")).map(str::to_owned),
            _ => None,
        }
    })
}

// === impl Container ===

impl Container<'_> {
    /// Runs a command in it, and gives what it printed.
    pub fn exec(&self, command: &[&str]) -> String {
        succeeded(&format!("{command:?} in the container"), &self.try_exec(command))
    }

    /// The same, without an assertion.
    pub fn try_exec(&self, command: &[&str]) -> Output {
        self.docker.try_run(&[&["exec", &self.id], command].concat())
    }

    /// Runs lines of shell in it.
    pub fn shell(&self, script: &str) -> String {
        self.exec(&["sh", "-ec", script])
    }

    /// Writes a file in it.
    pub fn write(&self, path: &str, mode: &str, text: &str) {
        let script = format!("install -D -m {mode} /dev/stdin {path}");
        let mut command = self.docker.command();
        command.args(["exec", "--interactive", &self.id, "sh", "-ec", &script]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).spawn().expect("docker is installed");
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all(text.as_bytes()).expect("the container takes it");
        drop(input);
        assert!(child.wait().is_ok_and(|status| status.success()), "{path} was written");
    }

    /// Copies a file of this machine into it.
    pub fn copy(&self, from: &Path, to: &str) {
        let from = from.to_str().expect("a path of ours");
        self.docker.run(&["cp", from, &format!("{}:{to}", self.id)]);
    }
}

/// The service in a container in which systemd has booted.
impl Container<'_> {
    /// A property of a unit, as systemd knows it.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.exec(&["systemctl", "show", "--value", "--property", name, unit])
    }

    /// The process of the service.
    pub fn pid(&self) -> String {
        self.property("mirrorvip.service", "MainPID")
    }

    /// What the service reports to systemd.
    pub fn status_text(&self) -> String {
        self.property("mirrorvip.service", "StatusText")
    }

    /// The status document, if the service answers.
    pub fn status(&self) -> Option<Value> {
        let answer = self.try_exec(&["curl", "--silent", "http://127.0.0.1:9180/status"]);
        serde_json::from_slice(&answer.stdout).ok()
    }

    /// The last lines of the service's log.
    pub fn journal(&self) -> String {
        self.exec(&["journalctl", "--unit=mirrorvip", "--no-pager", "--output=short-precise", "--lines=60"])
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.docker.try_run(&["rm", "--force", "--volumes", &self.id]);
    }
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
        super::open_to_all(root.directory.path(), 0o755);
        root
    }

    /// One with the command-line tools of busybox, which is a single static binary.
    pub fn with_shell() -> Self {
        let root = Self::new();
        let busybox = which("busybox");
        root.copy(&busybox, "bin/busybox");
        for name in output_of(Command::new(&busybox).arg("--list")).lines().filter(|name| *name != "busybox")
        {
            symlink("/bin/busybox", root.at(&format!("bin/{name}"))).expect("a fresh link");
        }
        root
    }

    /// Makes a directory.
    pub fn make_directory(&self, path: &str, mode: u32) {
        fs::create_dir_all(self.at(path)).expect("the test's directory is writable");
        super::open_to_all(&self.at(path), mode);
    }

    /// Writes a file that everyone may execute.
    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).expect("the test's directory is writable");
        super::open_to_all(&self.at(path), 0o755);
    }

    /// Copies a file of this machine.
    pub fn copy(&self, from: &Path, to: &str) {
        let target = self.at(to);
        fs::create_dir_all(target.parent().expect("it is below the root")).expect("it is writable");
        fs::copy(from, target).unwrap_or_else(|error| panic!("failed to copy {}: {error}", from.display()));
    }

    /// Copies the shared libraries that a program of this machine needs, and the loader that finds them.
    pub fn copy_libraries_of(&self, program: &Path) {
        let listed = output_of(Command::new("ldd").arg(program));
        for path in listed.split_whitespace().filter(|word| word.starts_with('/')) {
            self.copy(Path::new(path), path.trim_start_matches('/'));
        }
    }

    /// Makes a user the owner.
    pub fn owned_by(&self, path: &str, id: u32) {
        std::os::unix::fs::chown(self.at(path), Some(id), Some(id)).expect("only root runs these tests");
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }
}
