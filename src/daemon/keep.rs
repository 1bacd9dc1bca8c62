//! Keeps the state file of one mirror true. Level-triggered: it compares what should be remembered with what
//! was written last, after each probe, and tries again when a write failed.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::check::chain;
use crate::snapshot::Snapshot;
use crate::state::{Claims, Kept, StateError, Store};

/// Between two attempts after a failure: a full disk is not made better by asking each second.
const RETRY: Duration = Duration::from_secs(30);

/// Keeps the state of `mirror` until it is cancelled or the mirror is gone, and once more then.
pub(super) async fn keep(
    store: Store,
    mirror: String,
    mut snapshot: watch::Receiver<Snapshot>,
    mut claims: watch::Receiver<Claims>,
    cancelled: CancellationToken,
) {
    let mut written: Option<Kept> = None;
    let mut failed_at: Option<Instant> = None;
    let mut last_chance = false;
    loop {
        let role = snapshot.borrow_and_update().tracker().remember();
        let claims_of_now = *claims.borrow_and_update();
        let wanted = role.map(|role| Kept { role, claims: claims_of_now });
        let may_try = last_chance || failed_at.is_none_or(|at| at.elapsed() >= RETRY);
        if let Some(kept) = wanted.filter(|wanted| Some(*wanted) != written && may_try) {
            match save(&store, &mirror, kept).await {
                Ok(()) => {
                    written = Some(kept);
                    if failed_at.take().is_some() {
                        tracing::info!(mirror, "the state is written again");
                    }
                }
                Err(error) => {
                    if failed_at.replace(Instant::now()).is_none() {
                        let error = chain(&error);
                        tracing::warn!(
                            mirror,
                            error,
                            "the epoch will not outlive this process; the daemon runs without its state file"
                        );
                    }
                }
            }
        }
        if last_chance {
            return;
        }
        // Cancel-safe: `changed` marks nothing as seen when it is dropped.
        tokio::select! {
            () = cancelled.cancelled() => last_chance = true,
            changed = snapshot.changed() => last_chance = changed.is_err(),
            changed = claims.changed() => last_chance = changed.is_err(),
        }
    }
}

/// Writes on a thread that may block; one write is under way at a time, since it is awaited.
async fn save(store: &Store, mirror: &str, kept: Kept) -> Result<(), StateError> {
    let (store, mirror) = (store.clone(), mirror.to_owned());
    let write = tokio::task::spawn_blocking(move || store.save(&mirror, kept));
    write.await.expect("writing a file does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::observation::{Observation, Role};
    use crate::role::{Settings, Tracker};

    fn observe(sender: &watch::Sender<Snapshot>, role: Role) {
        let at = Timestamp::new(Duration::from_secs(1), Duration::from_secs(1));
        let outcome = Ok(role);
        let observation = Observation { asked_at: at, answered_at: at, outcome, evidence: String::new() };
        sender.send_modify(|snapshot| {
            snapshot.rule(at, |tracker| tracker.observe(&observation));
        });
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the test owns the task and joins it")]
    async fn writes_what_changed_and_the_last_before_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        let settings = Settings { stale_after: Duration::from_secs(4), rise: std::num::NonZeroU32::MIN };
        let sender = watch::Sender::new(Snapshot::new(Tracker::new(settings, None)));
        let cancelled = CancellationToken::new();
        let claims = watch::Sender::new(Claims::default());
        let (snapshot, seen) = (sender.subscribe(), claims.subscribe());
        let task = tokio::spawn(keep(store.clone(), "PROD".into(), snapshot, seen, cancelled.clone()));
        observe(&sender, Role::Primary);
        let deadline = Instant::now() + Duration::from_secs(20);
        while store.load("PROD").unwrap().is_none() {
            assert!(Instant::now() < deadline, "the state was not written");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(store.load("PROD").unwrap().unwrap().role.primary);
        claims.send_modify(|claims| claims.own = 3);
        while store.load("PROD").unwrap().unwrap().claims.own != 3 {
            assert!(Instant::now() < deadline, "the claims were not written");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        observe(&sender, Role::Backup);
        cancelled.cancel();
        task.await.unwrap();
        assert!(!store.load("PROD").unwrap().unwrap().role.primary);
    }
}
