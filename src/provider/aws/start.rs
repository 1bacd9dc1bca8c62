//! What a loop needs before it can begin: the region, for which it may have to ask the instance metadata service.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use tokio::time::sleep;

use super::region::Region;
use super::{Here, region};
use crate::config::steering::Value;
use crate::steer::LoopContext;
use crate::steer::report::State;

/// Between two attempts to learn the region, which the instance metadata service knows.
const IDENTITY_RETRY: Duration = Duration::from_secs(5);

/// The same while a promotion waits.
const IDENTITY_RETRY_AWAITED: Duration = Duration::from_millis(500);

/// The SDK's configuration for `region`; `None` when cancelled before it was known.
pub(super) async fn sdk(region: &Value<Region>, here: &Here, around: &LoopContext) -> Option<SdkConfig> {
    let region = region_of(region, here, around).await?;
    Some(super::sdk_config(region.name()).await)
}

/// The region that `value` means; `None` when cancelled before it was known.
async fn region_of(value: &Value<Region>, here: &Here, around: &LoopContext) -> Option<Region> {
    loop {
        let region = match value {
            Value::Is(region) => Ok(region.clone()),
            Value::Auto => {
                let asked = around.cancelled.run_until_cancelled(here.me.get()).await?;
                asked.map(|identity| Region::named(&identity.region))
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
    // Both are safe to cancel: they only wait.
    tokio::select! {
        () = awaited => {}
        () = sleep(IDENTITY_RETRY) => {}
    }
}

/// The SDK's configuration for a service without a region of its own, which `service` names in the log: it goes to the
/// partition of the region that is known. `None` when cancelled before one was.
///
/// A table that waits for the instance metadata service anyway gets the region from it, too. Any other table may be steered
/// from outside AWS, where there is no such service.
pub(super) async fn global_sdk(
    service: &'static str,
    needs_identity: bool,
    here: &Here,
    around: &LoopContext,
) -> Option<SdkConfig> {
    let known = around.cancelled.run_until_cancelled(region::known(here.told.as_ref())).await?;
    let region = match known {
        Some(region) => region,
        None if needs_identity => region_of(&Value::Auto, here, around).await?,
        None => {
            let (mirror, target) = (&*around.mirror, Arc::clone(&around.report.borrow().target));
            let region = region::FALLBACK;
            tracing::info!(
                mirror,
                target = &*target,
                region,
                "no region is configured (set AWS_REGION): {service} is called in the common partition"
            );
            Region::named(region)
        }
    };
    Some(super::sdk_config(region.name()).await)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tokio::sync::{mpsc, watch};
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::observation::{Observation, Role};
    use crate::role::{Settings, Tracker};
    use crate::snapshot::Snapshot;
    use crate::steer::Authority;
    use crate::steer::arbiter::ArbiterHandle;
    use crate::steer::report::Report;

    /// What a loop has; the senders of what it does not follow are gone.
    fn around(snapshot: watch::Receiver<Snapshot>, clock: Clock) -> LoopContext {
        let (_, authority) = watch::channel(Authority::Unsure { why: String::new(), term: 0 });
        LoopContext {
            mirror: "PROD".into(),
            snapshot,
            arbiter: ArbiterHandle::new(mpsc::channel(1).0, authority),
            report: watch::Sender::new(Report::new("pool".into(), clock.now())),
            clock,
            drift: watch::channel(Duration::from_secs(30)).1,
            jitter: || 0.5,
            help: |_| None,
            cancelled: CancellationToken::new(),
        }
    }

    #[tokio::test]
    async fn the_region_is_the_configured_one_or_the_instances_own() {
        let identity = super::super::Identity {
            instance_id: "i-0123456789abcdef0".into(),
            address: "10.0.1.12".into(),
            region: "eu-central-1".into(),
        };
        let here = Here { told: Some(Region::named("cn-north-1")), me: identity.into() };
        let settings = Settings { stale_after: Duration::from_secs(60), rise: NonZeroU32::MIN };
        let snapshots = watch::Sender::new(Snapshot::new(Tracker::new(settings, None)));
        let around = around(snapshots.subscribe(), Clock::system());
        let own = sdk(&Value::Auto, &here, &around).await.expect("it is known");
        assert_eq!(own.region().map(AsRef::as_ref), Some("eu-central-1"));
        let written =
            sdk(&Value::Is(Region::named("eu-west-1")), &here, &around).await.expect("it is written");
        assert_eq!(written.region().map(AsRef::as_ref), Some("eu-west-1"));
        let anywhere = global_sdk("it", true, &here, &around).await.expect("it is known");
        assert_eq!(
            anywhere.region().map(AsRef::as_ref),
            Some("cn-north-1"),
            "in the partition of the others"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_promotion_asks_for_the_region_more_often() {
        let start = Instant::now();
        let clock = Clock::from_fn(move || {
            let since = Instant::now() - start;
            Timestamp::new(Duration::from_secs(500) + since, Duration::from_secs(1_795_228_800) + since)
        });
        let settings = Settings { stale_after: Duration::from_secs(60), rise: NonZeroU32::MIN };
        let snapshots = watch::Sender::new(Snapshot::new(Tracker::new(settings, None)));
        let around = around(snapshots.subscribe(), clock.clone());
        pause(&around).await;
        assert_eq!(start.elapsed(), IDENTITY_RETRY, "no promotion waits");

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
}
