//! The data that the admin listener reads: receivers and shared tables. It can only wake a probe and pass on operators'
//! decisions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::clock::Timestamp;
use crate::health::{Checkers, Tally};
use crate::peer::document::Profile;
use crate::snapshot::Snapshot;
use crate::steer::Authority;
use crate::steer::arbiter::{self, ArbiterHandle};
use crate::steer::report::Report;

/// Everything that the admin listener shows.
#[derive(Clone, Debug)]
pub struct View {
    /// The running program.
    pub build: Build,
    /// Its process id.
    pub pid: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// The configuration in force, if its source is known.
    pub configuration: Option<ConfigurationView>,
    /// The addresses of the health listener.
    pub health: Vec<SocketAddr>,
    /// The address of the agent check.
    pub agent_check: Option<SocketAddr>,
    /// The clients of the health listener.
    pub checkers: Checkers,
    /// The counters of the health listener.
    pub tally: Arc<Tally>,
    /// The mirrors, in the order of the configuration.
    pub mirrors: Vec<MirrorView>,
}

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct ConfigurationView {
    /// The file, or the name of the environment variable.
    pub source: String,
    /// When it was applied.
    pub loaded_at: Timestamp,
    /// When the last reload ended, and why it failed, if it did.
    pub last_reload: Option<(Timestamp, Option<String>)>,
}

/// One mirror.
#[derive(Clone, Debug)]
pub struct MirrorView {
    /// Its name.
    pub name: Arc<str>,
    /// The path prefixes of its page.
    pub paths: Vec<String>,
    /// Its state.
    pub snapshot: watch::Receiver<Snapshot>,
    /// How long one round of its probe loop may take before the loop counts as hung.
    pub round: Duration,
    /// Wakes its probe loop.
    pub wake: Arc<Notify>,
    /// The mirror's members as the arbiter sees them.
    pub members: watch::Receiver<arbiter::View>,
    /// What this member reports to them.
    pub(crate) profile: watch::Receiver<Profile>,
    /// Its steering, if it has any.
    pub steering: Option<SteeringView>,
}

/// The steering of one mirror.
#[derive(Clone, Debug)]
pub struct SteeringView {
    /// Whether this member may take traffic.
    pub authority: watch::Receiver<Authority>,
    /// Passes operators' decisions on.
    pub handle: ArbiterHandle,
    /// The loops, in the order of the configuration.
    pub targets: Vec<watch::Receiver<Report>>,
}

/// The program that answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// The version of the package.
    pub version: String,
    /// The commit it was built from, if `MIRRORVIP_COMMIT` was set at build time.
    pub commit: Option<String>,
}

// === impl Build ===

impl Build {
    /// The running program's.
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("MIRRORVIP_COMMIT").map(str::to_owned),
        }
    }
}
