//! Whether a classic load balancer's settings are right. PURE: settings read, findings out.

use super::Described;
use super::Table;
use crate::finding::Finding;
use crate::provider::aws::check::group::{Group, LONG_DRAIN, Member, check, cross_zone, fail_open, positive};
use crate::provider::aws::check::health_check::{Commands, HealthCheck};
use crate::provider::aws::check::members::{self, Own};
use crate::provider::check::Subject;

/// The attribute of a classic load balancer, its timeout in seconds; absent when it is off.
pub(super) const CONNECTION_DRAINING: &str = "ConnectionDraining";

/// Findings about a classic load balancer; `own` is this member's instance id, if known.
pub(super) fn judge(subject: &Subject<'_>, table: &Table, group: &Group, own: Option<&str>) -> Vec<Finding> {
    let mut findings = vec![fail_open(subject, group)];
    findings.extend(check(subject, group, None, table));
    findings.extend(cross_zone(subject, group));
    findings.extend(connection_draining(subject, group));
    findings.push(members::not_seen(subject, group));
    let own = own.map(|id| Own { id, port: None });
    findings.extend(members::judge(subject, table.pool, group, own));
    findings
}

/// A classic load balancer drains members that fail their check as slowly as deregistered ones.
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

// === impl Member ===

impl From<Described> for Member {
    fn from(described: Described) -> Self {
        Self { health: described.health(), state: described.state, port: None, id: described.instance }
    }
}

impl Commands for Table {
    fn enable(&self) -> String {
        format!("{} ...", configure(self))
    }

    /// The whole check: the service accepts no partial change.
    fn change(&self, _set: &HealthCheck, wanted: &HealthCheck) -> String {
        let HealthCheck { protocol, port, path, interval, timeout, rise, fall, .. } = wanted;
        format!(
            "{} Target={protocol}:{}{},Interval={},Timeout={},HealthyThreshold={rise},UnhealthyThreshold={fall}",
            configure(self),
            port.unwrap_or_default(),
            path.as_deref().unwrap_or_default(),
            interval.as_secs(),
            timeout.as_secs(),
        )
    }
}

fn configure(table: &Table) -> String {
    let name = &table.load_balancer;
    format!("aws elb configure-health-check --load-balancer-name {name} --health-check")
}

#[cfg(test)]
mod tests;
