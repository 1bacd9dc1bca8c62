//! Whether a target group's settings do what they are for. PURE: settings read, findings out.

use super::Table;
use super::plan::Described;
use crate::finding::Finding;
use crate::provider::aws::Identity;
use crate::provider::aws::check::group::{
    Family, Group, LONG_DRAIN, Member, check, cross_zone, fail_open, positive,
};
use crate::provider::aws::check::health_check::{Commands, HealthCheck};
use crate::provider::aws::check::members::{self, Own};
use crate::provider::aws::check::or_auto;
use crate::provider::check::Subject;
use crate::steer::pool::Pool;

/// Found about a target group; `own` is this member's target as far as it is known.
pub(super) fn judge(subject: &Subject<'_>, table: &Table, group: &Group, own: Option<&str>) -> Vec<Finding> {
    let mut findings = vec![fail_open(subject, group)];
    findings.extend(target_type(subject, group, own));
    findings.extend(check(subject, group, Some(table.port), table));
    findings.extend(in_front(subject, group));
    findings.extend(cross_zone(subject, group));
    findings.extend(attributes(subject, table, group));
    findings.push(members::not_seen(subject, group));
    let own = own.map(|id| Own { id, port: Some(table.port) });
    findings.extend(members::judge(subject, table.pool, group, own));
    findings
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

fn in_front(subject: &Subject<'_>, group: &Group) -> Option<Finding> {
    group.balancers.is_empty().then(|| {
        subject
            .error("belongs to no load balancer: its members are not checked, and no client reaches them through it")
            .help("Let a listener forward to it.")
    })
}

fn attributes(subject: &Subject<'_>, table: &Table, group: &Group) -> Vec<Finding> {
    let value = |key: &str| group.attributes.get(key).map(String::as_str);
    let is_on = |key: &str| value(key) == Some("true");
    let mut findings = Vec::new();
    if is_on("proxy_protocol_v2.enabled") {
        findings.push(proxy_protocol(subject, table));
    }
    if is_on("preserve_client_ip.enabled") {
        findings.push(
            subject
                .warning("keeps clients' addresses: a member that connects to itself through the load balancer times out")
                .help(format!(
                    "Let programs on the members connect to the instance directly, or pass no addresses on: `{}`.",
                    set(table, &[("preserve_client_ip.enabled", "false")])
                )),
        );
    }
    if value(TERMINATION) == Some("false") {
        findings.push(
            subject
                .warning("leaves connections to a member that became unhealthy alone: sessions stay with the old primary")
                .help(format!("End them: `{}`.", set(table, &[(TERMINATION, "true")]))),
        );
    }
    if let Some(seconds) = positive(value(UNHEALTHY_DRAIN)) {
        findings.push(
            subject
                .warning(format!("lets a member that became unhealthy drain for {seconds} s: sessions stay with the old primary that long"))
                .help(format!("Let it drain for 0 s: `{}`.", set(table, &[(UNHEALTHY_DRAIN, "0")]))),
        );
    }
    if table.pool == Pool::PrimaryOnly {
        findings.extend(deregistration(subject, table, group.family, &value));
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
                    .help(format!(
                        "Let one healthy member be enough: `{}`.",
                        set(
                            table,
                            &[
                                (&format!("{key}.minimum_healthy_targets.count"), "1"),
                                (&format!("{key}.minimum_healthy_targets.percentage"), "off"),
                            ]
                        )
                    )),
            );
        }
    }
    if let Some(seconds) = positive(value("slow_start.duration_seconds")) {
        findings.push(subject.warning(format!("starts a new primary slowly, over {seconds} s")).help(
            format!("Send it everything at once: `{}`.", set(table, &[("slow_start.duration_seconds", "0")])),
        ));
    }
    findings
}

/// Whether connections to a target end when it becomes unhealthy.
const TERMINATION: &str = "target_health_state.unhealthy.connection_termination.enabled";
/// How long they stay where they do not end.
const UNHEALTHY_DRAIN: &str = "target_health_state.unhealthy.draining_interval_seconds";
/// How long a target that was deregistered keeps its connections, and whether they end then.
const DELAY: &str = "deregistration_delay.timeout_seconds";
const DELAY_TERMINATION: &str = "deregistration_delay.connection_termination.enabled";

/// Attributes that say from how many healthy targets on a group counts as healthy, and what it does below.
const MINIMUM_HEALTHY: [(&str, &str); 2] = [
    ("target_group_health.unhealthy_state_routing", "sends clients to all members"),
    ("target_group_health.dns_failover", "leaves DNS"),
];

fn proxy_protocol(subject: &Subject<'_>, table: &Table) -> Finding {
    let off = set(table, &[("proxy_protocol_v2.enabled", "false")]);
    if subject.config.health.proxy_protocol {
        subject
            .warning(
                "sends PROXY protocol v2 to the members; the status page expects it, the database must, too",
            )
            .help(format!("Unless something on the members takes the header off, send none: `{off}`."))
    } else {
        subject
            .error("puts a PROXY protocol v2 header before each health check, and the status page does not expect it: no member is ever healthy")
            .help(format!("Write proxy_protocol = true in [health], or send none: `{off}`."))
    }
}

fn deregistration<'a>(
    subject: &Subject<'_>,
    table: &Table,
    family: Family,
    value: &impl Fn(&str) -> Option<&'a str>,
) -> Option<Finding> {
    let delay = positive(value(DELAY))?;
    let cut = value(DELAY_TERMINATION) == Some("true");
    let (consequence, changes): (_, &[_]) = match (family, cut) {
        (Family::Network, true) => return None,
        (Family::Network, false) => {
            ("and are not cut even then", &[(DELAY_TERMINATION, "true"), (DELAY, "5")])
        }
        (Family::Application | Family::Classic, _) if delay <= LONG_DRAIN => return None,
        (Family::Application | Family::Classic, _) => ("before they are cut", &[(DELAY, "5")]),
    };
    Some(
        subject
            .warning(format!(
                "sessions of a member that is deregistered stay with it for {delay} s, {consequence}"
            ))
            .help(format!("Let them stay for a few seconds: `{}`.", set(table, changes))),
    )
}

/// This member's target, as far as it is known.
pub(super) fn own_target(table: &Table, group: &Group, identity: Option<&Identity>) -> Option<String> {
    let auto = identity.map(|identity| match group.target_type.as_str() {
        "instance" => identity.instance_id.as_str(),
        _ => identity.address.as_str(),
    });
    or_auto(&table.target_id, auto).map(str::to_owned)
}

// === impl Member ===

impl From<Described> for Member {
    fn from(described: Described) -> Self {
        Self {
            health: described.health(),
            state: described.state.word().to_owned(),
            port: Some(described.target.port),
            id: described.target.id,
        }
    }
}

impl Commands for Table {
    fn enable(&self) -> String {
        format!("{} --health-check-enabled", modify(self))
    }

    /// Names the settings that change, and no other.
    fn change(&self, set: &HealthCheck, wanted: &HealthCheck) -> String {
        let HealthCheck { protocol, port, path, matcher, interval, timeout, rise, fall } = wanted;
        let port_text = port.map_or_else(String::new, |port| port.to_string());
        let path_text = path.as_deref().unwrap_or_default();
        let codes = format!("HttpCode={}", matcher.as_deref().unwrap_or("200"));
        let options = [
            ("health-check-protocol", protocol.clone(), set.protocol == *protocol),
            ("health-check-port", port_text, set.port == *port),
            ("health-check-path", path_text.to_owned(), set.path == *path),
            ("matcher", codes, set.matcher == *matcher),
            ("health-check-interval-seconds", interval.as_secs().to_string(), set.interval == *interval),
            ("health-check-timeout-seconds", timeout.as_secs().to_string(), set.timeout == *timeout),
            ("healthy-threshold-count", rise.to_string(), set.rise == *rise),
            ("unhealthy-threshold-count", fall.to_string(), set.fall == *fall),
        ];
        let mut command = modify(self);
        for (option, value, _) in options.iter().filter(|(.., is_set)| !is_set) {
            command.extend([" --", option, " ", value]);
        }
        command
    }
}

/// The command that sets attributes of the target group, ready to be pasted.
fn set(table: &Table, attributes: &[(&str, &str)]) -> String {
    let mut command = format!(
        "aws elbv2 modify-target-group-attributes --target-group-arn {} --attributes",
        table.target_group_arn
    );
    for (key, value) in attributes {
        command.extend([" Key=", key, ",Value=", value]);
    }
    command
}

fn modify(table: &Table) -> String {
    format!("aws elbv2 modify-target-group --target-group-arn {}", table.target_group_arn)
}

#[cfg(test)]
pub(crate) mod tests;
