//! One admin request and its answer.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};

use super::seats::Seat;
use super::{Token, View, browser, metrics, status, take};
use crate::clock::Clock;

const ROUTES: &str = "\
mirrorvip admin listener
GET  /status   role, evidence, verdict, members and history of each mirror, as JSON
GET  /metrics  the same in numbers, in the OpenMetrics text format
POST /probe    ask the instance at once; ?mirror=NAME for one mirror only
GET  /take     what `mirrorvip take` would override, as JSON; ?mirror=NAME unless there is only one
POST /take     `mirrorvip take`: {\"reason\": TEXT, \"user\": NAME} as application/json
";

const PLAIN: &str = "text/plain; charset=utf-8";

/// The data for answering the requests of one connection.
#[derive(Debug)]
pub(super) struct Context {
    /// Whether the listener has TLS or a token, and not only an address that others cannot reach.
    pub(super) guarded: bool,
    /// What requests must carry.
    pub(super) token: Option<Arc<Token>>,
    /// The state to report.
    pub(super) view: Arc<View>,
    pub(super) clock: Clock,
    /// The client.
    pub(super) client: IpAddr,
    /// The connection's seat.
    pub(super) seat: Seat,
}

/// Answers one request.
pub(super) async fn respond(request: Request<Incoming>, context: &Context) -> Response<Full<Bytes>> {
    let Context { view, clock, .. } = context;
    let presented = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    if context.token.as_ref().is_some_and(|token| !token.admits(presented)) {
        let mut response = text(StatusCode::UNAUTHORIZED, "a bearer token is required\n");
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    if let Err(error) = browser::admit(request.uri(), request.headers(), context.guarded) {
        return match request.uri().path() {
            "/take" => answer::<take::Offer>(Err(take::refuse(StatusCode::FORBIDDEN, error))),
            _ => with_type(PLAIN, StatusCode::FORBIDDEN, format!("{error}\n")),
        };
    }
    context.seat.admit();
    match (request.uri().path(), request.method()) {
        ("/", &Method::GET | &Method::HEAD) => text(StatusCode::OK, ROUTES),
        ("/status", &Method::GET | &Method::HEAD) => json(StatusCode::OK, &status::status(view, clock.now())),
        ("/metrics", &Method::GET | &Method::HEAD) => match metrics::encode(view, clock) {
            Ok(body) => {
                with_type("application/openmetrics-text; version=1.0.0; charset=utf-8", StatusCode::OK, body)
            }
            Err(fmt::Error) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be encoded\n"),
        },
        ("/probe", &Method::POST) => probe(request.uri().query(), view),
        ("/take", &Method::GET | &Method::HEAD) => answer(take::offer(request.uri().query(), context).await),
        ("/take", &Method::POST) => answer(take::decide(request, context).await),
        ("/" | "/status" | "/metrics", _) => not_allowed("GET, HEAD"),
        ("/take", _) => not_allowed("GET, HEAD, POST"),
        ("/probe", _) => not_allowed("POST"),
        _ => text(StatusCode::NOT_FOUND, ROUTES),
    }
}

/// The mirror that a query names, if any; the error says what is allowed.
pub(super) fn named(query: Option<&str>) -> Result<Option<&str>, &'static str> {
    match query.map(|query| query.split_once('=')) {
        None => Ok(None),
        Some(Some(("mirror", name))) => Ok(Some(name)),
        Some(None) if query == Some("") => Ok(None),
        Some(_) => Err("the only parameter is mirror=NAME\n"),
    }
}

/// Wakes the probe loops that the query names.
fn probe(query: Option<&str>, view: &View) -> Response<Full<Bytes>> {
    let name = match named(query) {
        Ok(name) => name,
        Err(text) => return self::text(StatusCode::BAD_REQUEST, text),
    };
    let is_named = |mirror: &&super::MirrorView| name.is_none_or(|n| n.eq_ignore_ascii_case(&mirror.name));
    let mut woken = 0;
    for mirror in view.mirrors.iter().filter(is_named) {
        mirror.wake.notify_one();
        woken += 1;
    }
    match woken {
        0 => text(StatusCode::NOT_FOUND, "no mirror of that name\n"),
        _ => text(StatusCode::ACCEPTED, "probing\n"),
    }
}

fn answer<T: serde::Serialize>(result: Result<T, take::Refused>) -> Response<Full<Bytes>> {
    match result {
        Ok(document) => json(StatusCode::OK, &document),
        Err(take::Refused { status, refusal }) => json(status, &refusal),
    }
}

fn not_allowed(allow: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

fn json(status: StatusCode, document: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec_pretty(document).expect("strings, numbers and lists always serialise");
    with_type("application/json", status, body)
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    with_type(PLAIN, status, body)
}

fn with_type(
    content_type: &'static str,
    status: StatusCode,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
