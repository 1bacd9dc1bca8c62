//! What the daemon reports to the service manager, as the test receives it on `NOTIFY_SOCKET`.

use std::os::unix::net::UnixDatagram;

use mirrorvip::simulation::Mode;
use rustix::process::Signal;

use crate::support::node::{Node, change};
use crate::support::{Daemon, eventually, mirrorvip};

/// The service manager's ear.
struct Manager {
    socket: UnixDatagram,
    received: Vec<String>,
}

// === impl Manager ===

impl Manager {
    fn new(node: &Node) -> Self {
        let socket =
            UnixDatagram::bind(node.path().join("notify")).expect("the test's directory is writable");
        socket.set_nonblocking(true).expect("a socket of ours");
        Self { socket, received: Vec::new() }
    }

    /// Starts a daemon that reports here. The watchdog is patient enough for any machine.
    fn start(&mut self, node: &Node, config: &str) -> Daemon {
        self.received.clear();
        let mut command = mirrorvip();
        command.env("NOTIFY_SOCKET", node.path().join("notify")).env("WATCHDOG_USEC", "4000000");
        node.write(config);
        Daemon::launch(node.path(), command)
    }

    /// All messages so far.
    fn listen(&mut self) -> &[String] {
        let mut buffer = [0; 8_192];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let text = std::str::from_utf8(&buffer[..length]).expect("messages are text");
            self.received.push(text.to_owned());
        }
        &self.received
    }

    /// Waits for a message that begins like this, and gives its place.
    fn wait_for(&mut self, start: &str) -> usize {
        eventually(&format!("the message {start}"), || {
            self.listen().iter().position(|message| message.starts_with(start))
        })
    }

    /// The last status.
    fn status(&mut self) -> Option<String> {
        let mut statuses = self.listen().iter().filter_map(|message| message.strip_prefix("STATUS="));
        statuses.next_back().map(str::to_owned)
    }

    fn wait_for_status(&mut self, wanted: &str) {
        let mut last = None;
        eventually(&format!("the status {wanted}"), || {
            last = self.status();
            last.as_deref() == Some(wanted)
        });
    }
}

#[test]
fn ready_is_sent_at_the_first_verdict_and_the_status_follows_the_role() {
    let node = Node::primary();
    let mut manager = Manager::new(&node);
    node.iris.set_mode(Mode::Hang).expect("the mode can be set");
    let daemon = manager.start(&node, &node.config());
    manager.wait_for_status("PROD: FAILED, no probe has answered yet");
    assert!(!manager.listen().iter().any(|message| message == "READY=1"), "nothing is known yet");
    node.iris.set_mode(Mode::Answer).expect("the mode can be set");
    manager.wait_for("READY=1");
    manager.wait_for_status("PROD: SUCCESS, the instance is primary, epoch 1");
    node.iris.set_role("Failover", "Backup").expect("the role can be set");
    manager.wait_for_status("PROD: FAILED, the instance is backup");
    assert_eq!(manager.listen().iter().filter(|message| *message == "READY=1").count(), 1);
    assert!(daemon.stop().success());
}

#[test]
fn a_verdict_without_evidence_is_a_verdict() {
    let node = Node::backup();
    let mut manager = Manager::new(&node);
    node.iris.set_mode(Mode::Exit(3)).expect("the mode can be set");
    let _daemon = manager.start(&node, &node.config());
    manager.wait_for("READY=1");
    let status = manager.status().expect("a status comes first");
    assert!(status.starts_with("PROD: FAILED, ") && status.contains('3'), "{status}");
}

#[test]
fn the_watchdog_is_fed_while_all_goes_well() {
    let node = Node::primary();
    let mut manager = Manager::new(&node);
    let _daemon = manager.start(&node, &node.config());
    eventually("three meals", || {
        let meals = manager.listen().iter().filter(|message| *message == "WATCHDOG=1").count();
        meals >= 3
    });
    let ready = manager.wait_for("READY=1");
    assert!(ready < manager.wait_for("WATCHDOG=1"), "nothing is owed before");
}

#[test]
fn a_reload_is_announced_with_its_time_and_ended() {
    let node = Node::primary();
    let mut manager = Manager::new(&node);
    let mut daemon = manager.start(&node, &node.config());
    manager.wait_for("READY=1");
    assert_eq!(daemon.reload(&node.config())["message"], "reloaded");
    let reloading = manager.wait_for("RELOADING=1\nMONOTONIC_USEC=");
    let time = manager.received[reloading].rsplit('=').next().expect("there is one");
    assert!(time.parse::<u64>().is_ok_and(|time| time > 0), "{time}");
    let ready = |manager: &mut Manager, from: usize| {
        eventually("the end of the reload", || {
            manager.listen()[from..].iter().any(|message| message == "READY=1")
        });
    };
    ready(&mut manager, reloading);

    let before = manager.listen().len();
    let line = daemon.reload("nonsense = 1");
    assert!(line["message"].as_str().is_some_and(|message| message.contains("stays in force")), "{line}");
    ready(&mut manager, before);
    manager.wait_for_status(
        "the new configuration was refused, the old one is in force; \
         PROD: SUCCESS, the instance is primary, epoch 1",
    );
    daemon.reload(&node.config());
    manager.wait_for_status("PROD: SUCCESS, the instance is primary, epoch 1");
}

/// The file loses a mirror: until that is certain, the reload is under way, and another one begins it again.
#[test]
fn a_reload_that_waits_is_ended_once() {
    let node = Node::primary();
    let mut manager = Manager::new(&node);
    let both = node.config() + &node.mirror("TEST", "[\"/test\"]");
    let mut daemon = manager.start(&node, &both);
    manager.wait_for("READY=1");
    node.write(&node.config());
    daemon.signal(Signal::HUP);
    let first = manager.wait_for("RELOADING=1\nMONOTONIC_USEC=");
    daemon.wait_for_log(
        "a reload waits: the file removes something from the configuration in force; it is applied once it has not changed for 2 s",
    );
    daemon.signal(Signal::HUP);
    let count = |manager: &mut Manager, start: &str| {
        manager.listen()[first..].iter().filter(|message| message.starts_with(start)).count()
    };
    eventually("the second order", || count(&mut manager, "RELOADING=1") == 2);
    let line = daemon.wait_for_log("reloaded");
    assert_eq!(line["removes"], "mirror TEST");
    eventually("the end of the reload", || count(&mut manager, "READY=1") > 0);
    assert_eq!(count(&mut manager, "READY=1"), 1);
}

#[test]
fn stopping_is_sent_first_and_asks_for_the_time_that_the_drain_takes() {
    let node = Node::primary();
    let mut manager = Manager::new(&node);
    let drained = change(&node.config(), "max_connections = 16", "max_connections = 16\ndrain = \"60s\"");
    let mut daemon = manager.start(&node, &drained);
    daemon.wait_for_log("started");
    manager.wait_for("READY=1");
    daemon.signal(Signal::TERM);
    let stopping = manager.wait_for("STOPPING=1");
    assert_eq!(manager.received[stopping], "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=90000000");
    manager.wait_for_status("PROD: FAILED, mirrorvip is stopping");
    assert!(
        manager.received[..stopping].iter().all(|message| !message.contains("mirrorvip is stopping")),
        "it is sent before any check is refused"
    );
    daemon.signal(Signal::TERM);
    assert!(daemon.wait_for_end().success());
}
