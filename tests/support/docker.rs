//! A real Docker of one's own, for tests that need containers: a `dockerd` in a network namespace of its own, so
//! that its bridges and rules touch nothing of the machine, and with it everything is gone at the end.
//!
//! No image is pulled. The base image is made by `debootstrap` from the machine's own Debian, once, and kept in
//! the build directory with what `dockerd` makes of it. Tests of other processes wait for each other.
//!
//! It needs root, or `sudo` without a password, as CI has it.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of this module")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::fs::FlockOperation;
use tempfile::TempDir;

use super::now;

/// What the base image has besides the smallest Debian: an init, and the clients that tests use in it.
const PACKAGES: &str = "ca-certificates,curl,dbus,haproxy,iproute2,procps,systemd,systemd-sysv";

/// How long a step may take that installs a system or waits for another test's.
const LONG: Duration = Duration::from_secs(600);

/// A running `dockerd`; ends, with all its containers, when it is dropped.
pub struct Docker {
    daemon: Child,
    directory: TempDir,
    /// Held as long as the images are in use.
    _lock: File,
}

/// A container that does not outlive its test.
pub struct Container<'a> {
    docker: &'a Docker,
    id: String,
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

fn wait<T>(what: &str, patience: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = now() + patience;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

// === impl Docker ===

impl Docker {
    /// The base image's name.
    pub const BASE: &str = "mirrorvip-test/debian";

    /// Starts `dockerd` and makes the base image, if it is not there yet.
    pub fn start() -> Self {
        let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("docker");
        fs::create_dir_all(&kept).expect("the build directory is writable");
        let lock = File::create(kept.join("lock")).expect("the build directory is writable");
        wait("the Docker of another test to end", LONG, || {
            rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()
        });
        // A socket's path is short: the build directory may lie too deep.
        let directory = TempDir::new().expect("a temporary directory");
        let daemon = spawn(directory.path(), &kept.join("data"));
        let docker = Self { daemon, directory, _lock: lock };
        wait("dockerd", Duration::from_secs(60), || docker.try_run(&["info"]).status.success().then_some(()));
        for leftover in docker.run(&["ps", "--all", "--quiet"]).lines() {
            docker.run(&["rm", "--force", leftover]);
        }
        docker.make_base(&kept);
        docker
    }

    /// `docker`, set up for this one.
    pub fn command(&self) -> Command {
        // Debian's client fits Debian's daemon, whatever else is in PATH.
        let debian = "/usr/bin/docker";
        let mut command = as_root(if Path::new(debian).exists() { debian } else { "docker" });
        command.arg("--host").arg(format!("unix://{}/socket", self.directory.path().display()));
        command
    }

    /// Runs `docker` with these arguments, and gives what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        output_of(self.command().args(arguments))
    }

    /// The same, whatever comes of it.
    pub fn try_run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("docker is installed (tests/run does it)")
    }

    /// `docker run --detach` with these arguments, of which the image and its command are the last.
    pub fn container(&self, arguments: &[&str]) -> Container<'_> {
        let id = self.run(&[&["run", "--detach"], arguments].concat());
        Container { docker: self, id }
    }

    /// A container of the base image, or one made from it, in which systemd has booted.
    pub fn boot(&self, image: &str, arguments: &[&str]) -> Container<'_> {
        // Without SYS_PTRACE an init is not what it is on a machine: ProtectProc=invisible would hide its own children
        // from it.
        let init =
            ["--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--security-opt", "seccomp=unconfined"];
        let mounts = ["--tmpfs", "/run", "--tmpfs", "/tmp", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"];
        let container = self.container(&[&init[..], &mounts, arguments, &[image, "/sbin/init"]].concat());
        wait("systemd to boot", Duration::from_secs(120), || {
            let output = container.try_exec(&["systemctl", "is-system-running"]);
            matches!(output.stdout.trim_ascii(), b"running" | b"degraded").then_some(())
        });
        // On a machine systemd does it itself, in a container it leaves it to others; without it, credentials are
        // mounted where the service does not see them.
        container.exec(&["mount", "--make-rshared", "/"]);
        container
    }

    fn make_base(&self, kept: &Path) {
        if self.try_run(&["image", "inspect", Self::BASE]).status.success() {
            return;
        }
        let system = kept.join("system");
        output_of(as_root("rm").args(["--recursive", "--force"]).arg(&system));
        let release = fs::read_to_string("/etc/os-release").expect("this is Debian");
        let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        output_of(
            as_root("debootstrap")
                .args(["--variant=minbase", &format!("--include={PACKAGES}")])
                .arg(codename.expect("a release with a name").trim_matches('"'))
                .arg(&system)
                // As the machine's own sources say.
                .args(mirror()),
        );
        let mut tar = as_root("tar");
        let mut tar =
            tar.arg("-C").arg(&system).args(["-c", "."]).stdout(Stdio::piped()).spawn().expect("tar");
        let archive = tar.stdout.take().expect("it is piped");
        output_of(self.command().args(["import", "-", Self::BASE]).stdin(archive));
        assert!(tar.wait().is_ok_and(|status| status.success()), "the system was packed");
        output_of(as_root("rm").args(["--recursive", "--force"]).arg(&system));
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // It ends its containers, and containerd, by itself.
        let pid = fs::read_to_string(self.directory.path().join("pid")).unwrap_or_default();
        let told = as_root("kill").args(["-TERM", pid.trim()]).status();
        if !told.is_ok_and(|status| status.success()) {
            let _ = self.daemon.kill();
        }
        let _ = self.daemon.wait();
    }
}

/// `dockerd` in a network namespace of its own, which ends with the thread that started it.
fn spawn(directory: &Path, data: &Path) -> Child {
    let script = format!(
        "ip link set lo up && exec setpriv --pdeathsig TERM dockerd --host unix://{directory}/socket \
         --data-root {data} --exec-root {directory}/exec --pidfile {directory}/pid",
        directory = directory.display(),
        data = data.display()
    );
    let log = File::create(directory.join("log")).expect("the test's directory is writable");
    as_root("unshare")
        .args(["--net", "sh", "-c", &script])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("unshare is installed (tests/run does it)")
}

/// The Debian mirror of this machine, if its sources name one.
fn mirror() -> Option<String> {
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
    /// Its id, as `docker` wants it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Runs a command in it, and gives what it printed.
    pub fn exec(&self, command: &[&str]) -> String {
        succeeded(&format!("{command:?} in the container"), &self.try_exec(command))
    }

    /// The same, whatever comes of it.
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

    /// Its address in a network.
    pub fn address(&self, network: &str) -> String {
        let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
        self.docker.run(&["inspect", "--format", &format, &self.id])
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.docker.try_run(&["rm", "--force", "--volumes", &self.id]);
    }
}
