//! Real HAProxy in front of real daemons: what a load balancer sees, and what its clients get, while members
//! fail over, crash, freeze, restart and reload.
//!
//! HAProxy checks as its users configure it for the status page: `option httpchk` and `http-check expect string
//! SUCCESS`. Its own statistics show what it saw, and the clients record which member they reached.

#![expect(clippy::print_stderr, reason = "a failing test shows the logs of the processes that it ran")]

mod agent;
mod balancer;
mod clients;
mod commands;
mod crowd;
mod stage;
mod steady;
mod transports;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mirrorvip::simulation::Mode;
use rustix::process::{Pid, Signal};

use crate::support::{PATIENCE, eventually, now};
use balancer::Checks;
use clients::{NO_MEMBER, Session};
use stage::{STALE_AFTER, Stage};

#[test]
fn an_orderly_failover_moves_every_client_from_one_to_the_other() {
    let stage = Stage::start();
    let (a, b) = (stage.balancer.server("a"), stage.balancer.server("b"));
    let clients = stage.clients();
    clients.wait_for("a");
    let mut session = Session::open(stage.balancer.front).expect("HAProxy listens");
    assert_eq!(session.ask().as_deref(), Some("a"));

    stage.a.becomes("Transition");
    let fallen = stage.balancer.wait_until_down("a");
    assert_eq!(fallen.check_status(), "L7RSP", "it answered, without SUCCESS");
    clients.wait_for(NO_MEMBER);
    assert_eq!(session.ask(), None, "the session was cut when its server went down");

    stage.b.becomes("Primary");
    let risen = stage.balancer.wait_until_up("b");
    assert_eq!(risen.check_status(), "L7OK");
    clients.wait_for("b");
    stage.a.becomes("Backup");
    eventually("the old primary's daemon sees it as backup", || stage.a.status()["role"] == "backup");

    assert_eq!(stage.balancer.server("a").falls(), a.falls() + 1, "it went down once and stayed down");
    assert_eq!(stage.balancer.server("b").falls(), b.falls(), "the new primary stayed up");
    assert_eq!(clients.story(), ["a", NO_MEMBER, "b"]);
}

#[test]
fn a_killed_daemon_is_taken_out_and_returns_with_the_role_of_its_instance() {
    let mut stage = Stage::start();
    let a = stage.balancer.server("a");
    let clients = stage.clients();
    clients.wait_for("a");

    stage.a.kill();
    let fallen = stage.balancer.wait_until_down("a");
    assert_eq!(fallen.check_status(), "L4CON", "no process listens");
    clients.wait_for(NO_MEMBER);
    stage.b.becomes("Primary");
    clients.wait_for("b");

    stage.a.becomes("Backup");
    stage.a.start_again();
    stage.balancer.wait_for("a", "answer again", |server| server.check_status() == "L7RSP");
    assert!(stage.balancer.wait_until_down("a").falls() == a.falls() + 1, "it was not up in between");
    assert_eq!(clients.story(), ["a", NO_MEMBER, "b"]);
}

#[test]
fn a_frozen_daemon_wakes_up_without_saying_success() {
    let checks = Checks { timeout: Duration::from_millis(500), ..Checks::QUICK };
    let stage = Stage::start_with("header_timeout = \"60s\"\nrequest_timeout = \"60s\"", checks);
    let a = stage.balancer.server("a");
    let clients = stage.clients();
    clients.wait_for("a");
    // In the daemon's hands before it freezes, and silent.
    let early = Asking::begin(stage.a.page, "");

    stage.a.daemon().signal(Signal::STOP);
    let frozen_at = wait_until_frozen(stage.a.daemon().pid());
    let fallen = stage.balancer.wait_until_down("a");
    assert_eq!(fallen.check_status(), "L7TOUT", "the kernel accepts for it, and no process answers");
    stage.b.becomes("Primary");
    clients.wait_for("b");
    // No probe gives evidence after the thaw: answers then rest on earlier evidence.
    stage.a.iris.set_mode(Mode::Hang).expect("the test's directory is writable");
    let whole = Asking::begin(stage.a.page, REQUEST);
    let half = Asking::begin(stage.a.page, &REQUEST[..20]);
    eventually("the last evidence grows too old", || frozen_at.elapsed() > STALE_AFTER);

    stage.a.daemon().signal(Signal::CONT);
    for (asking, rest) in [(whole, ""), (half, &REQUEST[20..]), (early, REQUEST)] {
        let answer = asking.finish(rest);
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\nFAILED"), "{answer}");
    }
    stage.balancer.wait_for("a", "answer again", |server| server.check_status() == "L7RSP");

    stage.a.becomes("Backup");
    stage.a.iris.set_mode(Mode::Answer).expect("the test's directory is writable");
    eventually("the instance answers again", || stage.a.status()["role"] == "backup");
    assert_eq!(stage.balancer.wait_until_down("a").falls(), a.falls() + 1, "it was not up in between");
    assert_eq!(clients.story(), ["a", NO_MEMBER, "b"]);
}

#[test]
fn a_restart_fails_checks_from_the_order_to_stop_to_the_first_answer() {
    // For as long as the test needs: a second order to stop ends it.
    let mut stage = Stage::start_with("drain = \"60s\"", Checks::QUICK);
    let a = stage.balancer.server("a");
    let epoch = stage.a.status()["epoch"].take();

    stage.a.daemon().signal(Signal::TERM);
    let drained = stage.balancer.wait_until_down("a");
    assert_eq!(drained.check_status(), "L7RSP", "it still answers, without SUCCESS");
    stage.a.hurry_to_the_end();
    stage.balancer.wait_for("a", "gone", |server| server.check_status() == "L4CON");

    stage.a.iris.set_mode(Mode::Hang).expect("the test's directory is writable");
    stage.a.start_again();
    stage.balancer.wait_for("a", "answer before it knows", |server| server.check_status() == "L7RSP");
    stage.a.iris.set_mode(Mode::Answer).expect("the test's directory is writable");
    let risen = stage.balancer.wait_until_up("a");
    assert_eq!(risen.check_status(), "L7OK");
    assert_eq!(risen.falls(), a.falls() + 1, "it was down all the time in between");
    let status = stage.a.status();
    assert_eq!((&status["epoch"], &status["origin"]), (&epoch, &"found".into()), "no promotion was counted");
}

/// As HAProxy asks: HTTP/1.0 and nothing but the request line.
const REQUEST: &str = "GET /csp/bin/mirrorstatus.cxw HTTP/1.0\r\n\r\n";

/// A client whose request is on its way.
struct Asking(TcpStream);

// === impl Asking ===

impl Asking {
    fn begin(address: SocketAddr, start: &str) -> Self {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the system accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        stream.write_all(start.as_bytes()).expect("a fresh connection takes a line");
        Self(stream)
    }

    /// Sends the rest and reads the answer.
    fn finish(mut self, rest: &str) -> String {
        self.0.write_all(rest.as_bytes()).expect("the connection is open");
        let mut answer = String::new();
        self.0.read_to_string(&mut answer).expect("an answer in time");
        answer
    }
}

/// Waits until each thread has stopped; since then nothing was asked.
fn wait_until_frozen(process: Pid) -> std::time::Instant {
    let tasks = format!("/proc/{}/task", process.as_raw_nonzero());
    eventually("the daemon is frozen", || {
        let threads = fs::read_dir(&tasks).expect("the process is there").flatten();
        let mut states = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
        // `PID (NAME) STATE ...`: the name may hold blanks and brackets.
        states.all(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))).then(now)
    })
}
