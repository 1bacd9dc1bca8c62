//! What a pair asks of the cloud while nothing happens, counted by the cloud, and the memory it takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use mirrorvip::clock::Clock;

use super::stage::{Kind, Node, Stage};

/// The calls of a read: what keeps connections and credentials warm and finds drift.
const READS: [&str; 2] = ["DescribeTargetHealth", "ListResourceRecordSets"];
/// The calls that change something.
const WRITES: [&str; 3] = ["RegisterTargets", "DeregisterTargets", "ChangeResourceRecordSets"];

/// A pair at rest: each member steers a target group and a record.
#[derive(Debug)]
pub(crate) struct Steady {
    /// For how long calls were counted.
    pub(crate) window: Duration,
    /// Reads by action.
    pub(crate) reads: BTreeMap<String, u64>,
    /// All other reads by action, or path of the instance metadata.
    pub(crate) other_reads: BTreeMap<String, u64>,
    pub(crate) writes: u64,
    /// Resident memory in bytes at the end, of the member that takes more.
    pub(crate) resident: u64,
}

/// Counts for `window`.
pub(crate) fn run(program: &Path, directory: &Path, window: Duration) -> Result<Steady> {
    let names = ["one", "other"].map(str::to_owned);
    // Fast: the pair is to be at rest soon. The daemons' own pace is real.
    let stage = Stage::start(program, directory, &names, Duration::from_millis(20))?;
    let mut tables = String::new();
    let owned: Vec<_> =
        names.iter().map(|name| Ok(stage.address(name)?.to_string())).collect::<Result<_>>()?;
    for kind in [Kind::TargetGroup, Kind::Record] {
        tables += &stage.object(kind)?.table(&owned);
    }
    let [one, other] = [Node::new(&stage, &names[0])?, Node::new(&stage, &names[1])?];
    let processes = [one.start(&stage, &tables, &[&other])?, other.start(&stage, &tables, &[&one])?];
    one.wait_until_fulfilled()?;
    other.wait_until_fulfilled()?;
    one.promote()?;
    one.wait_until_led()?;
    one.wait_until_fulfilled()?;
    other.wait_until_fulfilled()?;
    // What the promotion leads to comes to an end: the change spreads, and both members have seen it.
    std::thread::sleep(Duration::from_secs(3));

    let clock = Clock::system();
    let began = clock.now();
    std::thread::sleep(window);
    let window = began.age_at(clock.now());
    let (mut reads, mut other_reads, mut writes) = (BTreeMap::new(), BTreeMap::new(), 0);
    for call in stage.cloud.calls() {
        if began.age_at(call.received).is_zero() {
            continue;
        }
        if WRITES.contains(&call.action.as_str()) {
            writes += 1;
        } else {
            let reads = if READS.contains(&call.action.as_str()) { &mut reads } else { &mut other_reads };
            *reads.entry(call.action).or_default() += 1;
        }
    }
    let [one, other] = processes.map(|process| process.resident());
    Ok(Steady { window, reads, other_reads, writes, resident: one?.max(other?) })
}
