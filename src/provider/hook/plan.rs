//! Whether a command is due for the present state of the mirror. PURE.
//!
//! Promotions are numbered by epochs, and a demotion has the number of the promotion that it ends. So it is enough to
//! remember the last settled number of each, and a missed event does no harm: the next read compares again.

use std::fmt;

use crate::role::{Epoch, Remembered};
use crate::steer::{Intent, Plan, Progress, Step};

/// What a command is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Promotion,
    Demotion,
}

/// For which events it is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    pub(super) on_promotion: bool,
    pub(super) on_demotion: bool,
}

/// What the command learns about the mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Number of the last promotion; zero before the first.
    pub(super) epoch: u64,
    pub(super) origin: &'static str,
    pub(super) role: &'static str,
    pub(super) reason: String,
}

/// The epochs for which nothing is left to do: the command ran, it failed and is not retried, or an earlier process
/// was responsible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    promoted: u64,
    demoted: u64,
    /// The last event, its epoch and its failure, if it failed for good.
    failed: Option<(Event, u64, String)>,
}

/// The facts and the memory at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(super) facts: Facts,
    pub(super) memory: Memory,
}

/// One run of the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(super) event: Event,
    pub(super) epoch: u64,
    pub(super) facts: Facts,
}

/// The run that is due, if one is.
pub(super) fn plan(when: When, intent: &Intent, observed: &Observed) -> Plan<Run> {
    let Observed { facts, memory } = observed;
    let (event, epoch, due) = match intent {
        Intent::Lead { epoch, .. } => {
            let epoch = u64::from(*epoch);
            if facts.epoch != epoch {
                // The command gets the facts of the promotion that it runs for, never of the state before.
                let what = format!("the facts of epoch {epoch}");
                return Plan { steps: Vec::new(), then: Progress::waiting(what) };
            }
            (Event::Promotion, epoch, when.on_promotion && memory.promoted != epoch)
        }
        // Epoch zero: there was no promotion that this could end.
        Intent::Follow => {
            let due = when.on_demotion && facts.epoch != 0 && memory.demoted != facts.epoch;
            (Event::Demotion, facts.epoch, due)
        }
        Intent::Hold { .. } => return Plan { steps: Vec::new(), then: Progress::Fulfilled },
    };
    if due {
        let run = Run { event, epoch, facts: facts.clone() };
        return Plan { steps: vec![run], then: Progress::Fulfilled };
    }
    let then = match &memory.failed {
        Some((failed, of, why)) if *failed == event && *of == epoch => Progress::Blocked { why: why.clone() },
        Some(_) | None => Progress::Fulfilled,
    };
    Plan { steps: Vec::new(), then }
}

// === impl Event ===

impl Event {
    /// The event in one lower-case word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Promotion => "promotion",
            Self::Demotion => "demotion",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

// === impl Memory ===

impl Memory {
    /// The memory of a new target. An earlier process was responsible for what it remembered, but a primary that comes
    /// back in another role has been demoted.
    pub(super) fn new(remembered: Option<Remembered>) -> Self {
        let Some(remembered) = remembered else { return Self::default() };
        let promoted = remembered.epoch.into();
        Self { promoted, demoted: if remembered.primary { 0 } else { promoted }, failed: None }
    }

    /// Notes that nothing is left to do for `run`; `failure` says why it failed, if it did.
    pub(super) fn settle(&mut self, run: &Run, failure: Option<String>) {
        match run.event {
            Event::Promotion => self.promoted = run.epoch,
            Event::Demotion => self.demoted = run.epoch,
        }
        self.failed = failure.map(|failure| (run.event, run.epoch, failure));
    }
}

// === impl Run ===

impl Step for Run {
    fn moves_traffic(&self) -> bool {
        match self.event {
            Event::Promotion => true,
            Event::Demotion => false,
        }
    }

    /// A demotion needs no authorization, so it fits any promotion.
    fn is_planned_for(&self, epoch: Epoch, _term: u64) -> bool {
        match self.event {
            Event::Promotion => self.epoch == u64::from(epoch),
            Event::Demotion => true,
        }
    }
}

impl fmt::Display for Run {
    /// Without the command itself, whose arguments may hold a password; the target's name has the program.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { origin, role, reason, .. } = &self.facts;
        write!(
            f,
            "run the hook: {} of epoch {}, origin `{origin}`, role `{role}`, {reason}",
            self.event, self.epoch
        )
    }
}
