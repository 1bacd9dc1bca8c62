//! Elastic Load Balancing, version 1: actions on classic load balancers. PURE.

use std::time::Duration;

use super::api::{ApiError, Request};
use super::objects::{Answer, Classic, Objects, answered, touch_pool, unknown};
use super::pool::{Health, Target};
use super::xml::Xml;

pub(super) fn answer(objects: &mut Objects, now: Duration, request: &Request) -> Result<Answer, ApiError> {
    match request.action.as_str() {
        "DescribeLoadBalancers" => describe(objects, request),
        "DescribeInstanceHealth" => describe_health(objects, request),
        "RegisterInstancesWithLoadBalancer" => change(objects, request, |classic, id| {
            classic.pool.register(now, classic.target(id));
        }),
        "DeregisterInstancesFromLoadBalancer" => change(objects, request, |classic, id| {
            classic.pool.deregister(now, &classic.target(id));
        }),
        "DescribeLoadBalancerAttributes" => describe_attributes(objects, request),
        _ => Err(unknown(request)),
    }
}

fn not_found(name: &str) -> ApiError {
    ApiError::new(400, "LoadBalancerNotFound", format!("There is no ACTIVE Load Balancer named '{name}'"))
}

fn balancer<'a>(objects: &'a Objects, request: &Request) -> Result<&'a Classic, ApiError> {
    let name = request.parameters.required("LoadBalancerName")?;
    objects.classic.get(name).ok_or_else(|| not_found(name))
}

/// The instances of the request; each must exist.
fn instances(objects: &Objects, request: &Request) -> Result<Vec<String>, ApiError> {
    let mut ids = Vec::new();
    for prefix in request.parameters.structures("Instances.member", "InstanceId") {
        let id = request.parameters.get(&format!("{prefix}InstanceId")).unwrap_or_default();
        if objects.member_of(id).is_none_or(|member| member.instance_id != id) {
            let message = format!("Could not find EC2 instance {id}.");
            return Err(ApiError::new(400, "InvalidInstance", message));
        }
        ids.push(id.to_owned());
    }
    Ok(ids)
}

/// Changes each instance of the request, and answers with the registered ones.
fn change(
    objects: &mut Objects,
    request: &Request,
    mut change: impl FnMut(&mut Classic, &str),
) -> Result<Answer, ApiError> {
    balancer(objects, request)?;
    let ids = instances(objects, request)?;
    let name = request.parameters.required("LoadBalancerName")?;
    let classic = objects.classic.get_mut(name).expect("it was found above");
    let mut pool = classic.pool.clone();
    let touched = touch_pool(name, &mut pool, |pool| {
        for id in &ids {
            change(classic, id);
        }
        pool.clone_from(&classic.pool);
    });
    Ok(Answer { touched: vec![touched], ..answered(registered(&mut Xml::new(), classic).finish()) })
}

fn registered<'a>(xml: &'a mut Xml, classic: &Classic) -> &'a mut Xml {
    xml.list("Instances", "member", classic.pool.registered(), |xml, target| {
        xml.text("InstanceId", &target.id);
    })
}

fn describe(objects: &Objects, request: &Request) -> Result<Answer, ApiError> {
    let names = request.parameters.list("LoadBalancerNames.member");
    if let Some(unknown) = names.iter().find(|name| !objects.classic.contains_key(**name)) {
        return Err(not_found(unknown));
    }
    let wanted = |classic: &&Classic| names.is_empty() || names.contains(&classic.settings.name.as_str());
    let found: Vec<_> = objects.classic.values().filter(wanted).collect();
    let zone = objects.settings.zone();
    let describe = |xml: &mut Xml, classic: &Classic| {
        let (settings, check) = (&classic.settings, &classic.settings.health_check);
        let port = check.port.unwrap_or(settings.port);
        let target = match &check.path {
            Some(path) => format!("HTTP:{port}{path}"),
            None => format!("TCP:{port}"),
        };
        xml.text("LoadBalancerName", &settings.name)
            .text(
                "DNSName",
                format!("internal-{}-1.{}.elb.amazonaws.com", settings.name, objects.settings.region),
            )
            .list("ListenerDescriptions", "member", [settings], |xml, settings| {
                xml.element("Listener", |xml| {
                    xml.text("Protocol", "TCP")
                        .text("LoadBalancerPort", settings.port)
                        .text("InstanceProtocol", "TCP")
                        .text("InstancePort", settings.port);
                });
            })
            .list("AvailabilityZones", "member", [&zone], |xml, zone| {
                // The text of the element itself.
                xml.raw(zone);
            });
        registered(xml, classic).element("HealthCheck", |xml| {
            xml.text("Target", target)
                .text("Interval", check.interval)
                .text("Timeout", check.timeout)
                .text("UnhealthyThreshold", check.unhealthy_threshold)
                .text("HealthyThreshold", check.healthy_threshold);
        });
        xml.text("CreatedTime", "2026-01-01T00:00:00.000Z").text("Scheme", "internal");
    };
    Ok(answered(Xml::new().list("LoadBalancerDescriptions", "member", found, describe).finish()))
}

fn describe_health(objects: &Objects, request: &Request) -> Result<Answer, ApiError> {
    let classic = balancer(objects, request)?;
    let mut described: Vec<(String, Option<Health>)> = instances(objects, request)?
        .into_iter()
        .map(|id| {
            let health = classic.pool.health_of(&classic.target(&id));
            (id, health)
        })
        .collect();
    if described.is_empty() {
        described = classic.pool.health().map(|(target, health)| (target.id.clone(), Some(health))).collect();
    }
    let describe = |xml: &mut Xml, (id, health): (String, Option<Health>)| {
        let (state, reason, description) = words(health);
        xml.text("InstanceId", id)
            .text("State", state)
            .text("ReasonCode", reason)
            .text("Description", description);
    };
    Ok(answered(Xml::new().list("InstanceStates", "member", described, describe).finish()))
}

/// State, reason code and description; `None` is an instance that is not registered.
pub(super) fn words(health: Option<Health>) -> (&'static str, &'static str, &'static str) {
    match health {
        None => ("OutOfService", "Instance", "Instance is not currently registered with the LoadBalancer."),
        Some(Health::Registering | Health::Initial | Health::Unused) => {
            ("OutOfService", "ELB", "Instance registration is still in progress.")
        }
        Some(Health::Healthy) => ("InService", "N/A", "N/A"),
        Some(Health::Unhealthy(_)) => (
            "OutOfService",
            "Instance",
            "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.",
        ),
        Some(Health::Draining) => ("InService", "N/A", "Instance deregistration currently in progress."),
    }
}

fn describe_attributes(objects: &Objects, request: &Request) -> Result<Answer, ApiError> {
    let settings = &balancer(objects, request)?.settings;
    let mut xml = Xml::new();
    xml.element("LoadBalancerAttributes", |xml| {
        xml.element("CrossZoneLoadBalancing", |xml| {
            xml.text("Enabled", settings.cross_zone);
        });
        xml.element("ConnectionDraining", |xml| {
            xml.text("Enabled", settings.draining > 0).text("Timeout", settings.draining);
        });
        xml.element("ConnectionSettings", |xml| {
            xml.text("IdleTimeout", 60);
        });
    });
    Ok(answered(xml.finish()))
}

// === impl Classic ===

impl Classic {
    /// The target of an instance.
    pub(super) fn target(&self, id: &str) -> Target {
        Target { id: id.to_owned(), port: self.settings.port }
    }
}
