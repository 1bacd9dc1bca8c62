//! Sockets that are passed to the daemon: it serves them, and leaves them to the next process.
//!
//! Here the test is the service manager and holds the socket. A shell moves it to descriptor 3 and becomes the
//! daemon, as the protocol wants it; `systemd-socket-activate` passes one the real way.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use mirrorvip::simulation::Mode;
use rustix::process::Signal;

use crate::support::address::{free_port, own_address};
use crate::support::node::{Node, change};
use crate::support::{Daemon, Guarded, PATIENCE, eventually, get, mirrorvip};

const PAGE: &str = "/csp/bin/mirrorstatus.cxw";

/// A socket as the service manager holds it.
fn held() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind(free_port(own_address())).expect("no other process uses the address");
    let address = socket.local_addr().expect("it is bound");
    (socket, address)
}

/// The daemon with a socket at descriptor 3, called `name`.
fn passing(socket: impl Into<OwnedFd>, name: &str) -> Command {
    let mut command = Command::new("sh");
    let script =
        "exec 3<&0 </dev/null; LISTEN_PID=$$; LISTEN_FDS=1; export LISTEN_PID LISTEN_FDS; exec \"$@\"";
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_mirrorvip")]);
    command.env_remove("RUST_LOG").env("LISTEN_FDNAMES", name).stdin(Stdio::from(socket.into()));
    command
}

fn config(node: &Node, health: SocketAddr) -> String {
    change(&node.config(), "listen = [\"127.0.0.1:0\"]", &format!("listen = [\"{health}\"]"))
}

/// A daemon on the held socket whose log says that it started.
fn start(node: &Node, socket: &TcpListener, name: &str, config: &str) -> Daemon {
    Daemon::start_with(node.path(), config, passing(socket.try_clone().expect("a descriptor is left"), name))
}

#[test]
fn a_primary_that_restarts_refuses_and_fails_no_check() {
    let node = Node::primary();
    let (socket, address) = held();
    let config = config(&node, address);
    let stop = AtomicBool::new(false);
    let mut daemon = start(&node, &socket, "health", &config);
    let answers = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answers = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                answers
                    .push(get(address, PAGE).map(|answer| answer.status).map_err(|error| error.to_string()));
            }
            answers
        });
        for _ in 0..5 {
            daemon.wait_for_page(200);
            assert!(daemon.stop().success());
            // So that the first verdict takes its time, and clients wait for it.
            node.iris
                .set_mode(Mode::Slow(std::time::Duration::from_millis(100)))
                .expect("the mode can be set");
            daemon = start(&node, &socket, "health", &config);
        }
        daemon.wait_for_page(200);
        stop.store(true, Ordering::Relaxed);
        asking.join().expect("asking does not panic")
    });
    assert!(answers.len() > 10, "only {} answers", answers.len());
    let wrong: Vec<_> = answers.iter().filter(|answer| **answer != Ok(200)).collect();
    assert!(wrong.is_empty(), "{} of {} answers: {wrong:?}", wrong.len(), answers.len());
}

#[test]
fn a_client_between_two_processes_waits_and_gets_the_answer_of_that_moment() {
    let node = Node::primary();
    let (socket, address) = held();
    let config = config(&node, address);
    let daemon = start(&node, &socket, "health", &config);
    daemon.wait_for_page(200);
    daemon.crash();
    let mut waiting = TcpStream::connect(address).expect("the socket is open without a daemon");
    waiting.write_all(format!("GET {PAGE} HTTP/1.0\r\n\r\n").as_bytes()).expect("its queue takes a request");
    node.iris.set_role("Failover", "Backup").expect("the role can be set");
    let _daemon = start(&node, &socket, "", &config);
    waiting.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).expect("an answer in time");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[test]
fn an_instance_that_does_not_answer_holds_the_first_checks_up_for_a_moment_only() {
    let node = Node::primary();
    node.iris.set_mode(Mode::Hang).expect("the mode can be set");
    let (socket, address) = held();
    // The first verdict would come after a minute.
    let slow = config(&node, address).replace(
        "timeout = \"5s\"\nstale_after = \"6s\"",
        "timeout = \"60s\"\nstale_after = \"70s\"\nqos_timeout = \"90s\"",
    );
    let _daemon = start(&node, &socket, "health", &slow);
    assert_eq!(get(address, PAGE).expect("an answer").status, 503);
}

#[test]
fn a_primary_that_must_be_seen_twice_is_waited_for() {
    let node = Node::primary();
    let (socket, address) = held();
    let twice = change(&config(&node, address), "paths = [", "rise = 2\npaths = [");
    let _daemon = start(&node, &socket, "health", &twice);
    assert_eq!(get(address, PAGE).expect("an answer").status, 200);
}

#[test]
fn with_a_drain_the_page_says_503_before_it_leaves_the_socket() {
    let node = Node::primary();
    let (socket, address) = held();
    let drained =
        change(&config(&node, address), "max_connections = 16", "max_connections = 16\ndrain = \"60s\"");
    let mut daemon = start(&node, &socket, "health", &drained);
    daemon.wait_for_page(200);
    daemon.signal(Signal::TERM);
    daemon.wait_for_page(503);
    daemon.signal(Signal::TERM);
    assert!(daemon.wait_for_end().success());
}

#[test]
fn a_reload_keeps_the_socket_also_when_it_is_not_used_for_a_while() {
    let node = Node::primary();
    let (socket, address) = held();
    let used = config(&node, address);
    let mut daemon = start(&node, &socket, "health", &used);
    daemon.wait_for_page(200);
    // No other process could bind it: this would fail if it were bound again.
    assert_eq!(daemon.reload(&(used.clone() + "\n# changed\n"))["message"], "reloaded");
    assert_eq!(daemon.page(), 200);

    assert_eq!(daemon.reload(&node.config())["message"], "reloaded");
    assert_ne!(daemon.health[0], address);
    let unanswered = "the service manager listens on an address that is not in the configuration";
    let warned = |daemon: &Daemon| {
        daemon.log().iter().any(|line| line["message"].as_str().unwrap_or_default().starts_with(unanswered))
    };
    assert!(warned(&daemon), "{}", daemon.log_text());

    assert_eq!(daemon.reload(&used)["message"], "reloaded");
    assert_eq!(daemon.health[0], address);
    daemon.wait_for_page(200);
}

#[test]
fn the_admin_listener_takes_its_socket_by_name_or_by_address() {
    for name in ["admin", "mirrorvip.socket"] {
        let node = Node::primary();
        let (socket, address) = held();
        let config = change(&node.config(), "listen = \"127.0.0.1:0\"", &format!("listen = \"{address}\""));
        let daemon = start(&node, &socket, name, &config);
        assert_eq!(daemon.admin, address);
        eventually("a status", || daemon.mirror("PROD")["state"] == "primary");
        assert!(daemon.stop().success());
        assert!(TcpStream::connect(address).is_ok(), "its holder keeps it open");
    }
}

#[test]
fn sockets_that_do_not_fit_are_refused_with_their_reason() {
    let node = Node::primary();
    let refused = |mut command: Command, config: &str| {
        node.write(config);
        let output = command.args(["run", "--config"]).arg(node.config_file()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(78));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let (socket, address) = held();
    let complaint = refused(passing(socket, "admin"), &config(&node, address));
    assert!(
        complaint.contains("passes it as `admin`, and the configuration has the address at [health] listen"),
        "{complaint}"
    );

    let unix = UnixListener::bind(node.path().join("unix")).expect("the test's directory is writable");
    let complaint = refused(passing(unix, "health"), &node.config());
    assert!(
        complaint.contains("socket 1 (health)") && complaint.contains("it is not a listening TCP socket"),
        "{complaint}"
    );

    let mut many = mirrorvip();
    many.env("LISTEN_FDS", "4000000000");
    let complaint = refused(many, &node.config());
    assert!(complaint.contains("LISTEN_FDS is \"4000000000\""), "{complaint}");
}

/// systemd's own way of passing a socket: it listens, waits for the first connection, and becomes the daemon.
#[test]
fn systemd_socket_activate_starts_it_at_the_first_check() {
    let node = Node::primary();
    let address = free_port(own_address());
    node.write(&config(&node, address));
    let mut command = Command::new("systemd-socket-activate");
    command.arg(format!("--listen={address}")).arg("--fdname=health").arg("--setenv=PATH");
    command.arg(env!("CARGO_BIN_EXE_mirrorvip")).args(["run", "--config"]).arg(node.config_file());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut activated = Guarded::start(&mut command);
    let answer = eventually("an answer", || get(address, PAGE).ok());
    assert_eq!(answer.status, 200, "the first check waits for the first verdict");
    activated.signal(Signal::TERM);
    assert!(activated.wait().success());
}
