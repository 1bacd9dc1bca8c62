//! From what the zone says to what this member wants it to say: at most one batch. PURE.
//!
//! A batch of changes is atomic, and a DELETE in it succeeds only when it repeats the current record
//! exactly. So DELETE of what was read and CREATE of what is wanted, with the [ownership record](mod@super::ownership) in the same
//! batch, is a compare-and-swap on both: whoever wrote meanwhile makes it fail as a whole. The record is
//! part of the batch even where only the ownership record changes, so that no write in between is overlooked.
//!
//! | mark | record | plan of a member that leads with a term |
//! |---|---|---|
//! | this member's, of its term | as wanted | none: fulfilled, once the change has spread |
//! | this member's, of a lower term | any | swap: others must be able to read the present term |
//! | this member's, of a higher term | as wanted | none: it stays as it is |
//! | this member's, of a higher term | otherwise | none: a term never goes down |
//! | another's, of a lower term | any | swap |
//! | another's, of the same or a higher term | any | none: taken over; a swap where it is certain that no other member is the primary |
//! | none | any | swap, which adopts the record |
//! | not readable | any | none: impossible |
//!
//! While it is doubtful whether this member may take traffic, the plan is made with the term that it has, so that what bears
//! its own mark stays as it is; no other plan is carried out then.
//!
//! What the configuration does not speak of (a health check, a region's routing) stays as it was read.

use std::fmt;
use std::time::Duration;

use aws_sdk_route53::types::{Change, ChangeAction, ResourceRecord, ResourceRecordSet, RrType};

use super::ownership::{NotOwnershipRecord, OwnershipRecord};
use super::record::{Content, Key, canonical, describe, same};
use crate::clock::Timestamp;
use crate::config::steering::Write;
use crate::steer::{Intent, Plan, Progress, Step};
use crate::term;

#[cfg(test)]
mod tests;

/// What the ownership record's name has before the record's.
const MARK_PREFIX: &str = "_mirrorvip.";

/// How long an ownership record may be cached, in seconds. Nobody asks a name server for it.
const MARK_TTL: i64 = 60;

/// Between two looks while a change spreads, which takes half a minute by experience. Route 53 answers five requests a
/// second, to all of an account together, and a look is two of them.
const SPREADING: Duration = Duration::from_secs(5);

/// Marks of records with set identifiers need a weight to be told apart; they are never weighed.
const MARK_WEIGHT: i64 = 1;

/// What this member wants the zone to say while it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Desired {
    pub(super) zone: String,
    pub(super) record: Key,
    pub(super) content: Content,
    pub(super) weight: Option<u8>,
    pub(super) write: Write,
    /// This member's name in marks.
    pub(super) owner: String,
}

/// What the zone says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observed {
    /// The record; `None` when there is none of that name and type. It may turn out to have another set
    /// identifier than ours, which is then in the way.
    pub(super) record: Option<ResourceRecordSet>,
    /// The TXT record beside it, whatever it holds.
    pub(super) mark: Option<ResourceRecordSet>,
    /// Our last change, while it has not reached every name server.
    pub(super) spreading: Option<String>,
}

/// One call of `ChangeResourceRecordSets`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Batch {
    pub(super) zone: String,
    pub(super) changes: Vec<Change>,
    /// The term of the ownership record in it.
    pub(super) term: u64,
    /// Whether it takes a record that bears no ownership record.
    pub(super) adopts: bool,
}

// === impl Desired ===

impl Desired {
    /// Where the ownership record is.
    pub(super) fn mark_key(&self) -> Key {
        Key {
            name: format!("{MARK_PREFIX}{}", self.record.name),
            rr_type: RrType::Txt,
            set_identifier: self.record.set_identifier.clone(),
        }
    }

    /// The steps from `observed` to `intent`.
    pub(super) fn plan(&self, intent: &Intent, observed: &Observed, now: Timestamp) -> Plan<Batch> {
        let nothing = |then| Plan { steps: Vec::new(), then };
        let wanted = match self.wanted(observed.record.as_ref()) {
            Ok(wanted) => wanted,
            Err(why) => return nothing(Progress::Blocked { why }),
        };
        let mark = match self.write {
            Write::CompareAndSwap => match self.ownership_record(observed) {
                Ok(mark) => mark,
                Err(why) => return nothing(Progress::Blocked { why }),
            },
            Write::Upsert => None,
        };
        let (term, certain) = match intent {
            Intent::Lead { term, certain, .. } => (*term, *certain),
            Intent::Follow | Intent::Hold { .. } => return nothing(Progress::Fulfilled),
        };
        let is_wanted = observed.record.as_ref().is_some_and(|record| same(record, &wanted));
        let is_done = match &mark {
            Some(mark) if mark.owner == self.owner && is_wanted => mark.term >= term,
            Some(mark) if mark.owner == self.owner && mark.term > term && !certain => {
                let what =
                    format!("a term above the {} that this member wrote before, it is {term}", mark.term);
                return nothing(Progress::waiting(what));
            }
            Some(mark) if mark.owner != self.owner && mark.term >= term && !certain => {
                return nothing(Progress::LostOwnership { by: mark.to_string() });
            }
            Some(_) => false,
            None => self.write == Write::Upsert && is_wanted,
        };
        if is_done {
            return nothing(match &observed.spreading {
                Some(change) => spreading(format!("change {change} to spread")),
                None => Progress::Fulfilled,
            });
        }
        let batch = match self.write {
            Write::CompareAndSwap => self.swap(observed, wanted, term, now),
            Write::Upsert => self.upsert(wanted, term),
        };
        Plan { steps: vec![batch], then: spreading("the change to spread".to_owned()) }
    }

    /// The record as this member wants it, with what it does not care about as it was `read`.
    fn wanted(&self, read: Option<&ResourceRecordSet>) -> Result<ResourceRecordSet, String> {
        let name = canonical(&self.record.name);
        let mut wanted = match read {
            Some(read) if read.set_identifier != self.record.set_identifier => {
                let is = read.set_identifier().unwrap_or_default();
                return Err(format!(
                    "a record of that name and type has the set identifier `{is}`: write the one that is \
                     meant into the configuration, `set_identifier`"
                ));
            }
            Some(read) if read.traffic_policy_instance_id.is_some() => {
                return Err(format!("{name} belongs to a traffic policy, which alone may change it"));
            }
            Some(read) => read.clone(),
            None if self.record.set_identifier.is_some() && self.weight.is_none() => {
                return Err(format!(
                    "{name} does not exist, and cannot be made without a `weight` beside its set identifier"
                ));
            }
            None => self.record.blank(),
        };
        self.content.put_into(&mut wanted);
        if let Some(weight) = self.weight {
            wanted.weight = Some(i64::from(weight));
        }
        Ok(wanted)
    }

    /// The mark that was read; the error says why none can be trusted or written.
    fn ownership_record(&self, observed: &Observed) -> Result<Option<OwnershipRecord>, String> {
        if !OwnershipRecord::can_name(&self.owner) {
            return Err(format!(
                "the member's name `{}` cannot be written into a record: up to 128 printable ASCII \
                 characters without blanks, quotes and backslashes can",
                crate::text::printable(&self.owner, 60)
            ));
        }
        observed.read_mark().map_err(|error| {
            let name = canonical(&self.mark_key().name);
            let help = "remove it when no other program owns the record, or set `write = \"upsert\"`";
            format!("the TXT record {name} does not tell who owns the record: {error}; {help}")
        })
    }

    fn swap(&self, observed: &Observed, wanted: ResourceRecordSet, term: u64, now: Timestamp) -> Batch {
        let mark = OwnershipRecord { owner: self.owner.clone(), term, at: now.to_utc() };
        let value = ResourceRecord::builder().value(mark.rdata()).build();
        let mut mark = self.mark_key().blank();
        mark.ttl = Some(MARK_TTL);
        mark.weight = mark.set_identifier.as_ref().map(|_| MARK_WEIGHT);
        mark.resource_records = Some(vec![value.expect("a value is all that a record needs")]);

        let read = [&observed.record, &observed.mark];
        let deletes = read.into_iter().flatten().cloned().map(|read| change(ChangeAction::Delete, read));
        let creates = [wanted, mark].map(|wanted| change(ChangeAction::Create, wanted));
        Batch {
            zone: self.zone.clone(),
            changes: deletes.chain(creates).collect(),
            term,
            adopts: observed.record.is_some() && observed.mark.is_none(),
        }
    }

    fn upsert(&self, wanted: ResourceRecordSet, term: u64) -> Batch {
        let changes = vec![change(ChangeAction::Upsert, wanted)];
        Batch { zone: self.zone.clone(), changes, term, adopts: false }
    }
}

// === impl Observed ===

impl Observed {
    /// The ownership record, if there is one that can be read.
    pub(super) fn ownership(&self) -> Option<term::Claim> {
        let OwnershipRecord { owner, term, .. } = self.read_mark().ok()??;
        Some(term::Claim { term, member: owner })
    }

    fn read_mark(&self) -> Result<Option<OwnershipRecord>, NotOwnershipRecord> {
        self.mark.as_ref().map(OwnershipRecord::of).transpose()
    }
}

// === impl Batch ===

impl Step for Batch {
    fn moves_traffic(&self) -> bool {
        true
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChangeResourceRecordSets {}:", self.zone)?;
        for (index, change) in self.changes.iter().enumerate() {
            let separator = if index == 0 { "" } else { ";" };
            write!(f, "{separator} {}", change.action)?;
            if let Some(record) = &change.resource_record_set {
                write!(f, " {}", describe(record))?;
            }
        }
        Ok(())
    }
}

fn spreading(what: String) -> Progress {
    Progress::Waiting { what, pause: SPREADING }
}

fn change(action: ChangeAction, record: ResourceRecordSet) -> Change {
    let change = Change::builder().action(action).resource_record_set(record).build();
    change.expect("an action is all that a change needs")
}
