//! A member that a test plays: it answers at `/PROD/peer` with what the test wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::server::Server;

/// A server of one document; ends with its value.
pub struct FakePeer {
    document: Arc<Mutex<Value>>,
    server: Server,
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
        let document = Arc::new(Mutex::new(document));
        let present = Arc::clone(&document);
        let server = Server::http(move |head| {
            if head.starts_with("GET /PROD/peer ") {
                let document = present.lock().unwrap_or_else(PoisonError::into_inner).to_string();
                ("200 OK", "application/json", document)
            } else {
                ("404 Not Found", "text/plain", String::new())
            }
        });
        Self { document, server }
    }

    /// The address to ask.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Changes what it reports.
    pub fn report(&self, document: Value) {
        *self.document.lock().unwrap_or_else(PoisonError::into_inner) = document;
    }
}
