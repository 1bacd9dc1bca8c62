//! Reads a target group's settings for `mirrorvip check`. No call changes anything, every call has the deadlines of
//! [`aws`](crate::provider::aws), and every text in an answer is bounded.

use std::collections::BTreeMap;

use super::{DESCRIPTIONS, GROUPS, HEALTH, SERVICE, Table, described, named_group, parameters};
use crate::provider::aws::check::group::{Balancer, Family, Group, Member};
use crate::provider::aws::check::health_check::HealthCheck;
use crate::provider::aws::check::{count, empty, pairs, text, whole_seconds};
use crate::provider::aws::query::{QueryClient, Xml};
use crate::provider::aws::session::Session;
use crate::steer::CallError;

pub(super) async fn group(table: &Table, session: &mut Session) -> Result<Group, CallError> {
    let arn = &table.target_group_arn.to_string();
    let sdk = session.sdk(&table.target_group_arn.region).await;
    let client = QueryClient::new(&sdk, SERVICE);

    let answer = client.read(GROUPS, &named_group(arn)).await?;
    let Some(group) = answer.list("TargetGroups").next() else { return Err(empty(GROUPS)) };
    let attributes = client.read("DescribeTargetGroupAttributes", &parameters(arn, &[])).await?;
    let health = client.read(HEALTH, &parameters(arn, &[])).await?;
    let protocol = group.text_of("Protocol").unwrap_or_default();
    Ok(Group {
        family: if protocol.starts_with("HTTP") { Family::Application } else { Family::Network },
        target_type: text(group.text_of("TargetType").unwrap_or("instance")),
        health_check: health_check(group),
        attributes: attribute_pairs(&attributes),
        balancers: balancers(&client, group).await?,
        targets: health.list(DESCRIPTIONS).filter_map(described).map(Member::from).collect(),
    })
}

async fn balancers(client: &QueryClient, group: &Xml) -> Result<Vec<Balancer>, CallError> {
    let arns = group.list("LoadBalancerArns").map(Xml::text).enumerate();
    let parameters: Vec<_> =
        arns.map(|(index, arn)| (format!("LoadBalancerArns.member.{}", index + 1), arn.to_owned())).collect();
    if parameters.is_empty() {
        return Ok(Vec::new());
    }
    let answer = client.read("DescribeLoadBalancers", &parameters).await?;
    let mut balancers = Vec::new();
    for balancer in answer.list("LoadBalancers") {
        balancers.push(read_balancer(client, balancer).await?);
    }
    Ok(balancers)
}

async fn read_balancer(client: &QueryClient, balancer: &Xml) -> Result<Balancer, CallError> {
    let arn = balancer.text_of("LoadBalancerArn").unwrap_or_default();
    let parameters = [("LoadBalancerArn".to_owned(), arn.to_owned())];
    let attributes = client.read("DescribeLoadBalancerAttributes", &parameters).await?;
    Ok(Balancer {
        name: text(balancer.text_of("LoadBalancerName").unwrap_or("a load balancer")),
        zones: balancer.list("AvailabilityZones").len(),
        attributes: attribute_pairs(&attributes),
    })
}

fn attribute_pairs(answer: &Xml) -> BTreeMap<String, String> {
    let attributes = answer.list("Attributes");
    pairs(attributes.map(|attribute| (attribute.text_of("Key"), attribute.text_of("Value"))))
}

fn health_check(group: &Xml) -> Option<HealthCheck> {
    if group.text_of("HealthCheckEnabled") == Some("false") {
        return None;
    }
    let number = |name: &str| group.text_of(name).and_then(|number| number.parse().ok());
    let matcher = group.child("Matcher").and_then(|matcher| matcher.text_of("HttpCode"));
    Some(HealthCheck {
        protocol: text(group.text_of("HealthCheckProtocol")?),
        port: group.text_of("HealthCheckPort").and_then(|port| port.parse().ok()),
        path: group.text_of("HealthCheckPath").map(text),
        matcher: matcher.map(text),
        interval: whole_seconds(number("HealthCheckIntervalSeconds")),
        timeout: whole_seconds(number("HealthCheckTimeoutSeconds")),
        rise: count(number("HealthyThresholdCount")),
        fall: count(number("UnhealthyThresholdCount")),
    })
}
