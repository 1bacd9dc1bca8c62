//! Records as they are found, what is said about them, and how long clients hold them.

use super::*;
use crate::finding::Severity;
use crate::provider::Config;
use crate::provider::Table as Target;
use crate::provider::check::testing::{config, one, stages, told, with_subject};
use crate::steer::Class;

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

fn record_table(config: &Config) -> &Table {
    let Target::Route53(table) = &config.mirrors[0].targets[0] else { panic!("{config:?}") };
    table
}

fn record_findings(config: &Config, records: &Records) -> Vec<(Severity, String)> {
    told(with_subject(config, |subject, _| judge(subject, record_table(config), records)))
}

fn address(ttl: u64) -> Seen {
    let values = vec!["10.0.1.12".to_owned()];
    Seen { record_type: "A".to_owned(), ttl: Some(ttl), values, ..Seen::default() }
}

fn named(named: Seen) -> Records {
    Records { named: vec![named], ..sound_zone() }
}

#[test]
fn records_are_reported_with_what_a_promotion_will_find() {
    let plain = route53("");
    one(record_findings(&plain, &sound_zone()), Severity::Good, "the first promotion creates it");
    one(record_findings(&plain, &named(address(5))), Severity::Good, "is there, 10.0.1.12");
    one(record_findings(&plain, &named(address(300))), Severity::Warning, "time to live of 300 s");
    let alias = Seen { is_alias: true, ttl: None, values: Vec::new(), ..address(5) };
    one(record_findings(&plain, &named(alias.clone())), Severity::Warning, "puts an address in its place");
    let two = Seen { values: vec!["10.0.1.12".into(), "10.0.2.12".into()], ..address(5) };
    one(record_findings(&plain, &named(two)), Severity::Warning, "has 2 values");
    let weighted = Seen { set_identifier: Some("db1".to_owned()), ..address(5) };
    one(record_findings(&plain, &named(weighted.clone())), Severity::Error, "Route 53 refuses both together");
    let in_set = route53("set_identifier = 'db1'\nweight = 1");
    one(record_findings(&in_set, &named(weighted)), Severity::Good, "is there");
    one(record_findings(&in_set, &named(address(5))), Severity::Error, "stands alone, and the table has");

    let cname = Seen { record_type: "CNAME".to_owned(), ..address(5) };
    let both = record_findings(&plain, &named(cname));
    assert!(both[0].0 == Severity::Error && both[0].1.contains("a CNAME stands alone"), "{both:?}");
    let slow = record_findings(&route53("ttl = 300"), &sound_zone());
    assert!(slow.iter().any(|(_, message)| message.contains("for 300 s")), "{slow:?}");
    let upsert = record_findings(&route53("write = 'upsert'"), &sound_zone());
    assert!(upsert.iter().any(|(_, message)| message.contains("overwritten")), "{upsert:?}");
    let in_front = route53("alias_dns_name = 'lb.example.com'\nalias_hosted_zone_id = 'Z2'");
    one(record_findings(&in_front, &named(alias)), Severity::Good, "an alias");
    one(record_findings(&in_front, &named(address(5))), Severity::Warning, "is no alias");
}

#[test]
fn a_record_outside_its_zone_is_an_error() {
    let of_zone = |zone: &str| {
        let records = Records { zone: zone.to_owned(), ..named(address(5)) };
        record_findings(&route53(""), &records)
    };
    one(of_zone("internal"), Severity::Good, "is there");
    one(of_zone("db.example.internal"), Severity::Good, "is there");
    let outside = "lies outside the hosted zone Z1, which is example.com: Route 53 refuses to write it";
    one(of_zone("example.com"), Severity::Error, outside);
    one(of_zone("ple.internal"), Severity::Error, "lies outside");
}

#[test]
fn a_routing_policy_stays_as_it_is() {
    let failover = Seen { set_identifier: Some("db1".to_owned()), policy: Some("failover"), ..address(5) };
    let in_set = route53("set_identifier = 'db1'");
    one(record_findings(&in_set, &named(failover.clone())), Severity::Good, "its routing by failover stays");
    let weighted = route53("set_identifier = 'db1'\nweight = 1");
    one(record_findings(&weighted, &named(failover)), Severity::Error, "both at once: Route 53 refuses");

    let managed = Seen { of_traffic_policy: true, ..address(5) };
    one(record_findings(&route53(""), &named(managed)), Severity::Error, "belongs to a traffic policy");
    one(record_findings(&in_set, &sound_zone()), Severity::Error, "cannot be made without a weight");
}

#[test]
fn a_text_that_is_no_ownership_record_is_reported() {
    let plain = route53("");
    let with = |text: &str| Records { named: vec![address(5)], mark: vec![text.to_owned()], ..sound_zone() };
    let mark = "\"mirrorvip1 owner=a epoch=7 at=2026-11-21T02:40:00Z\"";
    one(record_findings(&plain, &with(mark)), Severity::Good, "is there");
    let foreign = record_findings(&plain, &with("\"v=spf1\""));
    assert!(foreign.iter().any(|(severity, _)| *severity == Severity::Error), "{foreign:?}");
}

#[test]
fn a_change_that_cannot_be_followed_is_reported() {
    let denied = CallError::new("GetChange", Class::Stop, "AccessDenied: no").with_code(Some("AccessDenied"));
    let records = Records { unfollowed: Some(denied), ..named(address(5)) };
    let found = record_findings(&route53(""), &records);
    assert!(
        found.iter().any(|(severity, message)| {
            *severity == Severity::Warning
                && message.contains("GetChange")
                && message.contains("before it has spread")
        }),
        "{found:?}"
    );
}

#[test]
fn the_time_to_recovery_is_that_of_the_settings() {
    let plain = route53("ttl = 5");
    let record = with_subject(&plain, |subject, _| recovery(subject, record_table(&plain), &sound_zone()));
    assert_eq!(stages(&record)[2..], [("API accepts", 1), ("record INSYNC", 60), ("caches expire", 5)]);

    assert_eq!(record.at_most.as_secs(), 70);
}

#[test]
fn clients_hold_the_record_that_is_served() {
    let cached = |config: &Config, records: Records| {
        let recovery = with_subject(config, |subject, _| recovery(subject, record_table(config), &records));
        recovery.stages.last().expect("the caches come last").at_most.as_secs()
    };
    let with = |seen: Seen| Records { named: vec![seen], ..sound_zone() };
    let plain = || Seen { record_type: "A".to_owned(), ttl: Some(300), ..Seen::default() };
    let alias = || Seen { is_alias: true, ttl: None, ..plain() };
    let (to_plain, to_alias) =
        (route53("ttl = 5"), route53("alias_dns_name = 'lb.example.com'\nalias_hosted_zone_id = 'Z2'"));
    assert_eq!(cached(&to_plain, with(plain())), 300);
    assert_eq!(cached(&to_alias, with(plain())), 300);
    assert_eq!(cached(&to_plain, with(alias())), 60);
    assert_eq!(cached(&to_alias, with(alias())), 60);
    let other = Seen { set_identifier: Some("other".to_owned()), ..plain() };
    assert_eq!(cached(&to_plain, with(other)), 5, "another's record is not the one that moves");
}
