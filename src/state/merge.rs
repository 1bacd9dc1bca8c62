//! What to write when a process finds state that it did not know: it could not be read when the process started, or another
//! process wrote it. PURE.
//!
//! Nothing is lowered: terms and epoch are the higher ones. Restrictions are kept, and permissions are not: a term counts as
//! proven only if this process proved it and knows of none above; a supersession is forgotten only if this process has seen
//! its end; an operator's decision counts only for the process that received it.

use super::PersistedState;
use crate::role::Remembered;
use crate::term::{Memory, Successor};

impl PersistedState {
    /// This state, with the parts of the `found` one that must not be lost.
    pub(super) fn keeping(self, found: Self) -> Self {
        let found_successor = found.arbiter.superseded_by.clone().filter(|by| !self.has_seen_the_end_of(by));
        let (own, old) = (self.arbiter, found.arbiter);
        let arbiter = Memory {
            term: own.term.max(old.term),
            proven: own.proven && own.term >= old.term,
            before: own.before.max(old.before),
            seen: if old.seen.term > own.seen.term { old.seen } else { own.seen },
            superseded_by: own.superseded_by.or(found_successor),
            taken: own.taken,
        };
        let role = Remembered { epoch: self.role.epoch.max(found.role.epoch), ..self.role };
        let history = if self.history.is_empty() { found.history } else { self.history };
        Self { role, arbiter, history }
    }

    /// Drops a supersession whose end `own` has seen, so that it cannot return.
    pub(super) fn forget_what_ended(&mut self, own: &Self) {
        let ended = |by: &Successor| own.has_seen_the_end_of(by);
        self.arbiter.superseded_by = self.arbiter.superseded_by.take().filter(|by| !ended(by));
    }

    /// Whether the instance was seen in another role since, or promoted after that member.
    fn has_seen_the_end_of(&self, by: &Successor) -> bool {
        !self.role.primary || self.arbiter.proven && self.arbiter.term > by.mark.term
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::role::Epoch;
    use crate::term::Claim;

    fn state(primary: bool, term: u64, proven: bool, superseded_by: Option<u64>) -> PersistedState {
        let role = serde_json::from_value(serde_json::json!({"epoch": term, "primary": primary})).unwrap();
        let mark = |term| Claim { term, member: "b".to_owned() };
        let superseded_by =
            superseded_by.map(|term| Successor { mark: mark(term), address: "10.0.2.12".to_owned() });
        let arbiter = Memory { term, proven, before: term, seen: mark(term), superseded_by, taken: None };
        PersistedState { role, arbiter, history: Vec::new() }
    }

    #[test]
    fn a_restart_without_memory_does_not_lower_the_term() {
        let merged = state(true, 1, true, None).keeping(state(true, 41, true, None));
        let expected = state(true, 41, false, None);
        assert_eq!(merged, expected, "41 is not proven by a process that did not know of it");
        let later = state(true, 42, true, None).keeping(state(true, 41, true, None));
        assert_eq!(later, state(true, 42, true, None));
    }

    #[test]
    fn a_successor_is_forgotten_only_where_its_end_was_seen() {
        let found = state(true, 3, true, Some(4));
        let superseded = |own: PersistedState| own.keeping(found.clone()).arbiter.superseded_by.is_some();
        assert!(superseded(state(true, 1, true, None)), "this process did not see what ends it");
        assert!(superseded(state(true, 5, false, None)), "an unproven term says nothing");
        assert!(!superseded(state(true, 5, true, None)), "promoted after it");
        assert!(!superseded(state(false, 1, false, None)), "the instance was seen in another role");
    }

    #[test]
    fn what_has_ended_once_does_not_begin_again() {
        let mut found = state(true, 3, true, Some(4));
        found.forget_what_ended(&state(false, 1, false, None));
        assert_eq!(state(true, 2, true, None).keeping(found).arbiter.superseded_by, None);
    }

    proptest! {
        #[test]
        fn nothing_is_lowered(own in (any::<bool>(), 0..9_u64, any::<bool>()), found in (any::<bool>(), 0..9_u64, any::<bool>())) {
            let (own, found) = (state(own.0, own.1, own.2, None), state(found.0, found.1, found.2, None));
            let merged = own.clone().keeping(found.clone());
            for before in [&own, &found] {
                prop_assert!(merged.arbiter.term >= before.arbiter.term);
                prop_assert!(merged.arbiter.seen.term >= before.arbiter.seen.term);
                prop_assert!(merged.role.epoch >= before.role.epoch);
                prop_assert!(merged.role.epoch >= Epoch::default());
            }
            prop_assert!(!merged.arbiter.proven || own.arbiter.proven);
            prop_assert_eq!(merged.clone().keeping(found), merged);
        }
    }
}
