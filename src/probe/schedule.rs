//! When the next probe is due. PURE: time comes in as a parameter.
//!
//! The timer asks once per interval. A wake-up asks at once, and then follows up: the log line marks the *start* of a
//! promotion, and the role changes an unknown time after it. So the gaps after a wake-up are an eighth of the time since
//! it came, up to the interval: a change is seen late by at most an eighth of its duration, at the price of about fifty
//! extra probes.
//!
//! Any process that may signal this one, post to the admin listener or write the log can wake it without end. So questions
//! ahead of the timer have a budget: a burst that fits one wake-up with its follow-ups, and ten per second in the long run.

use std::time::Duration;

use tokio::time::Instant;

/// Between two questions at least this passes, however many wake-ups come: about twice what one
/// `iris qlist` takes, so that a chatty log cannot keep a core busy.
const SMALLEST_GAP: Duration = Duration::from_millis(10);

/// How many questions ahead of the timer may come as fast as [`SMALLEST_GAP`] allows.
const BURST: u32 = 60;

/// The pause between two of them once the burst is used up. The budget refills at this pace.
const PACE: Duration = Duration::from_millis(100);

/// The next question comes after this fraction of the time since a wake-up.
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
    /// When the budget will have paid for the questions ahead of the timer, at one per [`PACE`].
    paid: Option<Instant>,
}

impl Schedule {
    /// A plan whose first probe is due at once.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, last: None, following: None, woken: false, paid: None }
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
        let smallest = self.smallest_gap(now);
        if let Some((_, gap)) = &mut self.last {
            *gap = smallest;
        }
    }

    /// A question is being asked. Returns whether a wake-up was the cause.
    pub(crate) fn ask(&mut self, now: Instant) -> bool {
        if self.last.is_some_and(|(asked, _)| now - asked < self.interval) {
            self.paid = Some(self.paid.map_or(now, |paid| paid.max(now)) + PACE);
        }
        let gap = match self.following {
            Some(since) => ((now - since) / PATIENCE).max(self.smallest_gap(now)).min(self.interval),
            None => self.interval,
        };
        if gap == self.interval {
            self.following = None;
        }
        self.last = Some((now, gap));
        std::mem::take(&mut self.woken)
    }

    /// The least that passes until the next question, as the budget stands.
    fn smallest_gap(&self, now: Instant) -> Duration {
        let is_spent = self.paid.is_some_and(|paid| paid.saturating_duration_since(now) >= PACE * BURST);
        let gap = if is_spent { PACE } else { SMALLEST_GAP };
        gap.min(self.interval)
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
    fn a_flood_of_wake_ups_spends_its_budget() {
        let start = Instant::now();
        let mut schedule = Schedule::new(INTERVAL);
        schedule.ask(start);
        let (mut probes, mut longest) = (0, Duration::ZERO);
        let mut asked = start;
        for millisecond in 0..60_000 {
            let now = start + Duration::from_millis(millisecond);
            schedule.wake(now);
            if schedule.due(now) <= now {
                longest = longest.max(now - asked);
                asked = now;
                assert!(schedule.ask(now));
                probes += 1;
            }
        }
        assert!((600..=660).contains(&probes), "{probes} in a minute");
        assert!(longest <= PACE, "{longest:?}");
        // A flood that is over leaves no trace.
        let later = asked + PACE * BURST;
        schedule.ask(later);
        schedule.wake(later);
        assert_eq!(schedule.due(later), later + SMALLEST_GAP);
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
