//! A member that a test plays: it answers at `/PROD/peer` with what the test wants.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

/// A server of one document; ends with its value.
pub struct FakePeer {
    address: SocketAddr,
    document: Arc<Mutex<Value>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a member called `name` reports as a backup.
pub fn backup(name: &str) -> Value {
    json!({
        "mirror": "PROD", "member": name, "daemon": format!("daemon-{name}"), "run": format!("run-{name}"),
        "version": "0.0.0", "digest": "another", "role": "backup", "definite": true,
        "role_age_seconds": 0.1, "serving": false, "term": 0, "proven": false,
        "seen": {"term": 0, "member": ""}, "authority": "unsure", "promoted_seconds_ago": null,
    })
}

/// What a member called `name` reports as the primary of this term.
pub fn primary(name: &str, term: u64) -> Value {
    let mut document = backup(name);
    for (key, value) in [
        ("role", "primary".into()),
        ("serving", true.into()),
        ("term", term.into()),
        ("proven", true.into()),
        ("seen", json!({"term": term, "member": name})),
        ("authority", "clear".into()),
        ("promoted_seconds_ago", 0.1.into()),
    ] {
        document[key] = value;
    }
    document
}

// === impl FakePeer ===

impl FakePeer {
    /// Starts with this document.
    pub fn start(document: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback ports are free");
        let address = listener.local_addr().expect("it is bound");
        let (document, stopping) = (Arc::new(Mutex::new(document)), Arc::new(AtomicBool::new(false)));
        let (present, stops) = (Arc::clone(&document), Arc::clone(&stopping));
        let thread = std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if stops.load(Ordering::Relaxed) {
                    return;
                }
                let document = present.lock().unwrap_or_else(PoisonError::into_inner).to_string();
                let _ = answer(client, &document);
            }
        });
        Self { address, document, stopping, thread: Some(thread) }
    }

    /// The address to ask.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it reports.
    pub fn report(&self, document: Value) {
        *self.document.lock().unwrap_or_else(PoisonError::into_inner) = document;
    }
}

impl Drop for FakePeer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Wakes the thread up.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut client: TcpStream, document: &str) -> std::io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match client.read(&mut chunk)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&chunk[..count]),
        }
    }
    let (status, kind, body) = if request.starts_with(b"GET /PROD/peer ") {
        ("200 OK", "application/json", document)
    } else {
        ("404 Not Found", "text/plain", "")
    };
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
