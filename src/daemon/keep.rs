//! Keeps the state file of one mirror up to date. Level-triggered: after each probe it compares the wanted content with the
//! last written one, and retries a failed write.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::role::Remembered;
use crate::snapshot::Snapshot;
use crate::state::{PersistedState, StateError, Store};
use crate::steer::arbiter::Channels;
use crate::text::chain;

/// Between two attempts after a failure, such as a full disk.
const RETRY: Duration = Duration::from_secs(30);

/// The same while another process holds the directory, which may be about to end.
const HELD_RETRY: Duration = Duration::from_secs(1);

/// How long another process may hold the directory before that is an error: the previous one may still be stopping.
const HELD_GRACE: Duration = Duration::from_secs(3);

/// A write that takes longer is reported. A busy disk takes less.
const SLOW: Duration = Duration::from_secs(5);

/// An episode of failed writes.
#[derive(Debug)]
struct Failing {
    since: Instant,
    last: Instant,
    retry: Duration,
    /// Whether it has been reported: once per episode.
    reported: bool,
}

/// Writes the state of `mirror` until it is cancelled or the mirror is gone, and then once more. The arbiter's memory is
/// acknowledged once it is written, or once the write has failed.
pub(super) async fn keep(
    store: Store,
    mirror: String,
    mut snapshot: watch::Receiver<Snapshot>,
    channels: Arc<Channels>,
    cancelled: CancellationToken,
) {
    let mut memory = channels.memory.subscribe();
    let mut written: Option<PersistedState> = None;
    let mut failing: Option<Failing> = None;
    let mut last_chance = false;
    loop {
        let (role, history) = {
            let snapshot = snapshot.borrow_and_update();
            (snapshot.tracker().remember(), snapshot.history())
        };
        let arbiter = memory.borrow_and_update().clone();
        let wanted = role.map(|role| PersistedState { role, arbiter: arbiter.clone(), history });
        let may_try =
            last_chance || failing.as_ref().is_none_or(|failing| failing.last.elapsed() >= failing.retry);
        // The time of the last question changes with each answer, and so may the history; both are written with other
        // changes and at the end.
        let changed = |wanted: &PersistedState| {
            let timeless =
                |state: &PersistedState| (Remembered { asked_at: None, ..state.role }, state.arbiter.clone());
            last_chance || written.as_ref().map(timeless) != Some(timeless(wanted))
        };
        if let Some(state) = wanted.filter(|wanted| may_try && changed(wanted)) {
            match save(&store, &mirror, state.clone()).await {
                Ok(()) => {
                    written = Some(state);
                    if failing.take().is_some_and(|failing| failing.reported) {
                        tracing::info!(mirror, "the state is written again");
                    }
                }
                Err(error) => Failing::note(&mut failing, &mirror, &error),
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

// === impl Failing ===

impl Failing {
    /// Records another failure; reports the first one.
    fn note(failing: &mut Option<Self>, mirror: &str, error: &StateError) {
        let now = Instant::now();
        let failing = failing.get_or_insert(Self { since: now, last: now, retry: RETRY, reported: false });
        let held = matches!(error, StateError::Held { .. });
        (failing.last, failing.retry) = (now, if held { HELD_RETRY } else { RETRY });
        if failing.reported || held && failing.since.elapsed() < HELD_GRACE {
            return;
        }
        failing.reported = true;
        let error = chain(error);
        if held {
            tracing::error!(
                mirror,
                error,
                "another process holds the state directory, and this one runs without writing there: stop one of the two, or give it \
                 a state_directory of its own"
            );
        } else {
            tracing::warn!(
                mirror,
                error,
                "epoch and term will not outlive this process; the daemon runs without its state file"
            );
        }
    }
}

/// Writes on a thread that may block. It is awaited, so only one write is under way.
async fn save(store: &Store, mirror: &str, state: PersistedState) -> Result<(), StateError> {
    let (store, name) = (store.clone(), mirror.to_owned());
    let mut write = tokio::task::spawn_blocking(move || store.save(&name, state));
    let in_time = timeout(SLOW, &mut write).await;
    let is_late = in_time.is_err();
    if is_late {
        tracing::warn!(mirror, "the state directory does not answer; the state is written when it does");
    }
    let written = match in_time {
        Ok(written) => written,
        Err(_elapsed) => write.await,
    };
    let result = written.expect("writing a file does not panic");
    if is_late && result.is_ok() {
        tracing::info!(mirror, "the state is written again");
    }
    result
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

    /// What a stop and a reload wait for is bounded, and what an old keeper writes late is not taken over.
    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the test owns the task and joins it")]
    async fn a_keeper_that_hangs_writes_nothing_over_what_came_after() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        let settings = Settings { stale_after: Duration::from_secs(4), rise: std::num::NonZeroU32::MIN };
        let sender = watch::Sender::new(Snapshot::new(Tracker::new(settings, None)));
        observe(&sender, Role::Primary);
        let cancelled = CancellationToken::new();
        let profile = Profile::new(Identity::default(), &Memory::default());
        let channels = Arc::new(Channels::new(profile, Memory::default(), Epoch::default(), true));
        let guard = store.hang();
        let old =
            keep(store.clone(), "PROD".into(), sender.subscribe(), Arc::clone(&channels), cancelled.clone());
        let old = tokio::spawn(old);
        tokio::task::yield_now().await;
        let newer = store.next_generation();
        drop(guard);
        cancelled.cancel();
        old.await.unwrap();
        assert_eq!(newer.load("PROD").unwrap(), None, "the old one had its time");
        let state = PersistedState {
            role: sender.borrow().tracker().remember().unwrap(),
            arbiter: Memory::default(),
            history: Vec::new(),
        };
        newer.save("PROD", state).unwrap();
        assert!(newer.load("PROD").unwrap().is_some());
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
