//! The admin listener: the control plane's window, for people and for monitoring.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | this table, as text |
//! | `GET /status` | what the daemon saw, what it rules and why: [`status::Status`] as JSON |
//! | `GET /metrics` | [`metrics::METRICS`] in the OpenMetrics text format |
//! | `POST /probe` | probes every mirror at once, or the one in `?mirror=NAME`; 202 |
//!
//! It runs on the control plane's runtime: however busy it is, the health listener has a thread of its own.
//! It listens on loopback by default; anywhere else the configuration demands TLS or a bearer token. It only
//! reads, except that it may wake a probe loop.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config;
use crate::tls::{Renewing, TlsError};

pub mod metrics;
pub mod status;
mod token;
mod view;

pub use token::{Token, TokenError};
pub use view::{MirrorView, SteeringView, View};

/// People, a scraper or two and a `^ZMIRROR` need few connections; the rest are shed at once.
const MAX_CONNECTIONS: usize = 64;

/// How long one connection may last, whatever it does.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to send the head of its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long requests under way may take to finish once the listener is handed back.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);

const ROUTES: &str = "\
mirrorvip admin listener
GET  /status   role, evidence, verdict and history of each mirror, as JSON
GET  /metrics  the same in numbers, in the OpenMetrics text format
POST /probe    ask the instance at once; ?mirror=NAME for one mirror only
";

/// How connections are protected.
#[derive(Clone)]
pub struct Access {
    tls: Option<Arc<Renewing>>,
    token: Option<Arc<Token>>,
}

/// Why the listener cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("listen on {address} for admin requests")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The certificate or its key is unusable.
    #[error("serve [admin] over TLS")]
    Tls(#[from] TlsError),
    /// The token file is unusable.
    #[error("use token_file {}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TokenError,
    },
}

/// Opens the admin address, or takes over `inherited`, which is bound to it already; nothing is answered before
/// [`serve`].
pub fn bind(
    address: SocketAddr,
    inherited: Option<std::net::TcpListener>,
) -> Result<TcpListener, StartError> {
    let bind = || -> io::Result<TcpListener> {
        let listener = match inherited {
            Some(listener) => listener,
            None => std::net::TcpListener::bind(address)?,
        };
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    bind().map_err(|source| StartError::Bind { address, source })
}

/// Answers until it is cancelled. Then it hands the listener back at once, so that a reload refuses no
/// connection, and lets the requests under way finish, so that it cuts none off either.
pub async fn serve(
    listener: TcpListener,
    access: Access,
    view: watch::Receiver<Arc<View>>,
    clock: Clock,
    cancelled: CancellationToken,
    handed_back: oneshot::Sender<TcpListener>,
) {
    let mut connections = JoinSet::new();
    let mut renewal = pin!(renew(access.tls.clone()));
    loop {
        // Cancel-safe: `accept` loses no connection and `join_next` no task when they are dropped.
        tokio::select! {
            biased;
            () = cancelled.cancelled() => break,
            () = &mut renewal => {}
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                    let view = Arc::clone(&view.borrow());
                    let answer = connection(stream, access.clone(), view, clock.clone(), cancelled.clone());
                    connections.spawn(tokio::time::timeout(CONNECTION_TIMEOUT, answer));
                }
                Ok(_) => {} // closed
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    // At the daemon's end nobody takes it, and the port closes here.
    drop(handed_back.send(listener));
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(CLOSING_TIMEOUT, finished).await.is_err() {
        tracing::debug!(cut = connections.len(), "admin requests did not finish in time");
    }
}

// === impl StartError ===

impl StartError {
    /// How to mend it: a full sentence, if there is one to say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Bind { source, .. } => Some(match source.kind() {
                io::ErrorKind::AddrInUse => {
                    "Another program, or another mirrorvip, uses it: `ss -ltnp` tells which."
                }
                io::ErrorKind::AddrNotAvailable => {
                    "It is not an address of this machine: `ip address` lists them."
                }
                io::ErrorKind::PermissionDenied => "Choose a port from 1024, or grant CAP_NET_BIND_SERVICE.",
                _ => return None,
            }),
            Self::Tls(_) | Self::Token { .. } => None,
        }
    }
}

// === impl Access ===

impl Access {
    /// Reads the files that protect the listener.
    pub fn new(settings: &config::Admin) -> Result<Self, StartError> {
        let tls = settings.tls.as_ref().map(Renewing::load).transpose()?.map(Arc::new);
        let token = settings.token_file.as_ref().map(|path| {
            Token::load(path).map(Arc::new).map_err(|source| StartError::Token { path: path.clone(), source })
        });
        Ok(Self { tls, token: token.transpose()? })
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access {{ tls: {}, token: {} }}", self.tls.is_some(), self.token.is_some())
    }
}

/// Follows the certificate's files, if there is one; never ends.
async fn renew(certificate: Option<Arc<Renewing>>) {
    if let Some(certificate) = certificate {
        certificate.follow().await;
    }
    std::future::pending::<()>().await;
}

/// One connection; the caller bounds its time. What goes wrong on it is the client's affair.
async fn connection(
    stream: TcpStream,
    access: Access,
    view: Arc<View>,
    clock: Clock,
    closing: CancellationToken,
) {
    match access.tls {
        None => exchange(stream, access.token, view, clock, closing).await,
        Some(certificate) => {
            if let Ok(stream) = TlsAcceptor::from(certificate.current()).accept(stream).await {
                exchange(stream, access.token, view, clock, closing).await;
            }
        }
    }
}

/// Requests and answers, until the client has enough; once `closing`, until the request under way is answered.
async fn exchange<S>(
    stream: S,
    token: Option<Arc<Token>>,
    view: Arc<View>,
    clock: Clock,
    closing: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request: Request<Incoming>| {
        let response = respond(&request, token.as_deref(), &view, &clock);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(stream), service)
    );
    // Pinned outside: the other branch does not drop it.
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

fn respond(
    request: &Request<Incoming>,
    token: Option<&Token>,
    view: &Arc<View>,
    clock: &Clock,
) -> Response<Full<Bytes>> {
    let presented = request.headers().get(AUTHORIZATION).map(hyper::header::HeaderValue::as_bytes);
    if token.is_some_and(|token| !token.admits(presented)) {
        let mut response = text(StatusCode::UNAUTHORIZED, "a bearer token is required\n");
        response.headers_mut().insert(WWW_AUTHENTICATE, hyper::header::HeaderValue::from_static("Bearer"));
        return response;
    }
    match (request.uri().path(), request.method()) {
        ("/", &Method::GET | &Method::HEAD) => text(StatusCode::OK, ROUTES),
        ("/status", &Method::GET | &Method::HEAD) => {
            let status = status::status(view, clock.now());
            let body =
                serde_json::to_vec_pretty(&status).expect("strings, numbers and lists always serialise");
            with_type("application/json", StatusCode::OK, body)
        }
        ("/metrics", &Method::GET | &Method::HEAD) => match metrics::encode(view, clock) {
            Ok(body) => {
                with_type("application/openmetrics-text; version=1.0.0; charset=utf-8", StatusCode::OK, body)
            }
            Err(fmt::Error) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be encoded\n"),
        },
        ("/probe", &Method::POST) => probe(request.uri().query(), view),
        ("/" | "/status" | "/metrics", _) => not_allowed("GET, HEAD"),
        ("/probe", _) => not_allowed("POST"),
        _ => text(StatusCode::NOT_FOUND, ROUTES),
    }
}

/// Wakes the probe loops that the query names.
fn probe(query: Option<&str>, view: &View) -> Response<Full<Bytes>> {
    let named = match query {
        None | Some("") => None,
        Some(query) => match query.split_once('=') {
            Some(("mirror", name)) => Some(name),
            Some(_) | None => return text(StatusCode::BAD_REQUEST, "the only parameter is mirror=NAME\n"),
        },
    };
    let mut woken = 0;
    for mirror in
        view.mirrors.iter().filter(|mirror| named.is_none_or(|name| name.eq_ignore_ascii_case(&mirror.name)))
    {
        mirror.wake.notify_one();
        woken += 1;
    }
    match woken {
        0 => text(StatusCode::NOT_FOUND, "no mirror of that name\n"),
        _ => text(StatusCode::ACCEPTED, "probing\n"),
    }
}

fn not_allowed(allow: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static(allow));
    response
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    with_type("text/plain; charset=utf-8", status, body)
}

fn with_type(
    content_type: &'static str,
    status: StatusCode,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response
}
