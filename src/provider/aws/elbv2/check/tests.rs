//! A target group's settings in, findings and times out: tables of what is judged how.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::finding::Severity;
use crate::provider::Config;
use crate::provider::Table as Target;
use crate::provider::aws::check::group::{CROSS_ZONE, sound};
use crate::provider::aws::check::health_check::{HealthCheck, accepts};
use crate::provider::aws::check::recovery;
use crate::provider::aws::elbv2::plan;
use crate::provider::check::testing::{config, one, stages, told, with_subject};

const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/iris/0123456789abcdef";

fn elbv2(more: &str) -> String {
    format!("[[mirror.elbv2]]\ntarget_group_arn = '{ARN}'\nport = 1972\n{more}\n")
}

/// A member as the service describes it.
fn member(id: &str, state: &str, reason: Option<&str>) -> Member {
    let described = Described {
        target: plan::Target { id: id.to_owned(), port: 1972 },
        in_all_zones: false,
        state: plan::State::from_word(state),
        reason: reason.map(str::to_owned),
    };
    described.into()
}

fn judged(config: &Config, group: &Group) -> Vec<Finding> {
    with_subject(config, |subject, target| {
        let Target::Elbv2(table) = target else { panic!("{target:?}") };
        judge(subject, table, group, Some("10.0.1.12"))
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
    told(bad)
}

fn check_of(group: &mut Group) -> &mut HealthCheck {
    group.health_check.as_mut().expect("the sound group has one")
}

fn set(key: &'static str, value: &'static str) -> impl FnOnce(&mut Group) {
    move |group| {
        group.attributes.insert(key.to_owned(), value.to_owned());
    }
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
    let with = |change: fn(&mut HealthCheck)| complaints(&config, |group| change(check_of(group)));
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
        "asks for /, where no verdict is published",
    );
    one(with(|check| check.path = Some("/live".into())), Severity::Error, "where no verdict is published");
    one(
        with(|check| check.path = Some("/OTHER/primary".into())),
        Severity::Error,
        "which is the page of mirror OTHER",
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
fn slow_checks_are_reported_with_their_cost() {
    let config = config("", &elbv2(""));
    let with = |change: fn(&mut HealthCheck)| complaints(&config, |group| change(check_of(group)));
    one(
        with(|check| check.interval = Duration::from_secs(30)),
        Severity::Warning,
        "50s slower than necessary",
    );
    one(with(|check| check.rise = 5), Severity::Warning, "15s slower than necessary");
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
fn attributes_are_reported_with_their_consequence() {
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
fn members_are_reported_as_they_are() {
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
fn nothing_is_asked_about_a_pool_that_is_not_there() {
    let empty = Group { health_check: None, attributes: BTreeMap::new(), targets: Vec::new(), ..sound() };
    let config = config("", &elbv2(""));
    let findings = judged(&config, &empty);
    assert!(findings.iter().any(|finding| finding.severity == Severity::Error));
    let recovery = with_subject(&config, |subject, _| recovery::pool(subject, Pool::AllMembers, &empty));
    assert!(recovery.depends_on.starts_with("nothing"), "{recovery:?}");
}

#[test]
fn the_time_to_recovery_is_that_of_the_settings() {
    let all_members = config("", &elbv2(""));
    let recovery =
        with_subject(&all_members, |subject, _| recovery::pool(subject, Pool::AllMembers, &sound()));
    assert_eq!(stages(&recovery), [("role seen", 4), ("page flipped", 0), ("health checks agree", 15)]);
    assert_eq!(recovery.at_most, Duration::from_secs(19));
    assert_eq!(recovery.depends_on, "the load balancer's data plane alone");

    let slow = with_subject(&all_members, |subject, _| {
        let mut group = sound();
        *check_of(&mut group) =
            HealthCheck { interval: Duration::from_secs(30), fall: 3, ..check_of(&mut group).clone() };
        recovery::pool(subject, Pool::AllMembers, &group)
    });
    assert_eq!(slow.at_most, Duration::from_secs(4 + 4 * 30), "the old member must be out as well");

    let primary_only =
        with_subject(&all_members, |subject, _| recovery::pool(subject, Pool::PrimaryOnly, &sound()));
    assert_eq!(
        stages(&primary_only)[2..],
        [("API accepts", 1), ("target registered", 300), ("health checks agree", 10)]
    );

    let document = serde_json::to_value(&recovery).unwrap();
    assert_eq!(document["at_most_seconds"], 19.0);
    assert_eq!(document["stages"][0]["at_most_seconds"], 4.0);
}

#[test]
fn the_role_is_seen_as_fast_as_questions_follow_each_other() {
    let seen = |timing: &str| {
        let config = config("", &format!("{timing}\n{}", elbv2("")));
        let recovery =
            with_subject(&config, |subject, _| recovery::pool(subject, Pool::AllMembers, &sound()));
        recovery.stages[0].at_most.as_secs()
    };
    assert_eq!(seen("interval = '2s'\ntimeout = '1s'"), 3, "the next question waits for the timer");
    assert_eq!(seen("interval = '1s'\ntimeout = '2s'"), 4, "it waits for the answer before it");
    assert_eq!(seen("interval = '500ms'\ntimeout = '1s'\nrise = 3"), 4, "and so do those that `rise` adds");
}
