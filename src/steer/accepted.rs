//! Changes that were accepted a moment ago, and that a read may not show yet. PURE.
//!
//! EC2 and load balancers are eventually consistent: a read right after a write may answer from before it, and
//! the plan from there is the write once more, at the pace of the network, until the writes of a while are used
//! up. So a change that was accepted is not made again before it has had [`SETTLED_AFTER`] to show. The time runs
//! from the first look after it, as that is when it is missed first.

use std::time::Duration;

use crate::clock::Timestamp;

/// How long what a read shows may be out of date. A second or so, by experience.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// The changes of a moment, each with the first look after it.
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

    /// The object was looked at, at `now`.
    pub(crate) fn looked(&mut self, now: Timestamp) {
        self.0.retain(|(_, first_look)| is_young(*first_look, now));
        for (_, first_look) in &mut self.0 {
            first_look.get_or_insert(now);
        }
    }

    /// Whether `change` was accepted, and a read at `now` may be from before it.
    pub(crate) fn may_be_unseen(&self, change: &C, now: Timestamp) -> bool {
        self.0.iter().any(|(known, first_look)| known == change && is_young(*first_look, now))
    }
}

fn is_young(first_look: Option<Timestamp>, now: Timestamp) -> bool {
    first_look.is_none_or(|at| at.age_at(now) < SETTLED_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::testing::at;

    #[test]
    fn a_change_has_its_time_to_show_from_the_first_look_on() {
        let mut accepted = Accepted::default();
        accepted.add("in");
        assert!(accepted.may_be_unseen(&"in", at(60)), "nothing was read yet");
        assert!(!accepted.may_be_unseen(&"out", at(60)));
        accepted.looked(at(60));
        accepted.looked(at(64));
        assert!(accepted.may_be_unseen(&"in", at(64)));
        assert!(!accepted.may_be_unseen(&"in", at(65)));
        accepted.looked(at(65));
        assert_eq!(accepted, Accepted::default(), "it is kept no longer than it serves");

        accepted.add("in");
        accepted.remove(&"in");
        assert!(!accepted.may_be_unseen(&"in", at(65)));
    }
}
