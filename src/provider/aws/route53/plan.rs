//! From what the zone says to what this member wants it to say: at most one batch. PURE.
//!
//! A batch of changes is atomic, and a DELETE in it succeeds only when it repeats the current record
//! exactly. So DELETE of what was read and CREATE of what is wanted, with the [ownership record](mod@super::ownership) in the
//! same batch, is a compare-and-swap on both: any write in between makes it fail as a whole. The record is
//! part of the batch even where only the ownership record changes, so that no write in between is overlooked.
//!
//! | ownership record | record | plan of a member that leads with a term |
//! |---|---|---|
//! | this member's, of its term | as wanted | none: fulfilled, once the change has spread |
//! | this member's, of a lower term | any | swap: others must be able to read the current term |
//! | this member's, of a higher term | as wanted | none: it stays as it is |
//! | this member's, of a higher term | otherwise | none: a term never goes down |
//! | another's, of a lower term | any | swap |
//! | another's, of the same or a higher term | any | none: ownership lost; a swap where it is certain that no other member is the primary |
//! | none | any | swap, which adopts the record |
//! | not readable | any | none: blocked |
//!
//! While it is unclear whether this member may take traffic, the plan is made with the term that it has, so that a record
//! with its own ownership record stays as it is; no other plan is carried out then.
//!
//! What the configuration does not mention (a health check, a region's routing) stays as it was read.

use std::fmt;
use std::time::Duration;

use super::Write;
use super::ownership::{NotOwnershipRecord, OwnershipRecord};
use super::record::{Content, Key, RecordSet, TXT, canonical, describe, same};
use crate::clock::Timestamp;
use crate::provider::aws::query::Xml;
use crate::role::Epoch;
use crate::steer::{Intent, Plan, Progress, Step};
use crate::term;

#[cfg(test)]
mod tests;

/// What the ownership record's name has before the record's.
const OWNERSHIP_PREFIX: &str = "_mirrorvip.";

/// How long an ownership record may be cached, in seconds. No client asks a name server for it.
const OWNERSHIP_TTL: u32 = 60;

/// Between two polls while a change spreads, which takes half a minute by experience. Route 53 answers five requests per
/// second to all of an account together, and a poll makes two of them.
const SPREADING: Duration = Duration::from_secs(5);

/// Records with a set identifier need a routing policy; the weight of an ownership record has no effect.
const OWNERSHIP_WEIGHT: u32 = 1;

/// What this member wants the zone to say while it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Desired {
    pub(super) zone: String,
    pub(super) record: Key,
    pub(super) content: Content,
    pub(super) weight: Option<u8>,
    pub(super) write: Write,
    /// This member's name in ownership records.
    pub(super) owner: String,
}

/// What the zone says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observed {
    /// The record; `None` when there is none of that name and type. One with another set identifier than the
    /// configured one is in the way.
    pub(super) record: Option<RecordSet>,
    /// The TXT record beside it, whatever it holds.
    pub(super) ownership_record: Option<RecordSet>,
    /// Our last change, while it has not reached every name server.
    pub(super) spreading: Option<String>,
}

/// What a change does with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The record must be in the zone exactly as it is written here.
    Delete,
    /// There must be no such record.
    Create,
    /// Whatever there is.
    Upsert,
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) action: Action,
    pub(super) record: RecordSet,
}

/// One call of `ChangeResourceRecordSets`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Batch {
    pub(super) zone: String,
    pub(super) changes: Vec<Change>,
    /// The term of the ownership record in it.
    pub(super) term: u64,
    /// Whether it takes a record without an ownership record.
    pub(super) adopts: bool,
}

// === impl Desired ===

impl Desired {
    /// Where the ownership record is.
    pub(super) fn ownership_key(&self) -> Key {
        Key {
            name: format!("{OWNERSHIP_PREFIX}{}", self.record.name),
            rr_type: TXT.to_owned(),
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
        let owned = match self.write {
            Write::CompareAndSwap => match self.ownership_record(observed) {
                Ok(owned) => owned,
                Err(why) => return nothing(Progress::Blocked { why }),
            },
            Write::Upsert => None,
        };
        let (term, certain) = match intent {
            Intent::Lead { term, certain, .. } => (*term, *certain),
            Intent::Follow | Intent::Hold { .. } => return nothing(Progress::Fulfilled),
        };
        let is_wanted = observed.record.as_ref().is_some_and(|record| same(record, &wanted));
        let is_done = match &owned {
            Some(owned) if owned.owner == self.owner && is_wanted => owned.term >= term,
            Some(owned) if owned.owner == self.owner && owned.term > term && !certain => {
                let what =
                    format!("a term above the {} that this member wrote before, it is {term}", owned.term);
                return nothing(Progress::waiting(what));
            }
            Some(owned) if owned.owner != self.owner && owned.term >= term && !certain => {
                return nothing(Progress::LostOwnership { by: owned.to_string() });
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

    /// The record as this member wants it; what the configuration does not mention is as it was `read`.
    fn wanted(&self, read: Option<&RecordSet>) -> Result<RecordSet, String> {
        let name = canonical(&self.record.name);
        let mut wanted = match read {
            Some(read) if read.set_identifier() != self.record.set_identifier.as_deref() => {
                let is = read.set_identifier().unwrap_or_default();
                return Err(format!(
                    "a record of that name and type has the set identifier `{is}`: write the one that is \
                     meant into the configuration, `set_identifier`"
                ));
            }
            Some(read) if read.has("TrafficPolicyInstanceId") => {
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
            wanted.set("Weight", weight);
        }
        Ok(wanted)
    }

    /// The ownership record that was read; the error says why none can be trusted or written.
    fn ownership_record(&self, observed: &Observed) -> Result<Option<OwnershipRecord>, String> {
        if !OwnershipRecord::can_name(&self.owner) {
            return Err(format!(
                "the member's name `{}` cannot be written into a record: up to 128 printable ASCII \
                 characters without blanks, quotes and backslashes can",
                crate::text::printable(&self.owner, 60)
            ));
        }
        observed.read_ownership_record().map_err(|error| {
            let name = canonical(&self.ownership_key().name);
            let help = "remove it when no other program owns the record, or set `write = \"upsert\"`";
            format!("the TXT record {name} does not say who owns the record: {error}; {help}")
        })
    }

    fn swap(&self, observed: &Observed, wanted: RecordSet, term: u64, now: Timestamp) -> Batch {
        let text = OwnershipRecord { owner: self.owner.clone(), term, at: now.to_utc() }.rdata();
        let mut ownership_record = self.ownership_key().blank();
        ownership_record.set("TTL", OWNERSHIP_TTL);
        if self.record.set_identifier.is_some() {
            ownership_record.set("Weight", OWNERSHIP_WEIGHT);
        }
        ownership_record.set_value(&text);

        let read = [&observed.record, &observed.ownership_record];
        let deletes =
            read.into_iter().flatten().cloned().map(|record| Change { action: Action::Delete, record });
        let creates = [wanted, ownership_record].map(|record| Change { action: Action::Create, record });
        Batch {
            zone: self.zone.clone(),
            changes: deletes.chain(creates).collect(),
            term,
            adopts: observed.record.is_some() && observed.ownership_record.is_none(),
        }
    }

    fn upsert(&self, wanted: RecordSet, term: u64) -> Batch {
        let changes = vec![Change { action: Action::Upsert, record: wanted }];
        Batch { zone: self.zone.clone(), changes, term, adopts: false }
    }
}

// === impl Observed ===

impl Observed {
    /// The ownership record, if there is one that can be read.
    pub(super) fn ownership(&self) -> Option<term::Claim> {
        let OwnershipRecord { owner, term, .. } = self.read_ownership_record().ok()??;
        Some(term::Claim { term, member: owner })
    }

    fn read_ownership_record(&self) -> Result<Option<OwnershipRecord>, NotOwnershipRecord> {
        self.ownership_record.as_ref().map(OwnershipRecord::of).transpose()
    }
}

// === impl Action ===

impl Action {
    /// The API's word.
    const fn word(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Create => "CREATE",
            Self::Upsert => "UPSERT",
        }
    }
}

// === impl Batch ===

impl Batch {
    /// The request, with `comment` for the zone's history of changes.
    pub(super) fn document(&self, comment: String) -> Xml {
        let changes = self.changes.iter().map(|Change { action, record }| {
            Xml::tree("Change", [Xml::leaf("Action", action.word()), record.element().clone()])
        });
        let batch = Xml::tree("ChangeBatch", [Xml::leaf("Comment", comment), Xml::tree("Changes", changes)]);
        Xml::tree("ChangeResourceRecordSetsRequest", [batch])
    }
}

impl Step for Batch {
    fn moves_traffic(&self) -> bool {
        true
    }

    fn is_planned_for(&self, _epoch: Epoch, term: u64) -> bool {
        self.term == term
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChangeResourceRecordSets {}:", self.zone)?;
        for (index, change) in self.changes.iter().enumerate() {
            let separator = if index == 0 { "" } else { ";" };
            write!(f, "{separator} {} {}", change.action.word(), describe(&change.record))?;
        }
        Ok(())
    }
}

fn spreading(what: String) -> Progress {
    Progress::Waiting { what, pause: SPREADING }
}
