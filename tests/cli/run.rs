//! `mirrorvip run`: how it ends when it cannot start, and when it panics.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};

use mirrorvip::simulation::Mode;
use rustix::process::Signal;

use crate::support::certificate::Certificate;
use crate::support::node::{Node, change};
use crate::support::{Daemon, as_ordinary_user, eventually, mirrorvip, open_to_all};

fn run(node: &Node, toml: &str) -> (Option<i32>, String) {
    run_by(node, toml, mirrorvip())
}

fn run_by(node: &Node, toml: &str, mut command: Command) -> (Option<i32>, String) {
    node.write(toml);
    let output = command.args(["run", "--config"]).arg(node.config_file()).output();
    let Output { status, stderr, .. } = output.expect("the command starts");
    (status.code(), String::from_utf8(stderr).expect("complaints are UTF-8"))
}

#[test]
fn an_address_in_use_is_69() {
    let node = Node::primary();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("\"{}\"", holder.local_addr().unwrap());
    for toml in [
        change(&node.config(), "[\"127.0.0.1:0\"]", &format!("[{taken}]")),
        change(&node.config(), "listen = \"127.0.0.1:0\"", &format!("listen = {taken}")),
    ] {
        let (code, complaint) = run(&node, &toml);
        assert_eq!(code, Some(69), "{complaint}");
        assert!(complaint.contains("error: failed to start the "), "{complaint}");
        assert!(complaint.contains("help: ") && complaint.contains("ss -ltnp"), "{complaint}");
    }
}

#[test]
fn a_port_that_this_user_may_not_use_is_77() {
    let first: u16 = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .map_or(1024, |text| text.trim().parse().expect("a port"));
    let node = Node::primary();
    let toml = change(&node.config(), "[\"127.0.0.1:0\"]", "[\"127.0.0.1:1\"]");
    if first > 1 {
        let (code, complaint) = run_by(&node, &toml, as_ordinary_user(node.path()));
        assert_eq!(code, Some(77), "{complaint}");
        assert!(complaint.contains("CAP_NET_BIND_SERVICE"), "{complaint}");
    }
}

#[test]
fn certificates_and_tokens_that_cannot_be_used_are_78_or_77() {
    let node = Node::primary();
    let made = Certificate::new();
    let with_tls = node.config() + &made.table("health", node.path());
    open_to_all(&node.path().join("tls.key"), 0o000);
    let (code, complaint) = run_by(&node, &with_tls, as_ordinary_user(node.path()));
    assert_eq!(code, Some(77), "{complaint}");
    fs::remove_file(node.path().join("tls.key")).unwrap();
    let (code, complaint) = run(&node, &with_tls);
    assert_eq!(code, Some(78), "{complaint}");
    assert!(complaint.contains("tls.key") && complaint.contains("No such file"), "{complaint}");
    let _key = Certificate::new().write(node.path());
    fs::write(node.path().join("tls.crt"), &made.certificate).unwrap();
    let (code, complaint) = run(&node, &with_tls);
    assert_eq!(code, Some(78), "{complaint}");
    assert!(complaint.contains("the key does not belong"), "{complaint}");

    let token = node.path().join("token");
    let with_token =
        change(&node.config(), "[admin]\n", &format!("[admin]\ntoken_file = \"{}\"\n", token.display()));
    let (code, complaint) = run(&node, &with_token);
    assert_eq!(code, Some(78), "{complaint}");
    fs::write(&token, "hunter2").unwrap();
    let (code, complaint) = run(&node, &with_token);
    assert_eq!(code, Some(78), "{complaint}");
    assert!(!complaint.contains("hunter2"), "{complaint}");
}

/// The only panic that can be had from outside: tokio panics when it can start no thread for blocking work. It
/// happens in a task, where tokio would catch it and leave half a daemon whose page still answers.
#[test]
fn a_panic_ends_the_process() {
    if !rustix::process::geteuid().is_root() {
        // The limit counts all processes of a user; only root can choose a user who has none.
        return;
    }
    let node = Node::primary();
    as_ordinary_user(node.path());
    node.write(&node.config());
    // The main thread, the health thread, and no other.
    let user = 70_000 + std::process::id();
    let mut command = Command::new("prlimit");
    command.args(["--nproc=2:2", "--core=0:0", "setpriv", "--clear-groups"]);
    command.args([format!("--reuid={user}"), format!("--regid={user}")]).arg(node.path().join("mirrorvip"));
    command.stdin(Stdio::null());
    let mut daemon = Daemon::launch(node.path(), command);
    let end = daemon.wait_for_end();
    let log = daemon.log_text();
    assert!(log.contains("panicked at"), "{log}");
    assert_eq!(end.signal(), Some(Signal::ABORT.as_raw()), "{log}");
}

#[test]
fn serving_member_without_evidence_warns_and_names_the_command_to_run() {
    let node = Node::primary();
    let config = change(
        &node.config(),
        "timeout = \"5s\"\nstale_after = \"6s\"",
        "timeout = \"1s\"\nstale_after = \"2s\"",
    );
    let daemon = Daemon::start(node.path(), &config);
    daemon.wait_for_page(200);
    node.iris.set_mode(Mode::Nothing).unwrap();
    daemon.wait_for_page(503);
    // The page goes by the lease; the line may come a moment later.
    let change_to = |state: &str| {
        let is_it = |line: &serde_json::Value| line["message"] == "state changed" && line["to"] == state;
        eventually(&format!("a change to {state}"), || daemon.log().into_iter().rfind(is_it))
    };
    assert_eq!(change_to("primary")["level"], "INFO");
    let ended = change_to("no-evidence");
    assert_eq!(ended["level"], "WARN");
    let help = ended["help"].as_str().unwrap_or_default();
    assert!(help.contains("mirrorvip probe --mirror PROD"), "{ended}");

    node.iris.set_mode(Mode::Answer).unwrap();
    daemon.wait_for_page(200);
    node.iris.set_role("Failover", "Backup").unwrap();
    daemon.wait_for_page(503);
    assert_eq!(change_to("backup")["level"], "INFO");
}
