//! Reads a daemon's status document.

use std::net::SocketAddr;
use std::time::Duration;

use super::MIRROR_NAME;
use crate::admin::status::{MirrorStatus, Status};
use crate::http;

/// How long a daemon may take to answer.
const LIMIT: Duration = Duration::from_secs(1);

/// Why the member takes no traffic, if another one supersedes it. `admin` is the daemon's admin listener.
pub(crate) async fn why_superseded(admin: SocketAddr) -> Option<String> {
    let authority = ask(admin).await?.authority?;
    authority.reason.filter(|_| authority.ruling == "superseded")
}

/// When the daemon last ruled that its instance is the primary, since the Unix epoch.
pub(crate) async fn promoted_at(admin: SocketAddr) -> Option<Duration> {
    let transitions = ask(admin).await?.transitions;
    let promotion = transitions.iter().rev().find(|transition| transition.to == "primary")?;
    let at: jiff::Timestamp = promotion.at.parse().ok()?;
    Duration::try_from(at.duration_since(jiff::Timestamp::UNIX_EPOCH)).ok()
}

/// The daemon's status of the demo's mirror.
async fn ask(admin: SocketAddr) -> Option<MirrorStatus> {
    let answer = http::get(admin, "/status", LIMIT).await.ok()?;
    let status: Status = serde_json::from_slice(&answer.body).ok()?;
    status.mirrors.into_iter().find(|mirror| mirror.name == MIRROR_NAME)
}
