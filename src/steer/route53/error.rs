//! Why a batch was refused: Route 53 has two forms of saying so, and the SDK reads one of them.
//!
//! Most errors come as `<ErrorResponse><Error><Code>...`. `InvalidChangeBatch` also comes as a document of its
//! own, with one message for each change that is wrong:
//!
//! ```xml
//! <InvalidChangeBatch><Messages><Message>...</Message></Messages></InvalidChangeBatch>
//! ```
//!
//! See `ChangeResourceRecordSets`, Errors, in the Route 53 API Reference. Read by the SDK that is an error
//! without a code, and a lost swap could not be told from a passing fault.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::aws::error::{call_error, classify};
use crate::steer::CallError;
use crate::text::printable;

const CODE: &str = "InvalidChangeBatch";

/// How much of the messages is kept, in characters.
const MESSAGES_LENGTH: usize = 300;

/// The error of a call that changes records.
pub(super) fn change_error<E>(action: &'static str, error: &SdkError<E, HttpResponse>) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let body = error.raw_response().and_then(|response| response.body().bytes()).unwrap_or_default();
    match messages(&String::from_utf8_lossy(body)) {
        Some(messages) => {
            let text = printable(&format!("{CODE}: {messages}"), MESSAGES_LENGTH);
            CallError::new(action, classify(CODE, &messages), text).with_code(Some(CODE))
        }
        None => call_error(action, error),
    }
}

/// The messages of an `InvalidChangeBatch` document; `None` when `body` is none.
fn messages(body: &str) -> Option<String> {
    let (_declaration, document) = body.split_once("<InvalidChangeBatch")?;
    let messages = document.split("<Message>").skip(1);
    let texts = messages.filter_map(|rest| Some(rest.split_once("</Message>")?.0));
    Some(texts.collect::<Vec<_>>().join("; ").replace("&apos;", "'").replace("&quot;", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_document_of_that_name_is_read() {
        let body = "<?xml version=\"1.0\"?>\n<InvalidChangeBatch xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
                    <Messages><Message>one</Message><Message>type=&apos;A&apos;</Message></Messages></InvalidChangeBatch>";
        assert_eq!(messages(body).as_deref(), Some("one; type='A'"));
        assert_eq!(messages("<InvalidChangeBatch"), Some(String::new()));
        let wrapped = "<ErrorResponse><Error><Code>InvalidChangeBatch</Code><Message>one</Message></Error></ErrorResponse>";
        assert_eq!(messages(wrapped), None);
        assert_eq!(messages(""), None);
    }
}
