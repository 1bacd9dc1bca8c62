//! One member of the demo: its addresses, its configuration, and its daemon, a real child process.
//!
//! The daemon is this very program, `run --config FILE`, told to end with its parent; what it logs goes
//! into a file of the demo's directory. Ports are found by binding port 0 and letting go just before the
//! daemon binds them: somebody else may be quicker, so a first start tries again with others. A restart
//! keeps its ports, as a real member would.

use std::fs::OpenOptions;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::{ASK_INTERVAL, ASK_TIMEOUT, DemoError, MIRROR_NAME, PAGE_PATH, STALE_AFTER, TIMING, http};
use crate::observation::printable;
use crate::simulation::{FakeIris, INSTANCE_NAME, MemberId};

/// How often a first start is tried with other ports.
const START_ATTEMPTS: u32 = 3;
/// How long a daemon may take until its page answers; generous for debug builds on busy machines.
const START_LIMIT: Duration = Duration::from_secs(20);
const START_PAUSE: Duration = Duration::from_millis(20);
/// How long a daemon may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// How long the kernel may take to finish off a killed daemon.
const REAP_LIMIT: Duration = Duration::from_secs(2);
/// How much of a daemon's log an error shows.
const LOG_LINES: usize = 5;
const LOG_WIDTH: usize = 300;

/// Variables by which a service manager speaks to the demo; they are not meant for its daemons.
const SERVICE_MANAGER_VARIABLES: [&str; 6] =
    ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// One member. Dropping it kills its daemon.
#[derive(Debug)]
pub(crate) struct Member {
    id: MemberId,
    program: PathBuf,
    directory: PathBuf,
    page: SocketAddr,
    admin: SocketAddr,
    child: Option<Child>,
}

impl Member {
    /// Starts the daemon of member `id` for the instance of `iris`, with files in `directory`.
    pub(crate) async fn start(
        id: MemberId,
        program: &Path,
        directory: &Path,
        iris: &FakeIris,
    ) -> Result<Self, DemoError> {
        let mut attempt = 1;
        loop {
            let [page, admin] = free_addresses().map_err(|source| DemoError::Start { member: id, source })?;
            let (program, directory) = (program.to_owned(), directory.to_owned());
            let mut member = Self { id, program, directory, page, admin, child: None };
            let config = configuration(&member, iris);
            std::fs::write(member.config(), config)
                .map_err(|source| DemoError::Start { member: id, source })?;
            match member.restart().await {
                Ok(()) => return Ok(member),
                Err(DemoError::MemberEnded { .. }) if attempt < START_ATTEMPTS && member.lost_a_port() => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts its daemon, which must not run, and waits until its page answers anything.
    pub(crate) async fn restart(&mut self) -> Result<(), DemoError> {
        let child = self.spawn().map_err(|source| DemoError::Start { member: self.id, source })?;
        self.child = Some(child);
        let deadline = Instant::now() + START_LIMIT;
        while http::get(self.page, PAGE_PATH, START_LIMIT).await.is_err() {
            self.check_alive()?;
            if Instant::now() >= deadline {
                let what = format!("the page of {} to answer", self.id);
                return Err(DemoError::NotInTime { what, limit: START_LIMIT });
            }
            sleep(START_PAUSE).await;
        }
        Ok(())
    }

    /// Address of its status page.
    pub(crate) fn page(&self) -> SocketAddr {
        self.page
    }

    /// Address of its admin listener.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// File with what its daemon printed.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join(self.id.directory()).with_extension("log")
    }

    /// Whether its daemon is meant to run.
    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// An error when its daemon is meant to run and does not.
    pub(crate) fn check_alive(&mut self) -> Result<(), DemoError> {
        let Some(child) = &mut self.child else { return Ok(()) };
        match child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                self.child = None;
                Err(self.ended(status))
            }
            Err(source) => Err(DemoError::Start { member: self.id, source }),
        }
    }

    /// Ends its daemon as the death of its host would: at once and without a word.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error says that it is dead already; should the wait end first, tokio reaps it later.
            let _ = timeout(REAP_LIMIT, child.kill()).await;
        }
    }

    /// Ends its daemon in an orderly way, and the other way when that takes too long.
    pub(crate) async fn stop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};
        let pid = self.child.as_ref().and_then(Child::id).and_then(|id| Pid::from_raw(id.cast_signed()));
        if let (Some(pid), Some(child)) = (pid, &mut self.child) {
            // Not reaped yet, so the id is still its own; an error says that it is dead already.
            let _ = kill_process(pid, Signal::TERM);
            let _ = timeout(STOP_LIMIT, child.wait()).await;
        }
        self.kill().await;
    }

    fn config(&self) -> PathBuf {
        self.directory.join(self.id.directory()).with_extension("toml")
    }

    fn spawn(&self) -> io::Result<Child> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--config").arg(self.config());
        command.args(["--exit-with-parent", "--log-format", "json"]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        for variable in SERVICE_MANAGER_VARIABLES {
            command.env_remove(variable);
        }
        // A group of its own: Ctrl-C in the terminal is for the demo, which then stops its daemons.
        command.process_group(0).kill_on_drop(true).spawn()
    }

    fn lost_a_port(&self) -> bool {
        [self.page, self.admin].iter().any(|address| std::net::TcpListener::bind(address).is_err())
    }

    fn ended(&self, status: ExitStatus) -> DemoError {
        let text = std::fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut lines: Vec<_> =
            text.lines().rev().take(LOG_LINES).map(|line| printable(line, LOG_WIDTH)).collect();
        lines.reverse();
        DemoError::MemberEnded { member: self.id, status, log: lines.join("\n") }
    }
}

/// Two addresses that nobody uses at the moment.
fn free_addresses() -> io::Result<[SocketAddr; 2]> {
    // Both are held until both are known, or they could be the same.
    let page = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let admin = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok([page.local_addr()?, admin.local_addr()?])
}

fn configuration(member: &Member, iris: &FakeIris) -> String {
    let quote = |path: &Path| toml_string(path.to_str().expect("the demo's directory is plain text"));
    format!(
        "state_directory = {state}\n\n\
         [health]\nlisten = [\"{page}\"]\n\n\
         [admin]\nlisten = \"{admin}\"\n\n\
         [[mirror]]\nname = \"{MIRROR_NAME}\"\ninterval = \"{ASK_INTERVAL:?}\"\ntimeout = \"{ASK_TIMEOUT:?}\"\n\
         stale_after = \"{stale_after}ms\"\nqos_timeout = \"{qos}ms\"\n\n\
         [mirror.probe.qlist]\ninstance = \"{INSTANCE_NAME}\"\ncommand = {command}\nwake_on = {messages}\n",
        state = quote(&member.directory.join(member.id.directory()).join("state")),
        page = member.page,
        admin = member.admin,
        stale_after = STALE_AFTER.as_millis(),
        qos = TIMING.detection.as_millis(),
        command = quote(&iris.command()),
        messages = quote(&iris.messages_log()),
    )
}

/// A basic string of TOML; control characters have been ruled out before.
fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_toml() {
        let path = r#"/tmp/a "quoted" \ directory"#;
        let text = format!("path = {}", toml_string(path));
        let table = toml::de::DeTable::parse(&text).expect("valid TOML");
        assert_eq!(table.get_ref()["path"].get_ref().as_str(), Some(path));
    }

    #[tokio::test]
    async fn a_daemon_that_ends_is_told_with_its_last_words() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let iris = FakeIris::new(&directory.path().join("a"), INSTANCE_NAME).expect("it runs");
        // Not the daemon: a program that complains about its arguments and exits.
        let program = Path::new("/bin/ls");
        let ended = Member::start(MemberId::A, program, directory.path(), &iris).await;
        let Err(DemoError::MemberEnded { member, status, log }) = ended else {
            panic!("{ended:?}");
        };
        assert_eq!(member, MemberId::A);
        assert!(!status.success());
        assert!(log.contains("config"), "{log}");
    }
}
