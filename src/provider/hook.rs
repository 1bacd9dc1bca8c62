//! `[[mirror.hook]]`: the operator's command, run at promotions and demotions. For objects that no other table can
//! steer.
//!
//! The loop is level-triggered, so it steers the fact that the command *has run* for the present state; [`plan`] decides
//! when a run is due. What a command may rely on:
//!
//! - It runs for the promotion or demotion that is the present state. An event that ended before its run is skipped, so
//!   a command must work from any state that it finds.
//! - It does not run again for an epoch that the previous process had seen: restarting the daemon on a primary runs
//!   nothing. After the saved state is lost, a primary counts as newly promoted and the command runs again, so it must
//!   be idempotent.
//! - A demotion is a definite other role. Silence, doubt and a stop of the daemon are none.
//! - Only the primary runs it for a promotion: that needs write authorization, as a change of a record does. A demotion
//!   needs none.
//! - It ends within its deadline or is killed with its whole process group. Processes that it leaves running are killed
//!   as well, unless they begin a session of their own (`setsid`). No shell reads it. More than 64 KiB of standard output
//!   is a failure too: redirect it.
//! - An exit code other than 0 is a failure. It runs again only with `retry = true`; otherwise the failure stays visible
//!   until the next promotion or demotion.
//!
//! | variable | value |
//! |---|---|
//! | `MIRRORVIP_EVENT` | `promotion` or `demotion` |
//! | `MIRRORVIP_MIRROR` | the mirror's name in the configuration |
//! | `MIRRORVIP_MEMBER` | this member's name |
//! | `MIRRORVIP_EPOCH` | number of the promotion, of a demotion the one that it ends |
//! | `MIRRORVIP_ORIGIN` | how serving began: `promoted`, `resumed` or `found` |
//! | `MIRRORVIP_ROLE` | the role that the instance reported, in one word |
//! | `MIRRORVIP_REASON` | the same as a sentence |
//!
//! `PATH`, `HOME`, `IRISSYS` and what the table's `environment` names are inherited, and nothing else.

use tokio::sync::watch;

use crate::child::{Call, Runner};
use crate::clock::Timestamp;
use crate::observation::NoEvidence;
use crate::role::{Remembered, Verdict};
use crate::snapshot::Snapshot;
use crate::steer::{Authorized, CallError, Class, Intent, Plan, Target};

mod kind;
mod plan;
mod table;
#[cfg(test)]
mod tests;

pub use table::Table;

pub(crate) use plan::{Observed, Run};

use plan::{Facts, Memory, When};

const ACTION: &str = "run hook";

/// A command, and the state for which it has run.
#[derive(Debug)]
pub(crate) struct Hook {
    settings: Table,
    mirror: String,
    member: String,
    snapshots: watch::Receiver<Snapshot>,
    memory: Memory,
    runner: Runner,
}

// === impl Hook ===

impl Hook {
    /// A hook of `mirror` and `member`. `remembered` is what the previous process, or this one before a reload, knew of
    /// the mirror: the command does not run for that.
    pub(crate) fn new(
        settings: &Table,
        mirror: &str,
        member: &str,
        remembered: Option<Remembered>,
        snapshots: watch::Receiver<Snapshot>,
    ) -> Self {
        Self {
            settings: settings.clone(),
            mirror: mirror.to_owned(),
            member: member.to_owned(),
            snapshots,
            memory: Memory::new(remembered),
            runner: Runner::new(),
        }
    }

    fn call(&self, step: &Run) -> Call {
        let command = self.settings.command.split_first();
        let (program, arguments) =
            command.map_or_else(Default::default, |(program, rest)| (program.clone(), rest.to_vec()));
        let epoch = step.epoch.to_string();
        let facts = &step.facts;
        let variables = vec![
            ("MIRRORVIP_EVENT", step.event.word().to_owned()),
            ("MIRRORVIP_MIRROR", self.mirror.clone()),
            ("MIRRORVIP_MEMBER", self.member.clone()),
            ("MIRRORVIP_EPOCH", epoch),
            ("MIRRORVIP_ORIGIN", facts.origin.to_owned()),
            ("MIRRORVIP_ROLE", facts.role.to_owned()),
            ("MIRRORVIP_REASON", facts.reason.clone()),
        ];
        Call { program, arguments, environment: self.settings.environment.clone(), variables }
    }
}

impl Target for Hook {
    type Observed = Observed;
    type Step = Run;

    async fn observe(&mut self) -> Result<Observed, CallError> {
        let facts = facts(&self.snapshots.borrow());
        Ok(Observed { facts, memory: self.memory.clone() })
    }

    fn plan(&self, intent: &Intent, observed: &Observed, _now: Timestamp) -> Plan<Run> {
        let when = When { on_promotion: self.settings.on_promotion, on_demotion: self.settings.on_demotion };
        plan::plan(when, intent, observed)
    }

    async fn apply(&mut self, step: Authorized<'_, Run>) -> Result<(), CallError> {
        let call = self.call(&step);
        let failure = match self.runner.run(&call, self.settings.timeout).await {
            Ok(finished) if finished.status.success() => {
                self.memory.settle(&step, None);
                return Ok(());
            }
            Ok(finished) => (Class::Retry, format!("the command {}", finished.describe())),
            Err(cause) => (class(&cause), explain(&cause)),
        };
        let (class, text) = failure;
        let text = format!("{} of epoch {}: {text}", step.event, step.epoch);
        if self.settings.retry {
            return Err(CallError::new(ACTION, class, text));
        }
        let text = format!("{text}; not retried (`retry` is false)");
        self.memory.settle(&step, Some(text.clone()));
        Err(CallError::new(ACTION, Class::Stop, text))
    }
}

/// The facts about the mirror that a command gets.
fn facts(snapshot: &Snapshot) -> Facts {
    let tracker = snapshot.tracker();
    Facts {
        epoch: tracker.epoch().into(),
        origin: tracker.origin().map_or("", crate::role::Origin::word),
        role: tracker.standing().map_or("", |standing| standing.role.word()),
        reason: match snapshot.verdict() {
            Verdict::Serve { .. } => "the instance is primary".to_owned(),
            Verdict::Refuse(reason) => reason.to_string(),
        },
    }
}

/// Whether a retry can help after a run that did not finish.
fn class(cause: &NoEvidence) -> Class {
    if cause.is_unanswerable() { Class::Stop } else { Class::Retry }
}

fn explain(cause: &NoEvidence) -> String {
    match cause {
        NoEvidence::TimedOut { after } => format!("the command still ran after {after:?} and was killed"),
        NoEvidence::TooLong { limit } => {
            format!("the command printed more than {limit} bytes and was killed")
        }
        cause => cause.to_string(),
    }
}
