//! Records of Route 53: their parts, identity and order. PURE.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A resource record set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSet {
    /// Its name, in lower case, with the final dot.
    pub name: String,
    /// `A`, `AAAA`, `CNAME`, `TXT`, ...
    pub record_type: String,
    /// Distinguishes records of the same name and type.
    pub set_identifier: Option<String>,
    /// For how many seconds it may be cached; an alias has none.
    pub ttl: Option<u32>,
    /// The values; an alias has none.
    pub values: Vec<String>,
    /// Where an alias leads.
    pub alias: Option<Alias>,
    /// `Weight`, `Region`, `Failover`, `MultiValueAnswer`, `HealthCheckId`, as sent.
    pub routing: BTreeMap<String, String>,
}

/// Where an alias leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The hosted zone of the load balancer.
    pub hosted_zone_id: String,
    /// Its name, with the final dot.
    pub dns_name: String,
    /// Whether Route 53 answers with it only while the target is healthy.
    pub evaluate_target_health: bool,
}

/// The identity of a record in a zone, in the order of the service: labels from the right, type, identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RecordKey {
    /// From the right.
    labels: Vec<String>,
    record_type: String,
    set_identifier: Option<String>,
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) action: Action,
    pub(super) record: RecordSet,
}

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Delete,
    Upsert,
}

/// A name as the service keeps it: lower case, with the final dot, `*` escaped.
pub(super) fn normal_name(name: &str) -> String {
    let mut name = name.to_ascii_lowercase().replace('*', "\\052");
    if !name.ends_with('.') {
        name.push('.');
    }
    name
}

// === impl RecordSet ===

impl RecordSet {
    pub(super) fn empty(name: &str, record_type: &str) -> Self {
        Self {
            name: normal_name(name),
            record_type: record_type.to_owned(),
            set_identifier: None,
            ttl: None,
            values: Vec::new(),
            alias: None,
            routing: BTreeMap::new(),
        }
    }

    pub(super) fn key(&self) -> RecordKey {
        RecordKey::new(&self.name, &self.record_type, self.set_identifier.as_deref())
    }

    /// Where it leads: its values, or its alias's name.
    pub(super) fn leads_to(&self) -> Vec<String> {
        match &self.alias {
            Some(alias) => vec![alias.dns_name.clone()],
            None => self.values.clone(),
        }
    }

    /// Whether a DELETE with `other` matches this one: all but the order of values must be equal.
    pub(super) fn equals(&self, other: &Self) -> bool {
        let sorted = |record: &Self| {
            let mut record = record.clone();
            record.values.sort();
            record
        };
        sorted(self) == sorted(other)
    }

    /// As the service's errors name it.
    pub(super) fn described(&self) -> String {
        let Self { name, record_type, .. } = self;
        match &self.set_identifier {
            Some(set) => {
                format!("resource record set [name='{name}', type='{record_type}', set-identifier='{set}']")
            }
            None => format!("resource record set [name='{name}', type='{record_type}']"),
        }
    }

    /// Whether its values fit its type; the error is the service's.
    pub(super) fn check(&self) -> Result<(), String> {
        let fatal = |problem: &str, value: &str| {
            Err(format!("Invalid Resource Record: 'FATAL problem: {problem} encountered with '{value}''"))
        };
        match (&self.alias, self.values.is_empty(), self.ttl) {
            (Some(_), true, None) | (None, false, Some(_)) => {}
            (Some(_) | None, _, _) => {
                return Err(format!(
                    "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], \
                     or TrafficPolicyInstanceId], but found none or more in Change with [Action, Name={}, Type={}, \
                     SetIdentifier={}]",
                    self.name,
                    self.record_type,
                    self.set_identifier.as_deref().unwrap_or("null")
                ));
            }
        }
        for value in &self.values {
            match self.record_type.as_str() {
                "A" if value.parse::<Ipv4Addr>().is_err() => {
                    return fatal("ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)", value);
                }
                "AAAA" if value.parse::<Ipv6Addr>().is_err() => {
                    return fatal("AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)", value);
                }
                "TXT" if !(value.len() >= 2 && value.starts_with('"') && value.ends_with('"')) => {
                    let problem = "InvalidCharacterString (Value should be enclosed in quotation marks)";
                    return fatal(problem, value);
                }
                _ => {}
            }
        }
        if self.record_type == "CNAME" && self.values.len() > 1 {
            return fatal("CNAMERRDATAMultiple (A CNAME has one value)", &self.values.join(" "));
        }
        Ok(())
    }
}

// === impl RecordKey ===

impl RecordKey {
    pub(super) fn new(name: &str, record_type: &str, set_identifier: Option<&str>) -> Self {
        Self {
            labels: normal_name(name).trim_end_matches('.').rsplit('.').map(ToOwned::to_owned).collect(),
            record_type: record_type.to_owned(),
            set_identifier: set_identifier.map(ToOwned::to_owned),
        }
    }
}
