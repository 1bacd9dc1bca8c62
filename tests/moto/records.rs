//! Records, routes and metrics.

use serde_json::{Value, json};

use super::stage::{Stage, text, until_led};
use crate::support::eventually;
use crate::support::python::Boto3;

const RECORD: &str = "db.example.internal";
const OVERLAY: &str = "192.168.99.1/32";

/// A hosted zone.
fn zone(administrator: &mut Boto3) -> String {
    let zone = json!({ "Name": "example.internal", "CallerReference": "1" });
    let zone = administrator.ok("route53", "create_hosted_zone", &zone);
    text(&zone, "/HostedZone/Id").replace("/hostedzone/", "")
}

/// The value of a record.
fn value(administrator: &mut Boto3, zone: &str, name: &str, record_type: &str) -> Option<String> {
    let records = administrator.ok("route53", "list_resource_record_sets", &json!({ "HostedZoneId": zone }));
    let records = records["ResourceRecordSets"].as_array().expect("a list");
    let wanted = |record: &&Value| record["Name"] == format!("{name}.") && record["Type"] == record_type;
    let record = records.iter().find(wanted)?;
    assert_eq!(record["ResourceRecords"].as_array().map(Vec::len), Some(1));
    Some(text(record, "/ResourceRecords/0/Value"))
}

fn record_table(zone: &str, address: &str, write: &str) -> String {
    format!(
        "\n[[mirror.route53]]\nhosted_zone_id = '{zone}'\nrecord = '{RECORD}'\ntype = 'A'\nttl = 5\n\
         value = '{address}'\nwrite = '{write}'\n"
    )
}

#[test]
fn a_record_is_adopted_and_swapped_together_with_its_ownership_record() {
    let mut stage = Stage::build();
    let zone = zone(&mut stage.administrator);
    let foreign = json!({ "HostedZoneId": zone, "ChangeBatch": { "Changes": [
        { "Action": "CREATE", "ResourceRecordSet": {
            "Name": RECORD, "Type": "A", "TTL": 60, "ResourceRecords": [{ "Value": "10.0.1.251" }]
        } }
    ] } });
    stage.administrator.ok("route53", "change_resource_record_sets", &foreign);
    let (hosts, names) = (stage.hosts.clone(), ["db1", "db2"]);
    let [a, b] = stage.members(|host| record_table(&zone, &host.address, "compare-and-swap"));
    for (member, name) in [&a, &b].into_iter().zip(names) {
        member.is_called(name);
    }
    let daemon_a = a.start();
    a.promote();
    until_led(&daemon_a, 1);
    // The other knows what it last read, and moto would take its swap of what was there before.
    let daemon_b = b.start();
    let mut read = |name: &str, record_type: &str| value(&mut stage.administrator, &zone, name, record_type);
    let ownership_name = format!("_mirrorvip.{RECORD}");
    assert_eq!(read(RECORD, "A"), Some(hosts[0].address.clone()));
    let ownership = read(&ownership_name, "TXT").expect("it was made");
    assert!(ownership.starts_with("\"mirrorvip1 owner=db1 term=1 epoch=1 "), "{ownership}");

    a.demote(&daemon_a);
    b.promote();
    until_led(&daemon_b, 1);
    assert_eq!(read(RECORD, "A"), Some(hosts[1].address.clone()));
    let ownership = read(&ownership_name, "TXT").expect("it was made");
    assert!(ownership.starts_with("\"mirrorvip1 owner=db2 term=2 epoch=2 "), "{ownership}");

    // moto takes a value that was there before for one that is there: to the daemon a swap that it lost.
    b.demote(&daemon_b);
    a.promote();
    let lost = eventually("the refusal", || {
        let error = daemon_a.target()["last_error"].clone();
        (error["action"] == "ChangeResourceRecordSets").then_some(error)
    });
    assert_eq!((&lost["class"], &lost["code"]), (&json!("observe"), &json!("InvalidChangeBatch")), "{lost}");
    assert_eq!(read(RECORD, "A"), Some(hosts[1].address.clone()), "it was not written");
}

#[test]
fn a_record_that_is_overwritten_follows_there_and_back() {
    let mut stage = Stage::build();
    let zone = zone(&mut stage.administrator);
    let hosts = stage.hosts.clone();
    let [a, b] = stage.members(|host| record_table(&zone, &host.address, "upsert"));
    let [daemon_a, daemon_b] = [a.start(), b.start()];
    let mut read = |record_type: &str| value(&mut stage.administrator, &zone, RECORD, record_type);
    a.promote();
    until_led(&daemon_a, 1);
    assert_eq!(read("A"), Some(hosts[0].address.clone()));
    a.demote(&daemon_a);
    b.promote();
    until_led(&daemon_b, 1);
    assert_eq!(read("A"), Some(hosts[1].address.clone()));
    b.demote(&daemon_b);
    a.promote();
    until_led(&daemon_a, 2);
    assert_eq!(read("A"), Some(hosts[0].address.clone()));
}

#[test]
fn a_route_is_made_and_replaced_in_every_table() {
    let mut stage = Stage::build();
    let (hosts, network) = (stage.hosts.clone(), stage.network.clone());
    let tables = [0, 1].map(|_| {
        let table = stage.administrator.ok("ec2", "create_route_table", &json!({ "VpcId": network }));
        text(&table, "/RouteTable/RouteTableId")
    });
    let [a, b] = stage.members(|host| {
        format!(
            "\n[[mirror.route]]\nroute_tables = {tables:?}\ndestination = '{OVERLAY}'\ntarget = '{}'\n\
             region = 'eu-west-1'\n",
            host.network_interface
        )
    });
    stage.check_signatures();
    let mut hops = || {
        let described = json!({ "RouteTableIds": tables });
        let described = stage.administrator.ok("ec2", "describe_route_tables", &described);
        let tables = described["RouteTables"].as_array().expect("a list").clone();
        let routes = tables.into_iter().filter_map(|table| {
            let routes = table["Routes"].as_array()?;
            let route = routes.iter().find(|route| route["DestinationCidrBlock"] == OVERLAY)?;
            Some(text(route, "/NetworkInterfaceId"))
        });
        routes.collect::<Vec<_>>()
    };
    assert!(hops().is_empty());
    let [daemon_a, daemon_b] = [a.start(), b.start()];
    a.promote();
    until_led(&daemon_a, 1);
    assert_eq!(hops(), [&*hosts[0].network_interface; 2]);

    a.demote(&daemon_a);
    b.promote();
    until_led(&daemon_b, 1);
    assert_eq!(hops(), [&*hosts[1].network_interface; 2]);

    b.demote(&daemon_b);
    a.promote();
    until_led(&daemon_a, 2);
    assert_eq!(hops(), [&*hosts[0].network_interface; 2]);
}

#[test]
fn every_member_publishes_its_verdict() {
    let mut stage = Stage::build();
    let [a, b] = stage.members(|host| {
        format!(
            "\n[[mirror.cloudwatch]]\nmember = '{}'\nregion = 'eu-west-1'\ninterval = '5s'\n",
            host.instance
        )
    });
    stage.check_signatures();
    a.promote();
    let daemons = [a.start(), b.start()];
    let hosts = stage.hosts.clone();
    // A daemon that starts publishes a 0 before the first answer of the instance: the largest value counts.
    for (host, expected) in hosts.iter().zip([1.0, 0.0]) {
        let query = json!({
            "Namespace": "mirrorvip", "MetricName": "Primary", "Statistics": ["Maximum"], "Period": 3600,
            "Dimensions": [{ "Name": "Mirror", "Value": "PROD" }, { "Name": "Member", "Value": host.instance }],
            "StartTime": "2020-01-01T00:00:00Z", "EndTime": "2120-01-01T00:00:00Z",
        });
        eventually("the metric", || {
            let statistics = stage.administrator.ok("cloudwatch", "get_metric_statistics", &query);
            let points = statistics["Datapoints"].as_array().expect("a list");
            points.iter().any(|point| point["Maximum"] == expected)
        });
    }
    for daemon in &daemons {
        let target = daemon.target();
        assert_eq!(
            (&target["state"], &target["last_error"]),
            (&json!("fulfilled"), &Value::Null),
            "{target:#}"
        );
    }
}
