//! The table of the [rule](super::super::rule), row by row: what it rules, and that without the row's own condition the
//! ruling is another.

use super::*;

#[test]
fn row_1_an_operators_decision_counts_for_this_promotion_until_a_later_one_is_known() {
    let mut bench = Bench::found(&["b"]);
    bench.round([silent()]);
    assert_eq!(bench.word(), "unsure");
    bench.input(Input::Take(decision()));
    assert_eq!(bench.authority(), &certain(1));
    // Not even a conflict counts, which is what the decision may be about.
    bench.round([PeerReport::Conflict("two have one name".to_owned())]);
    assert_eq!(bench.authority(), &certain(1));
    // Nor does a page without a term.
    bench.round([PeerReport::Page { serving: true }]);
    assert_eq!(bench.authority(), &certain(1));

    // A later promotion is known from a record alone, or serves.
    let mut from_record = bench.arbiter.clone();
    from_record.handle(bench.now, Input::Record { target: "r".into(), mark: Some(mark("b", 2)) });
    assert_eq!(from_record.rule(bench.now).word(), "unsure");
    bench.round([primary("b", 2)]);
    assert_eq!(bench.word(), "superseded");
    bench.pass(1);
    bench.hold(1);
    bench.round([backup("b", 2)]);
    assert_eq!(bench.authority(), &certain(3), "it certainly is not the primary any longer");

    bench.is(Ok(Role::Backup));
    assert_eq!(bench.memory().taken, None);
}

#[test]
fn row_1_a_decision_ends_where_the_promotion_may_be_another_one() {
    let mut bench = Bench::found(&["b"]);
    bench.input(Input::Take(decision()));
    bench.blind(QOS_TIMEOUT.as_secs() - 2);
    bench.is(Ok(Role::Primary));
    assert_eq!(bench.authority(), &certain(1), "a short blindness");
    bench.blind(QOS_TIMEOUT.as_secs());
    bench.is(Ok(Role::Primary));
    assert_eq!((bench.word(), bench.memory().taken.as_ref()), ("unsure", None));
}

#[test]
fn row_1_only_a_primary_can_take_and_only_what_is_in_doubt() {
    let mut bench = Bench::new(&["b"]);
    bench.is(Ok(Role::Backup));
    assert!(bench.arbiter.doubt(bench.now).unwrap_err().contains("not the primary"));
    bench.input(Input::Take(decision()));
    assert_eq!((bench.memory().taken.as_ref(), bench.word()), (None, "unsure"));
    bench.is(Ok(Role::Primary));
    let held =
        bench.arbiter.doubt(bench.now).expect("what another member wrote is held beside a silent peer");
    assert!(held.contains("left as they are"), "{held}");
    bench.round([backup("b", 0)]);
    assert!(bench.arbiter.doubt(bench.now).unwrap_err().contains("nothing to override"));
    bench.pass(QOS_TIMEOUT.as_secs());
    bench.round([primary("b", 9)]);
    let overridden = bench.arbiter.doubt(bench.now).expect("it is superseded");
    assert!(overridden.contains("b (term 9) at 10.0.0.b"), "{overridden}");
    let before = bench.arbiter.clone();
    let _ = bench.arbiter.doubt(bench.now);
    assert_eq!(bench.arbiter, before, "asking changes nothing");
}

#[test]
fn row_2_a_conflict_holds_everything_up_for_as_long_as_it_lasts() {
    let mut bench = Bench::serving(&["b", "c"]);
    bench.round([backup("b", 0), backup("c", 0)]);
    assert_eq!(bench.authority(), &certain(1));
    bench.round([backup("b", 0), PeerReport::Conflict("c is a stranger".to_owned())]);
    assert!(matches!(bench.authority(), Authority::Unsure { why, .. } if why == "c is a stranger"));
    assert!(bench.page_serves());
    bench.round([backup("b", 0), backup("c", 0)]);
    assert_eq!(bench.authority(), &certain(1));
}

#[test]
fn row_2_two_peers_with_one_name_are_a_conflict() {
    let peers = ["10.0.0.2", "10.0.0.3"].map(|address| (address.to_owned(), None)).to_vec();
    let mut bench = Bench::after(Settings { peers, ..settings(&[]) }, Memory::default(), None);
    bench.is(Ok(Role::Primary));
    bench.round([backup("b", 0), backup("b", 0)]);
    assert_eq!(bench.word(), "unsure");
    assert!(bench.why().contains("10.0.0.2 and 10.0.0.3 both answer as member b"), "{}", bench.why());
}

#[test]
fn row_3_certainty_needs_every_other_members_fresh_answer() {
    let mut bench = Bench::found(&["b", "c"]);
    bench.round([backup("b", 4), silent()]);
    assert_eq!(bench.word(), "unsure");
    assert!(bench.why().contains("no definite answer from 10.0.0.c"), "{}", bench.why());
    bench.round([backup("b", 4), PeerReport::Facts(facts("c", PeerRole::Unknown, 0))]);
    assert_eq!(bench.word(), "unsure", "it cannot tell what its instance is");
    bench.round([backup("b", 4), backup("c", 2)]);
    assert_eq!(bench.authority(), &certain(5), "above every term that is known");

    // Of a promotion that was not seen nothing is certain between rounds, but it is proven by now.
    bench.hold(FRESH.as_secs() + 1);
    assert_eq!(bench.authority(), &clear(5));
    bench.hold(QOS_TIMEOUT.as_secs());
    bench.round([silent(), silent()]);
    assert_eq!(bench.authority(), &clear(5));
}

#[test]
fn row_3_an_answer_older_than_the_mirror_needs_for_a_promotion_says_nothing() {
    let aged = |age| PeerReport::Facts(facts("b", PeerRole::Other { age }, 0));
    let mut bench = Bench::found(&["b"]);
    bench.round([aged(QOS_TIMEOUT)]);
    assert_eq!(bench.word(), "unsure");
    bench.round([aged(QOS_TIMEOUT.saturating_sub(Duration::from_millis(1)))]);
    assert_eq!(bench.word(), "clear");
}

#[test]
fn row_3_a_peer_that_is_this_daemon_is_left_out_and_is_not_enough_alone() {
    let mut bench = Bench::found(&["b", "c"]);
    bench.round([PeerReport::Myself, silent()]);
    assert_eq!(bench.word(), "unsure");
    bench.round([PeerReport::Myself, backup("c", 0)]);
    assert_eq!(bench.authority(), &certain(1));
    let mut bench = Bench::found(&["b"]);
    bench.round([PeerReport::Myself]);
    assert_eq!(bench.word(), "unsure");
}

#[test]
fn row_5_a_later_promotion_that_serves_supersedes_until_it_certainly_is_over() {
    let mut bench = Bench::serving(&["b"]);
    bench.round([backup("b", 0)]);
    assert_eq!(bench.authority(), &certain(1));
    bench.round([primary("b", 2)]);
    assert_eq!(bench.word(), "superseded");
    assert!(!bench.page_serves());
    assert!(bench.why().contains("b (term 2) at 10.0.0.b"), "{}", bench.why());
    for (report, what) in [
        (silent(), "silent"),
        (PeerReport::Facts(facts("b", PeerRole::Unknown, 2)), "it cannot tell"),
        (PeerReport::Page { serving: false }, "a page"),
        (PeerReport::Conflict("a stranger".to_owned()), "another answers at its address"),
        (PeerReport::Myself, "this daemon answers at its address"),
    ] {
        bench.hold(2 * QOS_TIMEOUT.as_secs());
        bench.round([report]);
        assert_eq!((bench.word(), bench.page_serves()), ("superseded", false), "{what}");
    }
    bench.round([backup("b", 2)]);
    assert_eq!((bench.authority(), bench.page_serves()), (&certain(3), true));
}

#[test]
fn row_5_the_first_promotion_of_two_that_serve_gives_way() {
    for (theirs, word) in [(1, "unsure"), (2, "superseded")] {
        let mut bench = Bench::serving(&["b"]);
        bench.round([primary("b", theirs)]);
        assert_eq!(bench.word(), word, "{theirs}");
    }
    let mut latest = Bench::after(settings(&["b"]), promoted(6), None);
    latest.is(Ok(Role::Backup));
    latest.is(Ok(Role::Primary));
    latest.hold(QOS_TIMEOUT.as_secs());
    latest.round([primary("b", 6)]);
    assert_eq!((latest.authority(), latest.page_serves()), (&clear(7), true));
}

#[test]
fn row_5_the_page_of_a_superseded_member_only_warns_where_the_configuration_says_so() {
    let warns = Settings { refuses: false, ..settings(&["b"]) };
    let mut bench = Bench::after(warns, Memory::default(), None);
    bench.is(Ok(Role::Primary));
    bench.round([primary("b", 2)]);
    assert_eq!((bench.word(), bench.page_serves()), ("superseded", true));
}

#[test]
fn row_5_a_member_that_serves_counts_although_another_of_its_name_does_not() {
    let peers = ["10.0.0.2", "10.0.0.3"].map(|address| (address.to_owned(), None)).to_vec();
    let mut bench = Bench::after(Settings { peers, ..settings(&[]) }, Memory::default(), None);
    bench.is(Ok(Role::Primary));
    bench.round([primary("b", 2), backup("b", 0)]);
    assert_eq!(bench.word(), "superseded");
}

#[test]
fn row_6_a_page_that_says_success_without_a_term_holds_up_what_it_cannot_order() {
    let mut bench = Bench::serving(&["b"]);
    bench.round([PeerReport::Page { serving: true }]);
    assert_eq!((bench.word(), bench.page_serves()), ("unsure", true));
    assert!(bench.why().contains("10.0.0.b says SUCCESS"), "{}", bench.why());
    bench.round([PeerReport::Page { serving: false }]);
    assert_eq!(bench.authority(), &clear(1));
}

#[test]
fn row_7_a_promotion_that_was_seen_needs_no_peer() {
    let mut bench = Bench::serving(&["b"]);
    bench.round([silent()]);
    assert_eq!(bench.authority(), &clear(1));
    bench.reads("record db", mark("x", 1));
    assert_eq!(bench.word(), "unsure", "as high as its own, and of a member that cannot be asked");
    let mut found = Bench::found(&["b"]);
    found.round([silent()]);
    assert_eq!(found.word(), "unsure", "it was not seen");
}

#[test]
fn row_4_what_comes_to_light_right_after_a_promotion_was_before_it() {
    let mut bench = Bench::new(&["b"]);
    bench.is(Ok(Role::Backup));
    bench.pass(1);
    bench.is(Ok(Role::Primary));
    bench.reads("record db", mark("b", 1));
    assert_eq!(bench.authority(), &clear(2));

    // Whatever that member says of itself: it was promoted before.
    let mut bench = Bench::new(&["b"]);
    bench.is(Ok(Role::Backup));
    bench.pass(1);
    bench.is(Ok(Role::Primary));
    bench.round([primary("b", 1)]);
    assert_eq!(bench.authority(), &clear(2));
    assert!(bench.page_serves());

    // Not later than the mirror needs to promote another.
    let mut bench = Bench::new(&["b"]);
    bench.is(Ok(Role::Backup));
    bench.hold(QOS_TIMEOUT.as_secs());
    bench.reads("record db", mark("b", 1));
    assert_eq!(bench.word(), "unsure");
}

#[test]
fn row_8_without_peers_there_is_no_one_to_ask() {
    let mut bench = Bench::found(&[]);
    assert_eq!(bench.authority(), &clear(1));
    assert_eq!((bench.consult(), bench.rounds), (Some(clear(1)), 0), "and nothing is asked");
    bench.reads("record db", mark("x", 1));
    assert_eq!(bench.word(), "unsure", "a record says that there is another");
    assert!(bench.why().contains("there is no [[mirror.peer]] to ask"), "{}", bench.why());
}

#[test]
fn row_9_anything_else_is_unsure_and_leaves_the_page_alone() {
    let mut bench = Bench::found(&["b"]);
    assert!(bench.why().contains("no definite answer from 10.0.0.b"), "{}", bench.why());
    bench.round([silent()]);
    assert_eq!((bench.word(), bench.page_serves()), ("unsure", true));
    bench.is(Ok(Role::Backup));
    assert!(bench.why().contains("is not the primary"), "{}", bench.why());
}
