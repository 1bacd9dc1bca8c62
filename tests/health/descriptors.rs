//! Limits of descriptors: a whole daemon under a soft limit that is too low, and under a hard one.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{Daemon, eventually};

/// The command under test with these limits.
fn limited(soft: u64, hard: u64) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={soft}:{hard}")).arg(env!("CARGO_BIN_EXE_mirrorvip"));
    command.env_remove("RUST_LOG").env_remove("MIRRORVIP_CONFIG_TOML").stdin(Stdio::null());
    command
}

/// A primary whose probe is a child that leaves a line each time.
fn config(directory: &Path, max_connections: usize) -> String {
    let directory = directory.display();
    format!(
        "state_directory = \"{directory}/state\"\n\
         [health]\nlisten = [\"127.0.0.1:0\"]\nmax_connections = {max_connections}\n\
         header_timeout = \"60s\"\nrequest_timeout = \"60s\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n\
         [[mirror]]\nname = \"PROD\"\npaths = [\"/csp/bin\"]\n\
         interval = \"100ms\"\ntimeout = \"2s\"\nstale_after = \"3s\"\n\
         [mirror.probe.exec]\ncommand = [\"/bin/sh\", \"-c\", \"echo >> {directory}/asked\"]\n"
    )
}

/// Idle clients, fifty from each address.
fn idle(count: usize, page: SocketAddr) -> Vec<TcpStream> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to the hard limit");
    let connect = |number: usize| {
        let last = u8::try_from(1 + number / 50).expect("few addresses");
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 1, last), 0)).unwrap();
        rustix::net::connect(&socket, &page).unwrap();
        TcpStream::from(socket)
    };
    (0..count).map(connect).collect()
}

/// The probe goes on, and the page says so, while so many clients are connected.
fn probes_go_on(limits: [u64; 2], max_connections: usize, clients: usize) {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), max_connections);
    let daemon = Daemon::start_with(directory.path(), &config, limited(limits[0], limits[1]));
    daemon.wait_for_page(200);
    let _idle = idle(clients, daemon.health[0]);
    let asked = || fs::read_to_string(directory.path().join("asked")).unwrap_or_default().len();
    let before = asked();
    eventually("ten more probes", || {
        assert_eq!(daemon.page(), 200, "the page of a primary: {}", daemon.log_text());
        asked() >= before + 10
    });
    assert_eq!(daemon.page(), 200);
}

#[test]
fn the_soft_limit_is_no_limit() {
    probes_go_on([1_024, 4_096], 3_000, 2_000);
}

/// The limit is given back just after the start, so the command polls until it sees that.
#[test]
fn a_command_gets_the_limit_that_the_daemon_was_started_with() {
    let directory = tempfile::tempdir().unwrap();
    let usual = config(directory.path(), 16);
    let waits = "until [ $(ulimit -Sn) = 1024 ]; do sleep 0.01; done";
    let daemon = Daemon::start_with(
        directory.path(),
        &usual.replace("echo >>", waits).replace(&format!(" {}/asked", directory.path().display()), ""),
        limited(1_024, 4_096),
    );
    daemon.wait_for_page(200);
}

#[test]
fn the_hard_limit_leaves_the_probe_its_descriptors() {
    probes_go_on([256, 512], 1_024, 700);
}

/// Whether a text names both what asks for too much and what grants more.
fn names_both(text: &str) -> bool {
    text.contains("max_connections") && text.contains("LimitNOFILE")
}

/// Whether the daemon warns of connections beyond its limits, and whether `check` does, which is run under the same.
fn warnings(limits: [u64; 2], max_connections: usize) -> [bool; 2] {
    let (directory, [soft, hard]) = (tempfile::tempdir().unwrap(), limits);
    let config = config(directory.path(), max_connections);
    let daemon = Daemon::start_with(directory.path(), &config, limited(soft, hard));
    daemon.wait_for_page(200);
    let log = daemon.log();
    let mut check = limited(soft, hard);
    let check = check.args(["check", "--json", "--config"]).arg(directory.path().join("mirrorvip.toml"));
    let document: serde_json::Value = serde_json::from_slice(&check.output().unwrap().stdout).unwrap();
    let findings = document["findings"].as_array().unwrap();
    [
        log.iter().any(|line| line["level"] == "WARN" && names_both(&line.to_string())),
        findings.iter().any(|finding| finding["severity"] != "good" && names_both(&finding.to_string())),
    ]
}

#[test]
fn connections_beyond_the_hard_limit_are_reported() {
    assert_eq!(warnings([256, 512], 1_024), [true, true], "in the log, and by `check`");
}

#[test]
fn connections_within_the_hard_limit_are_not_reported() {
    assert_eq!(warnings([1_024, 4_096], 2_048), [false, false], "in the log, and by `check`");
}
