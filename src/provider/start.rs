//! From a steering table of the configuration to its running loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Table, aws, help};
use crate::clock::Clock;
use crate::snapshot::Snapshot;
use crate::steer::LoopContext;
use crate::steer::arbiter::ArbiterHandle;
use crate::steer::report::Report;

/// The member that steers, where it runs, and its drift interval.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// The mirror's name.
    pub(crate) mirror: Arc<str>,
    /// The member's own name, as records carry it.
    pub(crate) name: Arc<str>,
    /// How often to read when nothing happens.
    pub(crate) drift: watch::Receiver<Duration>,
    /// Where it runs in AWS, as far as that is known.
    pub(crate) aws: aws::Here,
}

/// Steers the object of `table` until it is cancelled, and publishes to `report`.
pub(crate) async fn start(
    table: Table,
    member: Member,
    snapshot: watch::Receiver<Snapshot>,
    arbiter: ArbiterHandle,
    report: watch::Sender<Report>,
    clock: Clock,
    cancelled: CancellationToken,
) {
    let (mirror, drift) = (Arc::clone(&member.mirror), member.drift.clone());
    let (jitter, help) = (fastrand::f64, help::known_help);
    let around = LoopContext { mirror, snapshot, arbiter, report, clock, drift, jitter, help, cancelled };
    table.kind().steer(member, around).await;
}
