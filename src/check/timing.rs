//! Whether the times fit together, what they promise, and what they cost. PURE.

use std::time::Duration;

use super::Finding;
use crate::aws::POOL_IDLE_TIMEOUT;
use crate::config::Mirror;
use crate::config::steering::Target;

/// Bridging fewer missed answers than this makes every hiccup of the machine a failed check.
const ANSWERS_TO_BRIDGE: u32 = 2;

const HOUR: Duration = Duration::from_secs(3_600);

/// Looks are up to a tenth late, so that the members' do not march in step.
const LATEST_LOOK: f64 = 1.1;

/// How long after a change of role its answer is in, at most, `rise` left out.
pub(super) fn seen_within(mirror: &Mirror) -> Duration {
    between_questions(mirror) + mirror.timeout
}

/// How far apart two questions begin, at most: one is in flight at a time, so a slow answer delays the next.
pub(super) fn between_questions(mirror: &Mirror) -> Duration {
    mirror.interval.max(mirror.timeout)
}

pub(super) fn mirror(mirror: &Mirror) -> Vec<Finding> {
    let Mirror { name, interval, timeout, stale_after, qos_timeout, rise, .. } = mirror;
    let subject = format!("mirror {name}");
    let mut findings = vec![Finding::good(
        &subject,
        format!(
            "a change of role is seen after at most {:?} ({:?} until the next question and one answer), or at once by \
             wake-up; without answers the page refuses {stale_after:?} after the last question that was answered, \
             {:?} before another member may take over (QoS timeout {qos_timeout:?})",
            seen_within(mirror),
            between_questions(mirror),
            qos_timeout.saturating_sub(*stale_after),
        ),
    )];
    if *stale_after < (*interval * ANSWERS_TO_BRIDGE).saturating_add(*timeout) {
        let wanted = *interval * ANSWERS_TO_BRIDGE + *timeout;
        findings.push(
            Finding::warning(
                &subject,
                format!("stale_after = {stale_after:?} bridges one slow answer and no more: two in a row fail the check"),
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
                    "rise = {rise} keeps a new primary out for another {:?}",
                    between_questions(mirror) * (rise.get() - 1)
                ),
            )
            .help("Leave it at 1 unless the role flaps: the mirror has decided already."),
        );
    }
    findings
}

/// How often the cloud is read while nothing happens, and whether connections outlive the time between.
pub(super) fn looks(mirror: &Mirror) -> Option<Finding> {
    let is_read = |target: &&Target| match target {
        Target::Elbv2(_) | Target::ClassicElb(_) | Target::Route53(_) | Target::Route(_) => true,
        // A metric is published without a look, a label is not in AWS, and a hook is no object.
        Target::CloudWatch(_) | Target::Kubernetes(_) | Target::Hook(_) => false,
    };
    let objects = mirror.targets.iter().filter(is_read).count();
    if objects == 0 {
        return None;
    }
    let interval = mirror.drift_interval;
    // At most 720 times: a few hundred objects are no more than a u32 holds.
    let reads = HOUR.div_duration_f64(interval) * f64::from(u32::try_from(objects).unwrap_or(u32::MAX));
    let connections = if interval.mul_f64(LATEST_LOOK) < POOL_IDLE_TIMEOUT {
        "which keeps its connections warm"
    } else {
        "between which its connections close: the first call of a failover also looks up the name and makes the \
         handshakes anew, some round trips more"
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
