//! The verdict as a metric: 1 while this member leads, 0 otherwise, from every member, over and over.
//!
//! For names in private zones: Route 53's health checks cannot reach private addresses, but one can watch a
//! CloudWatch alarm. Each member publishes under its own dimensions, each has an alarm, each alarm a health
//! check, each health check a failover or weighted record. The metric moves no traffic by itself, so every
//! role may publish its own.
//!
//! The alarm of each member, so that silence counts as *not primary*:
//!
//! | setting | value | why |
//! |---|---|---|
//! | dimensions | `Mirror`, `Member` | one alarm a member: whoever publishes says nothing about the others |
//! | statistic | `Minimum` | in the minute of a demotion the member is out, not in |
//! | period, evaluation periods | 60 s, 1 of 1 | health checks watch metrics of standard resolution only |
//! | threshold | `LessThanThreshold` 1 | |
//! | missing data | `breaching` | a daemon or a host that is dead publishes nothing |
//! | health check, insufficient data | `Unhealthy` | the same, on the side of Route 53 |
//!
//! A health check of that kind evaluates the stream of data itself, not the alarm's state. With all of them
//! unhealthy, as in the middle of a failover, Route 53 answers all the same: with the first of two failover
//! records, or as if all weighted ones were healthy.
//!
//! What was accepted last is all that is *observed*: the metric is this member's alone, and reading it back
//! would tell what was said minutes ago. A value is due when it differs from the last one or when half the
//! interval has passed: turns come when the loop makes them, and a gap above the interval is missing data.
//! It carries no time, so that the service's clock decides in which minute it counts, not this host's.
//!
//! Wire format: `PutMetricData` of the CloudWatch API reference.

use std::fmt;
use std::time::Duration;

use aws_config::{Region, SdkConfig};

use super::{CallError, Intent, Plan, Progress, Proof, Step, unidentified};
use crate::aws::Identity;
use crate::aws::query::{QueryClient, Service};
use crate::clock::Timestamp;
use crate::config::steering::{self, Value};

#[cfg(test)]
mod tests;

/// Seconds; the only resolution that Route 53 can watch.
const STORAGE_RESOLUTION: &str = "60";

/// The metric of one member of one mirror.
pub(crate) struct CloudWatch {
    namespace: String,
    metric: String,
    mirror: String,
    member: Value,
    interval: Duration,
    region: Value,
    sdk: SdkConfig,
    /// Made when the region is known.
    client: Option<QueryClient>,
    identity: Option<Identity>,
    accepted: Option<Accepted>,
}

/// What the service accepted last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    leads: bool,
    /// When it was planned, which is before it was accepted.
    at: Timestamp,
}

/// Who publishes, and what was accepted last.
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
    /// The metric of `settings` for the member's part in `mirror`. `identity` is what `"auto"` means; it is
    /// asked for at the first turn if it is not known yet.
    pub(crate) fn new(
        settings: &steering::CloudWatch,
        mirror: &str,
        identity: Option<Identity>,
        sdk: &SdkConfig,
    ) -> Self {
        Self {
            namespace: settings.namespace.clone(),
            metric: settings.metric.clone(),
            mirror: mirror.to_owned(),
            member: settings.member.clone(),
            interval: settings.interval,
            region: settings.region.clone(),
            sdk: sdk.clone(),
            client: None,
            identity,
            accepted: None,
        }
    }

    async fn identity(&mut self) -> Result<&Identity, CallError> {
        Identity::known(&mut self.identity).await.map_err(|error| unidentified(&error))
    }

    async fn member(&mut self) -> Result<String, CallError> {
        match &self.member {
            Value::Is(member) => Ok(member.clone()),
            Value::Auto => Ok(self.identity().await?.instance_id.clone()),
        }
    }

    async fn client(&mut self) -> Result<QueryClient, CallError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let region = match &self.region {
            Value::Is(region) => region.clone(),
            Value::Auto => self.identity().await?.region.clone(),
        };
        let sdk = self.sdk.to_builder().region(Region::new(region)).build();
        Ok(self.client.insert(QueryClient::new(&sdk, Service::CloudWatch)).clone())
    }
}

impl super::Target for CloudWatch {
    type Observed = Observed;
    type Step = Publish;

    fn pace(&self) -> Option<Duration> {
        Some(self.interval)
    }

    async fn observe(&mut self) -> Result<Observed, CallError> {
        Ok(Observed { member: self.member().await?, accepted: self.accepted })
    }

    fn plan(&self, intent: &Intent, observed: &Observed, now: Timestamp) -> Plan<Publish> {
        let leads = match intent {
            Intent::Lead { .. } => true,
            Intent::Follow | Intent::Hold { .. } => false,
        };
        let fresh = observed
            .accepted
            .is_some_and(|accepted| accepted.leads == leads && accepted.at.age_at(now) < self.interval / 2);
        let publish = || Publish {
            namespace: self.namespace.clone(),
            metric: self.metric.clone(),
            mirror: self.mirror.clone(),
            member: observed.member.clone(),
            leads,
            at: now,
        };
        let steps = if fresh { Vec::new() } else { vec![publish()] };
        Plan { steps, then: Progress::Fulfilled }
    }

    async fn apply(&mut self, step: &Publish, _proof: Proof<'_>) -> Result<(), CallError> {
        // Whatever becomes of the call, what was accepted before is not the newest any more: of a call that
        // failed nobody knows whether it arrived.
        self.accepted = None;
        // One attempt: the next one carries the verdict of its own moment.
        self.client().await?.call_once(Publish::ACTION, &step.parameters()).await?;
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
