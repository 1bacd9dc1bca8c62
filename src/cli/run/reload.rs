//! A reload: the configuration is read again, and put to work or refused.
//!
//! A file that is cut off in the middle, because its writer is not done or its disk is full, can be valid: what comes
//! after the cut is then missing, and has defaults. So a configuration that [removes](removed) something is taken over only
//! if its last line ends and the file has not changed for [`SETTLED`]. The wait holds up nothing: other orders
//! are followed meanwhile, and another order to reload begins it again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::blocking::SingleFlight;
use crate::config::removed::removed;
use crate::config::{Config, LoadError, Reading, Source};
use crate::daemon::Daemon;
use crate::service::Manager;
use crate::text::chain;

/// How long a file that removes something must stay as it is.
const SETTLED: Duration = Duration::from_secs(2);

/// How often a file is read again that changes all the time: for a minute.
const ROUNDS: u32 = 30;

/// The reload under way, if there is one.
pub(super) struct Reloading {
    source: Source,
    reading: SingleFlight<Result<Reading, LoadError>>,
    step: Step,
}

enum Step {
    Idle,
    /// Read at this moment, for the n-th time; beside it what was read before.
    Read {
        at: Instant,
        round: u32,
        before: Option<Box<Reading>>,
    },
}

/// How a reload goes on once the file has been read.
enum Judgement {
    /// The file is read again, and must be the same then.
    Wait {
        reading: Box<Reading>,
        removes: String,
    },
    Decided(Decision),
}

/// How the reading of a new configuration ended.
pub(super) enum Decision {
    /// Put it to work; what it removes, for people.
    Accept(Box<Config>, Option<String>),
    /// Keep the old one.
    Refuse(Refusal),
}

/// Why a new configuration is not put to work.
pub(super) enum Refusal {
    Unusable(LoadError),
    /// It removes this, and the last line does not end.
    CutOff(String),
    /// It removes this, and changes all the time.
    Restless(String),
}

// === impl Reloading ===

impl Reloading {
    /// None is under way. They will read `source`.
    pub(super) fn new(source: Source) -> Self {
        Self { source, reading: SingleFlight::new(), step: Step::Idle }
    }

    /// Begins one; [`decide`](Self::decide) goes on with it.
    pub(super) fn begin(&mut self, manager: &Manager) {
        manager.reloading();
        self.step = Step::Read { at: Instant::now(), round: 1, before: None };
    }

    /// Reads the configuration for the reload that is under way; waits for ever if there is none. Cancel-safe: what was
    /// waited for is waited for again.
    pub(super) async fn decide(&mut self, in_force: &Config) -> Decision {
        loop {
            let Step::Read { at, .. } = &self.step else { return std::future::pending().await };
            sleep_until(*at).await;
            let source = self.source.clone();
            let reading = self.reading.run(move || source.read()).await;
            let Step::Read { round, before, .. } = std::mem::replace(&mut self.step, Step::Idle) else {
                continue;
            };
            let (reading, removes) = match judge(reading, in_force, before.as_deref(), round) {
                Judgement::Decided(decision) => return decision,
                Judgement::Wait { reading, removes } => (reading, removes),
            };
            if before.is_some() {
                tracing::info!(removes, "the file changed while a reload waited; it is read again");
            } else {
                tracing::warn!(
                    removes,
                    "a reload waits: the file removes something from the configuration in force; it is taken over once it has not changed for 2 s"
                );
            }
            self.step = Step::Read { at: Instant::now() + SETTLED, round: round + 1, before: Some(reading) };
        }
    }
}

/// What is to be done about a `reading` that is the n-th, after the one `before`.
fn judge(
    reading: Result<Reading, LoadError>,
    in_force: &Config,
    before: Option<&Reading>,
    round: u32,
) -> Judgement {
    let reading = match reading {
        Ok(reading) => reading,
        Err(error) => return Judgement::Decided(Decision::Refuse(Refusal::Unusable(error))),
    };
    let removes = removed(in_force, &reading.config);
    if removes.is_empty() {
        return Judgement::Decided(Decision::Accept(Box::new(reading.config), None));
    }
    let removes = removes.join(", ");
    if reading.ends_within_a_line() {
        Judgement::Decided(Decision::Refuse(Refusal::CutOff(removes)))
    } else if before.is_some_and(|before| before.is_same_version(&reading)) {
        Judgement::Decided(Decision::Accept(Box::new(reading.config), Some(removes)))
    } else if round > ROUNDS {
        Judgement::Decided(Decision::Refuse(Refusal::Restless(removes)))
    } else {
        Judgement::Wait { reading: Box::new(reading), removes }
    }
}

/// Puts to work what was decided, and tells the service manager how it ended.
pub(super) async fn conclude(decision: Decision, daemon: &mut Daemon, source: &Source, manager: &Manager) {
    let taken_over = match decision {
        Decision::Accept(config, removes) => put_to_work(daemon, *config, removes).await,
        Decision::Refuse(refusal) => {
            report(&refusal, source);
            false
        }
    };
    manager.reloaded(taken_over);
}

async fn put_to_work(daemon: &mut Daemon, config: Config, removes: Option<String>) -> bool {
    match daemon.reload(config).await {
        Ok(()) => {
            tracing::info!(health = ?daemon.health_addresses(), admin = %daemon.admin_address(), removes, "reloaded");
            true
        }
        Err(error) => {
            let (error, help) = (chain(&error), error.hint());
            tracing::error!(
                error,
                help,
                "the new configuration cannot be put to work; the old one stays in force"
            );
            false
        }
    }
}

fn report(refusal: &Refusal, source: &Source) {
    match refusal {
        Refusal::Unusable(error) => {
            let report = match error {
                LoadError::Invalid(report) => report.render(false),
                error => format!("failed to {}", chain(error)),
            };
            tracing::error!(config = %source, %report, "the new configuration is invalid; the old one stays in force");
        }
        Refusal::CutOff(removes) => {
            tracing::error!(
                config = %source,
                removes,
                "the new configuration looks cut off: it removes something, and its last line does not end; the old one stays in \
                 force. If the file is complete, end it with a newline and reload again"
            );
        }
        Refusal::Restless(removes) => {
            tracing::error!(
                config = %source,
                removes,
                "the new configuration removes something, and its file changes all the time; the old one stays in force. Reload again when it is complete"
            );
        }
    }
}
