//! What every connection needs: the present configuration, the mirrors, the clock.
//!
//! A [`ServerConfig`] never changes. A reload publishes another [`Plan`]; connections that are open finish with the
//! configuration they began with, new ones get the new one, and no request sees half of each.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;

use super::Mirror;
use super::checkers::Checkers;
use super::handshakes::Handshakes;
use super::head::{self, Parsed};
use super::listener::Listener;
use super::respond::{Response, respond};
use super::route::Routes;
use super::seats::Seats;
use super::source::Source;
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::snapshot::Snapshot;
use crate::tls::ReloadingCertificate;

/// What the health thread should be doing.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) server_config: Arc<ServerConfig>,
    /// The sockets to accept from. Kept apart from the server configuration: a holder of both would keep the port open.
    pub(super) listeners: Vec<(Arc<Listener>, Purpose)>,
}

/// What is spoken on a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// HTTP, over TLS if the server configuration has a certificate.
    Page,
    /// HAProxy's agent check.
    AgentCheck,
}

/// One configuration of the health listener.
#[derive(Debug)]
pub(super) struct ServerConfig {
    pub(super) mirrors: Vec<Mirror>,
    pub(super) routes: Routes,
    pub(super) tls: Option<Arc<ReloadingCertificate>>,
    pub(super) proxy_protocol: bool,
    pub(super) header_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) max_connections: usize,
    allowed_networks: Vec<IpNet>,
}

/// The client of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// The TCP peer, or the client that a PROXY header names; only recorded.
    pub(super) client: IpAddr,
    /// Whether the TCP peer is allowed.
    pub(super) admitted: bool,
    /// The source whose seats it takes: the TCP peer's.
    pub(super) source: Source,
}

/// What to send, and what may still be coming.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response,
    /// Whether everything that the client sends has been read. Closing a socket with unread bytes resets the connection,
    /// and the reset may overtake the answer.
    pub(super) heard_out: bool,
}

/// What the tasks of the health thread share.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) plan: watch::Receiver<Plan>,
    pub(super) clock: Clock,
    pub(super) checkers: Checkers,
    pub(super) seats: Arc<Seats>,
    pub(super) handshakes: Arc<Handshakes>,
    pub(super) tally: Arc<Tally>,
}

/// What the health listener counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: u64,
    /// Requests answered, with whatever status; agent checks included.
    pub answered: u64,
    /// Connections closed early, to make room for others or because of a flood.
    pub shed: u64,
    /// Connections closed because a deadline passed.
    pub late: u64,
    /// Times that the system had no descriptor or no memory for another connection.
    pub exhausted: u64,
}

/// [`Counters`] while they are counted.
#[derive(Debug, Default)]
pub struct Tally {
    pub(super) accepted: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) shed: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) exhausted: AtomicU64,
}

// === impl ServerConfig ===

impl ServerConfig {
    pub(super) fn new(
        settings: &config::Health,
        mirrors: Vec<Mirror>,
        tls: Option<Arc<ReloadingCertificate>>,
    ) -> Self {
        Self {
            routes: Routes::new(mirrors.iter().map(|mirror| (&*mirror.name, mirror.paths.as_slice()))),
            mirrors,
            tls,
            proxy_protocol: settings.proxy_protocol,
            header_timeout: settings.header_timeout,
            request_timeout: settings.request_timeout,
            max_connections: settings.max_connections,
            allowed_networks: settings.allowed_networks.clone(),
        }
    }

    /// The caller from `peer`, a canonical address.
    pub(super) fn caller(&self, peer: IpAddr) -> Caller {
        let networks = &self.allowed_networks;
        let admitted = networks.is_empty() || networks.iter().any(|network| network.contains(&peer));
        Caller { client: peer, admitted, source: Source::of(peer, admitted) }
    }

    /// The answer to the bytes of a client so far, of which the first `seen` were not enough before; `None` if there is
    /// none yet.
    pub(super) fn hear(&self, caller: Caller, bytes: &[u8], seen: usize, now: Timestamp) -> Option<Answer> {
        self.judge(caller, head::parse(bytes, seen), bytes.len(), now)
    }

    /// The answer to a client that will not send any more.
    pub(super) fn hear_last(&self, caller: Caller, bytes: &mut Vec<u8>, now: Timestamp) -> Option<Answer> {
        let parsed = head::parse_at_end(bytes);
        let answer = self.judge(caller, parsed, 0, now);
        answer.map(|answer| Answer { heard_out: true, ..answer })
    }

    fn judge(&self, caller: Caller, parsed: Parsed<'_>, received: usize, now: Timestamp) -> Option<Answer> {
        let (response, heard_out) = match parsed {
            Parsed::Partial => return None,
            Parsed::Complete { head, length } => {
                let heard_out = length == received && !head.body;
                let response = if caller.admitted {
                    respond(&head, &self.routes, &self.mirrors, now)
                } else {
                    Response::forbidden()
                };
                (response, heard_out)
            }
            Parsed::Malformed => (Response::bad_request(), false),
            Parsed::TooLong => (Response::too_long(), false),
        };
        Some(Answer { response, heard_out })
    }
}

// === impl Service ===

impl Service {
    /// The configuration to begin a connection with.
    pub(super) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.plan.borrow().server_config)
    }

    /// Waits until every mirror has a verdict that more of the same answers will not change.
    pub(super) async fn settled(&self) {
        for mirror in &self.server_config().mirrors {
            let mut snapshot = mirror.snapshot.clone();
            // An error means that its loop has ended: there is nothing to wait for.
            let _ = snapshot.wait_for(Snapshot::has_settled).await;
        }
    }

    /// Records an answer that was sent.
    pub(super) fn record(&self, server_config: &ServerConfig, caller: Caller, response: &Response) {
        count(&self.tally.answered);
        self.seats.answered(caller.source, response.about.is_some());
        if let Some(about) = response.about {
            let mirror = &server_config.mirrors[about.mirror].name;
            let now = self.clock.now();
            self.checkers.record(caller.client, mirror, about.verdict, response.status, now);
        }
    }
}

// === impl Tally ===

impl Tally {
    /// Counts a connection.
    #[cfg(test)]
    pub(crate) fn accept_for_test(&self) {
        count(&self.accepted);
    }

    /// The counts of this moment.
    pub fn read(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            accepted: read(&self.accepted),
            answered: read(&self.answered),
            shed: read(&self.shed),
            late: read(&self.late),
            exhausted: read(&self.exhausted),
        }
    }
}

/// Adds one to a counter that nothing is synchronised by.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
