//! How long an answer is valid, counted from the question and evaluated by the reader. PURE.

use std::time::Duration;

use crate::clock::Timestamp;

/// The validity of an answer, which ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    pub(super) asked_at: Timestamp,
    pub(super) valid_for: Duration,
}

// === impl Lease ===

impl Lease {
    /// Whether the lease still runs at `now`.
    pub fn covers(self, now: Timestamp) -> bool {
        self.asked_at.age_at(now) < self.valid_for
    }

    /// How long it still runs at `now`; zero when it does not.
    pub fn remaining(self, now: Timestamp) -> Duration {
        self.valid_for.saturating_sub(self.asked_at.age_at(now))
    }

    /// When the question was asked whose answer granted the lease.
    pub fn asked_at(self) -> Timestamp {
        self.asked_at
    }

    /// When it ends, if the two clocks agree.
    pub fn ends_at(self) -> Timestamp {
        self.asked_at.later_by(self.valid_for)
    }
}
