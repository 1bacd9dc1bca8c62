//! Whether routes to an overlay address are such that the primary can take them over. PURE.

use std::time::Duration;

use ipnet::IpNet;

use super::Table;
use crate::config::steering::Value;
use crate::finding::Finding;
use crate::provider::check::Subject;
use crate::provider::check::recovery::{Recovery, Stage, seen, writes};

/// Changes of routes take effect within seconds; AWS promises no number.
const IN_EFFECT: Duration = Duration::from_secs(5);
/// One route table, as far as the overlay address is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteTable {
    pub(crate) id: String,
    /// What leads to the destination: a network interface, an instance, a gateway.
    pub(crate) leads_to: Option<String>,
    /// Whether that is gone.
    pub(crate) is_blackhole: bool,
    /// Networks that are the VPC's own.
    pub(crate) local: Vec<IpNet>,
}

/// A network interface that a route leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) id: String,
    /// Whether it drops what is not addressed to itself.
    pub(crate) checks_addresses: bool,
}

/// Found about the routes to an overlay address.
pub(super) fn judge(subject: &Subject<'_>, table: &Table, tables: &[RouteTable]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for id in &table.route_tables {
        let Some(seen) = tables.iter().find(|seen| seen.id == *id) else {
            findings.push(
                subject
                    .error(format!(
                        "the route table {id} does not exist: its subnets never reach the primary"
                    ))
                    .help("Copy its id from the console, and check the region."),
            );
            continue;
        };
        findings.extend(within_vpc(subject, table, seen));
        findings.push(match (&seen.leads_to, seen.is_blackhole) {
            (Some(to), true) => subject
                .warning(format!("in {id} it leads to {to}, which is gone: clients reach no member"))
                .help("If there is a primary, check that mirrorvip runs there: it replaces the route."),
            (Some(to), false) => subject.good(format!("in {id} it leads to {to}")),
            (None, _) => {
                subject.good(format!("in {id} there is no route yet: the first promotion creates it"))
            }
        });
    }
    findings
}

/// Found about this member's end of the route: no network interface has the overlay address.
pub(super) fn judge_interfaces(
    subject: &Subject<'_>,
    table: &Table,
    interfaces: &[Interface],
) -> Vec<Finding> {
    let target = match &table.target {
        Value::Is(hop) => hop.to_string(),
        Value::Auto => "this member's network interface".to_owned(),
    };
    match interfaces {
        [] => vec![
            subject
                .error(format!("there is no network interface for {target}: EC2 refuses the route"))
                .help("Write target = \"auto\", or copy the id from the console, and check the region."),
        ],
        [_, _, ..] => vec![
            subject
                .error(format!("{target} has {} network interfaces: EC2 refuses a route to it", interfaces.len()))
                .help("Write target = \"auto\", or the id of one of these network interfaces."),
        ],
        [Interface { id, checks_addresses: true }] => vec![
            subject
                .error(format!(
                    "{id} checks source and destination: it drops packets to the overlay address"
                ))
                .help(format!(
                    "Switch it off: `aws ec2 modify-network-interface-attribute --network-interface-id {id} --no-source-dest-check`."
                )),
        ],
        [Interface { id, checks_addresses: false }] => vec![subject.good(format!(
            "{id} accepts packets to the overlay address; whether the system has the address, and security groups let \
             clients in, is not checked"
        ))],
    }
}

/// The VPC delivers its own addresses locally, whatever the route says.
fn within_vpc(subject: &Subject<'_>, table: &Table, seen: &RouteTable) -> Option<Finding> {
    let around = seen.local.iter().find(|network| network.contains(&table.destination))?;
    Some(
        subject
            .error(format!(
                "lies within {around}, the VPC's own network, in {}: EC2 refuses the route",
                seen.id
            ))
            .help("Choose an overlay address outside every network of the VPC and of its peers."),
    )
}

/// How long clients wait after a promotion.
pub(super) fn recovery(subject: &Subject<'_>, table: &Table) -> Recovery {
    let mut stages = seen(subject);
    stages.extend(writes(subject, table.route_tables.len()));
    stages.push(Stage::new("route in effect", IN_EFFECT, "within seconds; AWS promises no number"));
    Recovery::new(subject, stages, "the control plane of the region")
}

#[cfg(test)]
mod tests;
