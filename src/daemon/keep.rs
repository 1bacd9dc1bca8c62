//! Keeps the state file of one mirror true. Level-triggered: it compares what should be remembered with what
//! was written last, after each probe, and tries again when a write failed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::check::chain;
use crate::role::Remembered;
use crate::snapshot::Snapshot;
use crate::state::{PersistedState, StateError, Store};
use crate::steer::arbiter::Channels;

/// Between two attempts after a failure: a full disk is not made better by asking each second.
const RETRY: Duration = Duration::from_secs(30);

/// Keeps the state of `mirror` until it is cancelled or the mirror is gone, and once more then. What the arbiter remembers
/// is acknowledged as soon as it is written, and no later when it cannot be.
pub(super) async fn keep(
    store: Store,
    mirror: String,
    mut snapshot: watch::Receiver<Snapshot>,
    channels: Arc<Channels>,
    cancelled: CancellationToken,
) {
    let mut memory = channels.memory.subscribe();
    let mut written: Option<PersistedState> = None;
    let mut failed_at: Option<Instant> = None;
    let mut last_chance = false;
    loop {
        let role = snapshot.borrow_and_update().tracker().remember();
        let arbiter = memory.borrow_and_update().clone();
        let wanted = role.map(|role| PersistedState { role, arbiter: arbiter.clone() });
        let may_try = last_chance || failed_at.is_none_or(|at| at.elapsed() >= RETRY);
        // When the instance was asked last changes with each answer; it is written with what else changes, and at the end.
        let changed = |wanted: &PersistedState| {
            let timeless =
                |state: &PersistedState| (Remembered { asked_at: None, ..state.role }, state.arbiter.clone());
            last_chance || written.as_ref().map(timeless) != Some(timeless(wanted))
        };
        if let Some(state) = wanted.filter(|wanted| may_try && changed(wanted)) {
            match save(&store, &mirror, state.clone()).await {
                Ok(()) => {
                    written = Some(state);
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
                            "epoch and term will not outlive this process; the daemon runs without its state file"
                        );
                    }
                }
            }
        }
        channels.stored.send_if_modified(|stored| {
            let changed = *stored != arbiter;
            *stored = arbiter;
            changed
        });
        if last_chance {
            return;
        }
        // Cancel-safe: `changed` marks nothing as seen when it is dropped.
        tokio::select! {
            () = cancelled.cancelled() => last_chance = true,
            changed = snapshot.changed() => last_chance = changed.is_err(),
            changed = memory.changed() => last_chance = changed.is_err(),
        }
    }
}

/// Writes on a thread that may block; one write is under way at a time, since it is awaited.
async fn save(store: &Store, mirror: &str, state: PersistedState) -> Result<(), StateError> {
    let (store, mirror) = (store.clone(), mirror.to_owned());
    let write = tokio::task::spawn_blocking(move || store.save(&mirror, state));
    write.await.expect("writing a file does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::observation::{Observation, Role};
    use crate::peer::document::{Identity, Profile};
    use crate::role::{Epoch, Settings, Tracker};
    use crate::term::Memory;

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
        let profile = Profile::new(Identity::default(), &Memory::default());
        let channels = Arc::new(Channels::new(profile, Memory::default(), Epoch::default(), true));
        let snapshot = sender.subscribe();
        let task = tokio::spawn(keep(
            store.clone(),
            "PROD".into(),
            snapshot,
            Arc::clone(&channels),
            cancelled.clone(),
        ));
        observe(&sender, Role::Primary);
        let deadline = Instant::now() + Duration::from_secs(20);
        while store.load("PROD").unwrap().is_none() {
            assert!(Instant::now() < deadline, "the state was not written");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(store.load("PROD").unwrap().unwrap().role.primary);
        channels.memory.send_modify(|memory| memory.term = 3);
        while channels.stored.borrow().term != 3 {
            assert!(Instant::now() < deadline, "the term was not acknowledged");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(store.load("PROD").unwrap().unwrap().arbiter.term, 3, "written before it is acknowledged");
        observe(&sender, Role::Backup);
        cancelled.cancel();
        task.await.unwrap();
        assert!(!store.load("PROD").unwrap().unwrap().role.primary);
    }
}
