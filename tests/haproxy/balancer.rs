//! A real HAProxy: a child process with a configuration of its own, and what its statistics say.
//!
//! Its statistics are the witness of these tests: what a load balancer saw and did, whatever the daemons
//! think that they told it.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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

/// One server's line of `show stat`, by the names of HAProxy's management guide, section 9.1.
pub(crate) struct Server(HashMap<String, String>);

// === impl Checks ===

impl Checks {
    /// As quick as is useful. Two checks in a row have to fail, so a busy machine seems down to nobody.
    pub(crate) const QUICK: Self =
        Self { inter: Duration::from_millis(200), timeout: Duration::from_secs(5) };

    /// For tests in which not one check may fail: nobody but a daemon at fault is late.
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
        // Debian has it in /usr/sbin, which is not in everybody's PATH.
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

    /// Waits until HAProxy says of the server what `is_so` looks for.
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

// === impl Server ===

impl Server {
    /// Reads the answer to `show stat`: a line of names, `# pxname,svname,...`, and a line for each server and
    /// for the sums before and behind them.
    fn read_all(text: &str) -> Vec<Self> {
        let mut lines = text.trim_start_matches("# ").lines().map(fields);
        let names = lines.next().unwrap_or_default();
        let servers = lines.map(|line| Self(names.iter().cloned().zip(line).collect()));
        servers.filter(|server| !matches!(server.text("svname"), "FRONTEND" | "BACKEND")).collect()
    }

    /// A field, empty when HAProxy has nothing to say.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.0.get(field).unwrap_or_else(|| panic!("HAProxy has no field {field}"))
    }

    /// A field that counts.
    pub(crate) fn count(&self, field: &str) -> u64 {
        self.text(field).parse().unwrap_or_else(|_| panic!("{field} of {self:?} counts nothing"))
    }

    /// `UP`, `DOWN`, `DRAIN`, `MAINT`, some with how far a change has come or who asked for it.
    pub(crate) fn status(&self) -> &str {
        self.text("status")
    }

    /// Whether new clients are sent to it. `UP 1/2` is up, and one check more has to fail; a server that only its
    /// agent checks is called `no check` while it is up.
    pub(crate) fn is_up(&self) -> bool {
        self.status().starts_with("UP") || self.status() == "no check"
    }

    /// What the last health check ended with: `L7OK` with SUCCESS, `L7RSP` with an answer without it,
    /// `L7TOUT` without an answer, `L4CON` without a connection.
    pub(crate) fn check_status(&self) -> &str {
        // `* L7OK` while the next one is under way.
        self.text("check_status").trim_start_matches("* ")
    }

    /// What the last agent check ended with: `L7OK` after `up`, `L7STS` after `down`, `CHECKED` after words that
    /// say neither, `L4CON` without a connection.
    pub(crate) fn agent_status(&self) -> &str {
        self.text("agent_status").trim_start_matches("* ")
    }

    /// Why its agent says that it is down; empty as well while the next agent check is under way.
    pub(crate) fn agent_reason(&self) -> &str {
        self.text("last_agt").strip_prefix("via agent : down (").map_or("", |rest| rest.trim_end_matches(')'))
    }

    /// Checks that failed while it was up.
    pub(crate) fn failed_checks(&self) -> u64 {
        self.count("chkfail")
    }

    /// How often it went from up to down.
    pub(crate) fn falls(&self) -> u64 {
        self.count("chkdown")
    }
}

impl fmt::Debug for Server {
    /// What these tests look at.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            "svname",
            "status",
            "check_status",
            "last_chk",
            "chkfail",
            "chkdown",
            "agent_status",
            "last_agt",
        ];
        f.debug_map().entries(names.map(|name| (name, self.text(name)))).finish()
    }
}

/// One line of CSV: fields with a comma or a quote stand in quotes, quotes in them are doubled.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            // The second of a doubled quote opens what the first closed; the text between them is empty.
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().expect("there is always one").push(other),
        }
    }
    fields
}
