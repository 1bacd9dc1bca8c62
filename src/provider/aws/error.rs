//! The class of each error of AWS: the one table, for every call.

use std::error::Error as _;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::http::AnswerError;
use crate::steer::{CallError, Class};
use crate::text::chain;
use crate::text::printable;

/// What the message says about an answer that has a status and no code.
pub(super) const WITHOUT_CODE: &str = "without an error code";

/// The code of errors for which no credentials could be had.
pub(crate) const NO_CREDENTIALS: &str = "NoCredentials";

/// The SDK's words for that; every place in which it looked follows.
const NOT_IN_CHAIN: &str = "no credentials found in chain";

/// The SDK's words where one of the places failed, such as the instance metadata service; its error follows.
const NOT_LOADED: &str = "an error occurred while loading credentials";

/// How much of a service's message is kept, in characters.
const MESSAGE_LENGTH: usize = 300;

/// The error of one call.
pub fn call_error<E>(action: &'static str, error: &SdkError<E, HttpResponse>) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Some(service) = error.as_service_error() else {
        let message = match error {
            SdkError::TimeoutError(_) => "no answer in time".to_owned(),
            SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
                // The cause alone, without the SDK's message around it.
                Some(error) => {
                    chain(error.source().filter(|cause| cause.is::<AnswerError>()).unwrap_or(error))
                }
                None => "the request could not be sent".to_owned(),
            },
            error => chain(error),
        };
        if let Some(message) = without_credentials(&message) {
            return CallError::new(action, Class::Retry, message).with_code(Some(NO_CREDENTIALS));
        }
        // Credentials that cannot be fetched may come back by themselves, as an instance role's do.
        return CallError::new(action, Class::Retry, printable(&message, MESSAGE_LENGTH));
    };
    let code = service.code();
    let message = service.message().unwrap_or("no message");
    let status = error.raw_response().map(HttpResponse::status);
    // Only the status distinguishes a proxy's refusal from its fault.
    let refused = code.is_none() && status.is_some_and(|status| matches!(status.as_u16(), 401 | 403 | 407));
    let text = match (code, status.map(StatusCode::as_u16)) {
        (Some(code), _) => format!("{code}: {message}"),
        (None, Some(status)) if refused => {
            format!("HTTP status {status} {WITHOUT_CODE}, from wrong credentials or a proxy: {message}")
        }
        (None, Some(status)) => format!("HTTP status {status} {WITHOUT_CODE}: {message}"),
        (None, None) => message.to_owned(),
    };
    let class = match (classify(code.unwrap_or_default(), message), status) {
        // The fault is the server's, whatever the code.
        (Class::Stop, Some(status)) if status.is_server_error() => Class::Retry,
        (Class::Retry, _) if refused => Class::Stop,
        (class, _) => class,
    };
    CallError::new(action, class, printable(&text, MESSAGE_LENGTH)).with_code(code)
}

/// The message where no credentials could be had: the reason, without the list of places in which the SDK looked.
fn without_credentials(message: &str) -> Option<String> {
    const NONE: &str = "no AWS credentials found";
    if message.contains(NOT_IN_CHAIN) {
        return Some(NONE.to_owned());
    }
    let (_, why) = message.split_once(NOT_LOADED)?;
    Some(format!("{NONE}: {}", why.trim_start_matches([':', ' '])))
}

/// The class of a service's error, by its code and, where one code means two things, by its message.
pub fn classify(code: &str, message: &str) -> Class {
    match code {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "EC2ThrottledException"
        | "SlowDown"
        | "BandwidthLimitExceeded"
        | "PriorRequestNotComplete" => Class::Throttled,
        "InternalFailure"
        | "InternalError"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "Unavailable"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncorrectState" => Class::Retry,
        // A route appeared between reading and creating, or went between reading and replacing.
        "RouteAlreadyExists" | "InvalidRoute.NotFound" => Class::Observe,
        "InvalidParameterValue" if message.contains(NO_ROUTE) => Class::Observe,
        // The SDK has learned the service's time from this very answer.
        "SignatureDoesNotMatch" | "InvalidSignatureException" if is_about_time(message) => Class::Retry,
        "InvalidChangeBatch" if is_lost_swap(message) => Class::Observe,
        // No code: the answer is not the service's, such as a proxy's error page.
        "" => Class::Retry,
        _ => Class::Stop,
    }
}

/// EC2's words for a route that `ReplaceRoute` does not find: "There is no route defined for '10.99.0.1/32' in the
/// route table. Use `CreateRoute` instead." The code stands for every value that EC2 refuses.
const NO_ROUTE: &str = "There is no route defined for";

/// Route 53 refuses a batch for many reasons; these are the messages for "another client changed it meanwhile".
fn is_lost_swap(message: &str) -> bool {
    ["but it was not found", "do not match the current values", "already exists"]
        .iter()
        .any(|words| message.contains(words))
}

/// "Signature expired: 20261121T081100Z is now earlier than 20261121T090600Z (20261121T091100Z - 5 min.)" or
/// "Signature not yet current: ...": the key is right and the clock is not.
fn is_about_time(message: &str) -> bool {
    ["Signature expired", "Signature not yet current"].iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_credentials_are_reported_without_the_chain() {
        let chain = "other: the credential provider was not enabled: no credentials found in chain. Attempted: Environment";
        assert_eq!(without_credentials(chain).as_deref(), Some("no AWS credentials found"));
        let failed = "other: an error occurred while loading credentials: failed to load IMDS session token";
        let reported = "no AWS credentials found: failed to load IMDS session token";
        assert_eq!(without_credentials(failed).as_deref(), Some(reported));
        assert_eq!(without_credentials("no answer in time"), None);
    }

    #[test]
    fn a_wrong_clock_is_distinguished_from_a_wrong_key() {
        let late = "Signature expired: 20261121T081100Z is now earlier than 20261121T090600Z (20261121T091100Z - 5 min.)";
        assert_eq!(classify("SignatureDoesNotMatch", late), Class::Retry);
        let early = "Signature not yet current: 20261121T101100Z is still later than 20261121T091600Z";
        assert_eq!(classify("InvalidSignatureException", early), Class::Retry);
        assert_eq!(classify("RequestTimeTooSkewed", ""), Class::Retry);
        let wrong = "The request signature we calculated does not match the signature you provided.";
        assert_eq!(classify("SignatureDoesNotMatch", wrong), Class::Stop);
    }

    #[test]
    fn a_lost_swap_has_its_own_class() {
        let lost = "[Tried to delete resource record set [name='db.example.internal.', type='A'] but it was not found]";
        assert_eq!(classify("InvalidChangeBatch", lost), Class::Observe);
        let lost = "[Tried to delete resource record set [...] but the values provided do not match the current values]";
        assert_eq!(classify("InvalidChangeBatch", lost), Class::Observe);
        let lost = "[Tried to create resource record set [...] but it already exists]";
        assert_eq!(classify("InvalidChangeBatch", lost), Class::Observe);
        assert_eq!(classify("InvalidChangeBatch", "[Invalid TTL]"), Class::Stop);
        assert_eq!(classify("RouteAlreadyExists", ""), Class::Observe);
        assert_eq!(classify("InvalidRoute.NotFound", ""), Class::Observe);
        let gone =
            "There is no route defined for '10.99.0.1/32' in the route table. Use CreateRoute instead.";
        assert_eq!(classify("InvalidParameterValue", gone), Class::Observe);
        let wrong = "Value (10.99.0.1) for parameter destinationCidrBlock is invalid.";
        assert_eq!(classify("InvalidParameterValue", wrong), Class::Stop);
    }

    #[test]
    fn passing_errors_are_retried_and_permanent_ones_reported() {
        assert_eq!(classify("Throttling", "Rate exceeded"), Class::Throttled);
        assert_eq!(classify("PriorRequestNotComplete", ""), Class::Throttled);
        assert_eq!(classify("ExpiredToken", ""), Class::Retry);
        assert_eq!(classify("AccessDenied", ""), Class::Stop);
        assert_eq!(classify("TargetGroupNotFound", ""), Class::Stop);
        assert_eq!(classify("", "<html>502</html>"), Class::Retry);
    }
}
