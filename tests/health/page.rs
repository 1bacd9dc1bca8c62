//! What is answered: every row of the tables in `respond` and `route`, over the wire.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use mirrorvip::observation::{AsyncKind, NoEvidence, Role};

use super::harness::{
    CHECK, FAILED, Rig, STALE_AFTER, SUCCESS, UNANSWERABLE, ask, ask_and_shut, connect, eventually, read_all,
    serving, settings, status,
};

#[test]
fn the_page_byte_for_byte() {
    let rig = serving(settings());
    assert_eq!(rig.check(), SUCCESS);
    rig.says(0, Ok(Role::Backup));
    assert_eq!(rig.check(), FAILED);
    rig.says(0, Err(NoEvidence::CommandMissing("no command iris".into())));
    rig.pass(STALE_AFTER);
    rig.says(0, Err(NoEvidence::CommandMissing("no command iris".into())));
    assert_eq!(rig.check(), UNANSWERABLE);
}

#[test]
fn every_way_to_ask_for_it() {
    let rig = serving(settings());
    for request in [
        "GET /csp/bin/mirrorstatus.cxw HTTP/1.1\r\nHost: a\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n",
        "GET /csp/bin/mirror_status.cxw HTTP/1.0\r\n\r\n",
        "GET /CSP/BIN/Mirror_Status.CXW?x=1&y HTTP/1.1\r\n\r\n",
        "GET /csp/bin/Systems/mirror_status.cxw HTTP/1.1\r\nConnection: keep-alive\r\n\r\n",
        "GET http://member:8080/csp/bin/mirror_status.cxw HTTP/1.1\r\nHost: member\r\n\r\n",
        "\r\nGET /csp/bin/mirror_status.cxw HTTP/1.1\n\n",
        "GET /csp/bin/mirror_status.cxw HTTP/1.1\r\nX: \x7f\r\n\r\n".replace('\x7f', "\u{e9}").as_str(),
    ] {
        assert_eq!(ask(rig.address(), request), SUCCESS, "{request:?}");
    }
    let head = ask(rig.address(), CHECK.replace("GET", "HEAD"));
    assert_eq!(head, SUCCESS.strip_suffix("SUCCESS").unwrap());
    for cut_off in [CHECK.trim_end(), CHECK.strip_suffix("\r\n").unwrap()] {
        assert_eq!(ask_and_shut(rig.address(), cut_off), SUCCESS, "{cut_off:?}");
    }
    assert_eq!(ask_and_shut(rig.address(), ""), "", "a check of the port alone");
    assert_eq!(ask_and_shut(rig.address(), CHECK), SUCCESS);
}

#[test]
fn pieces_pipelines_and_bodies() {
    let rig = serving(settings());
    let mut client = connect(rig.address());
    for byte in CHECK.as_bytes() {
        client.write_all(&[*byte]).unwrap();
    }
    assert_eq!(read_all(client), SUCCESS);
    assert_eq!(ask(rig.address(), CHECK.repeat(3)), SUCCESS, "one answer a connection");
    let post = format!("POST {} HTTP/1.1\r\nContent-Length: 40000\r\n\r\n", "/csp/bin/mirror_status.cxw");
    let mut client = connect(rig.address());
    client.write_all(post.as_bytes()).unwrap();
    client.write_all("x".repeat(40_000).as_bytes()).unwrap();
    let answer = read_all(client);
    assert_eq!(status(&answer), 405);
    assert!(answer.contains("\r\nAllow: GET, HEAD\r\n"));
}

#[test]
fn the_answer_expires_without_a_writer() {
    let rig = serving(settings());
    rig.pass(STALE_AFTER.checked_sub(Duration::from_millis(1)).unwrap());
    assert_eq!(rig.check(), SUCCESS);
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.check(), FAILED);
    let answer = ask(rig.address(), "GET /primary HTTP/1.1\r\n\r\n");
    assert!(answer.ends_with("\r\n\r\nthe last evidence is too old\n"), "{answer}");
}

#[test]
fn several_mirrors() {
    let rig = Rig::start(settings(), &[("A", "/csp"), ("B", "/csp/user")]);
    let get = |path: &str| status(&ask(rig.address(), format!("GET {path} HTTP/1.1\r\n\r\n")));
    assert_eq!(get("/live"), 200);
    assert_eq!(get("/ready"), 503);
    rig.says(1, Ok(Role::Primary));
    assert_eq!(get("/ready"), 503);
    rig.says(0, Ok(Role::Async(AsyncKind::DisasterRecovery)));
    assert_eq!(get("/ready"), 200);
    assert_eq!(get("/csp/bin/mirror_status.cxw"), 503);
    assert_eq!(get("/csp/user/mirror_status.cxw"), 200);
    assert_eq!(get("/other/mirror_status.cxw"), 404);
    assert_eq!((get("/A/primary"), get("/A/async"), get("/B/primary")), (503, 200, 200));
    assert_eq!(get("/primary"), 404);
}

#[test]
fn input_that_is_no_request_is_answered_with_an_error() {
    let rig = serving(settings());
    // Nothing times out in this server: the answers below come because they are due.
    assert_eq!(status(&ask(rig.address(), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")), 400, "TLS");
    assert_eq!(status(&ask(rig.address(), "\r\n\r\n\0\r\nQUIT\n")), 400, "an unexpected PROXY header");
    assert_eq!(status(&ask(rig.address(), "GET /live\r\n")), 400, "HTTP/0.9");
    assert_eq!(status(&ask(rig.address(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), 400);
    let answer = ask(rig.address(), "GET / HTTP/1.1\r\n\r\n");
    assert_eq!(status(&answer), 404);
    assert!(answer.contains("/csp/bin/mirror_status.cxw"), "{answer}");
    assert_eq!(status(&ask(rig.address(), "OPTIONS / HTTP/1.0\r\n\r\n")), 404);
}

#[test]
fn clients_that_leave_early_harm_no_other() {
    let rig = serving(settings());
    for bytes in ["", "GET", CHECK] {
        for _ in 0..20 {
            let mut client = connect(rig.address());
            client.write_all(bytes.as_bytes()).unwrap();
            drop::<TcpStream>(client);
        }
    }
    rig.until(|counters| counters.accepted == 60);
    assert_eq!(rig.check(), SUCCESS);
    assert!(rig.is_turning());
}

#[test]
fn remembers_each_checker() {
    let rig = serving(settings());
    assert_eq!(rig.server().checkers().asked("PROD"), None);
    ask(rig.address(), "GET /backup HTTP/1.1\r\n\r\n");
    // It is recorded just after the answer was sent.
    eventually("row", || !rig.server().checkers().snapshot().is_empty());
    assert_eq!(rig.server().checkers().asked("PROD"), None);
    rig.check();
    rig.pass(Duration::from_secs(1));
    rig.check();
    ask(rig.address(), "GET /live HTTP/1.1\r\n\r\n");
    eventually("count", || rig.server().checkers().snapshot()[0].count == 3);
    let rows = rig.server().checkers().snapshot();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].address.to_string().as_str(), &*rows[0].mirror), ("127.0.0.1", "PROD"));
    assert_eq!((rows[0].last_status, rows[0].first.age_at(rows[0].last)), (200, Duration::from_secs(1)));
    assert_eq!(rig.server().checkers().asked("PROD").map(|asked| asked.last), Some(rows[0].last));
}

#[test]
fn a_stop_finishes_what_has_begun() {
    let mut rig = serving(settings());
    let address = rig.address();
    let mut client = connect(address);
    client.write_all(b"GET /csp/bin").unwrap();
    rig.until(|counters| counters.accepted == 1);
    rig.stopping();
    assert_eq!(rig.check(), FAILED, "the page says no before the port closes");
    let finisher = std::thread::spawn(move || {
        eventually("closed port", || TcpStream::connect(address).is_err());
        client.write_all(b"/mirror_status.cxw HTTP/1.1\r\n\r\n").unwrap();
        read_all(client)
    });
    rig.stop();
    assert_eq!(finisher.join().unwrap(), FAILED);
    assert!(TcpStream::connect(address).is_err());
}
