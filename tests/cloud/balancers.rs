//! boto3 and the AWS command line with load balancers: targets from registering to gone, as real processes.

use mirrorvip::simulation::cloud::{ClassicBalancer, Health, HealthCheck, Target, TargetGroup};
use serde_json::{Value, json};

use super::harness::{Boto3, Page, aws, eventually, fast_cloud};

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
        state(boto3, arn, id).is_some_and(|(state, _)| state == expected)
    });
}

#[test]
fn boto3_takes_a_target_from_registering_to_gone() {
    let cloud = fast_cloud();
    let arn = cloud.create_target_group(TargetGroup::network("iris"));
    let (a, b) = (Page::start(true), Page::start(false));
    cloud.place("a", 8080, a.address());
    cloud.place("b", 8080, b.address());
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
    eventually("the target is gone", || state(&mut boto3, &arn, "10.0.1.11").is_none());
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
fn an_address_outside_the_network_needs_all_zones() {
    let cloud = fast_cloud();
    let arn = cloud.create_target_group(TargetGroup::network("iris"));
    let mut boto3 = Boto3::start(cloud.environment("a"));
    let mut target = json!({ "Id": "192.168.1.1", "Port": 1972 });
    let register = |target: &Value| json!({ "TargetGroupArn": arn, "Targets": [target] });
    assert_eq!(boto3.call("elbv2", "register_targets", &register(&target))["error"], "InvalidTarget");
    target["AvailabilityZone"] = json!("all");
    boto3.ok("elbv2", "register_targets", &register(&target));
    assert_eq!(cloud.target_health(&arn).len(), 1);
}

#[test]
fn an_emptied_pool_is_noticed() {
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
    cloud.place("a", 8080, page.address());
    let aws = |arguments: &[&str]| aws(cloud.environment("a"), arguments);
    let target = ["--target-group-arn", &arn, "--targets", "Id=10.0.1.11,Port=1972"];
    aws(&[&["elbv2", "register-targets"], &target[..]].concat()).expect("it is registered");
    eventually("the target is healthy", || {
        let health =
            aws(&["elbv2", "describe-target-health", "--target-group-arn", &arn]).expect("an answer");
        health["TargetHealthDescriptions"][0]["TargetHealth"]["State"] == "healthy"
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
    cloud.place("a", 8080, page.address());
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
        health["InstanceStates"][0]["State"] == "InService"
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
