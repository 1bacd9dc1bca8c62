//! What can go wrong with a call, and whose turn it is then. Every error is classified once, here.

use std::time::Duration;

/// A call to a cloud that did not do what it was for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{action}: {message}")]
pub struct CallError {
    /// The API action, such as `RegisterTargets`.
    pub action: &'static str,
    /// What to do about it.
    pub class: Class,
    /// The service's own error code, if it sent one.
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
    /// Somebody else changed the object meanwhile: look again before anything else.
    Observe,
    /// Asking again cannot help before somebody changes something: a right that is missing, an object that
    /// does not exist, a value that is refused. Tell the operator, and look again at the next drift check.
    Stop,
}

impl CallError {
    /// An error of `action`.
    pub fn new(action: &'static str, class: Class, message: impl Into<String>) -> Self {
        Self { action, class, code: None, message: message.into() }
    }

    /// The same error with the service's code.
    #[must_use]
    pub fn with_code(self, code: Option<impl Into<String>>) -> Self {
        Self { code: code.map(Into::into), ..self }
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

/// Longest pause between two attempts: an outage that lasts must be noticed to be over within seconds.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);
