//! Target groups of application and network load balancers: reads them and makes the planned calls. [`plan`] decides
//! which calls, the steering loop when and with which authorization.
//!
//! A target is its id *and* its port, in every call and in every comparison: `DeregisterTargets` without
//! the port answers 200 and does nothing. Only targets on this member's own port belong to its mirror, so mirrors
//! that share hosts and a group by their ports do not touch each other.
//!
//! An address outside the group's VPC (a peered VPC, another site) must be registered with
//! `AvailabilityZone=all`, and one inside must not. Only the service knows which it is: its network ranges
//! change, and reading them takes rights in EC2. So the first attempt leaves the zone out. When the service refuses and
//! says that a zone is required, the next attempt carries it. A target that is listed with `all` keeps it.
//!
//! Wire format: the [Query protocol](crate::provider::aws::query), *Elastic Load Balancing API Reference, version
//! 2015-12-01*.

use aws_config::SdkConfig;

use crate::clock::Timestamp;
use crate::config::steering::Value;
use crate::provider::aws::identity::{Me, unidentified};
use crate::provider::aws::query::{QueryClient, Service, Xml};
use crate::steer::pool::{Balancer, Memory, Move, Rules, View};
use crate::steer::{CallError, Class, Intent, Plan};
use crate::text::printable;

pub(crate) mod check;
mod kind;
mod plan;
mod read;
mod table;
#[cfg(test)]
mod tests;

pub use table::Table;

use plan::{Call, Described, Named, Observed, Settings, State, Target, TargetType};

/// Elastic Load Balancing version 2.
pub(super) const SERVICE: Service = Service {
    prefix: "elasticloadbalancing",
    version: "2015-12-01",
    id: "Elastic Load Balancing v2",
    is_global: false,
};

/// The read of every turn.
const HEALTH: &str = "DescribeTargetHealth";
/// The read of a group's type and settings.
const GROUPS: &str = "DescribeTargetGroups";
/// The list in the answer to [`HEALTH`].
const DESCRIPTIONS: &str = "TargetHealthDescriptions";
/// How much of an id or a reason is kept, in characters; an IPv6 address has 39.
const WORD_LENGTH: usize = 64;

/// One target group.
pub(crate) struct Elbv2 {
    settings: Settings,
    target_id: Value,
    port: u16,
    client: QueryClient,
    identity: Me,
    /// Known after the first read; the type of a group never changes.
    target_type: Option<TargetType>,
    /// Whether the service said last that this member's address is outside the VPC.
    in_all_zones: bool,
    /// Whether this member was draining at the last read.
    drains: bool,
}

impl Elbv2 {
    /// The target group of `settings`, asked through `sdk`. `identity` is what `"auto"` means.
    pub(crate) fn new(settings: &Table, identity: Me, sdk: &SdkConfig) -> Self {
        Self {
            settings: Settings {
                group: settings.target_group_arn.to_string(),
                rules: Rules { pool: settings.pool, healthy_within: settings.healthy_within },
                owned: settings.owned_targets.clone(),
            },
            target_id: settings.target_id.clone(),
            port: settings.port,
            client: QueryClient::new(sdk, SERVICE),
            identity,
            target_type: None,
            in_all_zones: false,
            drains: false,
        }
    }

    async fn target_type(&mut self) -> Result<TargetType, CallError> {
        if let Some(known) = self.target_type {
            return Ok(known);
        }
        let answer = self.client.read(GROUPS, &named_group(&self.settings.group)).await?;
        let group = answer.list("TargetGroups").next();
        let target_type = match group.and_then(|group| group.text_of("TargetType")) {
            Some("instance") => TargetType::Instance,
            Some("ip") => TargetType::Ip,
            Some(other) => {
                let message = format!(
                    "the target group's type is {}, and members can only be in groups of type instance or ip",
                    printable(other, WORD_LENGTH)
                );
                return Err(CallError::new(GROUPS, Class::Stop, message));
            }
            None => return Err(CallError::new(GROUPS, Class::Retry, "the answer has no target type")),
        };
        self.target_type = Some(target_type);
        Ok(target_type)
    }

    async fn me(&mut self, target_type: TargetType) -> Result<Target, CallError> {
        let id = match &self.target_id {
            Value::Is(id) => id.clone(),
            Value::Auto => {
                let identity = self.identity.get().await.map_err(|error| unidentified(&error))?;
                match target_type {
                    TargetType::Instance => identity.instance_id.clone(),
                    TargetType::Ip => plan::canonical(&identity.address),
                }
            }
        };
        let fits = match target_type {
            TargetType::Instance => id.starts_with("i-"),
            TargetType::Ip => id.parse::<std::net::IpAddr>().is_ok(),
        };
        if fits {
            return Ok(Target { id, port: self.port });
        }
        let wanted = match target_type {
            TargetType::Instance => "instance ids: write target_id = \"auto\" or \"i-...\"",
            TargetType::Ip => "addresses: write target_id = \"auto\" or this member's address",
        };
        let message = format!("the target group takes {wanted}; it is {}", printable(&id, WORD_LENGTH));
        Err(CallError::new(GROUPS, Class::Stop, message))
    }

    async fn targets(&self) -> Result<Vec<Described>, CallError> {
        let answer = self.client.read(HEALTH, &parameters(&self.settings.group, &[])).await?;
        let mut targets: Vec<_> = answer.list(DESCRIPTIONS).filter_map(described).collect();
        targets.sort_unstable();
        Ok(targets)
    }

    /// Learns from a refused registration whether a zone is required, and gives the error the class that follows.
    fn refused(&mut self, error: CallError) -> CallError {
        let Some(wants_all) = wants_all_zones(&error.message) else {
            return match error.class {
                // The guide to target groups says that an address that drains can be registered again only when it
                // has drained, which happens by itself.
                Class::Stop if self.drains => CallError { class: Class::Retry, ..error },
                Class::Stop | Class::Retry | Class::Throttled | Class::Observe => error,
            };
        };
        if wants_all == self.in_all_zones {
            return error;
        }
        self.in_all_zones = wants_all;
        CallError { class: Class::Observe, ..error }
    }
}

impl Balancer for Elbv2 {
    type Key = Target;
    type Observed = Observed;
    type Call = Call;

    async fn observe(&mut self) -> Result<Observed, CallError> {
        let target_type = self.target_type().await?;
        let me = self.me(target_type).await?;
        let targets = self.targets().await?;
        if let Some(own) = targets.iter().find(|described| described.target == me) {
            self.in_all_zones = own.in_all_zones;
        }
        let observed = Observed { target_type, me, in_all_zones: self.in_all_zones, targets };
        self.drains = observed.drains();
        Ok(observed)
    }

    fn view(&self, observed: &Observed) -> View<Target> {
        plan::view(&self.settings, observed)
    }

    fn plan(
        &self,
        memory: &Memory<Target>,
        intent: &Intent,
        observed: &Observed,
        now: Timestamp,
    ) -> Plan<Call> {
        plan::plan(&self.settings, memory, intent, observed, now)
    }

    fn once_healthy(observed: &Observed) -> Observed {
        observed.once_healthy()
    }

    async fn send(&mut self, call: &Call) -> Result<(), CallError> {
        let parameters = parameters(call.group(), call.targets());
        let outcome = self.client.call_once(call.action(), &parameters).await.map(drop);
        match call {
            Call::Register { .. } => outcome.map_err(|error| self.refused(error)),
            Call::Deregister { .. } => outcome,
        }
    }

    fn change(call: &Call) -> Move<Target> {
        match call {
            Call::Register { me, .. } => Move::Add(me.target.clone()),
            Call::Deregister { targets, .. } => {
                Move::Remove(targets.iter().map(|named| named.target.clone()).collect())
            }
        }
    }
}

/// A target as the service describes it; `None` without an id, a port or a state, which every target of a member has.
fn described(from: &Xml) -> Option<Described> {
    let target = from.child("Target")?;
    let health = from.child("TargetHealth")?;
    Some(Described {
        target: Target {
            id: plan::canonical(&printable(target.text_of("Id")?, WORD_LENGTH)),
            port: target.text_of("Port")?.parse().ok()?,
        },
        in_all_zones: target.text_of("AvailabilityZone") == Some("all"),
        state: State::from_word(health.text_of("State")?),
        reason: health.text_of("Reason").map(|reason| printable(reason, WORD_LENGTH)),
    })
}

/// A group as the reads of its settings name it.
fn named_group(arn: &str) -> [(String, String); 1] {
    [("TargetGroupArns.member.1".to_owned(), arn.to_owned())]
}

/// A group and targets in it.
fn parameters(group: &str, targets: &[Named]) -> Vec<(String, String)> {
    let mut parameters = vec![("TargetGroupArn".to_owned(), group.to_owned())];
    for (index, named) in targets.iter().enumerate() {
        let mut field = |name: &str, value: String| {
            parameters.push((format!("Targets.member.{}.{name}", index + 1), value));
        };
        field("Id", named.target.id.clone());
        field("Port", named.target.port.to_string());
        if named.in_all_zones {
            field("AvailabilityZone", "all".to_owned());
        }
    }
    parameters
}

/// What the service's refusal says about the zone: `all` is required, or forbidden, or the refusal has another cause.
/// The texts are those that users of other controllers report; no error code distinguishes them.
fn wants_all_zones(message: &str) -> Option<bool> {
    if !message.contains("Availability Zone") {
        return None;
    }
    // "You must specify a valid Availability Zone or select 'all' for all enabled Availability zones, since
    // the IP address '10.130.6.97' is outside the VPC"
    // "The Availability Zone is required for IP address '10.4.40.87' because it is not in the VPC"
    if message.contains("is outside the VPC") || message.contains("not in the VPC") {
        return Some(true);
    }
    // "The IP address '10.1.2.3' is within the VPC, and cannot have its Availability Zone overridden to 'all'
    // from 'us-east-1b'"
    message.contains("is within the VPC").then_some(false)
}
