//! Changes that the service accepted a moment ago, and that a read may not show yet. PURE.
//!
//! EC2 and load balancers are eventually consistent: a read right after a write may show the state before it. A plan
//! from that state repeats the write at network speed until the write budget is used up. So an accepted change is not
//! sent again for [`SETTLED_AFTER`], counted from the first read after it.

use std::time::Duration;

use crate::clock::Timestamp;

/// How long a read may be out of date. About a second, by experience.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// The recent changes, each with the first read after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted<C>(Vec<(C, Option<Timestamp>)>);

// === impl Accepted ===

impl<C> Default for Accepted<C> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<C: PartialEq> Accepted<C> {
    /// The service accepted `change`.
    pub(crate) fn add(&mut self, change: C) {
        self.remove(&change);
        self.0.push((change, None));
    }

    /// `change` is seen, or void.
    pub(crate) fn remove(&mut self, change: &C) {
        self.0.retain(|(known, _)| known != change);
    }

    /// The object was read at `now`.
    pub(crate) fn was_read(&mut self, now: Timestamp) {
        self.0.retain(|(_, first_read)| is_young(*first_read, now));
        for (_, first_read) in &mut self.0 {
            first_read.get_or_insert(now);
        }
    }

    /// Whether `change` was accepted, and a read at `now` may be from before it.
    pub(crate) fn may_be_unseen(&self, change: &C, now: Timestamp) -> bool {
        self.0.iter().any(|(known, first_read)| known == change && is_young(*first_read, now))
    }
}

fn is_young(first_read: Option<Timestamp>, now: Timestamp) -> bool {
    first_read.is_none_or(|at| at.age_at(now) < SETTLED_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::testing::at;

    #[test]
    fn a_change_gets_its_time_to_show_from_the_first_read() {
        let mut accepted = Accepted::default();
        accepted.add("in");
        assert!(accepted.may_be_unseen(&"in", at(60)), "nothing was read yet");
        assert!(!accepted.may_be_unseen(&"out", at(60)));
        accepted.was_read(at(60));
        accepted.was_read(at(64));
        assert!(accepted.may_be_unseen(&"in", at(64)));
        assert!(!accepted.may_be_unseen(&"in", at(65)));
        accepted.was_read(at(65));
        assert_eq!(accepted, Accepted::default(), "a settled change is dropped");

        accepted.add("in");
        accepted.remove(&"in");
        assert!(!accepted.may_be_unseen(&"in", at(65)));
    }
}
