//! Target groups and classic load balancers.

use serde_json::{Value, json};

use super::stage::{Host, Stage, text, until_led};
use crate::support::eventually;
use crate::support::python::Boto3;

/// A target group behind a network load balancer, and its ARN.
pub(crate) fn target_group(stage: &mut Stage) -> String {
    let (network, subnet) = (stage.network.clone(), stage.subnet.clone());
    let group = stage.administrator.ok(
        "elbv2",
        "create_target_group",
        &json!({ "Name": "iris", "Protocol": "TCP", "Port": 1972, "VpcId": network, "TargetType": "ip",
                 "HealthCheckProtocol": "HTTP", "HealthCheckPort": "8080",
                 "HealthCheckPath": "/csp/bin/mirror_status.cxw",
                 "HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 2,
                 "HealthyThresholdCount": 2, "UnhealthyThresholdCount": 2 }),
    );
    let arn = text(&group, "/TargetGroups/0/TargetGroupArn");
    let balancer = json!({ "Name": "iris", "Type": "network", "Subnets": [subnet] });
    let balancer = stage.administrator.ok("elbv2", "create_load_balancer", &balancer);
    stage.administrator.ok(
        "elbv2",
        "create_listener",
        &json!({ "LoadBalancerArn": text(&balancer, "/LoadBalancers/0/LoadBalancerArn"), "Protocol": "TCP",
                 "Port": 1972, "DefaultActions": [{ "Type": "forward", "TargetGroupArn": arn }] }),
    );
    arn
}

/// The table of a pool of its primary alone.
pub(crate) fn primary_only(arn: &str, host: &Host, hosts: &[Host]) -> String {
    let owned: Vec<_> = hosts.iter().map(|host| host.address.as_str()).collect();
    format!(
        "\n[[mirror.elbv2]]\ntarget_group_arn = '{arn}'\npool = 'primary-only'\nport = 1972\n\
         target_id = '{}'\nowned_targets = {owned:?}\n",
        host.address
    )
}

/// The registered targets, with the port, sorted.
fn registered(administrator: &mut Boto3, arn: &str) -> Vec<String> {
    let health = administrator.ok("elbv2", "describe_target_health", &json!({ "TargetGroupArn": arn }));
    let targets = health["TargetHealthDescriptions"].as_array().expect("a list");
    let target =
        |described: &Value| format!("{}:{}", text(described, "/Target/Id"), described["Target"]["Port"]);
    let mut targets: Vec<_> = targets.iter().map(target).collect();
    targets.sort();
    targets
}

/// Instances of the classic load balancer that are in service, sorted.
fn in_service(administrator: &mut Boto3) -> Vec<String> {
    let health = administrator.ok("elb", "describe_instance_health", &json!({ "LoadBalancerName": "iris" }));
    let states = health["InstanceStates"].as_array().expect("a list");
    let mut instances: Vec<_> = states.iter().map(|state| text(state, "/InstanceId")).collect();
    instances.sort();
    instances
}

#[test]
fn a_pool_of_the_primary_alone_follows_it_and_leaves_strangers() {
    let mut stage = Stage::build();
    let arn = target_group(&mut stage);
    let stranger = json!({ "TargetGroupArn": arn, "Targets": [{ "Id": "10.0.1.250", "Port": 1972 }] });
    stage.administrator.ok("elbv2", "register_targets", &stranger);
    let hosts = stage.hosts.clone();
    let [a, b] = stage.members(|host| primary_only(&arn, host, &hosts));
    stage.check_signatures();
    let [daemon_a, daemon_b] = [a.start(), b.start()];
    let mut expect = |host: &Host| {
        let mut expected = vec![format!("{}:1972", host.address), "10.0.1.250:1972".to_owned()];
        expected.sort();
        assert_eq!(registered(&mut stage.administrator, &arn), expected);
    };
    a.promote();
    until_led(&daemon_a, 1);
    expect(&hosts[0]);

    a.demote(&daemon_a);
    b.promote();
    until_led(&daemon_b, 1);
    expect(&hosts[1]);

    // Back again.
    b.demote(&daemon_b);
    a.promote();
    until_led(&daemon_a, 2);
    expect(&hosts[0]);
}

#[test]
fn every_member_of_a_pool_of_all_registers_itself() {
    let mut stage = Stage::build();
    let arn = target_group(&mut stage);
    let [a, b] = stage.members(|host| {
        format!(
            "\n[[mirror.elbv2]]\ntarget_group_arn = '{arn}'\npool = 'all-members'\nport = 1972\n\
             target_id = '{}'\n",
            host.address
        )
    });
    stage.check_signatures();
    let mut expected = stage.hosts.clone().map(|host| format!("{}:1972", host.address));
    expected.sort();
    let daemons = [a.start(), b.start()];
    for daemon in &daemons {
        eventually("the registration", || daemon.target()["state"] == "fulfilled");
    }
    assert_eq!(registered(&mut stage.administrator, &arn), expected);

    b.promote();
    until_led(&daemons[1], 1);
    assert_eq!(registered(&mut stage.administrator, &arn), expected, "no target is ever removed");
}

#[test]
fn a_classic_load_balancer_follows_the_primary() {
    let mut stage = Stage::build();
    let listener = json!({ "Protocol": "TCP", "LoadBalancerPort": 1972, "InstancePort": 1972 });
    let balancer = json!({ "LoadBalancerName": "iris", "Listeners": [listener], "Subnets": [stage.subnet] });
    stage.administrator.ok("elb", "create_load_balancer", &balancer);
    let owned = stage.hosts.clone().map(|host| host.instance);
    let [a, b] = stage.members(|host| {
        format!(
            "\n[[mirror.classic_elb]]\nload_balancer = 'iris'\nregion = 'eu-west-1'\npool = 'primary-only'\n\
             instance_id = '{}'\nowned_instances = {owned:?}\n",
            host.instance
        )
    });
    stage.check_signatures();
    let [daemon_a, daemon_b] = [a.start(), b.start()];
    a.promote();
    until_led(&daemon_a, 1);
    assert_eq!(in_service(&mut stage.administrator), [owned[0].as_str()]);

    a.demote(&daemon_a);
    b.promote();
    until_led(&daemon_b, 1);
    assert_eq!(in_service(&mut stage.administrator), [owned[1].as_str()]);
}
