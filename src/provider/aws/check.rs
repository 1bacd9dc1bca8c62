//! What the checks of all AWS tables share: the caller's identity, and the pools of load balancers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Place;
use super::error::NO_CREDENTIALS;
use super::session::Session;
use crate::config::steering::Value;
use crate::finding::{Finding, Kind};
use crate::provider::check::failed;
use crate::steer::{CallError, Class};
use crate::text::printable;

pub(crate) mod group;
pub(crate) mod health_check;
pub(crate) mod members;
pub(crate) mod recovery;

/// How much of a text is kept, in characters; paths of health checks have up to 1024.
const TEXT: usize = 1024;

/// The caller's identity, for tables that need these `places`. An error without credentials: every other call would fail
/// for the same reason.
pub(crate) async fn caller(
    places: impl Iterator<Item = Place>,
    session: &mut Session,
) -> Result<Vec<Finding>, Vec<Finding>> {
    let mut findings = Vec::new();
    if places.into_iter().any(|place| place.identity) {
        findings.push(identity(session).await);
    }
    let (credentials, are_missing) = match credentials(session).await {
        Ok(found) => (found, false),
        Err(missing) => (missing, true),
    };
    findings.extend(credentials);
    if are_missing { Err(findings) } else { Ok(findings) }
}

async fn identity(session: &mut Session) -> Finding {
    const SUBJECT: &str = "instance metadata";
    match session.identity().await {
        Ok(identity) => Finding::good(
            SUBJECT,
            format!("\"auto\" means {}, {} in {}", identity.instance_id, identity.address, identity.region),
        ),
        Err(error) => Finding::error(Kind::Unavailable, SUBJECT, format!("failed to {error}"))
            .explain("aws-identity")
            .help(error.help()),
    }
}

/// The identity of the credentials. Asking needs no right, so it separates wrong credentials from missing rights. An error
/// without credentials.
async fn credentials(session: &mut Session) -> Result<Vec<Finding>, Vec<Finding>> {
    const SUBJECT: &str = "AWS credentials";
    let sdk = session.global_sdk().await;
    match super::query::caller_identity(&sdk).await {
        Ok(caller) => Ok(vec![
            Finding::good(SUBJECT, format!("good for {} in account {}", caller.arn, caller.account)),
            Finding::untested(
                "AWS rights",
                "whether these credentials may write: `mirrorvip iam-policy` prints the policy that they need",
            ),
        ]),
        Err(error) if error.code.as_deref() == Some(NO_CREDENTIALS) => Err(vec![
            failed(SUBJECT, &error),
            Finding::untested("AWS", "everything that is steered there: reading it needs credentials"),
        ]),
        Err(error) => Ok(vec![failed(SUBJECT, &error)]),
    }
}

/// The value, or `auto` for an automatic one if that is known.
pub(super) fn or_auto<'a>(value: &'a Value, auto: Option<&'a str>) -> Option<&'a str> {
    match value {
        Value::Auto => auto,
        Value::Is(text) => Some(text),
    }
}

/// The pairs that have both a key and a value.
pub(super) fn pairs<'a>(
    found: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>,
) -> BTreeMap<String, String> {
    found.filter_map(|(key, value)| Some((text(key?), text(value?)))).collect()
}

pub(super) fn whole_seconds(seconds: Option<i32>) -> Duration {
    Duration::from_secs(count(seconds).into())
}

pub(super) fn count(number: Option<i32>) -> u32 {
    number.and_then(|number| number.try_into().ok()).unwrap_or_default()
}

/// A text from the service, made printable.
pub(super) fn text(text: &str) -> String {
    printable(text, TEXT)
}

/// The error of an answer without the requested object.
pub(super) fn empty(action: &'static str) -> CallError {
    CallError::new(action, Class::Stop, "the answer is empty: there is no such object")
}
