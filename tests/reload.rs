//! Reload by SIGHUP: what is wrong changes nothing, what is right changes what it says and nothing else.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use mirrorvip::simulation::Mode;
use serde_json::Value;

use crate::support::certificate::Certificate;
use crate::support::node::{Node, change, without_timer};
use crate::support::{Daemon, PATIENCE, eventually, get};

const INVALID: &str = "the new configuration is invalid; the old one stays in force";
const UNUSABLE: &str = "the new configuration cannot be applied; the old one stays in force";

/// A daemon that serves in its second epoch, which no fresh start would give it.
fn serving(node: &Node, config: &str) -> Daemon {
    fs::create_dir(node.path().join("state")).expect("the test's directory is writable");
    fs::write(node.path().join("state/PROD.json"), "{\"epoch\":2,\"primary\":true}").expect("it is writable");
    let daemon = Daemon::start(node.path(), config);
    daemon.wait_for_page(200);
    daemon
}

/// Everything about the mirror that a reload must not touch.
fn identity(daemon: &Daemon) -> (Value, Value, usize, Vec<SocketAddr>, SocketAddr) {
    let mirror = daemon.mirror("PROD");
    let transitions = mirror["transitions"].as_array().expect("a list").len();
    (mirror["state"].clone(), mirror["epoch"].clone(), transitions, daemon.health.clone(), daemon.admin)
}

/// Asks for a page over and over, each time on a connection of its own, and remembers what was not 200.
struct Poller {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Vec<String>)>,
}

impl Poller {
    fn start(address: SocketAddr, path: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut asked, mut failures) = (0, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                asked += 1;
                match get(address, path) {
                    Ok(answer) if answer.status == 200 => {}
                    other => failures.push(format!("{other:?}")),
                }
            }
            (asked, failures)
        });
        Self { stop, thread }
    }

    fn expect_no_failure(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (asked, failures) = self.thread.join().expect("the poller does not panic");
        assert!(asked > 10, "only {asked} requests");
        assert!(
            failures.is_empty(),
            "{} of {asked} requests failed: {:#?}",
            failures.len(),
            failures.first()
        );
    }
}

#[test]
fn an_invalid_configuration_changes_nothing() {
    let node = Node::primary();
    let good = node.config();
    let mut daemon = serving(&node, &good);
    let before = identity(&daemon);
    let page = Poller::start(daemon.health[0], "/csp/bin/mirror_status.cxw");

    let invalid = change(&good, "interval = \"100ms\"", "intervall = \"100ms\"");
    let line = daemon.reload(&invalid);
    assert_eq!((&line["message"], &line["level"]), (&INVALID.into(), &"ERROR".into()));
    let report = line["report"].as_str().unwrap();
    assert!(report.contains("13 | intervall = \"100ms\"\n   | ^^^^^^^^^\n"), "{report}");

    fs::remove_file(node.config_file()).unwrap();
    fs::create_dir(node.config_file()).unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    let unreadable =
        |line: &Value| line["report"].as_str().is_some_and(|text| text.contains("not a regular file"));
    eventually("the second report", || daemon.log().into_iter().find(|line| unreadable(line)));
    fs::remove_dir(node.config_file()).unwrap();

    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("\"{}\"", holder.local_addr().unwrap());
    let other = good.replace("\"PROD\"", "\"OTHER\"");
    for config in [
        change(&other, "[\"127.0.0.1:0\"]", &format!("[\"127.0.0.2:0\", {taken}]")),
        change(&other, "listen = \"127.0.0.1:0\"", &format!("listen = {taken}")),
        change(&other, "max_connections = 16", &format!("max_connections = 16\nagent_check = {taken}")),
        change(&other, "[admin]\n", "[admin]\ntoken_file = \"/nonexistent/token\"\n"),
        other.clone() + "\n[health.tls]\ncertificate = \"/nonexistent/crt\"\nkey = \"/nonexistent/key\"\n",
    ] {
        let line = daemon.reload(&config);
        assert_eq!((&line["message"], &line["level"]), (&UNUSABLE.into(), &"ERROR".into()), "{line}");
        assert!(line["error"].is_string(), "{line}");
        assert_eq!(identity(&daemon), before);
    }
    page.expect_no_failure();
    // What was bound for a configuration that failed is free again.
    assert_eq!(daemon.reload(&good)["message"], "reloaded");
    assert_eq!(identity(&daemon), before);
}

#[test]
fn other_times_keep_verdict_and_epoch() {
    let node = Node::primary();
    let mut daemon = serving(&node, &node.config());
    let before = identity(&daemon);
    let page = Poller::start(daemon.health[0], "/csp/bin/mirror_status.cxw");
    for (from, to) in [
        ("stale_after = \"6s\"", "stale_after = \"5500ms\""),
        ("stale_after = \"6s\"", "stale_after = \"7s\""),
        ("interval = \"100ms\"", "interval = \"300ms\""),
        ("timeout = \"5s\"", "timeout = \"4s\""),
        ("stale_after = \"6s\"", "stale_after = \"6s\"\nrise = 5"),
    ] {
        assert_eq!(daemon.reload(&change(&node.config(), from, to))["message"], "reloaded");
        assert_eq!(identity(&daemon), before, "{to}");
    }
    page.expect_no_failure();
    // And they are in force: what was granted for 7 s at most is shorter than that.
    let short = node.config().replace("5s", "500ms").replace("6s", "1s");
    assert_eq!(daemon.reload(&short)["message"], "reloaded");
    daemon.wait_for_page(200);
    assert!(daemon.mirror("PROD")["remaining_seconds"].as_f64() <= Some(1.0));
}

/// The second mirror shares the first one's call, so that its coming and going replaces the probe loop.
#[test]
fn a_mirror_that_comes_and_goes_leaves_the_other_alone() {
    let node = Node::primary();
    let alone = node.config();
    let both = alone.clone() + &node.mirror("TEST", "[\"/test\"]");
    let mut daemon = serving(&node, &alone);
    let before = identity(&daemon);
    let pollers = [
        Poller::start(daemon.health[0], "/csp/bin/mirror_status.cxw"),
        Poller::start(daemon.health[0], "/PROD/primary"),
        Poller::start(daemon.admin, "/status"),
        Poller::start(daemon.admin, "/metrics"),
    ];
    for _ in 0..5 {
        assert_eq!(daemon.reload(&both)["message"], "reloaded");
        eventually("the second mirror", || {
            get(daemon.health[0], "/test/mirror_status.cxw").is_ok_and(|answer| answer.status == 200)
        });
        assert_eq!(identity(&daemon), before);
        assert_eq!(daemon.reload(&alone)["message"], "reloaded");
        assert_eq!(identity(&daemon), before);
        assert_eq!(get(daemon.health[0], "/test/mirror_status.cxw").unwrap().status, 404);
    }
    for poller in pollers {
        poller.expect_no_failure();
    }
}

/// A client whose request has begun when the configuration changes is answered.
#[test]
fn requests_under_way_are_answered() {
    let node = Node::primary();
    // An address that goes is waited for, lest the file be incomplete.
    let patient = change(
        &node.config(),
        "max_connections = 16",
        "max_connections = 16\nheader_timeout = \"20s\"\nrequest_timeout = \"30s\"",
    );
    let mut daemon = serving(&node, &patient);
    let ask = |address: SocketAddr, path: &str| {
        let mut stream = TcpStream::connect(address).expect("the port is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("a positive time");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConn").expect("the connection is open");
        stream
    };
    let begun = [ask(daemon.health[0], "/csp/bin/mirror_status.cxw"), ask(daemon.admin, "/status")];
    // The listener accepts in order: when these are answered, the ones before have been accepted.
    assert_eq!(daemon.page(), 200);
    daemon.status();
    assert_eq!(daemon.reload(&patient.replace("127.0.0.1:0", "127.0.0.2:0"))["message"], "reloaded");
    for mut stream in begun {
        stream.write_all(b"ection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[test]
fn another_probe_starts_without_a_verdict_and_continues_the_epoch() {
    let node = Node::primary();
    let mut daemon = serving(&node, &node.config());
    let other = Node::primary();
    other.iris.set_mode(Mode::Hang).unwrap();
    let asked_elsewhere = node
        .config()
        .replace(&*node.iris.command().to_string_lossy(), &other.iris.command().to_string_lossy());
    assert_eq!(daemon.reload(&asked_elsewhere)["message"], "reloaded");
    assert_eq!(daemon.page(), 503, "the answer of the other command is no evidence about this one");
    assert_eq!(daemon.mirror("PROD")["epoch"], 2);
    other.iris.set_mode(Mode::Answer).unwrap();
    daemon.wait_for_page(200);
    assert_eq!(daemon.mirror("PROD")["epoch"], 2, "it was primary all along");
}

/// A reload that corrects the probe of a daemon without an answer must not lose the epoch.
#[test]
fn a_probe_that_never_answered_hands_on_the_epoch_as_well() {
    let node = Node::primary();
    fs::create_dir(node.path().join("state")).unwrap();
    fs::write(node.path().join("state/PROD.json"), "{\"epoch\":7,\"primary\":true}").unwrap();
    let wrong = node.config().replace(&*node.iris.command().to_string_lossy(), "/nonexistent/iris");
    let mut daemon = Daemon::start(node.path(), &wrong);
    daemon.wait_for_page(500);
    assert_eq!(daemon.mirror("PROD")["epoch"], 7);
    assert_eq!(daemon.reload(&node.config())["message"], "reloaded");
    daemon.wait_for_page(200);
    assert_eq!(daemon.mirror("PROD")["epoch"], 7);
}

#[test]
fn listeners_that_move_open_before_the_old_ones_close() {
    let node = Node::primary();
    let mut daemon = serving(&node, &node.config());
    let (old_health, old_admin) = (daemon.health[0], daemon.admin);
    let moved = node.config().replace("127.0.0.1:0", "127.0.0.2:0");
    assert_eq!(daemon.reload(&moved)["message"], "reloaded");
    assert_eq!(daemon.health[0].ip().to_string(), "127.0.0.2");
    assert_eq!(daemon.page(), 200);
    assert_eq!(daemon.mirror("PROD")["epoch"], 2);
    for old in [old_health, old_admin] {
        eventually("the old port to close", || TcpStream::connect(old).is_err());
    }
    // Addresses are added and taken away one by one, too; the one that stays keeps its port.
    let kept = daemon.health[0];
    let more = change(&moved, "[\"127.0.0.2:0\"]", "[\"127.0.0.1:0\", \"127.0.0.2:0\"]");
    assert_eq!(daemon.reload(&more)["message"], "reloaded");
    assert_eq!(daemon.health[1], kept);
    assert_eq!(daemon.page(), 200);
}

#[test]
fn a_certificate_that_is_replaced_is_taken_up_without_a_reload_and_a_bad_one_is_not() {
    let node = Node::primary();
    let made = Certificate::new();
    let mut daemon = Daemon::start(node.path(), &(node.config() + &made.table("health", node.path())));
    let page = |certificate: &Certificate| certificate.get(daemon.health[0], "/csp/bin/mirror_status.cxw");
    eventually("the page over TLS", || page(&made).is_ok_and(|status| status == 200));

    fs::write(node.path().join("tls.crt"), "no certificate").unwrap();
    let refused = "failed to load the new certificate, the old one stays in use";
    let warning =
        eventually("the warning", || daemon.log().into_iter().find(|line| line["message"] == refused));
    assert!(warning["error"].as_str().unwrap().contains("tls.crt"), "{warning}");
    assert_eq!(page(&made).unwrap(), 200);

    let renewed = Certificate::new();
    renewed.write(node.path());
    eventually("the renewed certificate", || page(&renewed).ok());
    assert!(page(&made).is_err());
    assert_eq!(daemon.wait_for_log("the certificate was renewed")["after_trouble"], true);
}

/// `wake_on` belongs to the loop and not to the question: the verdict stays.
#[test]
fn a_log_to_follow_is_taken_up() {
    let node = Node::primary();
    let slow = without_timer(&node.config());
    let mut daemon = serving(&node, &slow);
    let before = identity(&daemon);
    let file = node.path().join("wake");
    let following = slow + &format!("wake_on = \"{}\"\n", file.display());
    assert_eq!(daemon.reload(&following)["message"], "reloaded");
    assert_eq!(identity(&daemon), before);
    node.iris.set_role("Failover", "Backup").unwrap();
    let mut round = 0;
    eventually("the page to follow the file", || {
        round += 1;
        fs::write(&file, format!("{round}")).unwrap();
        daemon.page() == 503
    });
}

// === a file that is not complete ===

const WAITS: &str = "a reload waits: the file removes something from the configuration in force; it is applied once it has not changed for 2 s";

/// A daemon whose admin port asks for a token, and whose file says so at its end.
fn protected(node: &Node) -> (Daemon, String, String) {
    fs::write(node.path().join("token"), "0123456789abcdef").expect("the test's directory is writable");
    let protection = format!("token_file = \"{}/token\"\n", node.path().display());
    let open = change(&node.config(), "[admin]\nlisten = \"127.0.0.1:0\"\n", "")
        + "\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    let whole = format!("{open}{protection}");
    let daemon = Daemon::start(node.path(), &whole);
    daemon.wait_for_page(200);
    (daemon, whole, open)
}

fn admin(daemon: &Daemon) -> u16 {
    get(daemon.admin, "/status").expect("the admin port is open").status
}

/// The writer stops in the middle, between two lines, and goes on a moment later.
#[test]
fn a_file_that_is_being_written_does_not_drop_its_protection() {
    let node = Node::primary();
    let (mut daemon, whole, cut) = protected(&node);
    assert_eq!(admin(&daemon), 401);
    node.write(&cut);
    daemon.signal(rustix::process::Signal::HUP);
    let waits = daemon.wait_for_log(WAITS);
    assert_eq!(waits["removes"], "[admin] token_file");
    // Other signals are obeyed meanwhile.
    let asked = |daemon: &Daemon| {
        let page = get(daemon.health[0], "/metrics").map(|answer| answer.status);
        (daemon.page(), page.is_ok())
    };
    assert_eq!(asked(&daemon), (200, true));
    assert_eq!(admin(&daemon), 401);
    node.write(&whole);
    daemon.wait_for_log("reloaded");
    assert_eq!(admin(&daemon), 401, "it was protected all along");
}

#[test]
fn a_file_whose_last_line_does_not_end_drops_no_protection() {
    let node = Node::primary();
    let (mut daemon, _, open) = protected(&node);
    let line = daemon.reload(open.trim_end());
    let message = line["message"].as_str().unwrap();
    assert!(message.starts_with("the new configuration looks cut off"), "{line}");
    assert_eq!((&line["level"], &line["removes"]), (&"ERROR".into(), &"[admin] token_file".into()));
    assert_eq!(admin(&daemon), 401);
    // A change that removes nothing does not ask for a last newline.
    let line = daemon
        .reload((open.clone() + &format!("token_file = \"{}/token\"", node.path().display())).trim_end());
    assert_eq!(line["message"], "reloaded");
}

/// The change was intended: the file stays as it is.
#[test]
fn protection_that_is_removed_on_purpose_goes_and_is_named() {
    let node = Node::primary();
    let (mut daemon, _, open) = protected(&node);
    let line = daemon.reload(&open);
    assert_eq!((&line["message"], &line["removes"]), (&"reloaded".into(), &"[admin] token_file".into()));
    assert_eq!(admin(&daemon), 200);
    assert_eq!(daemon.log().iter().filter(|line| line["message"] == WAITS).count(), 1);
}

#[test]
fn a_stop_does_not_wait_for_a_reload_that_waits() {
    let node = Node::primary();
    let (mut daemon, _, open) = protected(&node);
    node.write(&open);
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for_log(WAITS);
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.wait_for_end().success());
    assert!(daemon.log().iter().all(|line| line["message"] != "reloaded"), "{}", daemon.log_text());
}
