//! The policy, word for word, for each kind of target.

use serde_json::{Value, json};

use super::*;
use crate::provider::check::testing::config;

const IRIS: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/iris/0123456789abcdef";

/// The statements for a mirror with these tables.
fn statements(tables: &str) -> Vec<Value> {
    let Some(policy) = policy(&config("", tables)) else { return Vec::new() };
    let mut document = serde_json::to_value(policy).unwrap();
    assert_eq!(document["Version"], "2012-10-17");
    assert_eq!(document.as_object().unwrap().len(), 2);
    let Value::Array(statements) = document["Statement"].take() else { panic!("{document}") };
    let mut sids: Vec<_> = statements.iter().map(|statement| statement["Sid"].as_str().unwrap()).collect();
    sids.sort_unstable();
    sids.dedup();
    assert_eq!(sids.len(), statements.len(), "statement ids are unique");
    for sid in sids {
        assert!(sid.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{sid}");
    }
    statements
}

#[expect(clippy::needless_pass_by_value, reason = "`json!` makes values, and each is used once")]
fn allow(sid: &str, action: Value, resource: Value) -> Value {
    json!({ "Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource })
}

fn read_target_groups() -> Value {
    allow(
        "ReadTargetGroups",
        json!([
            "elasticloadbalancing:DescribeTargetGroups",
            "elasticloadbalancing:DescribeTargetGroupAttributes",
            "elasticloadbalancing:DescribeTargetHealth",
            "elasticloadbalancing:DescribeLoadBalancers",
            "elasticloadbalancing:DescribeLoadBalancerAttributes",
        ]),
        json!(["*"]),
    )
}

#[test]
fn a_configuration_without_targets_needs_no_rights() {
    assert_eq!(statements(""), [] as [Value; 0]);
    assert_eq!(statements("[[mirror.hook]]\ncommand = ['tell']\n"), [] as [Value; 0]);
}

#[test]
fn a_pool_of_all_members_is_never_deregistered_from() {
    assert_eq!(
        statements(&format!("[[mirror.elbv2]]\ntarget_group_arn = '{IRIS}'\nport = 1972\n")),
        [
            read_target_groups(),
            allow("RegisterTargets", json!(["elasticloadbalancing:RegisterTargets"]), json!([IRIS])),
        ]
    );
}

#[test]
fn only_the_pool_of_the_primary_is_deregistered_from() {
    let single = IRIS.replace("iris", "single");
    let tables = format!(
        "[[mirror.elbv2]]\ntarget_group_arn = '{IRIS}'\nport = 1972\n\
         [[mirror.elbv2]]\ntarget_group_arn = '{IRIS}'\nport = 1973\n\
         [[mirror.elbv2]]\ntarget_group_arn = '{single}'\nport = 1972\npool = 'primary-only'\n\
         owned_targets = ['10.0.1.12']\n"
    );
    assert_eq!(
        statements(&tables),
        [
            read_target_groups(),
            allow("RegisterTargets", json!(["elasticloadbalancing:RegisterTargets"]), json!([IRIS, single])),
            allow("DeregisterTargets", json!(["elasticloadbalancing:DeregisterTargets"]), json!([single])),
        ]
    );
}

#[test]
fn a_classic_load_balancer() {
    let read = allow(
        "ReadClassicLoadBalancers",
        json!([
            "elasticloadbalancing:DescribeInstanceHealth",
            "elasticloadbalancing:DescribeLoadBalancerAttributes",
            "elasticloadbalancing:DescribeLoadBalancers",
        ]),
        json!(["*"]),
    );
    let register = |arn: &str| {
        let action = json!(["elasticloadbalancing:RegisterInstancesWithLoadBalancer"]);
        allow("RegisterInstances", action, json!([arn]))
    };
    assert_eq!(
        statements("[[mirror.classic_elb]]\nload_balancer = 'iris'\n"),
        [read.clone(), register("arn:aws:elasticloadbalancing:*:*:loadbalancer/iris")]
    );
    let arn = "arn:aws-cn:elasticloadbalancing:cn-north-1:*:loadbalancer/iris";
    assert_eq!(
        statements(
            "[[mirror.classic_elb]]\nload_balancer = 'iris'\nregion = 'cn-north-1'\npool = 'primary-only'\n\
             owned_instances = ['i-0123456789abcdef0']\n"
        ),
        [
            read,
            register(arn),
            allow(
                "DeregisterInstances",
                json!(["elasticloadbalancing:DeregisterInstancesFromLoadBalancer"]),
                json!([arn])
            ),
        ]
    );
}

fn change(sid: &str, zone: &str, names: &[&str], types: &[&str], actions: &[&str]) -> Value {
    let mut statement = allow(
        sid,
        json!(["route53:ChangeResourceRecordSets"]),
        json!([format!("arn:aws:route53:::hostedzone/{zone}")]),
    );
    statement["Condition"] = json!({
        "ForAllValues:StringEquals": {
            "route53:ChangeResourceRecordSetsNormalizedRecordNames": names,
            "route53:ChangeResourceRecordSetsRecordTypes": types,
            "route53:ChangeResourceRecordSetsActions": actions,
        }
    });
    statement
}

#[test]
fn a_record_is_bound_to_its_name_type_and_way_of_writing() {
    let tables = "[[mirror.route53]]\nhosted_zone_id = 'Z1'\nrecord = 'db.example.internal'\ntype = 'A'\n\
                  [[mirror.route53]]\nhosted_zone_id = 'Z1'\nrecord = 'app.example.internal'\ntype = 'CNAME'\n\
                  value = 'a.example.internal'\nwrite = 'upsert'\n";
    assert_eq!(
        statements(tables),
        [
            allow(
                "ReadRecords",
                json!(["route53:ListResourceRecordSets"]),
                json!(["arn:aws:route53:::hostedzone/Z1"])
            ),
            allow("FollowChanges", json!(["route53:GetChange"]), json!(["arn:aws:route53:::change/*"])),
            change(
                "ChangeRecord1",
                "Z1",
                &["db.example.internal", "_mirrorvip.db.example.internal"],
                &["A", "TXT"],
                &["CREATE", "DELETE"]
            ),
            change("ChangeRecord2", "Z1", &["app.example.internal"], &["CNAME"], &["UPSERT"]),
        ]
    );
}

#[test]
fn an_upsert_needs_permission() {
    let tables = "[[mirror.route53]]\nhosted_zone_id = 'Z1'\nrecord = 'db.example.internal'\ntype = 'A'\n";
    assert!(!json!(statements(tables)).to_string().contains("UPSERT"));
}

#[test]
fn routes_and_metrics() {
    let tables = "[[mirror.route]]\nroute_tables = ['rtb-01234567', 'rtb-01234568']\ndestination = '192.168.99.1'\n\
                  region = 'eu-west-1'\n\
                  [[mirror.cloudwatch]]\n[[mirror.cloudwatch]]\nmetric = 'Other'\nnamespace = 'Mirrors'\n";
    let mut publish = allow("PublishMetric", json!(["cloudwatch:PutMetricData"]), json!(["*"]));
    publish["Condition"] = json!({ "StringEquals": { "cloudwatch:namespace": ["mirrorvip", "Mirrors"] } });
    assert_eq!(
        statements(tables),
        [
            allow(
                "ReadRoutes",
                json!(["ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables"]),
                json!(["*"])
            ),
            allow(
                "ChangeRoutes",
                json!(["ec2:CreateRoute", "ec2:ReplaceRoute"]),
                json!([
                    "arn:aws:ec2:eu-west-1:*:route-table/rtb-01234567",
                    "arn:aws:ec2:eu-west-1:*:route-table/rtb-01234568",
                ])
            ),
            publish,
        ]
    );
}

#[test]
fn the_partition_is_that_of_the_arns() {
    let govcloud = IRIS.replace("arn:aws:", "arn:aws-us-gov:").replace("eu-west-1", "us-gov-west-1");
    let tables = format!(
        "[[mirror.elbv2]]\ntarget_group_arn = '{govcloud}'\nport = 1972\n\
         [[mirror.route53]]\nhosted_zone_id = 'Z1'\nrecord = 'db.example.internal'\ntype = 'A'\n"
    );
    let records = &statements(&tables)[2];
    assert_eq!(records["Resource"], json!(["arn:aws-us-gov:route53:::hostedzone/Z1"]));
}
