//! `[[mirror.cloudwatch]]`: its keys, what each sets, and how it is read.

use std::time::Duration;

use crate::config::Key;
use crate::config::reading::{
    Declared, ObjectClaims, Reported, Section, Setting, Value as Written, auto_or, duration, quoted,
};
use crate::config::steering::Value;
use crate::provider::aws::region::Region;
use crate::provider::aws::value::{self, label};

/// Longest namespace, metric name and dimension value.
const LONGEST: usize = 255;

const SECTION: &str = "mirror.cloudwatch";

const NAMESPACE: Setting<String> = Setting::or(
    SECTION,
    "namespace",
    r#""mirrorvip""#,
    "the metric's namespace: 1 to 255 characters, not AWS/...",
    namespace,
);
const METRIC: Setting<String> =
    Setting::or(SECTION, "metric", r#""Primary""#, "the metric's name: 1 to 255 characters", metric);
const MEMBER: Setting<Value> = Setting::or(
    SECTION,
    "member",
    r#""auto""#,
    "value of the dimension Member; `auto` is the instance id",
    |value| auto_or(value, metric),
);
const REGION: Setting<Value<Region>> =
    Setting::or(SECTION, "region", r#""auto""#, value::REGION, value::region_or_auto);
const INTERVAL: Setting<Duration> =
    Setting::or(SECTION, "interval", r#""10s""#, "how often it is published, 5s to 60s", |value| {
        duration(value, Duration::from_secs(5)..=Duration::from_mins(1))
    });

/// A metric with the verdict, for alarms and their health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The metric's namespace.
    pub namespace: String,
    /// Its name.
    pub metric: String,
    /// The value of the dimension `Member`.
    pub member: Value,
    /// The region.
    pub region: Value<Region>,
    /// How often it is published.
    pub interval: Duration,
}

impl Declared for Table {
    const SECTION: &'static str = SECTION;
    const KEYS: &'static [Key] = &[NAMESPACE.key, METRIC.key, MEMBER.key, REGION.key, INTERVAL.key];

    fn read(section: &Section<'_>, claims: &mut ObjectClaims<'_>) -> Result<Self, Reported> {
        let namespace = section.read(&NAMESPACE);
        let metric = section.read(&METRIC);
        let member = section.read(&MEMBER);
        let region = section.read(&REGION);
        let interval = section.read(&INTERVAL);

        if let (Ok(namespace), Ok(metric), Ok(member), Ok(region)) = (&namespace, &metric, &member, &region) {
            let (namespace, metric) = (&namespace.value, &metric.value);
            let message = format!("the metric {metric} in {namespace} is published twice");
            let help = "Publish it once, or under another `metric`, `namespace` or `member`.";
            // The mirror's name is a dimension, too.
            let mirror = claims.mirror();
            let object = format!(
                "{mirror} {namespace} {metric} {member:?} {region:?}",
                member = member.value,
                region = region.value
            );
            claims.take(object, section.span(), message, help);
        }
        Ok(Self {
            namespace: namespace?.value,
            metric: metric?.value,
            member: member?.value,
            region: region?.value,
            interval: interval?.value,
        })
    }
}

/// A metric's name, or the value of a dimension.
fn metric(value: &Written<'_>) -> Result<String, Reported> {
    label(value, LONGEST)
}

fn namespace(value: &Written<'_>) -> Result<String, Reported> {
    let name = label(value, LONGEST)?;
    if name.len() >= 4 && name[..4].eq_ignore_ascii_case("AWS/") {
        let help = "Namespaces that begin with AWS/ are Amazon's own; write another, such as \"mirrorvip\".";
        return Err(value.refuse(format!("{} cannot be a namespace", quoted(&name)), help));
    }
    Ok(name)
}
