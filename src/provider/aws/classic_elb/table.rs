//! `[[mirror.classic_elb]]`: its keys, what each sets, and how it is read.

use std::time::Duration;

use crate::config::Key;
use crate::config::reading::{
    Declared, ObjectClaims, Owned, Reported, Section, Setting, Value as Written, auto_or, distinct, quoted,
    text,
};
use crate::config::steering::Value;
use crate::provider::aws::region::Region;
use crate::provider::aws::value;
use crate::provider::pool;
use crate::steer::pool::Pool;

const SECTION: &str = "mirror.classic_elb";

const LOAD_BALANCER: Setting<String> =
    Setting::required(SECTION, "load_balancer", "the load balancer's name", load_balancer);
const REGION: Setting<Value<Region>> =
    Setting::or(SECTION, "region", r#""auto""#, value::REGION, value::region_or_auto);
const POOL: Setting<Pool> = Setting::or(SECTION, "pool", r#""all-members""#, pool::MEANING, pool::read);
const INSTANCE_ID: Setting<Value> = Setting::or(
    SECTION,
    "instance_id",
    r#""auto""#,
    "this member's instance id; `auto` asks the instance metadata service",
    |value| auto_or(value, value::instance_id),
);
const OWNED_INSTANCES: Setting<Vec<String>> = Setting::or(
    SECTION,
    "owned_instances",
    "[]",
    "`primary-only`: the instance ids of this mirror's members, which the primary may deregister; other instances stay",
    |value| distinct(value, value::instance_id),
);
const HEALTHY_WITHIN: Setting<Duration> =
    Setting::or(SECTION, "healthy_within", r#""60s""#, pool::HEALTHY_WITHIN, pool::healthy_within);

/// A classic load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub load_balancer: String,
    /// Its region.
    pub region: Value<Region>,
    /// Which members are registered.
    pub pool: Pool,
    /// This member's instance id.
    pub instance_id: Value,
    /// Instance ids that this mirror may deregister.
    pub owned_instances: Vec<String>,
    /// How long a primary waits for its own instance to be healthy before it deregisters the others.
    pub healthy_within: Duration,
}

impl Declared for Table {
    const SECTION: &'static str = SECTION;
    const KEYS: &'static [Key] =
        &[LOAD_BALANCER.key, REGION.key, POOL.key, INSTANCE_ID.key, OWNED_INSTANCES.key, HEALTHY_WITHIN.key];

    fn read(section: &Section<'_>, claims: &mut ObjectClaims<'_>) -> Result<Self, Reported> {
        let load_balancer = section.read(&LOAD_BALANCER);
        let region = section.read(&REGION);
        let pool = section.read(&POOL);
        let instance_id = section.read(&INSTANCE_ID);
        let owned = section.read(&OWNED_INSTANCES);
        let healthy_within = section.read(&HEALTHY_WITHIN);

        if let (Ok(pool), Ok(owned)) = (&pool, &owned) {
            pool::check_owned(section, "owned_instances", pool, owned);
            if let Ok(load_balancer) = &load_balancer {
                claims.pool(load_balancer, None, &Owned { key: "owned_instances", targets: owned });
            }
        }
        Ok(Self {
            load_balancer: load_balancer?.value,
            region: region?.value,
            pool: pool?.value,
            instance_id: instance_id?.value,
            owned_instances: owned?.value,
            healthy_within: healthy_within?.value,
        })
    }
}

fn load_balancer(value: &Written<'_>) -> Result<String, Reported> {
    let help = "Write the name of the classic load balancer: 1 to 32 letters, digits or \"-\".";
    let name = text(value, help)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || name.len() > 32 || !name.chars().all(fits) {
        return Err(value.refuse(format!("{} cannot be a load balancer's name", quoted(name)), help));
    }
    Ok(name.to_owned())
}
