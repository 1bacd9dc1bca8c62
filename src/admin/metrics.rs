//! `GET /metrics` in the OpenMetrics text format, encoded by `prometheus-client`. Every value is read during the
//! scrape, as a health check at that moment would see it.
//!
//! [`METRICS`] is the only table of names, units and meanings; `docs/reference` is generated from it.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::View;
use crate::clock::{Clock, Timestamp};
use crate::health::{Counters, page_status};
use crate::snapshot::Snapshot;
use crate::steer::report::{PromotionTimeline, Report};
use crate::term::Memory;

mod peers;

/// One metric: its name and meaning.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name, without the suffix `_total` that the format gives to counters.
    pub name: &'static str,
    /// Whether it only rises.
    pub counter: bool,
    /// What it means; a sentence without its full stop.
    pub help: &'static str,
    value: Value,
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Build,
    Process(fn(&View, Timestamp) -> f64),
    Mirror(fn(&Snapshot, Timestamp) -> f64),
    Answers,
    State,
    LastCheck,
    Checks,
    Health(fn(Counters) -> u64),
    Authority,
    Memory(fn(&Memory) -> f64),
    Peer(peers::Read),
    PeerInfo,
    SteeringState,
    Steering(fn(&Report, Timestamp) -> f64),
    Calls,
}

/// Every metric there is.
pub const METRICS: &[Metric] = &[
    gauge("mirrorvip_build_info", "Always 1; the label version is that of the running program", Value::Build),
    gauge(
        "mirrorvip_start_time_seconds",
        "When the daemon was started, in seconds since the Unix epoch",
        Value::Process(|view, _| view.started_at.since_unix_epoch().as_secs_f64()),
    ),
    gauge(
        "mirrorvip_serving",
        "1 while the page says SUCCESS, 0 otherwise",
        Value::Mirror(|snapshot, now| truth(snapshot.verdict_at(now).serves(now))),
    ),
    gauge(
        "mirrorvip_page_status",
        "Status code that the page answers: 200, 500 or 503",
        Value::Mirror(|snapshot, now| f64::from(page_status(&snapshot.verdict_at(now)))),
    ),
    gauge("mirrorvip_state", "1 for the current state, which the label state names", Value::State),
    gauge(
        "mirrorvip_epoch",
        "Number of promotions of this member seen, including those of earlier processes that the state file remembers",
        Value::Mirror(|snapshot, _| as_f64(snapshot.tracker().epoch().into())),
    ),
    gauge(
        "mirrorvip_verdict_remaining_seconds",
        "How long the current verdict stays valid without a new answer; 0 if it does not depend on an answer",
        Value::Mirror(|snapshot, now| {
            snapshot.tracker().running_lease().map_or(0.0, |lease| lease.remaining(now).as_secs_f64())
        }),
    ),
    gauge(
        "mirrorvip_evidence_age_seconds",
        "Age of the last answer with a definite role, counted from the question; NaN before the first",
        Value::Mirror(|snapshot, now| {
            let standing = snapshot.tracker().standing();
            standing.map_or(f64::NAN, |standing| standing.until.asked_at().age_at(now).as_secs_f64())
        }),
    ),
    counter(
        "mirrorvip_probes",
        "Answers of the probe; the label evidence is definite or none",
        Value::Answers,
    ),
    counter(
        "mirrorvip_probe_seconds",
        "Total time between questions and answers",
        Value::Mirror(|snapshot, _| snapshot.counters.probing.as_secs_f64()),
    ),
    counter(
        "mirrorvip_probes_woken",
        "Questions triggered by a wake-up, not by the timer",
        Value::Mirror(|snapshot, _| as_f64(snapshot.counters.woken)),
    ),
    counter(
        "mirrorvip_probes_unkillable",
        "Questions not asked because an earlier child could not be killed",
        Value::Mirror(|snapshot, _| as_f64(snapshot.counters.unkillable)),
    ),
    counter("mirrorvip_checks", "Health checks of the mirror that were answered", Value::Checks),
    gauge(
        "mirrorvip_last_check_age_seconds",
        "Time since the last health check of the mirror; NaN for never",
        Value::LastCheck,
    ),
    gauge(
        "mirrorvip_authority",
        "1 for the current ruling on taking traffic, which the label authority names: clear, unsure or superseded",
        Value::Authority,
    ),
    gauge(
        "mirrorvip_term",
        "Number of this member's last promotion in the order of all members' promotions; 0 before the first",
        Value::Memory(|memory| as_f64(memory.term)),
    ),
    gauge(
        "mirrorvip_taken",
        "1 while an operator's decision (mirrorvip take) is in force, 0 otherwise",
        Value::Memory(|memory| truth(memory.taken.is_some())),
    ),
    gauge(
        "mirrorvip_peer_reachable",
        "1 if the peer answered the last question, 0 otherwise; the label peer is its address",
        Value::Peer(|member, _| truth(member.reachable)),
    ),
    gauge(
        "mirrorvip_peer_serving",
        "1 while the peer reports that its page says SUCCESS, 0 while it reports anything else; NaN while it does not answer",
        Value::Peer(peers::serving),
    ),
    gauge(
        "mirrorvip_peer_term",
        "Term that the peer reported last; NaN before its first answer",
        Value::Peer(|member, _| {
            member.document.as_ref().map_or(f64::NAN, |(_, document)| as_f64(document.term))
        }),
    ),
    gauge(
        "mirrorvip_peer_answer_age_seconds",
        "Age of the peer's last answer, counted from the question; NaN before its first answer",
        Value::Peer(peers::answer_age),
    ),
    gauge(
        "mirrorvip_peer_agrees",
        "1 if the peer's configuration agrees with this member's where all members must agree, 0 if it differs; NaN while unknown",
        Value::Peer(peers::agrees),
    ),
    gauge(
        "mirrorvip_peer_info",
        "Always 1; the labels member, version, role and authority have the values that the peer reported last",
        Value::PeerInfo,
    ),
    gauge(
        "mirrorvip_steering_state",
        "1 for the current state of the steering target, which the label state names",
        Value::SteeringState,
    ),
    gauge(
        "mirrorvip_steering_last_success_age_seconds",
        "Time since the steering target was last seen in its desired state; NaN for never",
        Value::Steering(|report, now| {
            report.last_success.map_or(f64::NAN, |at| at.age_at(now).as_secs_f64())
        }),
    ),
    gauge(
        "mirrorvip_steering_accepted_seconds",
        "From the instance's change of role to the API's acceptance of the first step, in the last promotion; NaN if there was none",
        Value::Steering(|report, _| {
            report.ladder.map_or(f64::NAN, |ladder| since_change(&ladder, ladder.accepted))
        }),
    ),
    gauge(
        "mirrorvip_steering_fulfilled_seconds",
        "From the instance's change of role to the steering target's desired state, in the last promotion; NaN before that",
        Value::Steering(|report, _| {
            report.ladder.map_or(f64::NAN, |ladder| since_change(&ladder, ladder.fulfilled))
        }),
    ),
    gauge(
        "mirrorvip_steering_writes_left",
        "Writes left before the loop reports a contest and stops writing",
        Value::Steering(|report, _| as_f64(report.writes_left as u64)),
    ),
    counter(
        "mirrorvip_steering_calls",
        "Calls for the steering target; the label action names the API action, the label result is ok or the class of the error",
        Value::Calls,
    ),
    counter(
        "mirrorvip_steering_drift_repaired",
        "External changes of the steering target that this member reverted",
        Value::Steering(|report, _| as_f64(report.drift_repaired)),
    ),
    counter(
        "mirrorvip_health_connections_accepted",
        "Connections to the health listener",
        Value::Health(|counters| counters.accepted),
    ),
    counter(
        "mirrorvip_health_requests_answered",
        "Requests answered by the health listener, with any status",
        Value::Health(|counters| counters.answered),
    ),
    counter(
        "mirrorvip_health_connections_shed",
        "Connections closed early, to make room for others or because of a flood",
        Value::Health(|counters| counters.shed),
    ),
    counter(
        "mirrorvip_health_connections_late",
        "Connections closed because a deadline passed",
        Value::Health(|counters| counters.late),
    ),
    counter(
        "mirrorvip_health_exhausted",
        "How often the system had no descriptor or memory for another connection",
        Value::Health(|counters| counters.exhausted),
    ),
];

/// The text of one scrape at this moment.
pub(super) fn encode(view: &Arc<View>, clock: &Clock) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { view: Arc::clone(view), now: clock.now() }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Scrape {
    view: Arc<View>,
    now: Timestamp,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in METRICS {
            let kind = if metric.counter { MetricType::Counter } else { MetricType::Gauge };
            let encoder = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
            self.encode_values(metric, encoder)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn encode_values(&self, metric: &Metric, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Self { view, now } = self;
        match metric.value {
            Value::Process(read) => return metric.put(read(view, *now), encoder),
            Value::Health(read) => return metric.put(as_f64(read(view.tally.read())), encoder),
            _ => {}
        }
        let mut sample = |labels: &[(&str, &str)], value| metric.put(value, encoder.encode_family(&labels)?);
        if let Value::Build = metric.value {
            return sample(&[("version", &view.build.version)], 1.0);
        }
        for mirror in &view.mirrors {
            let name = ("mirror", &*mirror.name);
            let snapshot = mirror.snapshot.borrow();
            let asked = || view.checkers.asked(&mirror.name);
            match metric.value {
                Value::Build | Value::Process(_) | Value::Health(_) => {}
                Value::Mirror(read) => sample(&[name], read(&snapshot, *now))?,
                Value::Memory(read) => sample(&[name], read(&mirror.members.borrow().memory))?,
                Value::Peer(read) => {
                    for (label, member) in peers::labelled(&mirror.members.borrow().members) {
                        sample(&[name, ("peer", &label)], read(member, *now))?;
                    }
                }
                Value::PeerInfo => {
                    for (label, member) in peers::labelled(&mirror.members.borrow().members) {
                        peers::info(&mut sample, name, &label, member)?;
                    }
                }
                Value::State => sample(&[name, ("state", snapshot.verdict_at(*now).label())], 1.0)?,
                Value::Answers => {
                    sample(&[name, ("evidence", "definite")], as_f64(snapshot.counters.definite))?;
                    sample(&[name, ("evidence", "none")], as_f64(snapshot.counters.no_evidence))?;
                }
                Value::LastCheck => {
                    sample(&[name], asked().map_or(f64::NAN, |asked| asked.last.age_at(*now).as_secs_f64()))?;
                }
                Value::Checks => sample(&[name], as_f64(asked().map_or(0, |asked| asked.count)))?,
                Value::Authority => {
                    if let Some(steering) = &mirror.steering {
                        sample(&[name, ("authority", steering.authority.borrow().word())], 1.0)?;
                    }
                }
                Value::SteeringState | Value::Steering(_) | Value::Calls => {
                    for target in mirror.steering.iter().flat_map(|steering| &steering.targets) {
                        sample_target(&mut sample, metric.value, name, &target.borrow(), *now)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The values of `value` about one steering target.
fn sample_target(
    sample: &mut impl FnMut(&[(&str, &str)], f64) -> fmt::Result,
    value: Value,
    mirror: (&str, &str),
    report: &Report,
    now: Timestamp,
) -> fmt::Result {
    let target = ("target", &*report.target);
    match value {
        Value::SteeringState => sample(&[mirror, target, ("state", report.state.word())], 1.0),
        Value::Steering(read) => sample(&[mirror, target], read(report, now)),
        Value::Calls => report.calls.iter().try_for_each(|((action, result), count)| {
            sample(&[mirror, target, ("action", action), ("result", result)], as_f64(*count))
        }),
        _ => Ok(()),
    }
}

/// Seconds from the change of role to another step of a promotion.
fn since_change(timeline: &PromotionTimeline, step: Option<Timestamp>) -> f64 {
    match (timeline.role_changed, step) {
        (Some(changed), Some(step)) => changed.age_at(step).as_secs_f64(),
        (None, _) | (_, None) => f64::NAN,
    }
}

impl Metric {
    fn put(&self, value: f64, encoder: MetricEncoder<'_>) -> fmt::Result {
        if self.counter {
            ConstCounter::new(value).encode(encoder)
        } else {
            ConstGauge::new(value).encode(encoder)
        }
    }
}

const fn gauge(name: &'static str, help: &'static str, value: Value) -> Metric {
    Metric { name, counter: false, help, value }
}

const fn counter(name: &'static str, help: &'static str, value: Value) -> Metric {
    Metric { name, counter: true, help, value }
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 would need millions of years")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
