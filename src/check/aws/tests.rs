//! Settings in, findings and times out: tables of what is judged how.

mod records;
mod times;

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Severity;
use super::group::{Balancer, Family, Group, Member};
use super::health_check::{HealthCheck, accepts};
use super::record::{Records, Seen};
use super::*;
use crate::config;
use crate::config::steering::{self, Route53};
use crate::steer::{classic_elb, elbv2};

const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/iris/0123456789abcdef";
const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";

fn config(head: &str, tables: &str) -> Config {
    let peers = if tables.contains("[[mirror.peer]]") { "" } else { "peers = 'none'" };
    let text = format!(
        "{head}\n[[mirror]]\nname = 'PROD'\n{peers}\npaths = '/csp/bin'\nprobe.file.path = '/role'\n{tables}\n\
         [[mirror]]\nname = 'OTHER'\npaths = '/other'\nprobe.file.path = '/role'\n"
    );
    config::parse(&text, "test.toml").unwrap_or_else(|report| panic!("{}", report.render(false)))
}

fn elbv2(more: &str) -> String {
    format!("[[mirror.elbv2]]\ntarget_group_arn = '{ARN}'\nport = 1972\n{more}\n")
}

fn with_subject<T>(config: &Config, ask: impl FnOnce(&Subject<'_>, &Target) -> T) -> T {
    let mirror = &config.mirrors[0];
    ask(&Subject { config, mirror, name: "it".to_owned() }, &mirror.targets[0])
}

/// A member as the service tells it.
fn member(id: &str, state: &str, reason: Option<&str>) -> Member {
    use aws_sdk_elasticloadbalancingv2::types::{TargetDescription, TargetHealth, TargetHealthDescription};
    let health = TargetHealth::builder().state(state.into()).set_reason(reason.map(Into::into)).build();
    let target = TargetDescription::builder().id(id).port(1972).build();
    let described = TargetHealthDescription::builder().target(target).target_health(health).build();
    elbv2::described(&described).expect("it has an id and a port").into()
}

/// A target group with which nothing is wrong.
fn sound() -> Group {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    Group {
        family: Family::Network,
        target_type: "ip".to_owned(),
        health_check: Some(HealthCheck {
            protocol: "HTTP".to_owned(),
            port: Some(8080),
            path: Some("/csp/bin/mirror_status.cxw".to_owned()),
            matcher: Some("200-399".to_owned()),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 2,
        }),
        attributes: pairs(&[
            (CROSS_ZONE, "use_load_balancer_configuration"),
            ("proxy_protocol_v2.enabled", "false"),
            ("preserve_client_ip.enabled", "false"),
            ("deregistration_delay.timeout_seconds", "300"),
            ("deregistration_delay.connection_termination.enabled", "false"),
            ("target_health_state.unhealthy.connection_termination.enabled", "true"),
            ("target_health_state.unhealthy.draining_interval_seconds", "0"),
            ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1"),
            ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off"),
            ("target_group_health.dns_failover.minimum_healthy_targets.count", "1"),
            ("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off"),
        ]),
        balancers: vec![Balancer {
            name: "iris-lb".to_owned(),
            zones: 2,
            attributes: pairs(&[(CROSS_ZONE, "true")]),
        }],
        targets: vec![member("10.0.1.12", "healthy", None), member("10.0.2.12", "unhealthy", None)],
    }
}

fn judged(config: &Config, group: &Group) -> Vec<Finding> {
    with_subject(config, |subject, target| {
        let Target::Elbv2(table) = target else { panic!("{target:?}") };
        group::judge(subject, table, group, Some("10.0.1.12"))
    })
}

/// What is not good about a group that differs from the sound one, as severity and message.
fn complaints(config: &Config, change: impl FnOnce(&mut Group)) -> Vec<(Severity, String)> {
    let mut group = sound();
    change(&mut group);
    let findings = judged(config, &group).into_iter();
    let bad: Vec<_> = findings.filter(|finding| finding.severity != Severity::Good).collect();
    for finding in &bad {
        let help = finding.help.as_deref().unwrap_or_else(|| panic!("no way out of {finding:?}"));
        assert!(help.ends_with(['.', '?']), "{help}");
    }
    bad.into_iter().map(|finding| (finding.severity, finding.message)).collect()
}

fn check(group: &mut Group) -> &mut HealthCheck {
    group.health_check.as_mut().expect("the sound group has one")
}

fn set(key: &'static str, value: &'static str) -> impl FnOnce(&mut Group) {
    move |group| {
        group.attributes.insert(key.to_owned(), value.to_owned());
    }
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "what was complained of is looked at once")]
fn one(complaints: Vec<(Severity, String)>, severity: Severity, words: &str) {
    let [(found, message)] = complaints.as_slice() else { panic!("{complaints:?}") };
    assert!(*found == severity && message.contains(words), "{found:?} {message}");
}

#[test]
fn a_sound_group_is_good_and_fails_open_all_the_same() {
    let config = config("", &elbv2(""));
    assert_eq!(complaints(&config, |_| {}), []);
    let findings = judged(&config, &sound());
    assert!(findings[0].message.contains("fails open"), "{findings:?}");
    assert!(findings.iter().any(|finding| finding.message == "10.0.1.12:1972 is registered and healthy"));
}

#[test]
fn a_check_that_does_not_ask_for_the_page_is_an_error() {
    let config = config("", &elbv2(""));
    let with = |change: fn(&mut HealthCheck)| complaints(&config, |group| change(check(group)));
    one(
        with(|check| check.protocol = "TCP".into()),
        Severity::Error,
        "an open port is healthy on every member",
    );
    one(
        with(|check| check.protocol = "HTTPS".into()),
        Severity::Error,
        "speaks HTTPS and the status page HTTP",
    );
    one(
        with(|check| check.path = Some("/".into())),
        Severity::Error,
        "asks for /, where the verdict is not told",
    );
    one(with(|check| check.path = Some("/live".into())), Severity::Error, "where the verdict is not told");
    one(
        with(|check| check.path = Some("/OTHER/primary".into())),
        Severity::Error,
        "tells about mirror OTHER",
    );
    one(
        with(|check| check.matcher = Some("200-599".into())),
        Severity::Error,
        "members that refuse get traffic",
    );
    one(with(|check| check.matcher = Some("204".into())), Severity::Error, "the primary's page answers 200");
    one(with(|check| check.port = None), Severity::Error, "asks on port 1972, the port of the targets");
    one(with(|check| check.port = Some(52773)), Severity::Error, "where no status page answers");
    assert_eq!(with(|check| check.path = Some("/CSP/bin/x/MirrorStatus.cxw?a=b".into())), []);
    assert_eq!(with(|check| check.path = Some("/prod/primary".into())), []);
    one(complaints(&config, |group| group.health_check = None), Severity::Error, "no health check");
}

#[test]
fn slow_checks_are_told_with_their_cost() {
    let config = config("", &elbv2(""));
    let with = |change: fn(&mut HealthCheck)| complaints(&config, |group| change(check(group)));
    one(with(|check| check.interval = Duration::from_secs(30)), Severity::Warning, "50s later than need be");
    one(with(|check| check.rise = 5), Severity::Warning, "15s later than need be");
    one(with(|check| check.fall = 10), Severity::Warning, "10 checks 5s apart");
    one(with(|check| check.timeout = Duration::from_secs(6)), Severity::Warning, "noticed late");
}

#[test]
fn matchers_are_lists_of_ranges() {
    for (matcher, status, accepted) in [
        ("200", 200, true),
        ("200", 503, false),
        ("200-399", 200, true),
        ("200,503", 503, true),
        ("200, 500-502", 501, true),
        ("", 200, false),
        ("x-y", 200, false),
    ] {
        assert_eq!(accepts(matcher, status), accepted, "{matcher} {status}");
    }
}

#[test]
fn attributes_are_told_with_their_consequence() {
    let all_members = config("", &elbv2(""));
    let primary_only =
        config("", &elbv2("pool = 'primary-only'\nowned_targets = ['10.0.1.12', '10.0.2.12']"));
    let with = |key, value| complaints(&all_members, set(key, value));
    one(with(CROSS_ZONE, "false"), Severity::Error, "iris-lb has 2 zones and does not share them");
    one(with("preserve_client_ip.enabled", "true"), Severity::Warning, "connects to itself");
    let cut = "target_health_state.unhealthy.connection_termination.enabled";
    one(with(cut, "false"), Severity::Warning, "sessions stay with the old primary");
    let drain = "target_health_state.unhealthy.draining_interval_seconds";
    one(with(drain, "30"), Severity::Warning, "drain for 30 s");
    let minimum = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count";
    one(with(minimum, "2"), Severity::Error, "sends clients to all members when fewer than 2");
    let minimum = "target_group_health.dns_failover.minimum_healthy_targets.percentage";
    one(with(minimum, "50"), Severity::Error, "leaves DNS when fewer than 50%");
    one(with("proxy_protocol_v2.enabled", "true"), Severity::Error, "does not expect it");
    one(with("slow_start.duration_seconds", "60"), Severity::Warning, "over 60 s");
    let expecting = config("[health]\nproxy_protocol = true", &elbv2(""));
    let expected = complaints(&expecting, set("proxy_protocol_v2.enabled", "true"));
    one(expected, Severity::Warning, "the database must, too");

    let stays = "sessions of a member that is deregistered stay with it for 300 s, and are not cut even then";
    one(complaints(&primary_only, |_| {}), Severity::Warning, stays);
    let cut = set("deregistration_delay.connection_termination.enabled", "true");
    assert_eq!(complaints(&primary_only, cut), []);
}

#[test]
fn cross_zone_comes_from_the_load_balancer_unless_the_group_says_otherwise() {
    let config = config("", &elbv2(""));
    let balancer = |value: Option<&'static str>| {
        move |group: &mut Group| {
            let attributes = &mut group.balancers[0].attributes;
            *attributes = value.map(|value| (CROSS_ZONE.to_owned(), value.to_owned())).into_iter().collect();
        }
    };
    one(complaints(&config, balancer(Some("false"))), Severity::Error, "does not share them");
    one(complaints(&config, balancer(None)), Severity::Error, "does not share them");
    let application = |group: &mut Group| {
        group.family = Family::Application;
        balancer(None)(group);
    };
    assert_eq!(complaints(&config, application), []);
    let one_zone = |group: &mut Group| {
        balancer(None)(group);
        group.balancers[0].zones = 1;
    };
    assert_eq!(complaints(&config, one_zone), []);
}

#[test]
fn members_are_told_as_they_are() {
    let config = config("", &elbv2(""));
    let states = |mine: &'static str, other: &'static str| {
        move |group: &mut Group| {
            group.targets = vec![member("10.0.1.12", mine, None), member("10.0.2.12", other, None)];
        }
    };
    one(
        complaints(&config, states("unhealthy", "unhealthy")),
        Severity::Error,
        "it fails open at this moment",
    );
    one(complaints(&config, states("healthy", "healthy")), Severity::Warning, "2 of its members are healthy");
    one(
        complaints(&config, states("draining", "healthy")),
        Severity::Warning,
        "10.0.1.12:1972 is not registered",
    );
    let reason = |state: &'static str, reason: &'static str| {
        move |group: &mut Group| {
            group.targets =
                vec![member("10.0.1.12", state, Some(reason)), member("10.0.2.12", "healthy", None)];
        }
    };
    one(
        complaints(&config, reason("unused", "Target.NotInUse")),
        Severity::Error,
        "10.0.1.12:1972 is registered and gets no traffic (Target.NotInUse): attach the target group to a listener, and \
         enable the member's zone",
    );
    one(
        complaints(&config, reason("unused", "Target.InvalidState")),
        Severity::Error,
        "the instance is stopped or terminated",
    );
    one(
        complaints(&config, reason("unused", "Target.NotRegistered")),
        Severity::Warning,
        "10.0.1.12:1972 is not registered",
    );
    let other_port = |group: &mut Group| group.targets[0].port = Some(1973);
    one(complaints(&config, other_port), Severity::Warning, "10.0.1.12:1972 is not registered");
    let lonely = |group: &mut Group| group.balancers.clear();
    one(complaints(&config, lonely), Severity::Error, "belongs to no load balancer");
    let instances = |group: &mut Group| group.target_type = "instance".to_owned();
    one(complaints(&config, instances), Severity::Error, "takes instance ids, and target_id is 10.0.1.12");
    let lambda = |group: &mut Group| group.target_type = "lambda".to_owned();
    one(complaints(&config, lambda), Severity::Error, "is of type lambda");
}

#[test]
fn what_is_not_read_is_named_with_what_it_must_let_in() {
    let config = config("[health]\nlisten = ['0.0.0.0:8080', '[::]:8081']", &elbv2(""));
    let findings = judged(&config, &sound());
    let words = "must let TCP 8080 and 8081 in from the load balancer's subnets";
    assert!(findings.iter().any(|finding| finding.message.contains(words)), "{findings:?}");
}

#[test]
fn a_classic_load_balancer_is_judged_with_its_members() {
    const ME: &str = "i-0123456789abcdef0";
    let config = config(
        "",
        &format!(
            "[[mirror.classic_elb]]\nload_balancer = 'iris'\nregion = 'eu-west-1'\ninstance_id = '{ME}'\n"
        ),
    );
    let judged = |state: &str, description: &str, draining: Option<&str>| {
        let described = classic_elb::Described {
            instance: ME.to_owned(),
            state: state.to_owned(),
            description: description.to_owned(),
        };
        let attributes = draining.map(|seconds| (group::CONNECTION_DRAINING.to_owned(), seconds.to_owned()));
        let group = Group {
            family: Family::Classic,
            target_type: "instance".to_owned(),
            attributes: attributes.into_iter().collect(),
            targets: vec![described.into()],
            ..sound()
        };
        let Target::ClassicElb(table) = &config.mirrors[0].targets[0] else { panic!("{config:?}") };
        let findings =
            with_subject(&config, |subject, _| group::judge_classic(subject, table, &group, Some(ME)));
        findings.into_iter().map(|finding| (finding.severity, finding.message)).collect::<Vec<_>>()
    };
    let told = |found: &[(Severity, String)], severity, words: &str| {
        let told = found.iter().any(|(known, message)| *known == severity && message.contains(words));
        assert!(told, "no {severity:?} {words:?} in {found:#?}");
    };
    let good = judged("InService", "N/A", Some("5"));
    assert!(good.iter().all(|(severity, _)| *severity == Severity::Good), "{good:#?}");
    told(&good, Severity::Good, "i-0123456789abcdef0 is registered and InService");
    let absent = "Instance is not currently registered with the LoadBalancer.";
    told(&judged("OutOfService", absent, None), Severity::Warning, "is not registered: the running daemon");
    let failing =
        "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.";
    told(&judged("OutOfService", failing, None), Severity::Error, "none of its 1 members is healthy");
    let zone = "Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to.";
    told(&judged("OutOfService", zone, None), Severity::Error, "enable its availability zone");
    told(&judged("InService", "N/A", Some("300")), Severity::Warning, "drain for 300 s");
}

fn route53(more: &str) -> Config {
    config(
        "",
        &format!(
            "[[mirror.route53]]\nhosted_zone_id = 'Z1'\nrecord = 'db.example.internal'\ntype = 'A'\n{more}\n"
        ),
    )
}

/// A zone in which the record has a place, with nothing in it.
fn sound_zone() -> Records {
    Records { zone: "example.internal".to_owned(), ..Records::default() }
}

fn record_table(config: &Config) -> &Route53 {
    let Target::Route53(table) = &config.mirrors[0].targets[0] else { panic!("{config:?}") };
    table
}

#[test]
fn errors_say_whose_turn_it_is() {
    let denied = CallError::new("DescribeTargetGroups", Class::Stop, "AccessDenied: no")
        .with_code(Some("AccessDenied"));
    let finding = failed("it", &denied);
    assert_eq!((finding.severity, finding.kind), (Severity::Error, Kind::Permission));
    assert!(finding.help.unwrap().contains("mirrorvip iam-policy"));
    let silent = CallError::new("DescribeTargetGroups", Class::Retry, "no answer in time");
    assert_eq!(failed("it", &silent).kind, Kind::Unavailable);
}

#[test]
fn nothing_is_asked_about_a_pool_that_is_not_there() {
    let empty = Group { health_check: None, attributes: BTreeMap::new(), targets: Vec::new(), ..sound() };
    let config = config("", &elbv2(""));
    let findings = judged(&config, &empty);
    assert!(findings.iter().any(|finding| finding.severity == Severity::Error));
    let recovery =
        with_subject(&config, |subject, _| recovery::pool(subject, steering::Pool::AllMembers, &empty));
    assert!(recovery.depends_on.starts_with("nothing"), "{recovery:?}");
}
