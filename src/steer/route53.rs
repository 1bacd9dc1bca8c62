//! `[[mirror.route53]]`: a record in a hosted zone that says where the primary is.
//!
//! This file talks to Route 53; what to write is decided in [`plan`], which knows nothing of the network.
//!
//! | call | when |
//! |---|---|
//! | `ListResourceRecordSets` | each look: one page that begins at the record, never the whole zone; a second one that begins at the ownership record, when the first did not contain it |
//! | `ChangeResourceRecordSets` | to write, one batch; it succeeds or fails as a whole |
//! | `GetChange` | each look while our last change has not reached every name server (INSYNC) |
//!
//! The list shows changes that have not spread yet, so it is safe to read back what was just written. A
//! batch that is refused because the record is not what was read (a lost swap) has class
//! [`Observe`](Class::Observe). So ends, too, a batch that is sent again after its first answer got lost; the
//! next look finds it done. Only the number of that change is unknown, so nobody waits for it to spread.
//!
//! The SDK repeats reads by itself and writes never: each attempt to write needs write authorization of its own.

use aws_config::SdkConfig;
use aws_sdk_route53::types::{ChangeBatch, ChangeStatus, ResourceRecordSet};
use aws_sdk_route53::{Client, Config};

use super::{CallError, Class, Intent, Plan, Progress, Proof, Target};
use crate::aws::error::call_error;
use crate::aws::{Identity, single_attempt};
use crate::clock::Timestamp;
use crate::config::steering::{self, RecordType, RecordValue, Value, Write};
use crate::role::Epoch;
use crate::term::Claim;

mod error;
mod memory;
mod ownership;
mod plan;
mod record;
#[cfg(test)]
mod tests;

pub(crate) use plan::{Batch, Observed};
pub(crate) use record::canonical;

use error::change_error;
use memory::Memory;
use plan::Desired;
use record::{Content, Key, describe, rr_type};

const LIST: &str = "ListResourceRecordSets";
const CHANGE: &str = "ChangeResourceRecordSets";
const GET_CHANGE: &str = "GetChange";
const IDENTIFY: &str = "instance metadata";

/// How many records one page has. The mark follows its record closely in the order of the list, so that
/// one page holds both unless other records of that name, or names below it, stand between.
const PAGE: i32 = 8;

/// What a TXT record beside a record says about its owner; `None` if it is no ownership record that can be read.
pub(crate) fn ownership(record: &ResourceRecordSet) -> Option<Claim> {
    let ownership::OwnershipRecord { owner, term, .. } = ownership::OwnershipRecord::of(record).ok()?;
    Some(Claim { term, member: owner })
}

/// A record, and how this member looks after it.
#[derive(Debug)]
pub(crate) struct Route53 {
    name: String,
    settings: steering::Route53,
    owner: String,
    client: Client,
    identity: Option<Identity>,
    /// What this member wants; `None` until it is known what `"auto"` means.
    desired: Option<Desired>,
    /// Our last change, until it has spread.
    spreading: Option<String>,
    reads: u64,
    /// Of a record without marks, in which no member's term can be read.
    memory: Memory,
}

// === impl Route53 ===

impl Route53 {
    /// A target for the record of `settings`. `owner` is this member's name in marks: the same after a
    /// restart, and no other member's. Without `identity` the instance metadata service is asked when
    /// the value is `"auto"`.
    pub(crate) fn new(
        settings: &steering::Route53,
        owner: &str,
        identity: Option<Identity>,
        sdk: &SdkConfig,
    ) -> Self {
        let kind = rr_type(settings.record_type);
        let name = match &settings.set_identifier {
            Some(set) => format!("route53 {} {kind} {set}", settings.record),
            None => format!("route53 {} {kind}", settings.record),
        };
        let mut target = Self {
            name,
            settings: settings.clone(),
            owner: owner.to_owned(),
            client: Client::new(sdk),
            identity,
            desired: None,
            spreading: None,
            reads: 0,
            memory: Memory::default(),
        };
        target.desired = target.known_content().map(|content| target.desire(content));
        target
    }

    /// What the record is to say, as far as that is known without asking anybody.
    fn known_content(&self) -> Option<Content> {
        match &self.settings.value {
            RecordValue::Alias { hosted_zone_id, dns_name, evaluate_target_health } => Some(Content::Alias {
                hosted_zone_id: hosted_zone_id.clone(),
                dns_name: dns_name.clone(),
                evaluate_target_health: *evaluate_target_health,
            }),
            RecordValue::Plain { value: Value::Is(value), ttl } => {
                Some(Content::Plain { value: value.clone(), ttl: *ttl })
            }
            RecordValue::Plain { value: Value::Auto, ttl } => match self.settings.record_type {
                RecordType::A => self
                    .identity
                    .as_ref()
                    .map(|identity| Content::Plain { value: identity.address.clone(), ttl: *ttl }),
                // The metadata service tells an IPv4 address and no name that clients use.
                RecordType::Aaaa | RecordType::Cname => None,
            },
        }
    }

    fn desire(&self, content: Content) -> Desired {
        Desired {
            zone: self.settings.hosted_zone_id.clone(),
            record: Key {
                name: format!("{}.", self.settings.record),
                rr_type: rr_type(self.settings.record_type),
                set_identifier: self.settings.set_identifier.clone(),
            },
            content,
            weight: self.settings.weight,
            write: self.settings.write,
            owner: self.owner.clone(),
        }
    }

    /// What this member wants; asks the metadata service if it must.
    async fn find_out(&mut self) -> Result<Desired, CallError> {
        if let Some(desired) = &self.desired {
            return Ok(desired.clone());
        }
        if self.settings.record_type != RecordType::A {
            let text = "`value = \"auto\"` is for records of type A; write the value that is meant";
            return Err(CallError::new(IDENTIFY, Class::Stop, text));
        }
        if self.identity.is_none() {
            let identity = Identity::ask().await;
            self.identity = Some(identity.map_err(|error| {
                CallError::new(IDENTIFY, Class::Retry, format!("{error}. {}", error.help()))
            })?);
        }
        let content = self.known_content().expect("the identity, the only unknown, is known");
        let desired = self.desire(content);
        self.desired = Some(desired.clone());
        Ok(desired)
    }

    /// One page of the zone that begins at `start`.
    async fn list(&self, start: &Key, length: i32) -> Result<Vec<ResourceRecordSet>, CallError> {
        let answer = self
            .client
            .list_resource_record_sets()
            .hosted_zone_id(&self.settings.hosted_zone_id)
            .start_record_name(&start.name)
            .start_record_type(start.rr_type.clone())
            .set_start_record_identifier(start.set_identifier.clone())
            .max_items(length)
            .send()
            .await;
        Ok(answer.map_err(|error| call_error(LIST, &error))?.resource_record_sets)
    }

    /// Asks how far our last change has spread. That it cannot be told is no reason not to look after the
    /// record: a change whose state is unknown counts as not spread, and one that nobody may ask about is
    /// not followed.
    async fn follow_change(&mut self) {
        let Some(id) = &self.spreading else { return };
        match self.client.get_change().id(id).send().await {
            Ok(answer) => {
                let status = answer.change_info.map(|info| info.status);
                if status == Some(ChangeStatus::Insync) {
                    tracing::info!(
                        target_name = self.name,
                        change = id,
                        "the change has reached every name server"
                    );
                    self.spreading = None;
                }
            }
            Err(error) => {
                let error = call_error(GET_CHANGE, &error);
                match error.class {
                    Class::Retry | Class::Throttled | Class::Observe => {
                        tracing::debug!(target_name = self.name, change = id, %error, "cannot follow the change");
                    }
                    Class::Stop => {
                        tracing::warn!(target_name = self.name, change = id, %error, "the change is not followed");
                        self.spreading = None;
                    }
                }
            }
        }
    }
}

impl Target for Route53 {
    type Observed = Observed;
    type Step = Batch;

    async fn observe(&mut self) -> Result<Observed, CallError> {
        self.reads += 1;
        let desired = self.find_out().await?;
        let mark_key = desired.mark_key();
        let page = self.list(&desired.record, PAGE).await?;
        // The list begins at the record: a namesake with another set identifier is told from its absence.
        let own = page.iter().find(|record| desired.record.is_of(record));
        let namesake = || page.first().filter(|_| desired.record.set_identifier.is_none());
        let record =
            own.or_else(|| namesake().filter(|record| desired.record.is_namesake_of(record))).cloned();
        let mark = match (self.settings.write, page.into_iter().find(|record| mark_key.is_of(record))) {
            (Write::Upsert, _) => None,
            (Write::CompareAndSwap, Some(mark)) => Some(mark),
            (Write::CompareAndSwap, None) => {
                self.list(&mark_key, 1).await?.into_iter().find(|record| mark_key.is_of(record))
            }
        };
        self.follow_change().await;
        Ok(Observed { record, mark, spreading: self.spreading.clone() })
    }

    fn note(&mut self, intent: &Intent, observed: &Observed, now: Timestamp) {
        let (Intent::Lead { epoch, .. }, Some(desired)) = (intent, &self.desired) else { return };
        let plan = desired.plan(intent, observed, now);
        let is_there = matches!(plan.then, Progress::Fulfilled | Progress::Waiting { .. });
        let leads_here = plan.steps.is_empty() && is_there;
        self.memory.note(*epoch, leads_here, self.reads);
    }

    fn reset_memory(&mut self, epoch: Epoch) {
        self.memory.forget(epoch);
    }

    fn plan(&self, intent: &Intent, observed: &Observed, now: Timestamp) -> Plan<Batch> {
        match &self.desired {
            Some(desired) => {
                let plan = desired.plan(intent, observed, now);
                match (self.settings.write, intent, &observed.record) {
                    (Write::Upsert, Intent::Lead { epoch, .. }, Some(record))
                        if !plan.steps.is_empty() && self.memory.led_here(*epoch) =>
                    {
                        Plan { steps: Vec::new(), then: Progress::LostOwnership { by: describe(record) } }
                    }
                    (Write::Upsert | Write::CompareAndSwap, _, _) => plan,
                }
            }
            None => Plan {
                steps: Vec::new(),
                then: Progress::waiting("the instance metadata service to tell the address"),
            },
        }
    }

    fn ownership_record(&self, observed: &Observed) -> Option<Claim> {
        observed.ownership()
    }

    async fn apply(&mut self, step: &Batch, proof: Proof<'_>) -> Result<(), CallError> {
        let Proof::WriteAuthorization(authorization) = proof else {
            return Err(CallError::new(
                CHANGE,
                Class::Stop,
                "a record is never changed without write authorization",
            ));
        };
        if authorization.term() != step.term {
            let text = format!("planned with term {}, and it is {}", step.term, authorization.term());
            return Err(CallError::new(CHANGE, Class::Observe, text));
        }
        let batch = ChangeBatch::builder()
            .comment(format!("mirrorvip: {} is primary, term {}", self.owner, step.term))
            .set_changes(Some(step.changes.clone()))
            .build()
            .expect("changes are all that a batch needs");
        let answer = self
            .client
            .change_resource_record_sets()
            .hosted_zone_id(&step.zone)
            .change_batch(batch)
            .customize()
            .config_override(Config::builder().retry_config(single_attempt()))
            .send()
            .await
            .map_err(|error| change_error(CHANGE, &error))?;
        self.spreading = answer
            .change_info
            .filter(|info| info.status != ChangeStatus::Insync)
            .map(|info| info.id.trim_start_matches("/change/").to_owned());
        if step.adopts {
            tracing::warn!(
                target_name = self.name,
                owner = self.owner,
                "adopted a record without an ownership record: from here on only mirrorvip should write it"
            );
        }
        Ok(())
    }
}
