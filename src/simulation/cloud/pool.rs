//! The registered targets of a load balancer and their health. PURE: checks and time are passed in.
//!
//! One state machine for target groups and classic load balancers; [`Rules`] holds the differences. A target is
//! `(id, port)`, and goes through these states:
//!
//! ```text
//!            registration over      checks pass            checks fail
//! registering ───────────► initial ───────────► healthy ◄────────────► unhealthy
//!      ▲                      └────────────────────────────────────────────┘
//!      └── registered again ── draining ◄── deregistered, from any state; gone when the delay is over
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A target: an instance id or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// `i-...` or an IP address.
    pub id: String,
    /// The port that clients are sent to.
    pub port: u16,
}

/// The health of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Being registered: not checked yet.
    Registering,
    /// Checked, without a conclusion yet.
    Initial,
    /// Gets traffic.
    Healthy,
    /// Gets none, unless every target is unhealthy.
    Unhealthy(Failure),
    /// Deregistered; finishes its connections.
    Draining,
    /// Registered with a group that no load balancer uses.
    Unused,
}

/// Why the last check failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or no HTTP.
    Refused,
    /// No answer in time.
    TimedOut,
    /// An answer with a status code that does not match.
    Code(u16),
}

/// How a pool behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Checks that a new target must pass.
    pub(super) first_passes: u32,
    /// Checks in a row that an unhealthy target must pass.
    pub(super) healthy_threshold: u32,
    /// Checks in a row that a target must fail.
    pub(super) unhealthy_threshold: u32,
    /// How long registering takes.
    pub(super) registration: Duration,
    /// How long a deregistered target drains.
    pub(super) draining: Duration,
    /// Whether a load balancer uses the pool.
    pub(super) in_use: bool,
}

/// The targets of one load balancer or target group.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    rules: Rules,
    targets: BTreeMap<Target, Entry>,
    registrations: u64,
}

/// A registration to check: the result counts only if the target was not registered again since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToCheck {
    pub(super) target: Target,
    registration: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    registration: u64,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Registering { until: Duration },
    Initial { passed: u32, failed: u32 },
    Healthy { failed: u32 },
    Unhealthy { passed: u32, failure: Failure },
    Draining { until: Duration },
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, targets: BTreeMap::new(), registrations: 0 }
    }

    /// Applies what is due up to `now`.
    pub(super) fn advance(&mut self, now: Duration) {
        self.targets.retain(|_, entry| !matches!(entry.state, State::Draining { until } if until <= now));
        for entry in self.targets.values_mut() {
            if matches!(entry.state, State::Registering { until } if until <= now) {
                entry.state = State::Initial { passed: 0, failed: 0 };
            }
        }
    }

    /// Adds a target. One that is registered stays as it is; one that drains starts over.
    pub(super) fn register(&mut self, now: Duration, target: Target) {
        self.advance(now);
        let state = State::Registering { until: now + self.rules.registration };
        self.registrations += 1;
        let new = Entry { registration: self.registrations, state };
        let entry = self.targets.entry(target).or_insert_with(|| new.clone());
        if matches!(entry.state, State::Draining { .. }) {
            *entry = new;
        }
        self.advance(now);
    }

    /// Removes a target. One that is absent or draining stays as it is.
    pub(super) fn deregister(&mut self, now: Duration, target: &Target) {
        self.advance(now);
        let until = if self.rules.in_use { now + self.rules.draining } else { now };
        if let Some(entry) = self.targets.get_mut(target)
            && !matches!(entry.state, State::Draining { .. })
        {
            entry.state = State::Draining { until };
        }
        self.advance(now);
    }

    /// The targets to check.
    pub(super) fn to_check(&self) -> Vec<ToCheck> {
        let is_checked = |state| match state {
            State::Initial { .. } | State::Healthy { .. } | State::Unhealthy { .. } => self.rules.in_use,
            State::Registering { .. } | State::Draining { .. } => false,
        };
        let checked = self.targets.iter().filter(|(_, entry)| is_checked(entry.state));
        checked
            .map(|(target, entry)| ToCheck { target: target.clone(), registration: entry.registration })
            .collect()
    }

    /// Records the result of one check.
    pub(super) fn record(&mut self, checked: &ToCheck, result: Result<(), Failure>) {
        let Some(entry) = self.targets.get_mut(&checked.target) else {
            return;
        };
        if entry.registration == checked.registration {
            entry.state = entry.state.after(result, self.rules);
        }
    }

    /// Every target with its health.
    pub(super) fn health(&self) -> impl Iterator<Item = (&Target, Health)> {
        self.targets.iter().map(|(target, entry)| (target, entry.state.health(self.rules)))
    }

    /// The health of one target, if it is there.
    pub(super) fn health_of(&self, target: &Target) -> Option<Health> {
        self.targets.get(target).map(|entry| entry.state.health(self.rules))
    }

    /// The targets that are registered and do not drain.
    pub(super) fn registered(&self) -> Vec<&Target> {
        let stays = |entry: &Entry| !matches!(entry.state, State::Draining { .. });
        self.targets.iter().filter(|(_, entry)| stays(entry)).map(|(target, _)| target).collect()
    }

    /// The targets that new connections go to: the healthy ones or, if there are none, all (fail open).
    pub(super) fn forwards_to(&self) -> Vec<&Target> {
        let healthy: Vec<_> = self
            .health()
            .filter(|(_, health)| *health == Health::Healthy)
            .map(|(target, _)| target)
            .collect();
        if healthy.is_empty() { self.registered() } else { healthy }
    }

    /// Whether no target is healthy, and so all get traffic.
    pub(super) fn fails_open(&self) -> bool {
        !self.health().any(|(_, health)| health == Health::Healthy)
    }
}

// === impl State ===

impl State {
    fn after(self, result: Result<(), Failure>, rules: Rules) -> Self {
        match (self, result) {
            (Self::Initial { passed, .. }, Ok(())) if passed + 1 >= rules.first_passes => {
                Self::Healthy { failed: 0 }
            }
            (Self::Initial { passed, .. }, Ok(())) => Self::Initial { passed: passed + 1, failed: 0 },
            (Self::Initial { failed, .. }, Err(failure)) if failed + 1 >= rules.unhealthy_threshold => {
                Self::Unhealthy { passed: 0, failure }
            }
            (Self::Initial { failed, .. }, Err(_)) => Self::Initial { passed: 0, failed: failed + 1 },
            (Self::Healthy { .. }, Ok(())) => Self::Healthy { failed: 0 },
            (Self::Healthy { failed }, Err(failure)) if failed + 1 >= rules.unhealthy_threshold => {
                Self::Unhealthy { passed: 0, failure }
            }
            (Self::Healthy { failed }, Err(_)) => Self::Healthy { failed: failed + 1 },
            (Self::Unhealthy { passed, .. }, Ok(())) if passed + 1 >= rules.healthy_threshold => {
                Self::Healthy { failed: 0 }
            }
            (Self::Unhealthy { passed, failure }, Ok(())) => Self::Unhealthy { passed: passed + 1, failure },
            (Self::Unhealthy { .. }, Err(failure)) => Self::Unhealthy { passed: 0, failure },
            (Self::Registering { .. } | Self::Draining { .. }, _) => self,
        }
    }

    fn health(self, rules: Rules) -> Health {
        match self {
            Self::Draining { .. } => Health::Draining,
            _ if !rules.in_use => Health::Unused,
            Self::Registering { .. } => Health::Registering,
            Self::Initial { .. } => Health::Initial,
            Self::Healthy { .. } => Health::Healthy,
            Self::Unhealthy { failure, .. } => Health::Unhealthy(failure),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.port)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules {
        first_passes: 1,
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        registration: Duration::from_secs(10),
        draining: Duration::from_mins(5),
        in_use: true,
    };

    fn target(id: &str) -> Target {
        Target { id: id.to_owned(), port: 1972 }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Checks every target that is to be checked, with this result.
    fn check(pool: &mut Pool, result: Result<(), Failure>) {
        for checked in pool.to_check() {
            pool.record(&checked, result);
        }
    }

    #[test]
    fn a_target_lives_from_registering_to_drained() {
        let mut pool = Pool::new(RULES);
        let a = target("a");
        pool.register(at(0), a.clone());
        assert_eq!(pool.health_of(&a), Some(Health::Registering));
        check(&mut pool, Ok(()));
        pool.advance(at(10));
        assert_eq!(pool.health_of(&a), Some(Health::Initial), "a target that registers is not checked");
        check(&mut pool, Ok(()));
        assert_eq!(pool.health_of(&a), Some(Health::Healthy), "one pass is enough for a new target");
        check(&mut pool, Err(Failure::Code(503)));
        assert_eq!(pool.health_of(&a), Some(Health::Healthy));
        check(&mut pool, Err(Failure::Code(503)));
        assert_eq!(pool.health_of(&a), Some(Health::Unhealthy(Failure::Code(503))));
        check(&mut pool, Ok(()));
        check(&mut pool, Err(Failure::TimedOut));
        check(&mut pool, Ok(()));
        assert_eq!(pool.health_of(&a), Some(Health::Unhealthy(Failure::TimedOut)), "passes count in a row");
        check(&mut pool, Ok(()));
        assert_eq!(pool.health_of(&a), Some(Health::Healthy));
        pool.deregister(at(20), &a);
        assert_eq!(pool.health_of(&a), Some(Health::Draining));
        assert!(pool.registered().is_empty());
        pool.advance(at(320));
        assert_eq!(pool.health_of(&a), None);
    }

    #[test]
    fn a_registration_while_draining_starts_over() {
        let mut pool = Pool::new(RULES);
        let a = target("a");
        pool.register(at(0), a.clone());
        pool.advance(at(10));
        let old = pool.to_check().remove(0);
        pool.deregister(at(11), &a);
        pool.register(at(12), a.clone());
        assert_eq!(pool.health_of(&a), Some(Health::Registering));
        pool.advance(at(22));
        pool.record(&old, Ok(()));
        assert_eq!(pool.health_of(&a), Some(Health::Initial), "the check of an earlier registration is old");
    }

    #[test]
    fn the_same_id_with_another_port_is_another_target() {
        let mut pool = Pool::new(RULES);
        pool.register(at(0), target("a"));
        pool.deregister(at(1), &Target { id: "a".to_owned(), port: 52773 });
        assert_eq!(pool.registered(), [&target("a")]);
    }

    #[test]
    fn without_a_healthy_target_all_targets_get_traffic() {
        let mut pool = Pool::new(RULES);
        pool.register(at(0), target("a"));
        pool.register(at(0), target("b"));
        pool.advance(at(10));
        assert!(pool.fails_open());
        assert_eq!(pool.forwards_to(), [&target("a"), &target("b")]);
        let first = pool.to_check().remove(0);
        pool.record(&first, Ok(()));
        assert_eq!(pool.forwards_to(), [&target("a")]);
    }

    #[test]
    fn an_unused_group_is_not_checked_and_drains_at_once() {
        let mut pool = Pool::new(Rules { in_use: false, ..RULES });
        pool.register(at(0), target("a"));
        pool.advance(at(10));
        assert_eq!(pool.health_of(&target("a")), Some(Health::Unused));
        assert!(pool.to_check().is_empty());
        pool.deregister(at(11), &target("a"));
        assert_eq!(pool.health_of(&target("a")), None);
    }

    #[derive(Clone, Debug)]
    enum Act {
        Register(u8),
        Deregister(u8),
        Check(bool),
        Pass(u64),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            (0..3_u8).prop_map(Act::Register),
            (0..3_u8).prop_map(Act::Deregister),
            any::<bool>().prop_map(Act::Check),
            (1..200_u64).prop_map(Act::Pass),
        ];
        prop::collection::vec(act, 0..60)
    }

    proptest! {
        /// Only registering and deregistering change the set of registered targets; health and
        /// time never change it, and traffic goes only to members of it.
        #[test]
        fn only_calls_change_who_is_registered(acts in acts()) {
            let mut pool = Pool::new(RULES);
            let mut expected = std::collections::BTreeSet::new();
            let mut now = at(0);
            for act in acts {
                match act {
                    Act::Register(n) => {
                        pool.register(now, target(&n.to_string()));
                        expected.insert(target(&n.to_string()));
                    }
                    Act::Deregister(n) => {
                        pool.deregister(now, &target(&n.to_string()));
                        expected.remove(&target(&n.to_string()));
                    }
                    Act::Check(passes) => check(&mut pool, passes.then_some(()).ok_or(Failure::Refused)),
                    Act::Pass(seconds) => now += at(seconds),
                }
                pool.advance(now);
                prop_assert_eq!(pool.registered(), expected.iter().collect::<Vec<_>>());
                prop_assert!(pool.forwards_to().iter().all(|target| expected.contains(target)));
                prop_assert_eq!(pool.forwards_to().is_empty(), expected.is_empty());
            }
        }
    }
}
