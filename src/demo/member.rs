//! One member of the demo: its addresses, its configuration, and its daemon, a real child process.
//!
//! The daemon is this program, `run --config FILE`; it ends with its parent and logs to a file in the demo's directory.
//! Ports are found by binding port 0 and released just before the daemon binds them. Another process may take one in
//! between, so the first start is tried again with other ports, for all members together, because each one's configuration
//! has its peers' addresses. A restart keeps its ports, as on a real member.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::cloud::Cloud;
use super::{ASK_INTERVAL, ASK_TIMEOUT, DemoError, MIRROR_NAME, PAGE_PATH, STALE_AFTER, TIMING};
use crate::http;
use crate::simulation::{FakeIris, INSTANCE_NAME, MemberId};
use crate::text::printable;

/// How often the first start is tried.
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

/// Variables that a service manager sets for the demo.
const SERVICE_MANAGER_VARIABLES: [&str; 6] =
    ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// One member. Dropping it kills its daemon.
#[derive(Debug)]
pub(crate) struct Member {
    id: MemberId,
    /// The program that is its daemon.
    pub(crate) program: PathBuf,
    directory: PathBuf,
    /// Address of its status page.
    pub(crate) page: SocketAddr,
    /// Address of its admin listener.
    pub(crate) admin: SocketAddr,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Member {
    /// Starts the daemons of all members, each for its instance of `irises`, with files in `directory`.
    pub(crate) async fn start_all(
        program: &Path,
        directory: &Path,
        irises: [&FakeIris; 3],
        cloud: &Cloud,
    ) -> Result<Vec<Self>, DemoError> {
        let mut attempt = 1;
        loop {
            let mut members = prepare(program, directory, irises, cloud)?;
            match start_each(&mut members).await {
                Ok(()) => return Ok(members),
                Err(failed) => {
                    // Their ports must be free before they are tested.
                    for member in &mut members {
                        member.kill().await;
                    }
                    let lost_a_port = matches!(failed, DemoError::MemberEnded { .. })
                        && members.iter().any(Self::lost_a_port);
                    if attempt == START_ATTEMPTS || !lost_a_port {
                        return Err(failed);
                    }
                    attempt += 1;
                }
            }
        }
    }

    /// Starts its daemon, which must not run, and waits until its page answers anything.
    pub(crate) async fn restart(&mut self) -> Result<(), DemoError> {
        self.launch()?;
        self.wait_for_page().await
    }

    fn launch(&mut self) -> Result<(), DemoError> {
        self.child = Some(self.spawn().map_err(failed_to_start(self.id))?);
        Ok(())
    }

    async fn wait_for_page(&mut self) -> Result<(), DemoError> {
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

    /// State directory of its daemon.
    pub(crate) fn state(&self) -> PathBuf {
        self.directory.join(self.id.directory()).join("state")
    }

    /// File with what its daemon printed.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join(self.id.directory()).with_extension("log")
    }

    /// Whether its daemon is meant to run.
    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Fails if its daemon should run and does not.
    pub(crate) fn check_alive(&mut self) -> Result<(), DemoError> {
        let Some(child) = &mut self.child else { return Ok(()) };
        match child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                self.child = None;
                Err(self.ended(status))
            }
            Err(error) => Err(failed_to_start(self.id)(error)),
        }
    }

    /// Kills its daemon, as a crash of its host does.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error means that it is dead already; after the time limit tokio reaps it later.
            let _ = timeout(REAP_LIMIT, child.kill()).await;
        }
    }

    /// Stops its daemon cleanly, or kills it if that takes too long.
    pub(crate) async fn stop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};
        let pid = self.child.as_ref().and_then(Child::id).and_then(|id| Pid::from_raw(id.cast_signed()));
        if let (Some(pid), Some(child)) = (pid, &mut self.child) {
            // Not reaped yet, so the id is still its own; an error means that it is dead already.
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
        for (variable, _) in std::env::vars_os().filter(|(variable, _)| is_not_for_daemons(variable)) {
            command.env_remove(variable);
        }
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        // Its own process group: Ctrl-C in the terminal reaches only the demo, which then stops its daemons.
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

fn failed_to_start(member: MemberId) -> impl FnOnce(io::Error) -> DemoError {
    DemoError::set_up(format!("start the daemon of {member}"))
}

/// Writes the configurations of all members, which do not run yet.
fn prepare(
    program: &Path,
    directory: &Path,
    irises: [&FakeIris; 3],
    cloud: &Cloud,
) -> Result<Vec<Member>, DemoError> {
    let addresses = free_addresses().map_err(DemoError::set_up("find free ports"))?;
    let members: Vec<_> = MemberId::ALL
        .into_iter()
        .zip(addresses)
        .map(|(id, [page, admin])| Member {
            id,
            program: program.to_owned(),
            directory: directory.to_owned(),
            page,
            admin,
            environment: cloud.environment(id),
            child: None,
        })
        .collect();
    for (member, iris) in members.iter().zip(irises) {
        let peers = members.iter().filter(|peer| peer.id != member.id).map(|peer| {
            let (address, page) = (cloud.address(peer.id), peer.page);
            format!("\n[[mirror.peer]]\naddress = \"{address}\"\npage = \"http://{page}{PAGE_PATH}\"\n")
        });
        let config = configuration(member, iris) + &peers.collect::<String>() + &cloud.tables();
        // For a shell whose commands should use the same cloud.
        let variables = member.environment.iter().map(|(name, value)| format!("export {name}='{value}'\n"));
        std::fs::write(member.config(), config)
            .and_then(|()| {
                std::fs::write(member.config().with_extension("env"), variables.collect::<String>())
            })
            .map_err(failed_to_start(member.id))?;
    }
    Ok(members)
}

/// Starts all daemons, then waits for each: real members start in parallel as well.
async fn start_each(members: &mut [Member]) -> Result<(), DemoError> {
    for member in members.iter_mut() {
        member.launch()?;
    }
    for member in members {
        member.wait_for_page().await?;
    }
    Ok(())
}

/// Two unused addresses for each member.
fn free_addresses() -> io::Result<[[SocketAddr; 2]; 3]> {
    // Every port stays bound until all are known, so that no two are equal.
    let mut held = Vec::new();
    let mut addresses = [[SocketAddr::from(([127, 0, 0, 1], 0)); 2]; 3];
    for address in addresses.iter_mut().flatten() {
        let listener = std::net::TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}

/// Variables that the daemons must not inherit: those of a service manager, and those of a real cloud, whose profile, keys
/// or proxy they would use.
fn is_not_for_daemons(variable: &OsStr) -> bool {
    let Some(variable) = variable.to_str() else { return false };
    SERVICE_MANAGER_VARIABLES.contains(&variable)
        || variable.starts_with("AWS_")
        || variable.to_ascii_uppercase().ends_with("_PROXY")
}

fn configuration(member: &Member, iris: &FakeIris) -> String {
    let quote = |path: &Path| toml_string(path.to_str().expect("the demo's directory is plain text"));
    format!(
        "state_directory = {state}\n\n\
         [health]\nlisten = [\"{page}\"]\n\n\
         [admin]\nlisten = \"{admin}\"\n\n\
         [[mirror]]\nname = \"{MIRROR_NAME}\"\nmember = \"{name}\"\ninterval = \"{ASK_INTERVAL:?}\"\ntimeout = \"{ASK_TIMEOUT:?}\"\n\
         stale_after = \"{stale_after}ms\"\nqos_timeout = \"{qos}ms\"\n\n\
         [mirror.probe.qlist]\ninstance = \"{INSTANCE_NAME}\"\ncommand = {command}\nwake_on = {messages}\n",
        state = quote(&member.state()),
        page = member.page,
        name = member.id.directory(),
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

    #[test]
    fn a_real_cloud_is_kept_from_the_daemons() {
        for variable in ["AWS_PROFILE", "AWS_SESSION_TOKEN", "https_proxy", "NO_PROXY", "NOTIFY_SOCKET"] {
            assert!(is_not_for_daemons(OsStr::new(variable)), "{variable}");
        }
        assert!(!is_not_for_daemons(OsStr::new("PATH")));
    }

    #[tokio::test]
    async fn a_daemon_that_ends_is_reported_with_its_last_log_lines() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let iris = FakeIris::new(&directory.path().join("a"), INSTANCE_NAME).expect("it runs");
        // Not the daemon: a program that complains about its arguments and exits.
        let program = Path::new("/bin/ls");
        let cloud = Cloud::start().expect("loopback has free ports");
        let ended = Member::start_all(program, directory.path(), [&iris; 3], &cloud).await;
        let Err(DemoError::MemberEnded { member, status, log }) = ended else {
            panic!("{ended:?}");
        };
        assert_eq!(member, MemberId::A);
        assert!(!status.success());
        assert!(log.contains("config"), "{log}");
    }
}
