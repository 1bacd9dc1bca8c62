//! The region in which to call services without a region of their own: Route 53, and STS for the caller's identity.
//!
//! Such a service exists once per partition (AWS, AWS China, AWS `GovCloud`), and credentials are valid in their own
//! partition only: any region of the right partition works. The daemon and the commands that predict its calls must use
//! the same region, so both find it here. Its endpoint must be reachable: in a private VPC that is the region which the
//! configuration names.

use std::fmt;

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::region::ProfileFileRegionProvider;

use super::arn;
use super::{Place, Where};
use crate::config::steering::Value;

/// A region, and the partition in which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    partition: String,
    name: String,
}

/// The region if none is known: the global services of the common partition are there.
pub(crate) const FALLBACK: &str = "us-east-1";

/// The first region that a table names. PURE.
pub(crate) fn told(places: impl IntoIterator<Item = Place>) -> Option<Region> {
    places.into_iter().find_map(|place| match place.at {
        Where::Region(Value::Is(region)) => Some(region),
        Where::Region(Value::Auto) | Where::Anywhere => None,
    })
}

/// The region for services without one: the one that a table [names](told), else that of the environment
/// (`AWS_REGION`, the profile), else the instance's. `None` if none of these is known. Takes a few seconds at most.
pub(crate) async fn known(told: Option<&Region>) -> Option<Region> {
    if let Some(region) = told {
        return Some(region.clone());
    }
    let instance = ImdsRegionProvider::builder().imds_client(super::identity::client().build()).build();
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(instance);
    chain.region().await.map(|region| Region::named(region.as_ref()))
}

// === impl Region ===

impl Region {
    /// The region of this name, in the partition that its name implies.
    pub fn named(name: &str) -> Self {
        Self::within(arn::partition_of(name), name)
    }

    pub(super) fn within(partition: &str, name: &str) -> Self {
        Self { partition: partition.to_owned(), name: name.to_owned() }
    }

    /// Such as `eu-west-1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `aws`, `aws-cn`, `aws-us-gov`, ...
    pub fn partition(&self) -> &str {
        &self.partition
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::aws::places;
    use crate::provider::check::testing::config;

    fn of(tables: &str) -> Option<String> {
        let config = config("", tables);
        let tables = config.mirrors.iter().flat_map(|mirror| &mirror.targets);
        told(places(tables)).map(|region| region.to_string())
    }

    #[test]
    fn any_table_names_the_region() {
        const RECORD: &str =
            "[[mirror.route53]]\nhosted_zone_id = 'Z1'\nrecord = 'db.example.internal'\ntype = 'A'\n";
        assert_eq!(of(RECORD), None);
        assert_eq!(of(&format!("{RECORD}[[mirror.cloudwatch]]\n")), None, "automatic names none");
        for (table, region) in [
            ("[[mirror.cloudwatch]]\nregion = 'cn-north-1'", "cn-north-1"),
            ("[[mirror.classic_elb]]\nload_balancer = 'iris'\nregion = 'us-gov-east-1'", "us-gov-east-1"),
            (
                "[[mirror.route]]\nroute_tables = 'rtb-00000001'\ndestination = '192.168.99.1'\nregion = 'eu-west-1'",
                "eu-west-1",
            ),
            (
                "[[mirror.elbv2]]\nport = 1972\ntarget_group_arn = 'arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:\
                 123456789012:targetgroup/iris/0123456789abcdef'",
                "us-gov-west-1",
            ),
        ] {
            assert_eq!(of(&format!("{RECORD}{table}\n")).as_deref(), Some(region), "{table}");
        }
    }
}
