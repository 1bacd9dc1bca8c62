//! `mirrorvip probe`: each outcome for people and for machines, and its exit code.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mirrorvip::simulation::Mode;

use crate::support::node::{Node, change};
use crate::support::transcript::Transcript;
use crate::support::{as_ordinary_user, mirrorvip, open_to_all};

struct Asked {
    node: Node,
    transcript: Transcript,
}

fn asked(name: &'static str) -> Asked {
    let node = Node::primary();
    node.write(&node.config());
    let mut transcript = Transcript::new(name);
    transcript.hide(node.path().to_string_lossy(), "DIR");
    Asked { node, transcript }
}

impl Asked {
    fn probe(&mut self, what: &str, flags: &[&str]) {
        let mut command = mirrorvip();
        command.arg("probe").args(flags).arg("--config").arg(self.node.config_file());
        let title = ["mirrorvip probe", &flags.join(" "), "#", what].join(" ");
        self.transcript.run_as(&title, &mut command);
    }
}

#[test]
fn qlist_outcomes() {
    let mut asked = asked("probe-qlist");
    asked.probe("primary", &[]);
    asked.probe("primary", &["--json"]);
    asked.probe("the mirror's name in any case", &["--mirror", "prod"]);
    for (member, status) in [
        ("Failover", "Backup"),
        ("Disaster Recovery", "Connected"),
        ("Failover", "In Trouble"),
        ("Failover", "Primary and more"),
        ("", ""),
    ] {
        asked.node.iris.set_role(member, status).unwrap();
        asked.probe(&format!("`{member}` `{status}`"), &[]);
    }
    asked.node.iris.set_role("Failover", "Backup").unwrap();
    asked.probe("backup", &["--json"]);
    asked.node.iris.set_role("Failover", "Primary").unwrap();
    for mode in [Mode::Nothing, Mode::Die, Mode::Flood, Mode::Exit(3), Mode::Grandchild] {
        asked.node.iris.set_mode(mode).unwrap();
        asked.probe(&format!("{mode:?}"), &[]);
    }
    let hasty = asked.node.config().replace("\"5s\"", "\"200ms\"");
    asked.node.write(&hasty);
    asked.node.iris.set_mode(Mode::Hang).unwrap();
    asked.probe("Hang", &[]);
    asked.probe("Hang", &["--json"]);
    asked.transcript.check();
}

#[test]
fn set_ups_that_cannot_answer() {
    let mut asked = asked("probe-set-up");
    let good = asked.node.config();
    asked.node.write(&change(&good, "instance = \"IRIS\"", "instance = \"CACHE\""));
    asked.node.iris.set_line("IRIS^/usr/irissys^2024.1^running^^^^^ok^IRIS^Failover^Primary^/usr").unwrap();
    asked.probe("the simulated command exits 1 for an unknown instance", &[]);
    let command = asked.node.iris.command().to_string_lossy().into_owned();
    asked.node.write(&good.replace(&command, "/nonexistent/iris"));
    asked.probe("no such command", &["--json"]);
    asked.node.write(&good.replace(&command, "no-such-command"));
    // Its message shows PATH.
    let output = probe_with(&asked.node.config_file()).env("PATH", "/usr/bin").output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stdout).contains("no-such-command"));
    asked.transcript.check();
}

#[test]
fn other_probes() {
    let mut asked = asked("probe-others");
    let (table, _) = asked
        .node
        .config()
        .split_once("[mirror.probe.qlist]")
        .map(|(t, r)| (t.to_owned(), r.to_owned()))
        .unwrap();
    let role = asked.node.path().join("role");
    asked.node.write(&format!("{table}[mirror.probe.file]\npath = \"{}\"\n", role.display()));
    asked.probe("no publisher", &[]);
    fs::write(&role, "primary\n").unwrap();
    asked.probe("a fresh heartbeat", &[]);
    let old = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(&role).unwrap().set_modified(old).unwrap();
    let output = probe_with(&asked.node.config_file()).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stdout).contains("the last heartbeat is"));

    for (command, what) in [
        ("[\"/bin/true\"]", "exit 0"),
        ("[\"/bin/false\"]", "exit 1"),
        ("[\"/bin/sh\", \"-c\", \"echo backup; exit 1\"]", "exit 1 and a role"),
        ("[\"/bin/sh\", \"-c\", \"echo not allowed >&2; exit 2\"]", "exit 2"),
    ] {
        asked.node.write(&format!("{table}[mirror.probe.exec]\ncommand = {command}\n"));
        asked.probe(what, &[]);
    }
    asked.node.write(&format!(
        "{table}[mirror.probe.gateway]\nurl = \"http://127.0.0.1:1/csp/bin/mirror_status.cxw\"\n"
    ));
    asked.probe("nobody listens", &[]);
    asked.transcript.check();
}

#[test]
fn a_command_that_this_user_may_not_run_is_77() {
    let asked = asked("unused");
    open_to_all(&asked.node.iris.command(), 0o700);
    as_ordinary_user(asked.node.path());
    if !rustix::process::geteuid().is_root() {
        open_to_all(&asked.node.iris.command(), 0o000);
    }
    for flags in [&[][..], &["--json"]] {
        let mut command = as_ordinary_user(asked.node.path());
        let output =
            command.arg("probe").args(flags).arg("--config").arg(asked.node.config_file()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(77), "{text}");
        assert!(text.contains("denied") && text.contains("500"), "{text}");
    }
}

/// What a child prints could control the terminal of the reader. It does not get there.
#[test]
fn what_children_print_is_made_harmless() {
    let asked = asked("unused");
    asked.node.iris.set_mode(Mode::Corrupt).unwrap();
    for flags in [&[][..], &["--color", "always"], &["--json"]] {
        let output = probe_with(&asked.node.config_file()).args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(69));
        let text = String::from_utf8(output.stdout).expect("what is printed is UTF-8");
        assert!(text.contains("owned"), "the evidence is shown: {text}");
        let without_our_colours = text.replace("\x1b[", "");
        let bad = without_our_colours.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(bad, None, "{text:?}");
    }
}

fn probe_with(config: &Path) -> Command {
    let mut command = mirrorvip();
    command.args(["probe", "--config"]).arg(config);
    command
}
