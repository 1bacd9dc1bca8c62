//! When the next probe is due. PURE: time comes in as a parameter.
//!
//! The timer asks once an interval. A wake-up asks at once, and then follows up: the line in the log marks
//! the *start* of a promotion, and the role changes some time after it, nobody knows how long. So the gaps
//! after a wake-up begin small and double until they reach the interval: a change is then seen after at
//! most twice the time that it took, at the price of about ten extra probes.

use std::time::Duration;

use tokio::time::Instant;

/// Between two questions at least this passes, however many wake-ups come: about twice what one
/// `iris qlist` takes, so that a chatty log cannot keep a core busy.
const SMALLEST_GAP: Duration = Duration::from_millis(10);

/// The plan of one probe loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    interval: Duration,
    asked: Option<Instant>,
    /// Until the next question; `interval` unless a wake-up is being followed up.
    gap: Duration,
    woken: bool,
}

impl Schedule {
    /// A plan whose first probe is due at once.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, asked: None, gap: interval, woken: false }
    }

    /// When the next probe is due; a moment in the past means at once. One question is in flight at a time:
    /// when an answer took longer than the gap, the next question follows it without a pause.
    pub(crate) fn due(&self, now: Instant) -> Instant {
        self.asked.map_or(now, |asked| asked + self.gap)
    }

    /// A wake-up came.
    pub(crate) fn wake(&mut self) {
        self.gap = SMALLEST_GAP.min(self.interval);
        self.woken = true;
    }

    /// A question is being asked. Returns whether a wake-up was the cause.
    pub(crate) fn ask(&mut self, now: Instant) -> bool {
        self.gap = if self.woken { SMALLEST_GAP } else { self.gap * 2 }.min(self.interval);
        self.asked = Some(now);
        std::mem::take(&mut self.woken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    #[test]
    fn asks_at_once_and_then_once_an_interval() {
        let start = Instant::now();
        let mut schedule = Schedule::new(INTERVAL);
        assert_eq!(schedule.due(start), start);
        assert!(!schedule.ask(start));
        assert_eq!(schedule.due(start), start + INTERVAL);
        assert!(!schedule.ask(start + INTERVAL));
        assert_eq!(schedule.due(start + INTERVAL), start + 2 * INTERVAL);
    }

    #[test]
    fn follows_a_wake_up_with_gaps_that_double_up_to_the_interval() {
        let mut now = Instant::now();
        let mut schedule = Schedule::new(INTERVAL);
        schedule.ask(now);
        now += Duration::from_millis(500);
        schedule.wake();
        assert!(schedule.due(now) <= now, "at once");
        assert!(schedule.ask(now), "because of the wake-up");
        let mut gaps = Vec::new();
        for _ in 0..9 {
            let due = schedule.due(now);
            gaps.push((due - now).as_millis());
            now = due;
            assert!(!schedule.ask(now), "a follow-up is no wake-up");
        }
        assert_eq!(gaps, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
    }

    #[test]
    fn a_burst_of_wake_ups_is_one_and_leaves_a_gap() {
        let now = Instant::now();
        let mut schedule = Schedule::new(INTERVAL);
        schedule.wake();
        schedule.wake();
        assert!(schedule.ask(now));
        schedule.wake();
        assert_eq!(schedule.due(now), now + SMALLEST_GAP);
    }

    #[test]
    fn an_interval_below_the_smallest_gap_stays_the_gap() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Duration::from_millis(5));
        schedule.wake();
        schedule.ask(now);
        assert_eq!(schedule.due(now), now + Duration::from_millis(5));
    }
}
