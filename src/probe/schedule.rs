//! When the next probe is due. PURE: time comes in as a parameter.
//!
//! The timer asks once an interval. A wake-up asks at once, and then follows up: the line in the log marks
//! the *start* of a promotion, and the role changes some time after it, nobody knows how long. So the gaps
//! after a wake-up are an eighth of the time since it came, up to the interval: a change is seen late by at
//! most an eighth of what it took, at the price of about fifty extra probes.

use std::time::Duration;

use tokio::time::Instant;

/// Between two questions at least this passes, however many wake-ups come: about twice what one
/// `iris qlist` takes, so that a chatty log cannot keep a core busy.
const SMALLEST_GAP: Duration = Duration::from_millis(10);

/// What part of the time since a wake-up passes until the next question.
const PATIENCE: u32 = 8;

/// The plan of one probe loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    interval: Duration,
    /// When the last question was asked, and how long after it the next one is due.
    last: Option<(Instant, Duration)>,
    /// When the wake-up came that is being followed up.
    following: Option<Instant>,
    woken: bool,
}

impl Schedule {
    /// A plan whose first probe is due at once.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, last: None, following: None, woken: false }
    }

    /// When the next probe is due; a moment in the past means at once. One question is in flight at a time:
    /// when an answer took longer than the gap, the next question follows it without a pause.
    pub(crate) fn due(&self, now: Instant) -> Instant {
        self.last.map_or(now, |(asked, gap)| asked + gap)
    }

    /// A wake-up came.
    pub(crate) fn wake(&mut self, now: Instant) {
        self.woken = true;
        self.following = Some(now);
        if let Some((_, gap)) = &mut self.last {
            *gap = SMALLEST_GAP.min(self.interval);
        }
    }

    /// A question is being asked. Returns whether a wake-up was the cause.
    pub(crate) fn ask(&mut self, now: Instant) -> bool {
        let gap = match self.following {
            Some(since) => ((now - since) / PATIENCE).max(SMALLEST_GAP).min(self.interval),
            None => self.interval,
        };
        if gap == self.interval {
            self.following = None;
        }
        self.last = Some((now, gap));
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
    fn follows_a_wake_up_with_gaps_that_grow_with_the_time_since() {
        let mut now = Instant::now();
        let mut schedule = Schedule::new(INTERVAL);
        schedule.ask(now);
        now += Duration::from_millis(500);
        let woken_at = now;
        schedule.wake(now);
        assert!(schedule.due(now) <= now, "at once");
        assert!(schedule.ask(now), "because of the wake-up");
        let mut probes = 0;
        while schedule.following.is_some() {
            let due = schedule.due(now);
            let (gap, since) = (due - now, now - woken_at);
            assert!(gap == SMALLEST_GAP || gap == since / PATIENCE, "{gap:?} at {since:?}");
            now = due;
            assert!(!schedule.ask(now), "a follow-up is no wake-up");
            probes += 1;
        }
        assert!((40..60).contains(&probes), "{probes} extra probes");
        assert_eq!(schedule.due(now), now + INTERVAL);
    }

    #[test]
    fn a_burst_of_wake_ups_is_one_and_leaves_a_gap() {
        let now = Instant::now();
        let mut schedule = Schedule::new(INTERVAL);
        schedule.wake(now);
        schedule.wake(now);
        assert!(schedule.ask(now));
        schedule.wake(now);
        assert_eq!(schedule.due(now), now + SMALLEST_GAP);
    }

    #[test]
    fn an_interval_below_the_smallest_gap_stays_the_gap() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Duration::from_millis(5));
        schedule.wake(now);
        schedule.ask(now);
        assert_eq!(schedule.due(now), now + Duration::from_millis(5));
    }
}
