//! What can go wrong with a call, and whose turn it is then. Every error is classified once, here, and here foreign
//! words become fit for people, logs and terminals.

use crate::text::printable;

/// How much of a message is kept, in characters: of a service's own words less is taken, help comes on top.
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
    /// The service's own error code, if it sent one, sanitised and bounded.
    pub code: Option<String>,
    /// What it said, sanitised and bounded, without anything secret.
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
    /// Asking again cannot help before an operator changes something: a right that is missing, an object that
    /// does not exist, a value that is refused. Tell the operator, and look again at the next drift check.
    Stop,
}

impl CallError {
    /// An error of `action`. Of the message is kept what can be shown.
    pub fn new(action: &'static str, class: Class, message: impl AsRef<str>) -> Self {
        Self { action, class, code: None, message: printable(message.as_ref(), LONGEST_MESSAGE) }
    }

    /// The same error with the service's code, of which is kept what can be shown.
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

    /// Of several failures in one turn, the highest says when to try again: what is mended soonest.
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
