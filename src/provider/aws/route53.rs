//! `[[mirror.route53]]`: a record in a hosted zone that says where the primary is.
//!
//! This file talks to Route 53. [`plan`] decides what to write, and knows nothing of the network.
//!
//! | call | when |
//! |---|---|
//! | `ListResourceRecordSets` | each poll: one page that begins at the record, never the whole zone; a second one that begins at the ownership record when the first did not contain it |
//! | `ChangeResourceRecordSets` | to write, one batch; it succeeds or fails as a whole |
//! | `GetChange` | each poll while our last change has not reached every name server (INSYNC) |
//!
//! The list shows changes that have not spread yet, so it is safe to read back what was just written. A
//! batch that is refused because the record is not what was read (a lost swap) has class
//! [`Observe`](Class::Observe). A batch that is sent again after its first answer got lost ends the same way; the
//! next poll finds it done. Only the number of that change is unknown, so the loop does not wait for it to spread.
//!
//! The SDK repeats reads by itself and writes never: each attempt to write needs write authorization of its own.
//!
//! Wire format: the [REST XML protocol](crate::provider::aws::rest), *Amazon Route 53 API Reference, version 2013-04-01*.

use aws_config::SdkConfig;

use crate::clock::Timestamp;
use crate::config::steering::Value;
use crate::provider::aws::Identity;
use crate::provider::aws::identity::{Me, unidentified};
use crate::provider::aws::query::{Service, Xml};
use crate::provider::aws::rest::RestClient;
use crate::role::Epoch;
use crate::steer::epoch::InEpoch;
use crate::steer::{Authorized, CallError, Class, Intent, Plan, Progress, Target};
use crate::term::Claim;
use crate::text::printable;

mod check;
mod kind;
mod ownership;
mod plan;
mod read;
mod record;
mod rights;
mod rules;
mod table;
#[cfg(test)]
mod tests;

pub use table::{RecordType, RecordValue, Table, Write};

pub(crate) use plan::{Batch, Observed};
pub(crate) use record::canonical;

use plan::Desired;
use record::{Content, Key, RecordSet, describe};

/// Amazon Route 53.
pub(super) const SERVICE: Service =
    Service { prefix: "route53", version: "2013-04-01", id: "Route 53", is_global: true };

const LIST: &str = "ListResourceRecordSets";
const CHANGE: &str = "ChangeResourceRecordSets";
const GET_CHANGE: &str = "GetChange";
const IDENTIFY: &str = "instance metadata";

/// How many records one page has. The ownership record follows its record closely in the order of the list, so that
/// one page holds both unless other records of that name, or names below it, stand between.
const PAGE: &str = "8";

/// How much of a comment to a change is kept, in characters: the API's limit.
const COMMENT_LENGTH: usize = 256;

/// What a TXT record beside a record says about its owner; `None` if it is no ownership record that can be read.
fn ownership(record: &RecordSet) -> Option<Claim> {
    let ownership::OwnershipRecord { owner, term, .. } = ownership::OwnershipRecord::of(record).ok()?;
    Some(Claim { term, member: owner })
}

/// A record, and how this member steers it.
#[derive(Debug)]
pub(crate) struct Route53 {
    name: String,
    settings: Table,
    owner: String,
    client: RestClient,
    identity: Me,
    /// What this member wants; `None` until it is known what `"auto"` means.
    desired: Option<Desired>,
    /// Our last change, until it has spread.
    spreading: Option<String>,
    reads: u64,
    /// Whether a record without ownership record, which shows no member's term, led here.
    led_here: InEpoch<bool>,
}

// === impl Route53 ===

impl Route53 {
    /// A target for the record of `settings`. `owner` is this member's name in ownership records: the same after a
    /// restart, and no other member's. `identity` is what `"auto"` means.
    pub(crate) fn new(settings: &Table, owner: &str, identity: Me, sdk: &SdkConfig) -> Self {
        let kind = settings.record_type;
        let name = match &settings.set_identifier {
            Some(set) => format!("route53 {} {kind} {set}", settings.record),
            None => format!("route53 {} {kind}", settings.record),
        };
        let mut target = Self {
            name,
            settings: settings.clone(),
            owner: owner.to_owned(),
            client: RestClient::new(sdk, SERVICE),
            identity,
            desired: None,
            spreading: None,
            reads: 0,
            led_here: InEpoch::default(),
        };
        target.desired = target.known_content(None).map(|content| target.desire(content));
        target
    }

    /// What the record is to say, as far as that is known with this `identity`.
    fn known_content(&self, identity: Option<&Identity>) -> Option<Content> {
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
                RecordType::A => {
                    identity.map(|identity| Content::Plain { value: identity.address.clone(), ttl: *ttl })
                }
                // The metadata service knows an IPv4 address, and no name that clients use.
                RecordType::Aaaa | RecordType::Cname => None,
            },
        }
    }

    fn desire(&self, content: Content) -> Desired {
        Desired {
            zone: self.settings.hosted_zone_id.clone(),
            record: Key {
                name: format!("{}.", self.settings.record),
                rr_type: self.settings.record_type.to_string(),
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
        let identity = self.identity.get().await.map_err(|error| unidentified(&error))?;
        let content = self.known_content(Some(identity)).expect("the identity, the only unknown, is known");
        let desired = self.desire(content);
        self.desired = Some(desired.clone());
        Ok(desired)
    }

    /// One page of the zone that begins at `start`.
    async fn list(&self, start: &Key, length: &str) -> Result<Vec<RecordSet>, CallError> {
        let (name, rr_type) = (start.name.as_str(), start.rr_type.as_str());
        let identifier = start.set_identifier.as_deref().map(|identifier| ("identifier", identifier));
        let parameters: Vec<_> = [("name", name), ("type", rr_type)]
            .into_iter()
            .chain(identifier)
            .chain([("maxitems", length)])
            .collect();
        list(&self.client, &self.settings.hosted_zone_id, &parameters).await
    }

    /// Asks whether our last change has spread. An error here does not stop the loop from steering the
    /// record: a change whose state is unknown counts as not spread, and one about which this member may not ask is
    /// not followed.
    async fn follow_change(&mut self) {
        let Some(id) = &self.spreading else { return };
        match change(&self.client, id).await {
            Ok(None) => {
                tracing::info!(
                    target_name = self.name,
                    change = id,
                    "the change has reached every name server"
                );
                self.spreading = None;
            }
            Ok(Some(_)) => {}
            Err(error) => match error.class {
                Class::Retry | Class::Throttled | Class::Observe => {
                    tracing::debug!(target_name = self.name, change = id, %error, "cannot follow the change");
                }
                Class::Stop => {
                    tracing::warn!(target_name = self.name, change = id, %error, "the change is not followed");
                    self.spreading = None;
                }
            },
        }
    }
}

/// Record sets of a zone, in its order.
async fn list(
    client: &RestClient,
    zone: &str,
    parameters: &[(&str, &str)],
) -> Result<Vec<RecordSet>, CallError> {
    let answer = client.get(LIST, &["hostedzone", zone, "rrset"], parameters).await?;
    Ok(answer.list("ResourceRecordSets").cloned().map(RecordSet::new).collect())
}

/// Asks for the change of this id, and gives its id while it has not reached every name server.
async fn change(client: &RestClient, id: &str) -> Result<Option<String>, CallError> {
    client.get(GET_CHANGE, &["change", id], &[]).await.map(|answer| spreading(&answer))
}

/// The id of the change in an answer, while it has not reached every name server.
fn spreading(answer: &Xml) -> Option<String> {
    let change = answer.child("ChangeInfo").filter(|change| change.text_of("Status") != Some("INSYNC"))?;
    let id = change.text_of("Id")?;
    Some(id.strip_prefix("/change/").unwrap_or(id).to_owned())
}

impl Target for Route53 {
    type Observed = Observed;
    type Step = Batch;

    async fn observe(&mut self) -> Result<Observed, CallError> {
        self.reads += 1;
        let desired = self.find_out().await?;
        let ownership_key = desired.ownership_key();
        let page = self.list(&desired.record, PAGE).await?;
        // The page begins at the record. One of the same name and type with another set identifier is not an absent record.
        let own = page.iter().find(|record| desired.record.is_of(record));
        let namesake = || page.first().filter(|_| desired.record.set_identifier.is_none());
        let record =
            own.or_else(|| namesake().filter(|record| desired.record.is_namesake_of(record))).cloned();
        let found = page.into_iter().find(|record| ownership_key.is_of(record));
        let ownership_record = match (self.settings.write, found) {
            (Write::Upsert, _) => None,
            (Write::CompareAndSwap, Some(found)) => Some(found),
            (Write::CompareAndSwap, None) => {
                self.list(&ownership_key, "1").await?.into_iter().find(|record| ownership_key.is_of(record))
            }
        };
        self.follow_change().await;
        Ok(Observed { record, ownership_record, spreading: self.spreading.clone() })
    }

    fn note(&mut self, intent: &Intent, observed: &Observed, now: Timestamp) {
        let (Intent::Lead { epoch, .. }, Some(desired)) = (intent, &self.desired) else { return };
        let plan = desired.plan(intent, observed, now);
        let is_there = matches!(plan.then, Progress::Fulfilled | Progress::Waiting { .. });
        let leads_here = plan.steps.is_empty() && is_there;
        let (led_here, counts) = self.led_here.note(*epoch, self.reads);
        *led_here |= leads_here && counts;
    }

    fn reset_memory(&mut self, epoch: Epoch) {
        self.led_here.forget(epoch);
    }

    fn plan(&self, intent: &Intent, observed: &Observed, now: Timestamp) -> Plan<Batch> {
        match &self.desired {
            Some(desired) => {
                let plan = desired.plan(intent, observed, now);
                match (self.settings.write, intent, &observed.record) {
                    (Write::Upsert, Intent::Lead { epoch, .. }, Some(record))
                        if !plan.steps.is_empty() && self.led_here.facts(*epoch) == Some(&true) =>
                    {
                        Plan { steps: Vec::new(), then: Progress::LostOwnership { by: describe(record) } }
                    }
                    (Write::Upsert | Write::CompareAndSwap, _, _) => plan,
                }
            }
            None => Plan {
                steps: Vec::new(),
                then: Progress::waiting("the instance metadata service to report the address"),
            },
        }
    }

    fn ownership_record(&self, observed: &Observed) -> Option<Claim> {
        observed.ownership()
    }

    async fn apply(&mut self, step: Authorized<'_, Batch>) -> Result<(), CallError> {
        let comment = format!("mirrorvip: {} is primary, term {}", self.owner, step.term);
        let document = step.document(printable(&comment, COMMENT_LENGTH));
        let path = ["hostedzone", step.zone.as_str(), "rrset"];
        self.spreading = spreading(&self.client.post_once(CHANGE, &path, &document).await?);
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
