//! The service manager: what it passes to this process, and the notifications that it gets.
//!
//! Three protocols of systemd, which other managers may implement as well. None is required: without a manager this module
//! does nothing.
//!
//! | protocol | manual | what for |
//! |---|---|---|
//! | `LISTEN_FDS` | `sd_listen_fds(3)` | [`Inherited`]: listening sockets that outlive this process, so that a restart refuses no check |
//! | `NOTIFY_SOCKET`, `WATCHDOG_USEC` | `sd_notify(3)` | [`Manager`]: ready, reloading, stopping; the verdicts as text; the watchdog |
//! | `CREDENTIALS_DIRECTORY` | `systemd.exec(5)`, `LoadCredential=` | [`credentials`](crate::config::credentials): secrets that no other process reads |
//!
//! *Ready* means that every mirror has its first verdict: a backup is as ready as a primary.
//!
//! *The watchdog* is not fed by a timer, which would keep a hung daemon alive, but only while each probe loop makes
//! progress, the health thread runs, and its port answers a connection (`watchdog`).
//!
//! This module does not know how verdicts are made; it reads the same [`View`](crate::admin::View) as the admin listener.

use std::sync::Arc;

mod follow;
mod manager;
mod self_check;
mod sockets;
mod watchdog;

pub(crate) use follow::follow;
pub use manager::Manager;
pub use sockets::{Inherited, SocketError};

/// One daemon's connection to the service manager.
#[derive(Clone, Debug)]
pub struct Service {
    /// Receives the notifications.
    pub manager: Arc<Manager>,
    /// The listening sockets that it passed.
    pub inherited: Arc<Inherited>,
}

// === impl Service ===

impl Service {
    /// The service manager that the environment names, and the sockets that it passed.
    pub fn from_environment(inherited: Inherited) -> Self {
        Self { manager: Arc::new(Manager::from_environment()), inherited: Arc::new(inherited) }
    }

    /// No service manager.
    pub fn none() -> Self {
        Self { manager: Arc::new(Manager::none()), inherited: Arc::default() }
    }
}
