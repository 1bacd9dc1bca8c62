//! The task with real pages of peers on loopback, and its clock in the test's hand.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use tokio::time::timeout;

use super::super::authority::Memory;

use super::*;
use crate::config::HttpTarget;
use crate::observation::{Observation, Role};
use crate::role::{Settings, Tracker};

/// Longer than anything takes here, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A peer's pages: what each is answered, and how often anybody asked.
#[derive(Clone, Debug)]
struct Page {
    says: Arc<Mutex<(u16, String)>>,
    asked: Arc<Mutex<usize>>,
    peer: Peer,
}

impl Page {
    async fn start(tasks: &mut JoinSet<()>) -> Self {
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

    fn says(&self, status: u16, line: &str) {
        *self.says.lock().unwrap() = (status, line.to_owned());
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

struct Bench {
    clock: Clock,
    now: Arc<Mutex<Timestamp>>,
    snapshot: watch::Sender<Snapshot>,
    counsel: Counsel,
    claims: Arc<watch::Sender<Claims>>,
    orders: Arc<watch::Sender<Option<Supersede>>>,
    target: Arc<str>,
    tasks: JoinSet<()>,
}

fn start(peers: &[&Page], policy: Superseded, past: Past, tasks: JoinSet<()>) -> Bench {
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

const NEW: Past = Past { memory: Memory::Nothing, claims: Claims { own: 0, seen: 0, superseded_in: None } };

impl Bench {
    fn says(&self, role: Role) {
        let now = self.clock.now();
        let outcome = Ok(role);
        let observation = Observation { asked_at: now, answered_at: now, outcome, evidence: String::new() };
        self.snapshot.send_modify(|snapshot| {
            snapshot.rule(now, |tracker| tracker.observe(&observation));
        });
    }

    /// This member's clocks go on, and each second its instance says that it is primary.
    fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            {
                let mut now = self.now.lock().unwrap();
                *now = now.later_by(Duration::from_secs(1));
            }
            self.says(Role::Primary);
        }
    }

    async fn consult(&self) -> Authority {
        timeout(PATIENCE, self.counsel.consult(&self.target)).await.expect("it is bounded")
    }

    async fn saw(&self, record: Option<Record>, taken: Option<&str>) {
        let standby = !matches!(self.snapshot.borrow().verdict(), Verdict::Serve { .. });
        let taken = taken.map(str::to_owned);
        self.counsel.saw(&self.target, Sighting { record, taken, standby }).await;
    }

    fn epoch(&self) -> Epoch {
        self.snapshot.borrow().tracker().epoch()
    }
}

fn others(claim: u64) -> Record {
    Record { owner: Owner::Other("b".to_owned()), claim }
}

#[tokio::test]
async fn a_promotion_that_was_just_seen_needs_nobodys_word() {
    let mut tasks = JoinSet::new();
    let page = Page::start(&mut tasks).await;
    page.says(503, "state=no-evidence definite=no");
    let bench = start(&[&page], Superseded::Refuse, NEW, tasks);
    bench.says(Role::Backup);
    bench.saw(Some(others(7)), None).await;
    bench.says(Role::Primary);
    assert_eq!(bench.consult().await, Authority::Clear { claim: 8 });
    assert_eq!(bench.claims.borrow().own, 8);
    // An old one later is asked about again, and its own claim stays.
    bench.pass(60);
    let asked = page.asked();
    assert_eq!(bench.consult().await, Authority::Clear { claim: 8 });
    assert!(page.asked() > asked, "facts of a minute ago move nothing");
    drop(bench.tasks);
}

#[tokio::test]
async fn a_claim_that_comes_to_light_after_the_promotion_is_asked_about() {
    let mut tasks = JoinSet::new();
    let page = Page::start(&mut tasks).await;
    page.says(503, "state=no-evidence definite=no");
    let bench = start(&[&page], Superseded::Refuse, NEW, tasks);
    bench.says(Role::Backup);
    bench.saw(Some(others(7)), None).await;
    bench.says(Role::Primary);
    assert_eq!(bench.consult().await, Authority::Clear { claim: 8 });
    // The first swap was lost, and by these clocks the promotion is still of this moment.
    bench.counsel.not_written(&bench.target).await;
    bench.saw(Some(others(8)), None).await;
    assert_eq!(bench.consult().await.word(), "unsure", "the other may have been promoted since");
    page.says(503, "state=backup definite=yes");
    bench.pass(3);
    assert_eq!(bench.consult().await, Authority::Clear { claim: 9 });
    drop(bench.tasks);
}

#[tokio::test]
async fn a_record_with_a_later_claim_supersedes_until_the_role_is_lost_and_regained() {
    let bench = start(&[], Superseded::Refuse, NEW, JoinSet::new());
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    bench.saw(Some(others(7)), None).await;
    assert_eq!(bench.consult().await, Authority::Clear { claim: 8 });
    bench.saw(Some(others(9)), None).await;
    assert_eq!(bench.consult().await.word(), "superseded");
    assert_eq!(bench.claims.borrow().superseded_in, Some(bench.epoch()));
    assert_eq!(*bench.orders.borrow(), None, "no peer says SUCCESS: the page stays");
    bench.saw(None, None).await;
    assert_eq!(bench.consult().await.word(), "superseded", "whatever records say then");
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    assert_eq!(bench.consult().await, Authority::Clear { claim: 10 });
}

#[tokio::test]
async fn an_owner_that_was_there_before_a_refused_write_supersedes_nobody() {
    let bench = start(&[], Superseded::Refuse, NEW, JoinSet::new());
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    assert_eq!(
        bench.consult().await,
        Authority::Clear { claim: 1 },
        "the record was absent when it was read"
    );
    bench.counsel.not_written(&bench.target).await;
    bench.saw(Some(others(4)), None).await;
    assert_eq!(bench.consult().await, Authority::Clear { claim: 5 });
    // What was written before the refused write counts on.
    assert_eq!(bench.consult().await, Authority::Clear { claim: 5 });
    bench.counsel.not_written(&bench.target).await;
    bench.saw(Some(others(6)), None).await;
    assert_eq!(bench.consult().await.word(), "superseded");
}

#[tokio::test]
async fn what_was_superseded_is_remembered_across_a_restart() {
    let claims = Claims { own: 8, seen: 9, superseded_in: None };
    let first = start(&[], Superseded::Refuse, Past { memory: Memory::Held, claims }, JoinSet::new());
    first.says(Role::Primary);
    first.saw(Some(Record { owner: Owner::Me, claim: 8 }), None).await;
    assert_eq!(first.consult().await, Authority::Clear { claim: 10 }, "found as it was left");
    let claims = Claims { superseded_in: Some(first.epoch()), ..claims };
    let second = start(&[], Superseded::Refuse, Past { memory: Memory::Held, claims }, JoinSet::new());
    second.says(Role::Primary);
    second.saw(Some(Record { owner: Owner::Me, claim: 8 }), None).await;
    assert_eq!(second.consult().await.word(), "superseded");
}

#[tokio::test]
async fn a_paused_member_finds_the_peer_that_was_idle_before_and_refuses() {
    let mut tasks = JoinSet::new();
    let page = Page::start(&mut tasks).await;
    let bench = start(&[&page], Superseded::Refuse, NEW, tasks);
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    bench.pass(3);
    assert_eq!(bench.consult().await, Authority::Clear { claim: 1 }, "the peer is the backup");
    // The machine is paused, the peer takes over, and by these clocks hardly any time has passed: the peer's span
    // looks longer than this member's own.
    page.says(200, "state=primary epoch=1 origin=promoted promoted_seconds_ago=600 promotion=5");
    bench.pass(3);
    assert_eq!(bench.consult().await.word(), "superseded");
    let order = bench.orders.borrow().clone().expect("two must not say SUCCESS");
    assert_eq!(order.epoch, bench.epoch());
    assert!(order.by.contains("10.0.2.12"), "{}", order.by);
    drop(bench.tasks);
}

#[tokio::test]
async fn the_old_primary_that_comes_back_does_not_supersede_the_new_one() {
    let mut tasks = JoinSet::new();
    let page = Page::start(&mut tasks).await;
    // Its clocks stood still, so its span looks shorter; but this promotion of it was known before.
    page.says(200, "state=primary epoch=4 origin=promoted promoted_seconds_ago=2 promotion=77");
    let bench = start(&[&page], Superseded::Refuse, NEW, tasks);
    bench.says(Role::Backup);
    let deadline = Instant::now() + PATIENCE;
    while page.asked() == 0 {
        assert!(Instant::now() < deadline, "the backup asks its peers, too");
        sleep(Duration::from_millis(5)).await;
    }
    // Once more, so that the first answer was taken in.
    bench.saw(None, None).await;
    assert_eq!(bench.consult().await.word(), "unsure", "a backup takes nothing");
    bench.says(Role::Primary);
    bench.pass(30);
    assert_eq!(bench.consult().await, Authority::Clear { claim: 1 });
    assert_eq!(*bench.orders.borrow(), None);
    drop(bench.tasks);
}

#[tokio::test]
async fn a_policy_of_warning_leaves_the_page_alone() {
    let mut tasks = JoinSet::new();
    let page = Page::start(&mut tasks).await;
    page.says(200, "state=primary epoch=4 promoted_seconds_ago=2 promotion=77");
    let bench = start(&[&page], Superseded::Warn, NEW, tasks);
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    bench.pass(30);
    assert_eq!(bench.consult().await.word(), "superseded");
    assert_eq!(*bench.orders.borrow(), None);
    drop(bench.tasks);
}

#[tokio::test]
async fn what_was_taken_is_not_taken_back_until_a_peer_says_that_it_is_not_primary() {
    let mut tasks = JoinSet::new();
    let page = Page::start(&mut tasks).await;
    page.says(503, "state=no-evidence definite=no");
    let bench = start(&[&page], Superseded::Refuse, NEW, tasks);
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    bench.saw(None, Some("10.0.2.12")).await;
    assert_eq!(bench.consult().await.word(), "unsure");
    page.says(503, "state=backup definite=yes");
    bench.pass(3);
    assert_eq!(bench.consult().await, Authority::Clear { claim: 1 });
    drop(bench.tasks);
}

#[tokio::test]
async fn a_peer_that_accepts_and_never_answers_delays_a_ruling_by_its_deadline_and_not_for_ever() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/csp/bin/mirrorstatus.cxw", silent.local_addr().unwrap());
    let page = HttpTarget { url: url.parse().unwrap(), ca_file: None };
    let peer = Peer { address: "10.0.2.12".to_owned(), page };
    let page = Page { says: Arc::default(), asked: Arc::default(), peer };
    let bench = start(&[&page], Superseded::Refuse, NEW, JoinSet::new());
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    bench.pass(3);
    assert_eq!(bench.consult().await, Authority::Clear { claim: 1 }, "its promotion was seen");
}

#[tokio::test]
async fn what_superseded_the_last_promotion_does_not_supersede_the_next() {
    let mut tasks = JoinSet::new();
    let page = Page::start(&mut tasks).await;
    let bench = start(&[&page], Superseded::Refuse, NEW, tasks);
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    bench.pass(3);
    assert_eq!(bench.consult().await.word(), "clear");
    page.says(200, "state=primary epoch=1 origin=promoted promoted_seconds_ago=1 promotion=5");
    bench.pass(3);
    assert_eq!(bench.consult().await.word(), "superseded");
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    assert_eq!(bench.consult().await.word(), "clear", "the peer's promotion was known before this one");
    drop(bench.tasks);
}
