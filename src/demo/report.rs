//! What the observers of the demo tell its stage: a bounded queue of [`Report`]s, each with its moment.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::cloud::Written;
use super::sampler::Window;
use crate::simulation::MemberId;

/// How many reports may wait. Observers wait with them when the terminal is slow.
const QUEUE_LENGTH: usize = 256;

/// One thing that an observer saw.
#[derive(Debug)]
pub(crate) struct Report {
    /// When, on the stage's stopwatch.
    pub(crate) at: Duration,
    /// What.
    pub(crate) sight: Sight,
}

/// What observers see.
#[derive(Debug)]
pub(crate) enum Sight {
    /// A status page answers differently from before.
    Page {
        /// Whose.
        member: MemberId,
        /// What it answered before.
        from: Page,
        /// What it answers.
        to: Page,
    },
    /// Two members answered SUCCESS in overlapping windows.
    TwoSuccess(Box<[(MemberId, Window); 2]>),
    /// The load balancer changed its mind about a target.
    Target {
        /// Which.
        member: MemberId,
        /// Its mind.
        healthy: bool,
    },
    /// The load balancer has no healthy target left and sends to all of them.
    FailsOpen,
    /// The client reached another member than before, or one again after a silence.
    ClientReached {
        /// Whom.
        member: MemberId,
        /// How long ago the answer before that one came.
        since_last_answer: Option<Duration>,
    },
    /// The client has got no answer several times in a row.
    ClientLost,
    /// A member changed something in the cloud.
    Written(Box<Written>),
    /// The target group sends new connections to others than before.
    Group {
        /// To whom.
        members: Vec<MemberId>,
        /// Because none of them is healthy.
        fails_open: bool,
    },
    /// Resolvers answer with another member's address than before.
    Record(Option<MemberId>),
    /// The user wants something.
    Command(String),
    /// An observer cannot go on.
    Exhausted(io::Error),
}

/// What a status page says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Page {
    /// Nobody answers.
    #[default]
    Silent,
    /// The status code of the answer.
    Status(u16),
}

impl Page {
    /// A load balancer would send traffic there.
    pub(crate) const SUCCESS: Self = Self::Status(200);
    /// A load balancer would not.
    pub(crate) const FAILED: Self = Self::Status(503);
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("silent"),
            Self::Status(status) => write!(f, "{status}"),
        }
    }
}

/// Time since the demo began, for everybody the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    /// Starts it.
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// What it shows.
    pub(crate) fn elapsed(self) -> Duration {
        self.started.elapsed()
    }

    /// The moment at which it shows `elapsed`.
    pub(crate) fn moment(self, elapsed: Duration) -> Instant {
        self.started + elapsed
    }
}

/// The observers' end of the queue.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    stopwatch: Stopwatch,
    queue: mpsc::Sender<Report>,
}

/// The stage is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueClosed;

/// A queue whose reports are dated by `stopwatch`.
pub(crate) fn channel(stopwatch: Stopwatch) -> (Reporter, mpsc::Receiver<Report>) {
    let (queue, reports) = mpsc::channel(QUEUE_LENGTH);
    (Reporter { stopwatch, queue }, reports)
}

impl Reporter {
    /// What the stopwatch shows.
    pub(crate) fn now(&self) -> Duration {
        self.stopwatch.elapsed()
    }

    /// Tells what was seen at `at`.
    pub(crate) async fn tell(&self, at: Duration, sight: Sight) {
        // Without a stage there is nobody to tell: the observer is about to be aborted with it.
        let _ = self.queue.send(Report { at, sight }).await;
    }

    /// Tells from a thread what is seen at this moment; an error when nobody is told any more.
    pub(crate) fn tell_blocking(&self, sight: Sight) -> Result<(), QueueClosed> {
        let report = Report { at: self.now(), sight };
        self.queue.blocking_send(report).map_err(|_closed| QueueClosed)
    }

    /// Tells that something cannot go on because the machine ran out of `error`, if that is what it is.
    pub(crate) async fn tell_if_exhausted(&self, error: io::Error) {
        use rustix::io::Errno;
        let exhausted = [Errno::ADDRNOTAVAIL, Errno::MFILE, Errno::NFILE, Errno::NOBUFS];
        if Errno::from_io_error(&error).is_some_and(|errno| exhausted.contains(&errno)) {
            self.tell(self.now(), Sight::Exhausted(error)).await;
        }
    }
}
