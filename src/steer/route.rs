//! The overlay address: a route to this member in every named route table. Reads the tables and makes the
//! planned calls; what to call is [`plan`]'s business, when and in whose name the loop's.
//!
//! An overlay address lies outside the VPC's own network, so that routes decide where it is: clients in the
//! VPC's subnets and behind its transit gateway reach it, whichever zone the primary is in. `ReplaceRoute` is
//! atomic for its table; several tables change one after the other. It swaps nothing for something expected:
//! the last writer wins, so what keeps a stale writer out is the [write authorization](super::WriteAuthorization), and what finds it
//! is that the route was this member's before.
//!
//! Each table is steered for itself: one that is gone or refuses is told and holds up no other. So the read asks
//! with a filter, which leaves out what is not there; asked by id, EC2 refuses the whole call for one that is gone.
//!
//! Two things on the member itself are needed and not seen from here: its network interface must not check
//! source and destination (`aws ec2 modify-network-interface-attribute --no-source-dest-check`), or AWS drops
//! what is sent to the overlay address; and the system must hold the address, such as by `ip address add
//! 10.99.0.1/32 dev lo` on every member.
//!
//! Wire format: `DescribeRouteTables`, `ReplaceRoute` and `CreateRoute` of the EC2 API reference.

use std::collections::BTreeMap;

use aws_config::{Region, SdkConfig};

use super::{CallError, Class, Intent, Plan, Proof, unidentified};
use crate::aws::Identity;
use crate::aws::query::{QueryClient, Service, Xml};
use crate::clock::Timestamp;
use crate::config::steering::{self, Value};
use crate::role::Epoch;
use crate::text::printable;

mod plan;
#[cfg(test)]
mod tests;

use plan::{Call, Destination, Memory, NextHop, Observed, RouteState, Table};

const DESCRIBE: &str = "DescribeRouteTables";

/// Pages of one read at most. EC2 answers in one unless it is asked for less.
const PAGES: usize = 10;

/// How much of an id is kept, in characters.
const ID_LENGTH: usize = 64;

/// A route to an overlay address, in some route tables.
pub(crate) struct Route {
    destination: Destination,
    tables: Vec<String>,
    target: Value,
    region: Value,
    sdk: SdkConfig,
    /// Made when the region is known.
    client: Option<QueryClient>,
    identity: Option<Identity>,
    /// This member's, once it was asked for.
    interface: Option<String>,
    reads: u64,
    memory: Memory,
}

impl Route {
    /// The route of `settings`. `identity` is what `region = "auto"` means; it and the network interface that
    /// `target = "auto"` means are asked for at the first read if they are needed and not known yet.
    pub(crate) fn new(settings: &steering::Route, identity: Option<Identity>, sdk: &SdkConfig) -> Self {
        let destination = Destination::parse(&settings.destination);
        Self {
            destination,
            tables: settings.route_tables.clone(),
            target: settings.target.clone(),
            region: settings.region.clone(),
            sdk: sdk.clone(),
            client: None,
            identity,
            interface: None,
            reads: 0,
            memory: Memory::default(),
        }
    }

    async fn identity(&mut self) -> Result<&Identity, CallError> {
        Identity::known(&mut self.identity).await.map_err(|error| unidentified(&error))
    }

    async fn client(&mut self) -> Result<QueryClient, CallError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let region = match &self.region {
            Value::Is(region) => region.clone(),
            Value::Auto => self.identity().await?.region.clone(),
        };
        let sdk = self.sdk.to_builder().region(Region::new(region)).build();
        Ok(self.client.insert(QueryClient::new(&sdk, Service::Ec2)).clone())
    }

    /// Where the route of each table leads, by the table's id.
    async fn describe(&mut self) -> Result<BTreeMap<String, RouteState>, CallError> {
        let client = self.client().await?;
        let ids = (1..).zip(&self.tables).map(|(n, id)| (format!("Filter.1.Value.{n}"), id.clone()));
        let filter = ("Filter.1.Name".to_owned(), "route-table-id".to_owned());
        let mut parameters: Vec<_> = std::iter::once(filter).chain(ids).collect();
        let asked = parameters.len();
        let mut found = BTreeMap::new();
        for _ in 0..PAGES {
            let answer = client.call(DESCRIBE, &parameters).await?;
            found.extend(answer.list("routeTableSet").filter_map(|table| {
                Some((table.text_of("routeTableId")?.to_owned(), way(table, &self.destination)))
            }));
            let next = answer.text_of("nextToken").filter(|token| !token.is_empty());
            let Some(next) = next else { return Ok(found) };
            parameters.truncate(asked);
            parameters.push(("NextToken".to_owned(), next.to_owned()));
        }
        Err(CallError::new(DESCRIBE, Class::Retry, format!("the answer goes on after {PAGES} pages")))
    }

    async fn me(&mut self) -> Result<NextHop, CallError> {
        let id = match (&self.target, &mut self.interface) {
            (Value::Is(id), _) => id.clone(),
            (Value::Auto, Some(known)) => known.clone(),
            (Value::Auto, unknown @ None) => {
                let asked = Identity::ask_network_interface().await;
                unknown.insert(asked.map_err(|error| unidentified(&error))?).clone()
            }
        };
        NextHop::of(&id).ok_or_else(|| {
            let id = printable(&id, ID_LENGTH);
            CallError::new(DESCRIBE, Class::Stop, format!("a route leads to eni-... or i-..., not to {id}"))
        })
    }
}

impl super::Target for Route {
    type Observed = Observed;
    type Step = Call;

    fn parts(&self) -> usize {
        self.tables.len()
    }

    async fn observe(&mut self) -> Result<Observed, CallError> {
        let me = self.me().await?;
        let mut found = self.describe().await?;
        let tables = self.tables.iter();
        let tables =
            tables.map(|id| Table { id: id.clone(), way: found.remove(id).unwrap_or(RouteState::NoTable) });
        let tables = tables.collect();
        self.reads += 1;
        Ok(Observed { me, tables })
    }

    fn note(&mut self, intent: &Intent, observed: &Observed, now: Timestamp) {
        self.memory.note(intent, observed, self.reads, now);
    }

    fn reset_memory(&mut self, epoch: Epoch) {
        self.memory.forget(epoch);
    }

    fn plan(&self, intent: &Intent, observed: &Observed, now: Timestamp) -> Plan<Call> {
        plan::plan(&self.destination, &self.memory, intent, observed, now)
    }

    async fn apply(&mut self, step: &Call, proof: Proof<'_>) -> Result<(), CallError> {
        let action = step.action();
        match proof {
            Proof::WriteAuthorization(_) => {}
            Proof::AnyRole => {
                return Err(CallError::new(
                    action,
                    Class::Stop,
                    "it moves traffic, and there is no write authorization",
                ));
            }
        }
        // One attempt: the loop proves each anew.
        let answer = self.client().await?.call_once(action, &step.parameters()).await?;
        if answer.text_of("return") == Some("false") {
            return Err(CallError::new(action, Class::Retry, "the answer is false"));
        }
        self.memory.accepted(&step.table);
        Ok(())
    }
}

/// Where `table` leads what goes to `destination`. Routes that a gateway propagates do not count: one that is
/// created takes precedence over them.
fn way(table: &Xml, destination: &Destination) -> RouteState {
    let route = table.list("routeSet").find(|route| {
        let to = route.text_of("destinationCidrBlock").or_else(|| route.text_of("destinationIpv6CidrBlock"));
        to.is_some_and(|to| Destination::parse(to) == *destination)
            && route.text_of("origin") != Some("EnableVgwRoutePropagation")
    });
    let Some(route) = route else { return RouteState::Nowhere };
    let text = |name| route.text_of(name).map(|id| printable(id, ID_LENGTH));
    if route.text_of("gatewayId") == Some("local") {
        return RouteState::Local;
    }
    RouteState::To {
        interface: text("networkInterfaceId"),
        instance: text("instanceId"),
        other: OTHER_WAYS.iter().find_map(|name| text(name)),
        blackhole: route.text_of("state") == Some("blackhole"),
    }
}

/// What else a route can lead to.
const OTHER_WAYS: [&str; 9] = [
    "gatewayId",
    "natGatewayId",
    "transitGatewayId",
    "vpcPeeringConnectionId",
    "egressOnlyInternetGatewayId",
    "localGatewayId",
    "carrierGatewayId",
    "coreNetworkArn",
    "odbNetworkArn",
];
