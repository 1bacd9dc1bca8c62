//! Routes and network interfaces as they are found, what is said about them, and how long changing them takes.

use super::*;
use crate::finding::Severity;
use crate::provider::Table as Target;
use crate::provider::check::testing::{config, one, told, with_subject};

#[test]
fn an_interface_that_checks_addresses_drops_what_the_route_leads_to_it() {
    let config = config(
        "",
        "[[mirror.route]]\nroute_tables = 'rtb-00000001'\ndestination = '192.168.99.1'\ntarget = 'i-00000001'\n",
    );
    let judged = |interfaces: &[Interface]| {
        with_subject(&config, |subject, target| {
            let Target::Route(table) = target else { panic!("{target:?}") };
            told(judge_interfaces(subject, table, interfaces))
        })
    };
    let interface = Interface { id: "eni-00000001".to_owned(), checks_addresses: false };
    let checking = Interface { checks_addresses: true, ..interface.clone() };
    one(judged(&[checking]), Severity::Error, "it drops packets to the overlay address");
    one(judged(&[]), Severity::Error, "no network interface for i-00000001");
    one(judged(&[interface.clone(), interface.clone()]), Severity::Error, "2 network interfaces");
    one(judged(&[interface]), Severity::Good, "eni-00000001 accepts packets");
}

#[test]
fn routes_are_reported_table_by_table() {
    let config = config(
        "",
        "[[mirror.route]]\nroute_tables = ['rtb-00000001', 'rtb-00000002']\ndestination = '192.168.99.1'\n",
    );
    let Target::Route(table) = &config.mirrors[0].targets[0] else { panic!("{config:?}") };
    let judged = |table: &Table, seen: RouteTable| {
        let tables = [seen, RouteTable { id: "rtb-00000002".to_owned(), ..RouteTable::default() }];
        let mut findings = with_subject(&config, |subject, _| judge(subject, table, &tables));
        let last = findings.pop().expect("at least one finding per table");
        assert!(last.severity == Severity::Good && last.message.contains("the first promotion creates it"));
        told(findings)
    };
    let seen = RouteTable {
        id: "rtb-00000001".to_owned(),
        leads_to: Some("eni-00000001".to_owned()),
        is_blackhole: false,
        local: vec!["10.0.0.0/16".parse().unwrap()],
    };
    one(judged(table, seen.clone()), Severity::Good, "leads to eni-00000001");
    let gone = RouteTable { is_blackhole: true, ..seen.clone() };
    one(judged(table, gone), Severity::Warning, "which is gone");
    one(
        judged(table, RouteTable { id: "rtb-00000003".to_owned(), ..seen.clone() }),
        Severity::Error,
        "does not exist",
    );
    let around = RouteTable { local: vec!["192.168.0.0/16".parse().unwrap()], ..seen };
    let within = judged(table, around);
    assert!(within[0].1.contains("lies within 192.168.0.0/16"), "{within:?}");
}

#[test]
fn each_table_is_a_call_and_a_dead_peer_is_waited_for() {
    let stages = |tables: &str, peer: &str| {
        let tables =
            format!("{peer}\n[[mirror.route]]\nroute_tables = [{tables}]\ndestination = '192.168.99.1'\n");
        let config = config("", &tables);
        let recovery = with_subject(&config, |subject, target| {
            let Target::Route(table) = target else { panic!("{target:?}") };
            recovery(subject, table)
        });
        crate::provider::check::testing::stages(&recovery).split_off(2)
    };
    let peer = "[[mirror.peer]]\naddress = '10.0.2.12'\npage = 'http://b/'";
    let three = "'rtb-00000001', 'rtb-00000002', 'rtb-00000003'";
    assert_eq!(stages("'rtb-00000001'", ""), [("API accepts", 1), ("route in effect", 5)]);
    assert_eq!(stages(three, ""), [("API accepts", 3), ("route in effect", 5)]);
    assert_eq!(
        stages("'rtb-00000001'", peer),
        [("peers answer", 2), ("API accepts", 1), ("route in effect", 5)]
    );
    assert_eq!(stages(three, peer), [("peers answer", 4), ("API accepts", 3), ("route in effect", 5)]);
}
