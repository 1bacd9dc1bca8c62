//! Hostile and clumsy clients, and a system without descriptors: none of them keeps a check from its answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mirrorvip::clock::Clock;
use mirrorvip::health::Server;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use super::harness::{
    CHECK, FOR_EVER, SUCCESS, ask, connect, eventually, read_all, serving, settings, status,
};

const SHORT: Duration = Duration::from_millis(100);

#[test]
fn a_head_must_come_in_time() {
    let rig = serving(mirrorvip::config::Health { header_timeout: SHORT, ..settings() });
    assert_eq!(status(&read_all(connect(rig.address()))), 408);
    assert_eq!(status(&ask(rig.address(), "GET /csp/bin/mirror_stat")), 408);
    assert_eq!(rig.server().tally().read().late, 2);
    eventually("a check that is quick enough", || rig.check() == SUCCESS);
}

#[test]
fn a_connection_must_end_in_time() {
    let rig = serving(mirrorvip::config::Health { request_timeout: SHORT, ..settings() });
    assert_eq!(read_all(connect(rig.address())), "", "closed, though the head has all the time");
    // Answered, but never closed by its client, and still sending.
    let mut client = connect(rig.address());
    client.write_all(b"POST /primary HTTP/1.1\r\nContent-Length: 99\r\n\r\n").unwrap();
    rig.until(|counters| counters.late == 2);
}

#[test]
fn a_head_has_a_longest_length() {
    let rig = serving(settings());
    let padded = |length: usize| {
        let fill = length - CHECK.len() - "X: \r\n".len();
        CHECK.replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "a".repeat(fill)))
    };
    assert_eq!(ask(rig.address(), padded(8 * 1024)), SUCCESS);
    assert_eq!(status(&ask(rig.address(), padded(8 * 1024 + 1))), 431);
    let endless = CHECK.trim_end().to_owned() + &"a".repeat(30_000);
    assert_eq!(status(&ask(rig.address(), endless)), 431, "answered though the head never ends");
}

#[test]
fn the_oldest_idle_connection_makes_room() {
    let rig = serving(mirrorvip::config::Health { max_connections: 3, ..settings() });
    let mut idle: Vec<_> = (0..3).map(|_| connect(rig.address())).collect();
    rig.until(|counters| counters.accepted == 3);
    assert_eq!(rig.check(), SUCCESS, "a whole request needs no place, or takes the oldest one's");
    idle.extend((0..2).map(|_| connect(rig.address())));
    for _ in 0..2 {
        assert_eq!(read_all(idle.remove(0)), "", "shed");
    }
    for mut client in idle.drain(idle.len() - 2..) {
        client.write_all(CHECK.as_bytes()).unwrap();
        assert_eq!(read_all(client), SUCCESS, "the newest are alive");
    }
}

#[test]
fn two_thousand_idle_and_two_hundred_slow_writers() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let rig = serving(settings());
    let address = rig.address();
    let mut idle: Vec<_> = (0..2_000).map(|_| connect(address)).collect();
    let mut slow: Vec<_> = (0..200).map(|_| connect(address)).collect();
    rig.until(|counters| counters.accepted == 2_200);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for byte in CHECK.as_bytes() {
                for client in &mut slow {
                    client.write_all(&[*byte]).unwrap();
                }
                if !done.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        });
        for _ in 0..300 {
            assert_eq!(ask(address, CHECK), SUCCESS);
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
    for client in slow {
        assert_eq!(read_all(client), SUCCESS);
    }
    let counters = rig.server().tally().read();
    assert_eq!((counters.shed, counters.late, counters.exhausted), (0, 0, 0));
    let mut last = idle.pop().unwrap();
    last.write_all(CHECK.as_bytes()).unwrap();
    assert_eq!(read_all(last), SUCCESS);
}

/// Descriptors belong to a process, so the server runs in another one.
#[test]
fn a_process_without_descriptors_answers_all_the_same() {
    if std::env::var_os(Driven::ROLE).is_some() {
        return serve_with_few_descriptors();
    }
    let mut server = Driven::start("health::limits::a_process_without_descriptors_answers_all_the_same");
    let address: SocketAddr = server.word("address").parse().unwrap();

    let idle: Vec<_> = (0..200).map(|_| connect(address)).collect();
    for _ in 0..50 {
        assert_eq!(ask(address, CHECK), SUCCESS, "the oldest idle connections make room");
    }
    let exhausted = |server: &mut Driven| -> u64 { server.ask("exhausted").parse().unwrap() };
    assert!(exhausted(&mut server) > 0, "the limit was met");
    let mut before = exhausted(&mut server);
    eventually("rest", || {
        let after = exhausted(&mut server);
        std::mem::replace(&mut before, after) == after
    });
    drop(idle);

    server.ask("hog");
    for _ in 0..50 {
        assert_eq!(ask(address, CHECK), SUCCESS, "the reserve is enough for one at a time");
    }
    // A client on the reserve makes room for the next.
    let sitting = connect(address);
    assert_eq!(ask(address, CHECK), SUCCESS);
    drop(sitting);
    server.ask("release");
    assert_eq!(ask(address, CHECK), SUCCESS);
}

fn serve_with_few_descriptors() {
    let rig = serving(settings());
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit }).unwrap();
    println!("\naddress {}", rig.address());
    let mut hogged = Vec::new();
    for line in io::stdin().lines() {
        match line.unwrap().as_str() {
            "hog" => {
                // Until none is left, also of those that waiting connections give back.
                while rig.server().tally().read().accepted == 0 || hogged.len() < 1_000 {
                    match std::fs::File::open("/dev/null") {
                        Ok(file) => hogged.push(file),
                        Err(_) => break,
                    }
                }
                println!("\nhog {}", hogged.len());
            }
            "release" => println!("\nrelease {}", std::mem::take(&mut hogged).len()),
            "exhausted" => println!("\nexhausted {}", rig.server().tally().read().exhausted),
            other => panic!("{other}"),
        }
    }
}

/// A thread that has died must not leave a port open that no process serves.
#[test]
fn a_panic_of_the_health_thread_ends_the_process() {
    if std::env::var_os(Driven::ROLE).is_some() {
        let broken = Clock::from_fn(|| panic!("this panic is part of the test"));
        let server = Server::start(&settings(), Vec::new(), broken, Vec::new()).unwrap();
        println!("\naddress {}", server.addresses()[0]);
        std::thread::sleep(FOR_EVER);
        return;
    }
    let mut server = Driven::start("health::limits::a_panic_of_the_health_thread_ends_the_process");
    let address: SocketAddr = server.word("address").parse().unwrap();
    connect(address).write_all(CHECK.as_bytes()).unwrap();
    let ended = server.child.wait().unwrap();
    assert_eq!(ended.signal(), Some(Signal::ABORT.as_raw()), "{ended}");
}

/// This binary once more, running one test alone, which finds the variable and becomes a server that answers
/// lines with lines. Killed at the end in any case.
struct Driven {
    child: Child,
    lines: io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Driven {
    const ROLE: &str = "MIRRORVIP_TEST_IS_SERVER";

    fn start(test: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(Self::ROLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn ask(&mut self, word: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{word}").unwrap();
        self.word(word)
    }

    fn word(&mut self, word: &str) -> String {
        loop {
            let line = self.lines.next().expect("the server process lives").unwrap();
            if let Some(("", answer)) = line.split_once(word) {
                return answer.trim().to_owned();
            }
        }
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if self.child.kill().is_ok() {
            self.child.wait().expect("it was killed just now");
        }
    }
}

#[test]
fn a_reset_harms_no_other_client() {
    let rig = serving(settings());
    for _ in 0..50 {
        let client = TcpStream::connect(rig.address()).unwrap();
        (&client).write_all(b"GET /csp").unwrap();
        // Closing with unread data or with this option resets the connection.
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    }
    rig.until(|counters| counters.accepted >= 1);
    let mut client = connect(rig.address());
    client.write_all(CHECK.as_bytes()).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, SUCCESS);
}
