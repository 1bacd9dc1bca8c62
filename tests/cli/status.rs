//! `mirrorvip status`: of a running daemon, of none, of a stranger, and again and again.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Output, Stdio};

use mirrorvip::admin::status::Status;
use rustix::process::Signal;

use crate::support::node::{Node, change};
use crate::support::{Daemon, Guarded, mirrorvip};

fn status(daemon: &Daemon, flags: &[&str]) -> Output {
    mirrorvip()
        .args(["status", "--url", &format!("http://{}", daemon.admin)])
        .args(flags)
        .output()
        .expect("the command starts")
}

#[test]
fn of_a_running_daemon() {
    let node = Node::primary();
    let daemon = Daemon::start(node.path(), &node.config());
    daemon.wait_for_page(200);
    let people = status(&daemon, &[]);
    assert!(people.status.success());
    assert_eq!(people.stderr, b"");
    let text = String::from_utf8(people.stdout).unwrap();
    let pid = daemon.pid().as_raw_nonzero();
    for words in [
        &format!("mirrorvip {}, pid {pid}, started ", env!("CARGO_PKG_VERSION"))[..],
        "PROD  primary  page 200 SUCCESS\n",
        "  epoch     1 (found)\n",
        "  checks    127.0.0.1 asked ",
        "starting -> primary: the instance is primary\n",
    ] {
        assert!(text.contains(words), "no `{words}` in:\n{text}");
    }
    assert!(!text.contains('\x1b'), "no colour into a pipe");

    let machines = status(&daemon, &["--json"]);
    let document: Status = serde_json::from_slice(&machines.stdout).expect("the documented document");
    assert_eq!(document.pid, u32::try_from(pid.get()).unwrap());
    assert!(document.mirrors[0].serving);

    // Without --url the configuration says where the daemon is.
    let config =
        change(&node.config(), "127.0.0.1:0\"\n\n[[mirror]]", &format!("{}\"\n\n[[mirror]]", daemon.admin));
    let elsewhere = node.path().join("elsewhere.toml");
    fs::write(&elsewhere, config).unwrap();
    let found = mirrorvip().args(["status", "--config"]).arg(&elsewhere).output().unwrap();
    assert!(String::from_utf8_lossy(&found.stdout).contains("PROD  primary"));

    daemon.stop();
    let gone = mirrorvip().args(["status", "--config"]).arg(&elsewhere).output().unwrap();
    assert_eq!(gone.status.code(), Some(69));
    let complaint = String::from_utf8_lossy(&gone.stderr);
    assert!(complaint.contains("Check that the daemon runs"), "{complaint}");
    assert_eq!(gone.stdout, b"");
}

#[test]
fn of_a_stranger() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", stranger.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = stranger.accept().unwrap();
        // Closing with unread bytes would reset the connection, and the answer with it.
        let mut request = BufReader::new(stream.try_clone().unwrap()).lines();
        assert!(request.any(|line| line.unwrap().is_empty()));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
    });
    let output = mirrorvip().args(["status", "--url", &url]).output().unwrap();
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is another program on this port?"));
}

fn watch(daemon: &Daemon) -> Guarded {
    let url = format!("http://{}", daemon.admin);
    Guarded::start(mirrorvip().args(["status", "--watch", "--url", &url]).stdout(Stdio::piped()))
}

#[test]
fn watch_runs_until_it_is_interrupted_or_its_output_is_closed() {
    let node = Node::primary();
    let daemon = Daemon::start(node.path(), &node.config());

    let mut watching = watch(&daemon);
    let mut lines = BufReader::new(watching.0.stdout.take().expect("it is piped")).lines();
    let mut next = || lines.find(|line| line.as_ref().unwrap().starts_with("mirrorvip ")).unwrap().unwrap();
    assert!(!next().contains('\x1b'), "into a pipe nothing is cleared");
    next();
    watching.signal(Signal::INT);
    assert_eq!(
        watching.wait().signal(),
        Some(Signal::INT.as_raw()),
        "as shells expect of what they interrupt"
    );

    let mut watching = watch(&daemon);
    let mut reader = BufReader::new(watching.0.stdout.take().expect("it is piped"));
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    assert!(watching.wait().success());
}
