//! One hosted zone of Route 53: batches against the current records, and when resolvers see them. PURE.
//!
//! A batch is applied whole or not at all. Its changes are checked in order against the current records, pending changes
//! included. The error lists every problem with the service's messages, which clients parse to distinguish a lost swap
//! from a refused batch. Listing shows a change at once; resolvers answer it when it is INSYNC.

use std::collections::BTreeMap;
use std::time::Duration;

use super::record::{Action, Change, RecordKey, RecordSet, normal_name};

/// Most values in one batch; an UPSERT counts twice.
const MOST_VALUES: usize = 1_000;
/// Most characters of values in one batch.
const MOST_CHARACTERS: usize = 32_000;
/// How many changes are remembered, the newest.
const MOST_CHANGES: usize = 10_000;

/// A hosted zone.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    name: String,
    delays: Delays,
    records: BTreeMap<RecordKey, RecordSet>,
    /// What resolvers see.
    served: BTreeMap<RecordKey, RecordSet>,
    changes: Vec<Submitted>,
    busy_until: Duration,
}

/// How slow a zone is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delays {
    /// How long the service is busy with one batch and refuses the next.
    pub(super) processing: Duration,
    /// How long it takes until resolvers see a change.
    pub(super) insync: Duration,
}

/// A batch that was accepted.
#[derive(Clone, Debug)]
struct Submitted {
    id: String,
    insync_at: Duration,
    /// The zone after it, until resolvers see that.
    records: Option<BTreeMap<RecordKey, RecordSet>>,
}

/// Why a batch was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The batch before this one is not processed yet.
    PriorRequestNotComplete,
    /// These changes cannot be made; nothing was.
    Invalid(Vec<String>),
}

impl Zone {
    /// A zone with nothing but its own NS and SOA records.
    pub(super) fn new(name: &str, delays: Delays) -> Self {
        let name = normal_name(name);
        let own = |record_type: &str, ttl, value: &str| RecordSet {
            ttl: Some(ttl),
            values: vec![value.to_owned()],
            ..RecordSet::empty(&name, record_type)
        };
        let soa = "ns-1.example.net. hostmaster.example.net. 1 7200 900 1209600 86400";
        let records: BTreeMap<_, _> = [own("NS", 172_800, "ns-1.example.net."), own("SOA", 900, soa)]
            .into_iter()
            .map(|record| (record.key(), record))
            .collect();
        let served = records.clone();
        Self { name, delays, records, served, changes: Vec::new(), busy_until: Duration::ZERO }
    }

    /// Its name, with the final dot.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Applies what is due up to `now`.
    pub(super) fn advance(&mut self, now: Duration) {
        for change in &mut self.changes {
            if change.insync_at <= now
                && let Some(records) = change.records.take()
            {
                self.served = records;
            }
        }
    }

    /// The records in the order of the service, from `start` on.
    pub(super) fn list(&self, start: Option<&RecordKey>) -> impl Iterator<Item = &RecordSet> {
        self.records.iter().filter(move |(key, _)| start.is_none_or(|start| *key >= start)).map(|(_, r)| r)
    }

    /// One record as the service lists it.
    pub(super) fn record(&self, key: &RecordKey) -> Option<&RecordSet> {
        self.records.get(key)
    }

    /// One record as resolvers see it.
    pub(super) fn resolve(&self, key: &RecordKey) -> Option<&RecordSet> {
        self.served.get(key)
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether a change is INSYNC at `now`; `None` if there is no such change.
    pub(super) fn is_insync(&self, now: Duration, id: &str) -> Option<bool> {
        self.changes.iter().find(|change| change.id == id).map(|change| change.insync_at <= now)
    }

    /// Adds a record as if it had always existed.
    pub(super) fn put(&mut self, record: RecordSet) {
        self.served.insert(record.key(), record.clone());
        self.records.insert(record.key(), record);
    }

    /// Applies a batch whole, or not at all; it then has this `id`.
    pub(super) fn change(&mut self, now: Duration, id: String, batch: &[Change]) -> Result<(), Refusal> {
        self.advance(now);
        if now < self.busy_until {
            return Err(Refusal::PriorRequestNotComplete);
        }
        check_limits(batch)?;
        let mut records = self.records.clone();
        let problems: Vec<_> =
            batch.iter().filter_map(|change| self.apply(&mut records, change).err()).collect();
        if !problems.is_empty() {
            return Err(Refusal::Invalid(problems));
        }
        self.busy_until = now + self.delays.processing;
        self.records.clone_from(&records);
        let insync_at = now + self.delays.insync;
        if self.changes.len() == MOST_CHANGES {
            self.changes.remove(0);
        }
        self.changes.push(Submitted { id, insync_at, records: Some(records) });
        self.advance(now);
        Ok(())
    }

    fn apply(&self, records: &mut BTreeMap<RecordKey, RecordSet>, change: &Change) -> Result<(), String> {
        let record = &change.record;
        let key = record.key();
        let what = record.described();
        match change.action {
            Action::Delete => {
                // Removed for the later changes even if this one is refused: one mistake is reported once.
                let current = records.remove(&key);
                let current =
                    current.ok_or_else(|| format!("Tried to delete {what} but it was not found"))?;
                if !current.equals(record) {
                    return Err(format!(
                        "Tried to delete {what} but the values provided do not match the current values"
                    ));
                }
                if record.name == self.name && matches!(record.record_type.as_str(), "NS" | "SOA") {
                    let own = &record.record_type;
                    return Err(format!(
                        "A HostedZone must contain at least one {own} record for the zone itself."
                    ));
                }
            }
            Action::Create | Action::Upsert => {
                if change.action == Action::Create && records.contains_key(&key) {
                    return Err(format!("Tried to create {what} but it already exists"));
                }
                record.check()?;
                self.check_place(records, record)?;
                records.insert(key, record.clone());
            }
        }
        Ok(())
    }

    /// Whether this zone may hold a record besides the others.
    fn check_place(
        &self,
        records: &BTreeMap<RecordKey, RecordSet>,
        record: &RecordSet,
    ) -> Result<(), String> {
        let RecordSet { name, record_type, .. } = record;
        let zone = &self.name;
        if name != zone && !name.ends_with(&format!(".{zone}")) {
            return Err(format!("RRSet with DNS name {name} is not permitted in zone {zone}"));
        }
        let others: Vec<_> = records.values().filter(|other| other.name == *name).collect();
        let is_cname = record_type == "CNAME";
        if others.iter().any(|other| (other.record_type == "CNAME") != is_cname) {
            return Err(format!(
                "RRSet of type {record_type} with DNS name {name} is not permitted as it conflicts with other \
                 records with the same DNS name in zone {zone}"
            ));
        }
        let mut same = others.iter().filter(|other| other.record_type == *record_type);
        if same.any(|other| other.set_identifier.is_some() != record.set_identifier.is_some()) {
            return Err(format!(
                "RRSet with DNS name {name}, type {record_type} cannot be created as simple and other records \
                 with the same name and type cannot exist together"
            ));
        }
        Ok(())
    }
}

fn check_limits(batch: &[Change]) -> Result<(), Refusal> {
    let invalid = |text: String| Err(Refusal::Invalid(vec![text]));
    let weight = |change: &Change| if change.action == Action::Upsert { 2 } else { 1 };
    let values: usize = batch.iter().map(|change| weight(change) * change.record.values.len().max(1)).sum();
    if values > MOST_VALUES {
        return invalid(format!("Number of records limit of {MOST_VALUES} exceeded."));
    }
    let lengths = batch.iter().map(|c| weight(c) * c.record.values.iter().map(String::len).sum::<usize>());
    if lengths.sum::<usize>() > MOST_CHARACTERS {
        return invalid(format!("Number of characters limit of {MOST_CHARACTERS} exceeded."));
    }
    for (position, change) in batch.iter().enumerate() {
        let key = change.record.key();
        let before = batch[..position].iter().filter(|earlier| earlier.record.key() == key);
        let actions: Vec<_> = before.map(|earlier| earlier.action).collect();
        // One change per record, or its replacement.
        let fits = actions.is_empty() || (actions == [Action::Delete] && change.action == Action::Create);
        if !fits {
            return invalid(format!(
                "The request contains an invalid set of changes for a resource record set '{} {}'",
                change.record.record_type, change.record.name
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
