//! How fast to try again, and how often to write at all. PURE: time and chance come in as parameters.

use std::collections::VecDeque;
use std::time::Duration;

use super::error::{Class, LONGEST_PAUSE};
use crate::clock::Timestamp;

/// First pause after a passing fault.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// First pause after "too many requests".
const FIRST_PAUSE_THROTTLED: Duration = Duration::from_millis(500);

/// Longest pause after it. A request a second, on average, is within the refill of every quota, and thirty
/// refusals in a row must not cost minutes.
const LONGEST_PAUSE_THROTTLED: Duration = Duration::from_secs(2);

/// Pause between attempts: full jitter below a ceiling that doubles up to ten seconds, or two when throttled. A
/// cap of minutes, as controllers have it, would be the outage itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

/// Writes allowed in a stretch of time. Whoever uses them up is fighting over the object with somebody, and
/// makes it worse.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    limit: usize,
    window: Duration,
    spent: VecDeque<Timestamp>,
}

// === impl Backoff ===

impl Backoff {
    /// The pause after another failure; `chance` is uniform in 0..1.
    pub(crate) fn failed(&mut self, class: Class, chance: f64) -> Duration {
        let (first, longest) = match class {
            Class::Throttled => (FIRST_PAUSE_THROTTLED, LONGEST_PAUSE_THROTTLED),
            Class::Retry | Class::Observe | Class::Stop => (FIRST_PAUSE, LONGEST_PAUSE),
        };
        let ceiling = first.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(chance.clamp(0.0, 1.0))
    }

    /// It worked.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    #[cfg(test)]
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

// === impl Budget ===

impl Budget {
    /// `limit` writes within any `window`.
    pub(crate) fn new(limit: usize, window: Duration) -> Self {
        Self { limit, window, spent: VecDeque::with_capacity(limit) }
    }

    /// Takes one write, if there is one left at `now`.
    pub(crate) fn spend(&mut self, now: Timestamp) -> bool {
        let left = self.left(now) > 0;
        if left {
            self.spent.push_back(now);
        }
        left
    }

    /// How many writes are left at `now`.
    pub(crate) fn left(&mut self, now: Timestamp) -> usize {
        while self.spent.front().is_some_and(|at| at.age_at(now) >= self.window) {
            self.spent.pop_front();
        }
        self.limit - self.spent.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_ten_seconds_and_starts_anew_after_success() {
        let mut backoff = Backoff::default();
        let ceilings: Vec<_> = (0..9).map(|_| backoff.failed(Class::Retry, 1.0).as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        backoff.succeeded();
        let throttled: Vec<_> = (0..4).map(|_| backoff.failed(Class::Throttled, 1.0).as_millis()).collect();
        assert_eq!(throttled, [500, 1_000, 2_000, 2_000]);
        backoff.succeeded();
        assert_eq!(backoff.failed(Class::Throttled, 0.5), Duration::from_millis(250));
        assert_eq!(backoff.failures(), 1);
    }

    #[test]
    fn a_write_comes_back_when_its_window_has_passed() {
        let at = |seconds| Timestamp::new(Duration::from_secs(seconds), Duration::from_secs(seconds));
        let mut budget = Budget::new(2, Duration::from_secs(60));
        assert!(budget.spend(at(0)));
        assert!(budget.spend(at(30)));
        assert!(!budget.spend(at(59)));
        assert_eq!(budget.left(at(60)), 1);
        assert!(budget.spend(at(60)));
        assert!(!budget.spend(at(61)));
    }
}
