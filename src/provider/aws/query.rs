//! The AWS Query protocol, which most services speak.
//!
//! Wire format: a `POST /` of `Action=...&Version=...&...`, as *Making API requests* of each service's API reference says.
//! Lists are numbered parameters (`Targets.member.1.Id`). EC2's variant differs in how it writes lists and errors.

use aws_config::SdkConfig;

use super::client::{Attempts, Client, Request, encode};
pub use super::client::{Service, Xml};
use crate::steer::{CallError, Class};

/// The security token service.
pub(super) const SERVICE: Service =
    Service { prefix: "sts", version: "2011-06-15", id: "STS", is_global: false };

/// A client of one service in one region. Cheap to clone; shares the connections of its [`SdkConfig`].
#[derive(Clone, Debug)]
pub struct QueryClient(Client);

/// Whose credentials these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// The account's number.
    pub account: String,
    /// The user or the assumed role.
    pub arn: String,
}

/// Asks whose credentials `sdk` uses. The call needs no right, so it separates missing credentials from missing rights.
pub async fn caller_identity(sdk: &SdkConfig) -> Result<CallerIdentity, CallError> {
    const ACTION: &str = "GetCallerIdentity";
    let answer = QueryClient::new(sdk, SERVICE).read(ACTION, &[]).await?;
    let text = |name| answer.text_of(name).map(str::to_owned);
    match (text("Account"), text("Arn")) {
        (Some(account), Some(arn)) => Ok(CallerIdentity { account, arn }),
        _ => Err(CallError::new(ACTION, Class::Retry, "the answer has no account or no ARN")),
    }
}

// === impl QueryClient ===

impl QueryClient {
    /// A client of `service` in the region of `sdk`, with its credentials, connections, deadlines, attempts
    /// and endpoints. Sends nothing.
    pub fn new(sdk: &SdkConfig, service: Service) -> Self {
        Self(Client::new(sdk, service))
    }

    /// Calls `action` with `parameters`, without the protocol's own (`Action`, `Version`), and gives the
    /// root of the answer. Takes [`OPERATION_TIMEOUT`](super::OPERATION_TIMEOUT) at most, attempts included.
    pub async fn call(
        &self,
        action: &'static str,
        parameters: &[(String, String)],
    ) -> Result<Xml, CallError> {
        self.send(Attempts::Repeated, action, parameters).await
    }

    /// The same, and gives the element `ActionResult` in which every service but EC2 puts what it answers to a read. An
    /// answer without it is an error, not an empty list.
    pub async fn read(
        &self,
        action: &'static str,
        parameters: &[(String, String)],
    ) -> Result<Xml, CallError> {
        let answer = self.call(action, parameters).await?.into_child(&format!("{action}Result"));
        answer.ok_or_else(|| CallError::new(action, Class::Retry, "the answer has no result"))
    }

    /// [`call`](Self::call) in [one attempt](super::single_attempt).
    pub async fn call_once(
        &self,
        action: &'static str,
        parameters: &[(String, String)],
    ) -> Result<Xml, CallError> {
        self.send(Attempts::Single, action, parameters).await
    }

    async fn send(
        &self,
        attempts: Attempts,
        action: &'static str,
        parameters: &[(String, String)],
    ) -> Result<Xml, CallError> {
        let form = form(action, self.0.service().version, parameters);
        let body = Some(("application/x-www-form-urlencoded", form));
        self.0.send(attempts, action, Request { method: "POST", target: "/".to_owned(), body }).await
    }
}

/// `Action=...&Version=...` and the parameters, as `application/x-www-form-urlencoded`.
fn form(action: &str, version: &str, parameters: &[(String, String)]) -> String {
    let mut form = String::new();
    let own = [("Action", action), ("Version", version)];
    for (key, value) in
        own.into_iter().chain(parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    {
        if !form.is_empty() {
            form.push('&');
        }
        encode(key, &mut form);
        form.push('=');
        encode(value, &mut form);
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_escapes_reserved_characters() {
        let parameters = [("Name.1".to_owned(), "a b&c=d+e%/~ü\n".to_owned())];
        assert_eq!(
            form("Do", "1", &parameters),
            "Action=Do&Version=1&Name.1=a%20b%26c%3Dd%2Be%25%2F~%C3%BC%0A"
        );
    }
}
