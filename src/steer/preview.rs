//! What a promotion would do now: looks at every object and plans, as the loops would, and sends nothing
//! that changes anything.
//!
//! The steps come from the same code that the daemon runs, so what is printed is what would be called. Only
//! the claim is supposed: the daemon's authority takes a number above all that it knows; here it is the
//! lowest that the object itself lets pass.

use serde::Serialize;

use super::classic_elb::ClassicElb;
use super::cloudwatch::CloudWatch;
use super::elbv2::Elbv2;
use super::kubernetes::{self, Kubernetes};
use super::route::Route;
use super::route53::Route53;
use super::{CallError, Outlook, Plan, Step as _, Wish};
use crate::aws::session::Session;
use crate::clock::Clock;
use crate::config::steering::{self, Target};
use crate::config::{Config, Mirror};
use crate::role::Epoch;
use crate::state::Store;

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
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Unknown>,
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
    TakenOver(String),
    /// It cannot be done.
    Impossible(String),
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

/// What a promotion of every mirror of `config` would do now.
pub async fn promotion(config: &Config, clock: &Clock) -> Vec<Preview> {
    let store = Store::new(config.state_directory.clone());
    let mut session = Session::default();
    let mut previews = Vec::new();
    for mirror in &config.mirrors {
        // Without the last epoch the first number is shown: only its distance to the next would differ.
        let last = store.load(&mirror.name).ok().flatten().map(|state| state.role.epoch);
        let epoch = last.unwrap_or_default().next();
        for table in &mirror.targets {
            previews.push(object(mirror, table, epoch, &mut session, clock).await);
        }
    }
    previews
}

/// The one place that knows every kind of target.
async fn object(
    mirror: &Mirror,
    table: &Target,
    epoch: Epoch,
    session: &mut Session,
    clock: &Clock,
) -> Preview {
    let identity = session.identity_for(table).await;
    let preview = Preview::of(mirror, kind_and_name(table));
    let region = match table {
        Target::Elbv2(table) => steering::Value::Is(region_of(&table.target_group_arn)),
        Target::ClassicElb(steering::ClassicElb { region, .. })
        | Target::Route(steering::Route { region, .. })
        | Target::CloudWatch(steering::CloudWatch { region, .. }) => region.clone(),
        Target::Kubernetes(table) => return preview.look(Kubernetes::new(table, None), epoch, clock).await,
        Target::Route53(_) | Target::Hook(_) => steering::Value::Is(session.global_region()),
    };
    let sdk = match session.region(&region).await {
        Ok(region) => session.sdk(&region).await,
        Err(error) => return preview.failed(&error),
    };
    match table {
        Target::Elbv2(table) => preview.look(Elbv2::new(table, identity, &sdk), epoch, clock).await,
        Target::ClassicElb(table) => preview.look(ClassicElb::new(table, identity, &sdk), epoch, clock).await,
        Target::Route53(table) => {
            let owner = mirror.member_name();
            preview.look(Route53::new(table, &owner, identity, &sdk), epoch, clock).await
        }
        Target::Route(table) => preview.look(Route::new(table, identity, &sdk), epoch, clock).await,
        Target::CloudWatch(table) => {
            preview.look(CloudWatch::new(table, &mirror.name, identity, &sdk), epoch, clock).await
        }
        // Without its arguments, which may hold a password.
        Target::Hook(settings) if settings.on_promotion => Preview {
            calls: vec![Call {
                call: format!("run {} (promotion)", settings.command.first().map_or("", String::as_str)),
                moves_traffic: true,
            }],
            then: Then::Fulfilled,
            ..preview
        },
        // A label was looked at above.
        Target::Kubernetes(_) | Target::Hook(_) => Preview { then: Then::Fulfilled, ..preview },
    }
}

/// Kind of table and object, as the targets name themselves.
fn kind_and_name(table: &Target) -> String {
    match table {
        Target::Elbv2(table) => {
            let arn = &table.target_group_arn;
            format!("elbv2 {}", arn.rsplit_once(':').map_or(arn.as_str(), |(_, group)| group))
        }
        Target::ClassicElb(table) => format!("classic_elb {}", table.load_balancer),
        Target::Route53(table) => format!("route53 {}", table.record),
        Target::Route(table) => format!("route {}", table.destination),
        Target::CloudWatch(table) => format!("cloudwatch {} {}", table.namespace, table.metric),
        Target::Kubernetes(table) => kubernetes::name(table),
        Target::Hook(table) => format!("hook {}", table.command.first().map_or("", String::as_str)),
    }
}

fn region_of(arn: &str) -> String {
    arn.split(':').nth(3).unwrap_or_default().to_owned()
}

/// The plan with the lowest claim that the object lets pass. A claim is a fencing number: what refuses one
/// refuses all below, so that halving finds the border.
fn lowest_passing<S>(own: u64, plan: impl Fn(u64) -> Plan<S>) -> Plan<S> {
    let taken_over = |plan: &Plan<S>| matches!(plan.then, Outlook::TakenOver { .. });
    let first = plan(own);
    if !taken_over(&first) || taken_over(&plan(u64::MAX)) {
        return first;
    }
    let (mut refused, mut passing) = (own, u64::MAX);
    while passing - refused > 1 {
        let middle = refused + (passing - refused) / 2;
        if taken_over(&plan(middle)) { refused = middle } else { passing = middle }
    }
    plan(passing)
}

// === impl Preview ===

impl Preview {
    fn of(mirror: &Mirror, target: String) -> Self {
        Self { mirror: mirror.name.clone(), target, calls: Vec::new(), then: Then::Unknown, error: None }
    }

    /// Looks at `target`, and plans.
    async fn look<T: super::Target>(self, mut target: T, epoch: Epoch, clock: &Clock) -> Self {
        let name = target.name().to_owned();
        let observed = match target.observe().await {
            Ok(observed) => observed,
            Err(error) => return self.failed(&error),
        };
        let now = clock.now();
        let own = u64::from(epoch);
        target.note(&Wish::Lead { epoch, claim: own }, &observed, now);
        let Plan { steps, then } =
            lowest_passing(own, |claim| target.plan(&Wish::Lead { epoch, claim }, &observed, now));
        let call = |step: &T::Step| Call { call: step.to_string(), moves_traffic: step.moves_traffic() };
        Self { target: name, calls: steps.iter().map(call).collect(), then: then.into(), ..self }
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

impl From<Outlook> for Then {
    fn from(outlook: Outlook) -> Self {
        match outlook {
            Outlook::Fulfilled => Self::Fulfilled,
            Outlook::Waiting { what } => Self::WaitsFor(what),
            Outlook::TakenOver { by } => Self::TakenOver(by),
            Outlook::Impossible { why } => Self::Impossible(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_lowest_passing_claim_is_found(own in 1..1_000_u64, mark in any::<u64>()) {
            let plan = |claim: u64| Plan {
                steps: vec![claim],
                then: if claim <= mark { Outlook::TakenOver { by: mark.to_string() } } else { Outlook::Fulfilled },
            };
            let found = lowest_passing(own, plan);
            // No claim is above the highest mark: what is shown then is who has it.
            prop_assert_eq!(found, plan(mark.checked_add(1).unwrap_or(0).max(own)));
        }
    }
}
