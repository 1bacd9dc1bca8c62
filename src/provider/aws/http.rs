//! The HTTP client under everything that speaks through the AWS SDK: services, providers of credentials, instance
//! metadata. It bounds every answer, whatever program gives it.
//!
//! The SDK has none: it reads an answer to its end and hands it to a parser, so that an endpoint, or a program in its
//! place, could use up the machine's memory or a core. Here an answer is read whole before the SDK sees it:
//!
//! | bound | of what | beyond it |
//! |---|---|---|
//! | [`LARGEST_ANSWER`] | the body | the call fails with the cause, and is not sent again at once |
//! | the read deadline, which the SDK applies to heads only | head and body together | the call fails as with any silence |
//! | what [`markup`] counts | the body, before any parser sees it | the call fails with the cause; of a refusal the status is kept |
//! | hyper's own: 100 fields, 400 KiB | the head | the connection ends |

use std::time::Duration;

use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http_body_util::{BodyExt as _, Collected, LengthLimitError, Limited};
use hyper::Uri;
use tokio::time::{Instant, timeout_at};

use super::{POOL_IDLE_TIMEOUT, READ_TIMEOUT};

mod markup;
#[cfg(test)]
mod tests;

/// How long an answer may be. A target group with every target that AWS allows by default is described in 400 KiB, a
/// route table with every route in 200.
pub(super) const LARGEST_ANSWER: usize = 1024 * 1024;

/// What the message says about an answer that no service of AWS gives.
pub(super) const FOREIGN: &str = "which is none of AWS's answers";

/// How much is kept of a refusal that no parser may see: enough to recognise it.
const EXCERPT: usize = 512;

/// Why an answer cannot be used. The caller's message names the call.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// It is longer than the bound, or endless.
    #[error("{0} answered more than {LARGEST_ANSWER} bytes, {FOREIGN}")]
    TooLong(String),
    /// It began in time and did not end in time.
    #[error("{0} did not end its answer within {1:?}")]
    TooSlow(String, Duration),
    /// It has more markup than a parser may see.
    #[error("{0} answered with {1}, {FOREIGN}")]
    Markup(String, markup::Excess),
    /// The connection broke.
    #[error("the answer of {0} broke off")]
    BrokenOff(String, #[source] BoxError),
}

/// The client of services and of providers of credentials.
pub(super) fn client() -> SharedHttpClient {
    let inner = aws_smithy_http_client::Builder::new()
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    SharedHttpClient::new(Bounded { inner })
}

/// The client of the instance metadata service, without TLS: it is on the link.
pub(super) fn plain_client() -> SharedHttpClient {
    SharedHttpClient::new(Bounded { inner: aws_smithy_http_client::Builder::new().build_http() })
}

/// A client whose answers are bounded.
#[derive(Debug)]
struct Bounded {
    inner: SharedHttpClient,
}

#[derive(Debug)]
struct BoundedConnector {
    inner: SharedHttpConnector,
    timeout: Duration,
}

// === impl Bounded ===

impl HttpClient for Bounded {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        // The inner client keeps its connectors, and with them its connections.
        let inner = self.inner.http_connector(settings, components);
        let timeout = settings.read_timeout().unwrap_or(READ_TIMEOUT);
        SharedHttpConnector::new(BoundedConnector { inner, timeout })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        settings: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_base_client_config(components, settings)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        settings: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_final_config(components, settings)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

// === impl BoundedConnector ===

impl HttpConnector for BoundedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (deadline, timeout) = (Instant::now() + self.timeout, self.timeout);
        let host = host(request.uri());
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let mut answer = answer.await?;
            let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
            match timeout_at(deadline, read(body, &host)).await {
                Ok(body) => bound(answer, body?, host),
                Err(_elapsed) => Err(ConnectorError::timeout(AnswerError::TooSlow(host, timeout).into())),
            }
        })
    }
}

/// Reads as much as an answer may have.
async fn read(body: SdkBody, host: &str) -> Result<hyper::body::Bytes, ConnectorError> {
    let read = Limited::new(body, LARGEST_ANSWER).collect().await;
    read.map(Collected::to_bytes).map_err(|error| {
        let host = host.to_owned();
        if error.is::<LengthLimitError>() {
            // A kind that the SDK does not repeat: the next answer would be the same.
            ConnectorError::other(AnswerError::TooLong(host).into(), None)
        } else {
            ConnectorError::io(AnswerError::BrokenOff(host, error).into())
        }
    })
}

/// The answer with its body, if that may be given to a parser.
fn bound(
    mut answer: HttpResponse,
    mut body: hyper::body::Bytes,
    host: String,
) -> Result<HttpResponse, ConnectorError> {
    if let Err(excess) = markup::measure(&body) {
        if answer.status().is_success() {
            return Err(ConnectorError::other(AnswerError::Markup(host, excess).into(), None));
        }
        // A proxy's page, most likely. Its status decides what to do, and a text of this length harms no parser.
        body.truncate(EXCERPT);
        answer.headers_mut().remove("content-length");
    }
    *answer.body_mut() = SdkBody::from(body);
    Ok(answer)
}

/// The host and port of an address, without anything else that it may contain.
fn host(url: &str) -> String {
    let url = url.parse::<Uri>().ok();
    let host = url.as_ref().and_then(|url| Some((url.host()?, url.port_u16())));
    match host {
        Some((host, Some(port))) => format!("{host}:{port}"),
        Some((host, None)) => host.to_owned(),
        None => "the endpoint".to_owned(),
    }
}
