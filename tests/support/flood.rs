//! A peer that answers without end: the head that a test gives, and then one piece again and again, until the client
//! closes.
//!
//! Included by unit tests of the library and by integration tests alike, so it knows neither.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of this module")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a flood gives at most, so that a test that fails does not use up the machine's memory.
const MOST: usize = 64 * 1024 * 1024;

/// The head of an answer of unknown length.
pub const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\
     transfer-encoding: chunked\r\n\r\n";

/// The peer. Ends with its value.
pub struct Flood {
    address: SocketAddr,
    seen: Arc<Seen>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    sent: AtomicUsize,
}

// === impl Flood ===

impl Flood {
    /// Starts on a port of its own; `pause` is how long it waits after each piece.
    pub async fn start(head: &str, piece: &str, pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let seen = Arc::<Seen>::default();
        let (head, piece): (Arc<str>, Arc<str>) = (head.into(), piece.into());
        let mut server = JoinSet::new();
        let counting = Arc::clone(&seen);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (head, piece, seen) = (Arc::clone(&head), Arc::clone(&piece), Arc::clone(&counting));
                connections.spawn(answer(stream, head, piece, pause, seen));
            }
        });
        Self { address, seen, _server: server }
    }

    /// A body of unknown length, as fast as it is taken.
    pub async fn of_chunks() -> Self {
        let chunk = "x".repeat(0x4000);
        Self::start(CHUNKED, &format!("4000\r\n{chunk}\r\n"), Duration::ZERO).await
    }

    /// A body of unknown length, drop by drop.
    pub async fn of_drops() -> Self {
        Self::start(CHUNKED, "1\r\nx\r\n", Duration::from_millis(100)).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as the beginning of a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often it was asked.
    pub fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::Relaxed)
    }

    /// How many bytes it got rid of, those in the buffers of sockets included.
    pub fn sent(&self) -> usize {
        self.seen.sent.load(Ordering::Relaxed)
    }
}

async fn answer(mut stream: TcpStream, head: Arc<str>, piece: Arc<str>, pause: Duration, seen: Arc<Seen>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if !stream.read_buf(&mut request).await.is_ok_and(|n| n > 0) {
            return;
        }
    }
    seen.requests.fetch_add(1, Ordering::Relaxed);
    let mut sent = stream.write_all(head.as_bytes()).await;
    while sent.is_ok() && seen.sent.load(Ordering::Relaxed) < MOST {
        sent = stream.write_all(piece.as_bytes()).await;
        seen.sent.fetch_add(piece.len(), Ordering::Relaxed);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}
