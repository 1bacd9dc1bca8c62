//! What a promotion would do now: looks at every object and plans, as the loops would, and sends nothing
//! that changes anything.
//!
//! The steps come from the same code that the daemon runs, and the term is found by the same rule, so what is
//! printed is what would be called. All objects of a mirror are read before any is planned for: the term is
//! above what each of them carries.
//!
//! What a pool calls for once this member is healthy there is planned as well, on the supposition that it is.

use serde::Serialize;

use super::classic_elb::ClassicElb;
use super::cloudwatch::CloudWatch;
use super::elbv2::Elbv2;
use super::foresight::Foresight;
use super::kubernetes::Kubernetes;
use super::names;
use super::route::Route;
use super::route53::Route53;
use super::{Authority, CallError, Intent, Plan, Progress, Step as _};
use crate::aws::session::Session;
use crate::clock::{Clock, Timestamp};
use crate::config::steering::{self, Target};
use crate::config::{Config, Mirror};
use crate::state::Store;
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
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Unknown>,
    /// Why today no call would be made that moves traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld: Option<String>,
}

/// One call that would be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// The call, with all that it carries.
    pub call: String,
    /// Whether it changes who receives traffic: then only a proven primary makes it.
    pub moves_traffic: bool,
}

/// What remains after the calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "detail")]
pub enum Then {
    /// Nothing.
    Fulfilled,
    /// To wait for this, and to plan anew.
    WaitsFor(String),
    /// Nothing, because another member has it.
    LostOwnership(String),
    /// It cannot be done.
    Blocked(String),
    /// The object could not be looked at.
    Unknown,
}

/// Why an object could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// What was asked, and the answer.
    pub message: String,
    /// What the error calls for, in one word.
    pub class: &'static str,
    /// Whether rights are missing.
    pub denied: bool,
    /// How to mend it.
    pub help: &'static str,
}

/// An object that was looked at and is to be planned for.
struct Look {
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
    let mut session = Session::new(config);
    let mut previews = Vec::new();
    for mirror in &config.mirrors {
        // Without what was remembered, what the objects carry is all there is to go by: so it is for the daemon.
        let state = store.load(&mirror.name).ok().flatten();
        let epoch = state.as_ref().map(|state| state.role.epoch).unwrap_or_default().next();
        let mut looks = Vec::new();
        for (table, name) in mirror.targets.iter().zip(names(&mirror.targets)) {
            looks.push(object(mirror, table, name, &mut session).await);
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
            let is_withheld = match table {
                Target::Hook(hook) => hook.on_promotion,
                table => table.moves_traffic(),
            };
            let preview = Preview { withheld: withheld.clone().filter(|_| is_withheld), ..look.preview };
            (look.plan)(preview, &intent, now)
        }));
    }
    previews
}

/// The one place that knows every kind of target.
async fn object(mirror: &Mirror, table: &Target, name: String, session: &mut Session) -> Look {
    let identity = session.identity_for(table).await;
    let preview = Preview::of(mirror, name);
    let region = match table {
        Target::Elbv2(table) => steering::Value::Is(region_of(&table.target_group_arn)),
        Target::ClassicElb(steering::ClassicElb { region, .. })
        | Target::Route(steering::Route { region, .. })
        | Target::CloudWatch(steering::CloudWatch { region, .. }) => region.clone(),
        Target::Kubernetes(table) => return preview.look(Kubernetes::new(table, None)).await,
        Target::Route53(_) | Target::Hook(_) => steering::Value::Is(session.global_region().await),
    };
    let sdk = match session.region(&region).await {
        Ok(region) => session.sdk(&region).await,
        Err(error) => return Look::at(preview.failed(&error)),
    };
    match table {
        Target::Elbv2(table) => preview.look(Elbv2::new(table, identity, &sdk)).await,
        Target::ClassicElb(table) => preview.look(ClassicElb::new(table, identity, &sdk)).await,
        Target::Route53(table) => {
            let owner = mirror.member_name();
            preview.look(Route53::new(table, &owner, identity, &sdk)).await
        }
        Target::Route(table) => preview.look(Route::new(table, identity, &sdk)).await,
        Target::CloudWatch(table) => preview.look(CloudWatch::new(table, &mirror.name, identity, &sdk)).await,
        // Without its arguments, which may hold a password.
        Target::Hook(settings) if settings.on_promotion => Look::at(Preview {
            calls: vec![Call {
                call: format!("run {} (promotion)", settings.command.first().map_or("", String::as_str)),
                moves_traffic: true,
            }],
            then: Then::Fulfilled,
            ..preview
        }),
        // A label was looked at above.
        Target::Kubernetes(_) | Target::Hook(_) => Look::at(Preview { then: Then::Fulfilled, ..preview }),
    }
}

fn region_of(arn: &str) -> String {
    arn.split(':').nth(3).unwrap_or_default().to_owned()
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

    /// Looks at `target`.
    async fn look<T: super::Target + 'static>(self, mut target: T) -> Look {
        let observed = match target.observe().await {
            Ok(observed) => observed,
            Err(error) => return Look::at(self.failed(&error)),
        };
        let mark = target.ownership_record(&observed);
        let plan = move |preview: Self, intent: &Intent, now: Timestamp| {
            preview.plan(target, &observed, intent, now)
        };
        Look { preview: self, mark, plan: Box::new(plan) }
    }

    fn plan<T: super::Target>(
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

    fn failed(self, error: &CallError) -> Self {
        let error = Unknown {
            message: error.to_string(),
            class: error.class.word(),
            denied: crate::aws::help::is_denied(error),
            help: crate::aws::help::help(error),
        };
        Self { error: Some(error), ..self }
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
