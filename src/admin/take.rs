//! `/take`: an operator decides that this member's promotion is the latest, where the arbiter cannot.
//!
//! It is the only request that directs clients, so a web page in a local browser must not be able to send it. In addition
//! to the checks of `browser`, the body must be `application/json`: no form can post it, and a script needs a CORS preflight
//! to post it to another site, which this listener does not answer.

use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Request, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::respond::{Context, named};
use super::{MirrorView, SteeringView, View, status};
use crate::steer::Authority;
use crate::steer::arbiter::TakeError;
use crate::term::{Claim, Taken};
use crate::text::printable;

/// The longest reason, in characters.
pub const LONGEST_REASON: usize = 200;

/// The longest name of a user, in characters.
const LONGEST_USER: usize = 64;

/// Several times the size of a reason, a name and an overridden ruling.
const LARGEST_BODY: usize = 4 * 1024;

/// How long a client may take to send its decision.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for the ruling after a decision: the arbiter first waits up to a second until the term is on disk.
const RULING_TIMEOUT: Duration = Duration::from_secs(2);

/// What a decision would override, and its consequences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The mirror's name.
    pub mirror: String,
    /// This member's name.
    pub member: String,
    /// The ruling that the decision overrides, and its reason.
    pub overrides: String,
    /// Whether the page of this member says SUCCESS at this moment.
    pub serving: bool,
    /// The term of this member's last promotion.
    pub term: u64,
    /// The highest term that this member knows, and its owner; the decision's term will be higher.
    pub seen: Claim,
    /// The other reachable members whose page says SUCCESS: the decision supersedes them.
    pub others_serving: Vec<String>,
    /// The steering targets that will direct clients to this member.
    pub targets: Vec<String>,
}

/// The body of `POST /take`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Why: 1 to 200 printable characters.
    pub reason: String,
    /// The user who decides.
    pub user: String,
    /// What the operator agreed to override, from [`Offer::overrides`]: if the ruling has changed since, the decision is
    /// refused. Without it, any ruling is overridden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<String>,
}

/// The result of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The mirror's name.
    pub mirror: String,
    /// This member's name.
    pub member: String,
    /// The term with which this member takes traffic; null if that is not ruled yet.
    pub term: Option<u64>,
    /// The decision, as in status and state file.
    pub taken: Taken,
}

/// Why there is no offer or outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The reason, as a fragment of a sentence.
    pub error: String,
}

/// A [`Refusal`] and the status code of its answer.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) refusal: Refusal,
}

/// The offer for the mirror that `query` names.
pub(super) async fn offer(query: Option<&str>, context: &Context) -> Result<Offer, Refused> {
    let (mirror, steering) = find(&context.view, query)?;
    let overrides = steering.handle.take(None).await?;
    let known = mirror.members.borrow().clone();
    let now = context.clock.now();
    let serving = known.members.iter().filter(|member| member.reachable && member.serves());
    Ok(Offer {
        mirror: mirror.name.to_string(),
        member: mirror.profile.borrow().identity.member.clone(),
        overrides,
        serving: mirror.snapshot.borrow().verdict_at(now).serves(now),
        term: known.memory.term,
        seen: known.memory.seen,
        others_serving: serving.map(crate::steer::arbiter::MemberView::name).collect(),
        targets: steering.targets.iter().map(|target| target.borrow().target.to_string()).collect(),
    })
}

/// Carries out the decision in `request`.
pub(super) async fn decide(request: Request<Incoming>, context: &Context) -> Result<Outcome, Refused> {
    check_media_type(request.headers())?;
    let (mirror, steering) = find(&context.view, request.uri().query())?;
    let (mirror, steering) = (mirror.clone(), steering.clone());
    let Decision { reason, user, overrides } = read(request.into_body()).await?;
    let reason = check_reason(&reason).map_err(|error| refuse(StatusCode::BAD_REQUEST, error))?;
    if let Some(agreed) = overrides {
        let doubt = steering.handle.take(None).await?;
        if doubt != agreed {
            let error = format!(
                "the state has changed, and nothing was done; the ruling that would be overridden is: {doubt}"
            );
            return Err(refuse(StatusCode::CONFLICT, error));
        }
    }
    let user = match printable(user.trim(), LONGEST_USER) {
        user if user.is_empty() => format!("an unnamed user from {}", context.client),
        user => format!("{user} from {}", context.client),
    };
    let at = status::precise(context.clock.now());
    let taken = Taken { reason: reason.to_owned(), user, at, overrode: String::new() };
    let overrode = steering.handle.take(Some(taken.clone())).await?;
    let mut authority = steering.authority.clone();
    let is_clear = |authority: &Authority| matches!(authority, Authority::Clear { .. });
    let term = match timeout(RULING_TIMEOUT, authority.wait_for(is_clear)).await {
        Ok(Ok(authority)) => match &*authority {
            Authority::Clear { term, .. } => Some(*term),
            Authority::Superseded { .. } | Authority::Unsure { .. } => None,
        },
        Ok(Err(_)) | Err(_) => None,
    };
    Ok(Outcome {
        mirror: mirror.name.to_string(),
        member: mirror.profile.borrow().identity.member.clone(),
        term,
        taken: Taken { overrode, ..taken },
    })
}

/// The reason without white space around it; the error says what is wrong with it.
pub(crate) fn check_reason(reason: &str) -> Result<&str, String> {
    let reason = reason.trim();
    let length = reason.chars().count();
    if reason.is_empty() {
        Err("the reason is empty: write why this decision is right; the log records it".to_owned())
    } else if length > LONGEST_REASON {
        Err(format!("the reason has {length} characters; at most {LONGEST_REASON} are kept"))
    } else if printable(reason, LONGEST_REASON) != reason {
        Err("the reason has characters that cannot be printed: write one line of text".to_owned())
    } else {
        Ok(reason)
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Refused> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let error = "the decision must be sent with `Content-Type: application/json`";
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
    }
    Ok(())
}

/// The mirror that `query` names, or the only one, and its steering.
fn find<'a>(view: &'a View, query: Option<&str>) -> Result<(&'a MirrorView, &'a SteeringView), Refused> {
    let names = || view.mirrors.iter().map(|mirror| &*mirror.name).collect::<Vec<_>>().join(", ");
    let name = named(query).map_err(|text| refuse(StatusCode::BAD_REQUEST, text.trim_end()))?;
    let mirror = match (name, view.mirrors.as_slice()) {
        (Some(name), mirrors) => {
            let found = mirrors.iter().find(|mirror| name.eq_ignore_ascii_case(&mirror.name));
            found.ok_or_else(|| {
                let error =
                    format!("no mirror is named {}; the configuration has {}", printable(name, 64), names());
                refuse(StatusCode::NOT_FOUND, error)
            })?
        }
        (None, [mirror]) => mirror,
        (None, _) => {
            let error = format!("there are several mirrors: name one of {}", names());
            return Err(refuse(StatusCode::BAD_REQUEST, error));
        }
    };
    let Some(steering) = &mirror.steering else {
        let error = format!(
            "mirror {} has neither peers nor steering: its page follows the instance, and there is nothing to override",
            mirror.name
        );
        return Err(refuse(StatusCode::NOT_FOUND, error));
    };
    Ok((mirror, steering))
}

/// Reads a decision, within bounds of size and time.
async fn read(body: Incoming) -> Result<Decision, Refused> {
    let body = timeout(BODY_TIMEOUT, Limited::new(body, LARGEST_BODY).collect()).await;
    let body = body.map_err(|_| {
        refuse(StatusCode::REQUEST_TIMEOUT, format!("the decision was not complete within {BODY_TIMEOUT:?}"))
    })?;
    let body = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("a decision has at most {LARGEST_BODY} bytes"))
        } else {
            refuse(StatusCode::BAD_REQUEST, "the connection broke before the decision was complete")
        }
    })?;
    serde_json::from_slice(&body.to_bytes())
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, format!("the body is not a decision: {error}")))
}

pub(super) fn refuse(status: StatusCode, error: impl Into<String>) -> Refused {
    Refused { status, refusal: Refusal { error: error.into() } }
}

// === impl Refused ===

impl From<TakeError> for Refused {
    fn from(error: TakeError) -> Self {
        let status = match error {
            TakeError::Refused(_) => StatusCode::CONFLICT,
            TakeError::Gone => StatusCode::SERVICE_UNAVAILABLE,
        };
        refuse(status, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn reason_is_one_printable_line() {
        assert_eq!(check_reason(" db2 is gone \n"), Ok("db2 is gone"));
        assert_eq!(check_reason(&"ä".repeat(LONGEST_REASON)), Ok(&*"ä".repeat(LONGEST_REASON)));
        for (reason, wrong) in [
            ("", "empty"),
            (" \t", "empty"),
            (&*"x".repeat(LONGEST_REASON + 1), "201 characters"),
            ("two\nlines", "cannot be printed"),
            ("\u{1b}[2J", "cannot be printed"),
        ] {
            let error = check_reason(reason).expect_err(reason);
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn only_json_is_read() {
        let with = |kind| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            check_media_type(&headers).map_err(|refused| refused.status)
        };
        assert_eq!(with("Application/JSON; charset=utf-8"), Ok(()));
        for kind in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
            assert_eq!(with(kind), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{kind}");
        }
    }
}
