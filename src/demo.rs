//! `mirrorvip demo`: a whole mirror on loopback, and what load balancer and clients see when it fails over.
//!
//! Three members, each a complete daemon in a process of its own with the real health listener, the real
//! probe code and the real AWS SDK; only the instances that they ask and the cloud that they steer are
//! simulated, by [`simulation`](crate::simulation). `stage` owns the processes, ports and observers; `scenario` says what
//! happens; `timeline` prints it.
//!
//! ```text
//! simulated mirror ─ iris qlist, messages.log ─► daemons A B C ─ status page ─► balancer ◄─ client
//!        │                                          │                             │          │
//!        │                                     └─ AWS APIs ─► cloud ─ checks, watch ──┐    │          │
//!        └────────────── the stage ◄── reports ── sampler ◄──────────────────────┴────┴──────────┘
//! ```
//!
//! Nothing outlives the demo, however it ends: a daemon exits with its parent, a simulated command exits once its
//! directory is gone, and the demo removes the directory.

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

/// How fast the simulated mirror fails over. The detection time is its quality of service timeout. The transition is
/// longer than a daemon needs to see that the old primary lost the role.
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
/// How long a superseded member's page may say SUCCESS while its daemon can reach the later primary: one interval between
/// rounds of questions to peers (half of the mirror's timeout) and the time limit of one answer.
const SUPERSEDED_WITHIN: Duration = Duration::from_millis(1_250 + 2_000);
/// Health checks, ten times as fast as those of a real load balancer.
const BALANCER: balancer::Settings = balancer::Settings {
    interval: Duration::from_millis(500),
    timeout: Duration::from_millis(400),
    threshold: 2,
    path: PAGE_PATH,
};
/// Pause of the sampler between two requests for a page.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(15);
/// Pause of the client between two attempts.
const CLIENT_INTERVAL: Duration = Duration::from_millis(50);

/// What the demo does.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Leave it running after the scenarios, and take commands.
    pub keep: bool,
    /// Directory for its files: must be empty or missing, and is kept at the end. Without one a
    /// temporary directory is used and removed.
    pub directory: Option<PathBuf>,
    /// The program whose `run` is the daemon; this program if absent.
    pub program: Option<PathBuf>,
}

/// What the demo measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// One entry per scenario, in order.
    pub scenarios: Vec<Figures>,
    /// How many answers of status pages were compared; no two members answered SUCCESS at the same time.
    pub samples: u64,
    /// How long the page of the member that came back from a snapshot said SUCCESS, at most.
    pub reverted_page: Duration,
    /// How often members changed the cloud; each time it was the primary, and no pool or record became empty.
    pub writes: usize,
}

/// How long one failover took. All but the last two count from the moment the new instance became primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Which scenario.
    pub scenario: &'static str,
    /// Until its daemon ruled that it is the primary; `None` if the daemon's status did not say.
    pub role_seen: Option<Duration>,
    /// Until its status page first answered 200.
    pub page_flipped: Duration,
    /// Until the load balancer found it healthy.
    pub balancer_switched: Duration,
    /// Until the cloud's target group sent new connections to its healthy target, and to no other.
    pub group_follows: Duration,
    /// Until resolvers answered the record with its address.
    pub record_follows: Duration,
    /// Until the client first got an answer from it. A load balancer that fails open may send clients there before its
    /// checks pass.
    pub client_reached: Duration,
    /// How long the client had no answer; `None` if it always had one.
    pub outage: Option<Duration>,
    /// From the hang of the old primary until its page stopped answering 200; `None` if it did not hang.
    pub old_page_expired: Option<Duration>,
}

/// Why the demo stopped early.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The simulated `iris` command does not run.
    #[error("failed to set up the simulated instances (--directory puts them elsewhere)")]
    FakeIris(#[source] FakeIrisError),
    /// The simulated mirror could not do what the scenario says.
    #[error("failed to simulate the mirror")]
    Simulation(#[from] SimulationError),
    /// The demo could not set up one of its parts: its directory, a port, a daemon.
    #[error("failed to {what}")]
    SetUp {
        /// What.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// A daemon exited on its own.
    #[error("the daemon of {member} exited with {status}; the end of its log:\n{log}")]
    MemberEnded {
        /// Whose.
        member: MemberId,
        /// How.
        status: ExitStatus,
        /// Its last lines.
        log: String,
    },
    /// An expected event did not happen in time.
    #[error("gave up waiting for {what} after {limit:?}")]
    NotInTime {
        /// What.
        what: String,
        /// For how long.
        limit: Duration,
    },
    /// The daemons broke an invariant: two members answered SUCCESS at the same time, a member wrote to the cloud without
    /// being primary, or a pool or record became empty.
    #[error("{0}")]
    Violation(String),
    /// The machine has no ports or file descriptors left.
    #[error("the machine ran out of ports or file descriptors during the demo; try again in a minute")]
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

impl DemoError {
    /// For `map_err`: the demo failed to do `what`.
    fn set_up(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::SetUp { what, source }
    }
}

/// Runs the demo from beginning to end and writes the timeline, with colours, to `out`.
///
/// When this returns, or is dropped, no process of the demo is left. Daemons die with the *thread* that
/// started them: run it on a current-thread runtime, or on worker threads that last as long as the demo.
/// SIGINT, SIGTERM and SIGHUP end it with [`DemoError::Interrupted`]; after the scenarios, while it is only kept running,
/// they end it with success.
pub async fn run(options: Options, out: &mut (dyn Write + Send)) -> Result<Summary, DemoError> {
    let mut signals = Signals::new()?;
    let directory = Directory::create(options.directory.as_deref())?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(DemoError::set_up("find this program's own file"))?,
    };
    let mut timeline = Timeline::new(out);
    introduce(&mut timeline)?;
    let set_up = signals.or(Stage::set_up(&program, directory.path(), timeline)).await;
    let result = match set_up {
        Ok(mut stage) => {
            let result = play(&options, &mut stage, &mut signals).await;
            stage.shut_down().await;
            result
        }
        Err(error) => Err(error),
    };
    // A failure of the demo is reported before a failure to remove its directory.
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

fn introduce(timeline: &mut Timeline<'_>) -> Result<(), DemoError> {
    timeline.text(&format!(
        "A simulated IRIS mirror on loopback: A and B fail over to each other, C is an
asynchronous disaster recovery member. Each has a real mirrorvip daemon that
runs `iris qlist` every {ask} and trusts an answer for {stale}; by default
that is 1 s and 4 s. The mirror's quality of service timeout is {qos} (8 s by
default). The load balancer checks the pages every {check} and switches after
{threshold} equal results in a row, which takes {low} to {high}: a Network Load
Balancer that checks every 5 s needs 5 to 10 s, one that checks every 10 s needs
10 to 20 s. Like an NLB, it sends to all members when none is healthy (it fails
open) and cuts the connections to a member that becomes unhealthy.
The primary's daemon also steers a simulated AWS: a target group that contains
only the primary, and the record {record}. A target is registered
within {registration} (AWS: minutes), and a record is in sync within {insync} (AWS: up
to a minute).",
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
        let listen = |kind| signal(kind).map_err(DemoError::set_up("listen for signals"));
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    /// Runs `work` until it ends or a signal arrives, which drops it.
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
