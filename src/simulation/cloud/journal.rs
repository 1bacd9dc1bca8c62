//! Records requests and changes with caller and time, and broken invariants. PURE.
//!
//! After each change the journal examines the touched objects: a pool that had a target must not become empty, a record or
//! route that existed must not vanish. Whether the member that made a change was primary is for the reader to judge.

use std::collections::{BTreeSet, VecDeque};

use super::Service;
use crate::clock::Timestamp;

/// How many requests and changes are kept, the newest.
const LONGEST: usize = 20_000;

/// One change, as it was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// Counts the changes from 1.
    pub number: u64,
    /// When its request had arrived.
    pub received: Timestamp,
    /// When it was carried out.
    pub applied: Timestamp,
    /// The member that asked for it.
    pub member: String,
    /// The primary when the request arrived, if [`know_primary`](super::SimulatedCloud::know_primary) was called.
    pub primary: Option<String>,
    /// The service.
    pub service: Service,
    /// The action, such as `RegisterTargets`.
    pub action: String,
    /// What was sent with it.
    pub parameters: String,
    /// What was changed: a target group's ARN, a classic load balancer's name, `ZONE/RECORD/TYPE`,
    /// `ROUTE TABLE/DESTINATION`.
    pub object: String,
    /// Where it led before: the registered targets, the record's values, the route's target.
    pub before: Vec<String>,
    /// Where it leads after.
    pub after: Vec<String>,
}

/// One request, as it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it had arrived.
    pub received: Timestamp,
    /// The sender, if the access key is known.
    pub member: Option<String>,
    /// To which service.
    pub service: Service,
    /// The action; of the metadata service, the path.
    pub action: String,
    /// The error code of the answer, `None` after success; faults of the transport are not recorded.
    pub error: Option<String>,
}

/// What one action did to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) object: String,
    pub(super) before: Vec<String>,
    pub(super) after: Vec<String>,
}

/// Everything recorded so far.
#[derive(Debug, Default)]
pub(super) struct Journal {
    mutations: VecDeque<Mutation>,
    calls: VecDeque<Call>,
    violations: Vec<String>,
    occupied: BTreeSet<String>,
    count: u64,
}

// === impl Mutation ===

impl Mutation {
    /// Whether it changed where clients are led: a repetition does not.
    pub fn moved_traffic(&self) -> bool {
        self.before != self.after
    }
}

// === impl Journal ===

impl Journal {
    /// Records a change and gives it its number.
    pub(super) fn record(&mut self, mutation: Mutation) {
        self.count += 1;
        let mutation = Mutation { number: self.count, ..mutation };
        if mutation.after.is_empty() {
            if self.occupied.contains(&mutation.object) {
                self.violations.push(format!(
                    "{} left {} empty, change {}: {}",
                    mutation.member, mutation.object, mutation.number, mutation.action
                ));
            }
        } else {
            self.occupied.insert(mutation.object.clone());
        }
        push(&mut self.mutations, mutation);
    }

    pub(super) fn record_call(&mut self, call: Call) {
        push(&mut self.calls, call);
    }

    /// How many changes there were.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn mutations(&self) -> Vec<Mutation> {
        self.mutations.iter().cloned().collect()
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.iter().cloned().collect()
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.violations.clone()
    }

    /// Records an object that existed from the start.
    pub(super) fn occupy(&mut self, object: String) {
        self.occupied.insert(object);
    }
}

fn push<T>(queue: &mut VecDeque<T>, value: T) {
    if queue.len() == LONGEST {
        queue.pop_front();
    }
    queue.push_back(value);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn mutation(before: &[&str], after: &[&str]) -> Mutation {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let at = Timestamp::new(Duration::ZERO, Duration::ZERO);
        Mutation {
            number: 0,
            received: at,
            applied: at,
            member: "a".to_owned(),
            primary: None,
            service: Service::Elbv2,
            action: "DeregisterTargets".to_owned(),
            parameters: String::new(),
            object: "pool".to_owned(),
            before: words(before),
            after: words(after),
        }
    }

    #[test]
    fn an_object_may_be_empty_until_it_led_somewhere() {
        let mut journal = Journal::default();
        journal.record(mutation(&[], &[]));
        assert!(journal.violations().is_empty());
        journal.record(mutation(&[], &["x"]));
        journal.record(mutation(&["x"], &[]));
        assert_eq!(journal.violations(), ["a left pool empty, change 3: DeregisterTargets"]);
        assert_eq!(journal.count(), 3);
    }

    #[test]
    fn a_repetition_moves_nothing() {
        assert!(!mutation(&["x"], &["x"]).moved_traffic());
        assert!(mutation(&["x"], &["x", "y"]).moved_traffic());
    }
}
