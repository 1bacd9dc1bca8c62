//! What a promotion would do now: reads every object and plans, as the loops would, and changes nothing.
//!
//! The steps and the term come from the code that the daemon runs, so `plan` prints the calls that the daemon would
//! make. All objects of a mirror are read before the first plan, because the term is above every one that they carry.
//!
//! For a pool, the calls that follow once this member is healthy are planned as well.

use serde::Serialize;

use super::help::{help, is_denied};
use super::{Sessions, names};
use crate::clock::{Clock, Timestamp};
use crate::provider::{Config, Mirror};
use crate::state::Store;
use crate::steer;
use crate::steer::foresight::Foresight;
use crate::steer::{Authority, CallError, Intent, Plan, Progress, Step as _};
use crate::term::Claim;

/// What a promotion would do to one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The mirror.
    pub mirror: String,
    /// The kind of target and which object.
    pub target: String,
    /// The calls, in order.
    pub calls: Vec<Call>,
    /// What remains then.
    pub then: Then,
    /// The calls that follow as soon as the load balancer finds this member healthy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub once_healthy: Vec<Call>,
    /// Why the object could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Unknown>,
    /// Why no call that moves traffic would be made now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld: Option<String>,
}

/// One call that would be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// The call, with all that it carries.
    pub call: String,
    /// Whether it changes which member receives traffic: then it needs write authorization.
    pub moves_traffic: bool,
}

/// What remains after the calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "detail")]
pub enum Then {
    /// Nothing.
    Fulfilled,
    /// To wait for this, and to plan again.
    WaitsFor(String),
    /// Nothing, because another member has it.
    LostOwnership(String),
    /// It cannot be done.
    Blocked(String),
    /// The object could not be read.
    Unknown,
}

/// Why an object could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// The call, its error, and the region that was asked.
    pub message: String,
    /// What the error calls for, in one word.
    pub class: &'static str,
    /// Whether rights are missing.
    pub denied: bool,
    /// How to correct it.
    pub help: &'static str,
}

/// An object that was read, with its plan to come.
pub(crate) struct Look {
    preview: Preview,
    /// The ownership record that it carries.
    mark: Option<Claim>,
    plan: Planner,
}

/// Completes a preview by the plan for an intent.
type Planner = Box<dyn FnOnce(Preview, &Intent, Timestamp) -> Preview + Send>;

/// What a promotion of every mirror of `config` would do now.
pub async fn promotion(config: &Config, clock: &Clock) -> Vec<Preview> {
    let store = Store::new(config.state_directory.clone());
    let mut sessions = Sessions::new(config);
    let mut previews = Vec::new();
    for mirror in &config.mirrors {
        // Without saved state only the objects' records count, as for the daemon.
        let state = store.load(&mirror.name).ok().flatten();
        let epoch = state.as_ref().map(|state| state.role.epoch).unwrap_or_default().next();
        let mut looks = Vec::new();
        for (table, name) in mirror.targets.iter().zip(names(&mirror.targets)) {
            let preview = Preview::of(mirror, name);
            let mut look = table.kind().look(mirror, preview, &mut sessions).await;
            if let Some(error) = &mut look.preview.error {
                sessions.name_region(table, &mut error.message).await;
            }
            looks.push(look);
        }
        let foresight =
            Foresight::new(mirror, state.as_ref(), store.known_daemon_id().as_deref(), clock).await;
        let records: Vec<_> =
            looks.iter().map(|look| (look.preview.target.as_str().into(), look.mark.clone())).collect();
        let authority = foresight.promotion(&records, clock.now());
        let intent = match &authority {
            Authority::Clear { term, certain } => Intent::Lead { epoch, term: *term, certain: *certain },
            Authority::Unsure { term, .. } => Intent::Lead { epoch, term: *term, certain: false },
            Authority::Superseded { .. } => Intent::Hold { reason: authority.to_string() },
        };
        let withheld = match &authority {
            Authority::Clear { .. } => None,
            Authority::Unsure { why: text, .. } | Authority::Superseded { by: text } => Some(text.clone()),
        };
        let now = clock.now();
        previews.extend(looks.into_iter().zip(&mirror.targets).map(|(look, table)| {
            let is_withheld = table.kind().acts_on_promotion();
            let preview = Preview { withheld: withheld.clone().filter(|_| is_withheld), ..look.preview };
            (look.plan)(preview, &intent, now)
        }));
    }
    previews
}

// === impl Look ===

impl Look {
    /// Nothing is left to plan.
    fn at(preview: Preview) -> Self {
        Self { preview, mark: None, plan: Box::new(|preview, _intent, _now| preview) }
    }
}

// === impl Preview ===

impl Preview {
    fn of(mirror: &Mirror, target: String) -> Self {
        Self {
            mirror: mirror.name.clone(),
            target,
            calls: Vec::new(),
            then: Then::Unknown,
            once_healthy: Vec::new(),
            error: None,
            withheld: None,
        }
    }

    /// Reads `target`.
    pub(crate) async fn look<T: steer::Target + 'static>(self, mut target: T) -> Look {
        let observed = match target.observe().await {
            Ok(observed) => observed,
            Err(error) => return self.failed(&error),
        };
        let mark = target.ownership_record(&observed);
        let plan = move |preview: Self, intent: &Intent, now: Timestamp| {
            preview.plan(target, &observed, intent, now)
        };
        Look { preview: self, mark, plan: Box::new(plan) }
    }

    /// These are the calls, whatever the object's state.
    pub(crate) fn known(self, calls: Vec<Call>) -> Look {
        Look::at(Self { calls, then: Then::Fulfilled, ..self })
    }

    fn plan<T: steer::Target>(
        self,
        mut target: T,
        observed: &T::Observed,
        intent: &Intent,
        now: Timestamp,
    ) -> Self {
        target.note(intent, observed, now);
        let calls = |steps: &[T::Step]| -> Vec<Call> {
            let call = |step: &T::Step| Call { call: step.to_string(), moves_traffic: step.moves_traffic() };
            steps.iter().map(call).collect()
        };
        let Plan { steps, then } = target.plan(intent, observed, now);
        let once_healthy = match &then {
            Progress::Waiting { .. } => {
                target.once_healthy(observed).map(|later| calls(&target.plan(intent, &later, now).steps))
            }
            Progress::Fulfilled | Progress::LostOwnership { .. } | Progress::Blocked { .. } => None,
        };
        Self {
            calls: calls(&steps),
            then: then.into(),
            once_healthy: once_healthy.unwrap_or_default(),
            ..self
        }
    }

    /// It could not be read.
    pub(crate) fn failed(self, error: &CallError) -> Look {
        let error = Unknown {
            message: error.to_string(),
            class: error.class.word(),
            denied: is_denied(error),
            help: help(error),
        };
        Look::at(Self { error: Some(error), ..self })
    }
}

// === impl Then ===

impl From<Progress> for Then {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Fulfilled => Self::Fulfilled,
            Progress::Waiting { what, pause: _ } => Self::WaitsFor(what),
            Progress::LostOwnership { by } => Self::LostOwnership(by),
            Progress::Blocked { why } => Self::Blocked(why),
        }
    }
}
