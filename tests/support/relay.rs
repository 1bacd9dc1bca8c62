//! The way by which one member reaches another, for tests that partition the network: a forwarder of TCP connections that
//! can be cut and healed.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

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
    /// The relay itself ends.
    Ended,
}

/// A forwarder of TCP connections; ends with its value.
pub struct Relay {
    address: SocketAddr,
    way: Arc<AtomicU8>,
    thread: Option<JoinHandle<()>>,
}

// === impl Relay ===

impl Relay {
    /// An open way to `target`.
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback ports are free");
        let address = listener.local_addr().expect("it is bound");
        let way = Arc::new(AtomicU8::new(Way::Open as u8));
        let present = Arc::clone(&way);
        let thread = std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let way = present.load(Ordering::Relaxed);
                if way == Way::Ended as u8 {
                    return;
                } else if way == Way::Open as u8 {
                    // If the target does not run, the connection is closed.
                    std::thread::spawn(move || forward(&client, target));
                } else if way == Way::Swallowed as u8 {
                    std::thread::spawn(move || swallow(&client));
                }
            }
        });
        Self { address, way, thread: Some(thread) }
    }

    /// The address to ask.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Decides what becomes of new connections.
    pub fn set(&self, way: Way) {
        self.way.store(way as u8, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.set(Way::Ended);
        // Wakes the thread up.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
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
    let _ = client.set_read_timeout(Some(PATIENCE));
    let _ = io::copy(&mut client, &mut io::sink());
}
