//! Where services without a region of their own are asked: Route 53, and STS for who one is.
//!
//! Such a service is one a partition (AWS, AWS China, AWS `GovCloud`), and credentials are good in theirs alone:
//! any region of the right partition will do, one of another is refused. So the daemon and the verbs that
//! predict what it does must come to the same answer, and do so here. It does not matter *which* region that
//! is, but that its endpoint can be reached: in a private VPC that is the one the configuration speaks of.

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::region::ProfileFileRegionProvider;

use super::arn::TargetGroupArn;
use crate::config::steering::{Target, Value};

/// What is asked when nobody tells a region: in the common partition, whose global services are there.
pub(crate) const FALLBACK: &str = "us-east-1";

/// The first region that a table tells. PURE.
pub(crate) fn told<'a>(tables: impl IntoIterator<Item = &'a Target>) -> Option<String> {
    tables.into_iter().find_map(|table| match table {
        Target::Elbv2(table) => {
            TargetGroupArn::parse(&table.target_group_arn).ok().map(|arn| arn.region.to_owned())
        }
        Target::ClassicElb(table) => written(&table.region),
        Target::Route(table) => written(&table.region),
        Target::CloudWatch(table) => written(&table.region),
        Target::Route53(_) | Target::Kubernetes(_) | Target::Hook(_) => None,
    })
}

/// The region for services without one: the one that a table [tells](told), else that of the environment
/// (`AWS_REGION`, the profile), else the instance's. `None` when nobody knows. A few seconds at most.
pub(crate) async fn known(told: Option<&str>) -> Option<String> {
    if let Some(region) = told {
        return Some(region.to_owned());
    }
    let instance = ImdsRegionProvider::builder().imds_client(super::identity::client().build()).build();
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(instance);
    chain.region().await.map(|region| region.to_string())
}

fn written(region: &Value) -> Option<String> {
    match region {
        Value::Is(region) => Some(region.clone()),
        Value::Auto => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn of(tables: &str) -> Option<String> {
        let text = format!("[[mirror]]\nname = 'PROD'\npeers = 'none'\nprobe.file.path = '/role'\n{tables}");
        let config =
            config::parse(&text, "test.toml").unwrap_or_else(|report| panic!("{}", report.render(false)));
        told(config.mirrors.iter().flat_map(|mirror| &mirror.targets))
    }

    #[test]
    fn any_table_tells_the_region() {
        const RECORD: &str =
            "[[mirror.route53]]\nhosted_zone_id = 'Z1'\nrecord = 'db.example.internal'\ntype = 'A'\n";
        assert_eq!(of(RECORD), None);
        assert_eq!(of(&format!("{RECORD}[[mirror.cloudwatch]]\n")), None, "automatic tells nothing");
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
