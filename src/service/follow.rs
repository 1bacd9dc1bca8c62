//! Notifies the service manager: ready once every mirror has a verdict, a status text at each change, and the watchdog's
//! keep-alive.

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

/// Notifies `manager` until it is cancelled. Returns at once without a service manager.
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
    let mut sent = None;
    let mut next_inspection = Instant::now();
    loop {
        let current = Arc::clone(&view.borrow_and_update());
        let mut snapshots: Vec<_> = current.mirrors.iter().map(|mirror| mirror.snapshot.clone()).collect();
        // Every receiver is marked as seen, so that later changes wake this task.
        let verdicts = snapshots.iter_mut().map(|snapshot| snapshot.borrow_and_update().has_ruled());
        let ruled = verdicts.filter(|has_ruled| !has_ruled).count() == 0;
        let status = status(&current, *refused.borrow_and_update(), clock.now());
        if sent.as_ref() != Some(&status) && manager.status(&status) {
            sent = Some(status);
        }
        if ruled && !ready {
            ready = manager.ready();
        }
        // Before that nothing is due, and an inspection would delay readiness.
        if let Some(inspector) = &mut inspector
            && ready
            && Instant::now() >= next_inspection
        {
            // Not cancelled by a change: it has its own deadline.
            if inspector.all_is_well(&current).await {
                manager.feed_watchdog();
            }
            next_inspection = Instant::now() + inspector.pause();
        }
        let inspection = async {
            match &inspector {
                Some(_) if ready => sleep_until(next_inspection).await,
                Some(_) | None => std::future::pending().await,
            }
        };
        // Cancel-safe: timers, a token, and receivers that mark nothing as seen when they are dropped.
        tokio::select! {
            biased;
            () = cancelled.cancelled() => return,
            () = inspection => {}
            () = any_changed(&mut snapshots) => {}
            changed = view.changed() => if changed.is_err() { return },
            _ = refused.changed() => {}
        }
    }
}

/// Waits until one of the snapshots changes; one whose loop has ended never changes again.
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
