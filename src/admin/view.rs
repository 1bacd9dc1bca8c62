//! What the admin listener may look at: receivers and shared tables, nothing that it could change but the
//! wake-up of a probe.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::status::Build;
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
    /// Which program this is.
    pub build: Build,
    /// Its process id.
    pub pid: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// The addresses of the health listener.
    pub health: Vec<SocketAddr>,
    /// The address of the agent check.
    pub agent_check: Option<SocketAddr>,
    /// Who asks the health listener.
    pub checkers: Checkers,
    /// What the health listener counts.
    pub tally: Arc<Tally>,
    /// The mirrors, in the order of the configuration.
    pub mirrors: Vec<MirrorView>,
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
    /// How long one round of its probe loop may take before the loop must be taken for hung.
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
    /// Passes the operator's decisions on.
    pub handle: ArbiterHandle,
    /// The loops, in the order of the configuration.
    pub targets: Vec<watch::Receiver<Report>>,
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
