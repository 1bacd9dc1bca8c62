//! Figures of the daemon, of its peers in the same run, and of its goals, as Markdown for docs/benchmarks.md.
//!
//! `tests/bench/run` builds what this needs and starts it. It makes system calls and little else, so it
//! may be built without optimisation; what it measures are programs of their own, built for release.
//!
//! Servers and their clients have a core each. The servers are measured in turns, several rounds of them: a
//! disturbance of the machine then meets all alike, and the median of the rounds leaves it out.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

mod daemon;
#[path = "../support/figures.rs"]
mod figures;
mod flips;
mod load;
mod process;
mod servers;
mod steering;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::daemon::{EVERY_SECOND, Schedule};
use crate::figures::quantile;
use crate::flips::{Cost, Series};
use crate::process::{Core, CpuTime};
use crate::servers::Server;

/// How many load balancer nodes check at once.
const CONNECTIONS: usize = 8;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Extent {
    rounds: usize,
    /// Of one server in one round.
    round: Duration,
    flips: usize,
    /// Of the probes whose cost is taken.
    probing: Duration,
    steering: steering::Extent,
}

/// What is published; less than eight minutes.
const FULL: Extent = Extent {
    rounds: 7,
    round: Duration::from_secs(3),
    flips: 200,
    probing: Duration::from_secs(12),
    steering: steering::Extent {
        handovers: 20,
        // The peer's word is asked for every five seconds.
        rest: Duration::from_secs(5),
        patience: Duration::from_secs(180),
        steady: Duration::from_secs(120),
    },
};

/// Whether it works at all.
const QUICK: Extent = Extent {
    rounds: 3,
    round: Duration::from_millis(500),
    flips: 16,
    probing: Duration::from_secs(2),
    steering: steering::Extent {
        handovers: 5,
        rest: Duration::from_millis(500),
        patience: Duration::from_secs(12),
        steady: Duration::from_secs(12),
    },
};

/// All that was found out.
#[derive(Debug)]
struct Figures {
    extent: Extent,
    /// Load of the machine before anything was measured, over a minute.
    load: String,
    servers: Vec<Checks>,
    woken: Vec<Duration>,
    woken_early: Vec<Duration>,
    polled: Vec<Duration>,
    probe: Cost,
    steering: steering::Figures,
    /// Size of the daemon's program in bytes.
    program: u64,
}

/// How one server answered checks.
#[derive(Debug)]
struct Checks {
    name: String,
    rounds: Vec<Round>,
    /// Checks in all rounds.
    count: u64,
    /// Processor time of the server for one check.
    cost: Duration,
    /// Resident memory in bytes, after all checks.
    resident: u64,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    /// Checks a second.
    rate: f64,
    p50: Duration,
    p99: Duration,
}

fn main() -> Result<()> {
    let Some((program, extent, checks_alone)) = arguments()? else {
        // A test runner that starts every target, to list its tests or to run them: this is none.
        return Ok(());
    };
    let directory = tempfile::tempdir().context("failed to make a directory")?;
    if checks_alone {
        println!("{}", table::checks(&compare(&program, directory.path(), extent)?));
        return Ok(());
    }
    println!("{}", table::render(&measure(&program, directory.path(), extent)?));
    Ok(())
}

/// The daemon's program, from `--daemon PROGRAM`, how much to measure, and whether health checks alone; `None` without
/// arguments of ours.
fn arguments() -> Result<Option<(PathBuf, Extent, bool)>> {
    let (mut program, mut extent, mut checks_alone) = (None, FULL, false);
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--daemon") => program = Some(arguments.next().context("--daemon needs a program")?.into()),
            Some("--quick") => extent = QUICK,
            Some("--checks") => checks_alone = true,
            // Cargo's own, and those of test runners.
            Some("--bench" | "--test" | "--list" | "--format" | "terse" | "--ignored") => {}
            _ => bail!("unknown argument {}", argument.display()),
        }
    }
    Ok(program.map(|program| (program, extent, checks_alone)))
}

fn measure(program: &Path, directory: &Path, extent: Extent) -> Result<Figures> {
    let own = |name: &str| -> Result<PathBuf> {
        let path = directory.join(name);
        std::fs::create_dir(&path)?;
        Ok(path)
    };
    let millis = Duration::from_millis;
    let sequential = Series {
        schedule: Schedule { wake: true, ..EVERY_SECOND },
        lanes: 1,
        flips: extent.flips,
        lead: Duration::ZERO,
        rest: millis(150),
        spread: millis(100),
        pause: Duration::from_micros(100),
    };
    let side_by_side = Series { lanes: 4, lead: millis(400), pause: millis(1), ..sequential };
    // After a flip was seen a whole interval is left, of which the rest is a random part.
    let polled = Series {
        schedule: EVERY_SECOND,
        lanes: 8,
        lead: Duration::ZERO,
        rest: Duration::ZERO,
        spread: millis(1000),
        pause: millis(2),
        ..sequential
    };
    let load = std::fs::read_to_string("/proc/loadavg").context("failed to read the machine's load")?;
    Ok(Figures {
        extent,
        load: load.split(' ').next().unwrap_or_default().to_owned(),
        servers: compare(program, &own("servers")?, extent)?,
        woken: announced("flips with wake_on", || flips::run(program, &own("woken")?, sequential))?,
        woken_early: announced("flips after their log line", || {
            flips::run(program, &own("early")?, side_by_side)
        })?,
        polled: announced("flips without wake_on", || flips::run(program, &own("polled")?, polled))?,
        probe: announced("probes", || flips::cost(program, &own("probes")?, extent.probing))?,
        steering: announced("steering", || steering::measure(program, &own("steering")?, extent.steering))?,
        program: std::fs::metadata(program)?.len(),
    })
}

fn announced<T>(what: &str, measure: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("measuring {what}");
    measure().with_context(|| format!("failed to measure {what}"))
}

/// All servers in turns.
fn compare(program: &Path, directory: &Path, extent: Extent) -> Result<Vec<Checks>> {
    let [serving, asking] = Core::pair()?;
    let servers = [
        servers::mirrorvip(program, directory, serving)?,
        servers::haproxy(directory, serving)?,
        servers::nginx(directory, serving)?,
    ];
    let run = |server: &Server| load::run(server.address, CONNECTIONS, extent.round, asking);
    let mut found: [(Vec<Round>, u64, CpuTime); 3] = Default::default();
    for number in 0..=extent.rounds {
        announced(&format!("checks, round {number} of {}", extent.rounds), || {
            for (server, (rounds, count, before)) in servers.iter().zip(&mut found) {
                let run = run(server)?;
                // The first round warms up.
                if number == 0 {
                    *before = server.process.cpu_time()?;
                } else {
                    *count += run.count();
                    rounds.push(Round::of(&run));
                }
            }
            Ok(())
        })?;
    }
    let conclude = |(server, (rounds, count, before)): (Server, (Vec<Round>, u64, CpuTime))| {
        let cost = server.process.cpu_time()?.since(before).own.div_f64(as_f64(count));
        Ok(Checks { resident: server.process.resident()?, name: server.name, rounds, count, cost })
    };
    servers.into_iter().zip(found).map(conclude).collect()
}

/// A count as a number to compute with.
#[expect(clippy::cast_precision_loss, reason = "counts of what happens in minutes are far below 2^52")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

// === impl Round ===

impl Round {
    fn of(run: &load::Run) -> Self {
        Self {
            rate: as_f64(run.count()) / run.took.as_secs_f64(),
            p50: quantile(&run.latencies, 0.5),
            p99: quantile(&run.latencies, 0.99),
        }
    }
}
