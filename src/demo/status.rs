//! What a daemon says in its status document.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::{MIRROR_NAME, http};

/// How long a daemon may take to answer.
const LIMIT: Duration = Duration::from_secs(1);

/// Why the member takes no traffic, if another one supersedes it. `admin` is the daemon's admin listener.
pub(crate) async fn why_superseded(admin: SocketAddr) -> Option<String> {
    let mirror = ask(admin).await?;
    let authority = mirror.get("authority")?;
    let reason = authority.get("reason")?.as_str()?;
    (authority.get("ruling")? == "superseded").then(|| reason.to_owned())
}

/// When the daemon last ruled that its instance is the primary, since the Unix epoch.
pub(crate) async fn promoted_at(admin: SocketAddr) -> Option<Duration> {
    let mirror = ask(admin).await?;
    let transitions = mirror.get("transitions")?.as_array()?;
    let promotion = transitions.iter().rev().find(|entry| entry.get("to") == Some(&"primary".into()))?;
    let at: jiff::Timestamp = promotion.get("at")?.as_str()?.parse().ok()?;
    Duration::try_from(at.duration_since(jiff::Timestamp::UNIX_EPOCH)).ok()
}

/// What the daemon says about the mirror of the demo.
async fn ask(admin: SocketAddr) -> Option<Value> {
    let answer = http::get(admin, "/status", LIMIT).await.ok()?;
    let status: Value = serde_json::from_slice(&answer.body).ok()?;
    let mirrors = status.get("mirrors")?.as_array()?;
    mirrors.iter().find(|mirror| mirror.get("name") == Some(&MIRROR_NAME.into())).cloned()
}
