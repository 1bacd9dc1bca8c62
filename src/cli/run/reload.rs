//! A reload: reads the configuration again, and applies or refuses it.
//!
//! A truncated file, because its writer is not done or the disk is full, can be valid: the missing part has defaults. So a
//! configuration that [removes](removed) something is applied only if its last line ends with a newline and the file has
//! not changed for [`SETTLED`]. The wait delays nothing else; another order to reload starts it over.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::blocking::SingleFlight;
use crate::config::removed::removed;
use crate::config::{LoadError, Reading, Source};
use crate::daemon::Daemon;
use crate::provider::{Config, Table};
use crate::service::Manager;
use crate::text::chain;

/// How long a file that removes something must stay unchanged.
const SETTLED: Duration = Duration::from_secs(2);

/// How often a file that keeps changing is read again: for a minute.
const ROUNDS: u32 = 30;

/// The reload under way, if there is one.
pub(super) struct Reloading {
    source: Source,
    reading: SingleFlight<Result<Reading<Table>, LoadError>>,
    step: Step,
}

enum Step {
    Idle,
    /// The file is read at this moment, for the n-th time; `before` is the previous reading.
    Read {
        at: Instant,
        round: u32,
        before: Option<Box<Reading<Table>>>,
    },
}

/// What follows a reading.
enum Judgement {
    /// Read the file again; it must not have changed.
    Wait {
        reading: Box<Reading<Table>>,
        removes: String,
    },
    Decided(Decision),
}

/// How the reading of a new configuration ended.
pub(super) enum Decision {
    /// Apply it; the text says what it removes.
    Accept(Box<Config>, Option<String>),
    /// Keep the old one.
    Refuse(Refusal),
}

/// Why a new configuration is not applied.
pub(super) enum Refusal {
    Unusable(LoadError),
    /// It removes this, and its last line does not end.
    CutOff(String),
    /// It removes this, and keeps changing.
    Restless(String),
}

// === impl Reloading ===

impl Reloading {
    /// No reload is under way; a reload will read `source`.
    pub(super) fn new(source: Source) -> Self {
        Self { source, reading: SingleFlight::new(), step: Step::Idle }
    }

    /// Begins a reload; [`decide`](Self::decide) continues it.
    pub(super) fn begin(&mut self, manager: &Manager) {
        manager.reloading();
        self.step = Step::Read { at: Instant::now(), round: 1, before: None };
    }

    /// Reads the configuration for the reload that is under way; waits for ever if there is none. Cancel-safe: the next call
    /// continues.
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
                    "a reload waits: the file removes something from the configuration in force; it is applied once it has not changed for 2 s"
                );
            }
            self.step = Step::Read { at: Instant::now() + SETTLED, round: round + 1, before: Some(reading) };
        }
    }
}

/// Decides about the n-th `reading`, after the one `before`.
fn judge(
    reading: Result<Reading<Table>, LoadError>,
    in_force: &Config,
    before: Option<&Reading<Table>>,
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

/// Carries out a decision, and reports the result to the service manager.
pub(super) async fn conclude(decision: Decision, daemon: &mut Daemon, source: &Source, manager: &Manager) {
    let refused = match decision {
        Decision::Accept(config, removes) => apply(daemon, *config, removes).await,
        Decision::Refuse(refusal) => {
            report(&refusal, source);
            Some(refusal.to_string())
        }
    };
    manager.reloaded(refused.is_none());
    daemon.reload_ended(refused);
}

/// Applies a configuration; returns why it could not be applied.
async fn apply(daemon: &mut Daemon, config: Config, removes: Option<String>) -> Option<String> {
    match daemon.reload(config).await {
        Ok(()) => {
            tracing::info!(health = ?daemon.health_addresses(), admin = %daemon.admin_address(), removes, "reloaded");
            None
        }
        Err(error) => {
            let (error, help) = (chain(&error), error.hint());
            tracing::error!(
                error,
                help,
                "the new configuration cannot be applied; the old one stays in force"
            );
            Some(format!("failed to {error}"))
        }
    }
}

// === impl Refusal ===

impl fmt::Display for Refusal {
    /// The reason in one line; the log has the whole report.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(error) => write!(f, "failed to {}", chain(error)),
            Self::CutOff(removes) => write!(f, "the file looks cut off, and would remove {removes}"),
            Self::Restless(removes) => write!(f, "the file keeps changing, and would remove {removes}"),
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
                "the new configuration removes something, and its file keeps changing; the old one stays in force. Reload again when it is complete"
            );
        }
    }
}
