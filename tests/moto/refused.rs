//! Wrong keys, missing rights, and the verbs that only read.

use serde_json::{Value, json};

use super::pools::{primary_only, target_group};
use super::stage::{Keys, Stage};
use crate::support::eventually;

/// A table of each kind whose reads moto checks, none of whose objects is there: a client without the right is refused first.
fn tables(stage: &mut Stage) -> String {
    let arn = target_group(stage);
    let (hosts, network) = (stage.hosts.clone(), stage.network.clone());
    let table = stage.administrator.ok("ec2", "create_route_table", &json!({ "VpcId": network }));
    let [a, b] = &hosts;
    format!(
        "{}\n[[mirror.classic_elb]]\nload_balancer = 'iris'\nregion = 'eu-west-1'\npool = 'primary-only'\n\
         instance_id = '{}'\nowned_instances = ['{}', '{}']\n\
         \n[[mirror.route]]\nroute_tables = [{}]\ndestination = '192.168.99.1/32'\ntarget = '{}'\n\
         region = 'eu-west-1'\n\
         \n[[mirror.cloudwatch]]\nmember = 'a'\nregion = 'eu-west-1'\n",
        primary_only(&arn, a, &hosts),
        a.instance,
        a.instance,
        b.instance,
        table["RouteTable"]["RouteTableId"],
        a.network_interface,
    )
}

#[test]
fn a_wrong_secret_is_refused_and_reported() {
    let mut stage = Stage::build();
    let tables = tables(&mut stage);
    let _ours = stage.members(|_| tables.clone());
    stage.check_signatures();
    let member = stage.member(&tables, &Keys { secret: "wrong-s3cret".into(), ..stage.keys() });
    member.promote();
    let daemon = member.start();
    daemon.wait_for_page(200);
    let error_of = |kind: &str| {
        eventually(&format!("an error of {kind}"), || {
            let mirror = daemon.mirror("PROD");
            let targets = mirror["steering"].as_array().expect("a list");
            let target =
                targets.iter().find(|target| target["target"].as_str().is_some_and(|t| t.starts_with(kind)));
            let error = target.expect("it is steered")["last_error"].clone();
            (!error.is_null()).then_some(error)
        })
    };
    for (kind, code) in [
        ("classic_elb", "SignatureDoesNotMatch"),
        ("route ", "AuthFailure"),
        ("cloudwatch", "SignatureDoesNotMatch"),
        ("elbv2", "SignatureDoesNotMatch"),
    ] {
        let error = error_of(kind);
        assert_eq!((&error["class"], &error["code"]), (&json!("stop"), &json!(code)), "{error:#}");
    }
    assert_eq!(daemon.page(), 200, "the page does not depend on the cloud");
    assert!(!daemon.log_text().contains("wrong-s3cret"));

    let check = member.run(&["check", "--json"]);
    let document: Value = serde_json::from_slice(&check.stdout).expect("JSON");
    let findings = document["findings"].as_array().expect("findings");
    let credentials =
        findings.iter().find(|finding| finding["subject"] == "AWS credentials").expect("judged");
    assert_eq!(credentials["severity"], "error");
    assert!(credentials["message"].as_str().is_some_and(|text| text.contains("SignatureDoesNotMatch")));
}

#[test]
fn a_missing_right_is_reported_and_the_others_are_used() {
    let mut stage = Stage::build();
    let tables = tables(&mut stage);
    // The policy of a configuration with the target group alone.
    let group_only = tables.split("\n[[mirror.classic_elb]]").next().expect("the first table").to_owned();
    let _ours = stage.members(|_| group_only.clone());
    stage.check_signatures();
    let member = stage.member(&tables, &stage.keys());
    let daemon = member.start();
    member.promote();
    let refused = eventually("the refusal of the route", || {
        let mirror = daemon.mirror("PROD");
        let route = mirror["steering"]
            .as_array()?
            .iter()
            .find(|target| target["target"] == "route 192.168.99.1/32")?;
        (!route["last_error"].is_null()).then(|| route["last_error"].clone())
    });
    assert_eq!(
        (&refused["class"], &refused["code"]),
        (&json!("stop"), &json!("AccessDenied")),
        "{refused:#}"
    );
    eventually("the target group", || daemon.target()["state"] == "fulfilled");
}

#[test]
fn check_and_plan_read_and_change_nothing() {
    let mut stage = Stage::build();
    let arn = target_group(&mut stage);
    let (hosts, network) = (stage.hosts.clone(), stage.network.clone());
    let table = stage.administrator.ok("ec2", "create_route_table", &json!({ "VpcId": network }));
    let table = table["RouteTable"]["RouteTableId"].as_str().expect("an id").to_owned();
    let [member, _] = stage.members(|host| {
        format!(
            "{}\n[[mirror.route]]\nroute_tables = ['{table}']\ndestination = '192.168.99.1/32'\n\
             target = '{}'\nregion = 'eu-west-1'\n",
            primary_only(&arn, host, &hosts),
            host.network_interface
        )
    });
    stage.check_signatures();

    let check =
        || -> Value { serde_json::from_slice(&member.run(&["check", "--json"]).stdout).expect("JSON") };
    let found = |document: &Value, severity: &str, words: &str| {
        let message = |finding: &Value| finding["message"].as_str().is_some_and(|text| text.contains(words));
        let findings = document["findings"].as_array().expect("findings");
        findings.iter().any(|finding| finding["severity"] == severity && message(finding))
    };
    let interface = &hosts[0].network_interface;
    let document = check();
    assert!(found(&document, "error", &format!("{interface} checks source and destination")), "{document:#}");
    let off = json!({ "NetworkInterfaceId": interface, "SourceDestCheck": { "Value": false } });
    stage.administrator.ok("ec2", "modify_network_interface_attribute", &off);

    let document = check();
    let has = |severity: &str, words: &str| {
        assert!(found(&document, severity, words), "no {severity} with {words:?}: {document:#}");
    };
    has("good", "arn:aws:iam::123456789012:user/mirrorvip in account 123456789012");
    has("good", "fails open");
    has("good", &format!("in {table} there is no route yet: the first promotion creates it"));
    has("good", &format!("{interface} accepts packets to the overlay address"));
    assert!(!found(&document, "error", ""), "{document:#}");
    assert_eq!(document["recoveries"].as_array().map(Vec::len), Some(2));

    let plan = member.run(&["plan"]);
    let shown = String::from_utf8(plan.stdout).expect("text");
    assert!(plan.status.success(), "{shown}");
    let register =
        format!("RegisterTargets TargetGroupArn={arn} Targets=[{{Id={}, Port=1972}}]", hosts[0].address);
    let route = format!(
        "CreateRoute RouteTableId={table} DestinationCidrBlock=192.168.99.1/32 NetworkInterfaceId={}",
        hosts[0].network_interface
    );
    for call in [&register, &route] {
        assert!(shown.contains(call.as_str()), "no {call} in {shown}");
    }

    let health = stage.administrator.ok("elbv2", "describe_target_health", &json!({ "TargetGroupArn": arn }));
    assert_eq!(health["TargetHealthDescriptions"], json!([]));
    let tables = json!({ "RouteTableIds": [table] });
    let tables = stage.administrator.ok("ec2", "describe_route_tables", &tables);
    assert_eq!(
        tables["RouteTables"][0]["Routes"].as_array().map(Vec::len),
        Some(1),
        "its own network's alone"
    );
}
