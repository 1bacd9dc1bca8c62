//! How long clients wait after the metric changes. PURE.

use std::time::Duration;

use super::Table;
use crate::provider::check::Subject;
use crate::provider::check::recovery::{API_CALL, Recovery, Stage, seen};

/// Shortest period of an alarm on a standard metric, and how late its evaluation may be.
const ALARM_PERIOD: Duration = Duration::from_mins(1);
/// Health checks on alarms follow their metric stream.
const ALARM_HEALTH_CHECK: Duration = Duration::from_mins(1);

/// How long clients wait after a promotion.
pub(super) fn recovery(subject: &Subject<'_>, table: &Table) -> Recovery {
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
