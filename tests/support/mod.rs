//! A real `mirrorvip run` for tests: a child process on ports of its own, killed when the test ends.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of this module")]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub mod address;
pub mod certificate;
pub mod cloud;
pub mod docker;
pub mod documents;
pub mod fake_peer;
pub mod haproxy;
pub mod node;
pub mod python;
pub mod relay;
pub mod server;
pub mod stage;
pub mod transcript;

/// No step takes this long on any machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running daemon, its configuration and its log.
pub struct Daemon {
    child: Child,
    directory: PathBuf,
    pub health: Vec<SocketAddr>,
    pub admin: SocketAddr,
}

/// An HTTP answer, with its bytes as they came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// A child process that does not outlive its test.
pub struct Guarded(pub Child);

/// The command under test.
pub fn mirrorvip() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirrorvip"));
    command.env_remove("RUST_LOG").env_remove("MIRRORVIP_CONFIG_TOML").stdin(Stdio::null());
    command
}

/// The command under test as an ordinary user, also when root runs the tests. `directory` becomes
/// readable for that user.
pub fn as_ordinary_user(directory: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return mirrorvip();
    }
    open_to_all(directory, 0o755);
    // The build directory may lie where only root gets to. Copied by another process: a child that another
    // test forks meanwhile would hold a file that this one writes, and the kernel would not execute it.
    let copy = directory.join("mirrorvip");
    if !copy.exists() {
        let status = Command::new("cp").arg(env!("CARGO_BIN_EXE_mirrorvip")).arg(&copy).status();
        assert!(status.is_ok_and(|status| status.success()), "the test's directory is writable");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy);
    command.env_remove("RUST_LOG").env_remove("MIRRORVIP_CONFIG_TOML").stdin(Stdio::null());
    command
}

/// Sets the permissions of a file or directory.
pub fn open_to_all(path: &Path, mode: u32) {
    let permissions = fs::Permissions::from_mode(mode);
    fs::set_permissions(path, permissions).expect("the test's file is ours");
}

/// What a test waits for: that something holds, or a value.
pub trait Condition {
    type Value;
    fn value(self) -> Option<Self::Value>;
}

impl Condition for bool {
    type Value = ();
    fn value(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Condition for Option<T> {
    type Value = T;
    fn value(self) -> Self {
        self
    }
}

/// Waits until `condition` holds, and fails with `what` if it never does.
pub fn eventually<C: Condition>(what: &str, condition: impl FnMut() -> C) -> C::Value {
    eventually_within(PATIENCE, what, condition)
}

/// The same with another patience.
pub fn eventually_within<C: Condition>(
    bound: Duration,
    what: &str,
    mut condition: impl FnMut() -> C,
) -> C::Value {
    let deadline = now() + bound;
    loop {
        if let Some(value) = condition().value() {
            return value;
        }
        assert!(now() < deadline, "not within {bound:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's patience with a real process is real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// One GET on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    request(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
}

/// Sends `request` and reads until the peer closes.
pub fn request(address: SocketAddr, request: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

// === impl Guarded ===

impl Guarded {
    /// Starts `command`.
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the command starts"))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("the child is ours and not reaped");
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the end of a child", || self.0.try_wait().expect("the child is ours"))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// === impl Daemon ===

impl Daemon {
    /// Starts a daemon in `directory` with the configuration `toml`, and waits until its log says that it started.
    pub fn start(directory: &Path, toml: &str) -> Self {
        Self::start_with(directory, toml, mirrorvip())
    }

    /// The same with another `command`, which ends in the command under test.
    pub fn start_with(directory: &Path, toml: &str, command: Command) -> Self {
        fs::write(directory.join("mirrorvip.toml"), toml).expect("the test's directory is writable");
        Self::launch(directory, command).started()
    }

    /// Starts a daemon with the configuration that is in `directory` already.
    pub fn start_again(directory: &Path) -> Self {
        Self::launch(directory, mirrorvip()).started()
    }

    /// Runs `command` as a daemon and waits for nothing.
    pub fn launch(directory: &Path, mut command: Command) -> Self {
        let log = File::create(directory.join("log")).expect("the test's directory is writable");
        let child = command
            .args(["run", "--log-format", "json", "--exit-with-parent", "--config"])
            .arg(directory.join("mirrorvip.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the command under test starts");
        let unknown = "0.0.0.0:0".parse().expect("an address");
        Self { child, directory: directory.to_owned(), health: Vec::new(), admin: unknown }
    }

    fn started(mut self) -> Self {
        let started = self.wait_for_log("started");
        self.take_addresses(&started);
        self
    }

    /// The log's lines so far.
    pub fn log(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first line of the log with this message, when it comes.
    pub fn wait_for_log(&mut self, message: &str) -> serde_json::Value {
        eventually(&format!("a log line `{message}`"), || {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                panic!("the daemon ended with {status}: {}", self.log_text());
            }
            self.log().into_iter().find(|line| line["message"] == message)
        })
    }

    /// The whole log, for messages of failing tests.
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Replaces the configuration and reloads; returns the log line of the outcome.
    pub fn reload(&mut self, toml: &str) -> serde_json::Value {
        let outcomes = |log: Vec<serde_json::Value>| -> Vec<serde_json::Value> {
            let is_outcome = |line: &serde_json::Value| {
                let message = line["message"].as_str().unwrap_or_default();
                message == "reloaded" || message.starts_with("the new configuration")
            };
            log.into_iter().filter(is_outcome).collect()
        };
        let before = outcomes(self.log()).len();
        fs::write(self.directory.join("mirrorvip.toml"), toml).expect("the test's directory is writable");
        self.signal(Signal::HUP);
        let line = eventually("the outcome of the reload", || outcomes(self.log()).into_iter().nth(before));
        if line["message"] == "reloaded" {
            self.take_addresses(&line);
        }
        line
    }

    /// The status document.
    pub fn status(&self) -> serde_json::Value {
        let answer = get(self.admin, "/status").expect("the admin listener answers");
        serde_json::from_str(&answer.body).expect("the status is JSON")
    }

    /// The status code of the first mirror's page.
    pub fn page(&self) -> u16 {
        get(self.health[0], "/csp/bin/mirrorstatus.cxw").map_or(0, |answer| answer.status)
    }

    /// Waits until the page answers this status code.
    pub fn wait_for_page(&self, status: u16) {
        eventually(&format!("page {status}; log: {}", self.log_text()), || self.page() == status);
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the child is ours and not reaped");
    }

    /// Stops it and waits for its end.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_end()
    }

    /// Kills it, as a crash would.
    pub fn crash(mut self) {
        self.signal(Signal::KILL);
        self.wait_for_end();
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the child is ours").is_some()
    }

    /// Waits until it ends by itself.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        eventually("the daemon's end", || self.child.try_wait().expect("the child is ours"))
    }

    /// The status of the mirror called `name`.
    pub fn mirror(&self, name: &str) -> serde_json::Value {
        let status = self.status();
        let mirrors = status["mirrors"].as_array().expect("a list of mirrors");
        mirrors.iter().find(|mirror| mirror["name"] == name).expect("a mirror of that name").clone()
    }

    /// The status of its first steering target.
    pub fn target(&self) -> serde_json::Value {
        self.status()["mirrors"][0]["steering"][0].take()
    }

    fn take_addresses(&mut self, line: &serde_json::Value) {
        let health = line["health"].as_str().expect("the line names the health addresses");
        let addresses = health.trim_matches(['[', ']']).split(", ");
        // `[[::1]:80]`: an IPv6 address that stands alone loses its bracket above.
        let parse = |text: &str| text.parse().or_else(|_| format!("[{text}").parse()).expect("an address");
        self.health = addresses.map(parse).collect();
        self.admin = line["admin"].as_str().and_then(|admin| admin.parse().ok()).expect("an admin address");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(self.pid(), Signal::CONT);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
