//! From the role's change to the accepted write.
//!
//! A promotion is timed from before the instance's answer is replaced until the cloud has carried out the write
//! that leads clients to the new primary. That is by the cloud's own record, which has the same clock. Each has
//! an object of its own, which led to another member before. The contenders take turns, several rounds of them: a
//! disturbance of the machine then meets all alike.
//!
//! | contender | what the time includes |
//! |---|---|
//! | raw calls | two calls, a read and a write, on a connection that is open; called by this program, asks no instance |
//! | raw calls, asking | before them one run of the instance's command, without which the role is unknown |
//! | warm | the log line that wakes the daemon, the instance's command, the verdict, authority, one write |
//! | cold | from before its start: configuration, the instance's command, credentials and identity from the instance metadata, the peer's report, reads, one write |
//! | call-outs | their start at once, credentials from the instance metadata, a read and a write |

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};
use mirrorvip::clock::Clock;

use super::Extent;
use super::rivals::{Raw, Rival};
use super::stage::{Kind, Node, OLD, Object, Stage};
use crate::flips::phase;

/// A daemon that was started is left alone at least so long before its promotion.
const SHORTEST_REST: Duration = Duration::from_millis(300);

/// How long each contender took in one round, for one kind of object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) raw: Duration,
    pub(crate) raw_asking: Duration,
    pub(crate) warm: Duration,
    /// Of the same promotion, until the daemon's own page says SUCCESS.
    pub(crate) warm_page: Duration,
    pub(crate) cold: Duration,
    pub(crate) boto3: Duration,
    pub(crate) command_line: Duration,
}

/// A round: for a target group, then for a record.
pub(crate) type Round = [Times; 2];

const KINDS: [Kind; 2] = [Kind::TargetGroup, Kind::Record];

/// The stage with all contenders.
struct Contest {
    stage: Stage,
    old: Node,
    /// One for each kind.
    warm: [Node; 2],
    cold: Node,
    rival: Node,
    raw: Node,
    connection: Raw,
    rest: Duration,
}

/// Measures them, round by round.
pub(crate) fn run(program: &Path, directory: &Path, extent: Extent) -> Result<Vec<Round>> {
    let names = ["group", "record", "cold", "rival", "raw"].map(str::to_owned);
    // At the pace of AWS: what the objects do afterwards disturbs no measurement.
    let stage = Stage::start(program, directory, &names, Duration::from_secs(1))?;
    let node = |name| Node::new(&stage, name);
    let mut contest = Contest {
        old: node(OLD)?,
        warm: [node("group")?, node("record")?],
        cold: node("cold")?,
        rival: node("rival")?,
        raw: node("raw")?,
        connection: Raw::connect(&stage, "raw")?,
        rest: extent.rest,
        stage,
    };
    let _old = contest.old.start(&contest.stage, "", &[])?;
    contest.old.wait_until_ready()?;
    let rounds = (0..=extent.handovers).map(|number| {
        let what = format!("promotions, round {number} of {}", extent.handovers);
        crate::announced(&what, || contest.round(number))
    });
    let mut rounds = rounds.collect::<Result<Vec<_>>>()?;
    // The first one has brought all files into memory.
    rounds.remove(0);
    Ok(rounds)
}

// === impl Contest ===

impl Contest {
    fn round(&mut self, number: usize) -> Result<Round> {
        let warm = self.warm(number)?;
        let Self { stage, old, cold, rival, raw, connection, .. } = self;
        let mut times = |kind, (warm, warm_page)| -> Result<Times> {
            Ok(Times {
                raw: bare(stage, raw, connection, kind, false)?,
                raw_asking: bare(stage, raw, connection, kind, true)?,
                warm,
                warm_page,
                cold: found(stage, old, cold, kind)?,
                boto3: call_out(stage, rival, Rival::Boto3, kind)?,
                command_line: call_out(stage, rival, Rival::CommandLine, kind)?,
            })
        };
        Ok([times(KINDS[0], warm[0])?, times(KINDS[1], warm[1])?])
    }

    /// Promotions of two daemons that have run as the backup for a while; until the write was accepted, and until
    /// the page flipped.
    fn warm(&self, number: usize) -> Result<[(Duration, Duration); 2]> {
        let Self { stage, old, warm: nodes, rest, .. } = self;
        let objects = [stage.object(KINDS[0])?, stage.object(KINDS[1])?];
        let start = |index: usize| {
            let (node, object) = (&nodes[index], &objects[index]);
            node.rest()?;
            let daemon = node.start(stage, &table(stage, object, node)?, &[old])?;
            node.wait_until_fulfilled()?;
            Ok::<_, anyhow::Error>(daemon)
        };
        let _daemons = [start(0)?, start(1)?];
        // Into every phase of the daemons' own timers: the peer's report is sometimes fresh and sometimes not.
        std::thread::sleep(SHORTEST_REST + rest.mul_f64(phase(number)));
        let promote = |index: usize| {
            let (node, object) = (&nodes[index], &objects[index]);
            let began = node.promote()?;
            let accepted = stage.wait_until_accepted(object, &node.name)?;
            let page = node.page_flipped()?.duration_since(began.to_utc()).unsigned_abs();
            Ok::<_, anyhow::Error>((began.age_at(accepted), page))
        };
        Ok([promote(0)?, promote(1)?])
    }
}

/// One promotion that a daemon finds when it starts.
fn found(stage: &Stage, old: &Node, node: &Node, kind: Kind) -> Result<Duration> {
    let object = stage.object(kind)?;
    let tables = table(stage, &object, node)?;
    node.promote()?;
    let began = Clock::system().now();
    let _daemon = node.start(stage, &tables, &[old])?;
    let accepted = stage.wait_until_accepted(&object, &node.name)?;
    Ok(began.age_at(accepted))
}

/// One promotion that two bare calls follow; with `asking`, they wait for the instance's answer.
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
