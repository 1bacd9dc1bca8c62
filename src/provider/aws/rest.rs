//! The REST XML protocol: Route 53.
//!
//! Wire format: `GET` with parameters in the query, `POST` of an XML document, below a path that begins with the API's
//! version; *Making API requests* in the Route 53 API Reference. The answer's root is called `ActionResponse`.

use aws_config::SdkConfig;

use super::client::{Attempts, Client, Request, Service, Xml, encode};
use crate::steer::{CallError, Class};

/// A client of one service. Cheap to clone; shares the connections of its [`SdkConfig`].
#[derive(Clone, Debug)]
pub(super) struct RestClient(Client);

// === impl RestClient ===

impl RestClient {
    /// A client of `service` in the partition of `sdk`'s region, with its credentials, connections, deadlines, attempts
    /// and endpoints. Sends nothing.
    pub(super) fn new(sdk: &SdkConfig, service: Service) -> Self {
        Self(Client::new(sdk, service))
    }

    /// Reads what is at `path`, whose parts are not escaped yet.
    pub(super) async fn get(
        &self,
        action: &'static str,
        path: &[&str],
        parameters: &[(&str, &str)],
    ) -> Result<Xml, CallError> {
        let mut target = self.target(path);
        for (index, (key, value)) in parameters.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(key);
            target.push('=');
            encode(value, &mut target);
        }
        self.send(Attempts::Repeated, action, Request { method: "GET", target, body: None }).await
    }

    /// Sends `document` to `path`, in [one attempt](super::single_attempt).
    pub(super) async fn post_once(
        &self,
        action: &'static str,
        path: &[&str],
        document: &Xml,
    ) -> Result<Xml, CallError> {
        let version = self.0.service().version;
        let namespace = format!("https://{}.amazonaws.com/doc/{version}/", self.0.service().prefix);
        let body = Some(("application/xml", document.to_document(&namespace)));
        self.send(Attempts::Single, action, Request { method: "POST", target: self.target(path), body }).await
    }

    fn target(&self, path: &[&str]) -> String {
        let mut target = String::new();
        for part in [self.0.service().version].iter().chain(path) {
            target.push('/');
            encode(part, &mut target);
        }
        target
    }

    async fn send(
        &self,
        attempts: Attempts,
        action: &'static str,
        request: Request,
    ) -> Result<Xml, CallError> {
        let answer = self.0.send(attempts, action, request).await?;
        if answer.name().strip_suffix("Response") == Some(action) {
            return Ok(answer);
        }
        Err(CallError::new(action, Class::Retry, "the answer belongs to another call"))
    }
}
