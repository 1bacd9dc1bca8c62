//! What the check on line finds, and that it changes nothing.

use serde_json::Value;

use super::aws::{Endpoint, Reply, Request};
use super::cloud::{TARGETS, action, answer, assert_found, assert_read_only, found, run, text};

#[tokio::test]
async fn reads_everything_and_judges_it() {
    let endpoint = Endpoint::start(answer).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = run(&endpoint, directory.path(), TARGETS, &["check", "--json"]).await;
    let requests = endpoint.take();
    assert_read_only(&requests);
    let asked: Vec<_> = requests.iter().map(action).collect();
    for action in [
        "GetCallerIdentity",
        "DescribeTargetGroups",
        "DescribeTargetGroupAttributes",
        "DescribeTargetHealth",
        "DescribeLoadBalancers",
        "DescribeLoadBalancerAttributes",
        "DescribeInstanceHealth",
        "DescribeRouteTables",
        "DescribeNetworkInterfaces",
        "GET /2013-04-01/change/C0000000000000000000",
        "GET /2013-04-01/hostedzone/Z0123456789ABCDEFGHIJ/rrset",
    ] {
        assert!(asked.iter().any(|known| known == action), "{action} was not asked: {asked:?}");
    }

    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(78), "the group's errors are the configuration's");
    assert_found(
        &found(&output, "AWS credentials"),
        "good",
        "assumed-role/mirror/i-0 in account 123456789012",
    );
    let mirror = found(&output, "mirror PROD");
    assert_found(
        &mirror,
        "good",
        "with drift_interval = 30s this member reads AWS about 480 times an hour for 4 s",
    );
    assert_found(&mirror, "good", "keeps its connections warm");
    assert_found(&found(&output, "peer 10.0.2.12"), "warning", "does not answer");
    assert_found(&mirror, "good", "a promotion now would take traffic, with term 8");
    assert_found(&found(&output, "probe"), "good", "it is primary");
    let group = found(&output, "elbv2 targetgroup/iris");
    assert_found(&group, "good", "fails open");
    assert_found(&group, "error", "an open port is healthy on every member");
    assert_found(&group, "error", "lb has 2 zones and does not share them");
    assert_found(&group, "warning", "140s slower than necessary");
    assert_found(&group, "warning", "are not cut even then");
    assert_found(&found(&output, "classic_elb iris"), "good", "every 5s, thresholds 2 up and 2 down");
    assert_found(&found(&output, "route53 db.example.internal"), "warning", "time to live of 300 s");
    assert_found(&found(&output, "route 192.168.99.1/32"), "warning", "eni-0123456789abcdef1, which is gone");

    assert_found(&found(&output, "route 192.168.99.1/32"), "error", "checks source and destination");
    let classic = found(&output, "classic_elb iris");
    assert_found(&classic, "warning", "i-0123456789abcdef0 is not registered");
    assert_found(&classic, "warning", "drain for 300 s");

    let recoveries = document["recoveries"].as_array().expect("recoveries");
    let seconds: Vec<_> =
        recoveries.iter().filter_map(|recovery| recovery["at_most_seconds"].as_f64()).collect();
    // Role seen within 4 s and answers of the peer within 2 s; then the stages of each way.
    assert_eq!(
        seconds,
        [
            4.0 + 2.0 + 1.0 + 300.0 + 60.0,
            4.0 + 15.0,
            4.0 + 2.0 + 1.0 + 60.0 + 300.0,
            4.0 + 2.0 + 1.0 + 5.0,
            4.0 + 1.0 + 180.0
        ]
    );
}

#[tokio::test]
async fn people_read_the_stages_below_each_other() {
    let endpoint = Endpoint::start(answer).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let targets = "peers = 'none'\n[[mirror.route53]]\nhosted_zone_id = 'Z0123456789ABCDEFGHIJ'\nrecord = 'db.example.internal'\n\
                   type = 'A'\nvalue = '10.0.1.12'\n";
    let output = run(&endpoint, directory.path(), targets, &["check"]).await;
    let shown = text(&output.stdout);
    let recovery = shown.split("\n\n").find(|part| part.contains("follow a promotion")).expect(&shown);
    assert_eq!(
        recovery,
        "mirror PROD, route53 db.example.internal: clients follow a promotion within 365s\n  \
         role seen                4s  up to 2s until the next question, and 2s for its answer\n  \
         page flipped             0s  with the answer\n  \
         API accepts              1s  one call over a warm connection\n  \
         record INSYNC           60s  until all its servers have the change; usually faster\n  \
         caches expire          300s  time to live of the record as it is; clients that keep addresses for longer are not counted\n  \
         depends on Route 53's control plane in us-east-1, then resolvers and clients"
    );
    let asked_nobody = "belongs to db2 (term 7), and the configuration says peers = \"none\"";
    assert!(shown.contains(asked_nobody), "{shown}");
}

#[tokio::test]
async fn slower_polls_are_reported_with_their_cost() {
    let endpoint = Endpoint::start(answer).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let targets = "peers = 'none'\ndrift_interval = '4m'\n[[mirror.route53]]\nhosted_zone_id = 'Z0123456789ABCDEFGHIJ'\n\
                   record = 'db.example.internal'\ntype = 'A'\nvalue = '10.0.1.12'\n";
    let output = run(&endpoint, directory.path(), targets, &["check", "--offline"]).await;
    let shown = text(&output.stdout);
    let cost = "with drift_interval = 240s this member reads AWS about 15 times an hour for 1 steering table, \
                between which its connections close";
    assert!(shown.contains(cost), "{shown}");
}

#[tokio::test]
async fn a_right_that_is_missing_is_found_before_it_is_needed() {
    let denying = |request: &Request| match action(request).as_str() {
        "GetCallerIdentity" => answer(request),
        other => Reply::query_error(403, "AccessDenied", other),
    };
    let endpoint = Endpoint::start(denying).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = run(&endpoint, directory.path(), TARGETS, &["check", "--json"]).await;
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(77), "{document:#}");
    for subject in ["elbv2", "classic_elb", "route53", "route 192"] {
        assert_found(&found(&output, subject), "error", "AccessDenied");
    }
}

#[tokio::test]
async fn rights_that_are_used_after_a_write_only_are_tried_as_well() {
    const ASKED_LATER: [&str; 2] =
        ["GET /2013-04-01/change/C0000000000000000000", "DescribeNetworkInterfaces"];
    let denying = |request: &Request| {
        if ASKED_LATER.contains(&action(request).as_str()) {
            return Reply::query_error(403, "AccessDenied", "no");
        }
        answer(request)
    };
    let endpoint = Endpoint::start(denying).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = run(&endpoint, directory.path(), TARGETS, &["check", "--json"]).await;
    assert_found(&found(&output, "route53"), "warning", "before it has spread");
    assert_found(&found(&output, "route 192"), "error", "DescribeNetworkInterfaces");
    assert_found(&found(&output, "route 192"), "warning", "which is gone");
}

#[tokio::test]
async fn no_call_is_made_offline_or_without_targets() {
    let endpoint = Endpoint::start(answer).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let offline = run(&endpoint, directory.path(), TARGETS, &["check", "--offline", "--json"]).await;
    let without = run(&endpoint, directory.path(), "", &["check", "--json"]).await;
    assert_eq!(endpoint.take().len(), 0);
    for output in [offline, without] {
        let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(document["recoveries"], Value::Array(Vec::new()));
        assert!(output.status.success(), "{document:#}");
    }
}
