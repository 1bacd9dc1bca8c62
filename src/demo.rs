//! `mirrorvip demo`: a whole mirror on loopback, and what load balancer and clients see when it fails over.
//!
//! Three members, each a complete daemon in a process of its own with the real health listener, the real
//! probe code and the real AWS SDK; only the instances that they ask and the cloud that they steer are
//! simulated, by [`simulation`](crate::simulation). This module owns the stage: processes, the simulated instances' ports, the observers, and the order in which
//! all of it begins and ends. What happens on it is in `scenario`, what it looks like in `timeline`.
//!
//! ```text
//! simulated mirror ─ iris qlist, messages.log ─► daemons A B C ─ status page ─► balancer ◄─ client
//!        │                                          │                             │          │
//!        │                                     └─ AWS APIs ─► cloud ─ checks, watch ──┐    │          │
//!        └────────────── the stage ◄── reports ── sampler ◄──────────────────────┴────┴──────────┘
//! ```
//!
//! Everything ends with the demo, however it ends: daemons are told to die with their parent, simulated
//! commands end when the directory is gone, and the directory is removed.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::simulation::{FakeIrisError, MemberId, SimulationError, Timing};

mod balancer;
mod board;
mod client;
mod cloud;
mod commands;
mod directory;
mod http;
mod member;
mod names;
mod report;
mod sampler;
mod scenario;
mod snapshot;
mod stage;
mod status;
mod timeline;

use directory::Directory;
use stage::Stage;
use timeline::{Timeline, span};

/// Name of the simulated mirror.
const MIRROR_NAME: &str = "DEMO";
/// Path of the status page.
const PAGE_PATH: &str = "/csp/bin/mirror_status.cxw";

/// How fast the simulated mirror fails over. The detection time is its quality of service timeout; the
/// transition is longer than a daemon takes to see that the old primary is none any more.
const TIMING: Timing = Timing {
    handover: Duration::from_millis(250),
    detection: Duration::from_millis(2_500),
    transition: Duration::from_millis(600),
    startup: Duration::from_millis(300),
    catch_up: Duration::from_millis(400),
};
/// Settings of the daemons, a quarter to a third of their defaults, as the mirror's own timeout is.
const ASK_INTERVAL: Duration = Duration::from_millis(250);
const ASK_TIMEOUT: Duration = Duration::from_millis(750);
const STALE_AFTER: Duration = Duration::from_millis(1_500);
/// How long the page of a member may say SUCCESS beside a later primary's that its daemon can reach: a round of questions,
/// every half of the mirror's timeout, and what an answer may take.
const SUPERSEDED_WITHIN: Duration = Duration::from_millis(1_250 + 2_000);
/// Checks of the load balancer, a tenth of the pace of a real one.
const BALANCER: balancer::Settings = balancer::Settings {
    interval: Duration::from_millis(500),
    timeout: Duration::from_millis(400),
    threshold: 2,
    path: PAGE_PATH,
};
/// Pause of the sampler between two looks at a page.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(15);
/// Pause of the client between two attempts.
const CLIENT_INTERVAL: Duration = Duration::from_millis(50);

/// What the demo is asked to do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Leave it running after the scenarios, and take commands.
    pub keep: bool,
    /// Directory for its files: must be empty or missing, and is left as it is at the end. Without one a
    /// temporary directory is used and removed.
    pub directory: Option<PathBuf>,
    /// The program whose `run` is the daemon; this very program when absent.
    pub program: Option<PathBuf>,
}

/// What the demo measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// One entry a scenario, in order.
    pub scenarios: Vec<Figures>,
    /// How many answers of status pages were looked at; never did two members of the mirror answer SUCCESS together.
    pub samples: u64,
    /// How long the page of the member that came back from a snapshot said SUCCESS, at most.
    pub reverted_page: Duration,
    /// How often the members changed the cloud; each time its primary did it, and nothing was left empty.
    pub writes: usize,
}

/// What one failover took. But for the last two, counted from the moment at which the new primary's
/// instance was it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Which scenario.
    pub scenario: &'static str,
    /// Until its daemon ruled that it is the primary; `None` when the daemon's status did not tell.
    pub role_seen: Option<Duration>,
    /// Until its status page was first seen to answer 200.
    pub page_flipped: Duration,
    /// Until the load balancer found it healthy.
    pub balancer_switched: Duration,
    /// Until the cloud's target group sent new connections to its healthy target, and to no other.
    pub group_follows: Duration,
    /// Until resolvers answered the record with its address.
    pub record_follows: Duration,
    /// Until the client first got its answer. A load balancer that fails open may be quicker with that than
    /// with its checks.
    pub client_reached: Duration,
    /// How long the client had been without any answer; `None` when it never was.
    pub outage: Option<Duration>,
    /// From when the old primary hung until its page stopped saying 200 by itself; `None` when it did not hang.
    pub old_page_expired: Option<Duration>,
}

/// Why the demo ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The directory for its files cannot be used.
    #[error("failed to use the directory {path} for the demo")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The simulated `iris` command does not run.
    #[error("failed to set up the simulated instances (--directory puts them elsewhere)")]
    FakeIris(#[source] FakeIrisError),
    /// The simulated mirror could not do what the scenario says.
    #[error("failed to simulate the mirror")]
    Simulation(#[from] SimulationError),
    /// Something of the demo itself could not be set up.
    #[error("failed to {what}")]
    SetUp {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A daemon could not be started.
    #[error("failed to start the daemon of {member}")]
    Start {
        /// Whose.
        member: MemberId,
        /// Why.
        source: io::Error,
    },
    /// A daemon ended by itself.
    #[error("the daemon of {member} ended with {status}; the end of its log:\n{log}")]
    MemberEnded {
        /// Whose.
        member: MemberId,
        /// How.
        status: ExitStatus,
        /// Its last lines.
        log: String,
    },
    /// Something that had to happen did not.
    #[error("waited {limit:?} in vain for {what}")]
    NotInTime {
        /// What.
        what: String,
        /// For how long.
        limit: Duration,
    },
    /// What must never happen.
    #[error("{first} and {second} answered SUCCESS in overlapping windows: {windows}")]
    TwoSuccess {
        /// One member.
        first: MemberId,
        /// The other.
        second: MemberId,
        /// When.
        windows: String,
    },
    /// What must never happen, either.
    #[error("{member} sent {action} to the cloud at {at:?}, when it was not primary")]
    WroteWithoutRole {
        /// Who.
        member: MemberId,
        /// What.
        action: String,
        /// When, since the demo began.
        at: Duration,
    },
    /// Nor this.
    #[error("the cloud led clients to nobody: {0}")]
    Empty(String),
    /// The machine has no ports or file descriptors left.
    #[error(
        "the machine ran out of ports or file descriptors while the demo was looking; try again in a minute"
    )]
    Exhausted(#[source] io::Error),
    /// A part of the demo itself ended: a bug.
    #[error("a part of the demo ended unexpectedly")]
    ObserverEnded,
    /// A signal ended it.
    #[error("interrupted")]
    Interrupted,
    /// Its output could not be written.
    #[error("failed to write the timeline")]
    Output(#[source] io::Error),
}

/// Runs the demo from beginning to end and writes the timeline, with colours, to `out`.
///
/// When this returns, or is dropped, no process of the demo is left. Daemons die with the *thread* that
/// started them: run it on a current-thread runtime, or on worker threads that last as long as the demo.
/// SIGINT, SIGTERM and SIGHUP end it with [`DemoError::Interrupted`]; once the scenarios are over and it was
/// only kept running, they end it well.
pub async fn run(options: Options, out: &mut (dyn Write + Send)) -> Result<Summary, DemoError> {
    let mut signals = Signals::new()?;
    let directory = Directory::create(options.directory.as_deref())?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()
            .map_err(|source| DemoError::SetUp { what: "find this program's own file", source })?,
    };
    let mut timeline = Timeline::new(out);
    introduce(&mut timeline).map_err(DemoError::Output)?;
    let set_up = signals.or(Stage::set_up(&program, directory.path(), timeline)).await;
    let result = match set_up {
        Ok(mut stage) => {
            let result = play(&options, &mut stage, &mut signals).await;
            stage.shut_down().await;
            result
        }
        Err(error) => Err(error),
    };
    // The reason why the demo failed matters more than the directory that it left.
    let removed = directory.remove();
    let summary = result?;
    removed?;
    Ok(summary)
}

async fn play(options: &Options, stage: &mut Stage<'_>, signals: &mut Signals) -> Result<Summary, DemoError> {
    let summary = signals.or(scenario::play_all(stage)).await?;
    if options.keep {
        match signals.or(commands::take(stage)).await {
            Ok(()) | Err(DemoError::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(summary)
}

fn introduce(timeline: &mut Timeline<'_>) -> io::Result<()> {
    timeline.text(&format!(
        "A simulated IRIS mirror on loopback: A and B fail over to each other, C is an
asynchronous member for disaster recovery. Each has a real mirrorvip daemon that
asks `iris qlist` every {ask} and believes an answer for {stale}; by default
that is 1 s and 4 s. The mirror's quality of service timeout is {qos} (8 s by
default). The load balancer checks the pages every {check} and changes its mind
after {threshold} checks in a row, which takes {low} to {high}: a Network Load
Balancer that checks every 5 s needs 5 to 10 s, one that checks every 10 s needs
10 to 20 s. Like it, this one sends to all members when none is healthy (it
fails open), and cuts the connections to a member that becomes unhealthy.
Beside it the primary's daemon steers a simulated AWS: a target group with the
primary alone in it, and the record {record}. There a target is
registered within {registration} (AWS: minutes) and a record in sync within
{insync} (AWS: up to a minute).",
        record = cloud::RECORD,
        registration = span(cloud::REGISTRATION),
        insync = span(cloud::INSYNC),
        ask = span(ASK_INTERVAL),
        stale = span(STALE_AFTER),
        qos = span(TIMING.detection),
        check = span(BALANCER.interval),
        threshold = BALANCER.threshold,
        low = span(BALANCER.interval * (BALANCER.threshold - 1)),
        high = span(BALANCER.interval * BALANCER.threshold),
    ))
}

/// The signals that end the demo.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self, DemoError> {
        let listen =
            |kind| signal(kind).map_err(|source| DemoError::SetUp { what: "listen for signals", source });
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    /// Does `work`, unless a signal comes first: then it is dropped where it waits.
    async fn or<T>(&mut self, work: impl Future<Output = Result<T, DemoError>>) -> Result<T, DemoError> {
        let Self([interrupt, terminate, hangup]) = self;
        tokio::select! {
            biased;
            _ = interrupt.recv() => Err(DemoError::Interrupted),
            _ = terminate.recv() => Err(DemoError::Interrupted),
            _ = hangup.recv() => Err(DemoError::Interrupted),
            result = work => result,
        }
    }
}
