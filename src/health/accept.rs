//! Accepts connections, and answers at once those whose request has arrived.
//!
//! Most checks arrive whole, or whole within microseconds: they are read, answered and closed here with five
//! system calls, without a task, a timer or a registration with epoll. The others get a task of their own
//! ([`connection`](super::connection)). Connections are accepted in batches; between two batches all other tasks on the
//! thread have a turn.
//!
//! When the system has no descriptor left, a waiting connection makes room, or else a reserved descriptor: checks are
//! still answered one by one, even if the rest of the process has used all others.
//!
//! A client outside `allowed_networks` is closed at once if a 403 would need a handshake. Otherwise it gets its refusal
//! at once or never, on one of a few separate seats: strangers take nothing from allowed clients.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::connection::Connection;
use super::head::MAX_HEAD;
use super::listener::Listener;
use super::proxy::{self, Prefix};
use super::server_config::{Purpose, ServerConfig, Service, count};

/// How many connections are accepted before the rest of the thread has a turn. One batch takes about a
/// millisecond.
const BATCH: usize = 64;

/// How often it polls again after a connection came, before it waits for the system to wake it. A poll costs about a
/// microsecond. The request of a connection, and the next check of a burst, mostly come within so many polls; a task or a
/// wake-up would cost more.
const POLLS: usize = 8;

/// The most polls before a closing port is noticed.
const MAX_POLLS: usize = 64;

/// How long to wait when the system has no descriptor or memory left, and no seat can make room.
const PAUSE: Duration = Duration::from_millis(20);

/// How many batches are still accepted from a port that closes: connections in its queue would be reset.
const LAST_BATCHES: usize = 4096 / BATCH;

/// How long clients in an inherited socket's queue wait for the first verdicts of this process, `rise` included. Load
/// balancers give a check two seconds or more, and a restart has taken part of that already.
const HOLD: Duration = Duration::from_millis(1_500);

/// For how long no accept may fail before an episode of exhaustion is over.
const QUIET: Duration = Duration::from_secs(60);

/// Accepts from one listener until it is closed.
pub(super) struct Acceptor {
    socket: AsyncFd<Arc<Listener>>,
    reception: Reception,
}

/// What an acceptor has besides its socket.
struct Reception {
    purpose: Purpose,
    service: Arc<Service>,
    buffer: Box<[u8; MAX_HEAD]>,
    /// How many were accepted: shows whether a connection came.
    accepted: u64,
    /// Accepted just now, and silent so far.
    silent: Vec<(OwnedFd, IpAddr)>,
    reserve: Option<OwnedFd>,
    /// When an accept last failed for lack of a descriptor, in the present episode.
    exhausted: Option<Instant>,
}

/// How a batch ended.
enum Batch {
    /// No connection is waiting any more.
    Drained,
    /// More may be waiting.
    Full,
    /// The system cannot give another connection.
    Exhausted(Errno),
}

// === impl Acceptor ===

impl Acceptor {
    /// An acceptor for `listener`, on the runtime of the calling task.
    #[expect(
        deprecated,
        reason = "its successor is unsafe and makes callers promise what Listener guarantees by its type: it \
                  owns one descriptor, gives it to no other owner, and closes it when dropped"
    )]
    pub(super) fn new(
        listener: Arc<Listener>,
        purpose: Purpose,
        service: Arc<Service>,
    ) -> std::io::Result<Self> {
        let socket = AsyncFd::with_interest(listener, Interest::READABLE)?;
        let buffer = Box::new([0; MAX_HEAD]);
        let mut reception = Reception {
            purpose,
            service,
            buffer,
            accepted: 0,
            silent: Vec::new(),
            reserve: None,
            exhausted: None,
        };
        reception.refill(&socket);
        Ok(Self { socket, reception })
    }

    /// Accepts until `closing`, then accepts the clients that are already in the queue.
    ///
    /// The queue of an inherited socket outlives this process: no connection is taken from it before the first verdicts
    /// are known, and at the end it is left for the next process.
    pub(super) async fn run(mut self, closing: CancellationToken) {
        let inherited = self.socket.get_ref().is_inherited();
        if inherited {
            // Cancel-safe: it only waits.
            tokio::select! {
                () = closing.cancelled() => return,
                _ = tokio::time::timeout(HOLD, self.reception.service.settled()) => {}
            }
        }
        loop {
            // Cancelled while it waits for readiness, this loses nothing: no connection has been taken.
            let mut ready = tokio::select! {
                biased;
                () = closing.cancelled() => break,
                ready = self.socket.readable() => match ready {
                    Ok(ready) => ready,
                    // The runtime is shutting down.
                    Err(_) => return,
                },
            };
            let batch = self.reception.receive(&self.socket).await;
            match batch {
                Batch::Drained => ready.clear_ready(),
                Batch::Full | Batch::Exhausted(_) => ready.retain_ready(),
            }
            drop(ready);
            match batch {
                Batch::Drained => self.reception.refill(&self.socket),
                Batch::Full => {
                    self.reception.refill(&self.socket);
                    tokio::task::yield_now().await;
                }
                Batch::Exhausted(errno) => self.reception.make_room(errno).await,
            }
        }
        if inherited {
            return;
        }
        for _ in 0..LAST_BATCHES {
            match self.reception.receive(&self.socket).await {
                Batch::Full => tokio::task::yield_now().await,
                Batch::Drained | Batch::Exhausted(_) => return,
            }
        }
    }
}

// === impl Reception ===

impl Reception {
    /// Accepts the waiting connections, and polls again while more come. Every other task on the thread has a turn
    /// between two polls.
    async fn receive(&mut self, listener: &AsyncFd<Arc<Listener>>) -> Batch {
        let mut in_vain = POLLS;
        let mut batch = Batch::Full;
        for _ in 0..MAX_POLLS {
            let before = self.accepted;
            batch = self.batch(listener);
            in_vain = if self.accepted == before { in_vain + 1 } else { 0 };
            if in_vain > POLLS || !matches!(batch, Batch::Drained) {
                break;
            }
            self.read_silent(false);
            tokio::task::yield_now().await;
        }
        self.read_silent(true);
        batch
    }

    fn batch(&mut self, listener: &AsyncFd<Arc<Listener>>) -> Batch {
        let server_config = self.service.server_config();
        for _ in 0..BATCH {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match rustix::net::acceptfrom_with(listener, flags) {
                Ok((socket, peer)) => {
                    count(&self.service.tally.accepted);
                    self.accepted = self.accepted.wrapping_add(1);
                    if let Some(Ok(peer)) = peer.map(SocketAddr::try_from) {
                        let peer = peer.ip().to_canonical();
                        if let Some(socket) = self.meet(socket, peer, &server_config) {
                            self.silent.push((socket, peer));
                        }
                    }
                }
                Err(Errno::AGAIN) => return Batch::Drained,
                // The client's or the network's fault, see accept(2): the next may be better.
                Err(
                    errno @ (Errno::CONNABORTED
                    | Errno::INTR
                    | Errno::PERM
                    | Errno::PROTO
                    | Errno::NETDOWN
                    | Errno::NETUNREACH
                    | Errno::HOSTDOWN
                    | Errno::HOSTUNREACH
                    | Errno::NONET
                    | Errno::NOPROTOOPT
                    | Errno::OPNOTSUPP),
                ) => debug!(%errno, "a connection broke before it was accepted"),
                // EMFILE and its like.
                Err(errno) => {
                    // The system needs a descriptor before it checks whether a connection waits. No seat is shed for
                    // nothing.
                    return if is_waiting(listener) { Batch::Exhausted(errno) } else { Batch::Drained };
                }
            }
        }
        Batch::Full
    }

    /// Answers the connections whose request has arrived. The others are kept for another poll, unless this is the
    /// `last` one or there are many of them.
    fn read_silent(&mut self, last: bool) {
        let server_config = self.service.server_config();
        let hand_over = last || self.silent.len() >= BATCH;
        for (socket, peer) in std::mem::take(&mut self.silent) {
            match self.meet(socket, peer, &server_config) {
                None => {}
                Some(socket) if hand_over => self.hand_over(socket, peer, &server_config, 0),
                Some(socket) => self.silent.push((socket, peer)),
            }
        }
    }

    /// Answers at once, or hands over to a task; returns the socket if nothing has arrived yet.
    fn meet(&mut self, socket: OwnedFd, peer: IpAddr, server_config: &Arc<ServerConfig>) -> Option<OwnedFd> {
        if self.purpose == Purpose::AgentCheck || server_config.tls.is_some() {
            self.hand_over(socket, peer, server_config, 0);
            return None;
        }
        match rustix::net::recv(&socket, &mut self.buffer[..], RecvFlags::empty()) {
            Ok((0, _)) => None,
            Ok((received, _)) => {
                if !self.answer(&socket, peer, server_config, received) {
                    self.hand_over(socket, peer, server_config, received);
                }
                None
            }
            Err(Errno::AGAIN) => Some(socket),
            Err(_) => None,
        }
    }

    /// Answers the request in the buffer if it is whole and nothing follows it.
    fn answer(&self, socket: &OwnedFd, peer: IpAddr, server_config: &ServerConfig, received: usize) -> bool {
        let mut caller = server_config.caller(peer);
        let mut bytes = &self.buffer[..received];
        if server_config.proxy_protocol {
            match proxy::split(bytes) {
                Prefix::Absent => {}
                Prefix::Header { length, client } => {
                    bytes = &bytes[length..];
                    caller.client = client.unwrap_or(peer);
                }
                Prefix::Partial | Prefix::Malformed => return false,
            }
        }
        let Some(answer) = server_config.hear(caller, bytes, 0, self.service.clock.now()) else {
            return false;
        };
        if !answer.heard_out {
            return false;
        }
        // The send buffer of a fresh connection takes any answer whole; a client that is gone needs none.
        // MORE holds the answer back until our side is closed just below, so that both go in one segment:
        // that spares each end a wake-up and an acknowledgement. Closing the socket would send it as well,
        // but discard it if the client had sent something more by then.
        let send_flags = SendFlags::NOSIGNAL | SendFlags::MORE;
        let sent = rustix::net::send(socket, &answer.response.bytes, send_flags)
            .and_then(|_| rustix::net::shutdown(socket, Shutdown::Write));
        match sent {
            Ok(()) => self.service.record(server_config, caller, &answer.response),
            Err(errno) => debug!(%errno, "a client left before its answer"),
        }
        true
    }

    fn hand_over(&self, socket: OwnedFd, peer: IpAddr, server_config: &Arc<ServerConfig>, received: usize) {
        let caller = server_config.caller(peer);
        if !caller.admitted && (self.purpose == Purpose::AgentCheck || server_config.tls.is_some()) {
            // A 403 would need a handshake there.
            return;
        }
        if !self.service.seats.admit(caller.source) {
            count(&self.service.tally.shed);
            return;
        }
        let stream = match TcpStream::from_std(socket.into()) {
            Ok(stream) => stream,
            Err(error) => {
                debug!(%error, "a connection cannot be watched");
                return;
            }
        };
        let connection = Connection {
            stream,
            caller,
            received: self.buffer[..received].to_vec(),
            server_config: Arc::clone(server_config),
            service: Arc::clone(&self.service),
        };
        let (seats, limit) = (&self.service.seats, server_config.max_connections);
        let shed = match self.purpose {
            Purpose::Page => seats.take(limit, caller.source, connection.serve_page()),
            Purpose::AgentCheck => seats.take(limit, caller.source, connection.serve_agent()),
        };
        if shed {
            count(&self.service.tally.shed);
        }
    }

    async fn make_room(&mut self, errno: Errno) {
        count(&self.service.tally.exhausted);
        if self.exhausted.replace(Instant::now()).is_none() {
            warn!(
                error = %std::io::Error::from(errno),
                waiting = self.service.seats.taken(),
                "failed to accept a connection, an idle one is closed to make room \
                 (raise LimitNOFILE= in the unit)"
            );
        }
        if self.service.seats.shed_one() {
            count(&self.service.tally.shed);
            // Its descriptor is closed when its task is dropped.
            tokio::task::yield_now().await;
        } else if self.reserve.take().is_none() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes back the reserve, if it was used.
    fn refill(&mut self, listener: &AsyncFd<Arc<Listener>>) {
        if self.reserve.is_none() {
            self.reserve = rustix::io::fcntl_dupfd_cloexec(listener, 0).ok();
        }
        if self.exhausted.is_some_and(|last| last.elapsed() > QUIET) {
            self.exhausted = None;
            info!("file descriptors have sufficed for a minute");
        }
    }
}

/// Whether a connection waits to be accepted.
fn is_waiting(listener: &AsyncFd<Arc<Listener>>) -> bool {
    let mut polled = [PollFd::new(listener, PollFlags::IN)];
    // Zero does not wait. If even this fails, trying again decides.
    rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))
        .map_or(true, |ready| ready > 0)
}
