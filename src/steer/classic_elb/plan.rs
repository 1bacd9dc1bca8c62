//! Classic load balancers: what the service shows, and the calls that follow from it. PURE.

use std::fmt;

use crate::clock::Timestamp;
use crate::config::steering::Pool;
use crate::steer::pool::{self, Entry, Health, Memory, Move, Rules, View};
use crate::steer::{Intent, Plan, Step};

/// The state of an instance that passes its check.
const IN_SERVICE: &str = "InService";

/// One instance as `DescribeInstanceHealth` tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Described {
    /// Its id.
    pub(crate) instance: String,
    /// `InService`, `OutOfService` or `Unknown`.
    pub(crate) state: String,
    /// Why, in the service's words: nothing else tells registering, draining and failing apart.
    pub(crate) description: String,
}

/// What the service shows of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    /// This member.
    pub(crate) me: String,
    /// All instances, sorted; strangers too.
    pub(crate) instances: Vec<Described>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// `RegisterInstancesWithLoadBalancer` with this member. Harmless if it is in already.
    Register {
        /// The load balancer's name.
        load_balancer: String,
        /// This member.
        me: String,
        /// Whether it is in the pool for its role, not for its membership.
        as_primary: bool,
    },
    /// `DeregisterInstancesFromLoadBalancer`.
    Deregister {
        /// The load balancer's name.
        load_balancer: String,
        /// Whom.
        instances: Vec<String>,
    },
}

/// What the configuration says about a load balancer.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Its name.
    pub(crate) load_balancer: String,
    /// How its pool is kept.
    pub(crate) rules: Rules,
    /// Instances that this mirror may deregister.
    pub(crate) owned: Vec<String>,
}

/// The calls from `observed` to `intent`.
pub(crate) fn plan(
    settings: &Settings,
    memory: &Memory<String>,
    intent: &Intent,
    observed: &Observed,
    now: Timestamp,
) -> Plan<Call> {
    let (moves, then) = pool::plan(settings.rules, memory, intent, &view(settings, observed), now);
    let load_balancer = || settings.load_balancer.clone();
    let call = |one| match one {
        Move::Add(me) => Call::Register {
            load_balancer: load_balancer(),
            me,
            as_primary: settings.rules.pool == Pool::PrimaryOnly,
        },
        Move::Remove(instances) => Call::Deregister { load_balancer: load_balancer(), instances },
    };
    Plan { steps: moves.into_iter().map(call).collect(), then }
}

/// The instances that concern this mirror, without those that are being deregistered.
pub(crate) fn view(settings: &Settings, observed: &Observed) -> View<String> {
    let concerns = |instance: &String| *instance == observed.me || settings.owned.contains(instance);
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
    /// What the service thinks of it; `None` when it is not registered. The texts are those of the API
    /// reference of `InstanceState`.
    pub(crate) fn health(&self) -> Option<Health> {
        let says = |words: &str| self.description.contains(words);
        let told = format!("{}: {}", self.state, self.description);
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
            "OutOfService" if says("registration is still in progress") => Health::Unknown(told),
            "OutOfService" if says("has not passed the configured HealthyThreshold") => Health::Unknown(told),
            "OutOfService" => Health::Failing(told),
            _ => Health::Unknown(told),
        })
    }
}

// === impl Call ===

impl Call {
    /// The API action.
    pub(crate) const fn action(&self) -> &'static str {
        match self {
            Self::Register { .. } => "RegisterInstancesWithLoadBalancer",
            Self::Deregister { .. } => "DeregisterInstancesFromLoadBalancer",
        }
    }

    /// Which load balancer.
    pub(crate) fn load_balancer(&self) -> &str {
        match self {
            Self::Register { load_balancer, .. } | Self::Deregister { load_balancer, .. } => load_balancer,
        }
    }

    /// Whom.
    pub(crate) fn instances(&self) -> &[String] {
        match self {
            Self::Register { me, .. } => std::slice::from_ref(me),
            Self::Deregister { instances, .. } => instances,
        }
    }
}

impl Step for Call {
    fn moves_traffic(&self) -> bool {
        match self {
            Self::Register { as_primary, .. } => *as_primary,
            Self::Deregister { .. } => true,
        }
    }

    fn withdraws(&self) -> bool {
        match self {
            Self::Register { .. } => false,
            Self::Deregister { .. } => true,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} LoadBalancerName={} Instances=[", self.action(), self.load_balancer())?;
        for (index, instance) in self.instances().iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{{InstanceId={instance}}}")?;
        }
        f.write_str("]")
    }
}
