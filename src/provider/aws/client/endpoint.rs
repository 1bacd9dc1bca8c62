//! The address of a service, by the SDK's endpoint rules.
//!
//! First what the operator configured (`AWS_ENDPOINT_URL_EC2`, `AWS_ENDPOINT_URL`, or the same in the shared
//! configuration file), in the SDK's order; else the region's own endpoint. STS, too, is asked at its regional endpoint:
//! the global one is in us-east-1, and a failover in another region should not depend on that.
//!
//! Source of the names: the rules and the partitions in the SDK's crates for these services.

use aws_config::{Region, SdkConfig};
use aws_types::service_config::ServiceConfigKey;

use super::Service;

/// Where a service is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) url: String,
    /// The region for which its requests are signed.
    pub(super) signing_region: Region,
}

/// Regions with host names and credentials of their own.
struct Partition {
    name: &'static str,
    /// What the names of its regions begin with.
    prefix: &'static str,
    domain: &'static str,
    dual_stack_domain: &'static str,
    /// For which requests to services without a region are signed.
    global_region: &'static str,
}

const PARTITIONS: [Partition; 8] = [
    Partition::new("aws-cn", "cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "cn-northwest-1"),
    Partition::new("aws-eusc", "eusc-", "amazonaws.eu", "api.amazonwebservices.eu", "eusc-de-east-1"),
    Partition::new("aws-us-gov", "us-gov-", "amazonaws.com", "api.aws", "us-gov-west-1"),
    Partition::new("aws-iso", "us-iso-", "c2s.ic.gov", "api.aws.ic.gov", "us-iso-east-1"),
    Partition::new("aws-iso-b", "us-isob-", "sc2s.sgov.gov", "api.aws.scloud", "us-isob-east-1"),
    Partition::new("aws-iso-f", "us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov", "us-isof-south-1"),
    Partition::new("aws-iso-e", "eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", "eu-isoe-west-1"),
    Partition::new("aws", "", "amazonaws.com", "api.aws", "us-east-1"),
];

// === impl Endpoint ===

impl Endpoint {
    /// The endpoint of `service` for the region `region`.
    pub(super) fn of(sdk: &SdkConfig, service: Service, region: &Region) -> Self {
        let set_in_code = sdk.get_origin("endpoint_url").is_client_config();
        let key = ServiceConfigKey::builder()
            .service_id(service.id)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .expect("all three are set");
        let settings = sdk.service_config().filter(|_| !set_in_code);
        let configured = settings
            .and_then(|settings| settings.load_config(key))
            .or_else(|| sdk.endpoint_url().map(str::to_owned));
        if let Some(url) = configured {
            return Self { url, signing_region: region.clone() };
        }
        let fips = sdk.use_fips().unwrap_or_default();
        Self::by_rule(service, region, fips, sdk.use_dual_stack().unwrap_or_default())
    }

    /// The endpoint that AWS has for the service. `fips`: with validated cryptography; `dual_stack`: by IPv6, too.
    fn by_rule(service: Service, region: &Region, fips: bool, dual_stack: bool) -> Self {
        let partition = Partition::of(region.as_ref());
        let prefix = service.prefix;
        let is_government = partition.name == "aws-us-gov";
        let domain = if dual_stack { partition.dual_stack_domain } else { partition.domain };
        if service.is_global {
            let is_isolated = partition.name.starts_with("aws-iso");
            let (fips, scope) = match partition.name {
                "aws-us-gov" => ("", ".us-gov"),
                "aws" if dual_stack => (fips_suffix(fips), ".global"),
                _ if dual_stack && !fips && !is_isolated => ("", ".global"),
                _ => (fips_suffix(fips), ""),
            };
            return Self {
                url: format!("https://{prefix}{fips}{scope}.{domain}"),
                signing_region: Region::from_static(partition.global_region),
            };
        }
        // In the government's regions the plain IPv4 endpoints are validated, and there are no others.
        let fips = fips_suffix(fips && (dual_stack || !is_government));
        Self { url: format!("https://{prefix}{fips}.{region}.{domain}"), signing_region: region.clone() }
    }
}

const fn fips_suffix(fips: bool) -> &'static str {
    if fips { "-fips" } else { "" }
}

// === impl Partition ===

impl Partition {
    const fn new(
        name: &'static str,
        prefix: &'static str,
        domain: &'static str,
        dual_stack_domain: &'static str,
        global_region: &'static str,
    ) -> Self {
        Self { name, prefix, domain, dual_stack_domain, global_region }
    }

    /// The partition of the region called `region`; the common one if no other has it.
    fn of(region: &str) -> &'static Self {
        let found = PARTITIONS.iter().find(|partition| region.starts_with(partition.prefix));
        found.expect("every name begins with the empty prefix of the last")
    }
}

#[cfg(test)]
mod tests {
    use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

    use super::*;
    use crate::provider::aws::{classic_elb, cloudwatch, elbv2, query, route, route53};

    fn plain(service: Service, region: &'static str) -> String {
        Endpoint::by_rule(service, &Region::new(region), false, false).url
    }

    #[test]
    fn hosts_follow_the_partition() {
        assert_eq!(plain(route::SERVICE, "eu-west-1"), "https://ec2.eu-west-1.amazonaws.com");
        assert_eq!(plain(cloudwatch::SERVICE, "us-east-1"), "https://monitoring.us-east-1.amazonaws.com");
        assert_eq!(
            plain(classic_elb::SERVICE, "us-gov-west-1"),
            "https://elasticloadbalancing.us-gov-west-1.amazonaws.com"
        );
        assert_eq!(plain(query::SERVICE, "cn-north-1"), "https://sts.cn-north-1.amazonaws.com.cn");
        assert_eq!(
            plain(elbv2::SERVICE, "us-isob-east-1"),
            "https://elasticloadbalancing.us-isob-east-1.sc2s.sgov.gov"
        );
    }

    #[test]
    fn hosts_follow_the_settings_for_fips_and_dual_stack() {
        for (service, region, fips, dual_stack, host) in [
            (route::SERVICE, "us-east-2", true, false, "ec2-fips.us-east-2.amazonaws.com"),
            (route::SERVICE, "us-gov-west-1", true, false, "ec2.us-gov-west-1.amazonaws.com"),
            (route::SERVICE, "eu-west-1", false, true, "ec2.eu-west-1.api.aws"),
            (elbv2::SERVICE, "us-east-1", true, true, "elasticloadbalancing-fips.us-east-1.api.aws"),
            (elbv2::SERVICE, "us-gov-east-1", true, true, "elasticloadbalancing-fips.us-gov-east-1.api.aws"),
        ] {
            let endpoint = Endpoint::by_rule(service, &Region::new(region), fips, dual_stack);
            assert_eq!(endpoint.url, format!("https://{host}"));
            assert_eq!(endpoint.signing_region.as_ref(), region);
        }
    }

    /// The table of tests in the SDK's crate for Route 53.
    #[test]
    fn route_53_has_one_endpoint_per_partition() {
        for (region, fips, dual_stack, host, signing_region) in [
            ("eu-west-1", false, false, "route53.amazonaws.com", "us-east-1"),
            ("us-east-1", true, false, "route53-fips.amazonaws.com", "us-east-1"),
            ("us-east-1", false, true, "route53.global.api.aws", "us-east-1"),
            ("us-east-1", true, true, "route53-fips.global.api.aws", "us-east-1"),
            ("cn-north-1", false, false, "route53.amazonaws.com.cn", "cn-northwest-1"),
            ("cn-northwest-1", true, false, "route53-fips.amazonaws.com.cn", "cn-northwest-1"),
            ("cn-northwest-1", false, true, "route53.global.api.amazonwebservices.com.cn", "cn-northwest-1"),
            ("cn-northwest-1", true, true, "route53-fips.api.amazonwebservices.com.cn", "cn-northwest-1"),
            ("us-gov-east-1", false, false, "route53.us-gov.amazonaws.com", "us-gov-west-1"),
            ("us-gov-west-1", true, false, "route53.us-gov.amazonaws.com", "us-gov-west-1"),
            ("us-gov-west-1", false, true, "route53.us-gov.api.aws", "us-gov-west-1"),
            ("us-gov-west-1", true, true, "route53.us-gov.api.aws", "us-gov-west-1"),
            ("eusc-de-east-1", false, false, "route53.amazonaws.eu", "eusc-de-east-1"),
            ("us-iso-west-1", false, false, "route53.c2s.ic.gov", "us-iso-east-1"),
            ("us-isob-east-1", true, false, "route53-fips.sc2s.sgov.gov", "us-isob-east-1"),
            ("us-isof-south-1", false, false, "route53.csp.hci.ic.gov", "us-isof-south-1"),
            ("eu-isoe-west-1", false, false, "route53.cloud.adc-e.uk", "eu-isoe-west-1"),
        ] {
            let endpoint = Endpoint::by_rule(route53::SERVICE, &Region::new(region), fips, dual_stack);
            assert_eq!(endpoint.url, format!("https://{host}"));
            assert_eq!(endpoint.signing_region.as_ref(), signing_region, "{host}");
        }
    }

    /// Settings as the environment and the shared configuration file make them.
    #[derive(Debug)]
    struct Environment(&'static [(&'static str, &'static str)]);

    impl LoadServiceConfig for Environment {
        fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
            // The SDK's own naming: AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING.
            let name = format!("{}_{}", key.env(), key.service_id().to_uppercase().replace(' ', "_"));
            self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn configured_endpoints_come_first() {
        let region = Region::new("eu-west-1");
        let url = |sdk: &SdkConfig, service| Endpoint::of(sdk, service, &region).url;
        let plain = SdkConfig::builder().region(region.clone()).build();
        assert_eq!(url(&plain, route::SERVICE), "https://ec2.eu-west-1.amazonaws.com");

        let all = SdkConfig::builder().endpoint_url("http://all").build();
        assert_eq!(url(&all, cloudwatch::SERVICE), "http://all");

        let each = Environment(&[
            ("AWS_ENDPOINT_URL_EC2", "http://ec2"),
            ("AWS_ENDPOINT_URL_CLOUDWATCH", "http://cloudwatch"),
            ("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING", "http://elb"),
            ("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", "http://elbv2"),
            ("AWS_ENDPOINT_URL_ROUTE_53", "http://route53"),
        ]);
        let each = SdkConfig::builder().endpoint_url("http://all").service_config(each).build();
        assert_eq!(url(&each, route::SERVICE), "http://ec2");
        assert_eq!(url(&each, cloudwatch::SERVICE), "http://cloudwatch");
        assert_eq!(url(&each, classic_elb::SERVICE), "http://elb");
        assert_eq!(url(&each, elbv2::SERVICE), "http://elbv2");
        assert_eq!(url(&each, route53::SERVICE), "http://route53");
        assert_eq!(url(&each, query::SERVICE), "http://all");
        let signing_region = Endpoint::of(&each, route53::SERVICE, &region).signing_region;
        assert_eq!(
            signing_region, region,
            "as with the SDK: an endpoint of one's own has no region of its own"
        );
    }
}
