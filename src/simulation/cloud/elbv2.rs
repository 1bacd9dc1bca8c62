//! Elastic Load Balancing, version 2: actions on target groups and their load balancers. PURE.

use std::net::IpAddr;
use std::time::Duration;

use super::api::{ApiError, Request};
use super::objects::{Answer, Group, Objects, answered, done, touch_pool, unknown};
use super::pool::{Failure, Health, Target};
use super::settings::{ACCOUNT, Kind, Settings, TargetType, ZONE_SUFFIX};
use super::xml::Xml;

pub(super) mod attributes;

use attributes::{balancer_attributes, group_attributes};

/// Most targets in one call.
const MOST_TARGETS: usize = 200;

pub(super) fn answer(objects: &mut Objects, now: Duration, request: &Request) -> Result<Answer, ApiError> {
    match request.action.as_str() {
        "DescribeTargetGroups" => describe_groups(objects, request),
        "DescribeTargetGroupAttributes" => {
            let group = group(objects, request)?;
            Ok(answered(attributes::describe(&group_attributes(&group.settings))))
        }
        "DescribeTargetHealth" => describe_health(objects, request),
        "RegisterTargets" => register(objects, now, request),
        "DeregisterTargets" => deregister(objects, now, request),
        "DescribeLoadBalancers" => describe_balancers(objects, request),
        "DescribeLoadBalancerAttributes" => {
            let arn = request.parameters.required("LoadBalancerArn")?;
            let group = of_balancer(objects, arn).next().ok_or_else(balancer_not_found)?;
            Ok(answered(attributes::describe(&balancer_attributes(&group.settings))))
        }
        "DescribeListeners" => describe_listeners(objects, request),
        _ => Err(unknown(request)),
    }
}

// === Target groups ===

fn not_found() -> ApiError {
    ApiError::new(400, "TargetGroupNotFound", "One or more target groups not found")
}

fn group<'a>(objects: &'a Objects, request: &Request) -> Result<&'a Group, ApiError> {
    objects.groups.get(request.parameters.required("TargetGroupArn")?).ok_or_else(not_found)
}

fn describe_groups(objects: &Objects, request: &Request) -> Result<Answer, ApiError> {
    let (arns, names) =
        (request.parameters.list("TargetGroupArns.member"), request.parameters.list("Names.member"));
    let balancer = request.parameters.get("LoadBalancerArn");
    let settings = &objects.settings;
    let wanted = |(arn, group): &(&String, &Group)| {
        (arns.is_empty() || arns.contains(&arn.as_str()))
            && (names.is_empty() || names.contains(&group.settings.name.as_str()))
            && balancer
                .is_none_or(|balancer| group.settings.in_use && group.balancer_arn(settings) == balancer)
    };
    let found: Vec<_> = objects.groups.iter().filter(wanted).collect();
    if found.len() < arns.len().max(names.len()) {
        return Err(not_found());
    }
    let describe = |xml: &mut Xml, (arn, group): (&String, &Group)| {
        let (group_settings, check) = (&group.settings, &group.settings.health_check);
        let check_port = check.port.map_or_else(|| "traffic-port".to_owned(), |port| port.to_string());
        xml.text("TargetGroupArn", arn)
            .text("TargetGroupName", &group_settings.name)
            .text("Protocol", group_settings.kind.protocol())
            .text("Port", group_settings.port)
            .text("VpcId", "vpc-00000000000000001")
            .text("HealthCheckProtocol", if check.path.is_some() { "HTTP" } else { "TCP" })
            .text("HealthCheckPort", check_port)
            .text("HealthCheckEnabled", true)
            .text("HealthCheckIntervalSeconds", check.interval)
            .text("HealthCheckTimeoutSeconds", check.timeout)
            .text("HealthyThresholdCount", check.healthy_threshold)
            .text("UnhealthyThresholdCount", check.unhealthy_threshold);
        if let Some(path) = &check.path {
            xml.text("HealthCheckPath", path).element("Matcher", |xml| {
                xml.text("HttpCode", &check.matcher);
            });
        }
        let balancers = group_settings.in_use.then(|| group.balancer_arn(settings));
        xml.element("LoadBalancerArns", |xml| {
            xml.optional("member", balancers);
        });
        xml.text(
            "TargetType",
            match group_settings.target_type {
                TargetType::Instance => "instance",
                TargetType::Ip => "ip",
            },
        );
        xml.text("IpAddressType", "ipv4");
    };
    Ok(answered(Xml::new().list("TargetGroups", "member", found, describe).finish()))
}

fn describe_health(objects: &Objects, request: &Request) -> Result<Answer, ApiError> {
    let group = group(objects, request)?;
    let asked = targets(request, Some(group.settings.port))?;
    let mut described: Vec<(Target, Option<Health>)> =
        asked.iter().map(|(target, _)| (target.clone(), group.pool.health_of(target))).collect();
    if described.is_empty() {
        described = group.pool.health().map(|(target, health)| (target.clone(), Some(health))).collect();
    }
    let check = &group.settings.health_check;
    let describe = |xml: &mut Xml, (target, health): (Target, Option<Health>)| {
        let (state, reason) = words(health);
        xml.element("Target", |xml| {
            xml.text("Id", &target.id).text("Port", target.port);
        });
        if health.is_some() {
            xml.text("HealthCheckPort", check.port.unwrap_or(target.port));
        }
        xml.element("TargetHealth", |xml| {
            xml.text("State", state);
            if let Some((reason, description)) = &reason {
                xml.text("Reason", reason).text("Description", description);
            }
        });
    };
    Ok(answered(Xml::new().list("TargetHealthDescriptions", "member", described, describe).finish()))
}

/// State, reason and description of a target's health; `None` is a target that is not registered.
pub(super) fn words(health: Option<Health>) -> (&'static str, Option<(&'static str, String)>) {
    let because = |reason, description: &str| Some((reason, description.to_owned()));
    let Some(health) = health else {
        let description = "Target is not registered to the target group";
        return ("unused", because("Target.NotRegistered", description));
    };
    match health {
        Health::Registering => {
            ("initial", because("Elb.RegistrationInProgress", "Target registration is in progress"))
        }
        Health::Initial => {
            ("initial", because("Elb.InitialHealthChecking", "Initial health checks in progress"))
        }
        Health::Healthy => ("healthy", None),
        Health::Unhealthy(Failure::Refused) => {
            ("unhealthy", because("Target.FailedHealthChecks", "Health checks failed"))
        }
        Health::Unhealthy(Failure::TimedOut) => ("unhealthy", because("Target.Timeout", "Request timed out")),
        Health::Unhealthy(Failure::Code(code)) => {
            let description = format!("Health checks failed with these codes: [{code}]");
            ("unhealthy", Some(("Target.ResponseCodeMismatch", description)))
        }
        Health::Draining => {
            ("draining", because("Target.DeregistrationInProgress", "Target deregistration is in progress"))
        }
        Health::Unused => {
            let description = "Target group is not configured to receive traffic from the load balancer";
            ("unused", because("Target.NotInUse", description))
        }
    }
}

fn register(objects: &mut Objects, now: Duration, request: &Request) -> Result<Answer, ApiError> {
    let group = group(objects, request)?;
    let targets = targets(request, Some(group.settings.port))?;
    if targets.is_empty() {
        return Err(ApiError::validation("At least one target must be specified"));
    }
    for (target, zone) in &targets {
        check_target(objects, group.settings.target_type, &target.id, *zone)?;
    }
    let arn = request.parameters.required("TargetGroupArn")?.to_owned();
    let group = objects.groups.get_mut(&arn).expect("it was found above");
    Ok(done(vec![touch_pool(&arn, &mut group.pool, |pool| {
        for (target, _) in targets {
            pool.register(now, target);
        }
    })]))
}

fn deregister(objects: &mut Objects, now: Duration, request: &Request) -> Result<Answer, ApiError> {
    let arn = request.parameters.required("TargetGroupArn")?.to_owned();
    let group = objects.groups.get_mut(&arn).ok_or_else(not_found)?;
    // Without a port no target matches, and deregistering an absent target succeeds.
    let targets = targets(request, None)?;
    Ok(done(vec![touch_pool(&arn, &mut group.pool, |pool| {
        for (target, _) in &targets {
            pool.deregister(now, target);
        }
    })]))
}

/// The targets of a request, and their availability zones. Those without a port have the default one or,
/// if there is none, are left out.
fn targets(request: &Request, default_port: Option<u16>) -> Result<Vec<(Target, Option<&str>)>, ApiError> {
    let prefixes = request.parameters.structures("Targets.member", "Id");
    if prefixes.len() > MOST_TARGETS {
        return Err(ApiError::new(400, "TooManyTargets", "You have specified too many targets"));
    }
    let mut targets = Vec::with_capacity(prefixes.len());
    for prefix in prefixes {
        let get = |field: &str| request.parameters.get(&format!("{prefix}{field}"));
        let port = match get("Port") {
            Some(port) => Some(
                port.parse()
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or_else(|| ApiError::validation(format!("The port '{port}' is not valid")))?,
            ),
            None => default_port,
        };
        let id = get("Id").unwrap_or_default().to_owned();
        targets.extend(port.map(|port| (Target { id, port }, get("AvailabilityZone"))));
    }
    Ok(targets)
}

fn check_target(objects: &Objects, kind: TargetType, id: &str, zone: Option<&str>) -> Result<(), ApiError> {
    let invalid = |message: String| Err(ApiError::new(400, "InvalidTarget", message));
    match kind {
        TargetType::Instance if objects.member_of(id).is_none_or(|member| member.instance_id != id) => {
            invalid(format!(
                "The following targets are not in a running state and cannot be registered: '{id}'"
            ))
        }
        TargetType::Instance => Ok(()),
        TargetType::Ip => {
            let Ok(address) = id.parse::<IpAddr>() else {
                return Err(ApiError::validation(format!("The IP address '{id}' is not a valid IP address")));
            };
            match (objects.settings.vpc.contains(&address), zone) {
                (true, None) | (false, Some("all")) => Ok(()),
                (true, Some(zone)) if zone == objects.settings.zone() || zone == "all" => Ok(()),
                (true, Some(zone)) => invalid(format!("The Availability Zone '{zone}' is not valid")),
                (false, _) => invalid(format!(
                    "The IP address '{id}' is not within the VPC CIDR blocks; specify 'all' as its Availability Zone"
                )),
            }
        }
    }
}

// === Load balancers ===

fn balancer_not_found() -> ApiError {
    ApiError::new(400, "LoadBalancerNotFound", "One or more load balancers not found")
}

fn of_balancer<'a>(objects: &'a Objects, arn: &'a str) -> impl Iterator<Item = &'a Group> {
    let in_use = objects.groups.values().filter(|group| group.settings.in_use);
    in_use.filter(move |group| group.balancer_arn(&objects.settings) == arn)
}

fn describe_balancers(objects: &Objects, request: &Request) -> Result<Answer, ApiError> {
    let (arns, names) =
        (request.parameters.list("LoadBalancerArns.member"), request.parameters.list("Names.member"));
    let settings = &objects.settings;
    let wanted = |group: &&Group| {
        group.settings.in_use
            && (arns.is_empty() || arns.contains(&group.balancer_arn(settings).as_str()))
            && (names.is_empty() || names.contains(&group.settings.name.as_str()))
    };
    let found: Vec<_> = objects.groups.values().filter(wanted).collect();
    if found.len() < arns.len().max(names.len()) {
        return Err(balancer_not_found());
    }
    let describe = |xml: &mut Xml, group: &Group| {
        xml.text("LoadBalancerArn", group.balancer_arn(settings))
            .text("DNSName", group.dns_name(settings))
            .text("CanonicalHostedZoneId", "Z2IFOLAFXWLO4F")
            .text("CreatedTime", "2026-01-01T00:00:00.000Z")
            .text("LoadBalancerName", &group.settings.name)
            .text("Scheme", "internal")
            .text("VpcId", "vpc-00000000000000001")
            .element("State", |xml| {
                xml.text("Code", "active");
            })
            .text("Type", group.settings.kind.word())
            .list("AvailabilityZones", "member", ["a", "b"], |xml, zone| {
                xml.text("ZoneName", format!("{}{zone}", settings.region))
                    .text("SubnetId", format!("subnet-0000000000000000{zone}"));
            })
            .text("IpAddressType", "ipv4");
    };
    Ok(answered(Xml::new().list("LoadBalancers", "member", found, describe).finish()))
}

fn describe_listeners(objects: &Objects, request: &Request) -> Result<Answer, ApiError> {
    let arn = request.parameters.required("LoadBalancerArn")?;
    let groups: Vec<_> = of_balancer(objects, arn).collect();
    if groups.is_empty() {
        return Err(balancer_not_found());
    }
    let settings = &objects.settings;
    let describe = |xml: &mut Xml, group: &Group| {
        xml.text(
            "ListenerArn",
            format!("{}/{:016x}", arn.replacen(":loadbalancer/", ":listener/", 1), group.id),
        )
        .text("LoadBalancerArn", arn)
        .text("Port", group.settings.port)
        .text("Protocol", group.settings.kind.protocol())
        .list("DefaultActions", "member", [group], |xml, group| {
            xml.text("Type", "forward").text("TargetGroupArn", group.arn(settings));
        });
    };
    Ok(answered(Xml::new().list("Listeners", "member", groups, describe).finish()))
}

// === impl Group ===

impl Group {
    pub(super) fn arn(&self, settings: &Settings) -> String {
        let (region, name, id) = (&settings.region, &self.settings.name, self.id);
        format!("arn:aws:elasticloadbalancing:{region}:{ACCOUNT}:targetgroup/{name}/{id:016x}")
    }

    fn balancer_arn(&self, settings: &Settings) -> String {
        let (region, name, id) = (&settings.region, &self.settings.name, self.id);
        let short = match self.settings.kind {
            Kind::Network => "net",
            Kind::Application => "app",
        };
        format!("arn:aws:elasticloadbalancing:{region}:{ACCOUNT}:loadbalancer/{short}/{name}/{id:016x}")
    }

    fn dns_name(&self, settings: &Settings) -> String {
        format!("{}-{:016x}.elb.{}.amazonaws.com", self.settings.name, self.id, settings.region)
    }
}

impl Kind {
    const fn protocol(self) -> &'static str {
        match self {
            Self::Network => "TCP",
            Self::Application => "HTTP",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Application => "application",
        }
    }
}

impl Settings {
    /// The one availability zone in which targets are.
    pub(super) fn zone(&self) -> String {
        format!("{}{ZONE_SUFFIX}", self.region)
    }
}
