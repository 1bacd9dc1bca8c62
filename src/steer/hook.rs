//! `[[mirror.hook]]`: a command of the operator's, run at promotions and demotions. For what no other table
//! can steer.
//!
//! A command is an edge and the loop is level-triggered, so what is steered here is the fact that the
//! command *has been run* for the present state: [`plan`] says when that is due. What a command may rely on:
//!
//! - It is run for the promotion or demotion that is the present state. One that was over before its turn
//!   came is passed over, so a command must set things right from whatever state it finds.
//! - It is not run again for an epoch that the process before had seen (its state was remembered): restarting
//!   the daemon on a primary runs nothing. When the remembered state is lost, a primary counts as newly
//!   promoted and the command is run again; so it must bear to be run twice.
//! - A demotion is a definite other role. Silence, doubt and a stop of the daemon are none.
//! - Only the primary runs it for a promotion: it needs write authorization, as a change of a record does. For a demotion
//!   there is nothing to prove.
//! - It ends within its deadline or is killed, with its whole process group; so is what it leaves running
//!   behind it, unless that begins a session of its own (`setsid`). No shell reads it. Standard output beyond
//!   64 KiB is a failure too: redirect it.
//! - It failed when it exits with anything but 0. It is run again only with `retry = true`; otherwise the
//!   failure stays visible until the next promotion or demotion.
//!
//! | variable | value |
//! |---|---|
//! | `MIRRORVIP_EVENT` | `promotion` or `demotion` |
//! | `MIRRORVIP_MIRROR` | the mirror's name in the configuration |
//! | `MIRRORVIP_MEMBER` | this member's name |
//! | `MIRRORVIP_EPOCH` | number of the promotion, of a demotion the one that it ends |
//! | `MIRRORVIP_ORIGIN` | how serving began: `promoted`, `resumed` or `found` |
//! | `MIRRORVIP_ROLE` | what the instance said that it is, in one word |
//! | `MIRRORVIP_REASON` | the same for people |
//!
//! `PATH`, `HOME`, `IRISSYS` and what the table's `environment` names are inherited, and nothing else.

use tokio::sync::watch;

use super::{CallError, Class, Intent, Plan, Proof, Target};
use crate::child::{Call, Runner};
use crate::clock::Timestamp;
use crate::config::steering;
use crate::observation::NoEvidence;
use crate::role::{Remembered, Verdict};
use crate::snapshot::Snapshot;

mod plan;
#[cfg(test)]
mod tests;

pub(crate) use plan::{Observed, Run};

use plan::{Event, Facts, Memory, When};

const ACTION: &str = "run hook";

/// A command, and for which state it has been run.
#[derive(Debug)]
pub(crate) struct Hook {
    settings: steering::Hook,
    mirror: String,
    member: String,
    snapshots: watch::Receiver<Snapshot>,
    memory: Memory,
    runner: Runner,
}

// === impl Hook ===

impl Hook {
    /// A hook of the mirror and member of these names. `remembered` is what was known of the mirror before
    /// this target was made, by the process before or before a reload: the command is not run for that.
    pub(crate) fn new(
        settings: &steering::Hook,
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

    async fn apply(&mut self, step: &Run, proof: Proof<'_>) -> Result<(), CallError> {
        match (step.event, proof) {
            (Event::Promotion, Proof::WriteAuthorization(authorization))
                if u64::from(authorization.epoch()) == step.epoch => {}
            (Event::Promotion, Proof::WriteAuthorization(authorization)) => {
                let text = format!("planned in epoch {}, and it is {}", step.epoch, authorization.epoch());
                return Err(CallError::new(ACTION, Class::Observe, text));
            }
            (Event::Promotion, Proof::AnyRole) => {
                return Err(CallError::new(ACTION, Class::Stop, "a promotion needs write authorization"));
            }
            (Event::Demotion, Proof::WriteAuthorization(_) | Proof::AnyRole) => {}
        }
        let call = self.call(step);
        let failure = match self.runner.run(&call, self.settings.timeout).await {
            Ok(finished) if finished.status.success() => {
                self.memory.settle(step, None);
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
        let text = format!("{text}; it is not tried again");
        self.memory.settle(step, Some(text.clone()));
        Err(CallError::new(ACTION, Class::Stop, text))
    }
}

/// What there is to tell a command about the mirror.
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

/// Whether running a command again can help that could not be run to its end.
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
