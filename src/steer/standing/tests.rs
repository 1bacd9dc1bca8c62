//! What it rules, on real pages of peers.

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::authority::Memory;
use super::*;
use crate::config::HttpTarget;
use crate::observation::Role;

mod rig;

use rig::{NEW, PATIENCE, Page, others, start};

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
    let asked = page.asked();
    bench.saw(Some(others(8)), None).await;
    assert_eq!(
        bench.consult().await,
        Authority::Clear { claim: 9 },
        "nobody is promoted that soon after another"
    );
    assert!(page.asked() > asked, "but who can tell is asked");
    // A moment later it may be another's promotion, and this one was held up.
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    bench.pass(3);
    bench.saw(Some(others(20)), None).await;
    assert_eq!(bench.consult().await.word(), "unsure");
    page.says(503, "state=backup definite=yes");
    bench.pass(3);
    assert_eq!(bench.consult().await, Authority::Clear { claim: 21 });
    drop(bench.tasks);
}

#[tokio::test]
async fn what_comes_to_light_outdates_what_a_peer_said_a_moment_before() {
    let mut tasks = JoinSet::new();
    let page = Page::start(&mut tasks).await;
    for sighting in [(Some(others(7)), None), (None, Some("10.0.2.12"))] {
        page.says(503, "state=backup definite=yes");
        let bench = start(&[&page], Superseded::Refuse, NEW, JoinSet::new());
        bench.says(Role::Backup);
        bench.says(Role::Primary);
        bench.pass(3);
        assert_eq!(bench.consult().await.word(), "clear");
        page.says(200, "state=primary epoch=1 origin=promoted promoted_seconds_ago=1 promotion=5");
        let (record, taken) = sighting;
        bench.saw(record, taken).await;
        assert_eq!(bench.consult().await.word(), "superseded");
        drop(bench.tasks);
    }
}

#[tokio::test]
async fn a_peer_that_stood_down_and_serves_again_was_not_promoted_since() {
    let mut tasks = JoinSet::new();
    let page = Page::start(&mut tasks).await;
    page.says(503, "state=superseded definite=yes");
    let bench = start(&[&page], Superseded::Refuse, NEW, tasks);
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    bench.pass(3);
    assert_eq!(bench.consult().await.word(), "clear");
    // Its daemon was restarted, and nobody there knows when it was promoted.
    page.says(200, "state=primary epoch=1 origin=found");
    bench.pass(3);
    assert_eq!(bench.consult().await.word(), "unsure");
    assert_eq!(*bench.orders.borrow(), None, "this page goes on saying SUCCESS");
    drop(bench.tasks);
}

#[tokio::test]
async fn who_remembers_that_it_was_superseded_refuses_beside_one_that_serves_and_gives_way_to_backups() {
    let mut tasks = JoinSet::new();
    let page = Page::start(&mut tasks).await;
    let claims = Claims { own: 8, seen: 9, superseded_in: Some(Epoch::default().next()) };
    for (line, status, word, refuses) in [
        ("state=primary epoch=1 origin=promoted promoted_seconds_ago=9 promotion=5", 200, "superseded", true),
        ("state=no-evidence definite=no", 503, "superseded", false),
        ("state=superseded definite=yes", 503, "superseded", false),
        ("state=backup definite=yes", 503, "clear", false),
    ] {
        page.says(status, line);
        let past = Past { memory: Memory::Held, claims };
        let bench = start(&[&page], Superseded::Refuse, past, JoinSet::new());
        bench.says(Role::Primary);
        assert_eq!(Some(bench.epoch()), claims.superseded_in);
        assert_eq!(bench.consult().await.word(), word, "{line}");
        assert_eq!(bench.orders.borrow().is_some(), refuses, "{line}");
        let still = bench.claims.borrow().superseded_in.is_some();
        assert_eq!(still, word == "superseded", "what was put right does not come back: {line}");
        drop(bench.tasks);
    }
    drop(tasks);
}

#[tokio::test]
async fn a_standing_that_begins_in_the_middle_of_an_epoch_saw_no_promotion() {
    let mut bench = start(&[], Superseded::Refuse, NEW, JoinSet::new());
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    assert_eq!(bench.consult().await.word(), "clear");
    // A reload replaces it.
    bench.tasks.shutdown().await;
    let authority = watch::Sender::new(Authority::Unsure { why: "new".to_owned(), claim: 0 });
    let ruled = Ruled { authority, claims: Arc::clone(&bench.claims), orders: Arc::clone(&bench.orders) };
    let snapshot = bench.snapshot.subscribe();
    let (standing, counsel) =
        Standing::new("PROD".into(), &[], Superseded::Refuse, NEW, snapshot, ruled, bench.clock.clone());
    bench.tasks.spawn(standing.run(CancellationToken::new()));
    bench.counsel = counsel;
    bench.saw(Some(others(9)), None).await;
    assert_eq!(bench.consult().await.word(), "unsure", "who wrote it may have been promoted later");
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    assert_eq!(bench.consult().await.word(), "clear", "this promotion was seen");
}

#[tokio::test]
async fn what_was_taken_stands_until_all_is_well_even_when_nobody_looks_any_more() {
    let bench = start(&[], Superseded::Refuse, NEW, JoinSet::new());
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    bench.saw(None, Some("10.0.2.12")).await;
    bench.saw(None, None).await;
    assert_eq!(bench.consult().await.word(), "unsure", "another loop of that name knows nothing of it");
    bench.counsel.gone(&bench.target).await;
    assert_eq!(bench.consult().await.word(), "unsure");
    bench.saw_all_well().await;
    assert_eq!(bench.consult().await.word(), "clear");
    bench.saw(Some(others(9)), None).await;
    bench.wrote(10).await;
    bench.saw(Some(others(11)), None).await;
    bench.counsel.gone(&bench.target).await;
    assert_eq!(bench.consult().await.word(), "superseded", "that is final");
}

#[tokio::test]
async fn who_found_its_own_name_in_a_record_is_superseded_by_a_higher_one() {
    let bench = start(&[], Superseded::Refuse, NEW, JoinSet::new());
    bench.says(Role::Backup);
    bench.saw(Some(Record { owner: Owner::Me, claim: 4 }), None).await;
    bench.says(Role::Primary);
    bench.saw(Some(Record { owner: Owner::Me, claim: 4 }), None).await;
    assert_eq!(bench.consult().await, Authority::Clear { claim: 5 });
    bench.saw(Some(others(5)), None).await;
    assert_eq!(bench.consult().await.word(), "superseded", "though nothing was written in this epoch");
}

#[tokio::test]
async fn a_record_with_a_later_claim_supersedes_until_the_role_is_lost_and_regained() {
    let bench = start(&[], Superseded::Refuse, NEW, JoinSet::new());
    bench.says(Role::Backup);
    bench.says(Role::Primary);
    bench.saw(Some(others(7)), None).await;
    assert_eq!(bench.consult().await, Authority::Clear { claim: 8 });
    bench.wrote(8).await;
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
    bench.saw(Some(others(4)), None).await;
    assert_eq!(bench.consult().await, Authority::Clear { claim: 5 });
    bench.saw(Some(others(6)), None).await;
    assert_eq!(bench.consult().await.word(), "unsure", "somebody wrote since the promotion");
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
