//! The Terraform example: a cloud with exactly its settings, in which `mirrorvip check` finds nothing wrong, and its
//! rights, which are those that `mirrorvip iam-policy` prints.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::aws::{Endpoint, Reply, Request};
use super::cloud::{ARN, action, answer, run, text};
use crate::support::python::{program, script};

/// The table from the example's output, on one of its members.
const TARGETS: &str = "[[mirror.elbv2]]\n\
    target_group_arn = \"arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/iris/0123456789abcdef\"\n\
    port = 1972\ntarget_id = \"i-0123456789abcdef0\"\n";

/// What the example says.
fn example() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/terraform/main.tf");
    let output = std::process::Command::new(program("python")).arg(script("terraform.py")).arg(file).output();
    let output = output.expect("Python starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

/// A setting as the API reports it.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The answers of the cloud in which the example was applied to two zones, with both members registered.
fn applied(example: &Value, request: &Request) -> Reply {
    let group = &example["aws_lb_target_group.iris"];
    let check = &group["health_check"][0];
    let balancer = &example["aws_lb.iris"];
    let of = |value: &Value| shown(value);
    let attribute =
        |key: &str, value: &Value| format!("<member><Key>{key}</Key><Value>{}</Value></member>", of(value));
    let wrapped = |inner: String| {
        let action = action(request);
        Reply::ok(format!("<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>"))
    };
    let version2 = request.parameter("Version") == Some("2015-12-01");
    match action(request).as_str() {
        "DescribeTargetGroups" => wrapped(format!(
            "<TargetGroups><member><TargetGroupArn>{ARN}</TargetGroupArn><Protocol>{}</Protocol><Port>{}</Port>\
             <TargetType>{}</TargetType><HealthCheckEnabled>true</HealthCheckEnabled>\
             <HealthCheckProtocol>{}</HealthCheckProtocol><HealthCheckPort>{}</HealthCheckPort>\
             <HealthCheckPath>{}</HealthCheckPath><Matcher><HttpCode>{}</HttpCode></Matcher>\
             <HealthCheckIntervalSeconds>{}</HealthCheckIntervalSeconds>\
             <HealthCheckTimeoutSeconds>{}</HealthCheckTimeoutSeconds>\
             <HealthyThresholdCount>{}</HealthyThresholdCount><UnhealthyThresholdCount>{}</UnhealthyThresholdCount>\
             <LoadBalancerArns><member>arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/iris/1\
             </member></LoadBalancerArns></member></TargetGroups>",
            of(&group["protocol"]),
            of(&group["port"]),
            of(&group["target_type"]),
            of(&check["protocol"]),
            of(&check["port"]),
            of(&check["path"]),
            of(&check["matcher"]),
            of(&check["interval"]),
            of(&check["timeout"]),
            of(&check["healthy_threshold"]),
            of(&check["unhealthy_threshold"]),
        )),
        "DescribeTargetGroupAttributes" => wrapped(format!(
            "<Attributes>{}{}{}</Attributes>",
            attribute("deregistration_delay.timeout_seconds", &group["deregistration_delay"]),
            attribute("deregistration_delay.connection_termination.enabled", &group["connection_termination"]),
            attribute(
                "target_health_state.unhealthy.connection_termination.enabled",
                &group["target_health_state"][0]["enable_unhealthy_connection_termination"]
            ),
        )),
        "DescribeTargetHealth" => {
            let member = |(id, state): (&str, &str)| {
                format!(
                    "<member><Target><Id>{id}</Id><Port>1972</Port></Target><TargetHealth><State>{state}</State>\
                     </TargetHealth></member>"
                )
            };
            let members = [("i-0123456789abcdef0", "healthy"), ("i-0123456789abcdef1", "unhealthy")];
            let members = members.map(member).concat();
            wrapped(format!("<TargetHealthDescriptions>{members}</TargetHealthDescriptions>"))
        }
        "DescribeLoadBalancers" if version2 => wrapped(
            "<LoadBalancers><member><LoadBalancerArn>arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/\
             iris/1</LoadBalancerArn><LoadBalancerName>iris</LoadBalancerName><AvailabilityZones><member/><member/>\
             </AvailabilityZones></member></LoadBalancers>"
                .to_owned(),
        ),
        "DescribeLoadBalancerAttributes" if version2 => wrapped(format!(
            "<Attributes>{}</Attributes>",
            attribute("load_balancing.cross_zone.enabled", &balancer["enable_cross_zone_load_balancing"])
        )),
        _ => answer(request),
    }
}

#[tokio::test]
async fn check_finds_nothing_wrong_with_the_example() {
    let example = example();
    let endpoint = Endpoint::start(move |request: &Request| applied(&example, request)).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    // The health listener's port is the one that the group asks.
    let output = run(&endpoint, directory.path(), TARGETS, &["check", "--json"]).await;
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = document["findings"].as_array().expect("findings");
    let ours: Vec<_> =
        findings.iter().filter(|finding| shown(&finding["subject"]).contains("elbv2")).collect();
    assert!(ours.len() >= 2, "{document:#}");
    for finding in &ours {
        assert_eq!(finding["severity"], "good", "{finding:#}");
    }
    let asked = ours
        .iter()
        .any(|finding| shown(&finding["message"]).contains("asks for this mirror's page every 5s"));
    assert!(asked, "{ours:#?}");
    assert_eq!(
        document["recoveries"][0]["at_most_seconds"], 19.0,
        "role seen within 4 s, then two checks: {document:#}"
    );
}

#[tokio::test]
async fn the_rights_of_the_example_are_those_that_are_needed() {
    let example = example();
    let endpoint = Endpoint::start(answer).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let printed = run(&endpoint, directory.path(), TARGETS, &["iam-policy"]).await;
    let policy: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    let needed: BTreeSet<(String, String, bool)> = rights(&policy["Statement"], "Sid", "Action", "Resource");
    let statements = &example["aws_iam_policy_document.mirrorvip"]["statement"];
    assert_eq!(rights(statements, "sid", "actions", "resources"), needed);
}

/// Statement, action, and whether it is narrowed to some resource.
fn rights(statements: &Value, sid: &str, actions: &str, resources: &str) -> BTreeSet<(String, String, bool)> {
    let statements = statements.as_array().expect("a policy has statements");
    let of = |statement: &Value| {
        let narrowed = statement[resources] != serde_json::json!(["*"]);
        let sid = shown(&statement[sid]);
        let actions = statement[actions].as_array().expect("a statement has actions").clone();
        actions.into_iter().map(move |action| (sid.clone(), shown(&action), narrowed)).collect::<Vec<_>>()
    };
    statements.iter().flat_map(of).collect()
}
