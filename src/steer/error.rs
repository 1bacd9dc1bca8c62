//! What can go wrong with a call, and what to do then. Every error gets its class here, and text from a service is made
//! printable here.

use crate::text::printable;

/// How much of a message is kept, in characters. A service's own text is cut shorter before help is added.
const LONGEST_MESSAGE: usize = 1_000;

/// How much of a code is kept, in characters. The services' are below 60.
const LONGEST_CODE: usize = 100;

/// A call to a cloud that did not do what it was for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{action}: {message}")]
pub struct CallError {
    /// The API action, such as `RegisterTargets`.
    pub action: &'static str,
    /// What to do about it.
    pub class: Class,
    /// The service's own error code, if it sent one, sanitized and bounded.
    pub code: Option<String>,
    /// Its message, sanitized and bounded, without secrets.
    pub message: String,
}

/// What an error calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A passing fault: the network, a deadline, a server error, a request that must wait for another. Try
    /// again soon.
    Retry,
    /// Too many requests: try again, more slowly.
    Throttled,
    /// Another writer changed the object meanwhile: read it again before anything else.
    Observe,
    /// Retrying cannot help before an operator changes something: a missing right, a missing object, a refused value.
    /// Report it, and read again at the next drift check.
    Stop,
}

impl CallError {
    /// An error of `action`; the message is made printable and cut.
    pub fn new(action: &'static str, class: Class, message: impl AsRef<str>) -> Self {
        Self { action, class, code: None, message: printable(message.as_ref(), LONGEST_MESSAGE) }
    }

    /// The same error with the service's code, made printable and cut.
    #[must_use]
    pub fn with_code(self, code: Option<impl AsRef<str>>) -> Self {
        Self { code: code.map(|code| printable(code.as_ref(), LONGEST_CODE)), ..self }
    }
}

impl Class {
    /// The class in one lower-case word, as in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Throttled => "throttled",
            Self::Observe => "observe",
            Self::Stop => "stop",
        }
    }

    /// Among several failures of one turn, the highest decides when to retry: the one that ends soonest.
    pub(super) const fn urgency(self) -> u8 {
        match self {
            Self::Observe => 3,
            Self::Throttled => 2,
            Self::Retry => 1,
            Self::Stop => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_are_fit_to_be_shown() {
        let harmful = "\u{1b}[31mDenied\n\u{202e}".to_owned() + &"x".repeat(5_000);
        let error = CallError::new("Do", Class::Stop, &harmful).with_code(Some(&harmful));
        let code = error.code.as_deref().expect("it has one");
        for (text, longest) in [(error.message.as_str(), LONGEST_MESSAGE), (code, LONGEST_CODE)] {
            assert!(text.contains("Denied") && text.chars().count() <= longest + 1, "{text}");
            assert!(!text.contains(['\u{1b}', '\n', '\u{202e}']), "{text}");
        }
        assert_eq!(error.with_code(Some("AccessDenied")).code.as_deref(), Some("AccessDenied"));
    }
}
