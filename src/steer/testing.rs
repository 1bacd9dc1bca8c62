//! What tests of steering targets need: a member that serves, and its right to write.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Authority, Authorized, Intent, Step};
use crate::clock::Timestamp;
use crate::observation::{Observation, Role};
use crate::role::{Epoch, Permit, Remembered, Settings, Tracker};
use crate::snapshot::Snapshot;

/// `seconds` after a common start.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::new(Duration::from_secs(1_000 + seconds), Duration::from_secs(1_700_000_000 + seconds))
}

/// The intent to lead in epoch `number`, which must be above zero, with a term of that number.
pub(crate) fn lead(number: u64) -> Intent {
    Intent::Lead { epoch: epoch(number), term: number, certain: false }
}

/// Epoch `number`, reached as a member reaches it.
pub(crate) fn epoch(number: u64) -> Epoch {
    Serving::in_epoch(number).snapshot.tracker().epoch()
}

pub(crate) struct Serving {
    snapshot: Snapshot,
    permit: Permit,
}

impl Serving {
    /// In epoch `number`, which must be above zero.
    pub(crate) fn in_epoch(number: u64) -> Self {
        let settings = Settings { stale_after: Duration::from_secs(4), rise: NonZeroU32::MIN };
        let before = serde_json::json!({ "epoch": number - 1, "primary": false });
        let before: Remembered = serde_json::from_value(before).expect("the fields of a remembered role");
        let mut snapshot = Snapshot::new(Tracker::new(settings, Some(before)));
        let observation = Observation {
            asked_at: at(0),
            answered_at: at(0),
            outcome: Ok(Role::Primary),
            evidence: String::new(),
        };
        snapshot.rule(at(0), |tracker| tracker.observe(&observation));
        let permit = snapshot.verdict().permit(at(0)).expect("it serves");
        Self { snapshot, permit }
    }

    /// What its probe loop published.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn permit(&self) -> &Permit {
        &self.permit
    }

    /// `step` as its loop would authorize it at `at(0)`; the term is the number of the epoch.
    pub(crate) fn allows<'a, S: Step>(&'a self, step: &'a S) -> Authorized<'a, S> {
        let clear = Authority::Clear { term: self.snapshot.tracker().epoch().into(), certain: false };
        let permit = step.moves_traffic().then_some(&self.permit);
        Authorized::in_test(step, permit, &self.snapshot, &clear, at(0))
    }
}
