//! Where services without a region are asked: by the verbs as by the daemon.

use std::process::Stdio;
use std::time::Duration;

use super::aws::{Endpoint, Request};
use super::cloud::{answer, command, run};

const RECORD: &str = "peers = 'none'\n[[mirror.route53]]\nhosted_zone_id = 'Z0123456789ABCDEFGHIJ'\nrecord = 'db.example.internal'\n\
                      type = 'A'\nvalue = '10.0.1.12'\n";
const IN_GOVCLOUD: &str = "[[mirror.cloudwatch]]\nmember = 'db1'\nregion = 'us-gov-west-1'\n";

/// The regions for which requests to `service` are signed.
fn regions(requests: &[Request], service: &str) -> Vec<String> {
    let mut regions: Vec<_> = requests
        .iter()
        .filter_map(|request| {
            let scope = request.header("authorization")?.split_once("Credential=")?.1;
            let mut parts = scope.split('/').skip(2);
            let (region, signed_for) = (parts.next()?, parts.next()?);
            (signed_for == service).then(|| region.to_owned())
        })
        .collect();
    regions.dedup();
    regions
}

/// The regions in which a daemon asks Route 53, as soon as it has.
async fn of_a_daemon(endpoint: &Endpoint, targets: &str) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = command(&endpoint.url(), directory.path(), targets, &["run"]);
    let daemon = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the daemon starts");
    let asked = async {
        loop {
            let regions = regions(&endpoint.take(), "route53");
            if !regions.is_empty() {
                return regions;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(30), asked).await;
    drop(daemon);
    asked.expect("the daemon reads its record")
}

#[tokio::test]
async fn any_table_names_the_partition_for_verbs_and_daemon_alike() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (targets, region) in
        [(RECORD.to_owned(), "us-east-1"), (format!("{RECORD}{IN_GOVCLOUD}"), "us-gov-west-1")]
    {
        // One each: what the daemon before it still sends goes nowhere.
        let endpoint = Endpoint::start(answer).await;
        run(&endpoint, directory.path(), &targets, &["check"]).await;
        let requests = endpoint.take();
        assert_eq!(regions(&requests, "sts"), [region], "a private VPC has the endpoint of its own region");
        assert_eq!(regions(&requests, "route53"), [region]);
        run(&endpoint, directory.path(), &targets, &["plan"]).await;
        assert_eq!(regions(&endpoint.take(), "route53"), [region]);
        assert_eq!(of_a_daemon(&endpoint, &targets).await, [region], "what is checked is what is done");
    }
}
