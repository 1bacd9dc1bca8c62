//! What a loop follows, and what follows from it for one turn.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::Intent;
use super::super::arbiter::{ArbiterHandle, Authority};
use crate::clock::Clock;
use crate::role::{Origin, Permit};
use crate::snapshot::Snapshot;

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

/// What one turn is for.
#[derive(Clone, Debug)]
pub(super) struct TurnInput {
    pub(super) intent: Intent,
    /// Whether authority was clear when it was last asked, which is worth another look when it becomes so.
    pub(super) clear: bool,
    /// The term that is planned with; zero where nothing is taken.
    pub(super) term: u64,
    /// The right to write, if the intent is to lead.
    pub(super) permit: Option<Permit>,
    /// Whether this process saw the promotion.
    pub(super) promoted: bool,
}

// === impl TurnInput ===

impl TurnInput {
    /// Whether there is something to do that there was not at the time of `before`.
    pub(super) fn calls_for_another_look(&self, before: &Self) -> bool {
        !self.intent.agrees_with(&before.intent)
            || (self.clear && !before.clear)
            || (self.term > before.term && before.clear)
    }
}

// === impl LoopInputs ===

impl LoopInputs {
    /// What to bring about at this moment.
    pub(super) fn aim(&self) -> TurnInput {
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

    /// How often to look when nothing happens.
    pub(super) fn drift(&self) -> Duration {
        *self.drift.borrow()
    }

    /// Until what there is to bring about `differs`, or the pace of drift checks has changed. Cancel-safe.
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

    /// Until what there is to bring about `differs`. Cancel-safe.
    pub(super) async fn changed(&mut self, differs: impl Fn(&TurnInput) -> bool) {
        loop {
            // Marked as seen before it is looked at: a change in between is seen at the next turn.
            self.snapshot.borrow_and_update();
            self.authority.borrow_and_update();
            if differs(&self.aim()) {
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
