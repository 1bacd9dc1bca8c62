//! What an object showed in the present epoch: a single read cannot distinguish an object that is still to be taken from
//! one that was taken away. PURE.

use crate::role::Epoch;

/// The epoch, and the facts that were noted in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InEpoch<T>(Option<Noted<T>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Noted<T> {
    epoch: Epoch,
    /// Number of the first read in this epoch. It may be older than the promotion, so it proves nothing.
    first_read: u64,
    facts: T,
}

// === impl InEpoch ===

impl<T> Default for InEpoch<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Default> InEpoch<T> {
    /// The facts of `epoch`, for the caller to complete from a read; those of another epoch are void. `read` numbers the
    /// reads. Also whether this read counts: one from before the epoch began proves nothing about it.
    pub(crate) fn note(&mut self, epoch: Epoch, read: u64) -> (&mut T, bool) {
        if self.facts(epoch).is_none() {
            self.0 = None;
        }
        let begun = || Noted { epoch, first_read: read, facts: T::default() };
        let Noted { first_read, facts, .. } = self.0.get_or_insert_with(begun);
        (facts, read > *first_read)
    }
}

impl<T> InEpoch<T> {
    /// What was noted in `epoch`; `None` before its first read.
    pub(crate) fn facts(&self, epoch: Epoch) -> Option<&T> {
        self.0.as_ref().filter(|noted| noted.epoch == epoch).map(|noted| &noted.facts)
    }

    /// The facts of the latest epoch, for the caller to add accepted changes.
    pub(crate) fn latest(&mut self) -> Option<&mut T> {
        self.0.as_mut().map(|noted| &mut noted.facts)
    }

    /// Forgets what `epoch` showed, so that the object is taken as if for the first time. Returns whether anything was known.
    pub(crate) fn forget(&mut self, epoch: Epoch) -> bool {
        let known = self.facts(epoch).is_some();
        if known {
            self.0 = None;
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::testing::epoch;

    #[test]
    fn the_read_with_which_an_epoch_begins_proves_nothing() {
        let mut memory = InEpoch::<bool>::default();
        assert_eq!(memory.facts(epoch(1)), None);
        let (led_here, counts) = memory.note(epoch(1), 7);
        assert!(!*led_here && !counts);
        let (led_here, counts) = memory.note(epoch(1), 8);
        assert!(!*led_here && counts);
        *led_here = true;
        assert_eq!(memory.facts(epoch(1)), Some(&true));
        assert_eq!(memory.facts(epoch(2)), None);
        assert_eq!(memory.note(epoch(2), 9), (&mut false, false), "a new epoch begins empty");
    }

    #[test]
    fn what_is_forgotten_is_that_epoch_and_no_other() {
        let mut memory = InEpoch::<bool>::default();
        *memory.note(epoch(2), 1).0 = true;
        assert!(!memory.forget(epoch(1)));
        assert_eq!(memory.latest(), Some(&mut true));
        assert!(memory.forget(epoch(2)));
        assert_eq!(memory.latest(), None);
    }
}
