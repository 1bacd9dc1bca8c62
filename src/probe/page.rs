//! The shell of the probes that ask over HTTP: reads one page, which the parser of its kind interprets.

use std::fmt;

use super::Reading;
use crate::http::{Answer, Client};

/// Asks by reading one page.
#[derive(Debug)]
pub struct Page {
    client: Client,
    read: fn(&Answer) -> Reading,
}

// === impl Page ===

impl Page {
    pub(super) const fn new(client: Client, read: fn(&Answer) -> Reading) -> Self {
        Self { client, read }
    }

    pub(super) async fn ask(&mut self) -> Reading {
        match self.client.get().await {
            Ok(answer) => (self.read)(&answer),
            Err(cause) => Reading::silent(cause),
        }
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.client.fmt(f)
    }
}
