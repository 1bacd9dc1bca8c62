//! The answer to a request. PURE: head, routes, snapshots and the present moment in, bytes out.
//!
//! The status page is byte for byte what the InterSystems Web Gateway's `mirror_status.cxw` answers: status
//! line, three headers, body without newline. Load balancers compare these strings, so nothing is added to
//! them, not even `Date` or `Server`. Whatever version of HTTP/1 asks, the answer is the same.
//!
//! | status | when |
//! |---|---|
//! | 200 | the page's answer is yes |
//! | 500 | status page only: the question cannot be answered until the set-up is corrected |
//! | 503 | the page's answer is no, or unknown |
//! | 400, 403, 404, 405, 408, 431 | the request is at fault |
//!
//! Each verdict is evaluated at the moment of the answer ([`Snapshot::verdict_at`]): nothing that was true
//! before counts.

use std::borrow::Cow;

use super::Mirror;
use super::head::{Head, Method};
use super::route::{Asked, Page, Routes};
use crate::clock::Timestamp;
use crate::observation::Role;
use crate::peer::document::{Document, Profile};
use crate::peer::key::SIGNATURE;
use crate::role::{Reason, Verdict};
use crate::snapshot::Snapshot;
use crate::text::printable;

/// How long the reason on a role's page may be, in characters.
const MAX_REASON: usize = 200;

/// An answer, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    /// The status code.
    pub(super) status: u16,
    /// Everything that goes over the wire.
    pub(super) bytes: Cow<'static, [u8]>,
    /// What the request asked about, if it was a mirror.
    pub(super) about: Option<About>,
}

/// What a request asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    /// Index of the mirror.
    pub(super) mirror: usize,
    /// Whether it asked for the verdict, as a load balancer for writers does.
    pub(super) verdict: bool,
}

macro_rules! page {
    ($status:literal, $length:literal, $body:literal) => {
        concat!(
            "HTTP/1.1 ",
            $status,
            "\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: ",
            $length,
            "\r\n\r\n",
            $body
        )
        .as_bytes()
    };
}

const SUCCESS: &[u8] = page!("200 OK", "7", "SUCCESS");
const FAILED: &[u8] = page!("503 Service Unavailable", "6", "FAILED");
const UNANSWERABLE: &[u8] = page!("500 Internal Server Error", "6", "FAILED");

/// The answer to a well-formed request.
pub(super) fn respond(head: &Head<'_>, routes: &Routes, mirrors: &[Mirror], now: Timestamp) -> Response {
    let Some(page) = routes.select(head.path) else {
        return text(404, routes.directory()).for_method(head.method);
    };
    if head.method == Method::Other {
        return Response::method_not_allowed();
    }
    let answer = match page {
        Page::Status(mirror) => {
            let verdict = mirrors[mirror].snapshot.borrow().verdict_at(now);
            status_page(&verdict).about(mirror, true)
        }
        Page::Role(mirror, Asked::Peer) => {
            let Mirror { snapshot, profile, .. } = &mirrors[mirror];
            peer_page(&profile.borrow(), &snapshot.borrow(), head.nonce, now).about(mirror, false)
        }
        Page::Role(mirror, asked) => {
            role_page(&mirrors[mirror].snapshot.borrow(), asked, now).about(mirror, asked == Asked::Primary)
        }
        Page::Live => text(200, "alive"),
        Page::Ready => ready_page(mirrors),
    };
    answer.for_method(head.method)
}

/// The status code of the status page for a verdict of this moment.
pub fn page_status(verdict: &Verdict) -> u16 {
    match verdict {
        Verdict::Serve { .. } => 200,
        Verdict::Refuse(reason) if reason.is_unanswerable() => 500,
        Verdict::Refuse(_) => 503,
    }
}

fn status_page(verdict: &Verdict) -> Response {
    let status = page_status(verdict);
    let bytes = match status {
        200 => SUCCESS,
        500 => UNANSWERABLE,
        _ => FAILED,
    };
    Response { status, bytes: Cow::Borrowed(bytes), about: None }
}

fn role_page(snapshot: &Snapshot, asked: Asked, now: Timestamp) -> Response {
    let page = |role: Result<&Role, Reason>, wanted: fn(&Role) -> bool| match role {
        Ok(role) => text(if wanted(role) { 200 } else { 503 }, &format!("the instance is {role}")),
        Err(reason) => text(503, &reason.to_string()),
    };
    match asked {
        Asked::Primary | Asked::Peer => match snapshot.verdict_at(now) {
            Verdict::Serve { epoch, .. } => text(200, &format!("the instance is primary, epoch {epoch}")),
            Verdict::Refuse(reason) => text(503, &reason.to_string()),
        },
        Asked::Backup => page(snapshot.role_at(now), |role| matches!(role, Role::Backup)),
        Asked::Async => page(snapshot.role_at(now), |role| matches!(role, Role::Async(_))),
    }
}

/// What the member reports to the others, signed if they want that and it can be.
fn peer_page(profile: &Profile, snapshot: &Snapshot, nonce: Option<&str>, now: Timestamp) -> Response {
    let document = Document::of(profile, snapshot.tracker(), now);
    let json = serde_json::to_string(&document).expect("strings and numbers always serialise");
    let signature = match (&profile.key, nonce) {
        (Some(key), Some(nonce)) => format!("{SIGNATURE}: {}\r\n", key.sign(nonce, json.as_bytes())),
        (Some(_) | None, _) => String::new(),
    };
    answer("application/json", 200, &signature, &json)
}

fn ready_page(mirrors: &[Mirror]) -> Response {
    match mirrors.iter().find(|mirror| !mirror.snapshot.borrow().has_ruled()) {
        None => text(200, "each mirror has a verdict"),
        Some(mirror) => text(503, &format!("mirror {} has no verdict yet", mirror.name)),
    }
}

/// One line of text with a newline.
fn text(status: u16, line: &str) -> Response {
    text_with(status, "", line)
}

fn text_with(status: u16, fields: &str, line: &str) -> Response {
    let limit = if status == 404 { usize::MAX } else { MAX_REASON };
    answer("text/plain", status, fields, &format!("{}\n", printable(line, limit)))
}

fn answer(kind: &str, status: u16, fields: &str, body: &str) -> Response {
    let (phrase, length) = (phrase(status), body.len());
    let bytes = format!(
        "HTTP/1.1 {status} {phrase}\r\nContent-Type: {kind}\r\nConnection: close\r\n\
         {fields}Content-Length: {length}\r\n\r\n{body}"
    );
    Response { status, bytes: Cow::Owned(bytes.into_bytes()), about: None }
}

/// Reason phrases of RFC 9110.
fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "",
    }
}

// === impl Response ===

impl Response {
    /// For what is no HTTP/1 request.
    pub(super) fn bad_request() -> Self {
        text(400, "not an HTTP/1 request")
    }

    /// For clients outside the allowed networks.
    pub(super) fn forbidden() -> Self {
        text(403, "requests from this address are not allowed")
    }

    /// For a head that did not come in time.
    pub(super) fn timeout() -> Self {
        text(408, "the head of the request did not come in time")
    }

    /// For a head beyond the limits.
    pub(super) fn too_long() -> Self {
        text(431, "the head of the request is too long")
    }

    fn method_not_allowed() -> Self {
        text_with(405, "Allow: GET, HEAD\r\n", "pages are read with GET or HEAD")
    }

    fn about(self, mirror: usize, verdict: bool) -> Self {
        Self { about: Some(About { mirror, verdict }), ..self }
    }

    /// A HEAD request gets the same headers and no body (RFC 9110 section 9.3.2).
    fn for_method(mut self, method: Method) -> Self {
        if method == Method::Head
            && let Some(end) = self.bytes.windows(4).position(|w| w == b"\r\n\r\n")
        {
            match &mut self.bytes {
                Cow::Borrowed(bytes) => *bytes = &bytes[..end + 4],
                Cow::Owned(bytes) => bytes.truncate(end + 4),
            }
        }
        self
    }
}

#[cfg(test)]
mod tests;
