//! What target groups and classic load balancers have in common for `mirrorvip check`: settings read, findings out. PURE.
//!
//! Attributes and their defaults: Elastic Load Balancing API Reference, `TargetGroupAttribute` and
//! `LoadBalancerAttribute`.

use std::collections::BTreeMap;

use super::health_check::{self, Commands, HealthCheck};
use crate::finding::Finding;
use crate::provider::check::Subject;
use crate::steer::pool::Health;

/// Sessions that may last longer than this on a member that has left the pool are reported.
pub(crate) const LONG_DRAIN: u64 = 30;

/// Whether a load balancer's zones share their targets, as an attribute.
pub(crate) const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";

/// A target group with what is in front of it, or a classic load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) family: Family,
    /// `instance`, `ip`, `lambda` or `alb`.
    pub(crate) target_type: String,
    /// `None` when checks are switched off.
    pub(crate) health_check: Option<HealthCheck>,
    /// The group's attributes.
    pub(crate) attributes: BTreeMap<String, String>,
    /// The load balancers that forward to it.
    pub(crate) balancers: Vec<Balancer>,
    pub(crate) targets: Vec<Member>,
}

/// What kind of load balancer stands in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Network,
    Application,
    Classic,
}

/// One load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Balancer {
    pub(crate) name: String,
    pub(crate) zones: usize,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// One registered target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) port: Option<u16>,
    /// As the service calls it: `healthy`, `unhealthy`, `draining`, ...
    pub(crate) state: String,
    /// What the steering loop makes of that; `None` when it is not registered, or not for long.
    pub(crate) health: Option<Health>,
}

/// What every load balancer does while no member is healthy.
pub(crate) fn fail_open(subject: &Subject<'_>, group: &Group) -> Finding {
    let kind = match group.family {
        Family::Network => "network",
        Family::Application => "application",
        Family::Classic => "classic",
    };
    subject.good(format!(
        "fails open, as every {kind} load balancer does and none can be configured not to: while no member is healthy, as in the \
         middle of a takeover, it sends clients to all that are registered; the database must refuse them there"
    ))
}

/// Found about its health check, which `commands` correct.
pub(crate) fn check(
    subject: &Subject<'_>,
    group: &Group,
    port: Option<u16>,
    commands: &dyn Commands,
) -> Vec<Finding> {
    match &group.health_check {
        Some(check) => health_check::judge(subject, check, port, commands),
        None => vec![
            subject
                .error("has no health check: clients reach members that are not primary")
                .help(format!("Switch it on: `{}`.", commands.enable())),
        ],
    }
}

/// With one healthy member, a zone without it has no target unless zones share theirs.
pub(crate) fn cross_zone(subject: &Subject<'_>, group: &Group) -> Vec<Finding> {
    let own = group.attributes.get(CROSS_ZONE).map(String::as_str);
    let mut findings = Vec::new();
    for balancer in group.balancers.iter().filter(|balancer| balancer.zones > 1) {
        let inherited = balancer.attributes.get(CROSS_ZONE).map(String::as_str);
        let is_on = match own {
            Some(own @ ("true" | "false")) => own == "true",
            // An application load balancer shares its zones unless a group says otherwise.
            _ => inherited.map_or(group.family == Family::Application, |value| value == "true"),
        };
        if !is_on {
            findings.push(
                subject
                    .error(format!(
                        "{} has {} zones and does not share them: only the primary's zone is healthy, the addresses of the others \
                         leave its DNS, and clients that keep them fail",
                        balancer.name, balancer.zones
                    ))
                    .help(format!("Set {CROSS_ZONE} to true.")),
            );
        }
    }
    findings
}

/// A number above zero; words such as `off` are none.
pub(crate) fn positive(value: Option<&str>) -> Option<u64> {
    value?.parse().ok().filter(|number| *number > 0)
}

/// A target group with which nothing is wrong.
#[cfg(test)]
pub(crate) fn sound() -> Group {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let member = |id: &str, state: &str, health| Member {
        id: id.to_owned(),
        port: Some(1972),
        state: state.to_owned(),
        health: Some(health),
    };
    Group {
        family: Family::Network,
        target_type: "ip".to_owned(),
        health_check: Some(HealthCheck {
            protocol: "HTTP".to_owned(),
            port: Some(8080),
            path: Some("/csp/bin/mirror_status.cxw".to_owned()),
            matcher: Some("200-399".to_owned()),
            interval: std::time::Duration::from_secs(5),
            timeout: std::time::Duration::from_secs(2),
            rise: 2,
            fall: 2,
        }),
        attributes: pairs(&[
            (CROSS_ZONE, "use_load_balancer_configuration"),
            ("proxy_protocol_v2.enabled", "false"),
            ("preserve_client_ip.enabled", "false"),
            ("deregistration_delay.timeout_seconds", "300"),
            ("deregistration_delay.connection_termination.enabled", "false"),
            ("target_health_state.unhealthy.connection_termination.enabled", "true"),
            ("target_health_state.unhealthy.draining_interval_seconds", "0"),
            ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1"),
            ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off"),
            ("target_group_health.dns_failover.minimum_healthy_targets.count", "1"),
            ("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off"),
        ]),
        balancers: vec![Balancer {
            name: "iris-lb".to_owned(),
            zones: 2,
            attributes: pairs(&[(CROSS_ZONE, "true")]),
        }],
        targets: vec![
            member("10.0.1.12", "healthy", Health::Healthy),
            member("10.0.2.12", "unhealthy", Health::Failing("unhealthy".to_owned())),
        ],
    }
}
