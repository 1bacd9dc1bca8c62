//! Floods: one address, or many, that take every seat they can get, and checkers whose bytes come later.
//!
//! Nothing here is timed. A checker is distant because its request is sent after the whole flood was accepted,
//! which a check from a neighbour shows: connections are accepted in the order in which they came.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use mirrorvip::config::{Health, Tls};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketType};
use rustls::{ClientConnection, StreamOwned};

use super::harness::{CHECK, Rig, SUCCESS, eventually, serving, settings};
use crate::support::certificate::Certificate;

/// A load balancer that has checked before, far away.
const CHECKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);
/// Another, whose checks come whole.
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const FLOODER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// How many seats there are.
const SEATS: usize = 64;
/// How many connections a flood opens while a distant checker's request is on its way.
const FLOOD: usize = 400;
/// How long a client waits that expects to be closed at once.
const SOON: Duration = Duration::from_secs(10);

fn connect(to: SocketAddr, from: Ipv4Addr) -> TcpStream {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddrV4::new(from, 0)).unwrap();
    rustix::net::connect(&socket, &to).unwrap();
    let client = TcpStream::from(socket);
    client.set_read_timeout(Some(SOON)).unwrap();
    client
}

/// All that the server sends before it closes, or why that is not known.
fn answer(mut client: impl Read) -> String {
    let mut text = Vec::new();
    match client.read_to_end(&mut text) {
        Ok(_) => String::from_utf8(text).unwrap(),
        Err(error) => format!("{}{error}", text.escape_ascii()),
    }
}

fn check(to: SocketAddr, from: Ipv4Addr) -> String {
    let mut client = connect(to, from);
    client.write_all(CHECK.as_bytes()).unwrap();
    answer(client)
}

/// Asserts that the server closes, or resets, without having sent anything.
fn closed_without_an_answer(mut client: TcpStream) {
    let mut text = Vec::new();
    if let Err(error) = client.read_to_end(&mut text) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "closed, and not kept waiting for its request");
    }
    assert_eq!(String::from_utf8(text).unwrap(), "", "no answer, not even a refusal");
}

/// Polls until `done`. Deadlines of connections are longer: what happens sooner happened for another reason.
fn soon(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if done() {
            return;
        }
        std::thread::sleep(SOON / 1_000);
    }
    panic!("{what}: not within {SOON:?}");
}

fn is_open(client: &TcpStream) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    matches!(rustix::net::recv(client, &mut [0; 1], flags), Err(Errno::AGAIN))
}

/// Idle connections, each from the address that `from` gives it.
fn flood(rig: &Rig, from: impl Fn(usize) -> Ipv4Addr) -> Vec<TcpStream> {
    (0..FLOOD).map(|number| connect(rig.address(), from(number))).collect()
}

/// Waits until every connection so far was accepted.
fn all_accepted(rig: &Rig) {
    for _ in 0..2 {
        assert_eq!(check(rig.address(), NEIGHBOUR), SUCCESS, "a check from a neighbour is answered");
    }
}

/// Distant checks, each with a flood between its connection and the end of its request.
fn distant_checks_are_answered(from: impl Fn(usize) -> Ipv4Addr) {
    let rig = serving(Health { max_connections: SEATS, ..settings() });
    for known in [CHECKER, NEIGHBOUR] {
        assert_eq!(check(rig.address(), known), SUCCESS);
    }
    let mut _held = Vec::new();
    for (round, sent) in [0, 0, 9, CHECK.len() - 1].into_iter().enumerate() {
        let mut distant = connect(rig.address(), CHECKER);
        distant.write_all(&CHECK.as_bytes()[..sent]).unwrap();
        // The flood before ends when this one is complete.
        _held = flood(&rig, &from);
        all_accepted(&rig);
        assert!(is_open(&distant), "round {round}: the checker was shed while its request was on its way");
        distant.write_all(&CHECK.as_bytes()[sent..]).unwrap();
        assert_eq!(answer(distant), SUCCESS, "round {round}");
    }
}

#[test]
fn one_flooding_address_does_not_shed_a_distant_checker() {
    distant_checks_are_answered(|_| FLOODER);
}

#[test]
fn a_flood_of_many_addresses_does_not_shed_a_checker_that_asked_before() {
    distant_checks_are_answered(|number| {
        let [.., high, low] = u32::try_from(number).unwrap().to_be_bytes();
        Ipv4Addr::new(127, 1, high, low)
    });
}

#[test]
fn one_address_cannot_take_every_seat() {
    let rig = serving(Health { max_connections: SEATS, ..settings() });
    assert_eq!(check(rig.address(), NEIGHBOUR), SUCCESS);
    let first = flood(&rig, |_| FLOODER);
    all_accepted(&rig);
    soon("a seat that the flood does not have", || {
        first.iter().filter(|client| is_open(client)).count() < SEATS
    });
    let others = (1..=8).map(|number| connect(rig.address(), Ipv4Addr::new(127, 0, 1, number)));
    let others: Vec<_> = others.collect();
    let _second = flood(&rig, |_| FLOODER);
    all_accepted(&rig);
    for mut client in others {
        client.write_all(CHECK.as_bytes()).unwrap();
        assert_eq!(answer(client), SUCCESS, "the flood sheds its own");
    }
}

fn guarded() -> Health {
    let allowed_networks = vec!["127.0.0.0/26".parse().unwrap()];
    Health { max_connections: 16, allowed_networks, ..settings() }
}

#[test]
fn strangers_are_answered_at_once_or_closed() {
    let rig = serving(guarded());
    closed_without_an_answer(connect(rig.address(), FLOODER));
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let mut asking = connect(rig.address(), FLOODER);
            // It may be closed before this arrives.
            let _ = asking.write_all(CHECK.as_bytes());
            answer(asking)
        })
        .collect();
    assert!(asking.iter().any(|answer| answer.starts_with("HTTP/1.1 403 ")), "{asking:?}");
    assert!(!asking.iter().any(|answer| answer.contains("SUCCESS")), "{asking:?}");
    assert_eq!(check(rig.address(), CHECKER), SUCCESS);
}

#[test]
fn strangers_hold_no_seat() {
    let rig = serving(guarded());
    let checkers = (12..20).map(|number| connect(rig.address(), Ipv4Addr::new(127, 0, 0, number)));
    let checkers: Vec<_> = checkers.collect();
    let strangers = flood(&rig, |_| FLOODER);
    all_accepted(&rig);
    for mut client in checkers {
        client.write_all(CHECK.as_bytes()).unwrap();
        assert_eq!(answer(client), SUCCESS, "no client was shed for a stranger");
    }
    soon("closed strangers", || !strangers.iter().any(is_open));
}

/// A page with TLS and a key of P-256.
struct Secured {
    rig: Rig,
    made: Certificate,
    _directory: tempfile::TempDir,
}

impl Secured {
    fn new(settings: Health) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = Certificate::new();
        let (certificate, key) = made.write(directory.path());
        let rig = serving(Health { tls: Some(Tls { certificate, key }), ..settings });
        Self { rig, made, _directory: directory }
    }

    fn session(&self) -> ClientConnection {
        self.made.session().unwrap()
    }

    /// Goes on from wherever the handshake is; all that comes.
    fn finish(session: ClientConnection, socket: TcpStream) -> String {
        let mut stream = StreamOwned::new(session, socket);
        match stream.write_all(CHECK.as_bytes()) {
            Ok(()) => answer(stream),
            Err(error) => error.to_string(),
        }
    }

    fn check(&self, from: Ipv4Addr) -> String {
        Self::finish(self.session(), connect(self.rig.address(), from))
    }

    /// Clients that send the same `ClientHello` and never go on.
    fn replay(&self, count: usize) -> Vec<TcpStream> {
        let mut hello = Vec::new();
        self.session().write_tls(&mut hello).unwrap();
        let replay = |_| {
            let mut client = connect(self.rig.address(), FLOODER);
            client.write_all(&hello).unwrap();
            client
        };
        (0..count).map(replay).collect()
    }
}

#[test]
fn replayed_hellos_do_not_shed_a_distant_checkers_handshake() {
    let page = Secured::new(Health { max_connections: SEATS, ..settings() });
    for known in [CHECKER, NEIGHBOUR] {
        assert_eq!(page.check(known), SUCCESS);
    }
    let mut _held = Vec::new();
    for shakes_hands in [false, true] {
        let (mut session, mut distant) = (page.session(), connect(page.rig.address(), CHECKER));
        if shakes_hands {
            session.write_tls(&mut distant).unwrap();
        }
        _held = page.replay(2 * SEATS);
        assert_eq!(page.check(NEIGHBOUR), SUCCESS, "a check from a neighbour is answered");
        assert_eq!(Secured::finish(session, distant), SUCCESS, "its handshake had begun: {shakes_hands}");
    }
}

#[test]
fn unanswered_handshakes_give_their_seats_back() {
    let page = Secured::new(Health { header_timeout: Duration::from_secs(2), ..settings() });
    let held = page.replay(200);
    eventually("an answer beside them", || page.check(CHECKER) == SUCCESS);
    eventually("their end", || {
        held.iter().all(|client| {
            // Of what is closed, what the server sent can be read to its end.
            let mut words = [0; 4096];
            matches!(
                rustix::net::recv(client, &mut words, RecvFlags::DONTWAIT),
                Ok((0, _)) | Err(Errno::CONNRESET)
            )
        })
    });
    assert_eq!(page.check(CHECKER), SUCCESS);
}
