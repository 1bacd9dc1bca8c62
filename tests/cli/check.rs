//! `mirrorvip check`: what is good, doubtful and wrong, and the exit code that follows.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use mirrorvip::simulation::Mode;
use serde_json::Value;

use crate::support::certificate::Certificate;
use crate::support::node::{Node, change};
use crate::support::transcript::Transcript;
use crate::support::{Daemon, Guarded, as_ordinary_user, open_to_all};

/// A node on which nothing is wrong, checked by an ordinary user.
struct Checked {
    node: Node,
}

fn checked() -> Checked {
    let node = Node::primary();
    let state = node.path().join("state");
    fs::create_dir(&state).expect("the test's directory is writable");
    // As `/tmp` is: the ordinary user writes there, and no user replaces another's files.
    open_to_all(&state, 0o1777);
    let checked = Checked { node };
    checked.node.write(&checked.good());
    checked
}

/// For the user of [`as_ordinary_user`] to read, and for no other.
fn give_to_ordinary_user(file: &Path) {
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(file, Some(65534), Some(65534)).expect("root may");
    }
    open_to_all(file, 0o600);
}

impl Checked {
    /// A configuration at which there is nothing to say; load balancers reach its page.
    fn good(&self) -> String {
        change(&self.node.config(), "listen = [\"127.0.0.1:0\"]", "listen = [\"0.0.0.0:0\"]")
    }

    /// The exit code and everything that is not good.
    fn findings(&self) -> (i32, Vec<Value>) {
        let mut command = as_ordinary_user(self.node.path());
        let output = command.args(["check", "--json", "--config"]).arg(self.node.config_file()).output();
        let output = output.expect("the command starts");
        let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(document["problems"], serde_json::json!([]));
        let findings = document["findings"].as_array().expect("a list").iter();
        let bad = findings.filter(|finding| finding["severity"] != "good").cloned().collect();
        (output.status.code().expect("an exit code"), bad)
    }

    /// Expects exactly one finding that is not good.
    fn expect(&self, code: i32, severity: &str, words: &[&str]) {
        let (exit, findings) = self.findings();
        let [finding] = &findings[..] else { panic!("one finding about {words:?}: {findings:#?}") };
        assert_eq!(finding["severity"], severity, "{finding:#}");
        assert_eq!(exit, code, "{finding:#}");
        for word in words {
            assert!(finding.to_string().contains(word), "no {word}: {finding:#}");
        }
        assert!(finding["help"].is_string() || severity == "error", "a warning says what to do: {finding:#}");
    }
}

#[test]
fn transcripts() {
    let checked = checked();
    let mut transcript = Transcript::new("check");
    transcript.hide(checked.node.path().to_string_lossy(), "DIR");
    transcript.run(
        as_ordinary_user(checked.node.path()).args(["check", "--config"]).arg(checked.node.config_file()),
    );
    transcript.run(
        as_ordinary_user(checked.node.path())
            .args(["check", "--json", "--config"])
            .arg(checked.node.config_file()),
    );
    let doubtful = change(&checked.good(), "stale_after = \"6s\"", "stale_after = \"7500ms\"\nrise = 3");
    checked.node.write(&doubtful.replace("0.0.0.0:0", "127.0.0.1:0"));
    fs::remove_dir(checked.node.path().join("state")).unwrap();
    transcript.run(
        as_ordinary_user(checked.node.path()).args(["check", "--config"]).arg(checked.node.config_file()),
    );
    checked.node.iris.set_mode(Mode::Nothing).unwrap();
    transcript.run(
        as_ordinary_user(checked.node.path()).args(["check", "--config"]).arg(checked.node.config_file()),
    );
    transcript.check();
}

#[test]
fn the_peers() {
    let checked = checked();
    let other = Node::backup();
    // Both run on this host, whose name they would share.
    let config = change(&other.config(), "name = \"PROD\"", "name = \"PROD\"\nmember = \"db2\"");
    let mut daemon = Daemon::start(other.path(), &config);
    let page = daemon.health[0];
    let peer = |path: &str| {
        checked.node.write(&format!(
            "{}\n[[mirror.peer]]\naddress = \"db2\"\npage = \"http://{page}{path}\"\n",
            checked.good()
        ));
    };
    peer("/csp/bin/mirrorstatus.cxw");
    assert_eq!(checked.findings(), (0, vec![]));
    peer("/csp/user/mirrorstatus.cxw");
    checked.expect(0, "warning", &["mirror PROD, peer db2", "answers 404 and is not a status page"]);

    peer("/csp/bin/mirrorstatus.cxw");
    daemon.reload(&config.replace("\"PROD\"", "\"OTHER\""));
    checked.expect(78, "error", &["has no mirror PROD", "the same `name` on every member"]);
    let closed = config.replace("[health]\n", "[health]\nallowed_networks = \"192.0.2.1\"\n");
    daemon.reload(&closed);
    checked.expect(78, "error", &["refuses this member", "`allowed_networks` there"]);
    daemon.stop();
    checked.expect(0, "warning", &["does not answer", "Check that mirrorvip runs there"]);

    // Offline, no call is made.
    let offline = as_ordinary_user(checked.node.path())
        .args(["check", "--offline", "--config"])
        .arg(checked.node.config_file())
        .output()
        .expect("the command starts");
    let offline = String::from_utf8_lossy(&offline.stdout);
    assert!(!offline.contains("db2"), "{offline}");
    assert!(offline.contains("note     peers: not tested: 1 other member (--offline)"), "{offline}");
}

#[test]
fn the_instance() {
    let checked = checked();
    checked
        .node
        .write(&checked.good().replace(&*checked.node.iris.command().to_string_lossy(), "/nonexistent/iris"));
    checked.expect(69, "error", &["/nonexistent/iris", "no evidence"]);
    checked.node.write(&checked.good());
    open_to_all(&checked.node.iris.command(), if rustix::process::geteuid().is_root() { 0o700 } else { 0 });
    checked.expect(77, "error", &["may not execute", "; `ch"]);
    open_to_all(&checked.node.iris.command(), 0o755);
    checked.node.iris.set_role("Failover", "In Trouble").unwrap();
    checked.expect(69, "error", &["in trouble", "Mirror Monitor"]);
    checked.node.iris.set_role("Failover", "Backup").unwrap();
    assert_eq!(checked.findings(), (0, Vec::new()));
}

#[test]
fn misspelt_instance_lists_those_there_are() {
    let checked = checked();
    checked.node.write(&checked.good().replace("instance = \"IRIS\"", "instance = \"IRISS\""));
    checked.expect(
        69,
        "error",
        &["no evidence", "The instance here is IRIS: write instance = \\\"IRIS\\\"."],
    );
}

/// Each table would fail for the same reason.
#[test]
fn missing_credentials_are_reported_once() {
    let checked = checked();
    let table = "\n[[mirror.route53]]\nhosted_zone_id = \"Z1\"\nrecord = \"db.example.internal\"\ntype = \"A\"\nvalue = \"10.0.1.12\"\n";
    let config = change(&checked.good(), "name = \"PROD\"", "name = \"PROD\"\npeers = \"none\"");
    checked.node.write(&format!("{config}{table}"));
    checked.expect(69, "error", &["no AWS credentials found", "Attach an instance role"]);
}

#[test]
fn files() {
    let checked = checked();
    let wake_on = |path: &str| checked.good() + &format!("wake_on = \"{path}\"\n");
    checked.node.write(&wake_on("/nonexistent/messages.log"));
    checked.expect(0, "warning", &["/nonexistent/messages.log", "does not exist", "cconsole.log"]);
    let log = checked.node.iris.messages_log();
    checked.node.write(&wake_on(&log.to_string_lossy()));
    assert_eq!(checked.findings(), (0, Vec::new()));
    open_to_all(&log, 0o000);
    checked.expect(77, "error", &["cannot be read", "`chgrp "]);
    checked.node.write(&wake_on(&checked.node.path().to_string_lossy()));
    checked.expect(78, "error", &["not a regular file"]);

    let token = checked.node.path().join("token");
    checked.node.write(&change(
        &checked.good(),
        "[admin]\n",
        &format!("[admin]\ntoken_file = \"{}\"\n", token.display()),
    ));
    checked.expect(78, "error", &["token_file", "No such file"]);
    fs::write(&token, "0123456789abcdef0123456789abcdef\n").unwrap();
    open_to_all(&token, 0o644);
    checked.expect(0, "warning", &["every user", "the token", "chmod 640"]);
    fs::write(&token, "short\n").unwrap();
    checked.expect(78, "error", &["5 characters", "openssl rand"]);

    checked.node.write(&checked.good());
    open_to_all(&checked.node.path().join("state"), 0o555);
    checked.expect(0, "warning", &["state_directory", "cannot be written"]);
}

#[test]
fn rights() {
    let checked = checked();
    let state = checked.node.path().join("state");
    open_to_all(&state, 0o777);
    checked.expect(0, "warning", &["every user of this machine may write in it", "chmod 750"]);
    open_to_all(&state, 0o1777);
    open_to_all(&checked.node.config_file(), 0o666);
    checked.expect(
        0,
        "warning",
        &["configuration", "every user of this machine can change it", "chmod go-w"],
    );
    open_to_all(&checked.node.config_file(), 0o644);

    let secret = checked.node.path().join("key");
    fs::write(&secret, "k".repeat(32)).unwrap();
    let shared = format!("name = \"PROD\"\npeer_key_file = \"{}\"", secret.display());
    checked.node.write(&change(&checked.good(), "name = \"PROD\"", &shared));
    open_to_all(&secret, 0o644);
    checked.expect(0, "warning", &["peer_key_file", "every user of this machine can read the secret"]);
    give_to_ordinary_user(&secret);
    assert_eq!(checked.findings(), (0, Vec::new()));
    if rustix::process::geteuid().is_root() {
        // Another service's group can read it, and the user owns it.
        std::os::unix::fs::chown(&secret, Some(65534), Some(4242)).unwrap();
        open_to_all(&secret, 0o640);
        checked.expect(0, "warning", &["group 4242 can read the secret"]);
    }
}

/// A pipe in the place of a log or a token must not make the check hang.
#[test]
fn pipes_in_the_place_of_files() {
    let checked = checked();
    let pipe = checked.node.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    open_to_all(&pipe, 0o666);
    let token = format!("[admin]\ntoken_file = \"{}\"\n", pipe.display());
    let config = change(&checked.good(), "[admin]\n", &token);
    checked.node.write(&(config + &format!("wake_on = \"{}\"\n", pipe.display())));
    let mut command = as_ordinary_user(checked.node.path());
    command.args(["check", "--json", "--config"]).arg(checked.node.config_file());
    let mut check = Guarded::start(command.stdout(Stdio::piped()));
    assert_eq!(check.wait().code(), Some(78));
    let mut text = String::new();
    check.0.stdout.take().expect("it is piped").read_to_string(&mut text).unwrap();
    assert!(text.contains("is not a regular file: no line"), "{text}");
    assert!(text.contains("it is not a regular file"), "{text}");
}

#[test]
fn addresses() {
    let checked = checked();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    checked.node.write(
        &change(&checked.good(), "0.0.0.0:0", &taken)
            .replace("max_connections", "agent_check = \"0.0.0.0:0\"\nmax_connections"),
    );
    let (exit, findings) = checked.findings();
    assert_eq!(exit, 69);
    assert!(findings.iter().any(|f| f.to_string().contains("another program uses it")), "{findings:#?}");
    // TEST-NET-1 of RFC 5737: no machine has it.
    checked.node.write(&change(&checked.good(), "0.0.0.0:0", "192.0.2.1:8080"));
    checked.expect(69, "error", &["not an address of this machine"]);
}

#[test]
fn files_that_others_can_read_or_forge_are_reported() {
    let checked = checked();
    let token = checked.node.path().join("token");
    fs::write(&token, "0123456789abcdef0123456789abcdef\n").unwrap();
    open_to_all(&token, 0o640);
    let owner = if rustix::process::geteuid().is_root() { Some(65534) } else { None };
    std::os::unix::fs::chown(&token, owner, owner).unwrap();
    let everywhere = format!("[admin]\ntoken_file = \"{}\"\nlisten = \"0.0.0.0:0\"\n", token.display());
    checked.node.write(&change(&checked.good(), "[admin]\nlisten = \"127.0.0.1:0\"\n", &everywhere));
    checked.expect(0, "warning", &["[admin] listen 0.0.0.0:0", "bearer token without TLS", "[admin.tls]"]);

    let allow = |networks: &str| {
        let line = format!("max_connections = 16\nallowed_networks = [{networks}]\n");
        checked.node.write(&change(&checked.good(), "max_connections = 16\n", &line));
    };
    allow("\"::ffff:10.0.0.0/104\", \"192.0.2.0/24\"");
    checked.expect(
        0,
        "warning",
        &["allowed_networks ::ffff:10.0.0.0/104", "matches no client", "10.0.0.0/8"],
    );
    allow("\"::/0\"");
    checked.expect(0, "warning", &["allowed_networks ::/0", "matches no IPv4 client", "0.0.0.0/0"]);
    allow("\"::/0\", \"0.0.0.0/0\"");
    assert_eq!(checked.findings(), (0, Vec::new()));
}

#[test]
fn certificates() {
    let checked = checked();
    let reconfigure = |made: &Certificate| {
        checked.node.write(&(checked.good() + &made.table("health", checked.node.path())));
        give_to_ordinary_user(&checked.node.path().join("tls.key"));
    };
    reconfigure(&Certificate::new());
    assert_eq!(checked.findings(), (0, Vec::new()));
    open_to_all(&checked.node.path().join("tls.key"), 0o644);
    checked.expect(0, "warning", &["tls.key", "every user of this machine can read the private key"]);
    reconfigure(&Certificate::valid((1975, 1, 1), (2001, 1, 1)));
    checked.expect(78, "error", &["expired at 2001-01-01", "Renew it"]);
    reconfigure(&Certificate::valid((3001, 1, 1), (4096, 1, 1)));
    checked.expect(78, "error", &["not valid before 3001-01-01"]);
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 9);
    let day = soon.to_zoned(jiff::tz::TimeZone::UTC).date();
    let part = |part: i8| u8::try_from(part).expect("months and days are positive");
    reconfigure(&Certificate::valid((1975, 1, 1), (day.year().into(), part(day.month()), part(day.day()))));
    checked.expect(0, "warning", &["expires in 8 days", "Renew it"]);

    let (one, other) = (Certificate::new(), Certificate::new());
    reconfigure(&Certificate { certificate: one.certificate, key: other.key });
    checked.expect(78, "error", &["the key does not belong"]);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(checked.node.path().join("tls.key"), Some(0), Some(0)).unwrap();
    }
    open_to_all(&checked.node.path().join("tls.key"), 0o000);
    checked.expect(77, "error", &["tls.key", "Permission denied"]);
    fs::remove_file(checked.node.path().join("tls.key")).unwrap();
    checked.expect(78, "error", &["tls.key", "No such file"]);
}
