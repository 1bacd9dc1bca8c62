//! The way by which one member reaches another, for tests that partition the network: a forwarder of TCP connections that
//! can be cut and healed.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::server::Server;

/// No exchange between members takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Way {
    /// It is forwarded.
    Open,
    /// It is closed without an answer.
    Refused,
    /// It is accepted, and nothing is ever answered.
    Swallowed,
}

/// A forwarder of TCP connections; ends with its value.
pub struct Relay {
    way: Arc<AtomicU8>,
    server: Server,
}

// === impl Relay ===

impl Relay {
    /// An open way to `target`.
    pub fn to(target: SocketAddr) -> Self {
        let way = Arc::new(AtomicU8::new(Way::Open as u8));
        let present = Arc::clone(&way);
        let server = Server::anywhere(move |client| {
            let way = present.load(Ordering::Relaxed);
            if way == Way::Open as u8 {
                // If the target does not run, the connection is closed.
                std::thread::spawn(move || forward(&client, target));
            } else if way == Way::Swallowed as u8 {
                std::thread::spawn(move || swallow(&client));
            }
        });
        Self { way, server }
    }

    /// The address to ask.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Decides what becomes of new connections.
    pub fn set(&self, way: Way) {
        self.way.store(way as u8, Ordering::Relaxed);
    }
}

/// Carries one exchange; either side may end it at any time.
fn forward(client: &TcpStream, target: SocketAddr) -> Option<()> {
    let server = TcpStream::connect_timeout(&target, PATIENCE).ok()?;
    for stream in [client, &server] {
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| carry(client, &server));
        carry(&server, client);
    });
    Some(())
}

fn carry(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// Reads until the client gives up.
fn swallow(mut client: &TcpStream) {
    let _ = io::copy(&mut client, &mut io::sink());
}
