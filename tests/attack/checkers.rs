//! Load balancers' checks, near and far: each on a connection of its own, at a steady pace, every answer kept.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::now;
use crate::tls::{self, Client, Distant};

/// How long a check may take beyond its round trips, as load balancers have it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a checker is that is far away by [`distance.py`](../distance.py), and the page as it sees it.
const FAR_NAMESPACE: &str = "/run/netns/mirrorvip-far";
const FAR_PAGE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 66, 0, 1));

/// The checkers while an attack is measured. Threads overlap: a far check takes several round trips.
const LANES: [Lane; 4] = [
    Lane::new("near", 10, 0, 4, 100),
    Lane::new("40 ms away", 11, 40, 7, 500),
    Lane::new("120 ms away", 12, 120, 7, 500),
    Lane { address: [10, 66, 0, 2], by_wire: true, ..Lane::new("120 ms away by wire", 0, 120, 7, 500) },
];

/// Those lanes; the last one needs a wire.
pub(crate) fn lanes(wire: bool) -> &'static [Lane] {
    if wire { &LANES } else { &LANES[..3] }
}

/// A load balancer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    pub(crate) address: [u8; 4],
    /// How long a round trip takes.
    pub(crate) distance: Duration,
    /// So many at a time, each of which checks once in so many milliseconds.
    pub(crate) threads: u32,
    pub(crate) each: u64,
    /// Whether its packets are under way for so long, in [`FAR_NAMESPACE`]; otherwise only what it says is late.
    pub(crate) by_wire: bool,
}

/// The answer to a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Success,
    Failed,
    /// Another answer, or none, and why.
    None(String),
}

/// One check.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) asked: Instant,
    pub(crate) answered: Instant,
    pub(crate) answer: Answer,
}

/// All checks of a lane.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) lane: Lane,
    pub(crate) checks: Vec<Check>,
}

/// The answers to a lane of a page that should say SUCCESS.
#[derive(Clone, Debug)]
pub(crate) struct Checks {
    pub(crate) lane: Lane,
    /// During the attack.
    pub(crate) during: Count,
    pub(crate) after: Count,
    /// How long checks took that were answered, without the way that is theirs; sorted.
    pub(crate) latencies: Vec<Duration>,
    /// Why there was no answer, one example.
    pub(crate) example: Option<String>,
}

/// How checks ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) all: usize,
    pub(crate) wrong: usize,
    pub(crate) unanswered: usize,
}

/// Running checkers.
pub(crate) struct Checkers {
    stop: Arc<AtomicBool>,
    threads: Vec<(Lane, JoinHandle<Vec<Check>>)>,
}

// === impl Checkers ===

impl Checkers {
    /// Starts these against `page`.
    pub(crate) fn start(page: SocketAddr, client: Option<&Client>, lanes: &[Lane]) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let mut threads = Vec::new();
        for &lane in lanes {
            let each = Duration::from_millis(lane.each);
            for number in 0..lane.threads {
                let (stop, client) = (Arc::clone(&stop), client.cloned());
                let delay = each * number / lane.threads;
                let thread = std::thread::spawn(move || {
                    std::thread::sleep(delay);
                    lane.check_until(&stop, page, client.as_ref(), each)
                });
                threads.push((lane, thread));
            }
        }
        Self { stop, threads }
    }

    /// Lets the checks under way end, and gives all.
    pub(crate) fn stop(self) -> Vec<Record> {
        self.stop.store(true, Ordering::Relaxed);
        let mut records: Vec<Record> = Vec::new();
        for (lane, thread) in self.threads {
            let checks = thread.join().expect("a checker's thread does not panic");
            match records.iter_mut().find(|record| record.lane.name == lane.name) {
                Some(record) => record.checks.extend(checks),
                None => records.push(Record { lane, checks }),
            }
        }
        records
    }
}

// === impl Lane ===

impl Lane {
    /// One at 127.0.0.`address`.
    pub(crate) const fn new(name: &'static str, address: u8, distance: u64, threads: u32, each: u64) -> Self {
        let distance = Duration::from_millis(distance);
        Self { name, address: [127, 0, 0, address], distance, threads, each, by_wire: false }
    }

    fn check_until(
        &self,
        stop: &AtomicBool,
        mut page: SocketAddr,
        client: Option<&Client>,
        each: Duration,
    ) -> Vec<Check> {
        let (mut checks, mut due) = (Vec::new(), now());
        if self.by_wire {
            page.set_ip(FAR_PAGE);
            let namespace = File::open(FAR_NAMESPACE).expect("tests/attack/run has made it");
            // Of this thread alone.
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), network).expect("root may enter it");
        }
        while !stop.load(Ordering::Relaxed) {
            let asked = now();
            let answer = self.ask(page, client);
            checks.push(Check { asked, answered: now(), answer });
            due = (due + each).max(asked);
            std::thread::sleep(due.saturating_duration_since(now()));
        }
        checks
    }

    fn ask(&self, page: SocketAddr, client: Option<&Client>) -> Answer {
        // A handshake has two flights of its own.
        let patience = PATIENCE + self.distance * 3;
        let request = "GET /csp/bin/mirror_status.cxw HTTP/1.1\r\nHost: member\r\nConnection: close\r\n\r\n";
        let late = if self.by_wire { Duration::ZERO } else { self.distance };
        match exchange(page, self.address.into(), late, client, request, patience) {
            Ok(text) if text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nSUCCESS") => {
                Answer::Success
            }
            Ok(text) if text.starts_with("HTTP/1.1 503 ") && text.ends_with("\r\n\r\nFAILED") => {
                Answer::Failed
            }
            Ok(text) => Answer::None(
                text.lines().next().map_or_else(|| "closed without an answer".to_owned(), str::to_owned),
            ),
            Err(error) => Answer::None(error.to_string()),
        }
    }
}

/// One check from next door.
pub(crate) fn near(page: SocketAddr, client: Option<&Client>) -> Answer {
    LANES[0].ask(page, client)
}

/// Sends `request` and reads until the server has closed, all within `patience`.
pub(crate) fn exchange(
    server: SocketAddr,
    from: Ipv4Addr,
    distance: Duration,
    client: Option<&Client>,
    request: &str,
    patience: Duration,
) -> io::Result<String> {
    let deadline = now() + patience;
    let stream = connect(server, from, patience)?;
    stream.set_read_timeout(Some(deadline.saturating_duration_since(now()).max(Duration::from_millis(1))))?;
    stream.set_write_timeout(Some(patience))?;
    stream.set_nodelay(true)?;
    let (mut stream, mut text) = (Distant::new(stream, distance), String::new());
    if let Some(client) = client {
        let mut stream = rustls::StreamOwned::new(tls::connection(client)?, stream);
        stream.write_all(request.as_bytes())?;
        stream.read_to_string(&mut text)?;
    } else {
        stream.write_all(request.as_bytes())?;
        stream.read_to_string(&mut text)?;
    }
    if now() > deadline { Err(io::ErrorKind::TimedOut.into()) } else { Ok(text) }
}

/// Connects from this address, and waits no longer than `patience`.
fn connect(server: SocketAddr, from: Ipv4Addr, patience: Duration) -> io::Result<TcpStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(from, 0))?;
    match rustix::net::connect(&socket, &server) {
        Ok(()) => {}
        Err(Errno::INPROGRESS) => {
            let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
            if poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&patience))? == 0 {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "not connected"));
            }
            sockopt::socket_error(&socket)??;
        }
        Err(errno) => return Err(errno.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

// === impl Record ===

impl Record {
    /// Judges them by a page that says SUCCESS, beside an attack between these moments.
    pub(crate) fn between(self, began: Instant, ended: Instant) -> Checks {
        let Self { lane, checks } = self;
        let (mut during, mut after) = (Count::default(), Count::default());
        let (mut latencies, mut example) = (Vec::new(), None);
        for check in checks {
            let count = if check.asked >= ended { &mut after } else { &mut during };
            if check.answered < began {
                continue;
            }
            count.all += 1;
            match check.answer {
                Answer::Success => {
                    latencies.push((check.answered - check.asked).saturating_sub(lane.distance));
                }
                Answer::Failed => count.wrong += 1,
                Answer::None(why) => {
                    count.unanswered += 1;
                    example = Some(why);
                }
            }
        }
        latencies.sort_unstable();
        Checks { lane, during, after, latencies, example }
    }
}

// === impl Count ===

impl Count {
    /// How many were right, of how many.
    pub(crate) fn words(&self) -> String {
        let mut text = format!("{} of {}", self.all - self.wrong - self.unanswered, self.all);
        if self.wrong > 0 {
            write!(text, " ({} wrong)", self.wrong).expect("writing to a string does not fail");
        }
        text
    }
}
