//! Classic load balancers: what the service shows, and the calls that follow from it. PURE.

use std::fmt;

use super::Table;
use crate::clock::Timestamp;
use crate::steer::pool::Pool;
use crate::steer::pool::{self, Entry, Health, Memory, Move, Rules, View};
use crate::steer::{Intent, Plan, Step};

/// The state of an instance that passes its check.
const IN_SERVICE: &str = "InService";

/// One instance as `DescribeInstanceHealth` reports it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Described {
    /// Its id.
    pub(crate) instance: String,
    /// `InService`, `OutOfService` or `Unknown`.
    pub(crate) state: String,
    /// The service's explanation: nothing else distinguishes registering, draining and failing.
    pub(crate) description: String,
}

/// What the service shows of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) me: String,
    /// All instances, sorted; strangers too.
    pub(crate) instances: Vec<Described>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) load_balancer: String,
    /// Whether this member is in the pool for its role, not for its membership.
    pub(crate) as_primary: bool,
    /// Registering a member that is in already is harmless.
    pub(crate) change: Move<String>,
}

/// The calls from `observed` to `intent`.
pub(crate) fn plan(
    table: &Table,
    memory: &Memory<String>,
    intent: &Intent,
    observed: &Observed,
    now: Timestamp,
) -> Plan<Call> {
    let rules = Rules { pool: table.pool, healthy_within: table.healthy_within };
    let (moves, then) = pool::plan(rules, memory, intent, &view(table, observed), now);
    let as_primary = table.pool == Pool::PrimaryOnly;
    let call = |change| Call { load_balancer: table.load_balancer.clone(), as_primary, change };
    Plan { steps: moves.into_iter().map(call).collect(), then }
}

/// The instances that belong to this mirror, without those that are being deregistered.
pub(crate) fn view(table: &Table, observed: &Observed) -> View<String> {
    let concerns = |instance: &String| *instance == observed.me || table.owned_instances.contains(instance);
    let registered = observed.instances.iter().filter(|described| concerns(&described.instance));
    let registered = registered.filter_map(|described| {
        described.health().map(|health| Entry { key: described.instance.clone(), health })
    });
    View { me: observed.me.clone(), registered: registered.collect() }
}

// === impl Observed ===

impl Observed {
    /// The same, with this member in and healthy.
    pub(crate) fn once_healthy(&self) -> Self {
        let mut then = self.clone();
        then.instances.retain(|described| described.instance != self.me);
        then.instances.push(Described {
            instance: self.me.clone(),
            state: IN_SERVICE.to_owned(),
            description: "N/A".to_owned(),
        });
        then.instances.sort_unstable();
        then
    }
}

// === impl Described ===

impl Described {
    /// Its health; `None` when it is not registered. The texts are those of the API reference of `InstanceState`.
    pub(crate) fn health(&self) -> Option<Health> {
        let says = |words: &str| self.description.contains(words);
        let shown = format!("{}: {}", self.state, self.description);
        if says("deregistration currently in progress") || says("not currently registered") {
            return None;
        }
        if says("Availability Zone for which LoadBalancer is not configured") {
            return Some(Health::Unused(format!(
                "{} is registered and gets no traffic: enable its availability zone on the load balancer",
                self.instance
            )));
        }
        Some(match self.state.as_str() {
            IN_SERVICE => Health::Healthy,
            "OutOfService" if says("registration is still in progress") => Health::Unknown(shown),
            "OutOfService" if says("has not passed the configured HealthyThreshold") => {
                Health::Unknown(shown)
            }
            "OutOfService" => Health::Failing(shown),
            _ => Health::Unknown(shown),
        })
    }
}

// === impl Call ===

impl Call {
    /// The API action.
    pub(crate) const fn action(&self) -> &'static str {
        match &self.change {
            Move::Add(_) => "RegisterInstancesWithLoadBalancer",
            Move::Remove(_) => "DeregisterInstancesFromLoadBalancer",
        }
    }

    pub(crate) fn instances(&self) -> &[String] {
        match &self.change {
            Move::Add(me) => std::slice::from_ref(me),
            Move::Remove(others) => others,
        }
    }
}

impl Step for Call {
    fn moves_traffic(&self) -> bool {
        self.as_primary || self.withdraws()
    }

    fn withdraws(&self) -> bool {
        matches!(self.change, Move::Remove(_))
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instance = |id: &String| format!("{{InstanceId={id}}}");
        let instances: Vec<_> = self.instances().iter().map(instance).collect();
        let Self { load_balancer, .. } = self;
        write!(f, "{} LoadBalancerName={load_balancer} Instances=[{}]", self.action(), instances.join(", "))
    }
}
