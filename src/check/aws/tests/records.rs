//! Records and routes as they are found, and what is said about them.

use super::super::record::{Interface, RouteTable};
use super::*;
use crate::config::steering::Route;

fn record_findings(config: &Config, records: &Records) -> Vec<(Severity, String)> {
    let findings = with_subject(config, |subject, _| record::judge(subject, record_table(config), records));
    findings.into_iter().map(|finding| (finding.severity, finding.message)).collect()
}

fn address(ttl: u64) -> Seen {
    let values = vec!["10.0.1.12".to_owned()];
    Seen { record_type: "A".to_owned(), ttl: Some(ttl), values, ..Seen::default() }
}

fn named(named: Seen) -> Records {
    Records { named: vec![named], ..sound_zone() }
}

#[test]
fn records_are_told_with_what_a_promotion_will_find() {
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
fn a_text_that_is_no_mark_is_told() {
    let plain = route53("");
    let with = |text: &str| Records { named: vec![address(5)], mark: vec![text.to_owned()], ..sound_zone() };
    let mark = "\"mirrorvip1 owner=a epoch=7 at=2026-11-21T02:40:00Z\"";
    one(record_findings(&plain, &with(mark)), Severity::Good, "is there");
    let foreign = record_findings(&plain, &with("\"v=spf1\""));
    assert!(foreign.iter().any(|(severity, _)| *severity == Severity::Error), "{foreign:?}");
}

#[test]
fn a_change_that_cannot_be_followed_is_told() {
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
fn an_interface_that_checks_addresses_drops_what_the_route_leads_to_it() {
    let config = config(
        "",
        "[[mirror.route]]\nroute_tables = 'rtb-00000001'\ndestination = '192.168.99.1'\ntarget = 'i-00000001'\n",
    );
    let judge = |interfaces: &[Interface]| {
        with_subject(&config, |subject, target| {
            let Target::Route(table) = target else { panic!("{target:?}") };
            let findings = record::judge_interfaces(subject, table, interfaces).into_iter();
            findings.map(|finding| (finding.severity, finding.message)).collect::<Vec<_>>()
        })
    };
    let interface = Interface { id: "eni-00000001".to_owned(), checks_addresses: false };
    let checking = Interface { checks_addresses: true, ..interface.clone() };
    one(judge(&[checking]), Severity::Error, "whatever is sent to the overlay address is dropped");
    one(judge(&[]), Severity::Error, "no network interface for i-00000001");
    one(judge(&[interface.clone(), interface.clone()]), Severity::Error, "2 network interfaces");
    one(judge(&[interface]), Severity::Good, "eni-00000001 takes what is sent");
}

#[test]
fn routes_are_told_table_by_table() {
    let config = config(
        "",
        "[[mirror.route]]\nroute_tables = ['rtb-00000001', 'rtb-00000002']\ndestination = '192.168.99.1'\n",
    );
    let Target::Route(table) = &config.mirrors[0].targets[0] else { panic!("{config:?}") };
    let judge = |table: &Route, seen: RouteTable| {
        let tables = [seen, RouteTable { id: "rtb-00000002".to_owned(), ..RouteTable::default() }];
        let mut findings = with_subject(&config, |subject, _| record::judge_routes(subject, table, &tables));
        let last = findings.pop().expect("one finding a table at least");
        assert!(last.severity == Severity::Good && last.message.contains("the first promotion makes it"));
        findings.into_iter().map(|finding| (finding.severity, finding.message)).collect::<Vec<_>>()
    };
    let seen = RouteTable {
        id: "rtb-00000001".to_owned(),
        leads_to: Some("eni-00000001".to_owned()),
        is_blackhole: false,
        local: vec!["10.0.0.0/16".to_owned()],
    };
    one(judge(table, seen.clone()), Severity::Good, "leads to eni-00000001");
    let gone = RouteTable { is_blackhole: true, ..seen.clone() };
    one(judge(table, gone), Severity::Warning, "which is gone");
    one(
        judge(table, RouteTable { id: "rtb-00000003".to_owned(), ..seen.clone() }),
        Severity::Error,
        "is not there",
    );
    let around = RouteTable { local: vec!["192.168.0.0/16".to_owned()], ..seen };
    let within = judge(table, around);
    assert!(within[0].1.contains("lies within 192.168.0.0/16"), "{within:?}");
}
