//! What the label says in the course of a member's life, and what the API server sees of it.

use std::fs;

use mirrorvip::simulation::Mode;

use super::api_server::{ApiServer, Fault, LABEL};
use crate::support::certificate::Certificate;
use crate::support::node::{Node, change};
use crate::support::{Daemon, eventually, mirrorvip};

const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.first.token";

/// A pod: its node, its certificate authority and its API server.
struct Pod {
    node: Node,
    server: ApiServer,
}

impl Pod {
    fn of(node: Node) -> Self {
        let certificate = Certificate::new();
        certificate.write(node.path());
        let pod = Self { server: ApiServer::start(&certificate, TOKEN), node };
        pod.hand_out(TOKEN);
        pod
    }

    /// The kubelet writes the token.
    fn hand_out(&self, token: &str) {
        fs::write(self.node.path().join("token.new"), format!("{token}\n")).expect("it is writable");
        fs::rename(self.node.path().join("token.new"), self.node.path().join("token"))
            .expect("it is writable");
    }

    fn config(&self) -> String {
        let directory = self.node.path().display();
        // A silence of the instance is reported within a second.
        let fast = self
            .node
            .config()
            .replace("timeout = \"5s\"\nstale_after = \"6s\"", "timeout = \"500ms\"\nstale_after = \"1s\"");
        format!(
            "{fast}\n[[mirror.kubernetes]]\npod = \"iris-0\"\nnamespace = \"prod\"\nserver = \"https://{}\"\n\
             ca_file = \"{directory}/tls.crt\"\ntoken_file = \"{directory}/token\"\n",
            self.server.address()
        )
    }

    fn start(&self) -> Daemon {
        Daemon::start(self.node.path(), &self.config())
    }

    fn wait_for_label(&self, value: &str) {
        eventually(&format!("label {value}; written: {:?}", self.server.written()), || {
            self.server.label().as_deref() == Some(value)
        });
    }

    fn set_role(&self, status: &str) {
        self.node.iris.set_role("Failover", status).expect("the role can be set");
    }

    /// What must hold in every story.
    fn check(&self) {
        assert_eq!(self.server.violations(), Vec::<String>::new());
        assert_eq!(self.server.other_labels()["app"], "iris", "the labels of others stay");
    }
}

#[test]
fn the_label_follows_the_role_and_a_restart_leaves_it() {
    let pod = Pod::of(Node::backup());
    let daemon = pod.start();
    pod.wait_for_label("backup");
    pod.set_role("Primary");
    pod.wait_for_label("primary");
    daemon.wait_for_page(200);
    pod.set_role("Backup");
    pod.wait_for_label("backup");
    pod.set_role("Primary");
    pod.wait_for_label("primary");
    assert_eq!(pod.server.written(), ["backup", "primary", "backup", "primary"]);

    // Neither a stop, a crash nor a start takes the primary's label.
    assert!(daemon.stop().success());
    let again = Daemon::start_again(pod.node.path());
    again.wait_for_page(200);
    again.crash();
    let reads = pod.server.reads();
    let last = Daemon::start_again(pod.node.path());
    last.wait_for_page(200);
    eventually("a read", || pod.server.reads() > reads);
    eventually("a report", || last.target()["state"] == "fulfilled");
    assert_eq!(pod.server.written().len(), 4);
    pod.check();
}

#[test]
fn silence_is_unknown_until_the_role_is_known_again() {
    let pod = Pod::of(Node::primary());
    let daemon = pod.start();
    pod.wait_for_label("primary");
    pod.node.iris.set_mode(Mode::Hang).expect("the mode can be set");
    pod.wait_for_label("unknown");
    assert_ne!(daemon.page(), 200, "the page refuses as well");
    pod.node.iris.set_mode(Mode::Answer).expect("the mode can be set");
    pod.wait_for_label("primary");
    pod.set_role("In Trouble");
    pod.wait_for_label("unknown");
    pod.set_role("Backup");
    pod.wait_for_label("backup");
    assert_eq!(pod.server.written(), ["primary", "unknown", "primary", "unknown", "backup"]);
    pod.check();
}

/// A daemon that starts beside a silent instance finds what another left.
#[test]
fn the_label_that_an_earlier_daemon_gave_a_silent_instance_does_not_stay() {
    let pod = Pod::of(Node::primary());
    pod.server.relabel(LABEL, "primary");
    pod.node.iris.set_mode(Mode::Hang).expect("the mode can be set");
    let _daemon = pod.start();
    pod.wait_for_label("unknown");
    assert_eq!(pod.server.written(), ["unknown"]);
    pod.check();
}

/// After a fault at the worst moment, too, the label becomes that of the role.
#[test]
fn faults_of_the_server_delay_the_label_and_no_more() {
    let pod = Pod::of(Node::backup());
    let daemon = pod.start();
    pod.wait_for_label("backup");
    pod.server.meet(&[Fault::Status(500), Fault::Status(429), Fault::Overtaken, Fault::Status(503)]);
    pod.set_role("Primary");
    daemon.wait_for_page(200);
    pod.wait_for_label("primary");
    // The answer is lost, the change is made: the next read shows it.
    pod.server.meet(&[Fault::LostAnswer]);
    pod.set_role("Backup");
    pod.wait_for_label("backup");
    eventually("a report", || daemon.target()["state"] == "fulfilled");
    // Never answered: abandoned after its deadline, and tried again.
    pod.server.meet(&[Fault::Silence]);
    pod.set_role("Primary");
    pod.wait_for_label("primary");
    assert_eq!(pod.server.written(), ["backup", "primary", "backup", "primary"]);
    pod.check();
}

/// The kubelet replaces the token long before it runs out; no restart is needed.
#[test]
fn a_new_token_is_used_at_once() {
    let pod = Pod::of(Node::backup());
    let _daemon = pod.start();
    pod.wait_for_label("backup");
    pod.server.accept_only("second.token");
    pod.hand_out("second.token");
    pod.set_role("Primary");
    pod.wait_for_label("primary");
    pod.check();
}

#[test]
fn an_external_change_is_reverted() {
    let pod = Pod::of(Node::primary());
    let config = change(&pod.config(), "name = \"PROD\"\n", "name = \"PROD\"\ndrift_interval = \"5s\"\n");
    let daemon = Daemon::start(pod.node.path(), &config);
    pod.wait_for_label("primary");
    eventually("a report", || daemon.target()["state"] == "fulfilled");
    pod.server.relabel(LABEL, "backup");
    // At the next drift check.
    pod.wait_for_label("primary");
    eventually("a count", || daemon.target()["drift_repaired"] == 1);
    pod.check();
}

#[test]
fn a_missing_right_is_reported_and_does_not_touch_the_page() {
    let pod = Pod::of(Node::primary());
    pod.server.allow(false);
    let daemon = pod.start();
    daemon.wait_for_page(200);
    let error = eventually("the refusal", || {
        let error = daemon.target()["last_error"].clone();
        (!error.is_null()).then_some(error)
    });
    assert_eq!(error["class"], "stop");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("cannot patch resource")), "{error}");
    assert!(!daemon.log_text().contains(TOKEN), "{}", daemon.log_text());

    let run = |verb: &str| {
        let output =
            mirrorvip().args([verb, "--config"]).arg(pod.node.config_file()).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = run("check");
    assert!(text.contains("403 Forbidden: pods \"iris-0\" is forbidden"), "{text}");
    assert!(text.contains("help: Allow the pod's service account to patch its own pod"), "{text}");
    assert_ne!(code, Some(0));
    assert_eq!(run("plan").0, Some(77));
    pod.server.allow(true);
    assert!(run("check").1.contains("may be patched; its label intersystems.com/mirrorRole is not set yet"));
    let (code, text) = run("plan");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("PatchPod metadata.labels intersystems.com/mirrorRole=primary"), "{text}");
    assert_eq!(pod.server.written(), Vec::<String>::new(), "neither of them writes");
    pod.check();
}
