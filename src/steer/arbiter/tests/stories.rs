//! What went wrong before there were terms: the stories of the design, each with its number. Stories 5 and 8 are about
//! loops, see `steer/run/tests/taken.rs`; story 11 is about [alarms](super::super::alarm).

use super::*;

/// The primary `a` and the backup `b`, which have met.
fn pair() -> (Bench, Bench) {
    let mut b = Bench::after(settings_of("b", &["a"]), Memory::default(), None);
    b.is(Ok(Role::Backup));
    let mut a = Bench::serving(&["b"]);
    b.now = a.now;
    b.is(Ok(Role::Backup));
    meet(&mut a, &mut b);
    b.is(Ok(Role::Backup));
    assert_eq!((a.authority(), b.memory().seen.term), (&certain(1), 1));
    (a, b)
}

/// The same after `a` stepped down and `b` was promoted, with `a` as it was before that.
fn failed_over() -> (Bench, Bench, Bench) {
    let (mut a, mut b) = pair();
    let before = a.clone();
    for _ in 0..2 {
        a.pass(1);
        b.pass(1);
        a.is(Ok(Role::Backup));
        b.is(Ok(Role::Backup));
        meet(&mut a, &mut b);
    }
    b.is(Ok(Role::Primary));
    b.hold(60);
    a.now = b.now;
    assert_eq!((b.authority(), b.page_serves()), (&clear(2), true));
    (before, a, b)
}

/// Story 1, as a restart from an old disk.
#[test]
fn a_reverted_primary_is_superseded_and_the_true_one_serves() {
    let (before, _, mut b) = failed_over();
    let mut a = before.restart(settings(&["b"]));
    a.now = b.now;
    a.is(Ok(Role::Primary));
    assert_eq!(a.word(), "unsure", "it was out of sight for a minute");
    meet(&mut a, &mut b);
    assert_eq!((a.word(), a.page_serves()), ("superseded", false));
    assert_eq!((b.authority(), b.page_serves()), (&clear(2), true));
    // It stays so when they lose each other.
    a.hold(60);
    a.round([silent()]);
    b.hold(60);
    b.round([silent()]);
    assert_eq!((a.word(), a.page_serves()), ("superseded", false));
    assert_eq!((b.authority(), b.page_serves()), (&clear(2), true));
}

/// Story 1, as a machine that goes on from a snapshot with its clocks of that time.
#[test]
fn a_primary_that_goes_on_from_a_snapshot_takes_nothing_and_is_superseded() {
    let (mut a, _, mut b) = failed_over();
    a.pass(1);
    a.is(Ok(Role::Primary));
    assert_eq!((a.word(), a.page_serves()), ("clear", true), "it cannot know yet");
    a.hold(FRESH.as_secs() + 1);
    assert_eq!(a.consult(), None, "before it takes anything it asks");
    let (asked_at, report) = (a.now, b.report());
    a.input(Input::Answer { peer: 0, asked_at, report });
    assert_eq!(a.answers.last().map(Authority::word), Some("superseded"));
    meet(&mut a, &mut b);
    assert_eq!((a.page_serves(), b.page_serves(), b.authority()), (false, true, &clear(2)));
}

/// Story 2.
#[test]
fn a_promotion_by_mistake_supersedes_no_longer_than_it_lasts() {
    for refuses in [true, false] {
        let (mut a, mut b) = pair();
        a.settings.refuses = refuses;
        let mut a = a.restart(a.settings.clone());
        a.is(Ok(Role::Primary));
        b.pass(1);
        b.is(Ok(Role::Backup));
        b.pass(1);
        b.is(Ok(Role::Primary));
        meet(&mut a, &mut b);
        assert_eq!((a.word(), a.page_serves()), ("superseded", !refuses));
        // Whatever else happens to its daemon meanwhile.
        let mut a = a.restart(a.settings.clone());
        a.hold(20);
        b.hold(20);
        meet(&mut a, &mut b);
        assert_eq!((a.word(), a.page_serves()), ("superseded", !refuses));
        b.pass(1);
        a.hold(1);
        b.is(Ok(Role::Backup));
        meet(&mut a, &mut b);
        assert_eq!((a.authority(), a.page_serves()), (&certain(3), true));
    }
}

/// Story 3.
#[test]
fn a_member_that_lost_its_state_rises_above_the_record_that_names_it() {
    let mut alone = Bench::new(&[]);
    alone.is(Ok(Role::Primary));
    alone.reads("record db", mark("a", 9));
    assert_eq!(alone.authority(), &clear(10));

    let mut bench = Bench::found(&["b"]);
    bench.reads("record db", mark("a", 9));
    bench.round([silent()]);
    assert_eq!(bench.word(), "unsure", "its name on a record proves nothing");
    bench.round([backup_knowing("b", 0, mark("a", 9))]);
    assert_eq!(bench.authority(), &certain(10));

    // The same at a promotion that is seen.
    let mut bench = Bench::new(&["b"]);
    bench.is(Ok(Role::Backup));
    bench.pass(1);
    bench.is(Ok(Role::Primary));
    bench.reads("record db", mark("a", 9));
    assert_eq!(bench.authority(), &clear(10));
}

/// Story 4.
#[test]
fn a_member_that_died_before_its_ownership_record_was_read_is_no_doubt_within_the_time_of_a_promotion() {
    let promoted = || {
        let mut bench = Bench::new(&["b"]);
        bench.is(Ok(Role::Backup));
        bench.pass(1);
        bench.is(Ok(Role::Primary));
        bench
    };
    let mut bench = promoted();
    bench.hold(QOS_TIMEOUT.as_secs() - 2);
    bench.reads("record db", mark("b", 1));
    assert_eq!(bench.authority(), &clear(2));
    bench.hold(60);
    bench.round([silent()]);
    assert_eq!(bench.authority(), &clear(2), "and it stays so");

    // A read that took longer leaves a doubt, which the operator ends.
    let mut bench = promoted();
    bench.hold(QOS_TIMEOUT.as_secs());
    bench.reads("record db", mark("b", 1));
    bench.round([silent()]);
    assert!(bench.why().contains("`mirrorvip take` decides"), "{}", bench.why());
    bench.input(Input::Take(decision()));
    assert_eq!(bench.authority(), &certain(2));
}

/// Story 5: an object that carries no record says nothing about promotions, whatever is in it.
#[test]
fn an_object_without_a_record_is_no_evidence() {
    let mut bench = Bench::serving(&["b"]);
    bench.round([silent()]);
    let before = bench.ruling().clone();
    bench.input(Input::Record { target: "elbv2 iris".into(), mark: None });
    assert_eq!(bench.ruling(), &before);
}

/// Story 6.
#[test]
fn a_record_that_still_names_a_stale_member_authorises_it_for_nothing() {
    let (before, _, mut b) = failed_over();
    let mut a = before.restart(settings(&["b"]));
    a.now = b.now;
    a.is(Ok(Role::Primary));
    a.reads("record db", mark("a", 1));
    a.round([silent()]);
    assert_eq!(a.word(), "unsure");
    assert!(matches!(a.consult(), Some(Authority::Unsure { .. })));
    meet(&mut a, &mut b);
    assert_eq!(a.word(), "superseded");
}

/// Story 7: two members of one name, a copied state directory, an address with a new owner.
#[test]
fn indistinguishable_members_take_nothing_and_say_why() {
    let mut bench = Bench::serving(&["b"]);
    for _ in 0..3 {
        bench.hold(QOS_TIMEOUT.as_secs());
        bench.round([PeerReport::Conflict("10.0.0.b has this member's name".to_owned())]);
        assert_eq!((bench.word(), bench.page_serves()), ("unsure", true));
        assert!(bench.why().contains("has this member's name"), "{}", bench.why());
    }
    bench.round([backup("b", 0)]);
    assert_eq!(bench.word(), "clear", "as soon as it is corrected");
}

/// Story 7: a superseded member does not serve because a stranger answers at its successor's address.
#[test]
fn a_stranger_at_the_successors_address_releases_no_member() {
    let (before, _, mut b) = failed_over();
    let mut a = before.restart(settings(&["b"]));
    a.now = b.now;
    a.is(Ok(Role::Primary));
    meet(&mut a, &mut b);
    for report in [PeerReport::Conflict("answers as member z".to_owned()), PeerReport::Myself] {
        a.hold(QOS_TIMEOUT.as_secs());
        a.round([report]);
        assert_eq!((a.word(), a.page_serves()), ("superseded", false));
    }
}

/// Story 9.
#[test]
fn a_blindness_is_the_same_whether_the_daemon_ran_or_not() {
    for (seconds, word) in
        [(QOS_TIMEOUT.as_secs() - 1, "clear"), (QOS_TIMEOUT.as_secs(), "unsure"), (9_999, "unsure")]
    {
        let (a, _) = pair();
        let mut ran = a.clone();
        ran.pass(seconds - 1);
        ran.is(Err(NoEvidence::TimedOut { after: Duration::from_secs(2) }));
        ran.pass(1);
        let mut stopped = a.restart(settings(&["b"]));
        stopped.pass(seconds);
        for mut bench in [ran, stopped] {
            bench.is(Ok(Role::Primary));
            bench.round([silent()]);
            assert_eq!(bench.word(), word, "{seconds} s");
        }
    }
}

/// Story 9: nor does a promotion depend on how long the instance was silent before.
#[test]
fn a_promotion_after_a_long_blindness_is_a_promotion() {
    for seconds in [1, 61, 9_999] {
        let (_, b) = pair();
        let mut ran = b.clone();
        ran.blind(1);
        ran.pass(seconds - 1);
        let mut stopped = b.restart(settings_of("b", &["a"]));
        stopped.pass(seconds);
        for mut bench in [ran, stopped] {
            bench.is(Ok(Role::Primary));
            bench.round([silent()]);
            assert_eq!((bench.authority(), bench.memory().proven), (&clear(2), true), "{seconds} s");
        }
    }
}

/// Story 10.
#[test]
fn a_stale_primary_that_only_warns_makes_no_one_unsure() {
    let (before, _, mut b) = failed_over();
    let mut a = before.restart(Settings { refuses: false, ..settings(&["b"]) });
    a.now = b.now;
    a.is(Ok(Role::Primary));
    meet(&mut a, &mut b);
    meet(&mut a, &mut b);
    assert_eq!((a.word(), a.page_serves()), ("superseded", true), "as the configuration says");
    assert_eq!((b.authority(), b.page_serves()), (&clear(2), true));
    assert!(matches!(b.report(), PeerReport::Facts(PeerFacts { term: 2, .. })));
}

/// Story 12.
#[test]
fn a_forged_answer_withholds_for_as_long_as_it_lasts() {
    let forged =
        [primary("b", 900), backup_knowing("b", 0, mark("x", 900)), backup_knowing("b", 0, mark("b", 900))];
    for forged in forged {
        let (mut a, mut b) = pair();
        a.round([forged.clone()]);
        // The true primary refuses or holds at worst, and needs no restart.
        a.hold(1);
        b.pass(1);
        b.is(Ok(Role::Backup));
        meet(&mut a, &mut b);
        meet(&mut a, &mut b);
        assert_eq!((a.authority(), a.page_serves()), (&certain(901), true), "{forged:?}");
    }
    // What is forged about others makes no member clear.
    let mut found = Bench::found(&["b", "c"]);
    found.round([backup_knowing("b", 0, mark("a", 900)), silent()]);
    assert_eq!(found.word(), "unsure");
}

/// Story 13.
#[test]
fn a_wall_clock_that_steps_does_not_change_the_order_of_promotions() {
    let hour = Duration::from_secs(3_600);
    let stepped = |now: Timestamp, forwards: bool| {
        let wall = now.since_unix_epoch();
        Timestamp::new(now.since_boot(), if forwards { wall + hour } else { wall.saturating_sub(hour) })
    };
    for forwards in [true, false] {
        for on_the_true_one in [true, false] {
            let (before, _, mut b) = failed_over();
            let mut a = before.restart(settings(&["b"]));
            a.now = b.now;
            a.is(Ok(Role::Primary));
            let member = if on_the_true_one { &mut b } else { &mut a };
            member.now = stepped(member.now, forwards);
            a.hold(1);
            b.hold(1);
            meet(&mut a, &mut b);
            let shown = format!("forwards: {forwards}, on the true one: {on_the_true_one}");
            assert_eq!((a.word(), a.page_serves(), b.page_serves()), ("superseded", false, true), "{shown}");
            // A forward step may mean a pause, in which the role was lost and regained: nothing is taken until the
            // other says that it is not the primary.
            let word = if forwards && on_the_true_one { "unsure" } else { "clear" };
            assert_eq!(b.word(), word, "{shown}");
            a.pass(1);
            b.hold(1);
            a.is(Ok(Role::Backup));
            meet(&mut a, &mut b);
            assert_eq!((b.word(), b.page_serves()), ("clear", true), "{shown}");
        }
    }
}

/// Story 14.
#[test]
fn a_record_with_the_highest_number_ends_no_failover_and_spreads_nowhere() {
    let mut bench = Bench::serving(&["b"]);
    for term in [u64::MAX, u64::MAX - 1, 1_000_000] {
        bench.reads("record db", mark("x", term));
        bench.round([silent()]);
        assert_eq!((bench.authority(), bench.memory().seen.term), (&clear(1), 1), "{term}");
    }
    // The record itself is overwritten in certainty, see the plan of records, or by decision.
    bench.round([backup("b", 0)]);
    assert_eq!(bench.authority(), &certain(1));
    // A member that lost its state believes no such number either.
    let mut found = Bench::found(&["b"]);
    found.reads("record db", mark("a", u64::MAX));
    found.round([backup("b", 3)]);
    assert_eq!(found.authority(), &certain(4));
    // At the end of all numbers nothing overflows.
    let mut last = Bench::after(settings(&["b"]), promoted(u64::MAX), None);
    last.is(Ok(Role::Backup));
    last.is(Ok(Role::Primary));
    last.round([backup("b", 0)]);
    assert_eq!(last.authority(), &certain(u64::MAX));
}
