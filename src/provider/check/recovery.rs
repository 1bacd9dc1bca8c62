//! How long clients wait after a promotion, stage by stage, from the settings as they are. PURE.
//!
//! Counted from the moment at which the instance reports that it is primary; the mirror's own failover time comes before
//! that. A stage is an upper bound if AWS promises one or published measurements give one, and says so.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Subject;
use crate::peer;
use crate::steer::FRESH_ANSWERS;

/// A write over a warm connection, with time for one repetition.
pub(crate) const API_CALL: Duration = Duration::from_secs(1);

/// From the promotion to traffic, through one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// The table of a mirror.
    pub subject: String,
    /// In the order in which they happen.
    pub stages: Vec<Stage>,
    /// All of them together, in seconds.
    #[serde(rename = "at_most_seconds", serialize_with = "seconds")]
    pub at_most: Duration,
    /// What must work during that time.
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
    /// The reason for that time.
    pub why: String,
}

/// The daemon's own stages.
pub(crate) fn seen(subject: &Subject<'_>) -> Vec<Stage> {
    let mirror = subject.mirror;
    let (gap, rise) = (mirror.between_questions(), mirror.rise.get());
    let more = gap * (rise - 1);
    let mut why = format!("up to {gap:?} until the next question, and {:?} for its answer", mirror.timeout);
    if rise > 1 {
        why.extend([", ", &rise.to_string(), " times in a row"]);
    }
    if !mirror.wake_on.is_empty() {
        why += "; mostly at once, by wake_on";
    }
    vec![
        Stage::new("role seen", mirror.seen_within() + more, why),
        Stage::new("page flipped", Duration::ZERO, "with the answer"),
    ]
}

/// The calls that move traffic, one after the other, each on fresh answers of the peers. A promotion that was just seen
/// needs none, but later calls of a long plan do, and so does the first call after a record with a higher term.
pub(crate) fn writes(subject: &Subject<'_>, calls: usize) -> Vec<Stage> {
    let calls = u32::try_from(calls).unwrap_or(u32::MAX);
    let at_most = API_CALL.saturating_mul(calls);
    let mut stages = Vec::new();
    if !subject.mirror.peers.is_empty() {
        let answers =
            u32::try_from(at_most.as_millis().div_ceil(FRESH_ANSWERS.as_millis())).unwrap_or(u32::MAX);
        let why = format!("the old primary may be silent; answers are valid for {FRESH_ANSWERS:?} of calls");
        stages.push(Stage::new("peers answer", peer::TIMEOUT.saturating_mul(answers), why));
    }
    let why = match calls {
        1 => "one call over a warm connection".to_owned(),
        _ => format!("{calls} calls over a warm connection, one after the other"),
    };
    stages.push(Stage::new("API accepts", at_most, why));
    stages
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

// === impl Recovery ===

impl Recovery {
    /// The sum of these stages.
    pub(crate) fn new(subject: &Subject<'_>, stages: Vec<Stage>, depends_on: &'static str) -> Self {
        let at_most = stages.iter().map(|stage| stage.at_most).sum();
        Self { subject: subject.name.clone(), stages, at_most, depends_on }
    }
}

// === impl Stage ===

impl Stage {
    /// One that takes `at_most` this long, and why.
    pub(crate) fn new(stage: &'static str, at_most: Duration, why: impl Into<String>) -> Self {
        Self { stage, at_most, why: why.into() }
    }
}
