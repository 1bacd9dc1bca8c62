//! One connection that needs more than a single read: read the head, answer, close.
//!
//! Every wait here is for the client, and has a deadline. The head (PROXY header and TLS handshake included) must arrive
//! within `header_timeout` of the accept, and the whole connection must end within `request_timeout`. A client that is not
//! allowed gets the refusal if its request comes at once, and is otherwise closed without an answer. There is one request
//! per connection: anything else that a client sends is read, within bounds, and dropped.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tracing::debug;

use super::agent;
use super::proxy::{self, Prefix};
use super::respond::{About, Response};
use super::server_config::{Answer, Caller, ServerConfig, Service, count};

/// How much is read and dropped after the answer, so that closing does not reset the connection.
const LINGER_BYTES: usize = 64 * 1024;
/// For how long.
const LINGER_TIME: Duration = Duration::from_secs(1);
/// How long a client that is not allowed may take in total: a request that comes with its connection gets 403.
const STRANGERS_TIME: Duration = Duration::from_millis(250);
/// How much room a read gets: the head of a usual check fits, and thousands of idle connections stay small.
const READ_SIZE: usize = 512;

/// One accepted connection and what it needs.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) caller: Caller,
    /// What was read from it already.
    pub(super) received: Vec<u8>,
    pub(super) server_config: Arc<ServerConfig>,
    pub(super) service: Arc<Service>,
}

// === impl Connection ===

impl Connection {
    /// Answers a request for a page.
    pub(super) async fn serve_page(self) {
        let service = Arc::clone(&self.service);
        let opened = Instant::now();
        let head_due = opened + self.server_config.header_timeout;
        let whole = if self.caller.admitted { Duration::MAX } else { STRANGERS_TIME };
        let all_due = opened + self.server_config.request_timeout.min(whole);
        ended(timeout_at(all_due, self.page(head_due)).await, &service);
    }

    /// Answers an agent check.
    pub(super) async fn serve_agent(self) {
        let service = Arc::clone(&self.service);
        let opened = Instant::now();
        let head_due = opened + self.server_config.header_timeout;
        let all_due = opened + self.server_config.request_timeout;
        ended(timeout_at(all_due, self.agent(head_due)).await, &service);
    }

    async fn page(mut self, head_due: Instant) -> io::Result<()> {
        let mut caller = self.caller;
        if self.server_config.proxy_protocol {
            match timeout_at(head_due, self.prefix()).await {
                Ok(client) => caller.client = client?.unwrap_or(caller.client),
                Err(_elapsed) if self.server_config.tls.is_some() => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                // The same deadline is met again below, and answered there.
                Err(_elapsed) => {}
            }
        }
        let Some(tls) = self.server_config.tls.clone() else {
            let Self { mut stream, received, server_config, service, .. } = self;
            // Holds the answer back until our side is closed, so that both go in one segment.
            sockopt::set_tcp_cork(&stream, true)?;
            return Exchange { server_config: &server_config, service: &service, caller }
                .exchange(&mut stream, received, head_due)
                .await;
        };
        // Boxed: a handshake's state would make every plain connection's task large.
        Box::pin(async move {
            let Self { stream, received, server_config, service, .. } = self;
            stream.set_nodelay(true)?;
            let (unread, sending) = stream.into_split();
            // Bytes of the handshake may have come in one piece with the PROXY header before it.
            let stream = tokio::io::join(io::Cursor::new(received).chain(unread), sending);
            let greeting = LazyConfigAcceptor::new(Acceptor::default(), stream);
            let handshake = async {
                let greeted = greeting.await?;
                let regular = service.seats.is_regular(caller.source);
                let slot = service.handshakes.enter(caller.source, regular).await;
                let stream = greeted.into_stream(tls.current()).await?;
                slot.succeeded();
                io::Result::Ok(stream)
            };
            let mut stream = timeout_at(head_due, handshake).await??;
            Exchange { server_config: &server_config, service: &service, caller }
                .exchange(&mut stream, Vec::new(), head_due)
                .await
        })
        .await
    }

    /// Reads up to the end of a PROXY header and takes it out; the client that it names.
    async fn prefix(&mut self) -> io::Result<Option<IpAddr>> {
        loop {
            match proxy::split(&self.received) {
                Prefix::Absent => return Ok(None),
                Prefix::Header { length, client } => {
                    self.received.drain(..length);
                    return Ok(client);
                }
                Prefix::Malformed => {
                    // Not an HTTP request either: `PROXY` and the signature are answered 400 as such.
                    return Ok(None);
                }
                Prefix::Partial => {
                    self.received.reserve(READ_SIZE);
                    if self.stream.read_buf(&mut self.received).await? == 0 {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn agent(mut self, head_due: Instant) -> io::Result<()> {
        let caller = self.caller;
        if !caller.admitted {
            return Ok(());
        }
        let mirror = if let [_] = self.server_config.mirrors.as_slice() {
            Some(0)
        } else {
            if let Ok(read) = timeout_at(head_due, self.line()).await {
                read?;
            }
            let line = self.received.split(|&b| b == b'\n').next().unwrap_or_default();
            std::str::from_utf8(line)
                .ok()
                .and_then(|name| self.server_config.routes.mirror_named(name.trim()))
        };
        let Some(mirror) = mirror else {
            self.stream.write_all(agent::UNKNOWN_MIRROR.as_bytes()).await?;
            return linger(&mut self.stream, &mut self.received).await;
        };
        let now = self.service.clock.now();
        let verdict = self.server_config.mirrors[mirror].snapshot.borrow().verdict_at(now);
        self.stream.write_all(agent::line(&verdict).as_bytes()).await?;
        let about = Some(About { mirror, verdict: true });
        let sent = Response { status: agent::status(&verdict), bytes: (&[][..]).into(), about };
        self.service.record(&self.server_config, caller, &sent);
        linger(&mut self.stream, &mut self.received).await
    }

    /// Reads up to the end of a line, of the stream, or of what a line may have.
    async fn line(&mut self) -> io::Result<()> {
        while !self.received.contains(&b'\n') && self.received.len() < agent::MAX_LINE {
            self.received.reserve(READ_SIZE);
            if self.stream.read_buf(&mut self.received).await? == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// One request and one answer.
struct Exchange<'a> {
    server_config: &'a ServerConfig,
    service: &'a Service,
    caller: Caller,
}

// === impl Exchange ===

impl Exchange<'_> {
    async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        mut received: Vec<u8>,
        head_due: Instant,
    ) -> io::Result<()> {
        let answer = match timeout_at(head_due, self.listen(stream, &mut received)).await {
            Ok(heard) => match heard? {
                Some(answer) => answer,
                // Closed without having asked anything, as checks of the TCP port alone do.
                None => return Ok(()),
            },
            Err(_elapsed) => {
                count(&self.service.tally.late);
                Answer { response: Response::timeout(), heard_out: false }
            }
        };
        stream.write_all(&answer.response.bytes).await?;
        stream.flush().await?;
        self.service.record(self.server_config, self.caller, &answer.response);
        if answer.heard_out { stream.shutdown().await } else { linger(stream, &mut received).await }
    }

    /// Reads until there is an answer; `None` if the client closed before it sent anything.
    async fn listen<S: AsyncRead + Unpin>(
        &self,
        stream: &mut S,
        received: &mut Vec<u8>,
    ) -> io::Result<Option<Answer>> {
        let mut seen = 0;
        loop {
            let answer = self.server_config.hear(self.caller, received, seen, self.service.clock.now());
            if answer.is_some() {
                return Ok(answer);
            }
            seen = received.len();
            received.reserve(READ_SIZE);
            if stream.read_buf(received).await? == 0 {
                let now = self.service.clock.now();
                let asked = !received.is_empty();
                return Ok(if asked {
                    self.server_config.hear_last(self.caller, received, now)
                } else {
                    None
                });
            }
        }
    }
}

/// Closes our side and reads what still comes, so that a reset does not destroy the answer on its way
/// (RFC 9112 section 9.6).
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, scratch: &mut Vec<u8>) -> io::Result<()> {
    stream.shutdown().await?;
    let drained = timeout(LINGER_TIME, async {
        let mut dropped = 0;
        while dropped < LINGER_BYTES {
            scratch.clear();
            scratch.reserve(READ_SIZE);
            match stream.read_buf(scratch).await? {
                0 => break,
                read => dropped += read,
            }
        }
        Ok(())
    });
    drained.await.unwrap_or(Ok(()))
}

fn ended(result: Result<io::Result<()>, tokio::time::error::Elapsed>, service: &Service) {
    match result {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => count(&service.tally.late),
        Ok(Err(error)) => debug!(%error, "a client's connection broke"),
        Err(_elapsed) => count(&service.tally.late),
    }
}
