//! Processes under measurement: starting them on a core, reading what they cost, and their certain end.
//!
//! A process dies with the thread that started it, whatever becomes of that: nothing is left behind.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long a server may take to accept connections.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A processor core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Core(usize);

/// A child process; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

/// Processor time, user and system together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTime {
    /// The process's own.
    pub(crate) own: Duration,
    /// That of its children that have ended.
    pub(crate) children: Duration,
}

/// The clock of all measurements.
#[expect(clippy::disallowed_methods, reason = "what is measured is the time of real processes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("failed to find a free port")?;
    Ok(listener.local_addr()?)
}

// === impl Core ===

impl Core {
    /// Two cores that this process may use: one for the server, one for its clients.
    pub(crate) fn pair() -> Result<[Self; 2]> {
        let allowed = sched_getaffinity(None).context("failed to ask which cores there are")?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).map(Self);
        match (cores.next(), cores.next()) {
            (Some(one), Some(other)) => Ok([one, other]),
            (_, _) => bail!("needs two cores: one for the servers, one for their clients"),
        }
    }

    pub(crate) fn pin_this_thread(self) -> Result<()> {
        let mut set = CpuSet::new();
        set.set(self.0);
        sched_setaffinity(None, &set).context("failed to keep a thread on its core")
    }
}

// === impl CpuTime ===

impl CpuTime {
    /// What was spent since it was `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            own: self.own.saturating_sub(earlier.own),
            children: self.children.saturating_sub(earlier.children),
        }
    }
}

// === impl Process ===

impl Process {
    /// Starts `program`, on `core` only if there is one, and waits until `address` accepts connections.
    pub(crate) fn start(
        program: &Path,
        arguments: &[&str],
        core: Option<Core>,
        address: SocketAddr,
    ) -> Result<Self> {
        Self::start_with(program, arguments, &[], core, address)
    }

    /// The same with these variables in its environment.
    pub(crate) fn start_with(
        program: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
        core: Option<Core>,
        address: SocketAddr,
    ) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(Core(core)) = core {
            command.args(["taskset", "--cpu-list", &core.to_string()]);
        }
        let child = command
            .arg(program)
            .args(arguments)
            .env("RUST_LOG", "warn")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        let mut process = Self(child);
        process.wait_for(address).with_context(|| format!("failed to start {}", program.display()))?;
        Ok(process)
    }

    fn wait_for(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = now() + START_TIMEOUT;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.0.try_wait()? {
                bail!("it ended with {status}");
            }
            if now() >= deadline {
                bail!("it does not accept connections at {address}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Its processor time so far: `/proc/PID/stat`, fields 14 to 17.
    pub(crate) fn cpu_time(&self) -> Result<CpuTime> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The second field is a name in parentheses, which may hold anything.
        let (_, rest) = stat.rsplit_once(')').context("failed to read /proc/PID/stat")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let ticks = |field: usize| -> Result<u64> {
            Ok(fields.get(field - 3).context("/proc/PID/stat is too short")?.parse()?)
        };
        let frequency = rustix::param::clock_ticks_per_second();
        let time = |ticks: u64| Duration::from_millis(ticks * 1_000 / frequency);
        Ok(CpuTime { own: time(ticks(14)? + ticks(15)?), children: time(ticks(16)? + ticks(17)?) })
    }

    /// Its resident memory in bytes: `VmRSS`, which the kernel gives in units of 1024 bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size = line.and_then(|line| line.split_ascii_whitespace().next());
        Ok(size.context("/proc/PID/status has no VmRSS")?.parse::<u64>()? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails only when the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
