//! The overlay address: a route to this member in every named route table. Reads the tables and makes the
//! planned calls; [`plan`] decides which calls, and the loop decides when.
//!
//! An overlay address lies outside the VPC's own network, so that routes decide where it is: clients in the
//! VPC's subnets and behind its transit gateway reach it, whichever zone the primary is in. `ReplaceRoute` is
//! atomic for its table; several tables change one after the other. It does not compare before it replaces, so the
//! last writer wins: the [write authorization](Authorized) keeps a stale writer out, and a member that finds its
//! route changed has lost it.
//!
//! Each table is steered separately: one that is missing or refused is reported and does not delay the others. The
//! read uses a filter, which leaves out missing tables; asked by id, EC2 refuses the whole call for a missing one.
//!
//! Two requirements on the member are not checked here: its network interface must not check source and destination
//! (`aws ec2 modify-network-interface-attribute --no-source-dest-check`), or AWS drops packets to the overlay
//! address; and the system must have the address, for example by `ip address add 10.99.0.1/32 dev lo` on every
//! member.
//!
//! Wire format: `DescribeRouteTables`, `ReplaceRoute` and `CreateRoute` of the EC2 API reference.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use ipnet::IpNet;

use super::identity::unidentified;
use crate::clock::Timestamp;
use crate::config::steering::Value;
use crate::provider::aws::Identity;
use crate::provider::aws::query::{QueryClient, Service, Xml};
use crate::role::Epoch;
use crate::steer::{Authorized, CallError, Class, Intent, Plan};
use crate::text::printable;

mod check;
mod kind;
mod plan;
mod read;
mod table;
#[cfg(test)]
mod tests;

pub use table::{NextHop, Table};

use plan::{Call, Memory, Observed, RouteState, TableState};

/// Amazon EC2.
pub(super) const SERVICE: Service =
    Service { prefix: "ec2", version: "2016-11-15", id: "EC2", is_global: false };

const DESCRIBE: &str = "DescribeRouteTables";

/// The most pages of one read. EC2 answers in one page unless asked for less.
const PAGES: usize = 10;

/// How much of an id is kept, in characters.
const ID_LENGTH: usize = 64;

/// A route to an overlay address, in some route tables.
pub(crate) struct Route {
    /// Its target is automatic until the first read has found this member's network interface.
    settings: Table,
    client: QueryClient,
    reads: u64,
    memory: Memory,
}

impl Route {
    /// The route of `settings`, through `sdk`.
    pub(crate) fn new(settings: &Table, sdk: &SdkConfig) -> Self {
        let client = QueryClient::new(sdk, SERVICE);
        Self { settings: settings.clone(), client, reads: 0, memory: Memory::default() }
    }

    /// Where the route of each table leads, by the table's id.
    async fn describe(&mut self) -> Result<BTreeMap<String, RouteState>, CallError> {
        let ids =
            (1..).zip(&self.settings.route_tables).map(|(n, id)| (format!("Filter.1.Value.{n}"), id.clone()));
        let filter = ("Filter.1.Name".to_owned(), "route-table-id".to_owned());
        let mut parameters: Vec<_> = std::iter::once(filter).chain(ids).collect();
        let asked = parameters.len();
        let mut found = BTreeMap::new();
        for _ in 0..PAGES {
            let answer = self.client.call(DESCRIBE, &parameters).await?;
            found.extend(answer.list("routeTableSet").filter_map(|table| {
                Some((table.text_of("routeTableId")?.to_owned(), state(table, self.settings.destination)))
            }));
            let next = answer.text_of("nextToken").filter(|token| !token.is_empty());
            let Some(next) = next else { return Ok(found) };
            parameters.truncate(asked);
            parameters.push(("NextToken".to_owned(), next.to_owned()));
        }
        Err(CallError::new(DESCRIBE, Class::Retry, format!("the answer has more than {PAGES} pages")))
    }

    async fn me(&mut self) -> Result<NextHop, CallError> {
        if let Value::Is(hop) = &self.settings.target {
            return Ok(hop.clone());
        }
        let interface = Identity::ask_network_interface().await.map_err(|error| unidentified(&error))?;
        let hop = NextHop::NetworkInterface(interface);
        self.settings.target = Value::Is(hop.clone());
        Ok(hop)
    }
}

impl crate::steer::Target for Route {
    type Observed = Observed;
    type Step = Call;

    fn parts(&self) -> usize {
        self.settings.route_tables.len()
    }

    async fn observe(&mut self) -> Result<Observed, CallError> {
        let me = self.me().await?;
        let mut found = self.describe().await?;
        let mut state = |id: &String| found.remove(id).unwrap_or(RouteState::NoTable);
        let tables = self.settings.route_tables.iter();
        let tables = tables.map(|id| TableState { id: id.clone(), route: state(id) }).collect();
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
        plan::plan(self.settings.destination, &self.memory, intent, observed, now)
    }

    async fn apply(&mut self, step: Authorized<'_, Call>) -> Result<(), CallError> {
        let action = step.action();
        // One attempt: the loop authorizes each.
        let answer = self.client.call_once(action, &step.parameters()).await?;
        if answer.text_of("return") == Some("false") {
            return Err(CallError::new(action, Class::Retry, "the answer is false"));
        }
        self.memory.accepted(&step.table);
        Ok(())
    }
}

/// The destination of a route; `None` for a prefix list.
fn destination_of(route: &Xml) -> Option<IpNet> {
    let network = ["destinationCidrBlock", "destinationIpv6CidrBlock"];
    let network = network.into_iter().find_map(|name| route.text_of(name))?;
    network.parse::<IpNet>().ok().map(|network| network.trunc())
}

/// The route of `table` to `destination`. Routes that a gateway propagates do not count: a created route takes
/// precedence over them.
fn state(table: &Xml, destination: IpNet) -> RouteState {
    let route = table.list("routeSet").find(|route| {
        destination_of(route) == Some(destination)
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
        other: OTHER_HOPS.iter().find_map(|name| text(name)),
        blackhole: route.text_of("state") == Some("blackhole"),
    }
}

/// The other next hops of a route.
const OTHER_HOPS: [&str; 9] = [
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
