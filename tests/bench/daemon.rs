//! The daemon under measurement: its configuration, its simulated instances, and what it says of itself.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mirrorvip::simulation::FakeIris;

use crate::load;
use crate::process::{Core, Process, free_address, now};

/// How long the page may take to follow its instance before the run is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The times that docs/load-balancers.md recommends.
pub(crate) const EVERY_SECOND: Schedule = Schedule { interval: "1s", wake: false };

/// How often the instances are asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// `interval` in the configuration.
    pub(crate) interval: &'static str,
    /// Whether `wake_on` names the instances' logs.
    pub(crate) wake: bool,
}

/// One instance and the page of its mirror.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) iris: FakeIris,
    /// Prefix of its page.
    pub(crate) path: String,
}

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) process: Process,
    pub(crate) page: SocketAddr,
    pub(crate) lanes: Vec<Lane>,
    admin: SocketAddr,
}

// === impl Lane ===

impl Lane {
    /// Instances of mirrors that do not share a probe, below `directory`.
    pub(crate) fn several(count: usize, directory: &Path) -> Result<Vec<Self>> {
        let lane = |number| {
            let iris = FakeIris::new(&directory.join(format!("iris{number}")), "IRIS")?;
            Ok(Self { iris, path: format!("/m{number}") })
        };
        (0..count).map(lane).collect()
    }

    /// Makes its instance the primary, or the backup.
    pub(crate) fn set_primary(&self, primary: bool) -> Result<()> {
        self.iris.set_role("Failover", if primary { "Primary" } else { "Backup" })?;
        Ok(())
    }
}

// === impl Daemon ===

impl Daemon {
    /// Starts the daemon in `directory`, and waits until it has asked each instance once.
    pub(crate) fn start(
        program: &Path,
        directory: &Path,
        lanes: Vec<Lane>,
        schedule: Schedule,
        core: Option<Core>,
    ) -> Result<Self> {
        let (page, admin) = (free_address()?, free_address()?);
        let state = directory.join("state");
        fs::create_dir_all(&state)?;
        let mut text = format!(
            "state_directory = \"{}\"\n[health]\nlisten = [\"{page}\"]\n[admin]\nlisten = \"{admin}\"\n",
            state.display(),
        );
        for (number, lane) in lanes.iter().enumerate() {
            text += &mirror(number, lane, schedule);
        }
        let path = directory.join("mirrorvip.toml");
        fs::write(&path, text)?;
        let path = path.to_str().context("a path that is not UTF-8")?;
        let process = Process::start(program, &["run", "--config", path], core, page)?;
        let daemon = Self { process, page, lanes, admin };
        wait_until_ready(page)?;
        Ok(daemon)
    }

    /// Whether the page of `lane` says SUCCESS.
    pub(crate) fn serves(&self, lane: &Lane) -> Result<bool> {
        let answer = load::get(self.page, &format!("{}/mirror_status.cxw", lane.path))?;
        Ok(answer.ends_with("SUCCESS"))
    }

    /// Polls the page of `lane` once each `pause` until it answers as expected.
    pub(crate) fn wait_for(&self, lane: &Lane, primary: bool, pause: Duration) -> Result<()> {
        let deadline = now() + PATIENCE;
        while self.serves(lane)? != primary {
            if now() >= deadline {
                bail!("the page of {} does not follow its instance", lane.path);
            }
            std::thread::sleep(pause);
        }
        Ok(())
    }

    /// How many probes it has made since its start.
    pub(crate) fn probes(&self) -> Result<u64> {
        let status = status(self.admin)?;
        let mirrors = status["mirrors"].as_array().context("a status without mirrors")?;
        let count = |mirror: &serde_json::Value| mirror["probes"]["definite"].as_u64();
        mirrors.iter().map(count).sum::<Option<u64>>().context("a status without counts")
    }
}

/// The status document of the daemon whose admin listener is at `admin`.
pub(crate) fn status(admin: SocketAddr) -> Result<serde_json::Value> {
    let answer = load::get(admin, "/status")?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    Ok(serde_json::from_str(body)?)
}

/// Waits until the daemon whose page is at `page` has asked each instance once.
pub(crate) fn wait_until_ready(page: SocketAddr) -> Result<()> {
    let deadline = now() + PATIENCE;
    while !load::get(page, "/ready")?.starts_with("HTTP/1.1 200") {
        if now() >= deadline {
            bail!("it does not get ready");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The configuration of one mirror.
fn mirror(number: usize, lane: &Lane, schedule: Schedule) -> String {
    let Lane { iris, path } = lane;
    let wake = if schedule.wake {
        format!("wake_on = \"{}\"\n", iris.messages_log().display())
    } else {
        String::new()
    };
    format!(
        "[[mirror]]\nname = \"M{number}\"\npaths = [\"{path}\"]\ninterval = \"{}\"\n\
         [mirror.probe.qlist]\ninstance = \"{}\"\ncommand = \"{}\"\n{wake}",
        schedule.interval,
        iris.instance(),
        iris.command().display(),
    )
}
