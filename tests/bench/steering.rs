//! Steering: how soon the cloud accepts what leads clients to the new primary, beside call-outs by boto3 and the
//! AWS command line and beside two bare HTTP calls; what becomes of each when the cloud is in trouble; and what
//! steering costs while nothing happens.
//!
//! The cloud is the simulated one, in this process: it answers every client alike, from memory, over plain HTTP on
//! loopback. So its times are what the programs themselves take. A real region adds to each call its own
//! time and the network's.

mod faults;
mod handover;
mod rivals;
mod stage;
mod steady;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

pub(crate) use faults::{Outcome, Recovery};
pub(crate) use handover::{Round, Times};
pub(crate) use steady::Steady;

/// How much of it is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Rounds of promotions.
    pub(crate) handovers: usize,
    /// The longest rest between a daemon's start and its promotion.
    pub(crate) rest: Duration,
    /// For how long a contender may try against a fault.
    pub(crate) patience: Duration,
    /// For how long calls in steady state are counted.
    pub(crate) steady: Duration,
}

/// All that was found out about steering.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) extent: Extent,
    pub(crate) handovers: Vec<Round>,
    pub(crate) recoveries: Vec<Recovery>,
    pub(crate) steady: Steady,
}

/// Measures with `program` as the daemon; its files are below `directory`.
pub(crate) fn measure(program: &Path, directory: &Path, extent: Extent) -> Result<Figures> {
    let handovers = handover::run(program, &directory.join("handover"), extent)?;
    // Both wait most of the time, and neither counts milliseconds.
    let (recoveries, steady) = std::thread::scope(|scope| {
        let steady = scope.spawn(|| steady::run(program, &directory.join("steady"), extent.steady));
        let recoveries = faults::run(program, &directory.join("faults"), extent.patience);
        (recoveries, steady.join())
    });
    let steady = steady.map_err(|_| anyhow::anyhow!("the thread that counts calls panicked"))?;
    Ok(Figures {
        extent,
        handovers,
        recoveries: recoveries.context("failed to measure with faults")?,
        steady: steady.context("failed to count calls in steady state")?,
    })
}
