//! A real HAProxy: a child process with a configuration of its own, and its statistics.
//!
//! Its statistics are the evidence of these tests: what a load balancer saw and did, whatever the daemons
//! report that they answered.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::haproxy::Server;
use crate::support::{PATIENCE, eventually};

/// A running HAProxy that forwards one TCP port; killed when it is dropped.
pub(crate) struct Balancer {
    child: Child,
    directory: PathBuf,
    /// Where its clients connect.
    pub(crate) front: SocketAddr,
}

/// How HAProxy checks its servers.
#[derive(Clone, Copy)]
pub(crate) struct Checks {
    /// Time between two checks of one server; also the most that connecting may take.
    pub(crate) inter: Duration,
    /// How long the answer may take.
    pub(crate) timeout: Duration,
}

// === impl Checks ===

impl Checks {
    /// As quick as is useful. Two checks in a row have to fail, so that a busy machine does not count as down.
    pub(crate) const QUICK: Self =
        Self { inter: Duration::from_millis(200), timeout: Duration::from_secs(5) };

    /// For tests in which not one check may fail: only a daemon at fault is late.
    pub(crate) const PATIENT: Self = Self { inter: Duration::from_secs(1), timeout: Duration::from_secs(10) };
}

// === impl Balancer ===

impl Balancer {
    /// Starts HAProxy on `front`; each of `servers` is what follows the word `server` in its configuration.
    pub(crate) fn start(directory: &Path, front: SocketAddr, checks: Checks, servers: &[String]) -> Self {
        let (inter, timeout) = (checks.inter.as_millis(), checks.timeout.as_millis());
        let servers = servers.join("\n    server ");
        let configuration = format!(
            "global
    stats socket {directory}/stats mode 600 level admin
    nbthread 1
    maxconn 500
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
    timeout check {timeout}ms
listen iris
    bind {front}
    option httpchk GET /csp/bin/mirrorstatus.cxw
    http-check expect string SUCCESS
    default-server inter {inter}ms agent-inter {inter}ms fall 2 rise 1 on-marked-down shutdown-sessions
    server {servers}
",
            directory = directory.display()
        );
        let file = directory.join("haproxy.cfg");
        fs::write(&file, configuration).expect("the test's directory is writable");
        let log = File::create(directory.join("haproxy.log")).expect("the test's directory is writable");
        // Debian has it in /usr/sbin, which is not in every user's PATH.
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let child = Command::new("haproxy")
            .env("PATH", path)
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("haproxy is installed (tests/run does it)");
        let mut balancer = Self { child, directory: directory.to_owned(), front };
        eventually("HAProxy's statistics", || {
            if let Some(status) = balancer.child.try_wait().expect("the child is ours") {
                panic!("HAProxy ended with {status}: {}", balancer.log());
            }
            balancer.command("show stat").ok()
        });
        balancer
    }

    /// Every server, in the order of the configuration.
    pub(crate) fn servers(&self) -> Vec<Server> {
        Server::read_all(&self.command("show stat").expect("HAProxy answers on its socket"))
    }

    /// The server of this name.
    pub(crate) fn server(&self, name: &str) -> Server {
        let found = self.servers().into_iter().find(|server| server.text("svname") == name);
        found.unwrap_or_else(|| panic!("HAProxy has no server {name}"))
    }

    /// Waits until the state of the server in HAProxy satisfies `is_so`.
    pub(crate) fn wait_for(&self, name: &str, what: &str, is_so: impl Fn(&Server) -> bool) -> Server {
        eventually(&format!("HAProxy sees server {name} {what}"), || {
            let server = self.server(name);
            is_so(&server).then_some(server)
        })
    }

    /// Waits until HAProxy sends clients to the server.
    pub(crate) fn wait_until_up(&self, name: &str) -> Server {
        self.wait_for(name, "up", Server::is_up)
    }

    /// Waits until HAProxy has found the server down, not only not up.
    pub(crate) fn wait_until_down(&self, name: &str) -> Server {
        self.wait_for(name, "down", |server| server.status().starts_with("DOWN"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("haproxy.log")).unwrap_or_default()
    }

    /// The whole answer to one command on its socket.
    fn command(&self, command: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(self.directory.join("stats"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        writeln!(stream, "{command}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("=== HAProxy\n{}", self.log());
            for server in self.command("show stat").iter().flat_map(|text| Server::read_all(text)) {
                eprintln!("{server:?}");
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
