//! This member's identity from the instance metadata service: what `"auto"` means.
//!
//! Version 2 only: a token first, then the questions. With a hop limit of 1 the token does not reach a container. That
//! looks like silence, so the error says what to do.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::imds;
use aws_config::provider_config::ProviderConfig;

use crate::config::steering::Value;
use crate::steer::{CallError, Class};
use crate::text::printable;

/// How long the service may take to connect, and to answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What the instance metadata service reports about this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `i-...`
    pub instance_id: String,
    /// The primary private IPv4 address.
    pub address: String,
    /// Such as `eu-west-1`.
    pub region: String,
}

/// Why the identity is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ask the instance metadata service for {path}: {reason}")]
pub struct IdentityError {
    path: &'static str,
    reason: String,
}

/// This member's identity, fetched once when it is first needed. Clones share the answer, which never changes in the life
/// of an instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Me(Arc<OnceLock<Identity>>);

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

    /// Asks for the primary network interface, `eni-...`: what a route leads to. Takes a few seconds at most.
    pub async fn ask_network_interface() -> Result<String, IdentityError> {
        network_interface(&client().build()).await
    }
}

impl Me {
    /// The identity, fetched if necessary: takes a few seconds at most.
    pub(crate) async fn get(&self) -> Result<&Identity, IdentityError> {
        if let Some(known) = self.0.get() {
            return Ok(known);
        }
        let asked = Identity::ask().await?;
        Ok(self.0.get_or_init(|| asked))
    }

    /// The value, or this member's instance id for an automatic one.
    pub(crate) async fn instance_id(&self, value: &Value) -> Result<String, CallError> {
        match value {
            Value::Is(id) => Ok(id.clone()),
            Value::Auto => {
                let identity = self.get().await.map_err(|error| unidentified(&error))?;
                Ok(identity.instance_id.clone())
            }
        }
    }
}

#[cfg(test)]
impl From<Identity> for Me {
    fn from(identity: Identity) -> Self {
        Self(Arc::new(identity.into()))
    }
}

impl IdentityError {
    /// How to correct it, in full sentences.
    pub fn help(&self) -> &'static str {
        "Outside AWS, write the value where the configuration says \"auto\". In a container, the instance's metadata hop limit \
         must be 2: `aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2`."
    }
}

/// The error of a call that needs an `"auto"` which is not known.
pub(super) fn unidentified(error: &IdentityError) -> CallError {
    CallError::new("instance metadata", Class::Retry, format!("{error}. {}", error.help()))
}

/// Plain HTTP with a client of its own: the service is on the link.
pub(super) fn client() -> imds::client::Builder {
    imds::Client::builder()
        .configure(&ProviderConfig::without_region().with_http_client(super::http::plain_client()))
        .max_attempts(2)
        .connect_timeout(TIMEOUT)
        .read_timeout(TIMEOUT)
        .operation_attempt_timeout(TIMEOUT * 2)
        .operation_timeout(TIMEOUT * 4)
}

/// The answer to `path`; errors show the path as `shown`.
async fn get(client: &imds::Client, path: &str, shown: &'static str) -> Result<String, IdentityError> {
    let answer = client.get(path).await;
    answer
        .map(|value| value.as_ref().to_owned())
        .map_err(|error| IdentityError { path: shown, reason: printable(&crate::text::chain(&error), 200) })
}

/// Interfaces are listed by their hardware addresses; the instance's own is that of the primary one.
async fn network_interface(client: &imds::Client) -> Result<String, IdentityError> {
    const MAC: &str = "/latest/meta-data/mac";
    const INTERFACE: &str = "/latest/meta-data/network/interfaces/macs/MAC/interface-id";
    let unlike =
        |path, what: &str| IdentityError { path, reason: format!("invalid: {}", printable(what, 60)) };
    let mac = get(client, MAC, MAC).await?;
    // It becomes part of a path.
    if mac.is_empty() || !mac.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':') {
        return Err(unlike(MAC, &mac));
    }
    let interface = get(client, &INTERFACE.replace("MAC", &mac), INTERFACE).await?;
    if interface.starts_with("eni-") { Ok(interface) } else { Err(unlike(INTERFACE, &interface)) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    /// A metadata service, version 2: nothing without its token. `answers` maps paths to values.
    async fn serve(listener: TcpListener, answers: Arc<Vec<(&'static str, &'static str)>>) {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let answers = Arc::clone(&answers);
            connections.spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|n| n > 0) {}
                let head = String::from_utf8_lossy(&head).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default();
                let known = answers.iter().find(|(known, _)| *known == path).map(|(_, value)| *value);
                let (status, body) = match known {
                    _ if head.starts_with("PUT /latest/api/token ") => ("200 OK", "TOKEN"),
                    _ if !head.contains("x-aws-ec2-metadata-token: TOKEN") => ("401 Unauthorized", ""),
                    Some(value) => ("200 OK", value),
                    None => ("404 Not Found", ""),
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                // A client that went away is a test's business.
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    }

    async fn interface(answers: Vec<(&'static str, &'static str)>) -> Result<String, IdentityError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::new(answers)));
        let client = client().endpoint(format!("http://{address}")).expect("an address is an endpoint");
        network_interface(&client.build()).await
    }

    #[tokio::test]
    async fn the_network_interface_is_found_by_the_hardware_address() {
        const INTERFACE: &str = "/latest/meta-data/network/interfaces/macs/0e:49:61:0f:c3:11/interface-id";
        let told = interface(vec![
            ("/latest/meta-data/mac", "0e:49:61:0f:c3:11"),
            (INTERFACE, "eni-0123456789abcdef0"),
        ]);
        assert_eq!(told.await.expect("it is known"), "eni-0123456789abcdef0");

        let error = interface(vec![("/latest/meta-data/mac", "0e:49:61:0f:c3:11")]).await;
        assert!(error.expect_err("it is unknown").to_string().contains("interface-id"));
    }

    #[tokio::test]
    async fn what_is_no_hardware_address_and_no_interface_is_refused() {
        let mac = interface(vec![("/latest/meta-data/mac", "../../user-data")]).await;
        assert!(mac.expect_err("it would be a path").to_string().contains("/mac: invalid"));
        let path = "/latest/meta-data/network/interfaces/macs/0e/interface-id";
        let other = interface(vec![("/latest/meta-data/mac", "0e"), (path, "<html>")]).await;
        assert!(other.expect_err("it is no interface").to_string().contains("invalid: <html>"));
    }
}
