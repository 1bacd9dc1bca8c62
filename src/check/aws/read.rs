//! Reads the settings of what is steered: the only part of the check that calls AWS. Every call changes
//! nothing and has the deadlines of [`aws`](crate::aws); every text that comes back is bounded.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::Client as Elbv2Client;
use aws_sdk_elasticloadbalancingv2::types::{LoadBalancer, TargetGroup};
use aws_sdk_route53::types::ResourceRecordSet;

use super::group::{Balancer, CONNECTION_DRAINING, Family, Group, Member};
use super::health_check::HealthCheck;
use super::record::{Interface, Records, RouteTable, Seen};
use crate::aws::arn::TargetGroupArn;
use crate::aws::error::call_error;
use crate::aws::help::is_denied;
use crate::aws::query::{QueryClient, Service, Xml};
use crate::aws::session::Session;
use crate::config::steering::{ClassicElb, Elbv2, Route, Route53, Write};
use crate::steer::route53::{self, canonical};
use crate::steer::{CallError, Class, classic_elb, elbv2};
use crate::text::printable;

/// How much of a text is kept, in characters; paths of health checks have up to 1024.
const TEXT: usize = 1024;
/// Record sets of one name that are looked at: more than the types and policies that make sense.
const RECORD_SETS: i32 = 100;
/// The id of a change that was never made, of the form that ids have.
const NO_CHANGE: &str = "C0000000000000000000";
/// Whether a load balancer's zones share their targets, as an attribute.
const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";

pub(super) async fn group(table: &Elbv2, session: &mut Session) -> Result<Group, CallError> {
    let arn = table.target_group_arn.as_str();
    let region = TargetGroupArn::parse(arn).map_or("", |arn| arn.region);
    let client = Elbv2Client::new(&session.sdk(region).await);

    let answer = client.describe_target_groups().target_group_arns(arn).send().await;
    let answer = answer.map_err(|error| call_error("DescribeTargetGroups", &error))?;
    let Some(group) = answer.target_groups().first() else { return Err(empty("DescribeTargetGroups")) };
    let answer = client.describe_target_group_attributes().target_group_arn(arn).send().await;
    let answer = answer.map_err(|error| call_error("DescribeTargetGroupAttributes", &error))?;
    let attributes = pairs(answer.attributes().iter().map(|attribute| (attribute.key(), attribute.value())));
    let answer = client.describe_target_health().target_group_arn(arn).send().await;
    let answer = answer.map_err(|error| call_error("DescribeTargetHealth", &error))?;
    let targets = answer.target_health_descriptions().iter().filter_map(elbv2::described);
    let protocol = group.protocol().map_or("", |protocol| protocol.as_str());
    Ok(Group {
        family: if protocol.starts_with("HTTP") { Family::Application } else { Family::Network },
        target_type: text(group.target_type().map_or("instance", |kind| kind.as_str())),
        health_check: health_check(group),
        attributes,
        balancers: balancers(&client, group).await?,
        targets: targets.map(Member::from).collect(),
    })
}

pub(super) async fn classic(table: &ClassicElb, session: &mut Session) -> Result<Group, CallError> {
    let region = session.region(&table.region).await?;
    let client = QueryClient::new(&session.sdk(&region).await, Service::ClassicElb);
    let name = &table.load_balancer;

    let parameters = [("LoadBalancerNames.member.1".to_owned(), name.clone())];
    let answer = client.call("DescribeLoadBalancers", &parameters).await?;
    let described = answer.child("DescribeLoadBalancersResult");
    let described = described.and_then(|result| result.list("LoadBalancerDescriptions").next());
    let Some(balancer) = described else { return Err(empty("DescribeLoadBalancers")) };
    let parameters = [("LoadBalancerName".to_owned(), name.clone())];
    let answer = client.call("DescribeLoadBalancerAttributes", &parameters).await?;
    let attributes = answer
        .child("DescribeLoadBalancerAttributesResult")
        .and_then(|result| result.child("LoadBalancerAttributes"));
    let attribute = |name: &str| attributes.and_then(|attributes| attributes.child(name));
    let cross_zone = attribute("CrossZoneLoadBalancing").and_then(|node| node.text_of("Enabled"));
    let balancer_attributes = pairs([(Some(CROSS_ZONE), cross_zone)].into_iter());
    let draining = attribute(CONNECTION_DRAINING).filter(|node| node.text_of("Enabled") == Some("true"));
    let draining = (Some(CONNECTION_DRAINING), draining.and_then(|node| node.text_of("Timeout")));
    // The loop's own read.
    let answer = client.call(classic_elb::DESCRIBE, &parameters).await?;
    let states = answer.child("DescribeInstanceHealthResult");
    let states = states.into_iter().flat_map(|result| result.list("InstanceStates"));
    let targets = states.filter_map(classic_elb::described).map(Member::from).collect();
    let zones = balancer.list("AvailabilityZones").len();
    Ok(Group {
        family: Family::Classic,
        target_type: "instance".to_owned(),
        health_check: balancer.child("HealthCheck").and_then(classic_health_check),
        attributes: pairs([draining].into_iter()),
        balancers: vec![Balancer { name: name.clone(), zones, attributes: balancer_attributes }],
        targets,
    })
}

pub(super) async fn record(table: &Route53, session: &mut Session) -> Result<Records, CallError> {
    let client = aws_sdk_route53::Client::new(&session.global_sdk().await);
    let list = async |name: &str| {
        let call = client.list_resource_record_sets().hosted_zone_id(&table.hosted_zone_id);
        let answer = call.start_record_name(name).max_items(RECORD_SETS).send().await;
        let answer = answer.map_err(|error| call_error("ListResourceRecordSets", &error))?;
        let mut sets = answer.resource_record_sets;
        sets.retain(|set| set.name.trim_end_matches('.').eq_ignore_ascii_case(name));
        Ok(sets)
    };
    // A zone's own name comes first in its list: it always has an SOA record, and names are in the order of their labels
    // from the right.
    let call = client.list_resource_record_sets().hosted_zone_id(&table.hosted_zone_id).max_items(1);
    let apex = call.send().await.map_err(|error| call_error("ListResourceRecordSets", &error))?;
    let Some(apex) = apex.resource_record_sets.first() else { return Err(empty("ListResourceRecordSets")) };
    let zone = text(&canonical(&apex.name));
    let named = list(&table.record).await?.iter().map(seen).collect();
    let beside = list(&format!("_mirrorvip.{}", table.record)).await?;
    // A change that nobody made is looked for as one's own would be: only a refusal tells something.
    let following = client.get_change().id(NO_CHANGE).send().await;
    let following = following.map_err(|error| call_error("GetChange", &error)).err();
    let of_this_set = beside.iter().filter(|set| {
        set.r#type.as_str() == "TXT" && set.set_identifier.as_deref() == table.set_identifier.as_deref()
    });
    let of_this_set: Vec<_> = of_this_set.collect();
    let owner = match (table.write, of_this_set.as_slice()) {
        (Write::CompareAndSwap, [set]) => route53::ownership(set),
        (Write::CompareAndSwap | Write::Upsert, _) => None,
    };
    Ok(Records {
        zone,
        named,
        mark: of_this_set.into_iter().flat_map(|set| seen(set).values).collect(),
        owner,
        unfollowed: following.filter(is_denied),
    })
}

pub(super) async fn route_tables(table: &Route, session: &mut Session) -> Result<Vec<RouteTable>, CallError> {
    let region = session.region(&table.region).await?;
    let client = QueryClient::new(&session.sdk(&region).await, Service::Ec2);
    let numbered = table.route_tables.iter().enumerate();
    let parameters: Vec<_> =
        numbered.map(|(index, id)| (format!("RouteTableId.{}", index + 1), id.clone())).collect();
    let answer = client.call("DescribeRouteTables", &parameters).await?;
    Ok(answer.list("routeTableSet").map(|found| route_table(found, &table.destination)).collect())
}

/// The network interfaces that a route to `table`'s target leads to.
pub(super) async fn interfaces(table: &Route, session: &mut Session) -> Result<Vec<Interface>, CallError> {
    let region = session.region(&table.region).await?;
    let client = QueryClient::new(&session.sdk(&region).await, Service::Ec2);
    let target = session.network_interface(&table.target).await?;
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let parameters = if target.starts_with("i-") {
        vec![pair("Filter.1.Name", "attachment.instance-id"), pair("Filter.1.Value.1", &target)]
    } else {
        vec![pair("NetworkInterfaceId.1", &target)]
    };
    let answer = client.call("DescribeNetworkInterfaces", &parameters).await?;
    let interface = |found: &Xml| Interface {
        id: text(found.text_of("networkInterfaceId").unwrap_or_default()),
        checks_addresses: found.text_of("sourceDestCheck") == Some("true"),
    };
    Ok(answer.list("networkInterfaceSet").map(interface).collect())
}

async fn balancers(client: &Elbv2Client, group: &TargetGroup) -> Result<Vec<Balancer>, CallError> {
    let arns = group.load_balancer_arns();
    if arns.is_empty() {
        return Ok(Vec::new());
    }
    let answer = client.describe_load_balancers().set_load_balancer_arns(Some(arns.to_vec())).send().await;
    let answer = answer.map_err(|error| call_error("DescribeLoadBalancers", &error))?;
    let mut balancers = Vec::new();
    for balancer in answer.load_balancers() {
        balancers.push(read_balancer(client, balancer).await?);
    }
    Ok(balancers)
}

async fn read_balancer(client: &Elbv2Client, balancer: &LoadBalancer) -> Result<Balancer, CallError> {
    let call = client.describe_load_balancer_attributes();
    let answer = call.set_load_balancer_arn(balancer.load_balancer_arn.clone()).send().await;
    let answer = answer.map_err(|error| call_error("DescribeLoadBalancerAttributes", &error))?;
    Ok(Balancer {
        name: text(balancer.load_balancer_name().unwrap_or("a load balancer")),
        zones: balancer.availability_zones().len(),
        attributes: pairs(answer.attributes().iter().map(|attribute| (attribute.key(), attribute.value()))),
    })
}

fn health_check(group: &TargetGroup) -> Option<HealthCheck> {
    if group.health_check_enabled() == Some(false) {
        return None;
    }
    Some(HealthCheck {
        protocol: text(group.health_check_protocol()?.as_str()),
        port: group.health_check_port().and_then(|port| port.parse().ok()),
        path: group.health_check_path().map(text),
        matcher: group.matcher().and_then(|matcher| matcher.http_code()).map(text),
        interval: whole_seconds(group.health_check_interval_seconds()),
        timeout: whole_seconds(group.health_check_timeout_seconds()),
        rise: count(group.healthy_threshold_count()),
        fall: count(group.unhealthy_threshold_count()),
    })
}

/// `HTTP:8080/csp/bin/mirror_status.cxw`, or `TCP:1972`.
fn classic_health_check(check: &Xml) -> Option<HealthCheck> {
    let (protocol, rest) = check.text_of("Target")?.split_once(':')?;
    let (port, path) = match rest.find('/') {
        Some(slash) => (&rest[..slash], Some(text(&rest[slash..]))),
        None => (rest, None),
    };
    let number = |name: &str| check.text_of(name).and_then(|number| number.parse().ok());
    Some(HealthCheck {
        protocol: text(&protocol.to_ascii_uppercase()),
        port: port.parse().ok(),
        path,
        // A classic load balancer takes 200 alone, and that cannot be set.
        matcher: None,
        interval: whole_seconds(number("Interval")),
        timeout: whole_seconds(number("Timeout")),
        rise: count(number("HealthyThreshold")),
        fall: count(number("UnhealthyThreshold")),
    })
}

fn seen(set: &ResourceRecordSet) -> Seen {
    let policies = [
        ("failover", set.failover.is_some()),
        ("latency", set.region.is_some()),
        ("geolocation", set.geo_location.is_some()),
        ("geoproximity", set.geo_proximity_location.is_some()),
        ("IP address", set.cidr_routing_config.is_some()),
        ("multivalue answer", set.multi_value_answer == Some(true)),
    ];
    Seen {
        record_type: text(set.r#type.as_str()),
        ttl: set.ttl.and_then(|ttl| ttl.try_into().ok()),
        values: set.resource_records().iter().map(|record| text(&record.value)).collect(),
        is_alias: set.alias_target.is_some(),
        set_identifier: set.set_identifier.as_deref().map(text),
        policy: policies.into_iter().find_map(|(name, is_set)| is_set.then_some(name)),
        of_traffic_policy: set.traffic_policy_instance_id.is_some(),
    }
}

fn route_table(found: &Xml, destination: &str) -> RouteTable {
    let to = |route: &Xml| {
        let networks = ["destinationCidrBlock", "destinationIpv6CidrBlock"];
        networks.into_iter().find_map(|name| route.text_of(name).map(text))
    };
    let mut table =
        RouteTable { id: text(found.text_of("routeTableId").unwrap_or_default()), ..RouteTable::default() };
    for route in found.list("routeSet") {
        let Some(network) = to(route) else { continue };
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

fn pairs<'a>(found: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>) -> BTreeMap<String, String> {
    found.filter_map(|(key, value)| Some((text(key?), text(value?)))).collect()
}

fn whole_seconds(seconds: Option<i32>) -> Duration {
    Duration::from_secs(count(seconds).into())
}

fn count(number: Option<i32>) -> u32 {
    number.and_then(|number| number.try_into().ok()).unwrap_or_default()
}

fn text(text: &str) -> String {
    printable(text, TEXT)
}

/// An answer without the one thing that was asked for.
fn empty(action: &'static str) -> CallError {
    CallError::new(action, Class::Stop, "the answer is empty: there is no such object")
}
