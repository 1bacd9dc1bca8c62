//! A token bucket: a burst, and a rate per second. PURE: time comes in.

use tokio::time::Instant;

/// The tokens that are left, and since when it refills.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    most: u32,
    a_second: u32,
    left: f64,
    filled_at: Option<Instant>,
}

// === impl Bucket ===

impl Bucket {
    /// A full one, of `most` at once and `a_second` after that.
    pub(super) const fn new(most: u32, a_second: u32) -> Self {
        Self { most, a_second, left: most as f64, filled_at: None }
    }

    /// Takes one, if there is one at `now`.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        if let Some(before) = self.filled_at.replace(now) {
            let fresh = now.saturating_duration_since(before).as_secs_f64() * f64::from(self.a_second);
            self.left = (self.left + fresh).min(f64::from(self.most));
        }
        let some = self.left >= 1.0;
        if some {
            self.left -= 1.0;
        }
        some
    }

    /// Puts one back.
    pub(super) fn give_back(&mut self) {
        self.left = (self.left + 1.0).min(f64::from(self.most));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_and_so_many_a_second() {
        let mut bucket = Bucket::new(10, 5);
        let start = Instant::now();
        let spent = |bucket: &mut Bucket, at| (0..100).filter(|_| bucket.spend(at)).count();
        assert_eq!(spent(&mut bucket, start), 10);
        assert_eq!(spent(&mut bucket, start + Duration::from_secs(1)), 5);
        assert_eq!(spent(&mut bucket, start + Duration::from_secs(60)), 10, "never more than at the start");
        bucket.give_back();
        assert_eq!(spent(&mut bucket, start + Duration::from_secs(60)), 1);
    }
}
