//! The running daemon: what outlives it, what wakes it, how it stops, and what it says about it.

mod process;

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use mirrorvip::clock::Clock;
use mirrorvip::simulation::LogLine;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::node::{Node, change, without_timer};
use crate::support::{Daemon, eventually, get, mirrorvip};

// === state ===

/// Loses and regains the role, as a failover there and back.
fn promote_again(node: &Node, daemon: &Daemon) {
    node.iris.set_role("Failover", "Backup").expect("the role can be set");
    daemon.wait_for_page(503);
    node.iris.set_role("Failover", "Primary").expect("the role can be set");
    daemon.wait_for_page(200);
}

/// Waits until the state file says that the member is primary in this epoch.
fn wait_for_state(node: &Node, epoch: u64) {
    eventually("the state on disk", || {
        fs::read_to_string(node.path().join("state/PROD.json")).is_ok_and(|text| {
            let state: Value = serde_json::from_str(&text).expect("it is written whole");
            state["epoch"] == epoch && state["primary"] == true
        })
    });
}

#[test]
fn the_epoch_outlives_a_stop_and_a_crash() {
    let node = Node::primary();
    let daemon = Daemon::start(node.path(), &node.config());
    daemon.wait_for_page(200);
    promote_again(&node, &daemon);
    assert_eq!(daemon.mirror("PROD")["epoch"], 2);
    assert_eq!(daemon.mirror("PROD")["origin"], "promoted");
    assert!(daemon.stop().success());

    let daemon = Daemon::start_again(node.path());
    daemon.wait_for_page(200);
    assert_eq!(daemon.mirror("PROD")["epoch"], 2, "it was primary all along");
    assert_eq!(daemon.mirror("PROD")["origin"], "found");
    promote_again(&node, &daemon);
    wait_for_state(&node, 3);
    daemon.crash();

    node.iris.set_role("Failover", "Backup").unwrap();
    let mut daemon = Daemon::start_again(node.path());
    daemon.wait_for_log("state changed");
    assert_eq!(daemon.mirror("PROD")["epoch"], 3);
    node.iris.set_role("Failover", "Primary").unwrap();
    daemon.wait_for_page(200);
    assert_eq!(daemon.mirror("PROD")["epoch"], 4, "the role was lost between the processes");
}

#[test]
fn lost_state_is_reported_with_what_it_costs() {
    let node = Node::primary();
    fs::create_dir(node.path().join("state")).unwrap();
    let (file, garbage) = (node.path().join("state/PROD.json"), "{\"epoch\": 7");
    fs::write(&file, garbage).unwrap();
    let mut daemon = Daemon::start(node.path(), &node.config());
    let warning = daemon.wait_for_log(
        "the state of the previous process is lost: this member takes traffic only once every other member has said that it is \
         not the primary, or at its next promotion",
    );
    assert_eq!(warning["level"], "WARN");
    assert!(warning["error"].as_str().unwrap().contains("PROD.json is not a state file"), "{warning}");
    daemon.wait_for_page(200);
    assert_eq!(daemon.mirror("PROD")["epoch"], 1);
    eventually("the garbage to be replaced", || fs::read_to_string(&file).unwrap() != garbage);
    wait_for_state(&node, 1);
}

/// What is logged when the state cannot be written.
const UNWRITTEN: &str =
    "epoch and term will not outlive this process; the daemon runs without its state file";

#[test]
fn without_a_state_directory_it_warns_once_and_runs() {
    let node = Node::primary();
    fs::write(node.path().join("state"), "a file in the directory's place").unwrap();
    let mut daemon = Daemon::start(node.path(), &node.config());
    assert_eq!(daemon.wait_for_log(UNWRITTEN)["level"], "WARN");
    daemon.wait_for_page(200);
    promote_again(&node, &daemon);
    let warnings = daemon.log().into_iter().filter(|line| line["message"] == UNWRITTEN).count();
    assert_eq!(warnings, 1);
    assert!(daemon.stop().success());
}

/// The lock cannot be opened, so that nothing is written; a directory has its place. As soon as it can, and at the
/// latest at the end, the state is written.
#[test]
fn while_the_state_cannot_be_written_it_warns_and_runs_and_writes_at_the_end() {
    let node = Node::primary();
    let obstacle = node.path().join("state/lock");
    fs::create_dir_all(&obstacle).unwrap();
    let mut daemon = Daemon::start(node.path(), &node.config());
    let warning = daemon.wait_for_log(UNWRITTEN);
    assert!(warning["error"].as_str().unwrap().contains("Is a directory"), "{warning}");
    daemon.wait_for_page(200);
    fs::remove_dir(&obstacle).unwrap();
    assert!(daemon.stop().success());
    wait_for_state(&node, 1);
}

fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.is_ok_and(|status| status.success()), "a pipe can be made");
}

#[test]
fn pipes_in_the_place_of_state_files_delay_nothing() {
    let node = Node::primary();
    let state = node.path().join("state");
    fs::create_dir(&state).unwrap();
    let names = ["PROD.json", "daemon-id", "lock", ".PROD.json.new", ".daemon-id.new"];
    for name in names {
        pipe(&state.join(name));
    }
    let mut daemon = Daemon::start(node.path(), &node.config());
    daemon.wait_for_page(200);
    let warning = daemon.wait_for_log(UNWRITTEN);
    assert!(warning["error"].as_str().unwrap().contains("it is not a regular file"), "{warning}");
    assert!(daemon.stop().success());
    for name in names {
        let kind = fs::symlink_metadata(state.join(name)).unwrap().file_type();
        assert!(std::os::unix::fs::FileTypeExt::is_fifo(&kind), "{name} was not this program's to replace");
    }
}

#[test]
fn a_link_in_the_place_of_a_state_file_leads_nowhere() {
    let node = Node::primary();
    let (victim, state) = (node.path().join("victim"), node.path().join("state"));
    fs::write(&victim, "precious").unwrap();
    fs::create_dir(&state).unwrap();
    for name in ["PROD.json", ".PROD.json.new", "daemon-id", ".daemon-id.new"] {
        std::os::unix::fs::symlink(&victim, state.join(name)).unwrap();
    }
    let daemon = Daemon::start(node.path(), &node.config());
    daemon.wait_for_page(200);
    assert!(daemon.stop().success());
    wait_for_state(&node, 1);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

/// What protects a port must be known before it opens: the start fails, and does not hang.
#[test]
fn a_pipe_in_the_place_of_a_secret_ends_the_start() {
    let node = Node::primary();
    let file = node.path().join("pipe");
    pipe(&file);
    let shown = file.display();
    let config = node.config();
    for toml in [
        change(&config, "[admin]\n", &format!("[admin]\ntoken_file = \"{shown}\"\n")),
        change(&config, "name = \"PROD\"", &format!("name = \"PROD\"\npeer_key_file = \"{shown}\"")),
        config.clone() + &format!("\n[health.tls]\ncertificate = \"{shown}\"\nkey = \"{shown}\"\n"),
        config.clone() + &format!("\n[admin.tls]\ncertificate = \"{shown}\"\nkey = \"{shown}\"\n"),
    ] {
        node.write(&toml);
        let mut daemon = Daemon::launch(node.path(), mirrorvip());
        assert_eq!(daemon.wait_for_end().code(), Some(78), "{}", daemon.log_text());
        assert!(daemon.log_text().contains("not a regular file"), "{}", daemon.log_text());
    }
    fs::remove_file(node.config_file()).unwrap();
    pipe(&node.config_file());
    let mut daemon = Daemon::launch(node.path(), mirrorvip());
    assert_eq!(daemon.wait_for_end().code(), Some(78), "{}", daemon.log_text());
}

/// Its page is up, it has another identity for its peers, and it leaves the state alone until the first one is gone.
#[test]
fn a_second_daemon_on_one_state_directory_names_the_holder_and_does_not_write() {
    let node = Node::primary();
    let first = Daemon::start(node.path(), &node.config());
    first.wait_for_page(200);
    wait_for_state(&node, 1);
    let other = Node::primary();
    let shared = format!("state_directory = \"{}/state\"", node.path().display());
    let own = format!("state_directory = \"{}/state\"", other.path().display());
    let mut second = Daemon::start(other.path(), &change(&other.config(), &own, &shared));
    second.wait_for_page(200);
    let error = second.wait_for_log(HELD);
    assert_eq!(error["level"], "ERROR");
    let holder = format!("process {} on ", first.pid().as_raw_nonzero());
    assert!(error["error"].as_str().unwrap().contains(&holder), "{error}");
    let identifier = |daemon: &Daemon| {
        let answer = get(daemon.health[0], "/PROD/peer").expect("the page answers");
        serde_json::from_str::<Value>(&answer.body).expect("JSON")["daemon"].clone()
    };
    let on_disk = fs::read_to_string(node.path().join("state/daemon-id")).unwrap();
    assert_eq!(identifier(&first), on_disk.as_str());
    assert_ne!(identifier(&second), on_disk.as_str());

    // What the first one wrote last is not lowered by the second, which did not know of it.
    let wrote = fs::read_to_string(node.path().join("state/PROD.json")).unwrap();
    fs::write(node.path().join("state/PROD.json"), change(&wrote, "\"epoch\":1,", "\"epoch\":9,")).unwrap();
    first.crash();
    second.wait_for_log("the state is written again");
    wait_for_state(&node, 9);
    assert!(second.stop().success());
    wait_for_state(&node, 9);
}

/// What is logged while another process holds the state directory.
const HELD: &str = "another process holds the state directory, and this one runs without writing there: stop one of the two, or give it a \
     state_directory of its own";

/// Another process that writes to the directory can have this one write elsewhere, or lose what it wrote.
#[test]
fn a_state_directory_that_others_may_write_is_reported() {
    let node = Node::primary();
    let state = node.path().join("state");
    fs::create_dir(&state).unwrap();
    crate::support::open_to_all(&state, 0o777);
    let mut daemon = Daemon::start(node.path(), &node.config());
    let warning = daemon.wait_for_log("others can replace files in the state directory");
    assert!(warning["exposure"].as_str().unwrap().contains("every user"), "{warning}");
}

// === waking ===

/// A daemon that asked once, is not woken by its timer, and answers 503; and the role that it has not seen.
fn asleep(extra: &str) -> (Node, Daemon) {
    let node = Node::backup();
    let mut daemon = Daemon::start(node.path(), &(without_timer(&node.config()) + extra));
    daemon.wait_for_log("state changed");
    node.iris.set_role("Failover", "Primary").expect("the role can be set");
    (node, daemon)
}

#[test]
fn sigusr1_asks_at_once() {
    let (_node, daemon) = asleep("");
    daemon.signal(Signal::USR1);
    daemon.wait_for_page(200);
    assert!(daemon.mirror("PROD")["probes"]["woken"].as_u64() >= Some(1));
}

#[test]
fn a_line_in_the_log_flips_the_page() {
    let node = Node::backup();
    let config =
        without_timer(&node.config()) + &format!("wake_on = \"{}\"\n", node.iris.messages_log().display());
    let mut daemon = Daemon::start(node.path(), &config);
    daemon.wait_for_log("state changed");
    // The log is followed from its end at its first read, which nothing shows from outside; so there is
    // always another line.
    for (status, page) in [("Primary", 200), ("Backup", 503)] {
        node.iris.set_role("Failover", status).unwrap();
        eventually(&format!("page {page}"), || {
            let text = format!("Becoming {status} mirror server");
            let line = LogLine { severity: 1, facility: "Utility.Event", text };
            node.iris.log(&Clock::system(), &line).unwrap();
            daemon.page() == page
        });
    }
    // The probes that follow a wake-up may have found the second change.
    eventually("a second wake-up", || {
        let line = LogLine { severity: 1, facility: "Utility.Event", text: "mirror".to_owned() };
        node.iris.log(&Clock::system(), &line).unwrap();
        daemon.mirror("PROD")["probes"]["woken"].as_u64() >= Some(2)
    });
}

#[test]
fn mirrors_of_one_node_share_one_call() {
    let node = Node::primary();
    let line = |name: &str, status: &str| {
        format!("{name}^/usr^2024.1^running, since Sat^iris.cpf^1972^0^0^ok^IRIS^Failover^{status}^/usr\n")
    };
    node.iris.set_line(&(line("IRIS", "Primary") + &line("TEST", "Backup"))).unwrap();
    let calls = node.path().join("calls");
    let counting = node.path().join("counting");
    fs::write(
        &counting,
        format!(
            "#!/bin/sh\necho \"$*\" >>{}\nexec {} \"$@\"\n",
            calls.display(),
            node.iris.command().display()
        ),
    )
    .unwrap();
    let shared = |name: &str, instance: &str| {
        node.mirror(name, &format!("[\"/{name}\"]"))
            .replace(&*node.iris.command().to_string_lossy(), &counting.to_string_lossy())
            .replace("instance = \"IRIS\"", &format!("instance = \"{instance}\""))
    };
    fs::set_permissions(&counting, fs::Permissions::from_mode(0o755)).unwrap();
    let daemon =
        Daemon::start(node.path(), &(node.listeners() + &shared("PROD", "IRIS") + &shared("TEST", "TEST")));
    eventually("five answers", || daemon.mirror("TEST")["probes"]["definite"].as_u64() >= Some(5));
    assert_eq!(daemon.mirror("PROD")["state"], "primary");
    assert_eq!(daemon.mirror("TEST")["state"], "backup");
    assert_eq!(get(daemon.health[0], "/PROD/mirror_status.cxw").unwrap().status, 200);
    assert_eq!(get(daemon.health[0], "/TEST/mirror_status.cxw").unwrap().status, 503);
    let answers = daemon.mirror("PROD")["probes"]["definite"].as_u64().unwrap();
    let text = fs::read_to_string(&calls).unwrap();
    assert!(text.lines().all(|arguments| arguments == "qlist"), "one call for all instances: {text}");
    let calls = text.lines().count() as u64;
    // The calls are counted later than the answers, and one is in flight at most for each round meanwhile.
    let later = daemon.mirror("TEST")["probes"]["definite"].as_u64().unwrap();
    assert!((answers..=later + 1).contains(&calls), "{calls} calls for {answers} to {later} answers");
}

// === stopping ===

#[test]
fn a_stop_answers_503_before_the_port_closes_and_a_second_one_ends_at_once() {
    let node = Node::primary();
    let drained = change(&node.config(), "max_connections = 16", "max_connections = 16\ndrain = \"300s\"");
    let mut daemon = Daemon::start(node.path(), &drained);
    daemon.wait_for_page(200);
    daemon.signal(Signal::TERM);
    daemon.wait_for_page(503);
    assert_eq!(daemon.mirror("PROD")["state"], "stopping");
    // Other signals are no reason to end sooner.
    daemon.signal(Signal::HUP);
    daemon.signal(Signal::USR1);
    assert_eq!(daemon.page(), 503);
    daemon.signal(Signal::INT);
    assert!(daemon.wait_for_end().success());
    let is_end = |line: &Value| line["message"] == "stopped at once: a second signal came";
    assert!(daemon.log().iter().any(is_end), "{}", daemon.log_text());
}

#[test]
fn a_stop_without_drain_ends_with_0_and_closes_the_ports() {
    let node = Node::primary();
    let mut daemon = Daemon::start(node.path(), &node.config());
    daemon.wait_for_page(200);
    daemon.signal(Signal::INT);
    assert!(daemon.wait_for_end().success());
    assert!(TcpStream::connect(daemon.health[0]).is_err());
    assert!(TcpStream::connect(daemon.admin).is_err());
    let log = daemon.log();
    let stopping = log.iter().find(|line| line["to"] == "stopping").expect("the last change of state");
    assert_eq!(
        (&stopping["from"], &stopping["reason"]),
        (&"primary".into(), &"mirrorvip is stopping".into())
    );
    assert_eq!(log.last().unwrap()["message"], "stopped");
}

// === telling ===

#[test]
fn a_second_daemon_on_the_same_port_refuses_and_the_first_goes_on() {
    let node = Node::primary();
    let daemon = Daemon::start(node.path(), &node.config());
    daemon.wait_for_page(200);
    let same = change(&node.config(), "[\"127.0.0.1:0\"]", &format!("[\"{}\"]", daemon.health[0]));
    let config = node.path().join("second.toml");
    fs::write(&config, same).unwrap();
    let second = mirrorvip().args(["run", "--config"]).arg(&config).output().unwrap();
    assert_eq!(second.status.code(), Some(69));
    let complaint = String::from_utf8_lossy(&second.stderr);
    assert!(complaint.contains("maybe another mirrorvip"), "{complaint}");
    assert_eq!(daemon.page(), 200);
}

#[test]
fn it_warns_once_when_a_serving_page_gets_no_requests() {
    let node = Node::primary();
    let quick =
        change(&node.config(), "max_connections = 16", "max_connections = 16\nunasked_warning = \"1s\"");
    let mut daemon = Daemon::start(node.path(), &quick);
    let is_warning =
        |line: &Value| line["message"].as_str().unwrap_or_default().contains("no load balancer asks");
    eventually("the warning", || daemon.log().into_iter().find(|line| is_warning(line)));
    eventually("checks to be noticed", || {
        assert_eq!(daemon.page(), 200);
        daemon.log().into_iter().find(|line| line["message"] == "health checks are coming in again")
    });
    assert_eq!(daemon.log().iter().filter(|line| is_warning(line)).count(), 1);
    // A check of anything but the verdict is no load balancer's.
    let again = |daemon: &Daemon| {
        assert_eq!(get(daemon.health[0], "/live").unwrap().status, 200);
        daemon.log().iter().filter(|line| is_warning(line)).count() == 2
    };
    eventually("the warning of another silence", || again(&daemon));
    daemon.wait_for_log("health checks are coming in again");
}

#[test]
fn every_log_line_is_json_and_a_change_has_from_to_why_epoch_and_age() {
    let node = Node::backup();
    let daemon = Daemon::start(node.path(), &node.config());
    eventually("the first change", || daemon.log().into_iter().find(|line| line["to"] == "backup"));
    node.iris.set_role("Failover", "Primary").unwrap();
    daemon.wait_for_page(200);
    node.iris.set_mode(mirrorvip::simulation::Mode::Corrupt).unwrap();
    eventually("no evidence", || daemon.log().into_iter().find(|line| line["cause"].is_string()));
    let text = daemon.log_text();
    assert!(text.contains("owned"), "what the child printed is shown: {text}");
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        // What a child printed is in these values; it must not control the terminal that prints them.
        let values = line.as_object().unwrap().values().filter_map(Value::as_str);
        for value in values {
            assert!(!value.contains(|c: char| c.is_control()), "{value:?}");
        }
    }
    let log = daemon.log();
    let changes: Vec<_> = log.iter().filter(|line| line["message"] == "state changed").collect();
    assert_eq!(changes[0]["from"], "starting");
    let promoted = changes[1];
    assert_eq!((&promoted["from"], &promoted["to"]), (&"backup".into(), &"primary".into()));
    assert_eq!(promoted["reason"], "the instance is primary");
    assert_eq!((&promoted["epoch"], &promoted["origin"]), (&1.into(), &"promoted".into()));
    assert_eq!((&promoted["mirror"], &promoted["level"]), (&"PROD".into(), &"INFO".into()));
    assert!(promoted["evidence_age_ms"].is_u64() && promoted["at"].is_string(), "{promoted}");
}

/// A shell that starts the daemon in its background may have it ignore signals; the daemon's own orders count.
#[test]
fn it_stops_also_when_its_parent_ignores_signals() {
    let node = Node::primary();
    node.write(&node.config());
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' INT HUP TERM; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_mirrorvip")]);
    let mut daemon = Daemon::launch(node.path(), shell);
    daemon.wait_for_log("started");
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("reloaded");
    assert!(daemon.stop().success());
}
