//! Classic load balancers: reads them and makes the planned calls. What to call is [`plan`]'s business, when
//! and in whose name the loop's.
//!
//! Instances are registered by id alone; the listeners know the ports. Three calls do not pay for an SDK
//! crate, so they go through the [Query protocol](crate::aws::query).

use aws_config::{Region, SdkConfig};

use super::pool::{Memory, Rules};
use super::{CallError, Class, Intent, Plan, Proof, Step as _};
use crate::aws::Identity;
use crate::aws::query::{QueryClient, Service, Xml};
use crate::clock::Timestamp;
use crate::config::steering::{self, Value};
use crate::role::Epoch;
use crate::text::printable;

mod plan;
#[cfg(test)]
mod tests;

pub(crate) use plan::Described;
use plan::{Call, Observed, Settings};

/// The read.
pub(crate) const DESCRIBE: &str = "DescribeInstanceHealth";
/// How much of an id or a state is kept, in characters.
const WORD_LENGTH: usize = 64;
/// How much of a description is kept, in characters; those that are documented have below 120.
const DESCRIPTION_LENGTH: usize = 200;

/// One classic load balancer.
pub(crate) struct ClassicElb {
    settings: Settings,
    region: Value,
    instance_id: Value,
    sdk: SdkConfig,
    /// Made when the region is known.
    client: Option<QueryClient>,
    identity: Option<Identity>,
    reads: u64,
    memory: Memory<String>,
}

impl ClassicElb {
    /// The load balancer of `settings`. `identity` is what `"auto"` means; it is asked for at the first read
    /// if it is not known yet.
    pub(crate) fn new(settings: &steering::ClassicElb, identity: Option<Identity>, sdk: &SdkConfig) -> Self {
        Self {
            settings: Settings {
                load_balancer: settings.load_balancer.clone(),
                rules: Rules { pool: settings.pool, healthy_within: settings.healthy_within },
                owned: settings.owned_instances.clone(),
            },
            region: settings.region.clone(),
            instance_id: settings.instance_id.clone(),
            sdk: sdk.clone(),
            client: None,
            identity,
            reads: 0,
            memory: Memory::default(),
        }
    }

    async fn identity(&mut self) -> Result<&Identity, CallError> {
        let identity = match self.identity.take() {
            Some(known) => known,
            None => Identity::ask().await.map_err(|error| super::unidentified(&error))?,
        };
        Ok(self.identity.insert(identity))
    }

    async fn me(&mut self) -> Result<String, CallError> {
        match &self.instance_id {
            Value::Is(id) => Ok(id.clone()),
            Value::Auto => Ok(self.identity().await?.instance_id.clone()),
        }
    }

    async fn client(&mut self) -> Result<QueryClient, CallError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let region = match &self.region {
            Value::Is(region) => region.clone(),
            Value::Auto => self.identity().await?.region.clone(),
        };
        let sdk = self.sdk.clone().into_builder().region(Region::new(region)).build();
        Ok(self.client.insert(QueryClient::new(&sdk, Service::ClassicElb)).clone())
    }
}

impl super::Target for ClassicElb {
    type Observed = Observed;
    type Step = Call;

    async fn observe(&mut self) -> Result<Observed, CallError> {
        let me = self.me().await?;
        let client = self.client().await?;
        let answer = client.call(DESCRIBE, &parameters(&self.settings.load_balancer, &[])).await?;
        let result = answer
            .child("DescribeInstanceHealthResult")
            .ok_or_else(|| CallError::new(DESCRIBE, Class::Retry, "the answer has no result"))?;
        let mut instances: Vec<_> = result.list("InstanceStates").filter_map(described).collect();
        instances.sort_unstable();
        self.reads += 1;
        Ok(Observed { me, instances })
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
        let client = self.client().await?;
        // One attempt: the loop proves each anew.
        client.call_once(step.action(), &parameters(step.load_balancer(), step.instances())).await?;
        match step {
            Call::Register { me, .. } => self.memory.added(me),
            Call::Deregister { instances, .. } => {
                for instance in instances {
                    self.memory.removed(instance);
                }
            }
        }
        Ok(())
    }
}

fn parameters(load_balancer: &str, instances: &[String]) -> Vec<(String, String)> {
    let name = ("LoadBalancerName".to_owned(), load_balancer.to_owned());
    let numbered = instances
        .iter()
        .enumerate()
        .map(|(index, instance)| (format!("Instances.member.{}.InstanceId", index + 1), instance.clone()));
    std::iter::once(name).chain(numbered).collect()
}

/// An instance as the service tells it; `None` for what has no id or no state.
pub(crate) fn described(from: &Xml) -> Option<Described> {
    Some(Described {
        instance: printable(from.text_of("InstanceId")?, WORD_LENGTH),
        state: printable(from.text_of("State")?, WORD_LENGTH),
        description: printable(from.text_of("Description").unwrap_or_default(), DESCRIPTION_LENGTH),
    })
}
