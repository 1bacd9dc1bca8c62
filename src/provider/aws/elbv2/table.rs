//! `[[mirror.elbv2]]`: its keys, what each sets, and how it is read.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::Key;
use crate::config::reading::{
    Declared, Located, ObjectClaims, Owned, Problem, Reported, Section, Setting, auto_or, distinct, integer,
};
use crate::config::steering::Value;
use crate::provider::aws::arn::TargetGroupArn;
use crate::provider::aws::value;
use crate::provider::pool;
use crate::steer::pool::Pool;

const SECTION: &str = "mirror.elbv2";

const TARGET_GROUP_ARN: Setting<TargetGroupArn> = Setting::required(
    SECTION,
    "target_group_arn",
    "the target group's ARN, which also names the region",
    value::target_group_arn,
);
const POOL: Setting<Pool> = Setting::or(SECTION, "pool", r#""all-members""#, pool::MEANING, pool::read);
const TARGET_ID: Setting<Value> = Setting::or(
    SECTION,
    "target_id",
    r#""auto""#,
    "this member's target: an IP address or instance id, as the group's type demands; `auto` asks the instance metadata service",
    |value| auto_or(value, value::target_id),
);
const PORT: Setting<u32> =
    Setting::required(SECTION, "port", "the port that clients use, 1 to 65535", |value| {
        integer(value, 1..=65_535)
    });
const OWNED_TARGETS: Setting<Vec<String>> = Setting::or(
    SECTION,
    "owned_targets",
    "[]",
    "`primary-only`: the targets of this mirror's members, which the primary may deregister; strangers stay",
    |value| distinct(value, value::target_id),
);
const HEALTHY_WITHIN: Setting<Duration> =
    Setting::or(SECTION, "healthy_within", r#""60s""#, pool::HEALTHY_WITHIN, pool::healthy_within);

/// A target group of an application or network load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its ARN, which also names the region.
    pub target_group_arn: TargetGroupArn,
    /// Who is registered.
    pub pool: Pool,
    /// This member's target: an instance id or an IP address, as the group's type demands.
    pub target_id: Value,
    /// The port that clients use.
    pub port: u16,
    /// What this mirror may deregister; strangers stay. Empty in `all-members` pools.
    pub owned_targets: Vec<String>,
    /// How long a primary waits for its own target to be healthy before it deregisters the others.
    pub healthy_within: Duration,
}

impl Declared for Table {
    const SECTION: &'static str = SECTION;
    const KEYS: &'static [Key] =
        &[TARGET_GROUP_ARN.key, POOL.key, TARGET_ID.key, PORT.key, OWNED_TARGETS.key, HEALTHY_WITHIN.key];

    fn read(section: &Section<'_>, claims: &mut ObjectClaims<'_>) -> Result<Self, Reported> {
        let arn = section.read(&TARGET_GROUP_ARN);
        let pool = section.read(&POOL);
        let target_id = section.read(&TARGET_ID);
        let port = section.read(&PORT);
        let owned = section.read(&OWNED_TARGETS);
        let healthy_within = section.read(&HEALTHY_WITHIN);

        if let (Ok(pool), Ok(owned)) = (&pool, &owned) {
            pool::check_owned(section, "owned_targets", pool, owned);
            check_one_kind(section, owned);
            if let (Ok(arn), Ok(port)) = (&arn, &port) {
                let group = Located { value: arn.value.to_string(), span: arn.span.clone() };
                claims.pool(&group, Some(port.value), &Owned { key: "owned_targets", targets: owned });
            }
        }
        Ok(Self {
            target_group_arn: arn?.value,
            pool: pool?.value,
            target_id: target_id?.value,
            port: u16::try_from(port?.value).expect("the range ends at 65535"),
            owned_targets: owned?.value,
            healthy_within: healthy_within?.value,
        })
    }
}

/// All targets of a group are instances, or all are addresses.
fn check_one_kind(section: &Section<'_>, owned: &Located<Vec<String>>) {
    let addresses = owned.value.iter().filter(|target| target.parse::<IpAddr>().is_ok()).count();
    if addresses > 0 && addresses < owned.value.len() {
        section.report(
            Problem::new(owned.span.clone(), "`owned_targets` has both instance ids and addresses")
                .with_help(
                    "A target group has one kind of targets: write what `describe-target-health` shows.",
                ),
        );
    }
}
