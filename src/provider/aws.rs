//! The AWS SDK as this daemon uses it: one HTTP client, short deadlines, warm connections and credentials.
//!
//! The SDK has no deadlines by default: a server that accepts and never answers makes it hang for minutes. The deadlines
//! here bound every call to [`OPERATION_TIMEOUT`], its retries included. It does not limit answers either; the HTTP
//! client (`http`) does. The SDK pools connections by the deadlines of the call. Reads and writes have the same, so a
//! drift check keeps the connection of the next write warm. Credentials are renewed ten minutes before they expire, so
//! that a failover does not wait for them. Endpoints follow `AWS_ENDPOINT_URL` and its siblings. Only the SDK's runtime is
//! used, none of its crates for services: `client` says why, [`query`] and `rest` are the protocols.

use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

pub mod arn;
pub mod check;
pub mod classic_elb;
mod client;
pub mod cloudwatch;
pub mod elbv2;
pub mod error;
pub(crate) mod help;
mod http;
pub mod identity;
pub mod query;
pub(crate) mod region;
mod rest;
pub mod rights;
pub mod route;
pub mod route53;
pub(crate) mod session;
mod start;
pub(crate) mod value;
#[cfg(test)]
#[path = "../../tests/support/aws.rs"]
pub(crate) mod wire;

pub use identity::{Identity, IdentityError};

use self::identity::Me;
use self::region::Region;
use super::{Cloud, Table};
use crate::config::steering::Value;

/// A connection within a region takes milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an answer may take, from the request to the last byte of its body.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// One attempt, with connecting and signing.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2_500);
/// One call with the SDK's own retries. The loop's retries come on top, each with its own write authorization.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);
/// The SDK's own attempts; the loop retries after longer faults.
const ATTEMPTS: u32 = 3;
/// Below the 60 s after which the services' front ends close idle connections, above the
/// drift checks' pace, unless the configuration slows that down.
pub(crate) const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// How long before they expire credentials are renewed.
const CREDENTIALS_BUFFER: Duration = Duration::from_secs(600);

/// What a steering table needs to know of AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The region of its service.
    pub(crate) at: Where,
    /// Whether it needs the instance metadata service for an `"auto"`.
    pub(crate) identity: bool,
    /// Whether its object is read at each drift check.
    pub(crate) is_read: bool,
}

/// The region in which to call a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// In this region; automatic: in the instance's own.
    Region(Value<Region>),
    /// In any region of the partition: the service has none of its own. See [`region`].
    Anywhere,
}

/// Where this member runs, resolved once and passed to every loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Here {
    /// The region that some table of the configuration names.
    pub(crate) told: Option<Region>,
    /// This member's identity.
    pub(crate) me: Me,
}

/// What the AWS tables among `tables` need.
pub(crate) fn places<'a>(tables: impl IntoIterator<Item = &'a Table>) -> impl Iterator<Item = Place> {
    tables.into_iter().filter_map(|table| match table.kind().cloud() {
        Cloud::Aws(place) => Some(place),
        Cloud::None => None,
    })
}

/// The configuration of every service's client. Makes no request: credentials are fetched at the first call.
pub async fn sdk_config(region: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .region(aws_config::Region::new(region.to_owned()))
        .http_client(http::client())
        .timeout_config(timeouts())
        .retry_config(retries())
        .identity_cache(IdentityCache::lazy().buffer_time(CREDENTIALS_BUFFER).build())
        .load()
        .await
}

/// One attempt per call: for writes that move traffic. Each attempt needs its own write authorization, which the SDK's
/// retries would skip.
///
/// An override for the call, not a separate client: a client learns its clock's skew from each answer, and one that only
/// writes would learn it from the refusal of its first write.
pub fn single_attempt() -> RetryConfig {
    RetryConfig::disabled()
}

/// The deadlines of every call.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

/// The SDK's own attempts within one call.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(Duration::from_millis(100))
        .with_max_backoff(Duration::from_secs(1))
}
