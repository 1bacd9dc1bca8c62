//! What the observers of the demo report: a bounded queue of [`Report`]s, each with its time.

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

/// One observation.
#[derive(Debug)]
pub(crate) struct Report {
    /// When, since the demo began.
    pub(crate) at: Duration,
    /// What.
    pub(crate) observed: Observed,
}

/// What observers see.
#[derive(Debug)]
pub(crate) enum Observed {
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
    /// The load balancer changed the health of a target.
    Target {
        /// Which.
        member: MemberId,
        /// Its new health.
        healthy: bool,
    },
    /// The load balancer has no healthy target left and sends to all of them.
    FailsOpen,
    /// The client reached another member than before, or one after it had lost the service.
    ClientReached {
        /// The member.
        member: MemberId,
        /// How long ago the answer before that one came.
        since_last_answer: Option<Duration>,
    },
    /// The client has got no answer several times in a row.
    ClientLost,
    /// A member changed something in the cloud.
    Written(Box<Written>),
    /// The target group sends new connections to other members than before.
    Group {
        /// The members.
        members: Vec<MemberId>,
        /// Whether it sends to all because none is healthy.
        fails_open: bool,
    },
    /// Resolvers answer with another member's address than before.
    Record(Option<MemberId>),
    /// The user entered a command.
    Command(String),
    /// An observer ran out of ports or descriptors.
    Exhausted(io::Error),
}

/// What a status page says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Page {
    /// No answer.
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

/// The observers' end of the queue.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    /// When the demo began.
    started: Instant,
    queue: mpsc::Sender<Report>,
}

/// A queue for observations of a demo that began at `started`.
pub(crate) fn channel(started: Instant) -> (Reporter, mpsc::Receiver<Report>) {
    let (queue, reports) = mpsc::channel(QUEUE_LENGTH);
    (Reporter { started, queue }, reports)
}

impl Reporter {
    /// Time since the demo began.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Reports what was observed at `at`.
    pub(crate) async fn report(&self, at: Duration, observed: Observed) {
        // The queue closes when the demo ends, which also aborts the observer.
        let _ = self.queue.send(Report { at, observed }).await;
    }

    /// Reports an observation of this moment from a thread; returns false once the demo has ended.
    pub(crate) fn report_blocking(&self, observed: Observed) -> bool {
        self.queue.blocking_send(Report { at: self.now(), observed }).is_ok()
    }

    /// Reports `error` if it means that the machine ran out of ports or descriptors.
    pub(crate) async fn report_if_exhausted(&self, error: io::Error) {
        use rustix::io::Errno;
        let exhausted = [Errno::ADDRNOTAVAIL, Errno::MFILE, Errno::NFILE, Errno::NOBUFS];
        if Errno::from_io_error(&error).is_some_and(|errno| exhausted.contains(&errno)) {
            self.report(self.now(), Observed::Exhausted(error)).await;
        }
    }
}
