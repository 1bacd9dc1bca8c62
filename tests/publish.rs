//! What a container needs of the command: `publish`, whose files another daemon reads, `healthcheck`, and a
//! configuration from the environment. Real processes, no container; those are in `tests/containers`.

use std::fs;
use std::path::Path;
use std::process::Output;

use rustix::process::Signal;

use crate::support::certificate::Certificate;
use crate::support::node::{Node, change};
use crate::support::{Daemon, Guarded, eventually, mirrorvip};

/// Publishes what the node's instance says.
fn publisher(node: &Node) -> Guarded {
    node.write(&node.config());
    fs::create_dir_all(node.path().join("shared")).expect("the test's directory is writable");
    publisher_again(node)
}

fn publisher_again(node: &Node) -> Guarded {
    let log = fs::File::create(node.path().join("publisher.log")).expect("the test's directory is writable");
    let mut command = mirrorvip();
    command.args(["publish", "--log-format", "json", "--config"]).arg(node.config_file());
    Guarded::start(command.arg(node.path().join("shared")).stderr(log))
}

/// The configuration of a daemon that reads what is published, and gives up a silent publisher after `stale_after`.
fn reader(node: &Node, stale_after: &str) -> String {
    format!(
        "{}[[mirror]]\nname = \"PROD\"\ninterval = \"50ms\"\ntimeout = \"200ms\"\nstale_after = \"{stale_after}\"\n\
         [mirror.probe.file]\npath = \"{}/shared/PROD.role\"\n",
        node.listeners(),
        node.path().display()
    )
}

fn published(node: &Node) -> String {
    fs::read_to_string(node.path().join("shared/PROD.role")).unwrap_or_default()
}

fn healthcheck(config: &Path) -> Output {
    mirrorvip().args(["healthcheck", "--config"]).arg(config).output().expect("it runs")
}

#[test]
fn the_reader_follows_the_instance_through_the_publisher() {
    let node = Node::primary();
    let mut publisher = publisher(&node);
    let reads = tempfile::tempdir().expect("a temporary directory");
    let daemon = Daemon::start(reads.path(), &reader(&node, "7s"));
    daemon.wait_for_page(200);
    node.iris.set_role("Failover", "Backup").expect("the role can be set");
    daemon.wait_for_page(503);
    assert_eq!(daemon.mirror("PROD")["state"], "backup");
    assert!(published(&node).starts_with("backup\nasked at 2"), "{}", published(&node));
    publisher.signal(Signal::TERM);
    assert!(publisher.wait().success());
    let entries = fs::read_dir(node.path().join("shared")).expect("it is there");
    let mut left: Vec<_> = entries.map(|entry| entry.expect("it is readable").file_name()).collect();
    left.sort();
    assert_eq!(left, ["PROD.role", "publish.lock"], "the last answer stays, and nothing else");
}

/// Frozen, killed, or without an answer of the instance: the page refuses within `stale_after`, and serves again
/// by itself.
#[test]
fn a_silent_publisher_is_no_evidence() {
    let node = Node::primary();
    let frozen = publisher(&node);
    let reads = tempfile::tempdir().expect("a temporary directory");
    let daemon = Daemon::start(reads.path(), &reader(&node, "1s"));
    daemon.wait_for_page(200);
    frozen.signal(Signal::STOP);
    daemon.wait_for_page(503);
    eventually("the reason", || {
        let reason = daemon.mirror("PROD")["reason"].as_str().map(str::to_owned);
        reason.filter(|reason| reason.contains("last heartbeat"))
    });
    frozen.signal(Signal::CONT);
    daemon.wait_for_page(200);
    drop(frozen);
    daemon.wait_for_page(503);

    let _publisher = publisher_again(&node);
    daemon.wait_for_page(200);
    node.iris.set_mode(mirrorvip::simulation::Mode::Hang).expect("the mode can be set");
    daemon.wait_for_page(503);
    assert!(published(&node).starts_with("primary\n"), "silence is not written: {}", published(&node));
    node.iris.set_mode(mirrorvip::simulation::Mode::Answer).expect("the mode can be set");
    daemon.wait_for_page(200);
}

/// A user who may write to the volume can put a link to any file of this machine there.
#[test]
fn a_link_in_the_place_of_a_temporary_file_leads_nowhere() {
    let node = Node::primary();
    let (victim, shared) = (node.path().join("victim"), node.path().join("shared"));
    fs::write(&victim, "precious").expect("the test's directory is writable");
    crate::support::open_to_all(&victim, 0o600);
    fs::create_dir(&shared).expect("the test's directory is writable");
    std::os::unix::fs::symlink(&victim, shared.join(".PROD.role.new")).expect("a link can be made");
    let _publisher = publisher(&node);
    eventually("the first answer", || published(&node).starts_with("primary\n"));
    assert_eq!(fs::read_to_string(&victim).expect("it is there"), "precious");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&victim).expect("it is there"));
    assert_eq!(mode & 0o777, 0o600);
    let metadata = fs::symlink_metadata(shared.join("PROD.role")).expect("it is there");
    assert!(metadata.is_file(), "{metadata:?}");
}

#[test]
fn a_second_publisher_learns_which_process_writes_there() {
    let node = Node::primary();
    let first = publisher(&node);
    eventually("the first answer", || published(&node).starts_with("primary\n"));
    let other = Node::backup();
    other.write(&other.config());
    let log = other.path().join("log");
    let mut command = mirrorvip();
    command.args(["publish", "--log-format", "json", "--config"]).arg(other.config_file());
    command.arg(node.path().join("shared")).stderr(fs::File::create(&log).expect("it is writable"));
    let _second = Guarded::start(&mut command);
    let line = eventually("a complaint", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines().find(|line| line.contains("another publisher writes there")).map(str::to_owned)
    });
    assert!(line.contains(&format!("process {} on ", first.0.id())), "{line}");
}

#[test]
fn a_missing_volume_is_reported() {
    let node = Node::primary();
    node.write(&node.config());
    let missing = node.path().join("nowhere");
    let output = mirrorvip().args(["publish", "--config"]).arg(node.config_file()).arg(&missing).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("help: Mount the volume"), "{output:?}");

    let mut publisher = publisher(&node);
    eventually("the first answer", || !published(&node).is_empty());
    fs::remove_dir_all(node.path().join("shared")).expect("it is ours");
    let log = || fs::read_to_string(node.path().join("publisher.log")).unwrap_or_default();
    eventually("a complaint", || log().contains("failed to write the role file"));
    fs::create_dir(node.path().join("shared")).expect("the test's directory is writable");
    eventually("the file", || published(&node).starts_with("primary\n"));
    eventually("the end of the episode", || log().contains("is written again"));
    assert_eq!(log().matches("failed to write the role file").count(), 1, "once an episode: {}", log());
    publisher.signal(Signal::INT);
    assert!(publisher.wait().success());
}

#[test]
fn the_environment_alone_configures_a_daemon() {
    let node = Node::primary();
    let config = node.config();
    let log = node.path().join("env.log");
    let mut command = mirrorvip();
    command.args(["run", "--log-format", "json"]).env("MIRRORVIP_CONFIG_TOML", &config);
    let mut daemon = Guarded::start(command.stderr(fs::File::create(&log).expect("it is writable")));
    let line = eventually("the start", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines().find(|line| line.contains("\"started\"")).map(str::to_owned)
    });
    assert!(line.contains("\"config\":\"MIRRORVIP_CONFIG_TOML\""), "{line}");
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());

    // A file that is named wins; an empty variable is none.
    let probe = |variable: &str| {
        node.write(&config);
        let mut command = mirrorvip();
        command.args(["probe", "--config"]).arg(node.config_file()).env("MIRRORVIP_CONFIG_TOML", variable);
        command.output().expect("it runs")
    };
    assert!(probe("this is not TOML").status.success());
    assert!(probe("").status.success());
}

#[test]
fn healthcheck_finds_a_live_listener_whatever_the_role() {
    let node = Node::backup();
    let address = crate::support::address::own_address();
    let port = crate::support::address::free_port(address);
    let made = Certificate::new();
    let listen = format!("[\"{port}\"]");
    let plain = change(&node.config(), "[\"127.0.0.1:0\"]", &listen);
    let strangers_only = change(&plain, "[health]\n", "[health]\nallowed_networks = [\"192.0.2.0/24\"]\n");
    let secure = plain.clone() + &made.table("health", node.path());
    let secure_strangers_only = strangers_only.clone() + &made.table("health", node.path());
    for toml in [plain, strangers_only, secure, secure_strangers_only] {
        node.write(&toml);
        let silent = healthcheck(&node.config_file());
        assert_eq!(silent.status.code(), Some(69), "no process listens: {silent:?}");
        let daemon = Daemon::start(node.path(), &toml);
        let alive = healthcheck(&node.config_file());
        assert!(alive.status.success(), "{alive:?}");
        assert!(alive.stdout.is_empty() && alive.stderr.is_empty(), "{alive:?}");
        daemon.signal(Signal::STOP);
        eventually("a frozen daemon is noticed", || {
            // Connections wait in the kernel's queue; what was accepted before the freeze may still answer.
            healthcheck(&node.config_file()).status.code() == Some(69)
        });
        daemon.signal(Signal::CONT);
        assert!(daemon.stop().success());
    }
}
