//! The [task](super::super::driver) with peers that really answer over loopback.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::Clock;
use crate::peer::document::tests::backup as document_of;
use crate::peer::key::{Key, NONCE, SIGNATURE};
use crate::steer::arbiter::alarm::Problem;

const PATIENCE: Duration = Duration::from_secs(30);

fn key(secret: &str) -> Arc<Key> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), secret.repeat(32)).unwrap();
    Arc::new(Key::load(file.path()).unwrap())
}

/// A server that answers each question with what `document` is at that moment, signed if there is a `key`. Returns its
/// port.
#[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
async fn peer(document: watch::Receiver<Document>, key: Option<Arc<Key>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut head, mut buffer) = (String::new(), [0; 1_024]);
            while !head.contains("\r\n\r\n") {
                let length = stream.read(&mut buffer).await.unwrap_or(0);
                if length == 0 {
                    break;
                }
                head.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
            let body = serde_json::to_string(&*document.borrow()).unwrap();
            let nonce =
                head.lines().find_map(|line| line.split_once(": ").filter(|(name, _)| *name == NONCE));
            let signature = match (&key, nonce) {
                (Some(key), Some((_, nonce))) => {
                    format!("{SIGNATURE}: {}\r\n", key.sign(nonce, body.as_bytes()))
                }
                (Some(_) | None, _) => String::new(),
            };
            let found = if head.starts_with("GET /PROD/peer ") { "200 OK" } else { "404 Not Found" };
            let answer = format!(
                "HTTP/1.1 {found}\r\nContent-Type: application/json\r\n{signature}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

/// The task of member `a`, whose instance is primary.
struct Running {
    channels: Arc<Channels>,
    handle: ArbiterHandle,
    _snapshot: watch::Sender<Snapshot>,
    _cancelled: tokio_util::sync::DropGuard,
}

fn start(port: u16, key: Option<Arc<Key>>) -> Running {
    start_by(Clock::system(), port, key)
}

#[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
fn start_by(clock: Clock, port: u16, key: Option<Arc<Key>>) -> Running {
    let text = format!(
        "[[mirror]]\nname = \"PROD\"\nmember = \"a\"\n[[mirror.peer]]\naddress = \"127.0.0.1\"\n\
         page = \"http://127.0.0.1:{port}/csp/bin/mirrorstatus.cxw\"\n[mirror.probe.exec]\ncommand = [\"/bin/true\"]\n"
    );
    let config =
        crate::provider::parse(&text, "test").unwrap_or_else(|report| panic!("{}", report.render(false)));
    let rules = RoleSettings { stale_after: Duration::from_secs(3_600), rise: NonZeroU32::MIN };
    let mut snapshot = Snapshot::new(Tracker::new(rules, None));
    let now = clock.now();
    let outcome = Ok(Role::Primary);
    let observation = Observation { asked_at: now, answered_at: now, outcome, evidence: String::new() };
    snapshot.rule(now, |tracker| tracker.observe(&observation));
    let epoch = snapshot.tracker().epoch();
    let snapshot = watch::Sender::new(snapshot);
    let identity = Identity {
        mirror: "PROD".to_owned(),
        member: "a".to_owned(),
        daemon: "daemon-a".to_owned(),
        run: "run-a".to_owned(),
        digest: "d".to_owned(),
    };
    let profile = Profile { key, ..Profile::new(identity, &Memory::default()) };
    let channels = Arc::new(Channels::new(profile, Memory::default(), epoch, true));
    let (driver, handle) = Driver::new(
        &config.mirrors[0],
        Instance::default(),
        snapshot.subscribe(),
        Arc::clone(&channels),
        clock,
    );
    let cancelled = CancellationToken::new();
    tokio::spawn(driver.run(cancelled.clone()));
    // The keeper of the state file, which is fast here.
    let (mut memory, store) = (channels.memory.subscribe(), Arc::clone(&channels));
    tokio::spawn(async move {
        while memory.changed().await.is_ok() {
            let wanted = memory.borrow_and_update().clone();
            store.stored.send_replace(wanted);
        }
    });
    Running { channels, handle, _snapshot: snapshot, _cancelled: cancelled.drop_guard() }
}

impl Running {
    /// The peer as it is once a question was answered, or not.
    async fn peer(&self) -> MemberView {
        let mut view = self.channels.view.subscribe();
        let seen =
            timeout(PATIENCE, view.wait_for(|view| view.members.first().is_some_and(|m| m.since.is_some())));
        seen.await.expect("it is asked").expect("the task runs").members[0].clone()
    }
}

#[tokio::test]
async fn a_peers_document_decides_and_a_later_one_decides_otherwise() {
    let document = watch::Sender::new(document_of("b"));
    let running = start(peer(document.subscribe(), None).await, None);
    assert_eq!(running.handle.consult().await, certain(1));
    let member = running.peer().await;
    assert_eq!((member.name().as_str(), member.reachable, member.kind), ("b (127.0.0.1)", true, None));
    assert_eq!(running.channels.profile.borrow().term, 1);

    let role = Some("primary".to_owned());
    document.send_replace(Document { role, serving: true, term: 2, seen: mark("b", 2), ..document_of("b") });
    let mut orders = running.channels.orders.subscribe();
    let order = timeout(PATIENCE, orders.wait_for(Option::is_some))
        .await
        .expect("it is asked again")
        .unwrap()
        .clone();
    assert!(order.is_some_and(|order| order.by.contains("b (term 2) at 127.0.0.1")));
    assert_eq!(running.handle.consult().await.word(), "superseded");
    document.send_replace(Document { term: 2, ..document_of("b") });
    timeout(PATIENCE, orders.wait_for(Option::is_none)).await.expect("it is asked again").unwrap();
    let memory = running.channels.memory.borrow().clone();
    assert_eq!((memory.term, memory.superseded_by), (3, None));
}

#[tokio::test]
async fn where_there_is_a_secret_an_answer_that_is_not_signed_with_it_is_silence() {
    let document = watch::Sender::new(document_of("b"));
    for (theirs, word) in [(Some(key("k")), "clear"), (Some(key("x")), "unsure"), (None, "unsure")] {
        let running = start(peer(document.subscribe(), theirs).await, Some(key("k")));
        assert_eq!(running.handle.consult().await.word(), word);
        let member = running.peer().await;
        assert_eq!(member.kind, (word == "unsure").then_some(Problem::Silent), "{member:?}");
        assert_eq!(member.document.is_some(), word == "clear");
    }
    // A member without a secret believes one that has one.
    let running = start(peer(document.subscribe(), Some(key("k"))).await, None);
    assert_eq!(running.handle.consult().await, certain(1));
}

#[tokio::test]
async fn a_peer_that_is_this_process_or_has_its_name_is_recognised() {
    let own = Document { run: "run-a".to_owned(), daemon: "daemon-a".to_owned(), ..document_of("a") };
    let copy = Document { run: "run-x".to_owned(), ..own.clone() };
    let namesake = Document { daemon: "daemon-x".to_owned(), ..copy.clone() };
    for (document, kind) in [(own, Problem::Myself), (copy, Problem::Conflict), (namesake, Problem::Conflict)]
    {
        let document = watch::Sender::new(document);
        let running = start(peer(document.subscribe(), None).await, None);
        let ruling = running.handle.consult().await;
        assert_eq!(ruling.word(), "unsure", "{kind:?}");
        let member = running.peer().await;
        assert_eq!((member.kind, member.document), (Some(kind), None));
        assert!(kind == Problem::Myself || ruling.to_string().contains("127.0.0.1"), "{ruling}");
    }
}

#[tokio::test]
async fn a_peer_that_cannot_be_reached_is_waited_for_no_longer_than_it_takes() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let running = start(closed, None);
    let ruling = running.handle.consult().await;
    assert!(ruling.to_string().contains("no definite answer from 127.0.0.1"), "{ruling}");
    let member = running.peer().await;
    assert_eq!((member.reachable, member.kind), (false, Some(Problem::Silent)));

    let overridden = running.handle.take(None).await.expect("there is a doubt");
    assert!(overridden.contains("unsure"), "{overridden}");
    assert_eq!(running.handle.consult().await.word(), "unsure", "asking decides nothing");
    running.handle.take(Some(decision())).await.expect("the operator decides");
    assert_eq!(running.handle.consult().await, certain(1));
    assert!(
        running
            .channels
            .memory
            .borrow()
            .taken
            .as_ref()
            .is_some_and(|taken| taken.overrode.contains("unsure"))
    );
    let error = running.handle.take(Some(decision())).await.expect_err("once is enough");
    assert!(error.to_string().contains("nothing to override"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn while_a_loop_waits_for_the_cloud_no_attempt_waits_for_a_silent_peer() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let start = Instant::now();
    let clock = Clock::from_fn(move || {
        let since = Instant::now() - start;
        Timestamp::new(Duration::from_secs(500) + since, Duration::from_secs(1_795_228_800) + since)
    });
    let running = start_by(clock, silent.local_addr().unwrap().port(), None);
    assert_eq!(running.handle.consult().await.word(), "unsure", "the first one waits for a round");
    for number in 0..40 {
        // As long as an attempt takes that hangs, and a pause.
        sleep(Duration::from_millis(2_000 + 500 * number / 40)).await;
        let asked = Instant::now();
        assert_eq!(running.handle.consult().await.word(), "unsure");
        assert!(asked.elapsed() <= Duration::from_millis(300), "attempt {number}: {:?}", asked.elapsed());
    }
}
