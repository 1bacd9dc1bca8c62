//! When a promotion was seen, on this machine's own clocks. PURE.
//!
//! Two members' wall clocks may differ by minutes, so moments of two members are never compared: only how long
//! ago something was ([`Promotion::ago`]), or whether two reports are about the same promotion
//! ([`Promotion::identity`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A promotion that a process of this member saw. Serialised as its identity, which is all that the next
/// process can use: the machine may have been started anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct Promotion {
    wall_milliseconds: u64,
    seen: Option<Timestamp>,
}

impl Promotion {
    /// A promotion that this process saw at `at`.
    pub(super) fn seen(at: Timestamp) -> Self {
        let wall_milliseconds = u64::try_from(at.since_unix_epoch().as_millis()).unwrap_or(u64::MAX);
        Self { wall_milliseconds, seen: Some(at) }
    }

    /// How long ago it was. By the wall clock alone if an earlier process saw it.
    pub fn ago(self, now: Timestamp) -> Duration {
        match self.seen {
            Some(at) => at.age_at(now),
            None => now.since_unix_epoch().saturating_sub(Duration::from_millis(self.wall_milliseconds)),
        }
    }

    /// A number that tells this promotion from every other one of the same member. It is a time, and means
    /// nothing to anybody but that member.
    pub fn identity(self) -> u64 {
        self.wall_milliseconds
    }
}

impl From<u64> for Promotion {
    fn from(wall_milliseconds: u64) -> Self {
        Self { wall_milliseconds, seen: None }
    }
}

impl From<Promotion> for u64 {
    fn from(promotion: Promotion) -> Self {
        promotion.wall_milliseconds
    }
}
