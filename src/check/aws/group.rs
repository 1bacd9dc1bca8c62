//! Whether a pool's settings do what they are for. PURE: settings read, findings out.
//!
//! Attributes and their defaults: Elastic Load Balancing API Reference, `TargetGroupAttribute` and
//! `LoadBalancerAttribute`.

use std::collections::BTreeMap;

use super::super::Finding;
use super::health_check::{self, Change, HealthCheck};
use super::members::{self, Own};
use super::{Subject, or_auto};
use crate::aws::Identity;
use crate::config::steering::{ClassicElb, Elbv2, Pool};
use crate::steer::pool::Health;
use crate::steer::{classic_elb, elbv2};

/// Sessions that may last longer than this on a member that has left the pool are told.
const LONG_DRAIN: u64 = 30;

/// The attribute of a classic load balancer, its timeout in seconds; absent when it is off.
pub(super) const CONNECTION_DRAINING: &str = "ConnectionDraining";

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

/// Findings about a target group; `own` is this member's target as far as it is known.
pub(super) fn judge(subject: &Subject<'_>, table: &Elbv2, group: &Group, own: Option<&str>) -> Vec<Finding> {
    let arn = &table.target_group_arn;
    let command = format!("aws elbv2 modify-target-group --target-group-arn {arn}");
    let mut findings = vec![fail_open(subject, group)];
    findings.extend(target_type(subject, group, own));
    findings.extend(check(subject, group, Some(table.port), &command));
    findings.extend(in_front(subject, group));
    findings.extend(cross_zone(subject, group));
    findings.extend(attributes(subject, table.pool, group));
    findings.push(members::not_seen(subject, group));
    let own = own.map(|id| Own { id, port: Some(table.port) });
    findings.extend(members::judge(subject, table.pool, group, own));
    findings
}

/// Findings about a classic load balancer; `own` is this member's instance id as far as it is known.
pub(super) fn judge_classic(
    subject: &Subject<'_>,
    table: &ClassicElb,
    group: &Group,
    own: Option<&str>,
) -> Vec<Finding> {
    let mut findings = vec![fail_open(subject, group)];
    findings.extend(check(subject, group, None, "aws elb configure-health-check"));
    findings.extend(cross_zone(subject, group));
    findings.extend(connection_draining(subject, group));
    findings.push(members::not_seen(subject, group));
    let own = own.map(|id| Own { id, port: None });
    findings.extend(members::judge(subject, table.pool, group, own));
    findings
}

fn fail_open(subject: &Subject<'_>, group: &Group) -> Finding {
    let kind = match group.family {
        Family::Network => "network",
        Family::Application => "application",
        Family::Classic => "classic",
    };
    subject.good(format!(
        "fails open, as every {kind} load balancer does and none can be told not to: while no member is healthy, as in the \
         middle of a takeover, it sends clients to all that are registered; the database must refuse them there"
    ))
}

fn target_type(subject: &Subject<'_>, group: &Group, own: Option<&str>) -> Option<Finding> {
    let is_instance = |id: &str| id.starts_with("i-");
    match (group.target_type.as_str(), own) {
        ("instance", Some(id)) if !is_instance(id) => Some(
            subject
                .error(format!("takes instance ids, and target_id is {id}: registering fails"))
                .help("Write target_id = \"auto\" or this member's instance id."),
        ),
        ("ip", Some(id)) if is_instance(id) => Some(
            subject
                .error(format!("takes IP addresses, and target_id is {id}: registering fails"))
                .help("Write target_id = \"auto\" or this member's address."),
        ),
        ("instance" | "ip", _) => None,
        (other, _) => Some(
            subject
                .error(format!("is of type {other}: no member can be registered in it"))
                .help("Make a target group of type instance or ip, and name that."),
        ),
    }
}

fn check(subject: &Subject<'_>, group: &Group, port: Option<u16>, command: &str) -> Vec<Finding> {
    match &group.health_check {
        Some(check) => health_check::judge(subject, check, port, &Change { command }),
        None => vec![
            subject
                .error("has no health check: clients reach members that are not primary")
                .help(format!("Switch it on: `{command} --health-check-enabled`.")),
        ],
    }
}

fn in_front(subject: &Subject<'_>, group: &Group) -> Option<Finding> {
    group.balancers.is_empty().then(|| {
        subject
            .error("belongs to no load balancer: nobody checks its members, and no client comes through it")
            .help("Let a listener forward to it.")
    })
}

/// With one healthy member, a zone without it has nobody to send to unless zones share.
fn cross_zone(subject: &Subject<'_>, group: &Group) -> Vec<Finding> {
    const KEY: &str = "load_balancing.cross_zone.enabled";
    let own = group.attributes.get(KEY).map(String::as_str);
    let mut findings = Vec::new();
    for balancer in group.balancers.iter().filter(|balancer| balancer.zones > 1) {
        let inherited = balancer.attributes.get(KEY).map(String::as_str);
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
                    .help(format!("Set {KEY} to true.")),
            );
        }
    }
    findings
}

fn attributes(subject: &Subject<'_>, pool: Pool, group: &Group) -> Vec<Finding> {
    let value = |key: &str| group.attributes.get(key).map(String::as_str);
    let is_on = |key: &str| value(key) == Some("true");
    let mut findings = Vec::new();
    if is_on("proxy_protocol_v2.enabled") {
        findings.push(proxy_protocol(subject));
    }
    if is_on("preserve_client_ip.enabled") {
        findings.push(
            subject
                .warning("keeps clients' addresses: a member that connects to itself through the load balancer times out")
                .help("Let programs on the members connect to the instance directly, or set preserve_client_ip.enabled to false."),
        );
    }
    if value("target_health_state.unhealthy.connection_termination.enabled") == Some("false") {
        findings.push(
            subject
                .warning("leaves connections to a member that became unhealthy alone: sessions stay with the old primary")
                .help("Set target_health_state.unhealthy.connection_termination.enabled to true."),
        );
    }
    if let Some(seconds) = positive(value("target_health_state.unhealthy.draining_interval_seconds")) {
        findings.push(
            subject
                .warning(format!("lets a member that became unhealthy drain for {seconds} s: sessions stay with the old primary that long"))
                .help("Set target_health_state.unhealthy.draining_interval_seconds to 0."),
        );
    }
    if pool == Pool::PrimaryOnly {
        findings.extend(deregistration(subject, group.family, &value));
    }
    for (key, what) in MINIMUM_HEALTHY {
        let count = positive(value(&format!("{key}.minimum_healthy_targets.count"))).unwrap_or(0);
        let percentage = positive(value(&format!("{key}.minimum_healthy_targets.percentage"))).unwrap_or(0);
        // One of two members is half of them; a third for disaster recovery makes it less.
        if count > 1 || percentage > 33 {
            let limit = if count > 1 { count.to_string() } else { format!("{percentage}%") };
            findings.push(
                subject
                    .error(format!(
                        "{what} when fewer than {limit} of its members are healthy, and a mirror has one healthy member: it \
                         does so all the time"
                    ))
                    .help(format!("Set {key}.minimum_healthy_targets.count to 1, and its percentage to off.")),
            );
        }
    }
    if let Some(seconds) = positive(value("slow_start.duration_seconds")) {
        findings.push(
            subject
                .warning(format!("starts a new primary slowly, over {seconds} s"))
                .help("Set slow_start.duration_seconds to 0."),
        );
    }
    findings
}

/// Attributes that say from how many healthy targets on a group counts as healthy, and what it does below.
const MINIMUM_HEALTHY: [(&str, &str); 2] = [
    ("target_group_health.unhealthy_state_routing", "sends clients to all members"),
    ("target_group_health.dns_failover", "leaves DNS"),
];

fn proxy_protocol(subject: &Subject<'_>) -> Finding {
    if subject.config.health.proxy_protocol {
        subject
            .warning("sends PROXY protocol v2 to the members; the status page expects it, the database must, too")
            .help("Set proxy_protocol_v2.enabled to false unless something on the members takes the header off.")
    } else {
        subject
            .error("puts a PROXY protocol v2 header before each health check, and the status page does not expect it: no member is ever healthy")
            .help("Write proxy_protocol = true in [health], or set proxy_protocol_v2.enabled to false.")
    }
}

fn deregistration<'a>(
    subject: &Subject<'_>,
    family: Family,
    value: &impl Fn(&str) -> Option<&'a str>,
) -> Option<Finding> {
    let delay = positive(value("deregistration_delay.timeout_seconds"))?;
    let cut = value("deregistration_delay.connection_termination.enabled") == Some("true");
    let (consequence, help) = match (family, cut) {
        (Family::Network, true) => return None,
        (Family::Network, false) => (
            "and are not cut even then",
            "Set deregistration_delay.connection_termination.enabled to true and deregistration_delay.timeout_seconds to a few \
             seconds.",
        ),
        (Family::Application | Family::Classic, _) if delay <= LONG_DRAIN => return None,
        (Family::Application | Family::Classic, _) => {
            ("before they are cut", "Set deregistration_delay.timeout_seconds to a few seconds.")
        }
    };
    Some(
        subject
            .warning(format!(
                "sessions of a member that is deregistered stay with it for {delay} s, {consequence}"
            ))
            .help(help),
    )
}

/// A classic load balancer lets go of members that fail their check as slowly as of those that are deregistered.
fn connection_draining(subject: &Subject<'_>, group: &Group) -> Option<Finding> {
    let seconds = positive(group.attributes.get(CONNECTION_DRAINING).map(String::as_str))?;
    (seconds > LONG_DRAIN).then(|| {
        subject
            .warning(format!(
                "lets a member that became unhealthy or is deregistered drain for {seconds} s: sessions stay with the old \
                 primary that long"
            ))
            .help("Switch ConnectionDraining off, or set its timeout to a few seconds.")
    })
}

/// A number above zero; words such as `off` are none.
fn positive(value: Option<&str>) -> Option<u64> {
    value?.parse().ok().filter(|number| *number > 0)
}

// === impl Group ===

impl Group {
    /// This member's target, as far as it is known.
    pub(super) fn own_target(&self, table: &Elbv2, identity: Option<&Identity>) -> Option<String> {
        let auto = identity.map(|identity| match self.target_type.as_str() {
            "instance" => identity.instance_id.as_str(),
            _ => identity.address.as_str(),
        });
        or_auto(&table.target_id, auto).map(str::to_owned)
    }
}

// === impl Member ===

impl From<elbv2::Described> for Member {
    fn from(described: elbv2::Described) -> Self {
        Self {
            health: described.health(),
            state: described.state.word().to_owned(),
            port: Some(described.target.port),
            id: described.target.id,
        }
    }
}

impl From<classic_elb::Described> for Member {
    fn from(described: classic_elb::Described) -> Self {
        Self { health: described.health(), state: described.state, port: None, id: described.instance }
    }
}
