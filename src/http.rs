//! The one HTTP client: a single request on a connection of its own, with one deadline and a bounded answer.
//!
//! Used by probes, peers, the Kubernetes API, the commands that ask a daemon, and the demo; it knows nothing about
//! roles. Connections are not kept: a kept one leads to the server that it once reached, so the first request to an
//! instance that was restarted or moved would fail. Redirections are not followed: the question is about one machine,
//! and they may lead to another. The deadline covers the look-up of the name, the connection, the TLS handshake and the
//! whole answer.
//!
//! Errors never show the query of the address: it may contain a password.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, LOCATION, USER_AGENT,
};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::blocking::SingleFlight;
use crate::config::HttpTarget;
use crate::observation::NoEvidence;
use crate::text::{chain, printable};

mod trust;

use trust::Trust;

/// How much of another's words is shown, in characters.
const SHOWN: usize = 300;

/// How long the head of an answer may be.
const HEAD_LIMIT: usize = 16 * 1024;

/// How many addresses of a name are tried.
const ADDRESSES_TRIED: usize = 4;

/// Reads one page of a machine over plain HTTP, as [`Client::get`] does, within `limit`.
#[cfg(feature = "simulation")]
pub(crate) async fn get(address: SocketAddr, path: &str, limit: Duration) -> Result<Answer, NoEvidence> {
    /// A status document with a full history is far below.
    const LONGEST_ANSWER: usize = 1 << 20;
    let url = format!("http://{address}{path}")
        .parse()
        .map_err(|error| NoEvidence::Failed(format!("`http://{address}{path}` is no URL: {error}")))?;
    let mut client = Client::new(&HttpTarget { url, ca_file: None }, limit, LONGEST_ANSWER);
    // Boxed: a TLS handshake in flight is kilobytes that every caller would carry otherwise.
    Box::pin(client.get()).await
}

/// Asks one address.
#[derive(Debug)]
pub(crate) struct Client {
    url: Uri,
    timeout: Duration,
    body_limit: usize,
    authorization: Option<String>,
    trust: Trust,
    looking_up: SingleFlight<io::Result<Vec<SocketAddr>>>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Its whole body.
    pub(crate) body: Bytes,
    headers: HeaderMap,
}

// === impl Client ===

impl Client {
    pub(crate) fn new(target: &HttpTarget, timeout: Duration, body_limit: usize) -> Self {
        Self {
            url: target.url.clone(),
            timeout,
            body_limit,
            authorization: None,
            trust: Trust::new(target.ca_file.clone()),
            looking_up: SingleFlight::new(),
        }
    }

    /// The same client with a value for the `Authorization` header; it is never shown to people.
    #[must_use]
    pub(crate) fn authorized(self, authorization: Option<String>) -> Self {
        Self { authorization, ..self }
    }

    /// Asks once. A redirection counts as a failure.
    pub(crate) async fn get(&mut self) -> Result<Answer, NoEvidence> {
        self.get_with(&[]).await
    }

    /// The same with further header fields.
    pub(crate) async fn get_with(&mut self, fields: &[(&str, &str)]) -> Result<Answer, NoEvidence> {
        let request = Request::get("/").header(ACCEPT, "text/plain, */*;q=0.1");
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(self.authorize(request).body(Full::default())).await
    }

    /// Sends a JSON document once. A redirection counts as a failure.
    pub(crate) async fn post(&mut self, json: String) -> Result<Answer, NoEvidence> {
        let request = Request::post("/").header(CONTENT_TYPE, "application/json");
        self.send(self.authorize(request).body(json.into())).await
    }

    fn authorize(&self, request: hyper::http::request::Builder) -> hyper::http::request::Builder {
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    /// Sends `request` once to the client's address, with the common headers. A redirection counts as a failure.
    pub(crate) async fn send(
        &mut self,
        request: Result<Request<Full<Bytes>>, hyper::http::Error>,
    ) -> Result<Answer, NoEvidence> {
        let request = request.and_then(|request| self.complete(request));
        let request =
            request.map_err(|error| NoEvidence::Failed(format!("failed to ask `{self}`: {error}")))?;
        let after = self.timeout;
        let deadline = Instant::now() + after;
        let answer = timeout_at(deadline, self.exchange(request, deadline)).await;
        answer.unwrap_or(Err(NoEvidence::TimedOut { after }))
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Answer, NoEvidence> {
        let Some(host) = self.url.host().map(|host| host.trim_matches(['[', ']']).to_owned()) else {
            return Err(NoEvidence::Failed(format!("`{self}` names no host")));
        };
        let secure = self.url.scheme_str() == Some("https");
        let port = self.url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        // First, so that an unreadable certificate file is named even while no server answers.
        let connector = if secure { Some(self.trust.connector().await?) } else { None };
        let addresses = self.look_up(&host, port).await?;
        let stream = connect(&addresses, deadline).await?;
        match connector {
            None => self.ask(request, stream).await,
            Some(connector) => {
                let name = rustls_pki_types::ServerName::try_from(host)
                    .map_err(|_| NoEvidence::Failed(format!("`{self}` names no valid host")))?;
                let stream = connector.connect(name, stream).await.map_err(|error| {
                    NoEvidence::Unreachable(format!(
                        "TLS handshake failed: {}; check that its authority is in `ca_file`",
                        printable(&error.to_string(), SHOWN)
                    ))
                })?;
                self.ask(request, stream).await
            }
        }
    }

    async fn look_up(&mut self, host: &str, port: u16) -> Result<Vec<SocketAddr>, NoEvidence> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let name = host.to_owned();
        let found = self
            .looking_up
            .run(move || Ok((name.as_str(), port).to_socket_addrs()?.take(ADDRESSES_TRIED).collect()))
            .await;
        found.map_err(|error| NoEvidence::Unreachable(format!("failed to look up `{host}`: {error}")))
    }

    /// One request and its answer on a fresh connection.
    async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> Result<Answer, NoEvidence> {
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(HEAD_LIMIT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| explain(&error))?;
        let exchange = async move {
            let response = sender.send_request(request).await.map_err(|error| explain(&error))?;
            refuse_redirection(&response)?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = self.read_body(response).await?;
            Ok(Answer { status, body, headers })
        };
        // The connection is driven here, so that it ends with the question.
        let mut exchange = pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // Its error also reaches the exchange, which words it; its end leaves the body to be read.
            _closed = connection => exchange.await,
        }
    }

    /// The request with its path and the common headers.
    fn complete(&self, request: Request<Full<Bytes>>) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let host = match (self.url.host(), self.url.port_u16()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let (mut head, body) = request.into_parts();
        head.uri = path.parse()?;
        head.headers.insert(HOST, host.parse()?);
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let agent = HeaderValue::from_static(concat!("mirrorvip/", env!("CARGO_PKG_VERSION")));
        head.headers.insert(USER_AGENT, agent);
        Ok(Request::from_parts(head, body))
    }

    async fn read_body(&self, response: Response<hyper::body::Incoming>) -> Result<Bytes, NoEvidence> {
        let collected = Limited::new(response.into_body(), self.body_limit).collect().await;
        collected.map(http_body_util::Collected::to_bytes).map_err(|error| {
            if error.is::<LengthLimitError>() {
                NoEvidence::TooLong { limit: self.body_limit }
            } else {
                let text = printable(&chain(&*error), SHOWN);
                NoEvidence::Unreachable(format!("the answer broke off: {text}"))
            }
        })
    }
}

// === impl Answer ===

impl Answer {
    /// A header field's value, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// An answer for tests.
    #[cfg(test)]
    pub(crate) fn of(status: u16, fields: &[(&'static str, &str)], body: &str) -> Self {
        let field = |(name, value): &(&'static str, &str)| {
            (hyper::header::HeaderName::from_static(name), value.parse().expect("a header's value"))
        };
        Self {
            status: StatusCode::from_u16(status).expect("a status code"),
            body: Bytes::copy_from_slice(body.as_bytes()),
            headers: fields.iter().map(field).collect(),
        }
    }
}

impl fmt::Display for Client {
    /// The address without user information and query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.scheme_str().unwrap_or("http");
        write!(f, "{scheme}://{}", self.url.host().unwrap_or_default())?;
        if let Some(port) = self.url.port_u16() {
            write!(f, ":{port}")?;
        }
        f.write_str(self.url.path())
    }
}

/// Connects to the first address that accepts. Each gets its share of the remaining time, so that a silent one does not
/// use up all of it.
async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, NoEvidence> {
    let mut last = "the name has no address".to_owned();
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / left;
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = format!("failed to connect to {address}: {error}"),
            Err(_elapsed) => last = format!("failed to connect to {address}: no answer"),
        }
    }
    Err(NoEvidence::Unreachable(last))
}

fn refuse_redirection<B>(response: &Response<B>) -> Result<(), NoEvidence> {
    if !response.status().is_redirection() {
        return Ok(());
    }
    let location = response.headers().get(LOCATION).map(|l| String::from_utf8_lossy(l.as_bytes()));
    let location = location.as_deref().and_then(|l| l.split(['?', '#']).next()).unwrap_or("nowhere");
    Err(NoEvidence::Failed(format!(
        "the server redirects ({}) to {}; set `url` to the page itself",
        response.status().as_u16(),
        printable(location, SHOWN)
    )))
}

fn explain(error: &hyper::Error) -> NoEvidence {
    let text = printable(&chain(error), SHOWN);
    if error.is_parse() {
        NoEvidence::Unparsable(format!("the answer is not HTTP: {text}"))
    } else {
        NoEvidence::Unreachable(format!("the connection broke: {text}"))
    }
}
