//! The daemon under attack: its configuration, its instance's role, its service manager, and what it costs.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::checkers::{self, Answer};
use crate::now;
use crate::tls::{Client, Identity};

/// `WatchdogSec=` of the packages' unit.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(5);
/// Where an attack on memory is called off, so that the machine survives it.
const TOO_LARGE: u64 = 1 << 30;
/// Where the daemon is killed.
const FAR_TOO_LARGE: u64 = 4 << 30;
/// Between two samples of what the daemon costs.
const SAMPLE: Duration = Duration::from_millis(100);
/// How long the daemon may take to start, and its page to follow its instance, without an attack.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the daemon is set up for an attack.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    /// Lines for the tables of these names.
    pub(crate) health: String,
    pub(crate) admin: String,
    pub(crate) mirror: String,
    /// Lines for the table of its probe.
    pub(crate) probe: String,
    /// Tables below the mirror's.
    pub(crate) tables: String,
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Soft and hard limit of descriptors; those of the packages' unit by default.
    pub(crate) descriptors: Option<(u64, u64)>,
    pub(crate) identity: Option<Identity>,
}

/// A running daemon.
pub(crate) struct Target {
    pub(crate) page: SocketAddr,
    pub(crate) page_ipv6: SocketAddr,
    pub(crate) admin: SocketAddr,
    directory: PathBuf,
    process: Mutex<Child>,
    pid: u32,
    watch: Arc<Watch>,
    watching: Option<JoinHandle<()>>,
}

/// What is seen of the daemon from beside it.
#[derive(Default)]
struct Watch {
    stop: AtomicBool,
    resident: AtomicU64,
    peak: AtomicU64,
    descriptors: AtomicU64,
    most_descriptors: AtomicU64,
    meals: Mutex<Vec<Instant>>,
    killed: AtomicBool,
}

/// What became of the daemon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    /// Resident memory in bytes: at the end, and the most.
    pub(crate) resident: u64,
    pub(crate) peak: u64,
    /// Descriptors: at the end, and the most.
    pub(crate) descriptors: u64,
    pub(crate) most_descriptors: u64,
    /// The longest time without a message to the watchdog.
    pub(crate) longest_fast: Duration,
    /// Whether the attack was called off because of its memory.
    pub(crate) too_large: bool,
    pub(crate) alive: bool,
}

/// Lets this process hold as many sockets as the machine allows.
pub(crate) fn raise_descriptor_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .context("failed to raise the limit of descriptors")
}

// === impl Setup ===

impl Setup {
    /// How checkers speak to the page.
    pub(crate) fn client(&self) -> Result<Option<Client>> {
        self.identity.as_ref().map(Identity::client).transpose()
    }

    fn text(&self, directory: &Path) -> String {
        let tls = self.identity.as_ref().map(Identity::table).unwrap_or_default();
        let Self { health, admin, mirror, probe, tables, .. } = self;
        let directory = directory.display();
        format!(
            "state_directory = \"{directory}/state\"\n[health]\nlisten = [\"0.0.0.0:0\", \"[::1]:0\"]\n{health}\n{tls}\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n{admin}\n[[mirror]]\nname = \"PROD\"\npaths = [\"/csp/bin\"]\n\
             {mirror}\n[mirror.probe.exec]\ncommand = [\"/usr/bin/test\", \"-e\", \"{directory}/primary\"]\n\
             {probe}\n{tables}\n"
        )
    }
}

// === impl Target ===

impl Target {
    /// Starts a daemon in `directory` whose instance is the primary.
    ///
    /// It dies with the thread that calls this.
    pub(crate) fn start(program: &Path, directory: &Path, setup: &Setup) -> Result<Self> {
        fs::create_dir(directory.join("state"))?;
        fs::write(directory.join("primary"), "")?;
        let config = directory.join("mirrorvip.toml");
        fs::write(&config, setup.text(directory))?;
        let manager = UnixDatagram::bind(directory.join("notify"))?;
        manager.set_read_timeout(Some(SAMPLE))?;
        let log = directory.join("log");
        let (soft, hard) = setup.descriptors.unwrap_or((8_192, 8_192));
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "prlimit", &format!("--nofile={soft}:{hard}")])
            .arg(program)
            .args(["run", "--log-format", "json", "--config"])
            .arg(&config)
            .env_remove("RUST_LOG")
            .env("NOTIFY_SOCKET", directory.join("notify"))
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
            .envs(setup.environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        let (pid, watch) = (process.id(), Arc::<Watch>::default());
        let [mut page, page_ipv6, admin] = match addresses(&log) {
            Ok(addresses) => addresses,
            Err(error) => {
                end(process);
                return Err(error);
            }
        };
        // It listens everywhere, for checkers that are far away.
        page.set_ip(Ipv4Addr::LOCALHOST.into());
        let shared = Arc::clone(&watch);
        let watching = Some(std::thread::spawn(move || shared.follow(pid, &manager)));
        let process = Mutex::new(process);
        Ok(Self { page, page_ipv6, admin, directory: directory.to_owned(), process, pid, watch, watching })
    }

    /// Makes its instance the primary or the backup.
    pub(crate) fn set_primary(&self, primary: bool) -> Result<()> {
        let path = self.directory.join("primary");
        if primary {
            fs::write(path, "")?;
        } else {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Waits until its page says SUCCESS.
    pub(crate) fn wait_until_serving(&self, client: Option<&Client>) -> Result<()> {
        let deadline = now() + PATIENCE;
        while checkers::near(self.page, client) != Answer::Success {
            if now() >= deadline {
                bail!("its page does not say SUCCESS: {}", fs::read_to_string(self.directory.join("log"))?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Sends it a signal, if it still runs.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&process), signal);
    }

    /// Processor time so far, of the daemon without its children: `/proc/PID/stat`, fields 14 and 15.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else {
            return Ok(Duration::ZERO);
        };
        let (_, rest) = stat.rsplit_once(')').context("failed to read /proc/PID/stat")?;
        let fields = rest.split_ascii_whitespace().skip(11).take(2);
        let ticks = fields.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second()))
    }

    /// Whether it has grown so large that the attack is to be called off.
    pub(crate) fn is_too_large(&self) -> bool {
        self.watch.resident.load(Ordering::Relaxed) > TOO_LARGE
    }

    /// What is seen of it.
    pub(crate) fn health(&self) -> Health {
        let alive =
            matches!(self.process.lock().unwrap_or_else(PoisonError::into_inner).try_wait(), Ok(None));
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let Watch { resident, peak, descriptors, most_descriptors, meals, .. } = &*self.watch;
        let mut meals = meals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        meals.push(now());
        let longest_fast = meals.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        Health {
            resident: read(resident),
            peak: read(peak),
            descriptors: read(descriptors),
            most_descriptors: read(most_descriptors),
            longest_fast,
            too_large: read(peak) > TOO_LARGE,
            alive,
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.watch.stop.store(true, Ordering::Relaxed);
        if let Some(watching) = self.watching.take() {
            let _ = watching.join();
        }
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn end(mut process: Child) {
    let _ = process.kill();
    let _ = process.wait();
}

/// The addresses of the page, by IPv4 and IPv6, and of the admin listener, from the log.
fn addresses(log: &Path) -> Result<[SocketAddr; 3]> {
    let deadline = now() + PATIENCE;
    loop {
        let text = fs::read_to_string(log)?;
        let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        if let Some(line) = lines.into_iter().find(|line| line["message"] == "started") {
            let [health, admin] = ["health", "admin"].map(|key| line[key].as_str());
            let health = health.and_then(|text| text.strip_prefix('[')?.strip_suffix(']')?.split_once(", "));
            let (page, page_ipv6) = health.context("the log does not name two addresses of the page")?;
            let admin = admin.context("the log names no admin address")?;
            return Ok([page.parse()?, page_ipv6.parse()?, admin.parse()?]);
        }
        if now() >= deadline {
            bail!("it does not start: {text}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

// === impl Watch ===

impl Watch {
    fn follow(&self, pid: u32, manager: &UnixDatagram) {
        let (mut sampled, mut message) = (None::<Instant>, [0; 4096]);
        while !self.stop.load(Ordering::Relaxed) {
            if let Ok(length) = manager.recv(&mut message)
                && message[..length].windows(10).any(|word| word == b"WATCHDOG=1")
            {
                self.meals.lock().unwrap_or_else(PoisonError::into_inner).push(now());
            }
            if sampled.is_none_or(|at| at.elapsed() >= SAMPLE) {
                sampled = Some(now());
                self.sample(pid);
            }
        }
    }

    fn sample(&self, pid: u32) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_ascii_whitespace().next().and_then(|size| size.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        let resident = field("VmRSS:");
        self.resident.store(resident, Ordering::Relaxed);
        self.peak.fetch_max(field("VmHWM:"), Ordering::Relaxed);
        if let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) {
            let count = entries.count() as u64;
            self.descriptors.store(count, Ordering::Relaxed);
            self.most_descriptors.fetch_max(count, Ordering::Relaxed);
        }
        if resident > FAR_TOO_LARGE && !self.killed.swap(true, Ordering::Relaxed) {
            let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
            // It is not reaped before the target is dropped, so that the number is still its own.
            let _ = pid.map(|pid| rustix::process::kill_process(pid, Signal::KILL));
        }
    }
}
