//! Who this member is, as the instance metadata service tells: what `"auto"` means.
//!
//! Version 2 only: a token first, then the questions. A hop limit of 1 keeps the token's answer from a
//! container: that looks like silence, so the error says what to do.

use std::time::Duration;

use aws_config::imds;

/// How long the service may take to connect, and to answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What the instance metadata service says of this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `i-...`
    pub instance_id: String,
    /// The primary private IPv4 address.
    pub address: String,
    /// Such as `eu-west-1`.
    pub region: String,
}

/// Why it is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ask the instance metadata service for {path}: {reason}")]
pub struct IdentityError {
    path: &'static str,
    reason: String,
}

impl Identity {
    /// Asks; a few seconds at most.
    pub async fn ask() -> Result<Self, IdentityError> {
        let client = imds::Client::builder()
            .max_attempts(2)
            .connect_timeout(TIMEOUT)
            .read_timeout(TIMEOUT)
            .operation_attempt_timeout(TIMEOUT * 2)
            .operation_timeout(TIMEOUT * 4)
            .build();
        let get = async |path: &'static str| {
            let answer = client.get(path).await;
            answer.map(|value| value.as_ref().to_owned()).map_err(|error| IdentityError {
                path,
                reason: crate::observation::printable(&crate::check::chain(&error), 200),
            })
        };
        Ok(Self {
            instance_id: get("/latest/meta-data/instance-id").await?,
            address: get("/latest/meta-data/local-ipv4").await?,
            region: get("/latest/meta-data/placement/region").await?,
        })
    }
}

impl IdentityError {
    /// Nobody has asked for it yet.
    pub(crate) fn not_asked() -> Self {
        Self { path: "/", reason: "it was not asked".to_owned() }
    }

    /// How to mend it: full sentences.
    pub fn help(&self) -> &'static str {
        "Outside AWS, write the value where the configuration says \"auto\". In a container, the instance's metadata hop limit \
         must be 2: `aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2`."
    }
}
