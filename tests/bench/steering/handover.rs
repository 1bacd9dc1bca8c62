//! From the role's change to the accepted write.
//!
//! A promotion is timed from before the instance's answer is replaced until the cloud has carried out the write
//! that leads clients to the new primary. That is by the cloud's own record, which has the same clock. Each has
//! an object of its own, which led to another member before.
//!
//! | contender | what the time includes |
//! |---|---|
//! | raw calls | two calls, a look and a write, on a connection that is open; told by this program, asks nobody |
//! | raw calls, asking | before them one run of the instance's command, without which nobody knows the role |
//! | warm | the log line that wakes the daemon, the instance's command, the verdict, authority, one write |
//! | cold | from before its start: configuration, the instance's command, credentials and identity from the instance metadata, the peer's word, looks, one write |
//! | call-outs | their start at once, credentials from the instance metadata, a look and a write |

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use mirrorvip::clock::Clock;

use super::Extent;
use super::rivals::{Raw, Rival};
use super::stage::{Kind, Node, OLD, Object, Stage};
use crate::flips::phase;

/// A daemon that was started is left alone at least so long before its promotion.
const SHORTEST_REST: Duration = Duration::from_millis(300);

/// How long one contender took for one kind of object each time, sorted.
pub(crate) type Series = Vec<Duration>;

/// All promotions, by [`Kind`]: target groups, then records.
#[derive(Debug)]
pub(crate) struct Handovers {
    pub(crate) raw: [Series; 2],
    pub(crate) raw_asking: [Series; 2],
    pub(crate) warm: [Series; 2],
    /// Of the same promotions, until the daemon's own page says SUCCESS.
    pub(crate) warm_page: [Series; 2],
    pub(crate) cold: [Series; 2],
    pub(crate) boto3: [Series; 2],
    pub(crate) command_line: [Series; 2],
}

const KINDS: [Kind; 2] = [Kind::TargetGroup, Kind::Record];

/// Measures them one after the other.
pub(crate) fn run(program: &Path, directory: &Path, extent: Extent) -> Result<Handovers> {
    let names = ["group", "record", "cold", "rival", "raw"].map(str::to_owned);
    // At the pace of AWS: what the objects do afterwards disturbs nobody.
    let stage = Stage::start(program, directory, &names, Duration::from_secs(1))?;
    let old = Node::new(&stage, OLD)?;
    let _old = old.start(&stage, "", &[])?;
    old.wait_until_ready()?;
    let count = extent.handovers;

    // Side by side, since they rest most of the time.
    let lanes = [("group", Kind::TargetGroup, 0), ("record", Kind::Record, count)];
    let [groups, records] = crate::announced("promotions of warm daemons", || {
        std::thread::scope(|scope| {
            let (stage, old) = (&stage, &old);
            let lanes = lanes.map(|(name, kind, first)| {
                scope.spawn(move || warm(stage, old, name, kind, first..first + count, extent.rest))
            });
            let [groups, records] = lanes.map(|lane| lane.join().map_err(|_| anyhow!("a lane panicked")));
            Ok([groups??, records??])
        })
    })?;
    let node = Node::new(&stage, "cold")?;
    let cold = each_kind("promotions of cold daemons", count, |kind| cold(&stage, &old, &node, kind))?;
    let node = Node::new(&stage, "raw")?;
    let mut raw = Raw::connect(&stage, &node.name)?;
    let told = each_kind("raw calls", count, |kind| bare(&stage, &node, &mut raw, kind, false))?;
    let asking =
        each_kind("raw calls after asking", count, |kind| bare(&stage, &node, &mut raw, kind, true))?;
    let node = Node::new(&stage, "rival")?;
    let [boto3, command_line] = Rival::ALL.map(|rival| {
        each_kind(&format!("call-outs by {rival:?}"), count, |kind| call_out(&stage, &node, rival, kind))
    });
    let [(groups, group_pages), (records, record_pages)] = [groups, records].map(|lane| {
        let (mut totals, mut pages): (Series, Series) = lane.into_iter().unzip();
        totals.sort_unstable();
        pages.sort_unstable();
        (totals, pages)
    });
    Ok(Handovers {
        raw: told,
        raw_asking: asking,
        warm: [groups, records],
        warm_page: [group_pages, record_pages],
        cold,
        boto3: boto3?,
        command_line: command_line?,
    })
}

/// `count` measurements of each kind, after one that does not count: files are in memory then.
fn each_kind(
    what: &str,
    count: usize,
    mut measure: impl FnMut(Kind) -> Result<Duration>,
) -> Result<[Series; 2]> {
    let mut one_kind = |kind| -> Result<Series> {
        measure(kind)?;
        let mut found = (0..count).map(|_| measure(kind)).collect::<Result<Series>>()?;
        found.sort_unstable();
        Ok(found)
    };
    crate::announced(what, || Ok([one_kind(KINDS[0])?, one_kind(KINDS[1])?]))
}

/// Promotions of daemons that have run as the backup for a while, each with its state at the start; until the
/// write was accepted, and until the page flipped.
fn warm(
    stage: &Stage,
    old: &Node,
    name: &str,
    kind: Kind,
    numbers: std::ops::Range<usize>,
    rest: Duration,
) -> Result<Vec<(Duration, Duration)>> {
    let node = Node::new(stage, name)?;
    let one = |number| {
        let object = stage.object(kind)?;
        node.rest()?;
        let _daemon = node.start(stage, &table(stage, &object, &node)?, &[old])?;
        node.wait_until_fulfilled()?;
        // Into every phase of the daemon's own timers: the peer's word is sometimes fresh and sometimes not.
        std::thread::sleep(SHORTEST_REST + rest.mul_f64(phase(number)));
        let began = node.promote()?;
        let accepted = stage.wait_until_accepted(&object, &node.name)?;
        let page = node.page_flipped()?.duration_since(began.to_utc()).unsigned_abs();
        Ok((began.age_at(accepted), page))
    };
    numbers.map(one).collect()
}

/// One promotion that a daemon finds when it starts.
fn cold(stage: &Stage, old: &Node, node: &Node, kind: Kind) -> Result<Duration> {
    let object = stage.object(kind)?;
    let tables = table(stage, &object, node)?;
    node.promote()?;
    let began = Clock::system().now();
    let _daemon = node.start(stage, &tables, &[old])?;
    let accepted = stage.wait_until_accepted(&object, &node.name)?;
    Ok(began.age_at(accepted))
}

/// One promotion that two bare calls follow; with `asking`, they wait for the instance's word.
fn bare(stage: &Stage, node: &Node, raw: &mut Raw, kind: Kind, asking: bool) -> Result<Duration> {
    let object = stage.object(kind)?;
    node.rest()?;
    let began = node.promote()?;
    if asking {
        let answer = Command::new(node.command()).arg("qlist").stdin(Stdio::null()).output()?;
        if !answer.stdout.windows(9).any(|word| word == b"^Primary^") {
            bail!("the instance does not say that it is the primary");
        }
    }
    raw.steer(stage, &object)?;
    let accepted = stage.wait_until_accepted(&object, &node.name)?;
    Ok(began.age_at(accepted))
}

/// One promotion at which a call-out is started.
fn call_out(stage: &Stage, node: &Node, rival: Rival, kind: Kind) -> Result<Duration> {
    let object = stage.object(kind)?;
    node.rest()?;
    let began = node.promote()?;
    rival.start(stage, &object, &node.name)?.finish()?;
    let accepted = stage.wait_until_accepted(&object, &node.name)?;
    Ok(began.age_at(accepted))
}

fn table(stage: &Stage, object: &Object, node: &Node) -> Result<String> {
    let owned = [OLD, &node.name].map(|name| Ok(stage.address(name)?.to_string()));
    Ok(object.table(&owned.into_iter().collect::<Result<Vec<_>>>()?))
}
