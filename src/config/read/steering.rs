//! From parsed TOML to the steering tables of one mirror: one function for each kind, in the order of the
//! reference.

use std::time::Duration;

use super::super::cloud_value as cloud;
use super::super::diagnostic::{Problem, Reported};
use super::super::rules::{self, Objects, Owned};
use super::super::section::{Located, Section, all};
use super::super::steering::{
    ClassicElb, CloudWatch, Elbv2, Hook, Kubernetes, Peer, RecordType, RecordValue, Route, Route53, Target,
    Value,
};
use super::super::{HttpTarget, value};
use super::{MILLISECOND, MINUTE, SECOND, environment};

/// The kinds of targets, and how each is read.
const TARGETS: [(&str, ReadTarget); 7] = [
    ("mirror.elbv2", elbv2),
    ("mirror.classic_elb", classic_elb),
    ("mirror.route53", route53),
    ("mirror.route", route),
    ("mirror.cloudwatch", cloudwatch),
    ("mirror.kubernetes", kubernetes),
    ("mirror.hook", hook),
];

type ReadTarget = fn(&Section<'_>, &mut Objects<'_>) -> Result<Target, Reported>;

/// All targets of one mirror, kind by kind.
pub(super) fn targets(mirror: &Section<'_>, objects: &mut Objects<'_>) -> Result<Vec<Target>, Reported> {
    let kinds = TARGETS.map(|(name, read)| {
        let sections = mirror.tables(name)?;
        all(sections.iter().map(|section| read(section, objects)))
    });
    let targets = all(kinds.into_iter())?;
    Ok(targets.into_iter().flatten().collect())
}

/// The other members.
pub(super) fn peers(mirror: &Section<'_>) -> Result<Vec<Peer>, Reported> {
    let sections = mirror.tables("mirror.peer")?;
    let mut seen: Vec<Located<String>> = Vec::new();
    all(sections.iter().map(|section| {
        let address = section.required("address", cloud::peer_address);
        let page = section.required("page", value::url);
        let ca_file = section.optional("ca_file", value::absolute_path);
        let member = section.optional("member", cloud::peer_member);
        if let Ok(address) = &address {
            if let Some(first) = seen.iter().find(|before| before.value == address.value) {
                let message = format!("two peers have the address {}", address.value);
                section.report(
                    Problem::new(address.span.clone(), message)
                        .related(first.span.clone(), "first here")
                        .with_help("Write one [[mirror.peer]] for each other member."),
                );
            }
            seen.push(address.clone());
        }
        let (page, ca_file) = (page?, ca_file?);
        rules::check_ca_file(section, &page, ca_file.as_ref());
        let page = HttpTarget { url: page.value, ca_file: ca_file.map(|file| file.value) };
        Ok(Peer { address: address?.value, page, member: member?.map(|member| member.value) })
    }))
}

fn elbv2(section: &Section<'_>, objects: &mut Objects<'_>) -> Result<Target, Reported> {
    let arn = section.required("target_group_arn", cloud::target_group_arn);
    let pool = section.or_default("pool", cloud::pool);
    let target_id = section.or_default("target_id", |value| cloud::auto_or(value, cloud::target_id));
    let port = section.required("port", |value| value::integer(value, 1..=65_535));
    let owned = section.or_default("owned_targets", |value| cloud::distinct(value, cloud::target_id));
    let healthy_within = healthy_within(section);

    if let (Ok(pool), Ok(owned)) = (&pool, &owned) {
        rules::check_owned(section, "owned_targets", pool, owned);
        rules::check_one_kind(section, owned);
        if let (Ok(arn), Ok(port)) = (&arn, &port) {
            objects.pool(arn, Some(port.value), &Owned { key: "owned_targets", targets: owned });
        }
    }
    Ok(Target::Elbv2(Elbv2 {
        target_group_arn: arn?.value,
        pool: pool?.value,
        target_id: target_id?.value,
        port: u16::try_from(port?.value).expect("the range ends at 65535"),
        owned_targets: owned?.value,
        healthy_within: healthy_within?,
    }))
}

fn classic_elb(section: &Section<'_>, objects: &mut Objects<'_>) -> Result<Target, Reported> {
    let load_balancer = section.required("load_balancer", cloud::load_balancer);
    let region = region(section);
    let pool = section.or_default("pool", cloud::pool);
    let instance_id = section.or_default("instance_id", |value| cloud::auto_or(value, cloud::instance_id));
    let owned = section.or_default("owned_instances", |value| cloud::distinct(value, cloud::instance_id));
    let healthy_within = healthy_within(section);

    if let (Ok(pool), Ok(owned)) = (&pool, &owned) {
        rules::check_owned(section, "owned_instances", pool, owned);
        if let Ok(load_balancer) = &load_balancer {
            objects.pool(load_balancer, None, &Owned { key: "owned_instances", targets: owned });
        }
    }
    Ok(Target::ClassicElb(ClassicElb {
        load_balancer: load_balancer?.value,
        region: region?,
        pool: pool?.value,
        instance_id: instance_id?.value,
        owned_instances: owned?.value,
        healthy_within: healthy_within?,
    }))
}

fn route53(section: &Section<'_>, objects: &mut Objects<'_>) -> Result<Target, Reported> {
    let zone = section.required("hosted_zone_id", cloud::hosted_zone_id);
    let record = section.required("record", cloud::record_name);
    let record_type = section.required("type", cloud::record_type);
    let value = record_value(section, record_type.as_ref().ok());
    let set_identifier = section.optional("set_identifier", cloud::set_identifier);
    let weight = section.optional("weight", |value| value::integer(value, 0..=255));
    let write = section.or_default("write", cloud::write);

    if let (Ok(None), Ok(Some(weight))) = (&set_identifier, &weight) {
        section.report(
            Problem::new(weight.span.clone(), "`weight` has no use without `set_identifier`").with_help(
                "Write the record's `set_identifier`, or remove `weight` for a record that stands alone.",
            ),
        );
    }
    if let (Ok(zone), Ok(record), Ok(record_type), Ok(set_identifier)) =
        (&zone, &record, &record_type, &set_identifier)
    {
        let set_identifier = set_identifier.as_ref().map(|set| set.value.as_str());
        objects.record(&zone.value, record, record_type.value, set_identifier);
    }
    Ok(Target::Route53(Route53 {
        hosted_zone_id: zone?.value,
        record: record?.value,
        record_type: record_type?.value,
        value: value?,
        set_identifier: set_identifier?.map(|set| set.value),
        weight: weight?.map(|weight| u8::try_from(weight.value).expect("the range ends at 255")),
        write: write?.value,
    }))
}

/// What the record says: an alias if any of its keys is written, a plain value otherwise.
fn record_value(
    section: &Section<'_>,
    record_type: Option<&Located<RecordType>>,
) -> Result<RecordValue, Reported> {
    let value = section.or_default("value", |value| {
        cloud::auto_or(value, |value| value::text(value, "Write an address or a name.").map(str::to_owned))
    });
    let ttl = section.or_default("ttl", |value| value::integer(value, 0..=86_400));
    let dns_name = section.optional("alias_dns_name", cloud::host_name);
    let zone = section.optional("alias_hosted_zone_id", cloud::hosted_zone_id);
    let evaluate = section.or_default("alias_evaluate_target_health", value::boolean);

    let (value, ttl, dns_name, zone, evaluate) = (value?, ttl?, dns_name?, zone?, evaluate?);
    match (dns_name, zone) {
        (Some(dns_name), Some(zone)) => {
            rules::check_alias(
                section,
                &[("value", &value.span), ("ttl", &ttl.span)],
                &dns_name,
                record_type,
            );
            Ok(RecordValue::Alias {
                hosted_zone_id: zone.value,
                dns_name: dns_name.value,
                evaluate_target_health: evaluate.value,
            })
        }
        (None, None) => {
            if evaluate.value {
                section.report(
                    Problem::new(evaluate.span, "`alias_evaluate_target_health` has no use without an alias")
                        .with_help("Write `alias_dns_name` and `alias_hosted_zone_id`, too, or remove it."),
                );
            }
            if let Some(record_type) = record_type {
                rules::check_record_value(section, record_type.value, &value);
            }
            let value = value.value;
            Ok(RecordValue::Plain { value, ttl: ttl.value })
        }
        (Some(half), None) => Err(rules::half_an_alias(section, half.span, "alias_hosted_zone_id")),
        (None, Some(half)) => Err(rules::half_an_alias(section, half.span, "alias_dns_name")),
    }
}

fn route(section: &Section<'_>, objects: &mut Objects<'_>) -> Result<Target, Reported> {
    let tables = section.required("route_tables", cloud::route_tables);
    let destination = section.required("destination", cloud::destination);
    let target = section.or_default("target", |value| cloud::auto_or(value, cloud::route_target));
    let region = region(section);

    if let (Ok(tables), Ok(destination)) = (&tables, &destination) {
        objects.routes(tables, &destination.value);
    }
    Ok(Target::Route(Route {
        route_tables: tables?.value,
        destination: destination?.value,
        target: target?.value,
        region: region?,
    }))
}

fn cloudwatch(section: &Section<'_>, objects: &mut Objects<'_>) -> Result<Target, Reported> {
    let namespace = section.or_default("namespace", cloud::namespace);
    let metric = section.or_default("metric", cloud::metric);
    let member = section.or_default("member", |value| cloud::auto_or(value, cloud::metric));
    let region = region(section);
    let interval = section.or_default("interval", |value| value::duration(value, 5 * SECOND..=MINUTE));

    if let (Ok(namespace), Ok(metric), Ok(member), Ok(region)) = (&namespace, &metric, &member, &region) {
        objects.metric(section.span(), &namespace.value, &metric.value, (&member.value, region));
    }
    Ok(Target::CloudWatch(CloudWatch {
        namespace: namespace?.value,
        metric: metric?.value,
        member: member?.value,
        region: region?,
        interval: interval?.value,
    }))
}

fn kubernetes(section: &Section<'_>, objects: &mut Objects<'_>) -> Result<Target, Reported> {
    let label = section.or_default("label", cloud::label_key);
    let pod = section.or_default("pod", |value| cloud::auto_or(value, cloud::kubernetes_name));
    let namespace = section.or_default("namespace", |value| cloud::auto_or(value, cloud::kubernetes_name));
    let server = section.optional("server", value::url);
    let ca_file = section.or_default("ca_file", value::absolute_path);
    let token_file = section.or_default("token_file", value::absolute_path);

    if let (Ok(label), Ok(pod), Ok(namespace)) = (&label, &pod, &namespace) {
        objects.pod_label(section.span(), &label.value, (&namespace.value, &pod.value));
    }
    if let (Ok(Some(server)), Ok(ca_file)) = (&server, &ca_file)
        && ca_file.span.is_some()
    {
        rules::check_ca_file(section, server, Some(ca_file));
    }
    Ok(Target::Kubernetes(Kubernetes {
        label: label?.value,
        pod: pod?.value,
        namespace: namespace?.value,
        server: server?.map(|server| server.value),
        ca_file: ca_file?.value,
        token_file: token_file?.value,
    }))
}

fn hook(section: &Section<'_>, _objects: &mut Objects<'_>) -> Result<Target, Reported> {
    let command = section.required("command", value::command_line);
    let on = section.or_default("on", cloud::moments);
    let timeout =
        section.or_default("timeout", |value| value::duration(value, 100 * MILLISECOND..=5 * MINUTE));
    let retry = section.or_default("retry", value::boolean);
    let environment = environment(section);
    let (on_promotion, on_demotion) = on?.value;
    Ok(Target::Hook(Hook {
        command: command?.value,
        on_promotion,
        on_demotion,
        timeout: timeout?.value,
        retry: retry?.value,
        environment: environment?,
    }))
}

fn healthy_within(section: &Section<'_>) -> Result<Duration, Reported> {
    let read = section.or_default("healthy_within", |value| value::duration(value, SECOND..=10 * MINUTE));
    Ok(read?.value)
}

fn region(section: &Section<'_>) -> Result<Value, Reported> {
    Ok(section.or_default("region", |value| cloud::auto_or(value, cloud::region))?.value)
}
