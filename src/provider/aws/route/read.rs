//! Reads route tables and network interfaces for `mirrorvip check`. Every call changes nothing and has the deadlines of
//! [`aws`](crate::provider::aws); every text that comes back is bounded.

use ipnet::IpNet;

use super::check::{Interface, RouteTable};
use super::{NextHop, SERVICE, Table};
use crate::config::steering::Value;
use crate::provider::aws::check::text;
use crate::provider::aws::query::{QueryClient, Xml};
use crate::provider::aws::session::Session;
use crate::steer::CallError;

pub(super) async fn route_tables(table: &Table, session: &mut Session) -> Result<Vec<RouteTable>, CallError> {
    let client = QueryClient::new(&session.sdk_in(&table.region).await?, SERVICE);
    let numbered = table.route_tables.iter().enumerate();
    let parameters: Vec<_> =
        numbered.map(|(index, id)| (format!("RouteTableId.{}", index + 1), id.clone())).collect();
    let answer = client.call("DescribeRouteTables", &parameters).await?;
    Ok(answer.list("routeTableSet").map(|found| route_table(found, table.destination)).collect())
}

/// The network interfaces that a route to `table`'s target leads to.
pub(super) async fn interfaces(table: &Table, session: &mut Session) -> Result<Vec<Interface>, CallError> {
    let client = QueryClient::new(&session.sdk_in(&table.region).await?, SERVICE);
    let target = match &table.target {
        Value::Is(hop) => hop.clone(),
        Value::Auto => NextHop::NetworkInterface(Session::network_interface().await?),
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let parameters = match &target {
        NextHop::Instance(id) => {
            vec![pair("Filter.1.Name", "attachment.instance-id"), pair("Filter.1.Value.1", id)]
        }
        NextHop::NetworkInterface(id) => vec![pair("NetworkInterfaceId.1", id)],
    };
    let answer = client.call("DescribeNetworkInterfaces", &parameters).await?;
    let interface = |found: &Xml| Interface {
        id: text(found.text_of("networkInterfaceId").unwrap_or_default()),
        checks_addresses: found.text_of("sourceDestCheck") == Some("true"),
    };
    Ok(answer.list("networkInterfaceSet").map(interface).collect())
}

fn route_table(found: &Xml, destination: IpNet) -> RouteTable {
    let mut table =
        RouteTable { id: text(found.text_of("routeTableId").unwrap_or_default()), ..RouteTable::default() };
    for route in found.list("routeSet") {
        let Some(network) = super::destination_of(route) else { continue };
        if route.text_of("gatewayId") == Some("local") {
            table.local.push(network);
        } else if network == destination {
            // An instance's route names its network interface as well.
            let ends = ["networkInterfaceId", "instanceId", "gatewayId", "natGatewayId", "transitGatewayId"];
            let end = ends.into_iter().find_map(|name| route.text_of(name));
            table.leads_to = Some(text(end.unwrap_or("something else")));
            table.is_blackhole = route.text_of("state") == Some("blackhole");
        }
    }
    table
}
