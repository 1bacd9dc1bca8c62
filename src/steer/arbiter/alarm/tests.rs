//! What an operator learns about the mirror as a whole, and when (story 11 of the design).

use super::*;
use crate::peer::document::Document;
use crate::peer::document::tests::backup;
use crate::steer::testing::at;
use crate::term::Taken;

const QOS_TIMEOUT: Duration = Duration::from_secs(8);

/// The member `b` as it reported at the start.
fn peer(document: Document) -> MemberView {
    MemberView {
        reachable: true,
        since: Some(at(0)),
        asked_at: Some(at(1)),
        document: Some((at(1), document)),
        ..MemberView::unknown("10.0.0.b")
    }
}

fn primary(serving: bool) -> MemberView {
    peer(Document { role: Some("primary".to_owned()), serving, ..backup("b") })
}

fn with(problem: Problem) -> MemberView {
    let reachable = problem != Problem::Silent;
    MemberView { reachable, problem: Some("because".to_owned()), kind: Some(problem), ..peer(backup("b")) }
}

const CLEAR: Authority = Authority::Clear { term: 1, certain: false };

/// A member that serves beside `members`.
fn serving(members: &[MemberView]) -> Picture<'_> {
    Picture {
        settled: true,
        serving: true,
        primary: true,
        authority: &CLEAR,
        members,
        unbelievable: &[],
        taken: None,
    }
}

/// A backup beside `members`.
fn following(members: &[MemberView]) -> Picture<'_> {
    Picture { serving: false, primary: false, ..serving(members) }
}

/// The alarms at `now` of a member that has served, or been the primary, since the start.
fn find(picture: &Picture<'_>, now: Timestamp) -> BTreeMap<Alarm, String> {
    let mut alarms = Alarms::new("PROD", QOS_TIMEOUT);
    alarms.update(at(0), &Picture { members: &[], ..*picture });
    alarms.find(picture, now)
}

/// The alarms by name, each with its text.
fn found(picture: &Picture<'_>) -> BTreeMap<&'static str, String> {
    find(picture, at(1)).into_iter().map(|(alarm, text)| (alarm.word(), text)).collect()
}

fn words(picture: &Picture<'_>) -> Vec<&'static str> {
    found(picture).into_keys().collect()
}

#[test]
fn a_healthy_mirror_raises_no_alarm() {
    assert_eq!(found(&serving(&[peer(backup("b"))])), BTreeMap::new());
    assert_eq!(found(&following(&[primary(true)])), BTreeMap::new());
}

#[test]
fn two_members_that_say_success_are_an_alarm_on_both() {
    let text = &found(&serving(&[primary(true)]))["two-serve"];
    assert!(
        text.contains("b (10.0.0.b) and this member both say SUCCESS") && text.contains("iris list"),
        "{text}"
    );
    let page = MemberView { page: Some(true), document: None, ..peer(backup("b")) };
    assert_eq!(words(&serving(&[page])), ["two-serve"], "also of a member that only has a page");
    // An answer older than a QoS timeout does not count.
    let old = at(1).later_by(QOS_TIMEOUT);
    assert!(find(&serving(&[primary(true)]), old).is_empty());
    // Nor does an answer from before this member began to serve: a failover is no alarm.
    let mut before = primary(true);
    before.asked_at = Some(at(0));
    assert!(find(&serving(&[before]), at(1)).is_empty());
}

#[test]
fn two_primaries_are_an_alarm_although_only_one_serves() {
    let refusing = primary(false);
    let text = &found(&serving(std::slice::from_ref(&refusing)))["two-primaries"];
    assert!(text.contains("clients are sent to this member"), "{text}");
    let members = [primary(true)];
    let superseded = Authority::Superseded { by: "b (term 2) at 10.0.0.b".to_owned() };
    let picture = Picture { serving: false, authority: &superseded, ..serving(&members) };
    let found = found(&picture);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), ["superseded", "two-primaries"]);
    assert!(found["two-primaries"].contains("clients are sent to the other"));
    assert!(
        found["superseded"].contains("b (term 2) at 10.0.0.b")
            && found["superseded"].contains("mirrorvip take")
    );
}

#[test]
fn a_mirror_without_a_page_that_says_success_is_an_alarm_once_it_is_settled() {
    let members = [with(Problem::Silent)];
    let text = &found(&following(&members))["no-member-serves"];
    assert!(text.contains("b (10.0.0.b) does not answer"), "{text}");
    assert!(!words(&Picture { settled: false, ..following(&members) }).contains(&"no-member-serves"));
}

#[test]
fn each_problem_of_a_peer_has_its_alarm() {
    for (problem, word) in [
        (Problem::Silent, "peer-silent"),
        (Problem::Myself, "peer-is-this-daemon"),
        (Problem::Conflict, "peer-conflict"),
        (Problem::Unbelievable, "peer-term"),
    ] {
        let members = [with(problem)];
        assert_eq!(words(&serving(&members)), [word]);
        let holds_up = matches!(problem, Problem::Conflict | Problem::Unbelievable);
        assert_eq!(found(&serving(&members))[word].contains("Nothing is taken"), holds_up);
        let taken =
            Taken { reason: String::new(), user: String::new(), at: String::new(), overrode: String::new() };
        let decided = Picture { taken: Some(&taken), ..serving(&members) };
        assert!(!found(&decided)[word].contains("Nothing is taken"), "the operator has decided");
    }
    let differs = MemberView { agrees: Some(false), ..peer(backup("b")) };
    assert!(found(&serving(&[differs]))["configuration-differs"].contains("qos_timeout"));
}

#[test]
fn a_record_with_a_term_that_is_not_believed_is_an_alarm() {
    let unbelievable = [("record db".into(), "x (term 18446744073709551615)".to_owned())];
    let members = [peer(backup("b"))];
    let text = &found(&Picture { unbelievable: &unbelievable, ..serving(&members) })["record-term"];
    assert!(text.contains("record db carries the name of x") && text.contains("mirrorvip take"), "{text}");
}

#[test]
fn an_alarm_is_logged_once_and_only_after_its_patience() {
    let mut alarms = Alarms::new("PROD", QOS_TIMEOUT);
    let (members, healthy) = ([with(Problem::Silent)], [peer(backup("b"))]);
    let logged = |alarms: &Alarms| alarms.raised.values().map(|raised| raised.logged).collect::<Vec<_>>();
    alarms.update(at(0), &serving(&members));
    assert_eq!(logged(&alarms), [false], "one lost answer is no episode");
    alarms.update(at(8), &serving(&members));
    assert_eq!(logged(&alarms), [true]);
    alarms.update(at(9), &serving(&healthy));
    assert_eq!(logged(&alarms), [] as [bool; 0]);
    alarms.update(at(10), &serving(&members));
    assert_eq!(logged(&alarms), [false], "another episode");

    let mut alarms = Alarms::new("PROD", QOS_TIMEOUT);
    alarms.update(at(0), &serving(&[primary(true)]));
    assert_eq!(logged(&alarms), [true], "two serving members are logged at once");
    let mut alarms = Alarms::new("PROD", QOS_TIMEOUT);
    for (seconds, expected) in [(0, false), (23, false), (24, true)] {
        alarms.update(at(seconds), &following(&healthy));
        assert_eq!(logged(&alarms), [expected], "a failover takes its time: {seconds} s");
    }
}
