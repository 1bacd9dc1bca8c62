//! How long clients wait after a promotion, stage by stage, from the settings as they are. PURE.
//!
//! Counted from the moment at which the instance says that it is primary; how long the mirror takes until
//! then is the mirror's own. Each stage is an upper bound where AWS promises one or measurements by others
//! give one, and says so.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::super::timing;
use super::Subject;
use super::group::{Family, Group};
use super::record::Records;
use crate::config::steering::{CloudWatch, Pool, RecordValue, Route, Route53};
use crate::peer;
use crate::steer::FRESH_ANSWERS;

/// A write over a warm connection, with time for one repetition.
const API_CALL: Duration = Duration::from_secs(1);
/// Route 53 promises that changes are everywhere within a minute.
const PROPAGATION: Duration = Duration::from_mins(1);
/// What users of network load balancers saw at most between registering and the first check.
const NETWORK_REGISTRATION: Duration = Duration::from_mins(5);
/// Application load balancers take seconds.
const APPLICATION_REGISTRATION: Duration = Duration::from_secs(10);
/// Time to live of load balancers' own records, which an alias answers with.
const ALIAS_TTL: Duration = Duration::from_mins(1);
/// Changes of routes take effect within seconds; AWS promises no number.
const ROUTE: Duration = Duration::from_secs(5);
/// Shortest period of an alarm on a standard metric, and how late its evaluation may be.
const ALARM_PERIOD: Duration = Duration::from_mins(1);
/// Health checks on alarms follow their metric stream.
const ALARM_HEALTH_CHECK: Duration = Duration::from_mins(1);

/// From the promotion to traffic, on one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// The way: a table of a mirror.
    pub subject: String,
    /// In the order in which they happen.
    pub stages: Vec<Stage>,
    /// All of them together, in seconds.
    #[serde(rename = "at_most_seconds", serialize_with = "seconds")]
    pub at_most: Duration,
    /// What must work meanwhile.
    pub depends_on: &'static str,
}

/// One thing that has to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// What.
    pub stage: &'static str,
    /// In seconds.
    #[serde(rename = "at_most_seconds", serialize_with = "seconds")]
    pub at_most: Duration,
    /// How that comes about.
    pub why: String,
}

pub(super) fn pool(subject: &Subject<'_>, pool: Pool, group: &Group) -> Recovery {
    let mut stages = seen(subject);
    let Some(check) = &group.health_check else {
        return Recovery::new(subject, stages, "nothing: without a health check nobody follows the primary");
    };
    let (checks, depends_on) = match pool {
        Pool::AllMembers => {
            let threshold = check.rise.max(check.fall);
            (threshold, "the load balancer's data plane alone")
        }
        Pool::PrimaryOnly => {
            let (at_most, why) = match group.family {
                Family::Network => (
                    NETWORK_REGISTRATION,
                    "a network load balancer takes up to some minutes to take a target in",
                ),
                Family::Application | Family::Classic => {
                    (APPLICATION_REGISTRATION, "it takes a target in within seconds")
                }
            };
            stages.extend(writes(subject, 1));
            stages.push(Stage::new("target registered", at_most, why));
            // A new target needs one passed check.
            (1, "the control plane of the region, then the load balancer's data plane")
        }
    };
    let interval = check.interval;
    // The interval more is for a check that was under way when the page changed.
    stages.push(Stage::new(
        "health checks agree",
        interval * (checks + 1),
        format!("{checks} x {interval:?}, and up to {interval:?} until the first"),
    ));
    Recovery::new(subject, stages, depends_on)
}

pub(super) fn record(subject: &Subject<'_>, table: &Route53, records: &Records) -> Recovery {
    let mut stages = seen(subject);
    stages.extend(writes(subject, 1));
    stages.push(Stage::new("record INSYNC", PROPAGATION, "Route 53 tells all its servers, mostly faster"));
    stages.push(cached(table, records));
    Recovery::new(subject, stages, "Route 53's control plane in us-east-1, then resolvers and clients")
}

pub(super) fn route(subject: &Subject<'_>, table: &Route) -> Recovery {
    let mut stages = seen(subject);
    stages.extend(writes(subject, table.route_tables.len()));
    stages.push(Stage::new("route in effect", ROUTE, "within seconds; AWS promises no number"));
    Recovery::new(subject, stages, "the control plane of the region")
}

pub(super) fn metric(subject: &Subject<'_>, table: &CloudWatch) -> Recovery {
    let mut stages = seen(subject);
    stages.push(Stage::new(
        "metric published",
        API_CALL,
        format!("at once, then every {:?}", table.interval),
    ));
    stages.push(Stage::new("alarm changes", ALARM_PERIOD * 2, "one period of 60 s, and its evaluation"));
    stages.push(Stage::new("health check follows", ALARM_HEALTH_CHECK, "it watches the alarm's metric"));
    Recovery::new(
        subject,
        stages,
        "CloudWatch and Route 53's health checks; the record's time to live comes on top",
    )
}

/// What the daemon itself takes.
fn seen(subject: &Subject<'_>) -> Vec<Stage> {
    let mirror = subject.mirror;
    let (gap, rise) = (timing::between_questions(mirror), mirror.rise.get());
    let more = gap * (rise - 1);
    let mut why = format!("up to {gap:?} until the next question, and {:?} for its answer", mirror.timeout);
    if rise > 1 {
        why.extend([", ", &rise.to_string(), " times in a row"]);
    }
    if !mirror.wake_on.is_empty() {
        why += "; mostly at once, by wake_on";
    }
    vec![
        Stage::new("role seen", timing::seen_within(mirror) + more, why),
        Stage::new("page flipped", Duration::ZERO, "with the answer"),
    ]
}

/// The calls that move traffic, one after the other, each on fresh answers of the peers. A promotion that was just
/// seen needs none, but the calls of a longer plan do, and so does the first where a record tells news.
fn writes(subject: &Subject<'_>, calls: usize) -> Vec<Stage> {
    let calls = u32::try_from(calls).unwrap_or(u32::MAX);
    let at_most = API_CALL.saturating_mul(calls);
    let mut stages = Vec::new();
    if !subject.mirror.peers.is_empty() {
        let answers =
            u32::try_from(at_most.as_millis().div_ceil(FRESH_ANSWERS.as_millis())).unwrap_or(u32::MAX);
        let why = format!(
            "for the silent, as the old primary may be; their answers are good for {FRESH_ANSWERS:?} of calls"
        );
        stages.push(Stage::new("peers answer", peer::TIMEOUT.saturating_mul(answers), why));
    }
    let why = match calls {
        1 => "one call over a warm connection".to_owned(),
        _ => format!("{calls} calls over a warm connection, one after the other"),
    };
    stages.push(Stage::new("API accepts", at_most, why));
    stages
}

/// What clients hold at the promotion is the record as it is served until then, whatever the table says.
fn cached(table: &Route53, records: &Records) -> Stage {
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

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

// === impl Recovery ===

impl Recovery {
    fn new(subject: &Subject<'_>, stages: Vec<Stage>, depends_on: &'static str) -> Self {
        let at_most = stages.iter().map(|stage| stage.at_most).sum();
        Self { subject: subject.name.clone(), stages, at_most, depends_on }
    }
}

// === impl Stage ===

impl Stage {
    fn new(stage: &'static str, at_most: Duration, why: impl Into<String>) -> Self {
        Self { stage, at_most, why: why.into() }
    }
}
