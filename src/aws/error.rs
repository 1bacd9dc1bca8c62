//! Which class an error of AWS is: the one table, for the SDK's operations and for our own.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::check::chain;
use crate::observation::printable;
use crate::steer::{CallError, Class};

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
                Some(error) => chain(error),
                None => "the request could not be sent".to_owned(),
            },
            error => chain(error),
        };
        // Credentials that cannot be fetched may come back by themselves, as an instance role's do.
        return CallError::new(action, Class::Retry, printable(&message, MESSAGE_LENGTH));
    };
    let code = service.code();
    let message = service.message().unwrap_or("no message");
    let text = match (code, error.raw_response()) {
        (Some(code), _) => format!("{code}: {message}"),
        // Its status is all that tells a proxy's refusal from its fault.
        (None, Some(raw)) => {
            format!("HTTP status {} without an error code: {message}", raw.status().as_u16())
        }
        (None, None) => message.to_owned(),
    };
    let class = match classify(code.unwrap_or_default(), message) {
        // Whatever the code: the fault is the server's.
        Class::Stop if error.raw_response().is_some_and(|raw| raw.status().is_server_error()) => Class::Retry,
        class => class,
    };
    CallError::new(action, class, printable(&text, MESSAGE_LENGTH)).with_code(code)
}

/// The class of a service's error, by its code and, where one code means two things, by its words.
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
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncorrectState" => Class::Retry,
        // A route appeared between looking and creating, or went between looking and replacing.
        "RouteAlreadyExists" | "InvalidRoute.NotFound" => Class::Observe,
        "InvalidParameterValue" if message.contains(NO_ROUTE) => Class::Observe,
        "InvalidChangeBatch" if is_lost_swap(message) => Class::Observe,
        // No code at all: an answer that is none of the service's, such as a proxy's error page.
        "" => Class::Retry,
        _ => Class::Stop,
    }
}

/// EC2's words for a route that `ReplaceRoute` does not find: "There is no route defined for '10.99.0.1/32' in the
/// route table. Use CreateRoute instead." The code says that of every value that it does not like.
const NO_ROUTE: &str = "There is no route defined for";

/// Route 53 refuses a batch for many reasons; these are the words for "somebody changed it meanwhile".
fn is_lost_swap(message: &str) -> bool {
    ["but it was not found", "do not match the current values", "already exists"]
        .iter()
        .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_swap_is_told_from_a_refused_batch() {
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
    fn what_passes_is_tried_again_and_what_does_not_is_told() {
        assert_eq!(classify("Throttling", "Rate exceeded"), Class::Throttled);
        assert_eq!(classify("PriorRequestNotComplete", ""), Class::Throttled);
        assert_eq!(classify("ExpiredToken", ""), Class::Retry);
        assert_eq!(classify("AccessDenied", ""), Class::Stop);
        assert_eq!(classify("TargetGroupNotFound", ""), Class::Stop);
        assert_eq!(classify("", "<html>502</html>"), Class::Retry);
    }
}
