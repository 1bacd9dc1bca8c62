//! Two members of a mirror behind an HAProxy: each has a simulated `iris` command, a real daemon and a stand-in
//! for the database that sends its name to every client.
//!
//! Each member and the load balancer have a loopback address of their own, as hosts do.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mirrorvip::simulation::{FakeIris, INSTANCE_NAME};
use rustix::process::Signal;
use tempfile::TempDir;

use super::balancer::{Balancer, Checks};
use super::clients::Clients;
use crate::support::Daemon;
use crate::support::address::{free_port, own_address};
use crate::support::server::Server;

/// After this long without an answer the members under test stop saying SUCCESS.
pub(crate) const STALE_AFTER: Duration = Duration::from_millis(1500);

const TIMING: &str = "interval = \"50ms\"\ntimeout = \"500ms\"\nstale_after = \"1500ms\"";

/// For tests in which not one check may fail: a probe that a busy machine delays is bridged.
const PATIENT_TIMING: &str = "interval = \"50ms\"\ntimeout = \"5s\"\nstale_after = \"7s\"";

/// Two members, `a` the primary and `b` the backup, and the load balancer before them.
pub(crate) struct Stage {
    // Fields are dropped in this order: the load balancer first, the directory last.
    pub(crate) balancer: Balancer,
    pub(crate) a: Member,
    pub(crate) b: Member,
    _directory: TempDir,
}

/// One member of the mirror.
pub(crate) struct Member {
    pub(crate) iris: FakeIris,
    pub(crate) database: Database,
    /// The address of the page, whether or not the daemon runs.
    pub(crate) page: SocketAddr,
    /// Where the agent check answers.
    pub(crate) agent: SocketAddr,
    directory: PathBuf,
    daemon: Option<Daemon>,
}

/// A TCP port that answers each line with the name of its member.
pub(crate) struct Database {
    pub(crate) address: SocketAddr,
    _server: Server,
}

// === impl Stage ===

impl Stage {
    /// Both members and the load balancer, at rest: HAProxy has found `a` up and `b` down.
    pub(crate) fn start() -> Self {
        Self::start_with("", Checks::QUICK)
    }

    /// The same with further lines in the daemons' `[health]` and other checks.
    pub(crate) fn start_with(health: &str, checks: Checks) -> Self {
        Self::set(health, checks, |name, member| {
            format!(
                "{name} {} check addr {} port {}",
                member.database.address,
                member.page.ip(),
                member.page.port()
            )
        })
    }

    /// The same with the line of each server as `server` writes it.
    pub(crate) fn set(health: &str, checks: Checks, server: impl Fn(&str, &Member) -> String) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let a = Member::start(directory.path(), "a", "Primary", &format!("{health}\n"), TIMING);
        let b = Member::start(directory.path(), "b", "Backup", &format!("{health}\n"), TIMING);
        let front = free_port(own_address());
        let servers = [server("a", &a), server("b", &b)];
        let balancer = Balancer::start(directory.path(), front, checks, &servers);
        let stage = Self { balancer, a, b, _directory: directory };
        stage.balancer.wait_until_down("b");
        // Servers are up before their first check.
        stage.balancer.wait_for("a", "checked and up", |server| {
            server.is_up() && [server.check_status(), server.agent_status()].contains(&"L7OK")
        });
        stage
    }

    /// Clients that keep coming, from this moment on.
    pub(crate) fn clients(&self) -> Clients {
        Clients::start(self.balancer.front)
    }
}

// === impl Member ===

impl Member {
    /// A member in `directory/name` whose instance says `status`, with a running daemon that has asked it.
    pub(crate) fn start(directory: &Path, name: &str, status: &str, health: &str, timing: &str) -> Self {
        let directory = directory.join(name);
        fs::create_dir_all(directory.join("state")).expect("the test's directory is writable");
        let iris =
            FakeIris::new(&directory.join("instance"), INSTANCE_NAME).expect("a simulated iris command");
        iris.set_role("Failover", status).expect("the test's directory is writable");
        let address = own_address();
        let (page, agent) = (free_port(address), free_port(address));
        let database = Database::start(address, name);
        let mut member = Self { iris, database, page, agent, directory, daemon: None };
        member.daemon = Some(Daemon::start(&member.directory, &member.configuration(health, timing)));
        member
    }

    /// A primary by itself that a busy machine does not make silent.
    pub(crate) fn start_patient(directory: &Path, health: &str) -> Self {
        Self::start(directory, "a", "Primary", health, PATIENT_TIMING)
    }

    /// The configuration of its daemon, with these further lines in `[health]`.
    pub(crate) fn patient_configuration(&self, health: &str) -> String {
        self.configuration(health, PATIENT_TIMING)
    }

    /// Sets what the instance says that it is.
    pub(crate) fn becomes(&self, status: &str) {
        self.iris.set_role("Failover", status).expect("the test's directory is writable");
    }

    /// Its daemon.
    pub(crate) fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("its daemon runs")
    }

    /// Its daemon, to reload it.
    pub(crate) fn daemon_mut(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("its daemon runs")
    }

    /// Kills the daemon as a crash would, without a last message.
    pub(crate) fn kill(&mut self) {
        self.daemon().signal(Signal::KILL);
        self.daemon = None;
    }

    /// Waits for the end of a daemon that is stopping, after a second signal.
    pub(crate) fn hurry_to_the_end(&mut self) {
        let daemon = self.daemon.take().expect("its daemon runs");
        assert!(daemon.stop().success(), "an orderly end is a success");
    }

    /// Starts the daemon again with the configuration that it had.
    pub(crate) fn start_again(&mut self) {
        assert!(self.daemon.is_none(), "its daemon runs already");
        self.daemon = Some(Daemon::start_again(&self.directory));
    }

    /// The part of `/status` that is about its mirror.
    pub(crate) fn status(&self) -> serde_json::Value {
        self.daemon().status()["mirrors"][0].take()
    }

    /// How many checks its daemon has answered.
    pub(crate) fn checks(&self) -> u64 {
        let status = self.status();
        let checkers = status["checkers"].as_array().expect("a list").iter();
        checkers.map(|checker| checker["checks"].as_u64().expect("a count")).sum()
    }

    /// Processes that its daemon's probes started and that have not ended.
    pub(crate) fn commands_running(&self) -> usize {
        let command = self.iris.command();
        let command = command.to_str().expect("a path of ours");
        let processes = fs::read_dir("/proc").expect("a /proc").flatten();
        let lines = processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
        lines.filter(|line| line.split('\0').any(|argument| argument == command)).count()
    }

    fn configuration(&self, health: &str, timing: &str) -> String {
        format!(
            "state_directory = \"{directory}/state\"\n\
             [health]\nlisten = [\"{page}\"]\nagent_check = \"{agent}\"\n{health}\n\
             [admin]\nlisten = \"{ip}:0\"\n\
             [[mirror]]\nname = \"PROD\"\n{timing}\n\
             [mirror.probe.qlist]\ninstance = \"{INSTANCE_NAME}\"\ncommand = \"{iris}\"\n",
            directory = self.directory.display(),
            page = self.page,
            agent = self.agent,
            ip = self.page.ip(),
            iris = self.iris.command().display(),
        )
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(daemon) = &self.daemon
        {
            eprintln!("=== {}\n{}", self.directory.display(), daemon.log_text());
        }
    }
}

// === impl Database ===

impl Database {
    fn start(address: IpAddr, name: &str) -> Self {
        let name = name.to_owned();
        let server = Server::start(free_port(address), move |session| {
            // A session may be idle for as long as its client likes.
            let _ = session.set_read_timeout(None);
            let name = name.clone();
            std::thread::spawn(move || answer(&session, &name));
        });
        Self { address: server.address(), _server: server }
    }
}

/// Answers until the other side closes.
fn answer(session: &TcpStream, name: &str) {
    let mut lines = BufReader::new(session).lines();
    while let Some(Ok(_line)) = lines.next() {
        let mut session = session;
        if writeln!(session, "{name}").is_err() {
            break;
        }
    }
    let _ = session.shutdown(Shutdown::Both);
}
