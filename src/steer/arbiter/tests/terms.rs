//! Where terms come from, when they are used, and what outlives a process.

use super::*;
use crate::term::LONGEST_JUMP;

fn remembered(epoch: u64, primary: bool, asked_at: Option<Timestamp>) -> Remembered {
    let fields = serde_json::json!({ "epoch": epoch, "primary": primary });
    let known: Remembered = serde_json::from_value(fields).expect("its fields");
    Remembered { asked_at, ..known }
}

#[test]
fn a_term_is_stored_before_anything_carries_it() {
    let mut bench = Bench::new(&["b"]);
    bench.is(Ok(Role::Backup));
    bench.slow_disk = true;
    bench.pass(1);
    bench.is(Ok(Role::Primary));
    let consulted = bench.consult();
    assert_eq!(
        (consulted, bench.word()),
        (None, "unsure"),
        "no answer, and what was published before stands"
    );
    assert_eq!((bench.ruling().memory.term, bench.writing.last().map(|memory| memory.term)), (0, Some(1)));
    bench.written();
    assert_eq!((bench.authority(), bench.answers.last()), (&clear(1), Some(&clear(1))));
    assert_eq!(bench.ruling().memory, *bench.memory());
}

#[test]
fn a_term_that_rose_again_meanwhile_waits_for_its_own_write() {
    let mut bench = Bench::new(&["b"]);
    bench.is(Ok(Role::Backup));
    bench.slow_disk = true;
    bench.pass(1);
    bench.is(Ok(Role::Primary));
    assert_eq!(bench.consult(), None);
    bench.reads("record db", mark("b", 3));
    let [first, second] = &bench.writing.clone()[..] else { panic!("{:?}", bench.writing) };
    assert_eq!((first.term, second.term), (1, 4));
    bench.input(Input::Stored(first.clone()));
    assert_eq!((bench.word(), bench.answers.len()), ("unsure", 0));
    bench.input(Input::Stored(second.clone()));
    // The news outdated what peers could have said; right after the promotion that is no question.
    assert_eq!((bench.authority(), &bench.answers[..]), (&clear(4), &[clear(4)][..]));
}

#[test]
fn each_promotion_has_a_term_above_every_one_known_when_the_instance_was_something_else() {
    let mut bench = Bench::new(&["b"]);
    for _ in 0..3 {
        let known = bench.memory().seen.term;
        bench.is(Ok(Role::Backup));
        bench.round([primary("b", known + 5)]);
        bench.pass(1);
        bench.is(Ok(Role::Backup));
        bench.pass(1);
        bench.is(Ok(Role::Primary));
        assert_eq!(bench.memory().term, known + 6);
        assert!(bench.memory().proven);
    }
}

#[test]
fn a_promotion_between_two_reads_of_the_role_machine_is_not_missed() {
    let mut bench = Bench::serving(&["b"]);
    // Lost and regained before the arbiter reads again.
    for role in [Role::Backup, Role::Primary] {
        let (asked_at, answered_at) = (bench.now, bench.now);
        let observation = Observation { asked_at, answered_at, outcome: Ok(role), evidence: String::new() };
        bench.snapshot.rule(bench.now, |tracker| tracker.observe(&observation));
    }
    bench.follow();
    assert_eq!((bench.authority(), bench.memory().proven), (&clear(2), true));
}

#[test]
fn news_of_a_member_outdate_its_answer() {
    let mut bench = Bench::found(&["b"]);
    bench.round([backup("b", 2)]);
    assert_eq!(bench.authority(), &certain(3));
    bench.reads("record db", mark("b", 4));
    assert_eq!(bench.word(), "unsure", "it said backup before it was promoted");
    bench.round([backup("b", 4)]);
    assert_eq!(bench.authority(), &certain(5));
}

#[test]
fn an_answer_to_a_question_from_before_the_news_does_not_count() {
    for name in [Some("b".to_owned()), None] {
        let unnamed = Settings { peers: vec![("10.0.0.2".to_owned(), name.clone())], ..settings(&[]) };
        let mut bench = Bench::after(unnamed, Memory::default(), None);
        bench.is(Ok(Role::Primary));
        assert_eq!(bench.rounds, 1, "a primary that regains sight asks");
        let asked_at = bench.now;
        bench.pass(1);
        assert_eq!(bench.consult(), None);
        bench.reads("record db", mark("b", 4));
        bench.input(Input::Answer { peer: 0, asked_at, report: backup("b", 0) });
        assert_eq!((bench.word(), bench.rounds), ("unsure", 2), "{name:?}: it is asked again at once");
        let asked_at = bench.now;
        bench.input(Input::Answer { peer: 0, asked_at, report: backup("b", 4) });
        assert_eq!(bench.answers, [certain(5)], "{name:?}");
    }
}

#[test]
fn a_peer_that_lost_its_state_is_believed_although_others_remember_a_higher_term() {
    let mut bench = Bench::found(&["b", "c"]);
    bench.round([backup("b", 0), backup_knowing("c", 0, mark("b", 7))]);
    bench.round([backup("b", 0), backup_knowing("c", 0, mark("b", 7))]);
    assert_eq!(bench.authority(), &certain(8), "the news count once, not at each round");
}

#[test]
fn a_consult_is_answered_on_answers_of_this_moment() {
    let mut bench = Bench::serving(&["b"]);
    bench.round([silent()]);
    assert_eq!(bench.consult(), Some(clear(1)), "a round has just ended");
    bench.hold(FRESH.as_secs() + 1);
    let rounds = bench.rounds;
    assert_eq!((bench.consult(), bench.rounds), (None, rounds + 1));
    let (asked_at, report) = (bench.now, primary("b", 2));
    bench.input(Input::Answer { peer: 0, asked_at, report });
    assert_eq!(bench.answers.last().map(Authority::word), Some("superseded"));
}

#[test]
fn a_promotion_of_this_moment_waits_for_no_peer() {
    let mut bench = Bench::new(&["b"]);
    bench.is(Ok(Role::Backup));
    bench.pass(1);
    bench.is(Ok(Role::Primary));
    assert_eq!(bench.consult(), Some(clear(1)));
}

#[test]
fn a_term_that_is_not_believed_makes_its_reporter_silent() {
    let mut bench = Bench::serving(&["b"]);
    bench.round([backup("b", 1_001)]);
    assert_eq!(bench.authority(), &certain(1_002), "the longest jump");
    for report in [primary("b", 5_000), backup("b", 5_000), backup_knowing("b", 0, mark("x", 5_000))] {
        bench.hold(QOS_TIMEOUT.as_secs());
        bench.round([report]);
        assert_eq!((bench.authority(), bench.memory().seen.term), (&clear(1_002), 1_002));
    }
    let mut found = Bench::found(&["b"]);
    found.round([backup("b", u64::MAX)]);
    assert_eq!(found.word(), "unsure", "silence is no certainty");
}

// === what outlives the process ===

#[test]
fn an_answer_is_learned_whole_by_a_member_without_state() {
    let mut bench = Bench::new(&["b", "c"]);
    bench.is(Ok(Role::Backup));
    bench.round([silent(), backup_knowing("c", 3, mark("b", 3 + LONGEST_JUMP + 1))]);
    assert_eq!(bench.memory().seen, mark("b", 1_004));
    bench.pass(1);
    bench.is(Ok(Role::Primary));
    assert_eq!((bench.memory().term, bench.consult()), (1_005, Some(clear(1_005))));
}

#[test]
fn a_proven_term_outlives_a_restart_shorter_than_the_mirror_needs_to_promote_another() {
    for (pause, word) in [(1, "clear"), (QOS_TIMEOUT.as_secs(), "unsure")] {
        let mut next = Bench::serving(&["b"]).restart(settings(&["b"]));
        next.pass(pause);
        next.is(Ok(Role::Primary));
        next.round([silent()]);
        assert_eq!(next.word(), word, "{pause} s");
        assert_eq!(next.memory().term, 1, "nothing shows another promotion");
        next.round([backup("b", 0)]);
        assert_eq!(next.word(), "clear", "{pause} s");
    }
}

#[test]
fn a_restart_on_another_boot_or_without_state_proves_nothing() {
    for role in [Some(remembered(1, true, None)), None] {
        let mut next = Bench::after(settings(&["b"]), promoted(4), role);
        next.is(Ok(Role::Primary));
        next.round([silent()]);
        assert_eq!((next.word(), next.memory().proven), ("unsure", false), "{role:?}");
    }
}

#[test]
fn a_promotion_while_the_daemon_was_down_is_seen_by_the_next_process() {
    let mut bench = Bench::serving(&["b"]);
    bench.is(Ok(Role::Backup));
    bench.round([primary("b", 2)]);
    bench.pass(1);
    bench.is(Ok(Role::Backup));
    let mut next = bench.restart(settings(&["b"]));
    next.pass(3);
    next.is(Ok(Role::Primary));
    assert_eq!((next.authority(), next.memory().proven), (&clear(3), true));
}

#[test]
fn a_promotion_has_a_term_of_its_own_although_steering_was_off_when_the_role_was_lost() {
    // The role machine knows that the role was lost; the arbiter, which did not run, does not.
    let mut bench = Bench::after(settings(&["b"]), promoted(7), Some(remembered(1, false, Some(at(0)))));
    bench.pass(1);
    bench.is(Ok(Role::Primary));
    assert_eq!(bench.memory().term, 8);
}

#[test]
fn a_superseded_member_refuses_from_its_first_answer_after_a_restart() {
    let mut bench = Bench::serving(&["b"]);
    bench.round([primary("b", 2)]);
    let mut next = bench.restart(settings(&["b"]));
    assert!(next.ruling().refuse.is_some(), "before the instance was asked");
    next.pass(1);
    next.is(Ok(Role::Primary));
    assert_eq!((next.word(), next.page_serves()), ("superseded", false));
    next.round([silent()]);
    assert_eq!((next.word(), next.page_serves()), ("superseded", false));
    next.round([backup("b", 2)]);
    assert_eq!((next.authority(), next.page_serves()), (&certain(3), true));
}

#[test]
fn a_superseded_member_refuses_while_its_instance_is_out_of_sight_and_when_it_is_back() {
    let mut bench = Bench::serving(&["b"]);
    bench.round([primary("b", 2)]);
    bench.blind(STALE_AFTER.as_secs() + 1);
    assert!(bench.ruling().refuse.is_some(), "the next answer must not find a page that says SUCCESS");
    bench.is(Ok(Role::Primary));
    assert!(!bench.page_serves());
    bench.is(Ok(Role::Backup));
    assert_eq!((bench.ruling().refuse.as_deref(), bench.memory().superseded_by.as_ref()), (None, None));
}

#[test]
fn a_former_peer_supersedes_no_member_and_its_term_counts() {
    let mut bench = Bench::serving(&["b"]);
    bench.round([primary("b", 2)]);
    let mut reloaded = bench.restart(settings(&["c"]));
    assert_eq!((reloaded.memory().superseded_by.as_ref(), reloaded.memory().seen.term), (None, 2));
    reloaded.is(Ok(Role::Primary));
    reloaded.round([silent()]);
    assert_eq!((reloaded.word(), reloaded.page_serves()), ("unsure", true));
    reloaded.round([backup("c", 0)]);
    assert_eq!(reloaded.authority(), &certain(3));

    let mut kept = bench.restart(settings(&["c", "b"]));
    kept.is(Ok(Role::Primary));
    kept.round([backup("c", 0), silent()]);
    assert_eq!(kept.word(), "superseded", "whatever its place in the configuration");
}
