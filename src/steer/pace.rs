//! How long to wait before a retry, and how many writes are allowed. PURE: time and jitter come in as parameters.

use std::collections::VecDeque;
use std::time::Duration;

use super::error::Class;
use crate::clock::Timestamp;

/// First pause after a passing fault.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause while no promotion waits: the end of any fault is noticed within seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Longest pause after a passing fault while a promotion waits. The loop must notice the fault's end within three
/// seconds: an attempt that began right before it may take two ([`READ_TIMEOUT`](crate::provider::aws)), and the rest is
/// for the read and the write after it.
const LONGEST_PAUSE_AWAITED: Duration = Duration::from_millis(500);

/// Longest pause after another writer's change while a promotion waits. Retrying faster would only add to the conflict.
const LONGEST_PAUSE_OBSERVED: Duration = Duration::from_secs(2);

/// First pause after "too many requests".
const FIRST_PAUSE_THROTTLED: Duration = Duration::from_millis(500);

/// Longest pause after it. One request per second on average is within the refill of every quota, and thirty refusals
/// in a row must not cost minutes.
const LONGEST_PAUSE_THROTTLED: Duration = Duration::from_secs(2);

/// Pause between attempts: full jitter below a ceiling that doubles, up to half a second while a promotion waits, two
/// when throttled, ten when no promotion waits. A cap of minutes, as controllers have it, would be the outage itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

/// Writes allowed within a window. A loop that uses them up is competing with another writer, and more writes make it
/// worse.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    limit: usize,
    window: Duration,
    spent: VecDeque<Timestamp>,
}

// === impl Backoff ===

impl Backoff {
    /// The pause after another failure. `awaited`: a promotion waits. `jitter` is uniform in 0..1.
    pub(crate) fn failed(&mut self, class: Class, awaited: bool, jitter: f64) -> Duration {
        let (first, longest) = match (class, awaited) {
            (Class::Throttled, _) => (FIRST_PAUSE_THROTTLED, LONGEST_PAUSE_THROTTLED),
            (Class::Retry, true) => (FIRST_PAUSE, LONGEST_PAUSE_AWAITED),
            (Class::Observe, true) => (FIRST_PAUSE, LONGEST_PAUSE_OBSERVED),
            (Class::Retry | Class::Observe, false) | (Class::Stop, _) => (FIRST_PAUSE, LONGEST_PAUSE),
        };
        let ceiling = first.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(jitter.clamp(0.0, 1.0))
    }

    /// The call succeeded.
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

    fn ceilings(class: Class, awaited: bool, count: usize) -> Vec<u128> {
        let mut backoff = Backoff::default();
        (0..count).map(|_| backoff.failed(class, awaited, 1.0).as_millis()).collect()
    }

    #[test]
    fn the_ceiling_doubles_up_to_ten_seconds_and_resets_after_success() {
        let expected = [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000];
        assert_eq!(ceilings(Class::Retry, false, 9), expected);
        assert_eq!(ceilings(Class::Observe, false, 9), expected);
        for awaited in [false, true] {
            assert_eq!(
                ceilings(Class::Throttled, awaited, 4),
                [500, 1_000, 2_000, 2_000],
                "a pace of its own"
            );
        }
        let mut backoff = Backoff::default();
        backoff.failed(Class::Throttled, false, 1.0);
        backoff.succeeded();
        assert_eq!(backoff.failed(Class::Throttled, false, 0.5), Duration::from_millis(250));
        assert_eq!(backoff.failures(), 1);
    }

    #[test]
    fn while_a_promotion_waits_no_pause_is_longer_than_half_a_second() {
        assert_eq!(ceilings(Class::Retry, true, 6), [100, 200, 400, 500, 500, 500]);
        assert_eq!(ceilings(Class::Observe, true, 6), [100, 200, 400, 800, 1_600, 2_000]);
        let mut backoff = Backoff::default();
        for _ in 0..40 {
            backoff.failed(Class::Retry, false, 1.0);
        }
        assert_eq!(
            backoff.failed(Class::Retry, true, 1.0),
            LONGEST_PAUSE_AWAITED,
            "however long no promotion waited"
        );
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
