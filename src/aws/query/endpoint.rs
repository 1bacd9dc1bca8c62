//! Where a service is, as the SDK's endpoint rules say it.
//!
//! First what the operator says (`AWS_ENDPOINT_URL_EC2`, `AWS_ENDPOINT_URL`, or the same in the shared
//! configuration file), in the SDK's order; else the region's own endpoint. STS's too is the regional one:
//! the global one is in us-east-1, which no failover of another region should need.

use aws_config::{Region, SdkConfig};
use aws_types::service_config::ServiceConfigKey;

use super::Service;

/// The endpoint of `service` in `region`.
pub(super) fn url(sdk: &SdkConfig, service: Service, region: &Region) -> String {
    let said_in_code = sdk.get_origin("endpoint_url").is_client_config();
    let key = ServiceConfigKey::builder()
        .service_id(service.id())
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .expect("all three are set");
    let settings = sdk.service_config().filter(|_| !said_in_code);
    settings
        .and_then(|settings| settings.load_config(key))
        .or_else(|| sdk.endpoint_url().map(str::to_owned))
        .unwrap_or_else(|| {
            let (fips, dual_stack) =
                (sdk.use_fips().unwrap_or_default(), sdk.use_dual_stack().unwrap_or_default());
            format!("https://{}", host(service.prefix(), region.as_ref(), fips, dual_stack))
        })
}

/// The host name of a regional endpoint.
fn host(prefix: &str, region: &str, fips: bool, dual_stack: bool) -> String {
    let (domain, dual_stack_domain) = match region {
        r if r.starts_with("cn-") => ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        r if r.starts_with("eusc-") => ("amazonaws.eu", "api.amazonwebservices.eu"),
        r if r.starts_with("us-iso-") => ("c2s.ic.gov", "c2s.ic.gov"),
        r if r.starts_with("us-isob-") => ("sc2s.sgov.gov", "sc2s.sgov.gov"),
        r if r.starts_with("us-isof-") => ("csp.hci.ic.gov", "csp.hci.ic.gov"),
        r if r.starts_with("eu-isoe-") => ("cloud.adc-e.uk", "cloud.adc-e.uk"),
        _ => ("amazonaws.com", "api.aws"),
    };
    // The plain endpoints of the government's regions are validated ones; they have no others.
    let fips = if fips && !region.starts_with("us-gov-") { "-fips" } else { "" };
    let domain = if dual_stack { dual_stack_domain } else { domain };
    format!("{prefix}{fips}.{region}.{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_follow_the_partition() {
        let plain = |service: Service, region| host(service.prefix(), region, false, false);
        assert_eq!(plain(Service::Ec2, "eu-west-1"), "ec2.eu-west-1.amazonaws.com");
        assert_eq!(plain(Service::CloudWatch, "us-east-1"), "monitoring.us-east-1.amazonaws.com");
        assert_eq!(
            plain(Service::ClassicElb, "us-gov-west-1"),
            "elasticloadbalancing.us-gov-west-1.amazonaws.com"
        );
        assert_eq!(plain(Service::Sts, "cn-north-1"), "sts.cn-north-1.amazonaws.com.cn");
        assert_eq!(host("ec2", "us-east-2", true, false), "ec2-fips.us-east-2.amazonaws.com");
        assert_eq!(host("ec2", "us-gov-west-1", true, false), "ec2.us-gov-west-1.amazonaws.com");
        assert_eq!(host("ec2", "eu-west-1", false, true), "ec2.eu-west-1.api.aws");
    }
}
