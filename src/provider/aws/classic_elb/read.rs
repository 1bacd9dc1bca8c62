//! Reads a classic load balancer's settings for `mirrorvip check`. Every call changes nothing and has the deadlines of
//! [`aws`](crate::provider::aws); every text that comes back is bounded.

use super::check::CONNECTION_DRAINING;
use super::{DESCRIBE, SERVICE, Table};
use crate::provider::aws::check::group::{Balancer, CROSS_ZONE, Family, Group, Member};
use crate::provider::aws::check::health_check::HealthCheck;
use crate::provider::aws::check::{count, empty, pairs, text, whole_seconds};
use crate::provider::aws::query::{QueryClient, Xml};
use crate::provider::aws::session::Session;
use crate::steer::CallError;

pub(super) async fn classic(table: &Table, session: &mut Session) -> Result<Group, CallError> {
    let client = QueryClient::new(&session.sdk_in(&table.region).await?, SERVICE);
    let name = &table.load_balancer;

    let parameters = [("LoadBalancerNames.member.1".to_owned(), name.clone())];
    let answer = client.read("DescribeLoadBalancers", &parameters).await?;
    let described = answer.list("LoadBalancerDescriptions").next();
    let Some(balancer) = described else { return Err(empty("DescribeLoadBalancers")) };
    let parameters = [("LoadBalancerName".to_owned(), name.clone())];
    let answer = client.read("DescribeLoadBalancerAttributes", &parameters).await?;
    let attributes = answer.child("LoadBalancerAttributes");
    let attribute = |name: &str| attributes.and_then(|attributes| attributes.child(name));
    let cross_zone = attribute("CrossZoneLoadBalancing").and_then(|node| node.text_of("Enabled"));
    let balancer_attributes = pairs([(Some(CROSS_ZONE), cross_zone)].into_iter());
    let draining = attribute(CONNECTION_DRAINING).filter(|node| node.text_of("Enabled") == Some("true"));
    let draining = (Some(CONNECTION_DRAINING), draining.and_then(|node| node.text_of("Timeout")));
    // The loop's own read.
    let states = client.read(DESCRIBE, &parameters).await?;
    let targets = states.list("InstanceStates").filter_map(super::described).map(Member::from).collect();
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
        // A classic load balancer accepts only 200, and that cannot be changed.
        matcher: None,
        interval: whole_seconds(number("Interval")),
        timeout: whole_seconds(number("Timeout")),
        rise: count(number("HealthyThreshold")),
        fall: count(number("UnhealthyThreshold")),
    })
}
