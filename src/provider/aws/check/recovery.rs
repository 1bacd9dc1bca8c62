//! How long clients of a pool wait after a promotion. PURE.

use std::time::Duration;

use super::group::{Family, Group};
use crate::provider::check::Subject;
use crate::provider::check::recovery::{Recovery, Stage, seen, writes};
use crate::steer::pool::Pool;

/// What users of network load balancers saw at most between registering and the first check.
const NETWORK_REGISTRATION: Duration = Duration::from_mins(5);
/// Application load balancers take seconds.
const APPLICATION_REGISTRATION: Duration = Duration::from_secs(10);

/// Of a pool that is kept like this, with these settings.
pub(crate) fn pool(subject: &Subject<'_>, pool: Pool, group: &Group) -> Recovery {
    let mut stages = seen(subject);
    let Some(check) = &group.health_check else {
        return Recovery::new(
            subject,
            stages,
            "nothing: without a health check no client follows the primary",
        );
    };
    let (checks, depends_on) = match pool {
        Pool::AllMembers => {
            let threshold = check.rise.max(check.fall);
            (threshold, "the load balancer's data plane alone")
        }
        Pool::PrimaryOnly => {
            let (at_most, why) = match group.family {
                Family::Network => (
                    NETWORK_REGISTRATION,
                    "a network load balancer takes up to some minutes to take a target in",
                ),
                Family::Application | Family::Classic => {
                    (APPLICATION_REGISTRATION, "it takes a target in within seconds")
                }
            };
            stages.extend(writes(subject, 1));
            stages.push(Stage::new("target registered", at_most, why));
            // A new target needs one passed check.
            (1, "the control plane of the region, then the load balancer's data plane")
        }
    };
    let interval = check.interval;
    // The interval more is for a check that was under way when the page changed.
    stages.push(Stage::new(
        "health checks agree",
        interval * (checks + 1),
        format!("{checks} x {interval:?}, and up to {interval:?} until the first"),
    ));
    Recovery::new(subject, stages, depends_on)
}
