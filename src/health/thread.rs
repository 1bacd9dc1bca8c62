//! The health thread: its supervisor runs what the [`Plan`] says, and a panic on it ends the process.
//!
//! The thread has its own single-threaded runtime, so that the control plane, however slow, never delays an answer to a
//! load balancer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::abort::AbortOnPanic;
use super::accept::Acceptor;
use super::listener::Listener;
use super::server_config::{Plan, Purpose, Service};
use crate::tls::ReloadingCertificate;

/// How long the thread's end may wait for a certificate file that hangs.
const FILES_TIMEOUT: Duration = Duration::from_millis(100);

/// How long connections of an inherited socket may take to finish once it is handed over. A check takes milliseconds;
/// later clients wait for the next process.
const HAND_OVER_TIMEOUT: Duration = Duration::from_millis(250);

/// What the control plane asks of the thread; answering is the answer.
#[derive(Debug)]
pub(super) enum Question {
    /// Whether it runs.
    Turning(oneshot::Sender<()>),
    /// To leave the inherited sockets to the next process.
    HandOver(oneshot::Sender<()>),
}

struct Supervisor {
    service: Arc<Service>,
    acceptors: Vec<Running>,
    follower: Option<(Arc<ReloadingCertificate>, AbortHandle)>,
    tasks: JoinSet<()>,
    /// Gives the slots for handshakes, for as long as there are connections.
    giver: JoinSet<()>,
}

struct Running {
    listener: Arc<Listener>,
    purpose: Purpose,
    closing: CancellationToken,
    ended: CancellationToken,
}

/// The thread's main function: runs until the sender of the plan is gone, then finishes what is open.
pub(super) fn run(
    runtime: tokio::runtime::Runtime,
    service: Arc<Service>,
    questions: mpsc::Receiver<Question>,
) {
    let _alarm = AbortOnPanic;
    let plan = service.plan.clone();
    let tasks = JoinSet::new();
    let supervisor =
        Supervisor { service, acceptors: Vec::new(), follower: None, tasks, giver: JoinSet::new() };
    runtime.block_on(supervisor.run(plan, questions));
    runtime.shutdown_timeout(FILES_TIMEOUT);
}

// === impl Supervisor ===

impl Supervisor {
    async fn run(mut self, mut plan: watch::Receiver<Plan>, mut questions: mpsc::Receiver<Question>) {
        plan.mark_changed();
        let giving = Arc::clone(&self.service.handshakes).give();
        self.giver.spawn(async move {
            let _alarm = AbortOnPanic;
            giving.await;
        });
        loop {
            // Every arm may be cancelled: a plan not seen stays changed, a question not taken stays in its queue,
            // a task not joined stays in its set.
            tokio::select! {
                changed = plan.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let plan = plan.borrow_and_update().clone();
                    self.follow(&plan);
                }
                Some(question) = questions.recv() => match question {
                    Question::Turning(answer) => {
                        if answer.send(()).is_err() {
                            debug!("the caller that asked for a pulse did not wait");
                        }
                    }
                    Question::HandOver(answer) => self.hand_over(answer),
                },
                Some(_ended) = self.tasks.join_next() => {}
            }
        }
        self.finish().await;
    }

    /// Starts what the plan has and is not running, and stops what is running and not in the plan.
    fn follow(&mut self, plan: &Plan) {
        let wanted = |running: &Running| {
            plan.listeners.iter().any(|(listener, purpose)| {
                Arc::ptr_eq(listener, &running.listener) && *purpose == running.purpose
            })
        };
        self.acceptors.retain(|running| {
            let keep = wanted(running);
            if !keep {
                info!(address = %running.listener.local(), "no longer listening");
                running.closing.cancel();
            }
            keep
        });
        for (listener, purpose) in &plan.listeners {
            if !self.acceptors.iter().any(|running| Arc::ptr_eq(&running.listener, listener)) {
                self.accept_from(listener, *purpose);
            }
        }
        self.follow_certificate(plan.server_config.tls.as_ref());
    }

    fn accept_from(&mut self, listener: &Arc<Listener>, purpose: Purpose) {
        let acceptor = match Acceptor::new(Arc::clone(listener), purpose, Arc::clone(&self.service)) {
            Ok(acceptor) => acceptor,
            Err(error) => {
                error!(%error, address = %listener.local(), "failed to wait for connections; giving up");
                std::process::abort();
            }
        };
        let (closing, ended) = (CancellationToken::new(), CancellationToken::new());
        let accepting = acceptor.run(closing.clone());
        let ending = ended.clone().drop_guard();
        self.tasks.spawn(async move {
            let (_alarm, _ending) = (AbortOnPanic, ending);
            accepting.await;
        });
        self.acceptors.push(Running { listener: Arc::clone(listener), purpose, closing, ended });
        info!(
            address = %listener.local(),
            purpose = purpose.word(),
            inherited = listener.is_inherited(),
            "listening"
        );
    }

    fn follow_certificate(&mut self, wanted: Option<&Arc<ReloadingCertificate>>) {
        match (&self.follower, wanted) {
            (None, None) => return,
            (Some((running, _)), Some(wanted)) if Arc::ptr_eq(running, wanted) => return,
            (Some(_), _) | (None, Some(_)) => {}
        }
        if let Some((_, task)) = self.follower.take() {
            task.abort();
        }
        self.follower = wanted.map(|wanted| {
            let following = Arc::clone(wanted).follow();
            let task = self.tasks.spawn(async move {
                let _alarm = AbortOnPanic;
                following.await;
            });
            (Arc::clone(wanted), task)
        });
    }

    /// Stops accepting from inherited sockets, lets their connections finish, and answers.
    fn hand_over(&mut self, answer: oneshot::Sender<()>) {
        let (leaving, staying): (Vec<_>, Vec<_>) =
            self.acceptors.drain(..).partition(|running| running.listener.is_inherited());
        self.acceptors = staying;
        let service = Arc::clone(&self.service);
        self.tasks.spawn(async move {
            let _alarm = AbortOnPanic;
            let some_leave = !leaving.is_empty();
            for running in leaving {
                running.closing.cancel();
                running.ended.cancelled().await;
            }
            // Connections of other listeners may come meanwhile; they have the whole of the end to finish.
            if some_leave && tokio::time::timeout(HAND_OVER_TIMEOUT, service.seats.empty()).await.is_err() {
                debug!("some connections were not finished when their socket was handed over");
            }
            if answer.send(()).is_err() {
                debug!("the caller that handed the sockets over did not wait");
            }
        });
    }

    /// Closes all ports and lets the requests in flight finish. Each has deadlines of its own, so this ends.
    async fn finish(mut self) {
        if let Some((_, task)) = self.follower.take() {
            task.abort();
        }
        for running in self.acceptors.drain(..) {
            running.closing.cancel();
        }
        while self.tasks.join_next().await.is_some() {}
        self.service.seats.empty().await;
    }
}

// === impl Purpose ===

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::AgentCheck => "agent-check",
        }
    }
}
