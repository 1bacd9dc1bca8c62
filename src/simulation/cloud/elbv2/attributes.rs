//! Attributes of target groups and their load balancers. PURE.

use std::collections::BTreeMap;

use crate::simulation::cloud::settings::{Kind, TargetGroup, TargetType};
use crate::simulation::cloud::xml::Xml;

/// The attributes of a target group: the service's defaults and what was set.
pub(in super::super) fn group_attributes(group: &TargetGroup) -> BTreeMap<String, String> {
    let by_kind: &[(&str, &str)] = match group.kind {
        Kind::Network => &[
            ("deregistration_delay.connection_termination.enabled", "false"),
            ("proxy_protocol_v2.enabled", "false"),
            ("stickiness.type", "source_ip"),
            ("target_health_state.unhealthy.connection_termination.enabled", "true"),
            ("target_health_state.unhealthy.draining_interval_seconds", "0"),
        ],
        Kind::Application => &[
            ("load_balancing.algorithm.type", "round_robin"),
            ("slow_start.duration_seconds", "0"),
            ("stickiness.type", "lb_cookie"),
        ],
    };
    let common = [
        ("deregistration_delay.timeout_seconds", "300"),
        ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
        ("stickiness.enabled", "false"),
        ("target_group_health.dns_failover.minimum_healthy_targets.count", "1"),
        ("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off"),
        ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1"),
        ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off"),
    ];
    let mut attributes: BTreeMap<String, String> =
        common.iter().chain(by_kind).map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    if group.kind == Kind::Network {
        let preserve = (group.target_type == TargetType::Instance).to_string();
        attributes.insert("preserve_client_ip.enabled".to_owned(), preserve);
    }
    attributes.extend(group.attributes.iter().cloned());
    attributes
}

/// The attributes of its load balancer: the same.
pub(super) fn balancer_attributes(group: &TargetGroup) -> BTreeMap<String, String> {
    let (cross_zone, more): (&str, &[(&str, &str)]) = match group.kind {
        Kind::Network => ("false", &[("dns_record.client_routing_policy", "any_availability_zone")]),
        Kind::Application => ("true", &[("idle_timeout.timeout_seconds", "60")]),
    };
    let common = [
        ("access_logs.s3.enabled", "false"),
        ("deletion_protection.enabled", "false"),
        ("load_balancing.cross_zone.enabled", cross_zone),
    ];
    let mut attributes: BTreeMap<String, String> =
        common.iter().chain(more).map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    attributes.extend(group.balancer_attributes.iter().cloned());
    attributes
}

/// Attributes as both Describe actions answer them.
pub(super) fn describe(attributes: &BTreeMap<String, String>) -> String {
    let list = |xml: &mut Xml, (key, value): (&String, &String)| {
        xml.text("Key", key).text("Value", value);
    };
    Xml::new().list("Attributes", "member", attributes, list).finish()
}
