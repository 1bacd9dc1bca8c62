//! A way through which one member asks another, and which can be shut: a network that is partitioned.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// No question between members takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A forwarder of TCP connections; ends with its value.
pub(crate) struct Gate {
    address: SocketAddr,
    is_shut: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

// === impl Gate ===

impl Gate {
    /// An open way to `target`.
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback ports are free");
        let address = listener.local_addr().expect("it is bound");
        let (is_shut, stopping) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (refuses, stops) = (Arc::clone(&is_shut), Arc::clone(&stopping));
        let thread = std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if stops.load(Ordering::Relaxed) {
                    return;
                }
                if !refuses.load(Ordering::Relaxed) {
                    // A peer that does not run closes the connection of whoever asks it.
                    std::thread::spawn(move || forward(&client, target));
                }
            }
        });
        Self { address, is_shut, stopping, thread: Some(thread) }
    }

    /// Where to ask.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shuts the way for new connections, or opens it.
    pub(crate) fn shut(&self, shut: bool) {
        self.is_shut.store(shut, Ordering::Relaxed);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
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
