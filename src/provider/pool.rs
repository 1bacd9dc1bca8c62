//! What the tables of all pools have in common: the keys' meanings, how they are read, and the rules between them. PURE.

use std::time::Duration;

use crate::config::reading::{Located, Problem, Reported, Section, Value as Written, choice, duration};
use crate::steer::pool::Pool;

pub(crate) const MEANING: &str =
    "`all-members` (every member is registered, the health check decides) or `primary-only`";
pub(crate) const HEALTHY_WITHIN: &str = "`primary-only`: how long the primary waits for its own target to be healthy before it deregisters the others, 1s to 600s";

/// Which members are registered.
pub(crate) fn read(value: &Written<'_>) -> Result<Pool, Reported> {
    choice(value, &[("all-members", Pool::AllMembers), ("primary-only", Pool::PrimaryOnly)])
}

/// How long a primary waits to become healthy.
pub(crate) fn healthy_within(value: &Written<'_>) -> Result<Duration, Reported> {
    duration(value, Duration::from_secs(1)..=Duration::from_mins(10))
}

/// A pool of the primary alone names the targets that it may deregister; a pool of all members names none.
pub(crate) fn check_owned(
    section: &Section<'_>,
    key: &'static str,
    pool: &Located<Pool>,
    owned: &Located<Vec<String>>,
) {
    match pool.value {
        Pool::PrimaryOnly if owned.value.is_empty() => {
            let span = owned.span.clone().or_else(|| pool.span.clone()).or_else(|| section.span());
            section.report(
                Problem::new(span, format!("a `primary-only` pool needs `{key}`"))
                    .with_help(format!(
                        "Write in `{key}` the targets of all members of this mirror: the primary deregisters these \
                         and no others."
                    ))
                    .needs_whole_text(),
            );
        }
        Pool::AllMembers if !owned.value.is_empty() => {
            section.report(
                Problem::new(owned.span.clone(), format!("`{key}` has no effect in a pool of all members"))
                    .related(pool.span.clone(), "no target is deregistered from it")
                    .with_help(format!("Write pool = \"primary-only\", or remove `{key}`."))
                    .needs_whole_text(),
            );
        }
        Pool::PrimaryOnly | Pool::AllMembers => {}
    }
}
