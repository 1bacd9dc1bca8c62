//! What to do about an error of a call, for every provider. PURE.

use super::{aws, kubernetes};
use crate::steer::{CallError, Class};

/// Whether the caller lacks a right.
pub(crate) fn is_denied(error: &CallError) -> bool {
    aws::help::is_denied(error) || kubernetes::help::is_denied(error)
}

/// How to correct it, in full sentences; by the error's class if nothing else is known.
pub(crate) fn help(error: &CallError) -> &'static str {
    known_help(error).unwrap_or(match error.class {
        Class::Retry => {
            "Check the route to the service's address (VPC endpoint or NAT) and the credentials (an instance role, or \
             AWS_ACCESS_KEY_ID), then try again."
        }
        Class::Throttled => "This account sends too many requests in this region; try again.",
        Class::Observe => "Another writer changed the object; try again.",
        Class::Stop => "Correct what the service reports; retrying does not help.",
    })
}

/// How to correct what the service reports, in full sentences; `None` for unknown codes.
pub(crate) fn known_help(error: &CallError) -> Option<&'static str> {
    kubernetes::help::known_help(error).or_else(|| aws::help::known_help(error))
}
