//! `mirrorvip take`: what is wrong before the daemon is asked, and the confirmation on a terminal.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::address::{free_port, own_address};
use crate::support::node::Node;
use crate::support::transcript::Transcript;
use crate::support::{Daemon, mirrorvip};
use crate::terminal::terminal;

#[test]
fn usage_is_checked_before_daemon_is_asked() {
    let nowhere = free_port(own_address());
    let url = format!("http://{nowhere}");
    let mut transcript = Transcript::new("take");
    transcript.hide(nowhere.to_string(), "ADDRESS");
    transcript.run(mirrorvip().arg("take"));
    for reason in ["", "two\nlines", &"x".repeat(201)] {
        transcript.run_as(
            &format!("mirrorvip take --reason {:?}", reason.get(..20).unwrap_or(reason)),
            mirrorvip().args(["take", "--reason", reason, "--url", &url]),
        );
    }
    transcript.run(mirrorvip().args(["take", "--mirror", "a&b", "--reason", "why", "--url", &url]));
    transcript.run(mirrorvip().args(["take", "--reason", "why", "--url", &url]));
    transcript.check();
}

/// What is printed after `answer` was typed on a terminal.
fn typed(daemon: &Daemon, answer: &str) -> Output {
    let (mut ours, theirs) = terminal();
    ours.write_all(answer.as_bytes()).expect("the terminal takes a line");
    mirrorvip()
        .args(["take", "--reason", "db2 is lost", "--url", &format!("http://{}", daemon.admin)])
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .expect("the command starts")
}

#[test]
fn confirmation_is_the_name_of_the_mirror() {
    let node = Node::primary();
    let silent = free_port(own_address());
    let peer = format!(
        "\n[[mirror.peer]]\naddress = \"{}\"\npage = \"http://{silent}/csp/bin/mirrorstatus.cxw\"\n",
        silent.ip()
    );
    let daemon = Daemon::start(node.path(), &(node.config() + &peer));
    daemon.wait_for_page(200);
    let taken = || daemon.mirror("PROD")["taken"].clone();
    for answer in ["yes\n", "\n", "TEST\n", "\u{4}"] {
        let output = typed(&daemon, answer);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{answer:?}: {complaint}");
        assert!(complaint.contains("Type the mirror's name (PROD) to confirm: "), "{complaint}");
        assert!(complaint.contains("not confirmed; nothing was changed"), "{complaint}");
        assert_eq!(taken(), Value::Null);
    }
    let output = typed(&daemon, "PROD\n");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("what is printed is UTF-8");
    assert!(text.contains("takes the traffic with term 1\n"), "{text}");
    assert_eq!(taken()["reason"], "db2 is lost");
}
