//! Feeds the watchdog only while the daemon works:
//!
//! - Each probe loop makes progress: it published an answer, of any kind, within the time that one round may take. The time
//!   is that of the monotonic clock, which stops while the machine is suspended, so that a suspended machine is not a hung
//!   loop.
//! - The health thread reports that it runs.
//! - The health port answers the self-check ([`self_check`](super::self_check)).
//!
//! The page of a hung daemon refuses on its own. Through the watchdog the service manager also restarts the daemon.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::self_check::SelfCheck;
use crate::admin::{MirrorView, View};
use crate::health::Pulse;

/// How often it is fed within its timeout: one or two times may be late on a busy machine.
const MEALS: u32 = 4;

/// Time limit of one inspection.
const LIMIT: Duration = Duration::from_secs(1);

/// Verifies that the daemon works.
#[derive(Debug)]
pub(super) struct Inspector {
    patience: Duration,
    pulse: Pulse,
    rounds: HashMap<Arc<str>, Round>,
    self_check: SelfCheck,
    ill: bool,
}

/// The last progress of a probe loop, and its time.
#[derive(Debug)]
struct Round {
    answers: u64,
    since: Instant,
}

/// A part that does not work.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Illness {
    #[error("the probe loop of mirror {0} hangs")]
    Loop(Arc<str>),
    #[error("the health thread hangs")]
    Thread,
    #[error("no answer at {0:?}")]
    Port(Vec<SocketAddr>),
}

// === impl Inspector ===

impl Inspector {
    /// For a watchdog with the timeout `patience`.
    pub(super) fn new(patience: Duration, pulse: Pulse) -> Self {
        Self { patience, pulse, rounds: HashMap::new(), self_check: SelfCheck::default(), ill: false }
    }

    /// The pause between two inspections.
    pub(super) fn pause(&self) -> Duration {
        (self.patience / MEALS).max(Duration::from_millis(1))
    }

    /// Whether the watchdog may be fed. If not, logs the reason once per episode.
    pub(super) async fn all_is_well(&mut self, view: &View) -> bool {
        let limit = self.pause().min(LIMIT);
        match self.inspect(view, limit).await {
            Ok(()) => {
                if std::mem::take(&mut self.ill) {
                    tracing::info!("the daemon works again; the watchdog is fed");
                }
                true
            }
            Err(illness) => {
                if !std::mem::replace(&mut self.ill, true) {
                    tracing::error!(%illness, patience = ?self.patience, "the watchdog is not fed: the service manager will restart the daemon");
                }
                false
            }
        }
    }

    async fn inspect(&mut self, view: &View, limit: Duration) -> Result<(), Illness> {
        self.loops(&view.mirrors, Instant::now())?;
        if !self.pulse.is_turning().await {
            return Err(Illness::Thread);
        }
        let silent = self.self_check.run(&view.health, &view.tally, limit).await;
        if silent.is_empty() { Ok(()) } else { Err(Illness::Port(silent)) }
    }

    fn loops(&mut self, mirrors: &[MirrorView], now: Instant) -> Result<(), Illness> {
        self.rounds.retain(|name, _| mirrors.iter().any(|mirror| mirror.name == *name));
        for mirror in mirrors {
            let counters = mirror.snapshot.borrow().counters;
            let answers = counters.definite + counters.no_evidence;
            let round = self.rounds.entry(Arc::clone(&mirror.name)).or_insert(Round { answers, since: now });
            if round.answers != answers {
                *round = Round { answers, since: now };
            }
            if now.saturating_duration_since(round.since) > mirror.round {
                return Err(Illness::Loop(Arc::clone(&mirror.name)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tokio::sync::watch;

    use super::*;
    use crate::admin::Build;
    use crate::clock::Clock;
    use crate::health::{Checkers, Tally};
    use crate::peer::document::{Identity, Profile};
    use crate::role::{Settings, Tracker};
    use crate::snapshot::Snapshot;
    use crate::term::Memory;

    const ROUND: Duration = Duration::from_secs(8);

    fn view() -> (View, watch::Sender<Snapshot>) {
        let settings = Settings { stale_after: Duration::from_secs(4), rise: NonZeroU32::MIN };
        let (sender, snapshot) = watch::channel(Snapshot::new(Tracker::new(settings, None)));
        let mirror = MirrorView {
            name: "PROD".into(),
            paths: Vec::new(),
            snapshot,
            round: ROUND,
            wake: Arc::default(),
            members: watch::Sender::default().subscribe(),
            profile: watch::Sender::new(Profile::new(Identity::default(), &Memory::default())).subscribe(),
            steering: None,
        };
        let view = View {
            build: Build::this(),
            pid: 1,
            configuration: None,
            started_at: Clock::system().now(),
            health: Vec::new(),
            agent_check: None,
            checkers: Checkers::default(),
            tally: Arc::<Tally>::default(),
            mirrors: vec![mirror],
        };
        (view, sender)
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_hangs_is_found_on_the_monotonic_clock() {
        let (view, loop_) = view();
        let mut inspector = Inspector::new(Duration::from_secs(5), Pulse::without_a_thread());
        let mut look = || inspector.loops(&view.mirrors, Instant::now());
        for _ in 0..10 {
            assert_eq!(look(), Ok(()));
            tokio::time::advance(ROUND).await;
            // Whatever the answer was, it went round.
            loop_.send_modify(|snapshot| snapshot.counters.no_evidence += 1);
        }
        assert_eq!(look(), Ok(()));
        tokio::time::advance(ROUND + Duration::from_millis(1)).await;
        assert_eq!(look(), Err(Illness::Loop("PROD".into())));
        loop_.send_modify(|snapshot| snapshot.counters.definite += 1);
        assert_eq!(look(), Ok(()), "it goes round again");
    }

    #[tokio::test]
    async fn a_thread_that_does_not_turn_starves_the_watchdog() {
        let (view, _loop) = view();
        let mut inspector = Inspector::new(Duration::from_secs(5), Pulse::without_a_thread());
        assert_eq!(inspector.inspect(&view, Duration::from_secs(1)).await, Err(Illness::Thread));
        assert!(!inspector.all_is_well(&view).await);
    }
}
