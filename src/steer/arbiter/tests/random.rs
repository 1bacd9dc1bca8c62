//! Properties over random histories: of inputs in any order, with a disk that may be slow.

use proptest::prelude::*;

use super::*;

const PEERS: [&str; 2] = ["b", "c"];

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Is(Outcome),
    Poll,
    /// The next answer of the round under way, or one to no question.
    Answer(usize, PeerReport),
    Record(&'static str, Option<Claim>),
    Gone(&'static str),
    Consult,
    Written,
    Take,
    Restart,
}

fn marks() -> impl Strategy<Value = Claim> {
    let term = prop_oneof![20 => 0_u64..8, 1 => Just(u64::MAX), 1 => 900_u64..1_100];
    (prop::sample::select(vec!["a", "b", "c", "x", ""]), term).prop_map(|(member, term)| mark(member, term))
}

fn reports(member: &'static str) -> impl Strategy<Value = PeerReport> {
    let role = prop_oneof![
        Just(PeerRole::Primary),
        (0_u64..10).prop_map(|age| PeerRole::Other { age: Duration::from_secs(age) }),
        Just(PeerRole::Unknown),
    ];
    let facts = (role, marks(), marks()).prop_map(move |(role, own, seen)| {
        PeerReport::Facts(PeerFacts { seen, ..facts(member, role, own.term) })
    });
    prop_oneof![
        8 => facts,
        2 => Just(silent()),
        1 => any::<bool>().prop_map(|serving| PeerReport::Page { serving }),
        1 => Just(PeerReport::Myself),
        1 => Just(PeerReport::Conflict("a stranger".to_owned())),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let target = || prop::sample::select(vec!["one", "two"]);
    let outcome = prop_oneof![
        5 => Just(Ok(Role::Primary)),
        2 => Just(Ok(Role::Backup)),
        2 => Just(Err(NoEvidence::TimedOut { after: Duration::from_secs(2) })),
    ];
    let event = prop_oneof![
        4 => (0_u64..6).prop_map(Event::Pass),
        8 => outcome.prop_map(Event::Is),
        4 => Just(Event::Poll),
        6 => reports("b").prop_map(|report| Event::Answer(0, report)),
        6 => reports("c").prop_map(|report| Event::Answer(1, report)),
        3 => (target(), prop::option::of(marks())).prop_map(|(target, mark)| Event::Record(target, mark)),
        1 => target().prop_map(Event::Gone),
        4 => Just(Event::Consult),
        6 => Just(Event::Written),
        1 => Just(Event::Take),
        1 => Just(Event::Restart),
    ];
    prop::collection::vec(event, 1..60)
}

/// A bench with what must hold at each step.
struct Checked {
    bench: Bench,
    consults: usize,
    /// Answers that are missing in the round under way.
    asked: Vec<usize>,
    /// The highest term that was published or answered.
    used: u64,
}

impl Checked {
    fn make(&mut self, event: Event) {
        let rounds = self.bench.rounds;
        let (answered, published) = (self.bench.answers.len(), self.bench.ruling.clone());
        match event {
            Event::Pass(seconds) => self.bench.pass(seconds),
            Event::Is(outcome) => self.bench.is(outcome),
            Event::Poll => self.bench.input(Input::Poll),
            Event::Answer(peer, report) => {
                // Each peer answers once a round, as the driver makes sure.
                let Some(place) = self.asked.iter().position(|asked| *asked == peer) else { return };
                self.asked.swap_remove(place);
                let asked_at = self.bench.now;
                self.bench.input(Input::Answer { peer, asked_at, report });
            }
            Event::Record(target, mark) => self.bench.input(Input::Record { target: target.into(), mark }),
            Event::Gone(target) => self.bench.input(Input::Gone { target: target.into() }),
            Event::Consult => {
                self.consults += 1;
                self.bench.consult();
            }
            Event::Written => self.bench.written(),
            Event::Take => {
                let before = self.bench.arbiter.clone();
                let doubt = self.bench.arbiter.doubt(self.bench.now);
                assert_eq!(self.bench.arbiter, before, "asking changes nothing");
                if doubt.is_ok() {
                    self.bench.input(Input::Take(decision()));
                }
            }
            Event::Restart => {
                self.bench = self.bench.restart(settings(&PEERS));
                self.bench.slow_disk = true;
                (self.consults, self.asked) = (0, Vec::new());
                if self.bench.rounds > 0 {
                    self.asked = vec![0, 1];
                }
                assert!(
                    self.bench.memory().term >= self.used,
                    "a term that was used is used for another promotion"
                );
                return;
            }
        }
        if self.bench.rounds > rounds {
            assert_eq!(self.bench.rounds, rounds + 1, "one round at a time");
            assert!(self.asked.is_empty(), "no round while another is under way");
            self.asked = vec![0, 1];
        }
        let published = (published != self.bench.ruling).then(|| self.bench.authority().clone());
        let answers = self.bench.answers[answered..].to_vec();
        for authority in answers.iter().chain(&published) {
            self.may_be_used(authority);
            if let Authority::Clear { term, .. } = authority {
                self.used = self.used.max(*term);
            }
        }
        let Memory { term, seen, .. } = self.bench.memory();
        assert!(*term <= seen.term, "{term} above {seen}");
        assert!(*term >= self.used, "a term never goes down");
    }

    /// What must hold of a ruling at the moment of its use.
    fn may_be_used(&self, authority: &Authority) {
        let bench = &self.bench;
        let Authority::Clear { term, .. } = authority else { return };
        assert!(bench.writing.iter().all(|memory| memory.term != *term), "{term} is not on disk");
        assert_eq!(*term, bench.arbiter.stored);
        assert!(bench.arbiter.instance.primary, "only the primary takes");
        assert!(bench.memory().superseded_by.is_none());
        assert!(*term >= bench.memory().seen.term, "{term} below {}", bench.memory().seen);
        let other = bench.arbiter.members.marks().filter(|mark| mark.member != "a");
        let excluded = |mark: &Claim| bench.arbiter.members.excludes(&mark.member, bench.now);
        assert!(
            other
                .filter(|mark| !excluded(mark))
                .all(|mark| mark.term < *term || !bench.memory().believes(mark.term))
        );
    }

    /// Everything that is under way comes to its end: the disk writes, and the peers that are asked answer.
    fn settle(&mut self, report: fn(&str) -> PeerReport) {
        for _ in 0..4 {
            self.make(Event::Written);
            for (peer, member) in PEERS.iter().enumerate() {
                self.make(Event::Answer(peer, report(member)));
            }
        }
        self.make(Event::Written);
    }
}

fn history(events: Vec<Event>) -> Checked {
    let mut bench = Bench::new(&PEERS);
    bench.slow_disk = true;
    let mut checked = Checked { bench, consults: 0, asked: Vec::new(), used: 0 };
    for event in events {
        checked.make(event);
    }
    checked
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: nothing is taken with a term that is not on disk, by a member that is not the
    /// primary or is superseded, or below what another has; and each consultation is answered once every peer has answered.
    #[test]
    fn terms_are_stored_before_use_and_every_question_is_answered(events in events()) {
        let mut checked = history(events);
        checked.settle(|_| silent());
        prop_assert_eq!(checked.bench.answers.len(), checked.consults);
    }

    /// From any state: once every other member certainly is not the primary, the only primary may take traffic.
    #[test]
    fn the_only_primary_may_take_traffic_from_any_state(events in events()) {
        let mut checked = history(events);
        checked.settle(|member| backup(member, 0));
        checked.bench.pass(1);
        checked.make(Event::Is(Ok(Role::Primary)));
        checked.make(Event::Poll);
        checked.settle(|member| backup(member, 0));
        let authority = checked.bench.authority();
        prop_assert!(matches!(authority, Authority::Clear { certain: true, .. }), "{}", authority);
        prop_assert!(checked.bench.page_serves());
    }

    /// A superseded member does not serve for any silence.
    #[test]
    fn no_silence_releases_a_superseded_member(events in events(), seconds in 0_u64..100) {
        let mut checked = history(events);
        checked.settle(|_| silent());
        if checked.bench.memory().superseded_by.is_some() {
            checked.bench.pass(seconds);
            checked.make(Event::Is(Ok(Role::Primary)));
            checked.make(Event::Poll);
            checked.settle(|_| silent());
            prop_assert!(!checked.bench.page_serves());
            prop_assert_eq!(checked.bench.word(), "superseded");
        }
    }
}
