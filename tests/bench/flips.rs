//! How long the page takes to follow the instance, and what asking costs.
//!
//! A flip is timed from before the instance's answer is replaced until after the page's new answer has been
//! read. Promotions and demotions take turns. Flips fall into every phase of the probe's interval, by the
//! multiples of the golden ratio: evenly spread, and the same in each run.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use mirrorvip::clock::Clock;
use mirrorvip::simulation::LogLine;

use crate::daemon::{Daemon, Lane, Schedule};
use crate::process::{CpuTime, now};

/// A series of flips.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series {
    pub(crate) schedule: Schedule,
    /// How many instances flip side by side, to be done sooner; each has a mirror and a probe of its own.
    pub(crate) lanes: usize,
    /// Flips in all.
    pub(crate) flips: usize,
    /// How long before the change its line is in the log, at most.
    pub(crate) lead: Duration,
    /// How long an instance keeps its role: at least this, and at most this and `spread`.
    pub(crate) rest: Duration,
    pub(crate) spread: Duration,
    /// How long to wait between two polls of the page.
    pub(crate) pause: Duration,
}

/// What one probe costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Probes that were made.
    pub(crate) probes: u64,
    /// Processor time for all of them: the daemon's, and that of the command which it runs.
    pub(crate) time: CpuTime,
}

/// Runs `series`; how long the page took each time, sorted.
pub(crate) fn run(program: &Path, directory: &Path, series: Series) -> Result<Vec<Duration>> {
    let lanes = Lane::several(series.lanes, directory)?;
    let daemon = Daemon::start(program, directory, lanes, series.schedule, None)?;
    let each = series.flips.div_ceil(series.lanes);
    let mut latencies = std::thread::scope(|scope| -> Result<Vec<Duration>> {
        let daemon = &daemon;
        let lanes: Vec<_> = daemon
            .lanes
            .iter()
            .enumerate()
            .map(|(index, lane)| scope.spawn(move || flip(daemon, lane, index * each, each, series)))
            .collect();
        let mut all = Vec::new();
        for lane in lanes {
            all.extend(lane.join().map_err(|_| anyhow::anyhow!("a lane panicked"))??);
        }
        Ok(all)
    })?;
    latencies.sort_unstable();
    Ok(latencies)
}

fn flip(daemon: &Daemon, lane: &Lane, first: usize, count: usize, series: Series) -> Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(count);
    for number in first..first + count {
        let primary = (number - first).is_multiple_of(2);
        std::thread::sleep(series.rest + series.spread.mul_f64(phase(number)));
        if !series.lead.is_zero() {
            announce(lane, primary)?;
            // Another multiple, so that lead and rest do not go together.
            std::thread::sleep(series.lead.mul_f64(phase(number * 7)));
        }
        let flipped = now();
        lane.set_primary(primary)?;
        if series.lead.is_zero() {
            announce(lane, primary)?;
        }
        daemon.wait_for(lane, primary, series.pause)?;
        latencies.push(flipped.elapsed());
    }
    Ok(latencies)
}

/// Writes into the instance's log what IRIS writes there.
fn announce(lane: &Lane, primary: bool) -> Result<()> {
    let text =
        if primary { "Becoming primary mirror server" } else { "Found MEMBER as primary, becoming backup" };
    let entry = LogLine { severity: 0, facility: "Utility.Event", text: text.to_owned() };
    Ok(lane.iris.log(&Clock::system(), &entry)?)
}

/// Between 0 and 1: multiples of the golden ratio are spread evenly.
pub(crate) fn phase(number: usize) -> f64 {
    const GOLDEN_RATIO: f64 = 1.618_033_988_749_895;
    #[expect(clippy::cast_precision_loss, reason = "the number of a flip is far below 2^52")]
    let multiple = number as f64 * GOLDEN_RATIO;
    multiple.fract()
}

/// What probes cost while nothing else happens for `duration`.
pub(crate) fn cost(program: &Path, directory: &Path, duration: Duration) -> Result<Cost> {
    // The shortest interval that a configuration may have.
    let schedule = Schedule { interval: "20ms", wake: false };
    let daemon = Daemon::start(program, directory, Lane::several(1, directory)?, schedule, None)?;
    daemon.lanes[0].set_primary(true)?;
    daemon.wait_for(&daemon.lanes[0], true, Duration::from_millis(10))?;
    let (probes, before) = (daemon.probes()?, daemon.process.cpu_time()?);
    std::thread::sleep(duration);
    let (after, probes) = (daemon.process.cpu_time()?, daemon.probes()? - probes);
    Ok(Cost { probes, time: after.since(before) })
}
