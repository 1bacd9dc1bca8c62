//! Time: the [`Timestamp`] that pure code computes with, and the only code that reads a clock.
//!
//! One clock is not enough. The monotonic clock, which timers use, stops while the machine is suspended. The boot-time clock
//! counts a suspension, but not the time for which a hypervisor stopped the virtual machine. The wall clock shows that once
//! it is corrected, but it may also step backwards. So a [`Timestamp`] holds boot time and wall time, and an age is the
//! larger of the two differences: if either clock noticed the time, old evidence does not look fresh. A wall clock that is
//! set forward causes one early expiry, which the next probe repairs.
//!
//! Neither clock notices a virtual machine that was stopped and resumed without a correction of its wall clock: then the
//! first answer may be as old as the pause.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// A moment, read from two clocks at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp {
    boot: Duration,
    wall: Duration,
}

impl Timestamp {
    /// A moment `boot` after the machine's start and `wall` after the Unix epoch.
    pub const fn new(boot: Duration, wall: Duration) -> Self {
        Self { boot, wall }
    }

    /// How old this moment is at `now`: the larger difference of the two clocks, zero if both ran backwards.
    pub fn age_at(self, now: Self) -> Duration {
        let boot = now.boot.saturating_sub(self.boot);
        let wall = now.wall.saturating_sub(self.wall);
        boot.max(wall)
    }

    /// The time from this moment to `now` by the boot-time clock alone: for spans that are sent to other members, as a
    /// correction of the wall clock must not change them.
    pub fn boot_age_at(self, now: Self) -> Duration {
        now.boot.saturating_sub(self.boot)
    }

    /// Time since the machine's start.
    pub const fn since_boot(self) -> Duration {
        self.boot
    }

    /// The moment `span` after this one, on both clocks.
    #[must_use]
    pub fn later_by(self, span: Duration) -> Self {
        Self { boot: self.boot.saturating_add(span), wall: self.wall.saturating_add(span) }
    }

    /// The moment `span` before this one, on both clocks; not before their zero.
    #[must_use]
    pub fn earlier_by(self, span: Duration) -> Self {
        Self { boot: self.boot.saturating_sub(span), wall: self.wall.saturating_sub(span) }
    }

    /// Time since the Unix epoch, from the wall clock.
    pub const fn since_unix_epoch(self) -> Duration {
        self.wall
    }

    /// For people and logs; the wall clock, in UTC.
    pub fn to_utc(self) -> jiff::Timestamp {
        jiff::Timestamp::try_from(UNIX_EPOCH + self.wall).unwrap_or(jiff::Timestamp::MAX)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.to_utc())
    }
}

/// The source of time: the machine's clocks, or a test's.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The clocks of this machine: `CLOCK_BOOTTIME` and `CLOCK_REALTIME`.
    pub fn system() -> Self {
        Self(Arc::new(read_system_clocks))
    }

    /// A clock that `read` drives; for simulations and tests.
    pub fn from_fn(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Microseconds of `CLOCK_MONOTONIC`, with which service managers compare moments of two processes. It decides
/// nothing in this program.
pub(crate) fn monotonic_microseconds() -> u128 {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = time.tv_sec.try_into().unwrap_or(0);
    Duration::new(seconds, time.tv_nsec.try_into().unwrap_or(0)).as_micros()
}

fn read_system_clocks() -> Timestamp {
    use rustix::time::{ClockId, Timespec, clock_gettime};
    let duration = |t: Timespec| {
        // Both are non-negative on any machine whose wall clock is past 1970; nanoseconds are below 10^9.
        Duration::new(t.tv_sec.try_into().unwrap_or(0), t.tv_nsec.try_into().unwrap_or(0))
    };
    Timestamp::new(duration(clock_gettime(ClockId::Boottime)), duration(clock_gettime(ClockId::Realtime)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot: u64, wall: u64) -> Timestamp {
        Timestamp::new(Duration::from_secs(boot), Duration::from_secs(wall))
    }

    #[test]
    fn age_is_the_larger_of_the_two_clocks() {
        let then = at(100, 1_000);
        assert_eq!(then.age_at(at(103, 1_003)), Duration::from_secs(3));
        assert_eq!(then.age_at(at(103, 1_060)), Duration::from_secs(60), "hypervisor pause, wall corrected");
        assert_eq!(then.age_at(at(160, 1_001)), Duration::from_secs(60), "wall clock stepped back");
        assert_eq!(then.age_at(at(99, 999)), Duration::ZERO);
    }

    #[test]
    fn system_clock_moves_forwards() {
        let clock = Clock::system();
        let first = clock.now();
        let second = clock.now();
        assert!(first.age_at(second) < Duration::from_secs(60));
        assert!(second.boot >= first.boot);
    }

    #[test]
    fn prints_utc_with_milliseconds() {
        assert_eq!(at(0, 1_795_228_800).to_string(), "2026-11-21T02:40:00.000Z");
    }
}
