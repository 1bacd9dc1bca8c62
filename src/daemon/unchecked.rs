//! Warns when a mirror serves and no load balancer checks it: then clients may not be sent here, which would otherwise go
//! unnoticed until the next failover.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::health::Checkers;
use crate::role::Verdict;
use crate::snapshot::Snapshot;

/// Watches one mirror until it is cancelled; `limit` is how long it may serve unchecked.
pub(super) async fn warn(
    mirror: Arc<str>,
    limit: Duration,
    snapshot: watch::Receiver<Snapshot>,
    checkers: Checkers,
    clock: Clock,
    cancelled: CancellationToken,
) {
    let mut warned = false;
    let mut serving_since = None;
    // The warning is at most a tenth of the limit late.
    let pause = (limit / 10).clamp(Duration::from_millis(10), Duration::from_secs(10));
    loop {
        tokio::select! {
            () = cancelled.cancelled() => return,
            () = sleep(pause) => {}
        }
        let now = clock.now();
        let serves = matches!(snapshot.borrow().verdict_at(now), Verdict::Serve { .. });
        serving_since = serves.then(|| serving_since.unwrap_or(now));
        let asked = checkers.asked(&mirror).map(|asked| asked.last);
        let unchecked = serving_since.is_some_and(|since| unchecked_for(since, asked, now) >= limit);
        if unchecked && !warned {
            tracing::warn!(
                mirror = &*mirror,
                ?limit,
                "this member is primary, and no load balancer asks for its page; check that it is registered and that the health check has its address"
            );
        } else if warned && !unchecked && serves {
            tracing::info!(mirror = &*mirror, "health checks are coming in again");
        }
        warned = unchecked;
    }
}

/// How long no client has asked, counted from the beginning of serving at the earliest.
fn unchecked_for(serving_since: Timestamp, asked: Option<Timestamp>, now: Timestamp) -> Duration {
    let serving = serving_since.age_at(now);
    asked.map_or(serving, |asked| asked.age_at(now).min(serving))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_the_last_check_and_from_no_earlier_than_the_promotion() {
        let at = |seconds| Timestamp::new(Duration::from_secs(seconds), Duration::from_secs(seconds));
        assert_eq!(unchecked_for(at(100), None, at(130)), Duration::from_secs(30));
        assert_eq!(unchecked_for(at(100), Some(at(120)), at(130)), Duration::from_secs(10));
        assert_eq!(
            unchecked_for(at(100), Some(at(50)), at(130)),
            Duration::from_secs(30),
            "asked while it was backup"
        );
    }
}
