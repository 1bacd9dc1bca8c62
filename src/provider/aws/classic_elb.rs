//! Classic load balancers: reads them and makes the planned calls. [`plan`] decides which calls, and the loop decides
//! when.
//!
//! Instances are registered by id alone; the listeners know the ports.
//!
//! Wire format: the [Query protocol](crate::provider::aws::query), *Elastic Load Balancing API Reference, version
//! 2012-06-01*.

use aws_config::SdkConfig;

use crate::clock::Timestamp;
use crate::provider::aws::identity::Me;
use crate::provider::aws::query::{QueryClient, Service, Xml};
use crate::steer::pool::{Balancer, Memory, Move, View};
use crate::steer::{CallError, Intent, Plan};
use crate::text::printable;

mod check;
mod kind;
mod plan;
mod read;
mod table;
#[cfg(test)]
mod tests;

pub use table::Table;

pub(crate) use plan::Described;
use plan::{Call, Observed};

/// Elastic Load Balancing.
pub(super) const SERVICE: Service = Service {
    prefix: "elasticloadbalancing",
    version: "2012-06-01",
    id: "Elastic Load Balancing",
    is_global: false,
};

/// The read.
pub(crate) const DESCRIBE: &str = "DescribeInstanceHealth";
/// How much of an id or a state is kept, in characters.
const WORD_LENGTH: usize = 64;
/// How much of a description is kept, in characters; the documented ones have fewer than 120.
const DESCRIPTION_LENGTH: usize = 200;

/// One classic load balancer.
pub(crate) struct ClassicElb {
    table: Table,
    client: QueryClient,
    identity: Me,
}

impl ClassicElb {
    /// The load balancer of `table`, through `sdk`. `identity` resolves `"auto"`.
    pub(crate) fn new(table: &Table, identity: Me, sdk: &SdkConfig) -> Self {
        Self { table: table.clone(), client: QueryClient::new(sdk, SERVICE), identity }
    }
}

impl Balancer for ClassicElb {
    type Key = String;
    type Observed = Observed;
    type Call = Call;

    async fn observe(&mut self) -> Result<Observed, CallError> {
        let me = self.identity.instance_id(&self.table.instance_id).await?;
        let answer = self.client.read(DESCRIBE, &parameters(&self.table.load_balancer, &[])).await?;
        let mut instances: Vec<_> = answer.list("InstanceStates").filter_map(described).collect();
        instances.sort_unstable();
        Ok(Observed { me, instances })
    }

    fn view(&self, observed: &Observed) -> View<String> {
        plan::view(&self.table, observed)
    }

    fn plan(
        &self,
        memory: &Memory<String>,
        intent: &Intent,
        observed: &Observed,
        now: Timestamp,
    ) -> Plan<Call> {
        plan::plan(&self.table, memory, intent, observed, now)
    }

    fn once_healthy(observed: &Observed) -> Observed {
        observed.once_healthy()
    }

    async fn send(&mut self, call: &Call) -> Result<(), CallError> {
        let parameters = parameters(&call.load_balancer, call.instances());
        self.client.call_once(call.action(), &parameters).await.map(drop)
    }

    fn change(call: &Call) -> Move<String> {
        call.change.clone()
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

/// An instance as the service reports it; `None` without an id or a state.
pub(crate) fn described(from: &Xml) -> Option<Described> {
    Some(Described {
        instance: printable(from.text_of("InstanceId")?, WORD_LENGTH),
        state: printable(from.text_of("State")?, WORD_LENGTH),
        description: printable(from.text_of("Description").unwrap_or_default(), DESCRIPTION_LENGTH),
    })
}
