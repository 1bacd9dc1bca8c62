//! Checks that the times fit together, and says what they promise and cost. PURE.

use std::time::Duration;

use super::Finding;
use crate::provider::Mirror;
use crate::provider::aws;

/// If fewer missed answers are bridged, every short delay of the machine fails a check.
const ANSWERS_TO_BRIDGE: u32 = 2;

const HOUR: Duration = Duration::from_secs(3_600);

/// Reads are up to a tenth late, so that those of several members do not coincide.
const LATEST_READ: f64 = 1.1;

pub(super) fn mirror(mirror: &Mirror) -> Vec<Finding> {
    let Mirror { name, interval, timeout, stale_after, qos_timeout, rise, .. } = mirror;
    let subject = format!("mirror {name}");
    let mut findings = vec![Finding::good(
        &subject,
        format!(
            "a change of role is seen after at most {:?} ({:?} until the next question, plus one answer), or at once after a \
             wake-up; without answers the page refuses {stale_after:?} after the last answered question, \
             {:?} before another member may take over (QoS timeout {qos_timeout:?})",
            mirror.seen_within(),
            mirror.between_questions(),
            qos_timeout.saturating_sub(*stale_after),
        ),
    )];
    if *stale_after < (*interval * ANSWERS_TO_BRIDGE).saturating_add(*timeout) {
        let wanted = *interval * ANSWERS_TO_BRIDGE + *timeout;
        findings.push(
            Finding::warning(
                &subject,
                format!(
                    "stale_after = {stale_after:?} bridges one slow answer only: two in a row fail the check"
                ),
            )
            .help(format!("Write stale_after = \"{wanted:?}\" or more, below the QoS timeout.")),
        );
    }
    let reserve = Duration::from_secs(1);
    if qos_timeout.saturating_sub(*stale_after) < reserve {
        findings.push(
            Finding::warning(
                &subject,
                format!("stale_after = {stale_after:?} leaves less than {reserve:?} before the QoS timeout of {qos_timeout:?}"),
            )
            .help("Lower stale_after, or set qos_timeout to what the mirror really uses (System Management Portal, Edit Mirror)."),
        );
    }
    if rise.get() > 1 {
        findings.push(
            Finding::warning(
                &subject,
                format!(
                    "rise = {rise} delays traffic to a new primary by another {:?}",
                    mirror.between_questions() * (rise.get() - 1)
                ),
            )
            .help("Leave it at 1 unless the role flaps: the mirror has already decided."),
        );
    }
    findings
}

/// How often the cloud is read while nothing happens, and whether connections stay open in between.
pub(super) fn reads(mirror: &Mirror) -> Option<Finding> {
    let objects = aws::places(&mirror.targets).filter(|place| place.is_read).count();
    if objects == 0 {
        return None;
    }
    let interval = mirror.drift_interval;
    // At most 720 times: a few hundred objects are no more than a u32 holds.
    let reads = HOUR.div_duration_f64(interval) * f64::from(u32::try_from(objects).unwrap_or(u32::MAX));
    let connections = if interval.mul_f64(LATEST_READ) < aws::POOL_IDLE_TIMEOUT {
        "which keeps its connections warm"
    } else {
        "between which its connections close: the first call of a failover needs a new name lookup and new \
         handshakes, which take a few more round trips"
    };
    Some(Finding::good(
        format!("mirror {}", mirror.name),
        format!(
            "with drift_interval = {interval:?} this member reads AWS about {reads:.0} times an hour for {objects} \
             steering table{}, {connections}",
            if objects == 1 { "" } else { "s" },
        ),
    ))
}
