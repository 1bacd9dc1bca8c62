//! Follows the verdicts for the service manager: ready at the first of every mirror, a status in words at each
//! change, and food for the watchdog.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::manager::Manager;
use super::watchdog::Inspector;
use crate::admin::View;
use crate::clock::{Clock, Timestamp};
use crate::health::Pulse;
use crate::role::Verdict;

/// Tells `manager` until it is cancelled. Returns at once without a service manager.
pub(crate) async fn follow(
    manager: Arc<Manager>,
    mut view: watch::Receiver<Arc<View>>,
    pulse: Pulse,
    clock: Clock,
    cancelled: CancellationToken,
) {
    if !manager.is_there() {
        return;
    }
    let mut inspector = manager.watchdog().map(|patience| Inspector::new(patience, pulse));
    let mut refused = manager.refused();
    let mut ready = false;
    let mut told = None;
    let mut next_look = Instant::now();
    loop {
        let current = Arc::clone(&view.borrow_and_update());
        let mut snapshots: Vec<_> = current.mirrors.iter().map(|mirror| mirror.snapshot.clone()).collect();
        // Seen from here on: what changes later wakes this task again.
        let unruled = snapshots
            .iter_mut()
            .filter_map(|snapshot| (!snapshot.borrow_and_update().has_ruled()).then_some(()));
        let ruled = unruled.count() == 0;
        let status = status(&current, *refused.borrow_and_update(), clock.now());
        if told.as_ref() != Some(&status) && manager.status(&status) {
            told = Some(status);
        }
        if ruled && !ready {
            ready = manager.ready();
        }
        // Before that nothing is due, and a check would only delay it.
        if let Some(inspector) = &mut inspector
            && ready
            && Instant::now() >= next_look
        {
            // Not cancelled by a change: it has a deadline of its own.
            if inspector.all_is_well(&current).await {
                manager.feed_watchdog();
            }
            next_look = Instant::now() + inspector.pause();
        }
        let look = async {
            match &inspector {
                Some(_) if ready => sleep_until(next_look).await,
                Some(_) | None => std::future::pending().await,
            }
        };
        // Cancel-safe: timers, a token, and receivers that mark nothing as seen when they are dropped.
        tokio::select! {
            biased;
            () = cancelled.cancelled() => return,
            () = look => {}
            () = any_changed(&mut snapshots) => {}
            changed = view.changed() => if changed.is_err() { return },
            _ = refused.changed() => {}
        }
    }
}

/// Until one of the snapshots changes; one whose loop has ended never does again.
async fn any_changed(snapshots: &mut [watch::Receiver<crate::snapshot::Snapshot>]) {
    let mut waits: Vec<_> = snapshots
        .iter_mut()
        .map(|snapshot| {
            Box::pin(async move {
                if snapshot.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            })
        })
        .collect();
    std::future::poll_fn(|context| {
        let changed = waits.iter_mut().any(|wait| wait.as_mut().poll(context).is_ready());
        if changed { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Role and verdict of each mirror, as `systemctl status` shows them.
fn status(view: &View, refused: bool, now: Timestamp) -> String {
    let mirror = |mirror: &crate::admin::MirrorView| match mirror.snapshot.borrow().verdict_at(now) {
        Verdict::Serve { epoch, .. } => {
            format!("{}: SUCCESS, the instance is primary, epoch {epoch}", mirror.name)
        }
        Verdict::Refuse(reason) => format!("{}: FAILED, {reason}", mirror.name),
    };
    let mirrors: Vec<_> = view.mirrors.iter().map(mirror).collect();
    let note = if refused { "the new configuration was refused, the old one is in force; " } else { "" };
    format!("{note}{}", mirrors.join("; "))
}
