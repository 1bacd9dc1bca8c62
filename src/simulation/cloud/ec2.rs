//! EC2: only route tables and the network interfaces of routes. PURE.

use super::api::{ApiError, Request};
use super::journal::Touched;
use super::objects::{Answer, Objects, RouteTable, answered, unknown};
use super::settings::{ACCOUNT, Member};
use super::xml::Xml;

pub(super) fn answer(objects: &mut Objects, request: &Request) -> Result<Answer, ApiError> {
    match request.action.as_str() {
        "DescribeRouteTables" => describe(objects, request),
        "DescribeNetworkInterfaces" => describe_interfaces(objects, request),
        "CreateRoute" => change(objects, request, true),
        "ReplaceRoute" => change(objects, request, false),
        _ => Err(unknown(request)),
    }
}

/// A route's name in the journal.
pub(super) fn object(table: &str, destination: &str) -> String {
    format!("{table}/{destination}")
}

fn not_found(id: &str) -> ApiError {
    ApiError::new(400, "InvalidRouteTableID.NotFound", format!("The routeTable ID '{id}' does not exist"))
}

fn describe(objects: &Objects, request: &Request) -> Result<Answer, ApiError> {
    let ids = request.parameters.list("RouteTableId");
    if let Some(gone) = ids.iter().find(|id| !objects.tables.contains_key(**id)) {
        return Err(not_found(gone));
    }
    let wanted = match request.parameters.get("Filter.1.Name") {
        None => Vec::new(),
        Some("route-table-id") => request.parameters.list("Filter.1.Value"),
        Some(other) => {
            let message = format!("The filter '{other}' is invalid");
            return Err(ApiError::new(400, "InvalidParameterValue", message));
        }
    };
    // Without ids all tables are returned; a filter skips ids that do not exist.
    let is_in = |list: &[&str], id: &str| list.is_empty() || list.contains(&id);
    let found = objects.tables.iter().map(|(id, table)| (id.as_str(), table));
    let found: Vec<_> = found.filter(|(id, _)| is_in(&ids, id) && is_in(&wanted, id)).collect();
    let local = objects.settings.vpc.to_string();
    let describe = |xml: &mut Xml, (id, table): (&str, &RouteTable)| {
        xml.text("routeTableId", id).text("vpcId", "vpc-00000000000000001").text("ownerId", ACCOUNT).element(
            "routeSet",
            |xml| {
                xml.element("item", |xml| {
                    xml.text("destinationCidrBlock", &local)
                        .text("gatewayId", "local")
                        .text("state", "active")
                        .text("origin", "CreateRouteTable");
                });
                for (destination, interface) in &table.routes {
                    xml.element("item", |xml| write_route(xml, objects, destination, interface));
                }
            },
        );
        xml.text("associationSet", "").text("propagatingVgwSet", "").text("tagSet", "");
    };
    Ok(answered(Xml::new().list("routeTableSet", "item", found, describe).finish()))
}

fn write_route(xml: &mut Xml, objects: &Objects, destination: &str, interface: &str) {
    let key = if destination.contains(':') { "destinationIpv6CidrBlock" } else { "destinationCidrBlock" };
    xml.text(key, destination);
    if let Some(member) = objects.settings.members.iter().find(|member| member.network_interface == interface)
    {
        xml.text("instanceId", &member.instance_id).text("instanceOwnerId", ACCOUNT);
    }
    let state = if objects.detached.contains(interface) { "blackhole" } else { "active" };
    xml.text("networkInterfaceId", interface).text("state", state).text("origin", "CreateRoute");
}

/// By id or by the instance that they are attached to; other filters let everything pass.
fn describe_interfaces(objects: &Objects, request: &Request) -> Result<Answer, ApiError> {
    let ids = request.parameters.list("NetworkInterfaceId");
    for id in &ids {
        interface(objects, Some(id), None)?;
    }
    let filters = request.parameters.structures("Filter", "Name");
    let is_wanted = |member: &Member| {
        let passes = |filter: &String| {
            let values = request.parameters.list(&format!("{filter}Value"));
            match request.parameters.get(&format!("{filter}Name")) {
                Some("attachment.instance-id") => values.contains(&member.instance_id.as_str()),
                Some(_) | None => true,
            }
        };
        (ids.is_empty() || ids.contains(&member.network_interface.as_str())) && filters.iter().all(passes)
    };
    let found: Vec<_> = objects.settings.members.iter().filter(|member| is_wanted(member)).collect();
    let describe = |xml: &mut Xml, member: &Member| {
        xml.text("networkInterfaceId", &member.network_interface)
            .text("privateIpAddress", member.address)
            .text("sourceDestCheck", member.source_dest_check)
            .text("status", "in-use")
            .element("attachment", |xml| {
                xml.text("instanceId", &member.instance_id).text("deviceIndex", 0).text("status", "attached");
            });
    };
    Ok(answered(Xml::new().list("networkInterfaceSet", "item", found, describe).finish()))
}

fn change(objects: &mut Objects, request: &Request, create: bool) -> Result<Answer, ApiError> {
    let get = |key: &str| request.parameters.get(key);
    let id = request.parameters.required("RouteTableId")?;
    let destination = get("DestinationCidrBlock").or_else(|| get("DestinationIpv6CidrBlock"));
    let destination = destination.ok_or_else(|| {
        ApiError::new(400, "MissingParameter", "The request must contain the parameter destinationCidrBlock")
    })?;
    let destination: ipnet::IpNet = destination.parse().map_err(|_malformed| {
        let message = format!("Value ({destination}) for parameter destinationCidrBlock is invalid.");
        ApiError::new(400, "InvalidParameterValue", message)
    })?;
    let destination = destination.trunc().to_string();
    let interface = interface(objects, get("NetworkInterfaceId"), get("InstanceId"))?;
    let table = objects.tables.get_mut(id).ok_or_else(|| not_found(id))?;
    let current = table.routes.get(&destination).cloned();
    match (&current, create) {
        (Some(_), true) => {
            let message = format!("The route identified by {destination} already exists.");
            return Err(ApiError::new(400, "RouteAlreadyExists", message));
        }
        (None, false) => {
            let message = format!(
                "There is no route defined for '{destination}' in the route table. Use CreateRoute instead."
            );
            return Err(ApiError::new(400, "InvalidParameterValue", message));
        }
        (Some(_), false) | (None, true) => {}
    }
    if get("DryRun") == Some("true") {
        let message = "Request would have succeeded, but DryRun flag is set.";
        return Err(ApiError::new(412, "DryRunOperation", message));
    }
    table.routes.insert(destination.clone(), interface.clone());
    let touched = Touched {
        object: object(id, &destination),
        before: current.into_iter().collect(),
        after: vec![interface],
    };
    Ok(Answer { touched: vec![touched], ..answered("<return>true</return>".to_owned()) })
}

/// The network interface that a route is to lead to.
fn interface(objects: &Objects, interface: Option<&str>, instance: Option<&str>) -> Result<String, ApiError> {
    let find = |is_it: &dyn Fn(&Member) -> bool| {
        let member = objects.settings.members.iter().find(|member| is_it(member));
        member.map(|member| member.network_interface.clone())
    };
    match (interface, instance) {
        (Some(id), None) => find(&|member| member.network_interface == id).ok_or_else(|| {
            let message = format!("The networkInterface ID '{id}' does not exist");
            ApiError::new(400, "InvalidNetworkInterfaceID.NotFound", message)
        }),
        (None, Some(id)) => find(&|member| member.instance_id == id).ok_or_else(|| {
            let message = format!("The instance ID '{id}' does not exist");
            ApiError::new(400, "InvalidInstanceID.NotFound", message)
        }),
        (None, None) | (Some(_), Some(_)) => Err(ApiError::new(
            400,
            "InvalidParameterCombination",
            "The request must contain exactly one target of the route",
        )),
    }
}
