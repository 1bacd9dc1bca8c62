//! Every row of the table, and two laws: a stale member is never clear, a true primary is not stuck.

use proptest::prelude::*;

use super::*;

fn facts(origin: Origin) -> Facts {
    Facts {
        origin,
        promoted_ago: None,
        superseded: None,
        remembers_superseded: false,
        taken: None,
        memory: Memory::Nothing,
        known_before: 0,
        known_at_promotion: 8,
        claim: 9,
        records: Vec::new(),
        peers: Vec::new(),
    }
}

fn peer(state: PeerState) -> PeerFacts {
    PeerFacts { name: "10.0.2.12".to_owned(), state }
}

fn serving(promoted_ago: Option<u64>, order: Option<Order>) -> PeerFacts {
    peer(PeerState::Serving { promoted_ago: promoted_ago.map(Duration::from_secs), order })
}

fn others(claim: u64, written: Option<u64>) -> RecordFacts {
    RecordFacts { record: Record { owner: Owner::Other("b".to_owned()), claim }, written, first: None }
}

fn risen(first: u64, claim: u64) -> RecordFacts {
    RecordFacts { first: Some(first), ..others(claim, None) }
}

fn mine(claim: u64) -> RecordFacts {
    RecordFacts { record: Record { owner: Owner::Me, claim }, written: None, first: None }
}

#[track_caller]
fn rules(facts: &Facts, word: &str, refuses: bool) {
    let ruling = rule(facts);
    assert_eq!((ruling.authority.word(), ruling.refuse.is_some()), (word, refuses), "{facts:#?}\n{ruling:?}");
}

const ORIGINS: [Origin; 3] = [Origin::Promoted, Origin::Resumed, Origin::Found];

#[test]
fn row_1_superseded_stays_superseded() {
    let was = Facts { superseded: Some("b".into()), ..facts(Origin::Promoted) };
    rules(&was, "superseded", false);
    rules(
        &Facts { peers: vec![peer(PeerState::NotServing)], records: vec![mine(8)], ..was.clone() },
        "superseded",
        false,
    );
    let ago = Some(Duration::from_secs(90));
    rules(&Facts { peers: vec![serving(Some(5), None)], promoted_ago: ago, ..was }, "superseded", true);
}

#[test]
fn row_3_what_is_remembered_gives_way_to_peers_that_are_all_something_else() {
    let was = Facts { remembers_superseded: true, records: vec![mine(8)], ..facts(Origin::Found) };
    let earlier = serving(None, Some(Order::Earlier));
    for (peers, word, refuses) in [
        (vec![], "superseded", false),
        (vec![peer(PeerState::Unreachable)], "superseded", false),
        (vec![peer(PeerState::NotServing), peer(PeerState::StoodDown)], "superseded", false),
        (vec![peer(PeerState::NotServing), earlier], "superseded", false),
        (vec![serving(Some(5), None)], "superseded", true),
        (vec![peer(PeerState::NotServing), peer(PeerState::NotServing)], "clear", false),
    ] {
        rules(&Facts { peers, ..was.clone() }, word, refuses);
    }
}

#[test]
fn rows_2_and_4_a_peer_serves() {
    use Order::{Earlier, Later};
    // origin, mine, theirs, order seen -> ruling
    let table = [
        (Origin::Promoted, Some(100), Some(50), None, "superseded"),
        (Origin::Promoted, Some(50), Some(100), None, "clear"),
        (Origin::Promoted, Some(50), Some(51), None, "unsure"),
        (Origin::Promoted, Some(50), None, None, "unsure"),
        (Origin::Resumed, Some(100), Some(50), None, "superseded"),
        (Origin::Resumed, Some(50), Some(100), None, "clear"),
        (Origin::Resumed, Some(50), None, None, "unsure"),
        (Origin::Found, Some(50), Some(100), None, "clear"),
        (Origin::Found, Some(50), None, None, "unsure"),
        (Origin::Found, None, Some(50), None, "unsure"),
        (Origin::Found, None, None, None, "unsure"),
        // Clocks that stood still while the machine was paused do not mislead.
        (Origin::Promoted, Some(50), Some(100), Some(Later), "superseded"),
        (Origin::Promoted, Some(100), Some(50), Some(Earlier), "clear"),
        (Origin::Promoted, Some(50), None, Some(Later), "superseded"),
    ];
    for (origin, mine_ago, theirs, order, word) in table {
        let promoted_ago = mine_ago.map(Duration::from_secs);
        let facts = Facts { promoted_ago, peers: vec![serving(theirs, order)], ..facts(origin) };
        rules(&facts, word, word == "superseded");
    }
}

#[test]
fn row_5_every_peer_certainly_does_not_serve() {
    for origin in ORIGINS {
        let alone = Facts {
            peers: vec![
                peer(PeerState::NotServing),
                peer(PeerState::StoodDown),
                serving(None, Some(Order::Earlier)),
            ],
            records: vec![others(99, Some(9))],
            taken: Some("b".into()),
            ..facts(origin)
        };
        rules(&alone, "clear", false);
        let mut doubtful = alone;
        doubtful.peers.push(peer(PeerState::Unreachable));
        rules(&doubtful, "superseded", false);
    }
}

#[test]
fn row_8_what_was_taken_is_not_taken_back_without_a_peers_word() {
    for origin in ORIGINS {
        for peers in [vec![], vec![peer(PeerState::Unreachable)], vec![peer(PeerState::Indefinite)]] {
            let taken = Facts { taken: Some("b".into()), peers, records: vec![mine(9)], ..facts(origin) };
            rules(&taken, "unsure", false);
            let claimed = Facts { records: vec![mine(9), others(10, Some(9))], ..taken };
            rules(&claimed, "superseded", false);
        }
    }
}

#[test]
fn rows_6_7_9_and_10_promoted() {
    for peers in [vec![], vec![peer(PeerState::Unreachable)], vec![peer(PeerState::Indefinite)]] {
        let promoted = Facts { peers, ..facts(Origin::Promoted) };
        rules(&promoted, "clear", false);
        rules(&Facts { records: vec![others(8, None)], ..promoted.clone() }, "clear", false);
        rules(&Facts { records: vec![others(8, Some(9))], ..promoted.clone() }, "clear", false);
        let word = if promoted.peers.is_empty() { "clear" } else { "unsure" };
        rules(&Facts { records: vec![others(9, Some(9))], ..promoted.clone() }, word, false);
        rules(&Facts { records: vec![risen(7, 8)], ..promoted.clone() }, "unsure", false);
        rules(&Facts { records: vec![risen(8, 8)], ..promoted.clone() }, "clear", false);
        let both = vec![others(9, Some(9)), others(10, Some(9))];
        rules(&Facts { records: both, ..promoted.clone() }, "superseded", false);
        let word = if promoted.peers.is_empty() { "clear" } else { "unsure" };
        rules(&Facts { records: vec![others(8, None), others(9, None)], ..promoted.clone() }, word, false);
        rules(&Facts { records: vec![mine(9), others(10, Some(9))], ..promoted }, "superseded", false);
    }
}

#[test]
fn rows_6_and_11_to_15_resumed_or_found() {
    use Memory::{Held, Lost, Nothing};
    use Origin::{Found, Resumed};
    // origin, memory, highest claim known before, records -> ruling
    let table = [
        (Resumed, Nothing, 0, vec![others(10, Some(9))], "superseded"),
        (Resumed, Held, 0, vec![others(10, None)], "unsure"),
        (Found, Held, 9, vec![others(10, None)], "unsure"),
        (Found, Held, 9, vec![mine(9), others(10, None)], "unsure"),
        (Found, Held, 9, vec![others(9, None)], "unsure"),
        (Found, Lost, 9, vec![others(9, None)], "clear"),
        (Found, Lost, 9, vec![others(10, None)], "unsure"),
        (Found, Lost, 9, vec![others(9, None), others(10, None)], "unsure"),
        (Found, Nothing, 0, vec![others(1, None)], "unsure"),
        (Found, Nothing, 0, vec![mine(1)], "clear"),
        (Found, Held, 9, vec![mine(9)], "clear"),
        (Resumed, Held, 9, vec![mine(9)], "clear"),
        (Found, Nothing, 0, vec![], "unsure"),
        (Found, Held, 9, vec![], "unsure"),
        (Resumed, Held, 9, vec![], "unsure"),
    ];
    for (origin, memory, known_before, records, word) in table {
        rules(&Facts { memory, known_before, records, ..facts(origin) }, word, false);
    }
}

#[test]
fn a_doubt_says_what_would_help() {
    let why = |facts: &Facts| rule(facts).authority.to_string();
    assert!(why(&facts(Origin::Found)).contains("[[mirror.peer]]"));
    let silent = Facts { peers: vec![peer(PeerState::Unreachable)], ..facts(Origin::Found) };
    assert!(why(&silent).contains("10.0.2.12"));
}

// === laws ===

/// A member that was promoted, and after it another: what the first may come to know, if nobody lies.
///
/// *Truthful* means: the later member, asked, says that it serves, or is in doubt, or does not answer; it never
/// says that it is certainly not primary. The span that it tells is shorter than this member's by more than the
/// margin, unless this member's clocks stood still, in which case it was seen to be idle after this member's
/// promotion (it is asked every few seconds, so it was seen before the pause). A third member is not the one that
/// was promoted later. The later member has written each record of which it is the owner with a claim above all
/// before, and whatever this member wrote or knew is below. And it has taken something: an object that this
/// member saw done, or a record.
#[derive(Clone, Debug)]
struct Stale {
    facts: Facts,
}

fn stale() -> impl Strategy<Value = Stale> {
    let origin = proptest::sample::select(ORIGINS.to_vec());
    let memory = proptest::sample::select(vec![Memory::Nothing, Memory::Held]);
    let mine_ago = proptest::option::of(10_u64..10_000);
    let later = (0_u8..3, any::<bool>(), proptest::option::of(0_u64..10_000));
    let third = proptest::option::of(proptest::sample::select(vec![
        PeerState::NotServing,
        PeerState::Indefinite,
        PeerState::Unreachable,
        PeerState::Serving { promoted_ago: None, order: Some(Order::Earlier) },
    ]));
    let records = (0_u64..50, any::<bool>(), any::<bool>(), any::<bool>());
    (origin, memory, mine_ago, later, third, records, any::<bool>(), any::<bool>()).prop_map(
        |(
            origin,
            memory,
            mine_ago,
            (state, paused, theirs),
            third,
            (claim, has_record, wrote, moved),
            configured,
            was,
        )| {
            // A promotion that this process saw is known.
            let mine_ago = if origin == Origin::Promoted { Some(mine_ago.unwrap_or(100)) } else { mine_ago };
            let state = match state {
                0 => PeerState::Unreachable,
                1 => PeerState::Indefinite,
                _ if paused || (origin == Origin::Promoted && theirs.is_none()) => PeerState::Serving {
                    promoted_ago: theirs.map(Duration::from_secs),
                    order: Some(Order::Later),
                },
                _ => PeerState::Serving {
                    promoted_ago: theirs.map(|t| match mine_ago {
                        Some(mine) => Duration::from_secs(t % (mine - 5)),
                        None => Duration::from_secs(t),
                    }),
                    order: None,
                },
            };
            let mut peers = if configured { vec![peer(state)] } else { Vec::new() };
            peers.extend(third.filter(|_| configured).map(peer));
            // The later one has overwritten the record, or this member saw an object taken.
            let overwritten = has_record && (moved || origin != Origin::Promoted);
            let record = if overwritten {
                Some(others(claim + 1, wrote.then_some(claim)))
            } else {
                has_record.then(|| mine(claim))
            };
            let seen_record = overwritten && (wrote || origin == Origin::Found);
            let facts = Facts {
                promoted_ago: mine_ago.map(Duration::from_secs),
                superseded: was.then(|| "b".to_owned()),
                // What it took shows in the record alone, or in an object as well.
                taken: (!seen_record || moved).then(|| "b".to_owned()),
                memory,
                known_before: claim,
                records: record.into_iter().collect(),
                peers,
                ..facts(origin)
            };
            Stale { facts }
        },
    )
}

proptest! {
    #[test]
    fn a_stale_member_is_never_clear(stale in stale()) {
        let ruling = rule(&stale.facts);
        prop_assert!(!matches!(ruling.authority, Authority::Clear { .. }), "{ruling:?}");
    }

    /// A member that another came after before it had written anything: it was paused, or the cloud did not
    /// answer. The other took the claim that this one was about to write, or a higher one.
    #[test]
    fn a_member_whose_first_write_was_beaten_is_never_clear(
        known in 0_u64..50,
        above in 1_u64..3,
        tried in any::<bool>(),
        looked in any::<bool>(),
        silent in any::<bool>(),
    ) {
        let state = if silent { PeerState::Unreachable } else { PeerState::Indefinite };
        let record = RecordFacts { first: looked.then_some(known), ..others(known + above, tried.then_some(known + 1)) };
        let facts = Facts {
            promoted_ago: Some(Duration::ZERO),
            known_at_promotion: known,
            claim: known + above + 1,
            records: vec![record],
            peers: vec![peer(state)],
            ..facts(Origin::Promoted)
        };
        let ruling = rule(&facts);
        prop_assert!(!matches!(ruling.authority, Authority::Clear { .. }), "{ruling:?}");
    }

    /// The common cases: promoted before everybody's eyes while the others are demoted, dead or in doubt, or a
    /// restart with the others answering.
    #[test]
    fn a_true_primary_is_not_stuck(
        restarted in any::<bool>(),
        states in prop::collection::vec(0_u8..4, 0..4),
        claim in 0_u64..50,
        records in 0_usize..3,
        ago in 0_u64..5,
    ) {
        let state = |state: &u8| match state {
            0 => PeerState::NotServing,
            // The old primary, isolated, still says SUCCESS; it was promoted earlier, and this one knows how long ago.
            1 => PeerState::Serving { promoted_ago: Some(Duration::from_secs(3_600)), order: None },
            2 if !restarted => PeerState::Unreachable,
            3 if !restarted => PeerState::Indefinite,
            _ => PeerState::NotServing,
        };
        let mut peers: Vec<_> = states.iter().map(|s| peer(state(s))).collect();
        if restarted {
            peers.push(peer(PeerState::NotServing));
        }
        let origin = if restarted { Origin::Found } else { Origin::Promoted };
        let facts = Facts {
            promoted_ago: Some(Duration::from_secs(ago)),
            records: (0..records).map(|_| others(claim, None)).collect(),
            memory: Memory::Held,
            known_before: claim,
            known_at_promotion: claim,
            peers,
            ..facts(origin)
        };
        prop_assert_eq!(rule(&facts).authority, Authority::Clear { claim: 9 });
    }
}
