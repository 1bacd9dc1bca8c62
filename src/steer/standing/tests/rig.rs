//! A standing with real pages of peers on loopback, its clock in the test's hand.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::*;
use crate::config::HttpTarget;
use crate::observation::{Observation, Role};
use crate::role::{Settings, Tracker};
use crate::steer::authority::Memory;

/// Longer than anything takes here, unless it hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A peer's pages: what each is answered, and how often anybody asked.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) says: Arc<Mutex<(u16, String)>>,
    pub(super) asked: Arc<Mutex<usize>>,
    pub(super) peer: Peer,
}

impl Page {
    pub(super) async fn start(tasks: &mut JoinSet<()>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/csp/bin/mirrorstatus.cxw", listener.local_addr().unwrap());
        let page = HttpTarget { url: url.parse().unwrap(), ca_file: None };
        let says = Arc::new(Mutex::new((503, "state=backup definite=yes".to_owned())));
        let asked = Arc::new(Mutex::new(0));
        let (answer, count) = (Arc::clone(&says), Arc::clone(&asked));
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 4096];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                assert!(head.starts_with("GET /PROD/promotion HTTP/1.1\r\n"), "{head}");
                *count.lock().unwrap() += 1;
                let (status, line) = answer.lock().unwrap().clone();
                let body = format!("for people\n{line}\n");
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { says, asked, peer: Peer { address: "10.0.2.12".to_owned(), page } }
    }

    pub(super) fn says(&self, status: u16, line: &str) {
        *self.says.lock().unwrap() = (status, line.to_owned());
    }

    pub(super) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

pub(super) struct Bench {
    pub(super) clock: Clock,
    pub(super) now: Arc<Mutex<Timestamp>>,
    pub(super) snapshot: watch::Sender<Snapshot>,
    pub(super) counsel: Counsel,
    pub(super) claims: Arc<watch::Sender<Claims>>,
    pub(super) orders: Arc<watch::Sender<Option<Supersede>>>,
    pub(super) target: Arc<str>,
    pub(super) tasks: JoinSet<()>,
}

pub(super) fn start(peers: &[&Page], policy: Superseded, past: Past, tasks: JoinSet<()>) -> Bench {
    let mut tasks = tasks;
    let at = Timestamp::new(Duration::from_secs(1_000), Duration::from_secs(1_795_228_800));
    let now = Arc::new(Mutex::new(at));
    let shared = Arc::clone(&now);
    let started = Instant::now();
    let clock = Clock::from_fn(move || shared.lock().unwrap().later_by(started.elapsed()));
    let settings = Settings { stale_after: Duration::from_secs(4), rise: std::num::NonZeroU32::MIN };
    let snapshot = watch::Sender::new(Snapshot::new(Tracker::new(settings, None)));
    let claims = Arc::new(watch::Sender::new(past.claims));
    let orders: Arc<watch::Sender<Option<Supersede>>> = Arc::default();
    let authority = watch::Sender::new(Authority::Unsure { why: "new".to_owned(), claim: 0 });
    let ruled = Ruled { authority, claims: Arc::clone(&claims), orders: Arc::clone(&orders) };
    let peers: Vec<Peer> = peers.iter().map(|page| page.peer.clone()).collect();
    let (standing, counsel) =
        Standing::new("PROD".into(), &peers, policy, past, snapshot.subscribe(), ruled, clock.clone());
    tasks.spawn(standing.run(CancellationToken::new()));
    Bench { clock, now, snapshot, counsel, claims, orders, target: "pool".into(), tasks }
}

pub(super) const NEW: Past =
    Past { memory: Memory::Nothing, claims: Claims { own: 0, seen: 0, superseded_in: None } };

impl Bench {
    pub(super) fn says(&self, role: Role) {
        let now = self.clock.now();
        let outcome = Ok(role);
        let observation = Observation { asked_at: now, answered_at: now, outcome, evidence: String::new() };
        self.snapshot.send_modify(|snapshot| {
            snapshot.rule(now, |tracker| tracker.observe(&observation));
        });
    }

    /// This member's clocks go on, and each second its instance says that it is primary.
    pub(super) fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            {
                let mut now = self.now.lock().unwrap();
                *now = now.later_by(Duration::from_secs(1));
            }
            self.says(Role::Primary);
        }
    }

    pub(super) async fn consult(&self) -> Authority {
        timeout(PATIENCE, self.counsel.consult()).await.expect("it is bounded")
    }

    pub(super) async fn wrote(&self, claim: u64) {
        self.counsel.wrote(&self.target, self.epoch(), claim).await;
    }

    pub(super) async fn saw_all_well(&self) {
        let sighting = Sighting { fulfilled: true, ..Sighting::default() };
        self.counsel.saw(&self.target, sighting).await;
    }

    pub(super) async fn saw(&self, record: Option<Record>, taken: Option<&str>) {
        let standby = !matches!(self.snapshot.borrow().verdict(), Verdict::Serve { .. });
        let taken = taken.map(str::to_owned);
        self.counsel.saw(&self.target, Sighting { record, taken, standby, fulfilled: false }).await;
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.snapshot.borrow().tracker().epoch()
    }
}

pub(super) fn others(claim: u64) -> Record {
    Record { owner: Owner::Other("b".to_owned()), claim }
}
