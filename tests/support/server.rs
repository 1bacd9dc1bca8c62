//! A TCP server that a test plays: each connection is handed to a closure; the server ends with its value.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::PATIENCE;

/// The server.
pub struct Server {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    thread: Option<JoinHandle<()>>,
}

// === impl Server ===

impl Server {
    /// Serves at `address`, one connection after the other.
    pub fn start(address: SocketAddr, mut serve: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let listener = Arc::new(TcpListener::bind(address).expect("a loopback address can be bound"));
        let address = listener.local_addr().expect("it is bound");
        let accepting = Arc::clone(&listener);
        let thread = std::thread::spawn(move || {
            while let Ok((client, _)) = accepting.accept() {
                let _ = client.set_read_timeout(Some(PATIENCE));
                serve(client);
            }
        });
        Self { address, listener, thread: Some(thread) }
    }

    /// The same on a port of its own.
    pub fn anywhere(serve: impl FnMut(TcpStream) + Send + 'static) -> Self {
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0)), serve)
    }

    /// The same for HTTP: `answer` gets the head of a request, and gives status line, type and body.
    pub fn http(
        mut answer: impl FnMut(&str) -> (&'static str, &'static str, String) + Send + 'static,
    ) -> Self {
        Self::anywhere(move |mut client| {
            // A client may close before the answer.
            let _ = read_head(&mut client).and_then(|head| {
                let (status, kind, body) = answer(&head);
                write!(
                    client,
                    "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                )
            });
        })
    }

    /// The address to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Wakes the thread out of `accept`.
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read_head(client: &mut TcpStream) -> io::Result<String> {
    let (mut head, mut chunk) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match client.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => head.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
