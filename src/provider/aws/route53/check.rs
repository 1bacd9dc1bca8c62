//! Whether a record is such that the primary can take it over, and fast. PURE.

use std::time::Duration;

use super::canonical;
use super::{RecordType, RecordValue, Table, Write};
use crate::finding::Finding;
use crate::provider::check::Subject;
use crate::provider::check::recovery::{Recovery, Stage, seen, writes};
use crate::provider::help::help;
use crate::steer::CallError;
use crate::term::Claim;

/// Route 53 promises that changes are everywhere within a minute.
const PROPAGATION: Duration = Duration::from_mins(1);
/// Time to live of load balancers' own records, which an alias answers with.
const ALIAS_TTL: Duration = Duration::from_mins(1);
/// Resolvers that keep a record for longer than this make it the longest part of a failover.
const LONG_TTL: u32 = 60;
/// What every mark of this program begins with.
const FAMILY: &str = "mirrorvip";

/// What a zone has under a record's name, and under that of its mark.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Records {
    /// The zone's name, lower-case and without the final dot.
    pub(crate) zone: String,
    /// Everything of the record's own name.
    pub(crate) named: Vec<Seen>,
    /// The texts of the TXT record beside it.
    pub(crate) mark: Vec<String>,
    /// What the ownership record says, if it is one and can be read.
    pub(crate) owner: Option<Claim>,
    /// Why this member may not ask how far a change has spread.
    pub(crate) unfollowed: Option<CallError>,
}

/// One record set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// In capitals.
    pub(crate) record_type: String,
    pub(crate) ttl: Option<u64>,
    pub(crate) values: Vec<String>,
    pub(crate) is_alias: bool,
    pub(crate) set_identifier: Option<String>,
    /// A routing policy other than a weight, such as `failover`. The daemon leaves it as it is.
    pub(crate) policy: Option<&'static str>,
    /// Whether a traffic policy made it.
    pub(crate) of_traffic_policy: bool,
}

/// Found about a record.
pub(super) fn judge(subject: &Subject<'_>, table: &Table, records: &Records) -> Vec<Finding> {
    let record_type = word(table.record_type);
    let mut findings = Vec::new();
    if !records.has_place_for(&table.record) {
        let zone = &records.zone;
        findings.push(
            subject
                .error(format!(
                    "lies outside the hosted zone {}, which is {zone}: Route 53 refuses to write it",
                    table.hosted_zone_id
                ))
                .help(format!(
                    "Write the id of the zone that {} belongs to for hosted_zone_id, or a `record` that ends with .{zone}.",
                    table.record
                )),
        );
        return findings;
    }
    for other in records.named.iter().filter(|seen| seen.record_type != record_type) {
        if other.record_type == "CNAME" || record_type == "CNAME" {
            findings.push(
                subject
                    .error(format!(
                        "the name has a record of type {}, and a CNAME stands alone: Route 53 refuses the {record_type}",
                        other.record_type
                    ))
                    .help("Remove the other record, or write its type."),
            );
        }
    }
    let of_type = records.named.iter().find(|seen| seen.record_type == record_type);
    match (records.own(table), of_type) {
        (Some(seen), _) => findings.extend(existing(subject, table, seen)),
        (None, Some(other)) if other.set_identifier.is_some() != table.set_identifier.is_some() => {
            let (there, here) = if table.set_identifier.is_some() {
                ("stands alone", "has a set_identifier")
            } else {
                ("has a set identifier", "has none")
            };
            findings.push(
                subject
                    .error(format!("the record that is there {there}, and the table {here}: Route 53 refuses both together"))
                    .help("Write the set_identifier that the console shows, or none."),
            );
        }
        (None, _) if table.set_identifier.is_some() && table.weight.is_none() => findings.push(
            subject
                .error("is not there, and cannot be made without a weight beside its set_identifier")
                .help("Write weight, or make the record with the routing policy that it is to have."),
        ),
        (None, _) => findings.push(subject.good("is not there yet: the first promotion creates it")),
    }
    findings.extend(mark(subject, table, records));
    findings.extend(records.unfollowed.as_ref().map(|error| {
        subject.warning(format!("{error}: a change counts as done before it has spread")).help(help(error))
    }));
    if let RecordValue::Plain { ttl, .. } = table.value
        && ttl > LONG_TTL
    {
        findings.push(
            subject
                .warning(format!("resolvers may keep the old primary's address for {ttl} s"))
                .help("Write ttl = 5; a mirror's clients ask rarely."),
        );
    }
    findings
}

fn existing(subject: &Subject<'_>, table: &Table, seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    if seen.of_traffic_policy {
        findings.push(
            subject
                .error("belongs to a traffic policy, which alone may change it")
                .help("Steer a record of another name, and let the traffic policy lead to that."),
        );
    }
    if let (Some(policy), Some(weight)) = (seen.policy, table.weight) {
        findings.push(
            subject
                .error(format!(
                    "is routed by {policy}, and the table has weight = {weight}: a record cannot have both at once: Route 53 refuses \
                     every change"
                ))
                .help("Remove weight from the table; the routing that the record has stays as it is."),
        );
    }
    match &table.value {
        RecordValue::Plain { ttl, .. } => {
            if seen.is_alias {
                findings
                    .push(subject.warning("is an alias: the next promotion puts an address in its place"));
            } else if seen.values.len() > 1 {
                findings.push(subject.warning(format!(
                    "has {} values: clients reach members that are not primary until the next promotion puts one there",
                    seen.values.len()
                )));
            }
            if let Some(written) = seen.ttl
                && written > u64::from(*ttl)
            {
                findings.push(
                    subject
                        .warning(format!(
                            "has a time to live of {written} s, more than the {ttl} s of the table: at the next promotion clients \
                             keep the old value that long"
                        ))
                        .help("Set it by hand once; the primary's next change writes it as well."),
                );
            }
        }
        RecordValue::Alias { .. } if !seen.is_alias => {
            findings.push(subject.warning("is no alias: the next promotion puts one in its place"));
        }
        RecordValue::Alias { .. } => {}
    }
    if findings.is_empty() {
        let says = if seen.is_alias { "an alias".to_owned() } else { seen.values.join(", ") };
        let routing =
            seen.policy.map(|policy| format!("; its routing by {policy} stays")).unwrap_or_default();
        findings.push(subject.good(format!("is there, {says}{routing}")));
    }
    findings
}

fn mark(subject: &Subject<'_>, table: &Table, records: &Records) -> Option<Finding> {
    let is_mark = |text: &&String| text.trim_start_matches('"').starts_with(FAMILY);
    match (table.write, records.mark.as_slice()) {
        (Write::Upsert, _) => Some(
            subject
                .warning("is overwritten whatever it says: a member that wakes up late may take it back for a while")
                .help("Write write = \"compare-and-swap\" unless something else manages the record, too."),
        ),
        (Write::CompareAndSwap, []) => None,
        (Write::CompareAndSwap, texts) if texts.iter().all(|text| is_mark(&text)) => None,
        (Write::CompareAndSwap, _) => Some(
            subject
                .error(format!("_mirrorvip.{} has a text that is none of mirrorvip's: nothing is written beside it", table.record))
                .help("Remove that TXT record."),
        ),
    }
}

/// How long clients wait after a promotion.
pub(super) fn recovery(subject: &Subject<'_>, table: &Table, records: &Records) -> Recovery {
    let mut stages = seen(subject);
    stages.extend(writes(subject, 1));
    stages.push(Stage::new(
        "record INSYNC",
        PROPAGATION,
        "until all its servers have the change; usually faster",
    ));
    stages.push(cached(table, records));
    Recovery::new(subject, stages, "Route 53's control plane in us-east-1, then resolvers and clients")
}

/// What clients hold at the promotion is the record as it is served until then, whatever the table says.
fn cached(table: &Table, records: &Records) -> Stage {
    let served = records.own(table);
    let (at_most, why) = match (served.and_then(|seen| seen.ttl), &table.value) {
        (Some(ttl), _) => (
            Duration::from_secs(ttl),
            "time to live of the record as it is; clients that keep addresses for longer are not counted",
        ),
        (None, RecordValue::Plain { ttl, .. }) if served.is_none_or(|seen| !seen.is_alias) => (
            Duration::from_secs((*ttl).into()),
            "time to live; clients that keep addresses for longer are not counted",
        ),
        (None, RecordValue::Plain { .. } | RecordValue::Alias { .. }) => {
            (ALIAS_TTL, "time to live of the load balancer's own record")
        }
    };
    Stage::new("caches expire", at_most, why)
}

// === impl Records ===

impl Records {
    /// Whether a record of this name belongs into the zone.
    fn has_place_for(&self, record: &str) -> bool {
        let within = |name: &str| name == self.zone || name.ends_with(&format!(".{}", self.zone));
        within(&canonical(record))
    }

    /// The record that `table` is about, if it is there.
    pub(super) fn own(&self, table: &Table) -> Option<&Seen> {
        let is_it = |seen: &&Seen| {
            seen.record_type == word(table.record_type) && seen.set_identifier == table.set_identifier
        };
        self.named.iter().find(is_it)
    }
}

const fn word(record_type: RecordType) -> &'static str {
    match record_type {
        RecordType::A => "A",
        RecordType::Aaaa => "AAAA",
        RecordType::Cname => "CNAME",
    }
}

#[cfg(test)]
mod tests;
