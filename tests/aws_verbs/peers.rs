//! What check and plan say about other members that answer: whole programs on both sides.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::aws::Endpoint;
use crate::cloud::{answer, run, text};

const RECORD: &str = "[[mirror.route53]]\nhosted_zone_id = 'Z0123456789ABCDEFGHIJ'\n\
                      record = 'db.example.internal'\ntype = 'A'\nvalue = '10.0.1.12'\n";

/// Another member's daemon, which steers nothing that AWS has. Ends with its value.
struct Peer {
    page: String,
    _daemon: Child,
}

impl Peer {
    /// Starts it in `directory` with the instance's `role` and these lines in `[[mirror]]`.
    async fn start(directory: &Path, role: &str, mirror: &str) -> Self {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let page = format!("http://{port}/csp/bin/mirror_status.cxw");
        let (file, state) = (directory.join("mirrorvip.toml"), directory.join("state"));
        std::fs::create_dir_all(&state).expect("the test's directory is writable");
        std::fs::write(directory.join("role"), format!("{role}\n"))
            .expect("the test's directory is writable");
        let config = format!(
            "state_directory = '{state}'\n[health]\nlisten = '{port}'\n[admin]\nlisten = '127.0.0.1:0'\n[[mirror]]\n\
             name = 'PROD'\nstale_after = '60s'\nqos_timeout = '90s'\n{mirror}\nprobe.file.path = '{role}'\n{RECORD}",
            state = state.display(),
            role = directory.join("role").display(),
        );
        std::fs::write(&file, config).expect("the test's directory is writable");
        let mut command = Command::new(env!("CARGO_BIN_EXE_mirrorvip"));
        command.args(["run", "--config"]).arg(&file).env_clear();
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            .env("AWS_ACCESS_KEY_ID", "AKIATEST")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let daemon = command.spawn().expect("the daemon starts");
        let ready = async {
            while !matches!(role_of(&port.to_string()).await, Some(known) if known == role) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ready).await.expect("the daemon knows its role");
        Self { page, _daemon: daemon }
    }

    fn table(&self, address: &str) -> String {
        format!("[[mirror.peer]]\naddress = '{address}'\npage = '{}'\n", self.page)
    }
}

/// The role that the daemon at `address` reports to other members.
async fn role_of(address: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    stream.write_all(b"GET /PROD/peer HTTP/1.1\r\nHost: b\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let document: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    document["role"].as_str().map(str::to_owned)
}

/// What check finds with these `lines` in `[[mirror]]`, as severity, subject and message.
async fn check(directory: &Path, lines: &str) -> Vec<(String, String)> {
    let endpoint = Endpoint::start(answer).await;
    let output = run(&endpoint, directory, lines, &["check", "--json"]).await;
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let word = |value: &Value| value.as_str().expect("a text").to_owned();
    let findings = document["findings"].as_array().expect("findings").iter();
    findings.map(|finding| (word(&finding["severity"]), word(&finding["message"]))).collect()
}

#[track_caller]
fn assert_found(found: &[(String, String)], severity: &str, words: &str) {
    let is = found.iter().any(|(known, message)| known == severity && message.contains(words));
    assert!(is, "no {severity} with {words:?} in {found:#?}");
}

#[tokio::test]
async fn a_backup_with_the_same_configuration_is_good_and_a_second_primary_is_not() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = "stale_after = '60s'\nqos_timeout = '90s'\n";
    let peer = Peer::start(there.path(), "backup", "member = 'db2'\npeers = 'none'").await;
    let lines = format!("{settings}{}{RECORD}", peer.table("10.0.2.12"));
    let found = check(here.path(), &lines).await;
    assert_found(&found, "good", "member db2 reports backup, term 0");
    assert_found(&found, "good", "a promotion here today would take traffic, with term 8");
    drop(peer);

    let there = tempfile::tempdir().unwrap();
    let peer = Peer::start(there.path(), "primary", "member = 'db2'\npeers = 'none'").await;
    let lines = format!("{}{RECORD}", peer.table("10.0.2.12"));
    let found = check(here.path(), &lines).await;
    assert_found(
        &found,
        "error",
        "2 members are primary at the same time: this member, db1 (term 0) and db2 at 10.0.2.12",
    );
    assert_found(&found, "error", "configuration differs in what all members must agree on");
}

#[tokio::test]
async fn a_namesake_withholds_every_promotion_and_plan_says_so_before_the_calls() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let peer = Peer::start(there.path(), "backup", "member = 'db1'\npeers = 'none'").await;
    let lines = format!(
        "{}{RECORD}[[mirror.cloudwatch]]\nmember = 'db1'\nregion = 'eu-west-1'\n",
        peer.table("10.0.2.12")
    );
    let found = check(here.path(), &lines).await;
    assert_found(&found, "error", "has this member's name, db1");
    assert_found(
        &found,
        "error",
        "today a promotion here would move nothing, because 10.0.2.12 has this member's name",
    );

    let endpoint = Endpoint::start(answer).await;
    let shown = text(&run(&endpoint, here.path(), &lines, &["plan"]).await.stdout);
    let (record, metric) = shown.split_once("PROD, cloudwatch").expect(&shown);
    let withheld =
        "withheld today a promotion here would move nothing, because 10.0.2.12 has this member's name, db1";
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
    let peer =
        Peer::start(there.path(), "backup", &format!("member = 'db2'\npeers = 'none'\n{signing}")).await;
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

    let silent = Peer::start(there.path(), "backup", "member = 'db2'\npeers = 'none'").await;
    let own = key(here.path(), &"k".repeat(64));
    let lines = format!("{own}{}{RECORD}", silent.table("10.0.2.12"));
    assert_found(&check(here.path(), &lines).await, "error", "does not sign its answer, and this member has");
}
