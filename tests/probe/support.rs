//! What the tests of the probes share: a mirror to ask for, real scripts, and the proof that no process
//! is left behind.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mirrorvip::clock::Clock;
use mirrorvip::config::Probe;
use mirrorvip::observation::NoEvidence;
use mirrorvip::probe::{Prober, Reading};
use mirrorvip::provider::Mirror;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// Longer than anything takes here, unless it hangs.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Short enough to wait for.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) fn mirror(probe: Probe, timeout: Duration) -> Mirror {
    Mirror {
        name: "PROD".to_owned(),
        paths: vec!["/csp/bin".to_owned()],
        interval: Duration::from_secs(1),
        timeout,
        stale_after: Duration::from_secs(4),
        qos_timeout: Duration::from_secs(8),
        rise: std::num::NonZeroU32::MIN,
        probe,
        wake_on: Vec::new(),
        member: None,
        peers: Vec::new(),
        peer_key_file: None,
        superseded: mirrorvip::config::steering::Superseded::Refuse,
        drift_interval: Duration::from_secs(30),
        targets: Vec::new(),
    }
}

pub(crate) fn prober(probe: Probe, timeout: Duration) -> Prober {
    let (prober, asked_for) =
        Prober::group(&[mirror(probe, timeout)], &Clock::system()).pop().expect("one mirror, one prober");
    assert_eq!(asked_for, [0]);
    prober
}

pub(crate) fn qlist(command: &Path, timeout: Duration) -> Prober {
    let command = command.to_str().expect("temporary paths are text").to_owned();
    prober(Probe::Qlist { instance: "IRIS".to_owned(), command, environment: Vec::new() }, timeout)
}

pub(crate) fn exec(script: &Path, timeout: Duration) -> Prober {
    let command = vec![script.to_str().expect("temporary paths are text").to_owned()];
    prober(Probe::Exec { command, environment: Vec::new() }, timeout)
}

pub(crate) async fn ask(prober: &mut Prober) -> Reading {
    let mut readings = prober.ask().await;
    assert_eq!(readings.len(), 1, "one mirror, one reading");
    readings.pop().expect("there is one")
}

/// The role's or the reason's word.
pub(crate) fn word(reading: &Reading) -> &'static str {
    match &reading.outcome {
        Ok(role) => role.word(),
        Err(cause) => cause.word(),
    }
}

pub(crate) fn cause(reading: &Reading) -> &NoEvidence {
    reading.outcome.as_ref().expect_err("no evidence")
}

/// A directory of scripts that note their process ids.
pub(crate) struct Scripts {
    directory: TempDir,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self { directory: TempDir::new().expect("a temporary directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// An executable script. It runs in no directory of its own; `$pids` is where it notes process ids, its
    /// own already being there, and `$here` is this directory.
    pub(crate) fn script(&self, name: &str, body: &str) -> PathBuf {
        let here = self.directory.path().display();
        self.file(
            name,
            &format!("#!/bin/sh\nhere={here} pids={here}/pids\necho $$ >> $pids\n{body}\n"),
            "755",
        )
    }

    /// A file, written by a process of its own: were it written here, a child that another test starts at
    /// the same moment could inherit the descriptor, and the system refuses to execute what is open for writing.
    pub(crate) fn file(&self, name: &str, content: &str, mode: &str) -> PathBuf {
        let path = self.path(name);
        let mut writer = Command::new("/bin/sh")
            .args(["-c", r#"cat > "$1" && chmod "$2" "$1""#, "sh"])
            .arg(&path)
            .arg(mode)
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut stdin = writer.stdin.take().expect("it was piped");
        stdin.write_all(content.as_bytes()).expect("the shell reads");
        drop(stdin);
        assert!(writer.wait().expect("it is ours").success());
        path
    }

    /// The process ids noted so far.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let noted = fs::read_to_string(self.path("pids")).unwrap_or_default();
        noted.lines().map(|line| line.parse().expect("a process id")).collect()
    }

    /// Waits until at least `count` processes have noted themselves.
    pub(crate) async fn until_noted(&self, count: usize) {
        let noted = async {
            while self.pids().len() < count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, noted).await.expect("the script runs");
    }

    /// Proves that none of at least `count` processes is left, not even as a zombie of ours.
    pub(crate) async fn assert_gone(&self, count: usize) {
        self.until_all(count, |process| match process {
            None => true,
            Some((state, parent)) => state == "Z" && parent != std::process::id(),
        })
        .await;
    }

    /// Proves that none of at least `count` processes runs; ours may have to be reaped yet.
    pub(crate) async fn assert_dead(&self, count: usize) {
        self.until_all(count, |process| process.is_none_or(|(state, _)| state == "Z")).await;
    }

    /// Zombies of others never count: a container's process 1 may not reap them.
    async fn until_all(&self, count: usize, done: impl Fn(Option<(String, u32)>) -> bool) {
        let pids = self.pids();
        assert!(pids.len() >= count, "only {pids:?} were noted");
        for pid in pids {
            let all = async {
                while !done(state_and_parent(pid)) {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(LONG, all).await.unwrap_or_else(|_| panic!("process {pid} is left"));
        }
    }
}

/// Runs a test of this binary that is marked as ignored, in a process of its own, which `prepare` may change.
pub(crate) fn run_alone(name: &str, prepare: impl FnOnce(&Path) -> Command) {
    let mut command = prepare(&std::env::current_exe().expect("this program"));
    let run = command.args(["--exact", name, "--ignored"]).output().expect("it starts");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}

/// Of a process that exists.
fn state_and_parent(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
