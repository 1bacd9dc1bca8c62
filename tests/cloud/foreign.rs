//! boto3 and the AWS command line through the life of every object, as real processes.

use std::time::Duration;

use mirrorvip::simulation::cloud::{
    ClassicBalancer, Effect, Fault, Health, HealthCheck, Service, Settings, SimulatedCloud, Target,
    TargetGroup,
};
use serde_json::{Value, json};

use crate::harness::{Boto3, Page, aws, eventually, fast_cloud};

/// State and reason of the target of this id, as boto3 sees them.
fn state(boto3: &mut Boto3, arn: &str, id: &str) -> Option<(String, String)> {
    let health = boto3.ok("elbv2", "describe_target_health", &json!({ "TargetGroupArn": arn }));
    let described = health["TargetHealthDescriptions"].as_array()?.clone();
    let found = described.into_iter().find(|described| described["Target"]["Id"] == id)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some((text(&found["TargetHealth"]["State"]), text(&found["TargetHealth"]["Reason"])))
}

fn wait_for_state(boto3: &mut Boto3, arn: &str, id: &str, expected: &str) {
    eventually(&format!("{id} {expected}"), || {
        state(boto3, arn, id).is_some_and(|(state, _)| state == expected).then_some(())
    });
}

#[test]
fn boto3_takes_a_target_from_registering_to_gone() {
    let cloud = fast_cloud();
    let arn = cloud.create_target_group(TargetGroup::network("iris"));
    let (a, b) = (Page::start(true), Page::start(false));
    cloud.place("a", 8080, a.address);
    cloud.place("b", 8080, b.address);
    let mut boto3 = Boto3::start(cloud.environment("a"));

    let groups = boto3.ok("elbv2", "describe_target_groups", &json!({ "TargetGroupArns": [arn] }));
    let group = &groups["TargetGroups"][0];
    assert_eq!(group["HealthCheckPath"], "/csp/bin/mirrorstatus.cxw");
    assert_eq!((&group["Protocol"], &group["TargetType"]), (&json!("TCP"), &json!("ip")));

    let both = json!([{ "Id": "10.0.1.11", "Port": 1972 }, { "Id": "10.0.1.12", "Port": 1972 }]);
    boto3.ok("elbv2", "register_targets", &json!({ "TargetGroupArn": arn, "Targets": both }));
    let initial = state(&mut boto3, &arn, "10.0.1.11").expect("it is registered");
    assert!(["initial", "healthy"].contains(&initial.0.as_str()), "{initial:?}");
    wait_for_state(&mut boto3, &arn, "10.0.1.11", "healthy");
    wait_for_state(&mut boto3, &arn, "10.0.1.12", "unhealthy");
    let why = state(&mut boto3, &arn, "10.0.1.12").expect("it is registered").1;
    assert_eq!(why, "Target.ResponseCodeMismatch");
    assert_eq!(cloud.forwards_to(&arn).0, [Target { id: "10.0.1.11".to_owned(), port: 1972 }]);

    // The roles change: the page alone moves the traffic.
    a.say(false);
    b.say(true);
    wait_for_state(&mut boto3, &arn, "10.0.1.12", "healthy");
    wait_for_state(&mut boto3, &arn, "10.0.1.11", "unhealthy");
    assert_eq!(cloud.forwards_to(&arn).0, [Target { id: "10.0.1.12".to_owned(), port: 1972 }]);
    b.say(false);
    wait_for_state(&mut boto3, &arn, "10.0.1.12", "unhealthy");
    let (open, fails_open) = cloud.forwards_to(&arn);
    assert!(fails_open && open.len() == 2, "without a healthy target all get traffic: {open:?}");

    // Without a port nothing is done; with it the target drains and is gone.
    boto3.ok(
        "elbv2",
        "deregister_targets",
        &json!({ "TargetGroupArn": arn, "Targets": [{ "Id": "10.0.1.11" }] }),
    );
    assert_eq!(state(&mut boto3, &arn, "10.0.1.11").expect("still registered").0, "unhealthy");
    let one = json!({ "TargetGroupArn": arn, "Targets": [{ "Id": "10.0.1.11", "Port": 1972 }] });
    boto3.ok("elbv2", "deregister_targets", &one);
    let drains = state(&mut boto3, &arn, "10.0.1.11");
    assert!(drains.as_ref().is_none_or(|(state, _)| state == "draining"), "{drains:?}");
    boto3.ok("elbv2", "register_targets", &one);
    assert_ne!(state(&mut boto3, &arn, "10.0.1.11").expect("it is registered").0, "draining");
    boto3.ok("elbv2", "deregister_targets", &one);
    eventually("the target is gone", || state(&mut boto3, &arn, "10.0.1.11").is_none().then_some(()));
    boto3.ok("elbv2", "deregister_targets", &one);
    let asked = boto3.ok("elbv2", "describe_target_health", &one);
    assert_eq!(asked["TargetHealthDescriptions"][0]["TargetHealth"]["Reason"], "Target.NotRegistered");

    let mutations = cloud.mutations();
    let moved = mutations.iter().filter(|mutation| mutation.moved_traffic()).count();
    assert_eq!((mutations.len(), moved), (6, 4), "{mutations:#?}");
    assert!(mutations.iter().all(|mutation| mutation.member == "a" && mutation.object == arn));
    assert_eq!(mutations[0].after, ["10.0.1.11:1972", "10.0.1.12:1972"]);
    assert!(cloud.violations().is_empty());
}

#[test]
fn whoever_empties_a_pool_is_noticed() {
    let cloud = fast_cloud();
    let arn = cloud.create_target_group(TargetGroup::network("iris"));
    cloud.know_primary(|| Some("b".to_owned()));
    cloud.register(&arn, Target { id: "10.0.1.11".to_owned(), port: 1972 });
    let target = "Id=10.0.1.11,Port=1972";
    aws(
        cloud.environment("a"),
        &["elbv2", "deregister-targets", "--target-group-arn", &arn, "--targets", target],
    )
    .expect("nothing forbids it");
    assert_eq!(cloud.violations(), [format!("a left {arn} empty, change 1: DeregisterTargets")]);
    let mutation = cloud.mutations().remove(0);
    assert_eq!((mutation.member.as_str(), mutation.primary.as_deref()), ("a", Some("b")));
}

#[test]
fn the_command_line_registers_describes_and_deregisters() {
    let cloud = fast_cloud();
    let arn = cloud.create_target_group(TargetGroup::network("iris"));
    let page = Page::start(true);
    cloud.place("a", 8080, page.address);
    let aws = |arguments: &[&str]| aws(cloud.environment("a"), arguments);
    let target = ["--target-group-arn", &arn, "--targets", "Id=10.0.1.11,Port=1972"];
    aws(&[&["elbv2", "register-targets"], &target[..]].concat()).expect("it is registered");
    eventually("the target is healthy", || {
        let health =
            aws(&["elbv2", "describe-target-health", "--target-group-arn", &arn]).expect("an answer");
        (health["TargetHealthDescriptions"][0]["TargetHealth"]["State"] == "healthy").then_some(())
    });
    let balancers = aws(&["elbv2", "describe-load-balancers"]).expect("an answer");
    let balancer = balancers["LoadBalancers"][0]["LoadBalancerArn"].as_str().expect("it has one").to_owned();
    let of_balancer = ["--load-balancer-arn", &balancer];
    let attributes = aws(&[&["elbv2", "describe-load-balancer-attributes"], &of_balancer[..]].concat());
    let attributes = attributes.expect("an answer")["Attributes"].to_string();
    assert!(attributes.contains(r#"{"Key":"load_balancing.cross_zone.enabled","Value":"false"}"#));
    let listeners = aws(&[&["elbv2", "describe-listeners"], &of_balancer[..]].concat()).expect("an answer");
    assert_eq!(listeners["Listeners"][0]["DefaultActions"][0]["TargetGroupArn"], arn.as_str());
    let attributes = ["elbv2", "describe-target-group-attributes", "--target-group-arn", &arn];
    let attributes = aws(&attributes).expect("an answer")["Attributes"].to_string();
    assert!(attributes.contains(r#"{"Key":"deregistration_delay.timeout_seconds","Value":"300"}"#));
    aws(&[&["elbv2", "deregister-targets"], &target[..]].concat()).expect("it is deregistered");
    assert!(cloud.target_health(&arn).iter().all(|target| target.health == Health::Draining));
    let absent = aws(&["elbv2", "describe-target-health", "--target-group-arn", &format!("{arn}0")]);
    assert!(absent.expect_err("there is no such group").contains("(TargetGroupNotFound)"));
}

#[test]
fn a_classic_load_balancer_works_by_instance_id() {
    let cloud = fast_cloud();
    let page = Page::start(true);
    cloud.place("a", 8080, page.address);
    let health_check = HealthCheck::default();
    let name = "iris".to_owned();
    cloud.create_classic_balancer(ClassicBalancer {
        name,
        port: 1972,
        health_check,
        cross_zone: true,
        draining: 0,
    });
    let mut boto3 = Boto3::start(cloud.environment("a"));
    let a = cloud.settings().members[0].instance_id.clone();
    let b = cloud.settings().members[1].instance_id.clone();
    let one = json!({ "LoadBalancerName": "iris", "Instances": [{ "InstanceId": a }] });
    let registered = boto3.ok("elb", "register_instances_with_load_balancer", &one);
    assert_eq!(registered["Instances"], json!([{ "InstanceId": a }]));
    eventually("the instance is in service", || {
        let health = boto3.ok("elb", "describe_instance_health", &json!({ "LoadBalancerName": "iris" }));
        (health["InstanceStates"][0]["State"] == "InService").then_some(())
    });
    let other = json!({ "LoadBalancerName": "iris", "Instances": [{ "InstanceId": b }] });
    let health = boto3.ok("elb", "describe_instance_health", &other);
    let description = &health["InstanceStates"][0]["Description"];
    assert_eq!(description, "Instance is not currently registered with the LoadBalancer.");
    let described = boto3.ok("elb", "describe_load_balancers", &json!({ "LoadBalancerNames": ["iris"] }));
    let described = &described["LoadBalancerDescriptions"][0];
    assert_eq!(described["HealthCheck"]["Target"], "HTTP:8080/csp/bin/mirrorstatus.cxw");
    assert_eq!(described["Instances"], json!([{ "InstanceId": a }]));
    let attributes = json!({ "LoadBalancerName": "iris" });
    let attributes = boto3.ok("elb", "describe_load_balancer_attributes", &attributes);
    assert_eq!(attributes["LoadBalancerAttributes"]["CrossZoneLoadBalancing"]["Enabled"], true);
    boto3.ok("elb", "deregister_instances_from_load_balancer", &other);
    let left = boto3.ok("elb", "deregister_instances_from_load_balancer", &one);
    assert_eq!(left["Instances"], json!([]));
    let unknown = json!({ "LoadBalancerName": "iris", "Instances": [{ "InstanceId": "i-0" }] });
    let refused = boto3.call("elb", "register_instances_with_load_balancer", &unknown);
    assert_eq!(refused["error"], "InvalidInstance");
    let refused = boto3.call("elb", "describe_instance_health", &json!({ "LoadBalancerName": "none" }));
    assert_eq!(refused["error"], "LoadBalancerNotFound");
}

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
    let lost = swap("10.0.1.11", "10.0.1.13").expect_err("somebody was faster");
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
fn a_metric_arrives_in_either_encoding() {
    let cloud = fast_cloud();
    let mut boto3 = Boto3::start(cloud.environment("a"));
    let data = json!({ "Namespace": "mirrorvip", "MetricData": [
        { "MetricName": "Primary", "Dimensions": [{ "Name": "Member", "Value": "a" }], "Value": 1.0 }
    ] });
    boto3.ok("cloudwatch", "put_metric_data", &data);
    let metric =
        ["--namespace", "mirrorvip", "--metric-name", "Primary", "--dimensions", "Member=b", "--value", "0"];
    aws(cloud.environment("b"), &[&["cloudwatch", "put-metric-data"], &metric[..]].concat())
        .expect("it is taken");
    let metrics = cloud.metrics();
    let seen: Vec<_> = metrics.iter().map(|datum| (datum.member.as_str(), datum.value)).collect();
    assert_eq!(seen, [("a", 1.0), ("b", 0.0)]);
    assert!(metrics.iter().all(|datum| datum.dimensions.get("Member") == Some(&datum.member)));
    cloud.fault(Fault::new(Effect::Throttle).on(Service::CloudWatch).times(3));
    assert_eq!(boto3.call("cloudwatch", "put_metric_data", &data)["error"], "Throttling");
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
fn who_has_the_wrong_key_or_region_is_refused() {
    let cloud = fast_cloud();
    let with = |key: &str, value: &str| {
        let mut environment = cloud.environment("a");
        environment.retain(|(name, _)| name != key);
        environment.push((key.to_owned(), value.to_owned()));
        environment
    };
    let describe = ["elbv2", "describe-target-groups"];
    let error = aws(with("AWS_ACCESS_KEY_ID", "AKIANOBODY"), &describe).expect_err("nobody's key");
    assert!(error.contains("(InvalidClientTokenId)"), "{error}");
    let error = aws(with("AWS_DEFAULT_REGION", "us-east-1"), &describe).expect_err("another region");
    assert!(error.contains("(SignatureDoesNotMatch)"), "{error}");
    let error = aws(cloud.environment("a"), &["elbv2", "describe-rules"]).expect_err("not simulated");
    assert!(error.contains("(InvalidAction)"), "{error}");
}
