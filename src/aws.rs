//! The AWS SDK as this daemon uses it: one HTTP client, short deadlines, warm connections and credentials.
//!
//! The SDK has no deadlines by default: against a peer that accepts and never answers it hangs for minutes.
//! The ones here bound every call to [`OPERATION_TIMEOUT`], its retries included. It has no bounds for answers
//! either; those are the HTTP client's (`http`). Connections are pooled by the deadlines of the call, so reads
//! and writes share theirs, and a drift check keeps the connection warm that the next write uses. Credentials are renewed ten minutes before they end, so that a failover does
//! not wait for them. Endpoints follow `AWS_ENDPOINT_URL` and its siblings, as everything of AWS does.

use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

pub mod arn;
pub mod error;
#[cfg(test)]
#[path = "../tests/support/flood.rs"]
pub(crate) mod flood;
pub(crate) mod help;
mod http;
pub mod identity;
pub mod query;
pub(crate) mod region;
pub(crate) mod session;
#[cfg(test)]
#[path = "../tests/support/aws.rs"]
pub(crate) mod wire;

pub use identity::{Identity, IdentityError};

/// A connection within a region takes milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an answer may take, from the request to the last byte of its body.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// One attempt, with connecting and signing.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2_500);
/// One call with the SDK's own retries. The loop's retries come on top, each with a proof of its own.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);
/// The SDK's own attempts: what is left to the loop is what lasts longer.
const ATTEMPTS: u32 = 3;
/// Below the 60 s after which the services' front ends close idle connections, above the
/// drift checks' pace, unless the configuration slows that down.
pub(crate) const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// How long before their end credentials are renewed.
const CREDENTIALS_BUFFER: Duration = Duration::from_secs(600);

/// The configuration from which every service's client is made. Asks nobody: credentials are fetched at the
/// first call.
pub async fn sdk_config(region: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .http_client(http::client())
        .timeout_config(timeouts())
        .retry_config(retries())
        .identity_cache(IdentityCache::lazy().buffer_time(CREDENTIALS_BUFFER).build())
        .load()
        .await
}

/// One attempt a call: for writes that move traffic. Each attempt needs a proof that the member is the primary at
/// that moment, and the SDK asks for none.
///
/// An override for the call, not a client of its own: a client learns from each answer by how much its clock
/// differs from the service's. One that only writes would learn that from the refusal of its first write.
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
