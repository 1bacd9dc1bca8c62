//! The settings of a simulated cloud: its members, its pace, its load balancers. PURE.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

/// The account that everything belongs to.
pub(super) const ACCOUNT: &str = "123456789012";
/// The availability zone that everything is in.
pub(super) const ZONE_SUFFIX: &str = "a";

/// A service of the simulated cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Elastic Load Balancing, version 2015-12-01: application and network load balancers.
    Elbv2,
    /// Elastic Load Balancing, version 2012-06-01: classic load balancers.
    ClassicElb,
    /// Route 53.
    Route53,
    /// EC2: only route tables and network interfaces.
    Ec2,
    /// CloudWatch: only `PutMetricData`.
    CloudWatch,
    /// The security token service: only the caller's identity.
    Sts,
    /// The instance metadata service.
    Metadata,
}

/// The cloud as a whole.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The region of everything but Route 53.
    pub region: String,
    /// The network in which the members are.
    pub vpc: IpNet,
    /// The members.
    pub members: Vec<Member>,
    /// How long one second of the cloud takes, so that minutes of AWS are shorter here.
    /// Deadlines of health checks stay at least one second, as they check real processes.
    pub second: Duration,
    /// How long registering a target takes, in seconds of the cloud.
    pub registration: Duration,
    /// How long a record's change takes to be INSYNC, in seconds of the cloud.
    pub insync: Duration,
    /// How long Route 53 is busy with a batch and refuses the next one for the zone, in seconds of the cloud.
    pub processing: Duration,
    /// How long the credentials of an instance role are valid, in real time.
    pub credentials: Duration,
}

/// A member as the cloud knows it: an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, for tests and logs.
    pub name: String,
    /// `i-...`
    pub instance_id: String,
    /// Its private address.
    pub address: IpAddr,
    /// `eni-...`
    pub network_interface: String,
    /// Whether its network interface drops packets to other addresses, as AWS's do by default.
    pub source_dest_check: bool,
}

/// Which load balancer a target group belongs to, and so how health is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A network load balancer.
    Network,
    /// An application load balancer.
    Application,
}

/// The kind of ids that targets have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetType {
    /// Instance ids.
    Instance,
    /// Addresses.
    Ip,
}

/// How health is checked. All in seconds of the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The path of the HTTP request; `None` only connects.
    pub path: Option<String>,
    /// The port; `None` is the target's own.
    pub port: Option<u16>,
    /// Seconds between two checks.
    pub interval: u32,
    /// Seconds for one check.
    pub timeout: u32,
    /// Checks in a row that make an unhealthy target healthy.
    pub healthy_threshold: u32,
    /// Checks in a row that make a healthy target unhealthy.
    pub unhealthy_threshold: u32,
    /// The status codes that pass, such as `200` or `200-399`.
    pub matcher: String,
}

/// A target group, and the load balancer that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    /// Its name.
    pub name: String,
    /// The kind of its load balancer.
    pub kind: Kind,
    /// The port of targets and listener.
    pub port: u16,
    /// The kind of ids that targets have.
    pub target_type: TargetType,
    /// How health is checked.
    pub health_check: HealthCheck,
    /// Attributes that differ from the service's defaults.
    pub attributes: Vec<(String, String)>,
    /// Attributes of the load balancer that differ from the service's defaults.
    pub balancer_attributes: Vec<(String, String)>,
    /// Whether a load balancer uses the group at all.
    pub in_use: bool,
}

/// A classic load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicBalancer {
    /// Its name.
    pub name: String,
    /// The port of the instances and of the listener.
    pub port: u16,
    /// How health is checked; the port must be given.
    pub health_check: HealthCheck,
    /// Whether cross-zone load balancing is on.
    pub cross_zone: bool,
    /// How many seconds of the cloud a deregistered instance drains; zero means not at all.
    pub draining: u32,
}

// === impl Service ===

impl Service {
    /// Its name in requests' signatures and in policies.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::Elbv2 | Self::ClassicElb => "elasticloadbalancing",
            Self::Route53 => "route53",
            Self::Ec2 => "ec2",
            Self::CloudWatch => "cloudwatch",
            Self::Sts => "sts",
            Self::Metadata => "imds",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elbv2 => "elbv2",
            Self::ClassicElb => "classic-elb",
            Self::Route53 => "route53",
            Self::Ec2 => "ec2",
            Self::CloudWatch => "cloudwatch",
            Self::Sts => "sts",
            Self::Metadata => "imds",
        })
    }
}

// === impl Settings ===

impl Default for Settings {
    /// Three members `a`, `b` and `c`, at the pace of AWS on a good day.
    fn default() -> Self {
        Self {
            region: "eu-west-1".to_owned(),
            vpc: "10.0.0.0/16".parse().expect("a network"),
            members: vec![Member::numbered("a", 1), Member::numbered("b", 2), Member::numbered("c", 3)],
            second: Duration::from_secs(1),
            registration: Duration::from_mins(1),
            insync: Duration::from_secs(30),
            processing: Duration::ZERO,
            credentials: Duration::from_hours(6),
        }
    }
}

impl Settings {
    /// A stretch of the cloud's time in real time.
    pub(super) fn real(&self, cloud: Duration) -> Duration {
        cloud.mul_f64(self.second.as_secs_f64())
    }

    /// The member of this name.
    pub(super) fn member(&self, name: &str) -> &Member {
        let member = self.members.iter().find(|member| member.name == name);
        member.unwrap_or_else(|| panic!("the simulated cloud has no member {name}"))
    }
}

// === impl Member ===

impl Member {
    /// A member whose identity is made from its number, below 200: `10.0.1.11` is the first one's address.
    pub fn numbered(name: &str, number: u8) -> Self {
        Self {
            name: name.to_owned(),
            instance_id: format!("i-{number:017x}"),
            address: [10, 0, 1, 10 + number].into(),
            network_interface: format!("eni-{number:017x}"),
            source_dest_check: false,
        }
    }

    /// The member's access key.
    pub(super) fn access_key(&self) -> String {
        format!("AKIASIMULATED{}", self.name.to_uppercase())
    }

    /// The access key that comes with its instance role.
    pub(super) fn role_access_key(&self) -> String {
        format!("ASIASIMULATED{}", self.name.to_uppercase())
    }

    /// Signs its requests; signatures are not checked.
    pub(super) fn secret_key(&self) -> String {
        format!("secret-of-{}", self.name)
    }
}

// === impl HealthCheck ===

impl Default for HealthCheck {
    /// The fastest check that AWS offers, of the status page.
    fn default() -> Self {
        Self {
            path: Some("/csp/bin/mirrorstatus.cxw".to_owned()),
            port: Some(8080),
            interval: 5,
            timeout: 2,
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            matcher: "200".to_owned(),
        }
    }
}

impl HealthCheck {
    /// Whether an answer with this code passes.
    pub(super) fn matches(&self, code: u16) -> bool {
        self.matcher.split(',').any(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let bound = |text: &str| text.trim().parse::<u16>().ok();
            bound(from).zip(bound(to)).is_some_and(|(from, to)| (from..=to).contains(&code))
        })
    }
}

// === impl TargetGroup ===

impl TargetGroup {
    /// A group of a network load balancer, by address, port 1972, with the default health check.
    pub fn network(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: Kind::Network,
            port: 1972,
            target_type: TargetType::Ip,
            health_check: HealthCheck::default(),
            attributes: Vec::new(),
            balancer_attributes: Vec::new(),
            in_use: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matcher_is_a_list_of_codes_and_ranges() {
        let check = HealthCheck { matcher: "200,301-302".to_owned(), ..HealthCheck::default() };
        for (code, passes) in [(200, true), (201, false), (301, true), (302, true), (303, false)] {
            assert_eq!(check.matches(code), passes, "{code}");
        }
    }
}
