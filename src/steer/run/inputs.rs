//! What a loop follows, and the input of one turn that results from it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::arbiter::{ArbiterHandle, Authority};
use super::super::report::Report;
use super::super::{CallError, Intent};
use crate::clock::Clock;
use crate::role::{Origin, Permit};
use crate::snapshot::Snapshot;

/// What a loop needs besides its target.
#[derive(Debug)]
pub(crate) struct LoopContext {
    pub(crate) mirror: Arc<str>,
    pub(crate) snapshot: watch::Receiver<Snapshot>,
    pub(crate) arbiter: ArbiterHandle,
    pub(crate) report: watch::Sender<Report>,
    pub(crate) clock: Clock,
    /// How often to read when nothing happens.
    pub(crate) drift: watch::Receiver<Duration>,
    /// Uniform in 0..1.
    pub(crate) jitter: fn() -> f64,
    /// How to correct what a failed call reports, if its error shows that.
    pub(crate) help: fn(&CallError) -> Option<&'static str>,
    pub(crate) cancelled: CancellationToken,
}

/// What the loop follows.
#[derive(Debug)]
pub(super) struct LoopInputs {
    pub(super) snapshot: watch::Receiver<Snapshot>,
    pub(super) authority: watch::Receiver<Authority>,
    pub(super) arbiter: ArbiterHandle,
    pub(super) clock: Clock,
    pub(super) drift: watch::Receiver<Duration>,
    pub(super) cancelled: CancellationToken,
}

#[derive(Clone, Debug)]
pub(super) struct TurnInput {
    pub(super) intent: Intent,
    /// Whether authority was clear at the last consultation; the loop reads again when it becomes clear.
    pub(super) clear: bool,
    /// The term of the plan; zero where nothing is taken.
    pub(super) term: u64,
    /// The right to write, if the intent is to lead.
    pub(super) permit: Option<Permit>,
    /// Whether this process saw the promotion.
    pub(super) promoted: bool,
}

// === impl TurnInput ===

impl TurnInput {
    /// Whether there is something to do that there was not at the time of `before`.
    pub(super) fn calls_for_another_read(&self, before: &Self) -> bool {
        !self.intent.agrees_with(&before.intent)
            || (self.clear && !before.clear)
            || (self.term > before.term && before.clear)
    }
}

// === impl LoopInputs ===

impl LoopInputs {
    /// The input of a turn at this moment.
    pub(super) fn turn_input(&self) -> TurnInput {
        let now = self.clock.now();
        let (snapshot, authority) = (self.snapshot.borrow(), self.authority.borrow());
        let intent = Intent::at(&snapshot, &authority, now);
        TurnInput {
            term: if let Intent::Lead { term, .. } = intent { term } else { 0 },
            intent,
            clear: matches!(*authority, Authority::Clear { .. }),
            permit: snapshot.verdict().permit(now),
            promoted: snapshot.tracker().origin() == Some(Origin::Promoted),
        }
    }

    /// How often to read when nothing happens.
    pub(super) fn drift(&self) -> Duration {
        *self.drift.borrow()
    }

    /// Until the turn's input `differs`, or the drift interval changes. Cancel-safe.
    pub(super) async fn stirred(&mut self, differs: impl Fn(&TurnInput) -> bool) {
        let mut drift = self.drift.clone();
        tokio::select! {
            () = self.changed(differs) => {}
            changed = drift.changed() => match changed {
                Ok(()) => self.drift = drift,
                // The writer has ended: so will this loop, when it is cancelled.
                Err(_ended) => std::future::pending().await,
            },
        }
    }

    /// Until the turn's input `differs`. Cancel-safe.
    pub(super) async fn changed(&mut self, differs: impl Fn(&TurnInput) -> bool) {
        loop {
            // Marked as seen before it is read: the next turn sees a change in between.
            self.snapshot.borrow_and_update();
            self.authority.borrow_and_update();
            if differs(&self.turn_input()) {
                return;
            }
            let changed = tokio::select! {
                changed = self.snapshot.changed() => changed,
                changed = self.authority.changed() => changed,
            };
            if changed.is_err() {
                // The writers have ended: so will this loop, when it is cancelled.
                std::future::pending::<()>().await;
            }
        }
    }
}
