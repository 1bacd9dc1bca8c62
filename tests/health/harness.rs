//! A server whose mirrors and clock the test drives, and clients that speak bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mirrorvip::clock::{Clock, Timestamp};
use mirrorvip::config;
use mirrorvip::health::{Mirror, Server, StartError};
use mirrorvip::observation::{Observation, Outcome, Role};
use mirrorvip::peer::document::{Identity, Profile};
use mirrorvip::role::{Settings, Tracker};
use mirrorvip::snapshot::Snapshot;
use mirrorvip::term::Memory;
use tokio::sync::watch;

/// Long enough for any machine; tests that need a deadline to pass set a short one.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(60);
/// How long a verdict lasts.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(4);

pub(crate) const SUCCESS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 7\r\n\r\nSUCCESS";
pub(crate) const FAILED: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\
                          Connection: close\r\nContent-Length: 6\r\n\r\nFAILED";
pub(crate) const UNANSWERABLE: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n\
                                Connection: close\r\nContent-Length: 6\r\n\r\nFAILED";
pub(crate) const CHECK: &str = "GET /csp/bin/mirror_status.cxw HTTP/1.1\r\nHost: member\r\n\r\n";

/// A running server.
pub(crate) struct Rig {
    pub(crate) settings: config::Health,
    pub(crate) mirrors: Vec<Mirror>,
    senders: Vec<watch::Sender<Snapshot>>,
    now: Arc<Mutex<Timestamp>>,
    server: Option<Server>,
    runtime: tokio::runtime::Runtime,
}

/// Settings under which nothing times out.
pub(crate) fn settings() -> config::Health {
    config::Health {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        agent_check: None,
        tls: None,
        allowed_networks: Vec::new(),
        proxy_protocol: false,
        header_timeout: FOR_EVER,
        request_timeout: FOR_EVER,
        max_connections: 4_000,
        unasked_warning: None,
        drain: Duration::ZERO,
    }
}

/// A server of one mirror, `PROD` at `/csp/bin`, that serves.
pub(crate) fn serving(settings: config::Health) -> Rig {
    let rig = Rig::start(settings, &[("PROD", "/csp/bin")]);
    rig.says(0, Ok(Role::Primary));
    rig
}

impl Rig {
    pub(crate) fn start(settings: config::Health, mirrors: &[(&str, &str)]) -> Self {
        Self::inherit(settings, mirrors, Vec::new())
    }

    pub(crate) fn inherit(
        settings: config::Health,
        mirrors: &[(&str, &str)],
        inherited: Vec<TcpListener>,
    ) -> Self {
        let start = Timestamp::new(Duration::from_secs(1_000), Duration::from_secs(1_800_000_000));
        let now = Arc::new(Mutex::new(start));
        let (mut senders, mut seen) = (Vec::new(), Vec::new());
        for (name, path) in mirrors {
            let (sender, snapshot) = watch::channel(Snapshot::new(tracker()));
            senders.push(sender);
            let identity =
                Identity { mirror: (*name).to_owned(), member: "a".to_owned(), ..Identity::default() };
            let (_, profile) = watch::channel(Profile::new(identity, &Memory::default()));
            seen.push(Mirror { name: Arc::from(*name), paths: vec![(*path).to_owned()], snapshot, profile });
        }
        let shared = Arc::clone(&now);
        let clock = Clock::from_fn(move || *shared.lock().unwrap());
        let server = Server::start(&settings, seen.clone(), clock, inherited).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { settings, mirrors: seen, senders, now, server: Some(server), runtime }
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server().addresses()[0]
    }

    /// The probe of the mirror with this index answers.
    pub(crate) fn says(&self, mirror: usize, outcome: Outcome) {
        let at = *self.now.lock().unwrap();
        let evidence = String::new();
        let observation = Observation { asked_at: at, answered_at: at, outcome, evidence };
        self.senders[mirror].send_modify(|snapshot| {
            snapshot.rule(at, |tracker| tracker.observe(&observation));
        });
    }

    /// The daemon begins to stop.
    pub(crate) fn stopping(&self) {
        let at = *self.now.lock().unwrap();
        for sender in &self.senders {
            sender.send_modify(|snapshot| {
                snapshot.rule(at, Tracker::stop);
            });
        }
    }

    /// The daemon has been started again.
    pub(crate) fn restarted(&self) {
        self.senders.iter().for_each(|sender| {
            sender.send_replace(Snapshot::new(tracker()));
        });
    }

    pub(crate) fn pass(&self, span: Duration) {
        let mut now = self.now.lock().unwrap();
        *now = now.later_by(span);
    }

    pub(crate) fn reconfigure(&mut self, settings: &config::Health) -> Result<(), StartError> {
        self.server.as_mut().unwrap().reconfigure(settings, self.mirrors.clone())
    }

    pub(crate) fn is_turning(&self) -> bool {
        self.runtime.block_on(self.server().is_turning())
    }

    pub(crate) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }

    /// One check of the status page.
    pub(crate) fn check(&self) -> String {
        ask(self.address(), CHECK)
    }

    /// Waits until what the server counted satisfies `enough`.
    pub(crate) fn until(&self, enough: impl Fn(mirrorvip::health::Counters) -> bool) {
        eventually("counters", || enough(self.server().tally().read()));
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop();
    }
}

fn tracker() -> Tracker {
    Tracker::new(Settings { stale_after: STALE_AFTER, rise: NonZeroU32::MIN }, None)
}

/// Sends `request` in one piece and reads until the server closes.
pub(crate) fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut client = connect(address);
    client.write_all(request.as_ref()).unwrap();
    read_all(client)
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(FOR_EVER)).unwrap();
    client.set_nodelay(true).unwrap();
    client
}

/// Reads until the server closes, which it must do in an orderly way.
pub(crate) fn read_all(mut client: TcpStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).expect("the server closes and does not reset");
    text
}

/// Sends, shuts down its side, and reads until it closes.
pub(crate) fn ask_and_shut(address: SocketAddr, request: &str) -> String {
    let mut client = connect(address);
    client.write_all(request.as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    read_all(client)
}

pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

/// Polls until `done`; fails after a long time.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}: not within a minute");
}
