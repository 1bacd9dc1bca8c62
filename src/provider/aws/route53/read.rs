//! Reads what a zone has under a record's name for `mirrorvip check`. No call changes anything, every call has the deadlines
//! of [`aws`](crate::provider::aws), and every text in an answer is bounded.

use super::check::{Records, Seen};
use super::record::{RecordSet, TXT};
use super::{LIST, SERVICE, Table, Write};
use super::{canonical, change, list, ownership};
use crate::provider::aws::check::{empty, text};
use crate::provider::aws::help::is_denied;
use crate::provider::aws::rest::RestClient;
use crate::provider::aws::session::Session;
use crate::steer::CallError;

/// Record sets of one name that are read: more than the types and policies that make sense.
const RECORD_SETS: &str = "100";
/// The id of a change that was never made, of the form that ids have.
const NO_CHANGE: &str = "C0000000000000000000";

pub(super) async fn record(table: &Table, session: &mut Session) -> Result<Records, CallError> {
    let client = RestClient::new(&session.global_sdk().await, SERVICE);
    let zone_id = &table.hosted_zone_id;
    let named = async |name: &str| {
        let mut sets = list(&client, zone_id, &[("name", name), ("maxitems", RECORD_SETS)]).await?;
        sets.retain(|set| set.name().trim_end_matches('.').eq_ignore_ascii_case(name));
        Ok::<_, CallError>(sets)
    };
    // A zone's own name comes first in its list: it always has an SOA record, and names are in the order of their labels
    // from the right.
    let apex = list(&client, zone_id, &[("maxitems", "1")]).await?;
    let Some(apex) = apex.first() else { return Err(empty(LIST)) };
    let zone = text(&canonical(apex.name()));
    let of_name = named(&table.record).await?.iter().map(seen).collect();
    let beside = named(&format!("_mirrorvip.{}", table.record)).await?;
    // The daemon asks for its own changes. Asking for one that does not exist shows whether it may: only a refusal
    // counts.
    let following = change(&client, NO_CHANGE).await.err();
    let of_this_set = beside
        .iter()
        .filter(|set| set.rr_type() == TXT && set.set_identifier() == table.set_identifier.as_deref());
    let of_this_set: Vec<_> = of_this_set.collect();
    let owner = match (table.write, of_this_set.as_slice()) {
        (Write::CompareAndSwap, [set]) => ownership(set),
        (Write::CompareAndSwap | Write::Upsert, _) => None,
    };
    Ok(Records {
        zone,
        named: of_name,
        mark: of_this_set.into_iter().flat_map(|set| seen(set).values).collect(),
        owner,
        unfollowed: following.filter(is_denied),
    })
}

fn seen(set: &RecordSet) -> Seen {
    let policies = [
        ("failover", set.has("Failover")),
        ("latency", set.has("Region")),
        ("geolocation", set.has("GeoLocation")),
        ("geoproximity", set.has("GeoProximityLocation")),
        ("IP address", set.has("CidrRoutingConfig")),
        ("multivalue answer", set.get("MultiValueAnswer") == Some("true")),
    ];
    Seen {
        record_type: text(set.rr_type()),
        ttl: set.ttl(),
        values: set.values().map(text).collect(),
        is_alias: set.alias().is_some(),
        set_identifier: set.set_identifier().map(text),
        policy: policies.into_iter().find_map(|(name, is_set)| is_set.then_some(name)),
        of_traffic_policy: set.has("TrafficPolicyInstanceId"),
    }
}
