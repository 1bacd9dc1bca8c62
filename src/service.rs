//! The service manager: what it gives this process, and what this process tells it.
//!
//! It speaks the three protocols of systemd that any manager may speak, and needs none of them: started by
//! hand, everything here does nothing.
//!
//! | protocol | manual | what for |
//! |---|---|---|
//! | `LISTEN_FDS` | `sd_listen_fds(3)` | [`Inherited`]: listening sockets that outlive this process, so that a restart refuses no check |
//! | `NOTIFY_SOCKET`, `WATCHDOG_USEC` | `sd_notify(3)` | [`Manager`]: ready, reloading, stopping; the verdicts in words; the watchdog |
//! | `CREDENTIALS_DIRECTORY` | `systemd.exec(5)`, `LoadCredential=` | [`credentials`]: secrets that no other process reads |
//!
//! *Ready* means that every mirror has its first verdict, whichever it is: a backup is as ready as a primary.
//!
//! *The watchdog* is fed by somebody who has looked, not by a timer: only while each probe loop goes round, the
//! health thread says that it turns, and its port answers a connection (`watchdog`). What is fed blindly
//! keeps a daemon alive that answers nobody.
//!
//! This module knows nothing of how verdicts come about; it reads the same [`View`](crate::admin::View) as the
//! admin listener.

use std::sync::Arc;

pub mod credentials;
mod follow;
mod manager;
mod self_check;
mod sockets;
mod watchdog;

pub(crate) use follow::follow;
pub use manager::Manager;
pub use sockets::{Inherited, SocketError};

/// What a service manager has to do with one daemon.
#[derive(Clone, Debug)]
pub struct Service {
    /// Who is told how it goes.
    pub manager: Arc<Manager>,
    /// The listening sockets that it passed.
    pub inherited: Arc<Inherited>,
}

// === impl Service ===

impl Service {
    /// The service manager that the environment names, and the sockets that were taken from it before.
    pub fn from_environment(inherited: Inherited) -> Self {
        Self { manager: Arc::new(Manager::from_environment()), inherited: Arc::new(inherited) }
    }

    /// No service manager.
    pub fn none() -> Self {
        Self { manager: Arc::new(Manager::none()), inherited: Arc::default() }
    }
}
