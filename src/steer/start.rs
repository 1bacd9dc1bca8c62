//! From a steering table of the configuration to its running loop: the one place that knows every kind.

use std::sync::Arc;

use aws_config::SdkConfig;
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;

use super::classic_elb::ClassicElb;
use super::cloudwatch::CloudWatch;
use super::elbv2::Elbv2;
use super::hook::Hook;
use super::report::Report;
use super::route::Route;
use super::route53::Route53;
use super::run::{self, Surroundings};
use super::standing::Counsel;
use crate::aws;
use crate::clock::Clock;
use crate::config::steering;
use crate::snapshot::Snapshot;

/// Who steers, and with what.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// The mirror's name.
    pub(crate) mirror: Arc<str>,
    /// The member's own name, as records carry it.
    pub(crate) name: Arc<str>,
    /// The SDK's configuration, made when it is first needed: all targets share connections and credentials.
    pub(crate) sdk: Arc<OnceCell<SdkConfig>>,
}

/// What the table is called before its target is made: for reports.
pub(crate) fn name(target: &steering::Target) -> String {
    match target {
        steering::Target::Elbv2(t) => {
            let (_, group) = t.target_group_arn.rsplit_once(':').unwrap_or(("", &t.target_group_arn));
            format!("elbv2 {group}")
        }
        steering::Target::ClassicElb(t) => format!("classic_elb {}", t.load_balancer),
        steering::Target::Route53(t) => match &t.set_identifier {
            Some(set) => format!("route53 {} {set}", t.record),
            None => format!("route53 {}", t.record),
        },
        steering::Target::Route(t) => format!("route {}", t.destination),
        steering::Target::CloudWatch(t) => format!("cloudwatch {}/{}", t.namespace, t.metric),
        steering::Target::Hook(t) => format!("hook {}", t.command.first().map_or("", String::as_str)),
    }
}

/// Steers `target` until it is cancelled. What it does is seen in `report`.
pub(crate) async fn start(
    target: steering::Target,
    member: Member,
    snapshot: watch::Receiver<Snapshot>,
    counsel: Counsel,
    report: watch::Sender<Report>,
    clock: Clock,
    cancelled: CancellationToken,
) {
    let Member { mirror, name, sdk } = member;
    let remembered = snapshot.borrow().tracker().remember();
    let snapshots = snapshot.clone();
    let around =
        Surroundings { mirror: Arc::clone(&mirror), snapshot, counsel, report, clock, chance, cancelled };
    if let steering::Target::Hook(settings) = &target {
        return run::run(Hook::new(settings, &mirror, &name, remembered, snapshots), around).await;
    }
    // A target with a region of its own, in its table or from the instance, goes there; this one is for the
    // services that have none.
    let sdk = sdk.get_or_init(|| aws::sdk_config(aws::session::GLOBAL_REGION)).await;
    match target {
        steering::Target::Elbv2(settings) => run::run(Elbv2::new(&settings, None, sdk), around).await,
        steering::Target::ClassicElb(settings) => {
            run::run(ClassicElb::new(&settings, None, sdk), around).await;
        }
        steering::Target::Route53(settings) => {
            run::run(Route53::new(&settings, &name, None, sdk), around).await;
        }
        steering::Target::Route(settings) => run::run(Route::new(&settings, None, sdk), around).await,
        steering::Target::CloudWatch(settings) => {
            run::run(CloudWatch::new(&settings, &mirror, None, sdk), around).await;
        }
        steering::Target::Hook(_) => unreachable!("hooks were started above; they need no SDK"),
    }
}

/// A number in 0..1 that nobody can foresee, for jitter; not for secrets.
fn chance() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    // 32 bits are exact in an f64, and plenty for a pause.
    f64::from(u32::try_from(random >> 32).expect("half of 64 bits")) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_within_its_bounds_and_not_always_the_same() {
        let drawn: Vec<f64> = (0..1_000).map(|_| chance()).collect();
        assert!(drawn.iter().all(|chance| (0.0..1.0).contains(chance)));
        assert!(drawn.iter().any(|chance| *chance < 0.5) && drawn.iter().any(|chance| *chance >= 0.5));
    }
}
