//! Colours and log formats, on a terminal and off it.

use std::fs;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::node::Node;
use crate::support::{Daemon, Guarded, eventually, mirrorvip, request};

/// A role that serves, in colour.
const GREEN: &str = "\x1b[1m\x1b[32mprimary\x1b[0m";

/// The two ends of a terminal: ours, and the one that a program writes to.
pub(crate) fn terminal() -> (fs::File, fs::File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("the system has pseudo-terminals");
    grantpt(&ours).expect("the terminal is ours");
    unlockpt(&ours).expect("the terminal is ours");
    let name = ptsname(&ours, Vec::new()).expect("it has a name").into_string().expect("an ASCII path");
    let theirs = fs::File::options().read(true).write(true).open(name).expect("it is unlocked");
    (fs::File::from(ours), theirs)
}

/// What `command` writes to a terminal as its standard output.
fn on_a_terminal(command: &mut Command) -> String {
    let (mut ours, theirs) = terminal();
    command.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("CLICOLOR");
    let mut child = Guarded::start(command.stdout(OwnedFd::from(theirs)).stderr(Stdio::null()));
    // The command holds the other end, too.
    command.stdout(Stdio::null());
    assert!(child.wait().success());
    let mut text = Vec::new();
    // A terminal whose other end is closed ends with an error.
    let _end = ours.read_to_end(&mut text);
    String::from_utf8(text).expect("what is printed is UTF-8")
}

#[test]
fn colour_is_for_terminals() {
    let node = Node::primary();
    node.write(&node.config());
    let probe = |when: &[&str]| {
        let mut command = mirrorvip();
        command.args(when).args(["probe", "--config"]).arg(node.config_file());
        command
    };
    let piped = |when: &[&str]| String::from_utf8(probe(when).output().unwrap().stdout).unwrap();
    assert!(!piped(&[]).contains('\x1b'));
    assert!(!piped(&["--color", "never"]).contains('\x1b'));
    assert!(piped(&["--color", "always"]).contains(GREEN));
    assert!(on_a_terminal(&mut probe(&[])).contains(GREEN));
    assert!(!on_a_terminal(&mut probe(&["--color", "never"])).contains('\x1b'));
}

#[test]
fn watching_uses_the_alternate_screen_and_fits_it() {
    use rustix::termios::{Winsize, tcsetwinsize};

    let node = Node::primary();
    let daemon = Daemon::start(node.path(), &node.config());
    daemon.wait_for_page(200);
    let (mut ours, theirs) = terminal();
    let size = Winsize { ws_row: 12, ws_col: 40, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&theirs, size).expect("the terminal is ours");
    let mut command = mirrorvip();
    command.env("TERM", "xterm").args(["status", "--watch", "--url", &format!("http://{}", daemon.admin)]);
    let mut child = Guarded::start(command.stdout(OwnedFd::from(theirs)).stderr(Stdio::null()));
    command.stdout(Stdio::null());
    let (mut text, mut chunk) = (Vec::new(), [0; 1024]);
    while String::from_utf8_lossy(&text).matches("\x1b[2J").count() < 2 {
        let count = ours.read(&mut chunk).expect("the command runs");
        text.extend_from_slice(&chunk[..count]);
    }
    child.signal(Signal::INT);
    let _end = ours.read_to_end(&mut text);
    child.wait();
    let text = String::from_utf8(text).expect("what is printed is UTF-8");
    let (begin, frames) = text.split_once("\x1b[H\x1b[2J").expect("a first screen");
    assert!(begin.contains("\x1b[?1049h"), "{begin:?}");
    assert!(frames.ends_with("\x1b[?25h\x1b[?1049l"), "the terminal is as it was: {frames:?}");
    let first = frames.split("\x1b[H\x1b[2J").next().expect("a screen");
    let first = anstream::adapter::strip_str(first).to_string();
    assert!(first.contains("PROD  primary"), "{first}");
    assert!(first.lines().count() <= 12 && first.lines().all(|line| line.chars().count() <= 40), "{first}");
}

/// Starts a daemon with its log on a terminal, ends it, and gives the log.
fn log_on_a_terminal(node: &Node, flags: &[&str]) -> String {
    node.write(&node.config());
    let (mut ours, theirs) = terminal();
    let mut command = mirrorvip();
    command.env("TERM", "xterm").env_remove("NO_COLOR").args(["run", "--exit-with-parent"]).args(flags);
    command.arg("--config").arg(node.config_file()).stderr(OwnedFd::from(theirs));
    let mut child = Guarded::start(&mut command);
    command.stderr(Stdio::null());
    let (mut text, mut chunk) = (Vec::new(), [0; 1024]);
    // Blocks until the daemon says the next thing.
    while !String::from_utf8_lossy(&text).contains("state changed") {
        let count = ours.read(&mut chunk).expect("the daemon runs");
        text.extend_from_slice(&chunk[..count]);
    }
    child.signal(Signal::TERM);
    let _end = ours.read_to_end(&mut text);
    assert!(child.wait().success());
    String::from_utf8(text).expect("what is printed is UTF-8")
}

#[test]
fn logs_are_text_on_a_terminal_and_json_otherwise() {
    let node = Node::primary();
    let text = log_on_a_terminal(&node, &[]);
    assert!(text.contains("\x1b[32m INFO\x1b[0m"), "{text}");
    let text = log_on_a_terminal(&node, &["--color", "never"]);
    assert!(text.contains(" INFO started version=") && !text.contains('\x1b'), "{text}");
    let text = log_on_a_terminal(&node, &["--log-format", "json"]);
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{text}");
}

#[test]
fn log_and_rust_log_set_the_level_and_log_wins() {
    let node = Node::primary();
    let levels = |level: Option<&str>, variable: Option<&str>| {
        node.write(&node.config());
        let mut command = mirrorvip();
        command.args(level.map(|level| ["--log", level]).into_iter().flatten());
        if let Some(variable) = variable {
            command.env("RUST_LOG", variable);
        }
        let mut daemon = Daemon::launch(node.path(), command);
        // The state file of a silent daemon shows that it runs.
        eventually("the first verdict", || node.path().join("state/PROD.json").exists());
        daemon.signal(Signal::TERM);
        assert!(daemon.wait_for_end().success());
        fs::remove_file(node.path().join("state/PROD.json")).unwrap();
        let log = daemon.log();
        log.iter().any(|line| line["level"] == "INFO")
    };
    assert!(levels(None, None));
    assert!(!levels(Some("error"), None));
    assert!(!levels(None, Some("error")));
    assert!(levels(None, Some("")));
    assert!(levels(Some("info"), Some("error")));

    let mut debugging = mirrorvip();
    debugging.args(["--log", "debug"]);
    let mut daemon = Daemon::start_with(node.path(), &node.config(), debugging);
    let _refusal = request(daemon.admin, "this is no request\r\n\r\n");
    assert_eq!(daemon.wait_for_log("an admin connection ended early")["level"], "DEBUG");
}
