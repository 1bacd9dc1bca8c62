//! What check and plan say about other members that answer: whole programs on both sides.

use std::path::Path;

use serde_json::Value;

use super::aws::Endpoint;
use super::cloud::{answer, assert_found, found, run, text};
use crate::support::{Daemon, eventually, get, mirrorvip};

const RECORD: &str = "[[mirror.route53]]\nhosted_zone_id = 'Z0123456789ABCDEFGHIJ'\n\
                      record = 'db.example.internal'\ntype = 'A'\nvalue = '10.0.1.12'\n";

/// Another member's daemon, whose steering meets no cloud. Ends with its value.
struct Peer(Daemon);

impl Peer {
    /// Starts it in `directory` with the instance's `role` and these lines in `[[mirror]]`.
    fn start(directory: &Path, role: &str, mirror: &str) -> Self {
        std::fs::write(directory.join("role"), format!("{role}\n"))
            .expect("the test's directory is writable");
        let config = format!(
            "state_directory = '{here}/state'\n[health]\nlisten = '127.0.0.1:0'\n[admin]\nlisten = '127.0.0.1:0'\n\
             [[mirror]]\nname = 'PROD'\nstale_after = '60s'\nqos_timeout = '90s'\n{mirror}\n\
             probe.file.path = '{here}/role'\n{RECORD}",
            here = directory.display(),
        );
        let mut command = mirrorvip();
        command
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            .env("AWS_ACCESS_KEY_ID", "AKIATEST")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        let daemon = Daemon::start_with(directory, &config, command);
        eventually("the role of the peer", || {
            let report = get(daemon.health[0], "/PROD/peer").map(|answer| answer.body).unwrap_or_default();
            serde_json::from_str::<Value>(&report).is_ok_and(|report| report["role"] == role)
        });
        Self(daemon)
    }

    fn table(&self, address: &str) -> String {
        let page = self.0.health[0];
        format!("[[mirror.peer]]\naddress = '{address}'\npage = 'http://{page}/csp/bin/mirror_status.cxw'\n")
    }
}

/// What check finds with these `lines` in `[[mirror]]`, as severity and message.
async fn check(directory: &Path, lines: &str) -> Vec<(String, String)> {
    let endpoint = Endpoint::start(answer).await;
    found(&run(&endpoint, directory, lines, &["check", "--json"]).await, "")
}

#[tokio::test]
async fn a_backup_with_the_same_configuration_is_good_and_a_second_primary_is_not() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = "stale_after = '60s'\nqos_timeout = '90s'\n";
    let peer = Peer::start(there.path(), "backup", "member = 'db2'\npeers = 'none'");
    let lines = format!("{settings}{}{RECORD}", peer.table("10.0.2.12"));
    let found = check(here.path(), &lines).await;
    assert_found(&found, "good", "member db2 reports backup, term 0");
    assert_found(&found, "good", "a promotion now would take traffic, with term 8");
    drop(peer);

    let there = tempfile::tempdir().unwrap();
    let peer = Peer::start(there.path(), "primary", "member = 'db2'\npeers = 'none'");
    let lines = format!("{}{RECORD}", peer.table("10.0.2.12"));
    let found = check(here.path(), &lines).await;
    assert_found(
        &found,
        "error",
        "2 members are primary at the same time: this member, db1 (term 0) and db2 at 10.0.2.12",
    );
    assert_found(&found, "error", "configuration differs where all members must agree");
}

#[tokio::test]
async fn a_namesake_withholds_every_promotion_and_plan_says_so_before_the_calls() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let peer = Peer::start(there.path(), "backup", "member = 'db1'\npeers = 'none'");
    let lines = format!(
        "{}{RECORD}[[mirror.cloudwatch]]\nmember = 'db1'\nregion = 'eu-west-1'\n",
        peer.table("10.0.2.12")
    );
    let found = check(here.path(), &lines).await;
    assert_found(&found, "error", "has this member's name, db1");
    assert_found(
        &found,
        "error",
        "a promotion now would move no traffic, because 10.0.2.12 has this member's name",
    );

    let endpoint = Endpoint::start(answer).await;
    let shown = text(&run(&endpoint, here.path(), &lines, &["plan"]).await.stdout);
    let (record, metric) = shown.split_once("PROD, cloudwatch").expect(&shown);
    let withheld =
        "withheld a promotion now would move no traffic, because 10.0.2.12 has this member's name, db1";
    let second_line = record.lines().nth(1).expect(&shown);
    assert!(second_line.contains(withheld), "{shown}");
    assert!(!metric.contains("withheld") && metric.contains("PutMetricData"), "{shown}");

    // A state directory that was copied, or the member itself.
    std::fs::copy(there.path().join("state/daemon-id"), here.path().join("daemon-id"))
        .expect("the daemon made it");
    let found = check(here.path(), &lines).await;
    assert_found(&found, "error", "either it is this member itself, or its state directory is a copy");
}

#[tokio::test]
async fn a_secret_that_one_side_lacks_is_named_with_the_side() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = |directory: &Path, secret: &str| {
        let file = directory.join("peer.key");
        std::fs::write(&file, secret).expect("the test's directory is writable");
        format!("peer_key_file = '{}'\n", file.display())
    };
    let signing = key(there.path(), &"k".repeat(64));
    let peer = Peer::start(there.path(), "backup", &format!("member = 'db2'\npeers = 'none'\n{signing}"));
    let with = async |own: &str| {
        let lines =
            format!("stale_after = '60s'\nqos_timeout = '90s'\n{own}{}{RECORD}", peer.table("10.0.2.12"));
        check(here.path(), &lines).await
    };
    assert_found(&with("").await, "error", "this member has no peer_key_file");
    assert_found(&with(&key(here.path(), &"x".repeat(64))).await, "error", "with another secret");
    assert_found(&with(&key(here.path(), "short")).await, "error", "holds 5 bytes");
    let same = with(&key(here.path(), &"k".repeat(64))).await;
    assert_found(&same, "good", "member db2 reports backup, term 0");
    drop(peer);

    let silent = Peer::start(there.path(), "backup", "member = 'db2'\npeers = 'none'");
    let own = key(here.path(), &"k".repeat(64));
    let lines = format!("{own}{}{RECORD}", silent.table("10.0.2.12"));
    assert_found(&check(here.path(), &lines).await, "error", "does not sign its answer, and this member has");
}
