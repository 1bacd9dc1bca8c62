//! Clients that may not ask, or ask too much: web pages, floods of connections, floods of wake-ups.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::Signal;

use super::{TOKEN, guarded, post};
use crate::support::node::{Node, change};
use crate::support::{Answer, Daemon, PATIENCE, eventually, get, now, request};

// === web pages ===

fn ask(daemon: &Daemon, line: &str, fields: &str) -> Answer {
    let text = format!("{line} HTTP/1.1\r\n{fields}Content-Length: 0\r\nConnection: close\r\n\r\n");
    request(daemon.admin, &text).expect("the admin listener answers")
}

#[test]
fn web_pages_neither_read_nor_wake() {
    let node = Node::primary();
    let daemon = Daemon::start(node.path(), &node.config());
    daemon.wait_for_page(200);
    let woken = || daemon.mirror("PROD")["probes"]["woken"].clone();
    for line in
        ["GET /", "GET /status", "HEAD /status", "GET /metrics", "GET /take", "POST /probe", "GET /nothing"]
    {
        // A name that an attacker points to this machine.
        let rebound = ask(&daemon, line, "Host: evil.example:9180\r\n");
        assert_eq!(rebound.status, 403, "{line}: {rebound:?}");
        let says_what_to_do = rebound.body.contains("`localhost`") && rebound.body.contains("`token_file`");
        assert!(line.starts_with("HEAD") || says_what_to_do, "{rebound:?}");
        for page in ["Origin: https://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"]
        {
            let answer = ask(&daemon, line, &format!("Host: 127.0.0.1\r\n{page}"));
            assert_eq!(answer.status, 403, "{line} {page}: {answer:?}");
            assert!(line.starts_with("HEAD") || answer.body.contains("web pages"), "{answer:?}");
        }
    }
    assert_eq!(woken(), 0);
    let port = daemon.admin.port();
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), "[::1]".to_owned()] {
        assert_eq!(ask(&daemon, "GET /status", &format!("Host: {host}\r\n")).status, 200, "{host}");
        assert_eq!(ask(&daemon, "POST /probe", &format!("Host: {host}\r\n")).status, 202, "{host}");
    }
    let old = request(daemon.admin, "GET /status HTTP/1.0\r\n\r\n").expect("the admin listener answers");
    assert_eq!(old.status, 200, "no browser speaks HTTP/1.0");
}

/// Prometheus scrapes a Service by its name, and no page knows the token.
#[test]
fn behind_a_token_any_name_may_be_asked_for_and_pages_still_may_not() {
    let node = Node::primary();
    let daemon = Daemon::start(node.path(), &guarded(&node));
    let with = |line: &str, fields: &str| {
        ask(&daemon, line, &format!("Authorization: Bearer {TOKEN}\r\n{fields}")).status
    };
    assert_eq!(with("GET /metrics", "Host: mirrorvip.iris.svc:9180\r\n"), 200);
    assert_eq!(with("POST /probe", "Host: mirrorvip.iris.svc:9180\r\n"), 202);
    assert_eq!(with("GET /metrics", "Host: 127.0.0.1\r\nOrigin: https://evil.example\r\n"), 403);
    assert_eq!(with("POST /probe", "Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n"), 403);
    assert_eq!(ask(&daemon, "GET /metrics", "Host: evil.example\r\n").status, 401, "and learn nothing");
}

// === connections ===

/// More than the listener has seats.
const CROWD: usize = 300;

/// A connection from another address of this machine than that of all other clients.
fn connect_from(address: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a descriptor is left");
    bind(&socket, &SocketAddrV4::new(address, 0)).expect("all of 127.0.0.0/8 is ours");
    connect(&socket, &to).expect("the port is open");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a positive time");
    stream
}

fn crowd(daemon: &Daemon) -> Vec<TcpStream> {
    (0..CROWD).map(|_| connect_from(Ipv4Addr::LOCALHOST, daemon.admin)).collect()
}

/// The status code of the next answer on a connection that stays open.
fn next_status(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    head.split(' ').nth(1).map(str::to_owned)
}

#[test]
fn a_crowd_of_strangers_keeps_no_token_holder_out() {
    let node = Node::primary();
    let daemon = Daemon::start(node.path(), &guarded(&node));
    daemon.wait_for_page(200);
    let whole = format!("GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    // A scraper that keeps its connection, from the same address as the crowd.
    let mut scraper = connect_from(Ipv4Addr::LOCALHOST, daemon.admin);
    scraper.write_all(whole.as_bytes()).expect("the connection is open");
    assert_eq!(next_status(&mut scraper).as_deref(), Some("200"));
    // A distant one, of whose request half has arrived.
    let mut distant = connect_from(Ipv4Addr::new(127, 0, 0, 2), daemon.admin);
    distant.write_all(&whole.as_bytes()[..20]).expect("the connection is open");

    let mut strangers = crowd(&daemon);
    strangers.extend(crowd(&daemon));
    let once = whole.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    assert_eq!(request(daemon.admin, &once).expect("an answer").status, 200, "a new one");
    scraper.write_all(whole.as_bytes()).expect("the connection is open");
    assert_eq!(next_status(&mut scraper).as_deref(), Some("200"), "the one that was there before");
    distant.write_all(&whole.as_bytes()[20..]).expect("the connection is open");
    assert_eq!(next_status(&mut distant).as_deref(), Some("200"), "the distant one");
    assert_eq!(daemon.page(), 200);
}

#[test]
fn silent_and_slow_clients_are_cut_and_do_not_keep_others_out() {
    let node = Node::primary();
    let daemon = Daemon::start(node.path(), &node.config());
    daemon.wait_for_page(200);
    let mut strangers = crowd(&daemon);
    let mut slow = connect_from(Ipv4Addr::LOCALHOST, daemon.admin);
    slow.write_all(b"GET /status HTTP/1.1\r\nHo").expect("the connection is open");
    assert_eq!(get(daemon.admin, "/status").expect("an answer").status, 200, "the next client");
    // Each of them is cut at once, or when its time is over.
    for stream in strangers.iter_mut().chain([&mut slow]) {
        let mut rest = Vec::new();
        let cut = stream.read_to_end(&mut rest);
        assert!(cut.is_ok() || cut.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
    assert_eq!(get(daemon.admin, "/status").expect("an answer").status, 200);
}

// === wake-ups ===

#[test]
fn a_flood_of_wake_ups_is_answered_and_asks_ten_times_a_second() {
    let node = Node::primary();
    let quick = change(&node.config(), "interval = \"100ms\"", "interval = \"1s\"");
    let daemon = Daemon::start(node.path(), &quick);
    daemon.wait_for_page(200);
    let probes = || daemon.mirror("PROD")["probes"]["definite"].as_u64().expect("a number");
    let (began, before) = (now(), probes());
    while now() - began < std::time::Duration::from_secs(3) {
        assert_eq!(post(&daemon, "/probe"), 202);
        daemon.signal(Signal::USR1);
    }
    // A burst of sixty, ten for each second, those of the timer and one in flight.
    let asked = probes() - before;
    let most = 60 + 11 * (now() - began).as_secs() + 12;
    assert!(asked <= most, "{asked} probes, and at most {most} are allowed");
    eventually("the timer's probes", || probes() > before + asked);
    assert_eq!(daemon.page(), 200);
}
