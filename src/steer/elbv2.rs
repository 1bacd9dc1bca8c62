//! Target groups of application and network load balancers: reads them and makes the planned calls. What to
//! call is [`plan`]'s business, when and in whose name the loop's.
//!
//! A target is its id *and* its port, in every call and in every comparison: `DeregisterTargets` without
//! the port answers 200 and does nothing. Only targets on this member's own port are its mirror's, so mirrors
//! that share hosts and a group by their ports do not touch each other.
//!
//! An address outside the group's VPC (a peered VPC, another site) must be registered with
//! `AvailabilityZone=all`, and one inside must not. Only the service knows which it is: its network ranges
//! change and reading them takes rights in EC2. So the first attempt goes without; the service's refusal
//! says in so many words that a zone is required, and the next attempt carries it. A target that is listed
//! with `all` keeps it.

use aws_config::{Region, SdkConfig};
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::config::Builder;
use aws_sdk_elasticloadbalancingv2::types::{TargetDescription, TargetHealthDescription, TargetTypeEnum};

use super::pool::{Memory, Rules};
use super::{CallError, Class, Intent, Plan, Proof, Step as _};
use crate::aws::error::call_error;
use crate::aws::{Identity, single_attempt};
use crate::clock::Timestamp;
use crate::config::steering;
use crate::role::Epoch;
use crate::text::printable;

mod plan;
#[cfg(test)]
mod tests;

pub(crate) use plan::Described;
use plan::{Call, Named, Observed, Settings, State, Target, TargetType};

/// How much of an id or a reason is kept, in characters; an IPv6 address has 39.
const WORD_LENGTH: usize = 64;

/// One target group.
pub(crate) struct Elbv2 {
    settings: Settings,
    target_id: steering::Value,
    port: u16,
    client: Client,
    identity: Option<Identity>,
    /// Known after the first read; a group never changes it.
    target_type: Option<TargetType>,
    /// What the service said last about where this member's address is.
    in_all_zones: bool,
    /// Whether this member was draining at the last read.
    drains: bool,
    reads: u64,
    memory: Memory<Target>,
}

impl Elbv2 {
    /// The target group of `settings`, with a client of its own in the group's region. `identity` is what
    /// `"auto"` means; it is asked for at the first read if it is not known yet.
    pub(crate) fn new(settings: &steering::Elbv2, identity: Option<Identity>, sdk: &SdkConfig) -> Self {
        // arn:partition:elasticloadbalancing:region:account:targetgroup/name/id
        let region = settings.target_group_arn.split(':').nth(3).filter(|region| !region.is_empty());
        let mut config = Builder::from(sdk);
        if let Some(region) = region {
            config = config.region(Region::new(region.to_owned()));
        }
        Self {
            settings: Settings {
                group: settings.target_group_arn.clone(),
                rules: Rules { pool: settings.pool, healthy_within: settings.healthy_within },
                owned: settings.owned_targets.iter().map(|id| plan::canonical(id)).collect(),
            },
            target_id: settings.target_id.clone(),
            port: settings.port,
            client: Client::from_conf(config.build()),
            identity,
            target_type: None,
            in_all_zones: false,
            drains: false,
            reads: 0,
            memory: Memory::default(),
        }
    }

    async fn target_type(&mut self) -> Result<TargetType, CallError> {
        const ACTION: &str = "DescribeTargetGroups";
        if let Some(known) = self.target_type {
            return Ok(known);
        }
        let call = self.client.describe_target_groups().target_group_arns(&self.settings.group).send();
        let answer = call.await.map_err(|error| call_error(ACTION, &error))?;
        let group = answer.target_groups().first();
        let target_type = match group.and_then(|group| group.target_type()) {
            Some(TargetTypeEnum::Instance) => TargetType::Instance,
            Some(TargetTypeEnum::Ip) => TargetType::Ip,
            Some(other) => {
                let message = format!(
                    "the target group's type is {}, and members can only be in groups of type instance or ip",
                    printable(other.as_str(), WORD_LENGTH)
                );
                return Err(CallError::new(ACTION, Class::Stop, message));
            }
            None => return Err(CallError::new(ACTION, Class::Retry, "the answer tells no target type")),
        };
        self.target_type = Some(target_type);
        Ok(target_type)
    }

    async fn me(&mut self, target_type: TargetType) -> Result<Target, CallError> {
        let id = match &self.target_id {
            steering::Value::Is(id) => plan::canonical(id),
            steering::Value::Auto => {
                let identity = match self.identity.take() {
                    Some(known) => known,
                    None => Identity::ask().await.map_err(|error| super::unidentified(&error))?,
                };
                let identity = self.identity.insert(identity);
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
        Err(CallError::new("DescribeTargetGroups", Class::Stop, message))
    }

    async fn targets(&self) -> Result<Vec<Described>, CallError> {
        let call = self.client.describe_target_health().target_group_arn(&self.settings.group).send();
        let answer = call.await.map_err(|error| call_error("DescribeTargetHealth", &error))?;
        let mut targets: Vec<_> = answer.target_health_descriptions().iter().filter_map(described).collect();
        targets.sort_unstable();
        Ok(targets)
    }

    /// Learns from a refused registration what can be learnt, and says whose turn it is then.
    fn refused(&mut self, error: CallError) -> CallError {
        let Some(wants_all) = wants_all_zones(&error.message) else {
            return match error.class {
                // An address that drains can be registered again only when it has drained, says the guide to
                // target groups; that passes by itself.
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

impl super::Target for Elbv2 {
    type Observed = Observed;
    type Step = Call;

    async fn observe(&mut self) -> Result<Observed, CallError> {
        let target_type = self.target_type().await?;
        let me = self.me(target_type).await?;
        let targets = self.targets().await?;
        if let Some(own) = targets.iter().find(|described| described.target == me) {
            self.in_all_zones = own.in_all_zones;
        }
        self.reads += 1;
        let observed = Observed { target_type, me, in_all_zones: self.in_all_zones, targets };
        self.drains = observed.drains();
        Ok(observed)
    }

    fn note(&mut self, intent: &Intent, observed: &Observed, now: Timestamp) {
        self.memory.note(intent, &plan::view(&self.settings, observed), self.reads, now);
    }

    fn reset_memory(&mut self, epoch: Epoch) {
        self.memory.forget(epoch);
    }

    fn plan(&self, intent: &Intent, observed: &Observed, now: Timestamp) -> Plan<Call> {
        plan::plan(&self.settings, &self.memory, intent, observed, now)
    }

    fn once_healthy(&self, observed: &Observed) -> Option<Observed> {
        Some(observed.once_healthy())
    }

    async fn apply(&mut self, step: &Call, proof: Proof<'_>) -> Result<(), CallError> {
        if step.moves_traffic() && !matches!(proof, Proof::WriteAuthorization(_)) {
            return Err(CallError::new(step.action(), Class::Stop, "no write authorization: not sent"));
        }
        // The loop proves each attempt anew.
        let once = || Builder::default().retry_config(single_attempt());
        match step {
            Call::Register { group, me, .. } => {
                let call = self.client.register_targets().target_group_arn(group).targets(description(me));
                let outcome = call
                    .customize()
                    .config_override(once())
                    .send()
                    .await
                    .map_err(|error| call_error("RegisterTargets", &error));
                outcome.map_err(|error| self.refused(error))?;
                self.memory.added(&me.target);
            }
            Call::Deregister { group, targets } => {
                let call = self.client.deregister_targets().target_group_arn(group);
                let call = call.set_targets(Some(targets.iter().map(description).collect()));
                let outcome = call.customize().config_override(once()).send().await;
                outcome.map_err(|error| call_error("DeregisterTargets", &error))?;
                for named in targets {
                    self.memory.removed(&named.target);
                }
            }
        }
        Ok(())
    }
}

/// A target as the service tells it; `None` for what has no id and port, which no member has.
pub(crate) fn described(from: &TargetHealthDescription) -> Option<Described> {
    let target = from.target()?;
    let health = from.target_health();
    Some(Described {
        target: Target {
            id: plan::canonical(&printable(target.id()?, WORD_LENGTH)),
            port: u16::try_from(target.port()?).ok()?,
        },
        in_all_zones: target.availability_zone() == Some("all"),
        state: State::from_word(health?.state()?.as_str()),
        reason: health?.reason().map(|reason| printable(reason.as_str(), WORD_LENGTH)),
    })
}

fn description(named: &Named) -> TargetDescription {
    let target = TargetDescription::builder().id(&named.target.id).port(named.target.port.into());
    let zone = named.in_all_zones.then(|| "all".to_owned());
    target.set_availability_zone(zone).build()
}

/// What the service's refusal says about the zone: `all` is required, or forbidden, or it is about something
/// else. The texts are those that users of other controllers report; no code tells them apart.
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
