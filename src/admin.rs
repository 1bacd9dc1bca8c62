//! The admin listener: the control plane's interface for people and for monitoring.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | this table, as text |
//! | `GET /status` | evidence, verdicts and reasons: [`status::Status`] as JSON |
//! | `GET /metrics` | [`metrics::METRICS`] in the OpenMetrics text format |
//! | `POST /probe` | probes every mirror at once, or the one in `?mirror=NAME`; 202 |
//! | `GET /take` | what an operator's decision would override: [`take::Offer`] as JSON; 409 with the reason if there is nothing to take |
//! | `POST /take` | carries the decision out: [`take::Decision`] in, [`take::Outcome`] out, both JSON |
//!
//! It runs on the control plane's runtime; its load does not affect the health listener, which has its own thread. It
//! listens on loopback by default; on any other address the configuration requires TLS or a bearer token. All but two
//! requests only read: `POST /probe` wakes a probe loop, and `POST /take` directs clients to this member. `browser` refuses
//! requests that a web page may have caused; `seats` reserves connections for admitted clients.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config;
use crate::tls::{ReloadingCertificate, TlsError};

mod browser;
pub mod metrics;
mod respond;
mod seats;
pub mod status;
pub mod take;
mod token;
mod view;

use respond::{Context, respond};
use seats::Seats;
pub use token::{Token, TokenError};
pub use view::{Build, ConfigurationView, MirrorView, SteeringView, View};

/// Connections for admitted clients (people, one or two scrapers, a `^ZMIRROR`), and as many again for clients that are not
/// admitted yet.
const SEATS: usize = 64;

/// How long one connection may last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take for its TLS handshake, and to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The minimum time between two handshakes: each costs milliseconds of the thread that also probes the instance, and any
/// client may begin one.
const HANDSHAKE_GAP: Duration = Duration::from_millis(20);

/// How long requests under way may take to finish once the listener is handed back.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);

/// How connections are protected.
#[derive(Clone)]
pub struct Access {
    tls: Option<Arc<ReloadingCertificate>>,
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

/// Opens the admin address, or uses `inherited`, which is already bound to it; no request is answered before [`serve`].
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

/// Answers until it is cancelled. Then it hands the listener back at once, so that a reload refuses no connection, and
/// finishes the requests under way.
pub async fn serve(
    listener: TcpListener,
    access: Access,
    view: watch::Receiver<Arc<View>>,
    clock: Clock,
    cancelled: CancellationToken,
    handed_back: oneshot::Sender<TcpListener>,
) {
    let mut connections = JoinSet::new();
    let seats = Seats::new(SEATS);
    let handshakes = Arc::new(Mutex::new(Instant::now()));
    let mut renewal = pin!(renew(access.tls.clone()));
    loop {
        // Cancel-safe: `accept` loses no connection and `join_next` no task when they are dropped.
        tokio::select! {
            biased;
            () = cancelled.cancelled() => break,
            () = &mut renewal => {}
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => {
                    let client = client.ip().to_canonical();
                    let context = Context {
                        guarded: access.tls.is_some() || access.token.is_some(),
                        token: access.token.clone(),
                        view: Arc::clone(&view.borrow()),
                        clock: clock.clone(),
                        client,
                        seat: seats.take(client),
                    };
                    let tls = access.tls.clone().map(|certificate| (certificate, Arc::clone(&handshakes)));
                    let answer = connection(stream, tls, context, cancelled.clone());
                    connections.spawn(tokio::time::timeout(CONNECTION_TIMEOUT, answer));
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    // If the daemon ends, no task takes the listener, and the port closes here.
    drop(handed_back.send(listener));
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(CLOSING_TIMEOUT, finished).await.is_err() {
        tracing::debug!(cut = connections.len(), "admin requests did not finish in time");
    }
}

// === impl StartError ===

impl StartError {
    /// How to correct it: a full sentence, if there is advice.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Bind { source, .. } => Some(match source.kind() {
                io::ErrorKind::AddrInUse => {
                    "Another program or another mirrorvip uses it: `ss -ltnp` shows which."
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
        let tls = settings.tls.as_ref().map(ReloadingCertificate::load).transpose()?.map(Arc::new);
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

/// Reloads the certificate when its files change; never ends.
async fn renew(certificate: Option<Arc<ReloadingCertificate>>) {
    if let Some(certificate) = certificate {
        certificate.follow().await;
    }
    std::future::pending::<()>().await;
}

/// One connection; the caller limits its time. Errors are not reported.
async fn connection(
    stream: TcpStream,
    tls: Option<(Arc<ReloadingCertificate>, Arc<Mutex<Instant>>)>,
    context: Context,
    closing: CancellationToken,
) {
    match tls {
        None => exchange(stream, context, closing).await,
        Some((certificate, handshakes)) => {
            let handshake =
                tokio::time::timeout(HEADER_TIMEOUT, handshake(stream, &certificate, &handshakes));
            // Cancel-safe: a handshake that is dropped is a connection that is closed.
            let stream = tokio::select! {
                () = context.seat.shed() => return,
                stream = handshake => stream,
            };
            if let Ok(Ok(stream)) = stream {
                exchange(stream, context, closing).await;
            }
        }
    }
}

/// The TLS handshake. Clients take turns once their first message has arrived, so a silent client delays no other.
async fn handshake(
    stream: TcpStream,
    certificate: &ReloadingCertificate,
    next: &Mutex<Instant>,
) -> io::Result<TlsStream<TcpStream>> {
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    // First come, first served.
    let mut next = next.lock().await;
    sleep_until(*next).await;
    *next = Instant::now() + HANDSHAKE_GAP;
    drop(next);
    hello.into_stream(certificate.current()).await
}

/// Answers requests until the client closes the connection or, once `closing`, until the request under way is answered.
async fn exchange<S>(stream: S, context: Context, closing: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let context = &context;
    let service =
        service_fn(move |request| async move { Ok::<_, Infallible>(respond(request, context).await) });
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(stream), service)
    );
    // Pinned outside: the other branches do not drop it.
    let result = tokio::select! {
        () = context.seat.shed() => return,
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
