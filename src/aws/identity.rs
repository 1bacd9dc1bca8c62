//! Who this member is, as the instance metadata service tells: what `"auto"` means.
//!
//! Version 2 only: a token first, then the questions. A hop limit of 1 keeps the token's answer from a
//! container: that looks like silence, so the error says what to do.

use std::time::Duration;

use aws_config::imds;

use crate::observation::printable;

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
        let client = client().build();
        let get = async |path: &'static str| get(&client, path, path).await;
        Ok(Self {
            instance_id: get("/latest/meta-data/instance-id").await?,
            address: get("/latest/meta-data/local-ipv4").await?,
            region: get("/latest/meta-data/placement/region").await?,
        })
    }

    /// What `known` holds; if that is nothing, what the service tells, which `known` holds from then on.
    pub(crate) async fn known(known: &mut Option<Self>) -> Result<&Self, IdentityError> {
        match known {
            Some(identity) => Ok(identity),
            None => Ok(known.insert(Self::ask().await?)),
        }
    }

    /// Asks for the primary network interface, `eni-...`: what a route leads to. Takes a few seconds at most.
    pub async fn ask_network_interface() -> Result<String, IdentityError> {
        network_interface(&client().build()).await
    }
}

impl IdentityError {
    /// How to mend it: full sentences.
    pub fn help(&self) -> &'static str {
        "Outside AWS, write the value where the configuration says \"auto\". In a container, the instance's metadata hop limit \
         must be 2: `aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2`."
    }
}

fn client() -> imds::client::Builder {
    imds::Client::builder()
        .max_attempts(2)
        .connect_timeout(TIMEOUT)
        .read_timeout(TIMEOUT)
        .operation_attempt_timeout(TIMEOUT * 2)
        .operation_timeout(TIMEOUT * 4)
}

/// The answer to `path`; `shown` is the path as an error tells it.
async fn get(client: &imds::Client, path: &str, shown: &'static str) -> Result<String, IdentityError> {
    let answer = client.get(path).await;
    answer
        .map(|value| value.as_ref().to_owned())
        .map_err(|error| IdentityError { path: shown, reason: printable(&crate::check::chain(&error), 200) })
}

/// Interfaces are listed by their hardware addresses; the instance's own is that of the primary one.
async fn network_interface(client: &imds::Client) -> Result<String, IdentityError> {
    const MAC: &str = "/latest/meta-data/mac";
    const INTERFACE: &str = "/latest/meta-data/network/interfaces/macs/MAC/interface-id";
    let unlike =
        |path, what: &str| IdentityError { path, reason: format!("unlike one: {}", printable(what, 60)) };
    let mac = get(client, MAC, MAC).await?;
    // It goes into a path.
    if mac.is_empty() || !mac.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':') {
        return Err(unlike(MAC, &mac));
    }
    let interface = get(client, &INTERFACE.replace("MAC", &mac), INTERFACE).await?;
    if interface.starts_with("eni-") { Ok(interface) } else { Err(unlike(INTERFACE, &interface)) }
}
