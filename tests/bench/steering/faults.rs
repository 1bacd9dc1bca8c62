//! The same with faults of the cloud: how long until the write is accepted, or until the contender gives up.
//!
//! All run at the same time, each a member of its own with a fault of its own, and start some seconds apart:
//! they wait most of the time, and what is counted is seconds.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mirrorvip::clock::Timestamp;
use mirrorvip::simulation::cloud::{Effect, Fault, Service};

use super::rivals::Rival;
use super::stage::{Kind, Node, OLD, Object, Stage};
use crate::process::now;

/// Between the starts of two contenders.
const APART: Duration = Duration::from_millis(1_500);
/// Between two polls of a contender.
const PAUSE: Duration = Duration::from_millis(20);

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// So many writes are refused: too many requests.
    Throttles(u32),
    /// For so long the API accepts connections and requests, and never answers those.
    Hang(Duration),
    /// For so long the API says that the credentials have expired.
    Expired(Duration),
}

/// Who tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    /// The daemon, warm.
    Mirrorvip,
    /// A call-out.
    Rival(Rival),
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// The write was accepted after so long.
    Accepted(Duration),
    /// It ended after so long without.
    GaveUp(Duration),
    /// Nothing within the measurement's patience.
    Undecided(Duration),
}

/// One trouble, and what became of each contender.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) trouble: String,
    pub(crate) outcomes: [Outcome; 3],
}

const CONTENDERS: [Contender; 3] =
    [Contender::Mirrorvip, Contender::Rival(Rival::Boto3), Contender::Rival(Rival::CommandLine)];

const TROUBLES: [Trouble; 4] = [
    Trouble::Throttles(3),
    Trouble::Throttles(30),
    Trouble::Hang(Duration::from_secs(10)),
    Trouble::Expired(Duration::from_secs(5)),
];

/// Tries all; the outcomes are in the order of the daemon, boto3, the command line.
pub(crate) fn run(program: &Path, directory: &Path, patience: Duration) -> Result<Vec<Recovery>> {
    let name = |trouble: usize, contender: usize| format!("t{trouble}c{contender}");
    let names: Vec<_> = (0..TROUBLES.len())
        .flat_map(|trouble| (0..CONTENDERS.len()).map(move |contender| name(trouble, contender)))
        .collect();
    let stage = Stage::start(program, directory, &names, Duration::from_secs(1))?;
    let old = Node::new(&stage, OLD)?;
    let _old = old.start(&stage, "", &[])?;
    old.wait_until_ready()?;

    std::thread::scope(|scope| {
        let mut delay = Duration::ZERO;
        let mut begin = |trouble: usize, contender: usize| {
            let (stage, old, wait) = (&stage, &old, delay);
            delay += APART;
            scope.spawn(move || {
                std::thread::sleep(wait);
                let name = name(trouble, contender);
                attempt(stage, old, &name, TROUBLES[trouble], CONTENDERS[contender], patience)
            })
        };
        let all: Vec<_> =
            (0..TROUBLES.len()).map(|trouble| [0, 1, 2].map(|contender| begin(trouble, contender))).collect();
        let conclude = |(trouble, threads): (&Trouble, [std::thread::ScopedJoinHandle<'_, _>; 3])| {
            let outcomes = threads.map(|thread| {
                thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a contender's thread panicked")))
            });
            let [daemon, boto3, command_line] = outcomes;
            Ok(Recovery { trouble: trouble.describe(), outcomes: [daemon?, boto3?, command_line?] })
        };
        TROUBLES.iter().zip(all).map(conclude).collect()
    })
}

fn attempt(
    stage: &Stage,
    old: &Node,
    name: &str,
    trouble: Trouble,
    contender: Contender,
    patience: Duration,
) -> Result<Outcome> {
    let object = stage.object(Kind::TargetGroup)?;
    let node = Node::new(stage, name)?;
    match contender {
        Contender::Mirrorvip => {
            let owned = [stage.address(OLD)?.to_string(), stage.address(name)?.to_string()];
            let _daemon = node.start(stage, &object.table(&owned), &[old])?;
            node.wait_until_fulfilled()?;
            stage.cloud.fault(trouble.fault(name));
            let began = node.promote()?;
            let outcome = watch(stage, &object, name, began, patience, || Ok(None))?;
            if let Outcome::Undecided(_) = outcome {
                eprintln!("{}: {}", trouble.describe(), node.describe()?);
            }
            Ok(outcome)
        }
        Contender::Rival(rival) => {
            stage.cloud.fault(trouble.fault(name));
            let began = node.promote()?;
            let started = now();
            let mut call_out = rival.start(stage, &object, name)?;
            watch(stage, &object, name, began, patience, || {
                Ok(call_out.ended()?.is_some().then(|| started.elapsed()))
            })
        }
    }
}

/// Polls until the write was accepted, or until `ended` returns after how long the contender has given up.
fn watch(
    stage: &Stage,
    object: &Object,
    name: &str,
    began: Timestamp,
    patience: Duration,
    mut ended: impl FnMut() -> Result<Option<Duration>>,
) -> Result<Outcome> {
    let deadline: Instant = now() + patience;
    loop {
        // Asked first: what was accepted before it ended is seen then.
        let ended = ended().context("failed to ask whether a contender has ended")?;
        if let Some(accepted) = stage.accepted(object, name) {
            return Ok(Outcome::Accepted(began.age_at(accepted)));
        }
        if let Some(after) = ended {
            return Ok(Outcome::GaveUp(after));
        }
        if now() >= deadline {
            return Ok(Outcome::Undecided(patience));
        }
        std::thread::sleep(PAUSE);
    }
}

// === impl Trouble ===

impl Trouble {
    fn fault(self, member: &str) -> Fault {
        let fault = match self {
            Self::Throttles(times) => Fault::new(Effect::Throttle).action("RegisterTargets").times(times),
            Self::Hang(lasting) => Fault::new(Effect::Hang).lasting(lasting),
            Self::Expired(lasting) => Fault::new(Effect::ExpiredCredentials).lasting(lasting),
        };
        fault.on(Service::Elbv2).by(member)
    }

    fn describe(self) -> String {
        match self {
            Self::Throttles(times) => format!("the first {times} writes are throttled"),
            Self::Hang(lasting) => {
                format!("the API takes requests and answers none for {} s", lasting.as_secs())
            }
            Self::Expired(lasting) => {
                format!("the API says for {} s that the credentials have expired", lasting.as_secs())
            }
        }
    }
}
