//! The verdict as a metric: 1 while this member leads, 0 otherwise, published regularly by every member.
//!
//! For names in private zones: Route 53's health checks cannot reach private addresses, but one can watch a CloudWatch
//! alarm. Each member publishes under its own dimensions and has an alarm, each alarm a health check, each health check
//! a failover or weighted record. The metric moves no traffic by itself, so it is published in any role.
//!
//! The alarm of each member, so that silence counts as *not primary*:
//!
//! | setting | value | why |
//! |---|---|---|
//! | dimensions | `Mirror`, `Member` | one alarm per member: a metric says nothing about other members |
//! | statistic | `Minimum` | in the minute of a demotion the member is out, not in |
//! | period, evaluation periods | 60 s, 1 of 1 | health checks watch metrics of standard resolution only |
//! | threshold | `LessThanThreshold` 1 | |
//! | missing data | `breaching` | a daemon or a host that is dead publishes nothing |
//! | health check, insufficient data | `Unhealthy` | the same, on the side of Route 53 |
//!
//! Such a health check evaluates the metric's data itself, not the alarm's state. When all are unhealthy, as in the middle
//! of a failover, Route 53 still answers: with the first of two failover records, or as if all weighted ones were healthy.
//!
//! The loop *observes* only the last accepted value: no other writer publishes this metric, and reading it back would
//! show values from minutes ago. A value is due when it differs from the last one or when half the interval has passed,
//! because a gap above the interval is missing data. It carries no time, so that the service's clock decides in which
//! minute it counts, not this host's.
//!
//! Wire format: `PutMetricData` of the CloudWatch API reference.

use std::fmt;
use std::time::Duration;

use aws_config::SdkConfig;

use crate::clock::Timestamp;
use crate::provider::aws::identity::Me;
use crate::provider::aws::query::{QueryClient, Service};
use crate::steer::{Authorized, CallError, Intent, Plan, Progress, Step};

mod check;
mod kind;
mod table;
#[cfg(test)]
mod tests;

pub use table::Table;

/// Amazon CloudWatch.
pub(super) const SERVICE: Service =
    Service { prefix: "monitoring", version: "2010-08-01", id: "CloudWatch", is_global: false };

/// Seconds; the only resolution that Route 53 can watch.
const STORAGE_RESOLUTION: &str = "60";

/// The metric of one member of one mirror.
pub(crate) struct CloudWatch {
    settings: Table,
    mirror: String,
    client: QueryClient,
    identity: Me,
    accepted: Option<Accepted>,
}

/// What the service accepted last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    leads: bool,
    /// When it was planned, which is before it was accepted.
    at: Timestamp,
}

/// The member that publishes, and what was accepted last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    /// The value of the dimension `Member`.
    member: String,
    /// `None` before the first.
    accepted: Option<Accepted>,
}

/// `PutMetricData`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    namespace: String,
    metric: String,
    mirror: String,
    member: String,
    leads: bool,
    at: Timestamp,
}

impl CloudWatch {
    /// The metric of `settings` for `mirror`. `identity` resolves `"auto"`.
    pub(crate) fn new(settings: &Table, mirror: &str, identity: Me, sdk: &SdkConfig) -> Self {
        Self {
            settings: settings.clone(),
            mirror: mirror.to_owned(),
            client: QueryClient::new(sdk, SERVICE),
            identity,
            accepted: None,
        }
    }
}

impl crate::steer::Target for CloudWatch {
    type Observed = Observed;
    type Step = Publish;

    fn pace(&self) -> Option<Duration> {
        Some(self.settings.interval)
    }

    async fn observe(&mut self) -> Result<Observed, CallError> {
        let member = self.identity.instance_id(&self.settings.member).await?;
        Ok(Observed { member, accepted: self.accepted })
    }

    fn plan(&self, intent: &Intent, observed: &Observed, now: Timestamp) -> Plan<Publish> {
        let Table { namespace, metric, interval, .. } = &self.settings;
        let leads = matches!(intent, Intent::Lead { .. });
        let fresh = observed
            .accepted
            .is_some_and(|accepted| accepted.leads == leads && accepted.at.age_at(now) < *interval / 2);
        let publish = || Publish {
            namespace: namespace.clone(),
            metric: metric.clone(),
            mirror: self.mirror.clone(),
            member: observed.member.clone(),
            leads,
            at: now,
        };
        let steps = if fresh { Vec::new() } else { vec![publish()] };
        Plan { steps, then: Progress::Fulfilled }
    }

    async fn apply(&mut self, step: Authorized<'_, Publish>) -> Result<(), CallError> {
        // A failed call may have arrived all the same, so the value before it is not the newest in any case.
        self.accepted = None;
        // One attempt: the next one carries its own verdict.
        self.client.call_once(Publish::ACTION, &step.parameters()).await?;
        self.accepted = Some(Accepted { leads: step.leads, at: step.at });
        Ok(())
    }
}

// === impl Publish ===

impl Publish {
    const ACTION: &'static str = "PutMetricData";

    fn parameters(&self) -> Vec<(String, String)> {
        const DATUM: &str = "MetricData.member.1";
        let dimension = |n: u8, name: &str, value: &str| {
            let dimension = format!("{DATUM}.Dimensions.member.{n}");
            [(format!("{dimension}.Name"), name.to_owned()), (format!("{dimension}.Value"), value.to_owned())]
        };
        let mut parameters = vec![
            ("Namespace".to_owned(), self.namespace.clone()),
            (format!("{DATUM}.MetricName"), self.metric.clone()),
            (format!("{DATUM}.Value"), self.value().to_string()),
            (format!("{DATUM}.StorageResolution"), STORAGE_RESOLUTION.to_owned()),
        ];
        parameters.extend(dimension(1, "Mirror", &self.mirror));
        parameters.extend(dimension(2, "Member", &self.member));
        parameters
    }

    fn value(&self) -> u8 {
        u8::from(self.leads)
    }
}

impl Step for Publish {
    fn moves_traffic(&self) -> bool {
        false
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, metric, mirror, member, leads: _, at: _ } = self;
        write!(
            f,
            "{} Namespace={namespace} MetricData=[{{MetricName={metric}, Dimensions=[{{Mirror={mirror}}}, \
             {{Member={member}}}], Value={}, StorageResolution={STORAGE_RESOLUTION}}}]",
            Self::ACTION,
            self.value()
        )
    }
}
