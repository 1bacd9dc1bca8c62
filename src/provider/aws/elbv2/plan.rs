//! Target groups: what the service shows, and the calls that follow from it. PURE.

use std::fmt;
use std::net::IpAddr;

use crate::clock::Timestamp;
use crate::steer::pool::{self, Entry, Health, Memory, Move, Pool, Rules, View};
use crate::steer::{Intent, Plan, Step};

/// The service's limit of targets in one call.
pub(crate) const TARGETS_PER_CALL: usize = 200;

/// What identifies a target: the id alone would name another target, or none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Target {
    /// An instance id, or an address in its canonical form.
    pub(crate) id: String,
    /// The port.
    pub(crate) port: u16,
}

/// A target group's type, of those that members can be in. It never changes in the life of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TargetType {
    /// Instance ids.
    Instance,
    /// Addresses.
    Ip,
}

/// One target as `DescribeTargetHealth` describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Described {
    /// Which.
    pub(crate) target: Target,
    /// Whether its availability zone is `all`: it is outside the group's VPC.
    pub(crate) in_all_zones: bool,
    /// Its state.
    pub(crate) state: State,
    /// The reason code that goes with it, such as `Target.FailedHealthChecks`.
    pub(crate) reason: Option<String>,
}

/// States of targets, as the API reference of `TargetHealth` lists them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum State {
    /// Registration or the first checks are under way.
    Initial,
    /// It passes its check.
    Healthy,
    /// It fails its check.
    Unhealthy,
    /// It fails its check, and its connections are given time to end. It is still registered.
    UnhealthyDraining,
    /// It gets no traffic: no listener, no such zone, stopped.
    Unused,
    /// It was deregistered, and its connections are given time to end.
    Draining,
    /// Its health is not known: checks are disabled, or the service has a fault.
    Unavailable,
    /// A state that this program does not know.
    Other(String),
}

/// What the service shows of a target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    /// What its targets are.
    pub(crate) target_type: TargetType,
    /// This member's own target.
    pub(crate) me: Target,
    /// Whether this member must be registered for all zones, as far as is known.
    pub(crate) in_all_zones: bool,
    /// All targets, sorted; strangers too.
    pub(crate) targets: Vec<Described>,
}

/// A target as a call names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Which.
    pub(crate) target: Target,
    /// Whether with `AvailabilityZone=all`.
    pub(crate) in_all_zones: bool,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// `RegisterTargets` with this member. Adds it to the set; harmless if it is in already.
    Register {
        /// The group.
        group: String,
        /// This member.
        me: Named,
        /// Whether it enters the pool because it is the primary, not because it is a member.
        as_primary: bool,
    },
    /// `DeregisterTargets`. Those that are absent are no error to the service.
    Deregister {
        /// The group.
        group: String,
        /// Which targets; at most [`TARGETS_PER_CALL`].
        targets: Vec<Named>,
    },
}

/// What the configuration says about a target group.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Its ARN.
    pub(crate) group: String,
    /// How its pool is kept.
    pub(crate) rules: Rules,
    /// Ids in canonical form that this mirror may deregister, on this member's port and on no other.
    pub(crate) owned: Vec<String>,
}

/// The calls from `observed` to `intent`.
pub(crate) fn plan(
    settings: &Settings,
    memory: &Memory<Target>,
    intent: &Intent,
    observed: &Observed,
    now: Timestamp,
) -> Plan<Call> {
    let view = view(settings, observed);
    let (moves, then) = pool::plan(settings.rules, memory, intent, &view, now);
    let steps = moves.into_iter().flat_map(|one| calls(settings, observed, one)).collect();
    Plan { steps, then }
}

/// The targets that belong to this mirror, without those that drain.
pub(crate) fn view(settings: &Settings, observed: &Observed) -> View<Target> {
    let concerns = |target: &Target| {
        *target == observed.me || (target.port == observed.me.port && settings.owned.contains(&target.id))
    };
    let registered = observed.targets.iter().filter(|described| concerns(&described.target));
    let registered = registered.filter_map(|described| {
        described.health().map(|health| Entry { key: described.target.clone(), health })
    });
    View { me: observed.me.clone(), registered: registered.collect() }
}

/// An id as it is compared: addresses have many spellings.
pub(crate) fn canonical(id: &str) -> String {
    id.parse::<IpAddr>().map_or_else(|_| id.to_owned(), |address| address.to_string())
}

fn calls(settings: &Settings, observed: &Observed, one: Move<Target>) -> Vec<Call> {
    let group = || settings.group.clone();
    match one {
        Move::Add(target) => {
            let as_primary = settings.rules.pool == Pool::PrimaryOnly;
            let me = Named { target, in_all_zones: observed.in_all_zones };
            vec![Call::Register { group: group(), me, as_primary }]
        }
        Move::Remove(targets) => {
            let named: Vec<_> = targets.into_iter().map(|target| observed.named(target)).collect();
            let calls = named.chunks(TARGETS_PER_CALL);
            calls.map(|targets| Call::Deregister { group: group(), targets: targets.to_vec() }).collect()
        }
    }
}

// === impl Observed ===

impl Observed {
    fn named(&self, target: Target) -> Named {
        let described = self.targets.iter().find(|described| described.target == target);
        Named { in_all_zones: described.is_some_and(|described| described.in_all_zones), target }
    }

    /// The same, with this member in and healthy.
    pub(crate) fn once_healthy(&self) -> Self {
        let mut then = self.clone();
        then.targets.retain(|described| described.target != self.me);
        then.targets.push(Described {
            target: self.me.clone(),
            in_all_zones: self.in_all_zones,
            state: State::Healthy,
            reason: None,
        });
        then.targets.sort_unstable();
        then
    }

    /// Whether this member's target was deregistered and is not gone yet.
    pub(crate) fn drains(&self) -> bool {
        self.targets.iter().any(|described| described.target == self.me && described.state == State::Draining)
    }
}

// === impl Described ===

impl Described {
    /// Its health as the service sees it; `None` when it is not registered.
    pub(crate) fn health(&self) -> Option<Health> {
        let reason = self.reason.as_deref().unwrap_or("no reason given");
        let shown = format!("{}: {reason}", self.state.word());
        match &self.state {
            State::Healthy => Some(Health::Healthy),
            State::Initial | State::Unavailable | State::Other(_) => Some(Health::Unknown(shown)),
            State::Unhealthy | State::UnhealthyDraining => Some(Health::Failing(shown)),
            State::Draining => None,
            State::Unused if reason == "Target.NotRegistered" => None,
            State::Unused => {
                let fix = match reason {
                    "Target.NotInUse" => {
                        "attach the target group to a listener, and enable the member's zone on the load balancer"
                    }
                    "Target.InvalidState" => "the instance is stopped or terminated",
                    "Target.IpUnusable" => "the address belongs to a load balancer",
                    _ => "see the target group's targets in the console",
                };
                Some(Health::Unused(format!(
                    "{} is registered and gets no traffic ({reason}): {fix}",
                    self.target
                )))
            }
        }
    }
}

// === impl State ===

impl State {
    /// The state that the service calls `word`.
    pub(crate) fn from_word(word: &str) -> Self {
        match word {
            "initial" => Self::Initial,
            "healthy" => Self::Healthy,
            "unhealthy" => Self::Unhealthy,
            "unhealthy.draining" => Self::UnhealthyDraining,
            "unused" => Self::Unused,
            "draining" => Self::Draining,
            "unavailable" => Self::Unavailable,
            other => Self::Other(crate::text::printable(other, 40)),
        }
    }

    /// The service's word.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::UnhealthyDraining => "unhealthy.draining",
            Self::Unused => "unused",
            Self::Draining => "draining",
            Self::Unavailable => "unavailable",
            Self::Other(word) => word,
        }
    }
}

// === impl Call ===

impl Call {
    /// The API action.
    pub(crate) const fn action(&self) -> &'static str {
        match self {
            Self::Register { .. } => "RegisterTargets",
            Self::Deregister { .. } => "DeregisterTargets",
        }
    }

    /// The group's ARN.
    pub(crate) fn group(&self) -> &str {
        match self {
            Self::Register { group, .. } | Self::Deregister { group, .. } => group,
        }
    }

    /// The targets that it names.
    pub(crate) fn targets(&self) -> &[Named] {
        match self {
            Self::Register { me, .. } => std::slice::from_ref(me),
            Self::Deregister { targets, .. } => targets,
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
        write!(f, "{} TargetGroupArn={} Targets=[", self.action(), self.group())?;
        for (index, named) in self.targets().iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{named}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{Id={}, Port={}", self.target.id, self.target.port)?;
        f.write_str(if self.in_all_zones { ", AvailabilityZone=all}" } else { "}" })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An IPv6 address is in brackets, which separates it from the port.
        match self.id.parse() {
            Ok(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Ok(IpAddr::V4(_)) | Err(_) => write!(f, "{}:{}", self.id, self.port),
        }
    }
}
