//! What a promotion would call, and that nothing of it is called.

use serde_json::Value;

use super::aws::{Endpoint, Reply};
use super::cloud::{ARN, TARGETS, answer, assert_read_only, run, text};

fn target<'a>(document: &'a Value, kind: &str) -> &'a Value {
    let targets = document.as_array().expect("a list of targets");
    let of_kind = |target: &&Value| target["target"].as_str().is_some_and(|name| name.starts_with(kind));
    targets.iter().find(of_kind).unwrap_or_else(|| panic!("no {kind} in {document}"))
}

#[tokio::test]
async fn shows_the_calls_of_a_promotion_and_makes_none() {
    let endpoint = Endpoint::start(answer).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = run(&endpoint, directory.path(), TARGETS, &["plan", "--json"]).await;
    assert_read_only(&endpoint.take());
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");

    let group = target(&document, "elbv2");
    assert_eq!(group["mirror"], "PROD");
    let call = group["calls"][0]["call"].as_str().expect("a call");
    for word in ["RegisterTargets", "10.0.1.12", "1972"] {
        assert!(call.contains(word), "{call}");
    }
    assert_eq!(group["then"]["state"], "waits-for");
    let later = group["once_healthy"][0]["call"].as_str().expect("the call that makes it the only one");
    for word in ["DeregisterTargets", "{Id=10.0.2.12, Port=1972}"] {
        assert!(later.contains(word), "{later}");
    }
    assert!(!later.contains("10.0.1.12"), "{later}");

    let record = target(&document, "route53");
    let call = record["calls"][0]["call"].as_str().expect("a call");
    for word in
        ["ChangeResourceRecordSets", "DELETE", "10.0.2.12", "CREATE", "10.0.1.12", "owner=db1", "term=8"]
    {
        assert!(call.contains(word), "no {word} in {call}");
    }
    assert_eq!(record["calls"][0]["moves_traffic"], true);

    for (kind, words) in [
        ("classic_elb", ["RegisterInstancesWithLoadBalancer", "iris", "i-0123456789abcdef0"]),
        ("route 192", ["ReplaceRoute", "rtb-0123456789abcdef0", "eni-0123456789abcdef0"]),
        ("cloudwatch", ["PutMetricData", "mirrorvip", "db1"]),
    ] {
        let calls = &target(&document, kind)["calls"];
        let call = calls[0]["call"].as_str().unwrap_or_else(|| panic!("{kind}: {document:#}"));
        for word in words {
            assert!(call.contains(word), "no {word} in {call}");
        }
    }
    assert_eq!(output.status.code(), Some(0), "{document:#}");

    let hook = target(&document, "hook");
    assert_eq!(hook["calls"][0]["call"], "run tell (promotion)");
    assert!(!text(&output.stdout).contains("s3cret"));
}

#[tokio::test]
async fn a_promotion_has_the_term_after_the_highest_known() {
    let endpoint = Endpoint::start(answer).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let kept = r#"{"epoch":3,"primary":false,"claims":{"own":11,"seen":9}}"#;
    std::fs::write(directory.path().join("PROD.json"), kept).expect("the test's directory is writable");
    let output = run(&endpoint, directory.path(), TARGETS, &["plan", "--json"]).await;
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let call = target(&document, "route53")["calls"][0]["call"].as_str().expect("a call");
    assert!(
        call.contains("owner=db1 term=12 epoch=12 "),
        "above the own term, though the record has 7: {call}"
    );
}

#[tokio::test]
async fn people_see_what_follows_once_this_member_is_healthy() {
    let endpoint = Endpoint::start(answer).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let targets = TARGETS.split("[[mirror.classic_elb]]").next().expect("the beginning");
    let output = run(&endpoint, directory.path(), targets, &["plan"]).await;
    assert_eq!(
        text(&output.stdout),
        format!(
            "PROD, elbv2 targetgroup/iris/0123456789abcdef\n  \
             1. RegisterTargets TargetGroupArn={ARN} Targets=[{{Id=10.0.1.12, Port=1972}}]\n  \
             then waits for 10.0.1.12:1972 to be healthy, before 10.0.2.12:1972 is taken out, and plans again\n  \
             then, once healthy:\n  \
             2. DeregisterTargets TargetGroupArn={ARN} Targets=[{{Id=10.0.2.12, Port=1972}}]\n"
        )
    );
}

#[tokio::test]
async fn says_why_an_object_cannot_be_read() {
    let endpoint = Endpoint::start(|_| Reply::query_error(403, "AccessDenied", "not you \u{202e}")).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let targets = TARGETS.split("[[mirror.classic_elb]]").next().expect("the beginning");
    let output = run(&endpoint, directory.path(), targets, &["plan"]).await;
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(77), "{shown}");
    assert!(shown.contains("AccessDenied") && shown.contains("(class stop)"), "{shown}");
    assert!(shown.contains("mirrorvip iam-policy"), "{shown}");
    assert!(!shown.contains('\u{202e}'), "{shown:?}");
}

#[tokio::test]
async fn a_configuration_without_targets_is_reported() {
    let endpoint = Endpoint::start(answer).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = run(&endpoint, directory.path(), "", &["plan"]).await;
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("no call would be made"));
    assert_eq!(endpoint.take().len(), 0);
}

#[tokio::test]
async fn the_policy_is_json_and_makes_no_call() {
    let endpoint = Endpoint::start(answer).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = run(&endpoint, directory.path(), TARGETS, &["iam-policy"]).await;
    assert!(output.status.success());
    let policy: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let allowed: Vec<_> = policy["Statement"]
        .as_array()
        .expect("statements")
        .iter()
        .flat_map(|statement| statement["Action"].as_array().expect("actions"))
        .filter_map(Value::as_str)
        .filter(|action| !["Describe", "List", "Get"].iter().any(|read| action.contains(read)))
        .collect();
    assert_eq!(
        allowed,
        [
            "elasticloadbalancing:RegisterTargets",
            "elasticloadbalancing:DeregisterTargets",
            "elasticloadbalancing:RegisterInstancesWithLoadBalancer",
            "route53:ChangeResourceRecordSets",
            "ec2:CreateRoute",
            "ec2:ReplaceRoute",
            "cloudwatch:PutMetricData",
        ]
    );
    assert_eq!(endpoint.take().len(), 0);

    let nothing = run(&endpoint, directory.path(), "", &["iam-policy"]).await;
    assert!(nothing.status.success() && nothing.stdout.is_empty());
    assert!(text(&nothing.stderr).contains("needs permissions"));
}
