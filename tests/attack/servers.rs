//! Servers that the daemon asks, and that answer as no server should: the AWS endpoint, the metadata service, a peer.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Manner {
    /// Says that it is unavailable.
    Polite = 0,
    /// Sends chunks without end.
    Endless = 1,
    /// Sends one XML element with 140,000 attributes.
    Wide = 2,
}

/// A running server. It ends with the process.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    manner: Arc<AtomicU8>,
    sent: Arc<AtomicU64>,
}

// === impl Server ===

impl Server {
    /// Starts a polite one.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = Self {
            address: listener.local_addr()?,
            manner: Arc::new(AtomicU8::new(Manner::Polite as u8)),
            sent: Arc::default(),
        };
        let shared = server.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = shared.clone();
                // What the daemon does not read any more is an end like any other.
                std::thread::spawn(move || server.serve(client).ok());
            }
        });
        Ok(server)
    }

    /// How it answers from here on; answers under way end.
    pub(crate) fn set(&self, manner: Manner) {
        self.manner.store(manner as u8, Ordering::Relaxed);
    }

    /// How many bytes it has sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn is(&self, manner: Manner) -> bool {
        self.manner.load(Ordering::Relaxed) == manner as u8
    }

    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        client.set_read_timeout(Some(Duration::from_secs(10)))?;
        client.set_write_timeout(Some(Duration::from_secs(10)))?;
        let mut request = [0; 8_192];
        // Requests of the daemon are small; what one read does not hold comes no matter.
        if client.read(&mut request)? == 0 {
            return Ok(());
        }
        if self.is(Manner::Endless) {
            client.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n",
            )?;
            let chunk = [b"10000\r\n".as_slice(), &vec![b'a'; 0x10000], b"\r\n"].concat();
            while self.is(Manner::Endless) {
                client.write_all(&chunk)?;
                self.sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
            return Ok(());
        }
        if self.is(Manner::Wide) {
            let body = wide();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            client.write_all(head.as_bytes())?;
            client.write_all(body.as_bytes())?;
            self.sent.fetch_add(body.len() as u64, Ordering::Relaxed);
            return Ok(());
        }
        client.write_all(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    }
}

/// As many attributes as three letters can name, in less than a mebibyte: larger answers are refused unread.
fn wide() -> String {
    let letters = || ('a'..='z').chain('A'..='Z');
    let mut text = "<DescribeInstanceHealthResponse".to_owned();
    for first in letters() {
        for second in letters() {
            for third in letters() {
                text.extend([' ', first, second, third, '=', '"', '"']);
            }
        }
    }
    text + "></DescribeInstanceHealthResponse>"
}
