//! boto3 and the AWS command line with records, routes, metrics and credentials, as real processes.

use std::time::Duration;

use mirrorvip::simulation::cloud::{Effect, Fault, Service, Settings, SimulatedCloud, TargetGroup};
use serde_json::{Value, json};

use super::harness::{Boto3, aws, eventually, fast_cloud};

fn change(action: &str, record_type: &str, name: &str, value: &str) -> Value {
    json!({ "Action": action, "ResourceRecordSet": {
        "Name": name, "Type": record_type, "TTL": 5, "ResourceRecords": [{ "Value": value }]
    } })
}

#[test]
fn of_two_swaps_of_a_record_the_second_is_lost() {
    let cloud = fast_cloud();
    let zone = cloud.create_zone("example.internal");
    let (name, txt) = ("db.example.internal", "_mirrorvip.db.example.internal");
    cloud.create_record(&zone, name, "A", 5, &["10.0.1.11"]);
    let mut boto3 = Boto3::start(cloud.environment("b"));
    let swap = |old: &str, new: &str, owner: &str| {
        json!({ "HostedZoneId": zone, "ChangeBatch": { "Changes": [
            change("DELETE", "A", name, old),
            change("CREATE", "A", name, new),
            change("UPSERT", "TXT", txt, owner),
        ] } })
    };
    let swapped =
        boto3.ok("route53", "change_resource_record_sets", &swap("10.0.1.11", "10.0.1.12", "\"b 2\""));
    let id = swapped["ChangeInfo"]["Id"].as_str().expect("a change has an id").to_owned();
    assert_eq!(swapped["ChangeInfo"]["Status"], "PENDING");
    let lost =
        boto3.call("route53", "change_resource_record_sets", &swap("10.0.1.11", "10.0.1.13", "\"c 2\""));
    assert_eq!(lost["error"], "InvalidChangeBatch");
    assert_eq!(
        lost["message"],
        "[Tried to delete resource record set [name='db.example.internal.', type='A'] but the values provided \
         do not match the current values]"
    );
    assert_eq!(cloud.record(&zone, name, "A").expect("it is there").values, ["10.0.1.12"]);
    assert_eq!(
        cloud.record(&zone, txt, "TXT").expect("it is there").values,
        ["\"b 2\""],
        "the batch is atomic"
    );
    let listed =
        json!({ "HostedZoneId": zone, "StartRecordName": name, "StartRecordType": "A", "MaxItems": "1" });
    let listed = boto3.ok("route53", "list_resource_record_sets", &listed);
    assert_eq!(listed["ResourceRecordSets"][0]["ResourceRecords"][0]["Value"], "10.0.1.12");
    assert_eq!((&listed["IsTruncated"], &listed["NextRecordType"]), (&json!(true), &json!("TXT")));
    eventually("the change is INSYNC", || {
        let resolved = cloud.resolve(&zone, name, "A").expect("it is there").values;
        let change = boto3.ok("route53", "get_change", &json!({ "Id": id }));
        if change["ChangeInfo"]["Status"] == "PENDING" {
            assert_eq!(resolved, ["10.0.1.11"], "resolvers see nothing of a change that is pending");
            return None;
        }
        Some(())
    });
    assert_eq!(cloud.resolve(&zone, name, "A").expect("it is there").values, ["10.0.1.12"]);
    let described = boto3.ok("route53", "get_hosted_zone", &json!({ "Id": zone }));
    assert_eq!(described["HostedZone"]["Name"], "example.internal.");
    let alias = json!({ "HostedZoneId": zone, "ChangeBatch": { "Changes": [{ "Action": "CREATE", "ResourceRecordSet": {
        "Name": "dr.example.internal", "Type": "A", "AliasTarget": {
            "HostedZoneId": "Z2IFOLAFXWLO4F", "DNSName": "iris-1.elb.eu-west-1.amazonaws.com",
            "EvaluateTargetHealth": true
        }
    } }] } });
    boto3.ok("route53", "change_resource_record_sets", &alias);
    let alias = cloud.record(&zone, "dr.example.internal", "A").and_then(|record| record.alias);
    assert!(alias.is_some_and(|alias| alias.evaluate_target_health));
    assert!(cloud.violations().is_empty());
}

#[test]
fn the_command_line_swaps_a_record_and_loses_a_swap() {
    let cloud = fast_cloud();
    let zone = cloud.create_zone("example.internal");
    cloud.create_record(&zone, "db.example.internal", "A", 5, &["10.0.1.11"]);
    let aws = |arguments: &[&str]| aws(cloud.environment("b"), arguments);
    let batch = |old: &str, new: &str| {
        let name = "db.example.internal";
        json!({ "Changes": [change("DELETE", "A", name, old), change("CREATE", "A", name, new)] }).to_string()
    };
    let swap = |old: &str, new: &str| {
        let batch = batch(old, new);
        aws(&["route53", "change-resource-record-sets", "--hosted-zone-id", &zone, "--change-batch", &batch])
    };
    let swapped = swap("10.0.1.11", "10.0.1.12").expect("it was read a moment ago");
    assert_eq!(swapped["ChangeInfo"]["Status"], "PENDING");
    let lost = swap("10.0.1.11", "10.0.1.13").expect_err("another client was faster");
    assert!(lost.contains("(InvalidChangeBatch)"), "{lost}");
    assert!(lost.contains("but the values provided do not match the current values]"), "{lost}");
    let listed =
        aws(&["route53", "list-resource-record-sets", "--hosted-zone-id", &zone]).expect("an answer");
    assert_eq!(listed["ResourceRecordSets"].as_array().map(Vec::len), Some(3));
    let unknown = aws(&["route53", "get-hosted-zone", "--id", "ZNONE"]).expect_err("there is no such zone");
    assert!(unknown.contains("(NoSuchHostedZone)"), "{unknown}");
}

#[test]
fn throttles_are_seen_by_the_clients_retries() {
    let cloud = fast_cloud();
    let arn = cloud.create_target_group(TargetGroup::network("iris"));
    let zone = cloud.create_zone("example.internal");
    let mut boto3 = Boto3::start(cloud.environment("a"));
    cloud.fault(Fault::new(Effect::Throttle).on(Service::Elbv2).times(2));
    let describe = json!({ "TargetGroupArn": arn });
    let outcome = boto3.call("elbv2", "describe_target_health", &describe);
    assert_eq!((outcome.get("ok").is_some(), &outcome["retries"]), (true, &json!(2)), "{outcome}");
    let throttled = cloud.calls().iter().filter(|call| call.error.as_deref() == Some("Throttling")).count();
    assert_eq!((throttled, cloud.faults_left()), (2, 0));
    cloud.fault(Fault::new(Effect::Throttle).times(3));
    let outcome = boto3.call("elbv2", "describe_target_health", &describe);
    assert_eq!((&outcome["error"], &outcome["message"]), (&json!("Throttling"), &json!("Rate exceeded")));

    // Each code is one that boto3 knows as passing.
    for (effect, service, method, parameters) in [
        (Effect::Throttle, "ec2", "describe_route_tables", json!({})),
        (Effect::Throttle, "sts", "get_caller_identity", json!({})),
        (Effect::ServerError(500), "elbv2", "describe_target_health", describe.clone()),
        (Effect::ServerError(502), "elbv2", "describe_target_health", describe.clone()),
        (Effect::ServerError(503), "route53", "get_hosted_zone", json!({ "Id": zone })),
        (Effect::PriorRequestNotComplete, "route53", "get_hosted_zone", json!({ "Id": zone })),
    ] {
        cloud.fault(Fault::new(effect).times(1));
        let outcome = boto3.call(service, method, &parameters);
        let expected = (true, &json!(1));
        assert_eq!(
            (outcome.get("ok").is_some(), &outcome["retries"]),
            expected,
            "{effect:?} {service}: {outcome}"
        );
    }
    // And these are not.
    for (effect, service, method, parameters, code) in [
        (Effect::AccessDenied, "elbv2", "describe_target_health", describe.clone(), "AccessDenied"),
        (Effect::AccessDenied, "ec2", "describe_route_tables", json!({}), "UnauthorizedOperation"),
        (Effect::ExpiredCredentials, "elbv2", "describe_target_health", describe, "ExpiredToken"),
    ] {
        cloud.fault(Fault::new(effect).times(1));
        let outcome = boto3.call(service, method, &parameters);
        assert_eq!((&outcome["error"], &outcome["retries"]), (&json!(code), &json!(0)), "{outcome}");
    }
}

#[test]
fn an_overlay_route_is_created_and_replaced() {
    let cloud = fast_cloud();
    let table = cloud.create_route_table();
    let mut boto3 = Boto3::start(cloud.environment("a"));
    let [a, b, _] = &cloud.settings().members[..] else {
        panic!("there are three members");
    };
    let to = |target: &str, id: &str| json!({ "RouteTableId": table, "DestinationCidrBlock": "192.168.10.10/32", target: id });
    let absent = boto3.call("ec2", "replace_route", &to("InstanceId", &a.instance_id));
    assert_eq!(absent["error"], "InvalidParameterValue");
    boto3.ok("ec2", "create_route", &to("InstanceId", &a.instance_id));
    let again = boto3.call("ec2", "create_route", &to("InstanceId", &a.instance_id));
    assert_eq!(again["error"], "RouteAlreadyExists");
    boto3.ok("ec2", "replace_route", &to("NetworkInterfaceId", &b.network_interface));
    let tables = boto3.ok("ec2", "describe_route_tables", &json!({ "RouteTableIds": [table] }));
    let routes = tables["RouteTables"][0]["Routes"].as_array().expect("a list");
    let route = routes.iter().find(|route| route["DestinationCidrBlock"] == "192.168.10.10/32");
    let route = route.expect("it was created");
    assert_eq!((&route["InstanceId"], &route["State"]), (&json!(b.instance_id), &json!("active")));
    assert_eq!(cloud.route(&table, "192.168.10.10/32").as_deref(), Some(b.network_interface.as_str()));
    let unknown = boto3.call("ec2", "describe_route_tables", &json!({ "RouteTableIds": ["rtb-0"] }));
    assert_eq!(unknown["error"], "InvalidRouteTableID.NotFound");
}

#[test]
fn network_interfaces_are_found_by_id_and_by_instance() {
    let cloud = fast_cloud();
    let mut boto3 = Boto3::start(cloud.environment("a"));
    let [a, b, _] = &cloud.settings().members[..] else {
        panic!("there are three members");
    };
    let of_instance = json!({ "Filters": [{ "Name": "attachment.instance-id", "Values": [b.instance_id] }] });
    for (asked, member) in [(json!({ "NetworkInterfaceIds": [a.network_interface] }), a), (of_instance, b)] {
        let found = boto3.ok("ec2", "describe_network_interfaces", &asked);
        let [interface] = found["NetworkInterfaces"].as_array().expect("a list").as_slice() else {
            panic!("{found}");
        };
        assert_eq!(interface["NetworkInterfaceId"], json!(member.network_interface));
        assert_eq!(interface["SourceDestCheck"], false);
    }
    let unknown = json!({ "NetworkInterfaceIds": ["eni-0"] });
    let unknown = boto3.call("ec2", "describe_network_interfaces", &unknown);
    assert_eq!(unknown["error"], "InvalidNetworkInterfaceID.NotFound");
}

#[test]
fn a_metric_of_each_member_arrives() {
    let cloud = fast_cloud();
    let mut boto3 = Boto3::start(cloud.environment("a"));
    let data = |member: &str, value: f64| {
        let dimensions = json!([{ "Name": "Member", "Value": member }]);
        let datum = json!({ "MetricName": "Primary", "Dimensions": dimensions, "Value": value });
        json!({ "Namespace": "mirrorvip", "MetricData": [datum] })
    };
    boto3.ok("cloudwatch", "put_metric_data", &data("a", 1.0));
    Boto3::start(cloud.environment("b")).ok("cloudwatch", "put_metric_data", &data("b", 0.0));
    let metrics = cloud.metrics();
    let seen: Vec<_> = metrics.iter().map(|datum| (datum.member.as_str(), datum.value)).collect();
    assert_eq!(seen, [("a", 1.0), ("b", 0.0)]);
    assert!(metrics.iter().all(|datum| datum.dimensions.get("Member") == Some(&datum.member)));
    cloud.fault(Fault::new(Effect::Throttle).on(Service::CloudWatch).times(3));
    assert_eq!(boto3.call("cloudwatch", "put_metric_data", &data("a", 1.0))["error"], "Throttling");
}

#[test]
fn credentials_come_from_the_instance_metadata_and_expire() {
    let cloud = fast_cloud();
    let mut boto3 = Boto3::start(cloud.role_environment("c"));
    let identity = boto3.ok("sts", "get_caller_identity", &json!({}));
    let instance_id = cloud.settings().members[2].instance_id.clone();
    let arn = format!("arn:aws:sts::123456789012:assumed-role/mirrorvip-c/{instance_id}");
    assert_eq!(identity["Arn"], arn);
    let paths: Vec<_> = cloud.calls().into_iter().filter(|call| call.service == Service::Metadata).collect();
    assert_eq!(paths[0].action, "/latest/api/token", "version 2: {paths:?}");

    // Expired before they are used: boto3 notices by itself that they must be renewed, and cannot.
    let settings = Settings { credentials: Duration::ZERO, ..Settings::default() };
    let cloud = SimulatedCloud::start(settings).expect("loopback ports are free");
    let outcome = Boto3::start(cloud.role_environment("c")).call("sts", "get_caller_identity", &json!({}));
    let code = outcome["error"].as_str().unwrap_or_default().to_owned();
    assert!(code == "ExpiredToken" || outcome.get("broken").is_some(), "{outcome}");
}

#[test]
fn a_wrong_key_or_region_is_refused() {
    let cloud = fast_cloud();
    let with = |key: &str, value: &str| {
        let mut environment = cloud.environment("a");
        environment.retain(|(name, _)| name != key);
        environment.push((key.to_owned(), value.to_owned()));
        environment
    };
    let describe = ["elbv2", "describe-target-groups"];
    let error = aws(with("AWS_ACCESS_KEY_ID", "AKIANOBODY"), &describe).expect_err("an unknown key");
    assert!(error.contains("(InvalidClientTokenId)"), "{error}");
    let error = aws(with("AWS_DEFAULT_REGION", "us-east-1"), &describe).expect_err("another region");
    assert!(error.contains("(SignatureDoesNotMatch)"), "{error}");
    let error = aws(cloud.environment("a"), &["elbv2", "describe-rules"]).expect_err("not simulated");
    assert!(error.contains("(InvalidAction)"), "{error}");
}
