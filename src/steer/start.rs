//! From a steering table of the configuration to its running loop: the one place that knows every kind.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::arbiter::ArbiterHandle;
use super::classic_elb::ClassicElb;
use super::cloudwatch::CloudWatch;
use super::elbv2::Elbv2;
use super::hook::Hook;
use super::kubernetes::{Kubernetes, View};
use super::report::{Report, State};
use super::route::Route;
use super::route53::Route53;
use super::run::{LoopContext, run};
use crate::aws::{self, region};
use crate::clock::Clock;
use crate::config::steering::{self, RecordValue, Value};
use crate::snapshot::Snapshot;

/// Between two attempts to learn the region, which the instance metadata service knows.
const IDENTITY_RETRY: Duration = Duration::from_secs(5);

/// The same while a promotion waits.
const IDENTITY_RETRY_AWAITED: Duration = Duration::from_millis(500);

/// Who steers, and at which pace.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// The mirror's name.
    pub(crate) mirror: Arc<str>,
    /// The member's own name, as records carry it.
    pub(crate) name: Arc<str>,
    /// How often to look when nothing happens.
    pub(crate) drift: watch::Receiver<Duration>,
    /// The region that some table of the configuration tells, see [`region`].
    pub(crate) region: Option<Arc<str>>,
}

/// Steers `target` until it is cancelled. What it does is seen in `report`.
pub(crate) async fn start(
    target: steering::Target,
    member: Member,
    snapshot: watch::Receiver<Snapshot>,
    arbiter: ArbiterHandle,
    report: watch::Sender<Report>,
    clock: Clock,
    cancelled: CancellationToken,
) {
    let (mirror, drift) = (Arc::clone(&member.mirror), member.drift.clone());
    let around = LoopContext { mirror, snapshot, arbiter, report, clock, drift, jitter, cancelled };
    // The services' clients are large; one is boxed a loop.
    match target {
        steering::Target::Elbv2(table) => {
            let region = Value::Is(table.target_group_arn.split(':').nth(3).unwrap_or_default().to_owned());
            let Some(sdk) = sdk(&region, &around).await else { return };
            Box::pin(run(Elbv2::new(&table, None, &sdk), around)).await;
        }
        steering::Target::ClassicElb(table) => {
            let Some(sdk) = sdk(&table.region, &around).await else { return };
            Box::pin(run(ClassicElb::new(&table, None, &sdk), around)).await;
        }
        steering::Target::Route53(table) => {
            let Some(region) = global_region(&table, member.region.as_deref(), &around).await else { return };
            let Some(sdk) = sdk(&Value::Is(region), &around).await else { return };
            Box::pin(run(Route53::new(&table, &member.name, None, &sdk), around)).await;
        }
        steering::Target::Route(table) => {
            let Some(sdk) = sdk(&table.region, &around).await else { return };
            Box::pin(run(Route::new(&table, None, &sdk), around)).await;
        }
        steering::Target::CloudWatch(table) => {
            let Some(sdk) = sdk(&table.region, &around).await else { return };
            Box::pin(run(CloudWatch::new(&table, &member.mirror, None, &sdk), around)).await;
        }
        steering::Target::Kubernetes(table) => {
            let view = View { snapshots: around.snapshot.clone(), clock: around.clock.clone() };
            Box::pin(run(Kubernetes::new(&table, Some(view)), around)).await;
        }
        steering::Target::Hook(table) => {
            let remembered = around.snapshot.borrow().tracker().remember();
            let snapshots = around.snapshot.clone();
            let hook = Hook::new(&table, &member.mirror, &member.name, remembered, snapshots);
            Box::pin(run(hook, around)).await;
        }
    }
}

/// The SDK's configuration for `region`; `None` when cancelled before it was known.
async fn sdk(region: &Value, around: &LoopContext) -> Option<SdkConfig> {
    let region = region_of(region, around).await?;
    Some(aws::sdk_config(&region).await)
}

/// The region that `value` means; `None` when cancelled before it was known.
async fn region_of(value: &Value, around: &LoopContext) -> Option<String> {
    loop {
        let region = match value {
            Value::Is(region) => Ok(region.clone()),
            Value::Auto => {
                let asked = around.cancelled.run_until_cancelled(aws::Identity::ask()).await?;
                asked.map(|identity| identity.region)
            }
        };
        match region {
            Ok(region) => return Some(region),
            Err(error) => {
                let changed = around.report.send_if_modified(|report| {
                    report.enter(State::Failing { how: error.to_string() }, around.clock.now())
                });
                if changed {
                    let (mirror, help) = (&*around.mirror, error.help());
                    tracing::error!(mirror, %error, help, "the region is not known; nothing is steered before it is");
                }
                around.cancelled.run_until_cancelled(pause(around)).await?;
            }
        }
    }
}

/// Until the region should be asked for again.
async fn pause(around: &LoopContext) {
    let (mut snapshot, clock) = (around.snapshot.clone(), around.clock.clone());
    let awaited = async {
        // Where the writer has ended, the daemon is stopping.
        if snapshot.wait_for(|snapshot| snapshot.verdict_at(clock.now()).serves(clock.now())).await.is_err() {
            std::future::pending::<()>().await;
        }
        sleep(IDENTITY_RETRY_AWAITED).await;
    };
    // Both are but timers and looks.
    tokio::select! {
        () = awaited => {}
        () = sleep(IDENTITY_RETRY) => {}
    }
}

/// Where Route 53 is asked about the record of `table`: the SDK goes to the partition of that region. `None` when
/// cancelled before it was known.
///
/// A record whose value the instance metadata service has to tell waits for that service, which then tells the
/// region, too. Any other record may be steered from outside AWS, where there is none.
async fn global_region(
    table: &steering::Route53,
    told: Option<&str>,
    around: &LoopContext,
) -> Option<String> {
    let known = around.cancelled.run_until_cancelled(region::known(told)).await?;
    match (known, &table.value) {
        (Some(region), _) => Some(region),
        (None, RecordValue::Plain { value: Value::Auto, .. }) => region_of(&Value::Auto, around).await,
        (None, RecordValue::Plain { value: Value::Is(_), .. } | RecordValue::Alias { .. }) => {
            let (mirror, record) = (&*around.mirror, &table.record);
            tracing::info!(
                mirror,
                record,
                region = region::FALLBACK,
                "nobody tells a region (AWS_REGION would): Route 53 is asked in the common partition"
            );
            Some(region::FALLBACK.to_owned())
        }
    }
}

/// A number in 0..1 that nobody can foresee, for jitter; not for secrets.
fn jitter() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    // 32 bits are exact in an f64, and plenty for a pause.
    f64::from(u32::try_from(random >> 32).expect("half of 64 bits")) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;
    use crate::clock::Timestamp;
    use crate::observation::{Observation, Role};
    use crate::role::{Settings, Tracker};
    use crate::steer::Authority;

    #[tokio::test(start_paused = true)]
    async fn a_promotion_does_not_wait_long_for_who_this_member_is() {
        let start = Instant::now();
        let clock = Clock::from_fn(move || {
            let since = Instant::now() - start;
            Timestamp::new(Duration::from_secs(500) + since, Duration::from_secs(1_795_228_800) + since)
        });
        let settings = Settings { stale_after: Duration::from_secs(60), rise: NonZeroU32::MIN };
        let snapshots = watch::Sender::new(Snapshot::new(Tracker::new(settings, None)));
        let (_drift, drift) = watch::channel(Duration::from_secs(30));
        let (_authority, authority) = watch::channel(Authority::Unsure { why: String::new(), term: 0 });
        let around = LoopContext {
            mirror: "PROD".into(),
            snapshot: snapshots.subscribe(),
            arbiter: ArbiterHandle::new(mpsc::channel(1).0, authority),
            report: watch::Sender::new(Report::new("pool".into(), clock.now())),
            clock: clock.clone(),
            drift,
            jitter,
            cancelled: CancellationToken::new(),
        };
        pause(&around).await;
        assert_eq!(start.elapsed(), IDENTITY_RETRY, "nobody waits");

        let promoted = async {
            sleep(Duration::from_secs(1)).await;
            let (asked_at, answered_at) = (clock.now(), clock.now());
            let observation =
                Observation { asked_at, answered_at, outcome: Ok(Role::Primary), evidence: String::new() };
            snapshots.send_modify(|snapshot| {
                snapshot.rule(answered_at, |tracker| tracker.observe(&observation));
            });
        };
        tokio::join!(pause(&around), promoted);
        assert_eq!(start.elapsed(), IDENTITY_RETRY + Duration::from_secs(1) + IDENTITY_RETRY_AWAITED);
        pause(&around).await;
        let again = IDENTITY_RETRY + Duration::from_secs(1) + 2 * IDENTITY_RETRY_AWAITED;
        assert_eq!(start.elapsed(), again);
    }

    #[test]
    fn chance_is_within_its_bounds_and_not_always_the_same() {
        let drawn: Vec<f64> = (0..1_000).map(|_| jitter()).collect();
        assert!(drawn.iter().all(|jitter| (0.0..1.0).contains(jitter)));
        assert!(drawn.iter().any(|jitter| *jitter < 0.5) && drawn.iter().any(|jitter| *jitter >= 0.5));
    }
}
