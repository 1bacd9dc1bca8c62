//! What the daemons do: ask their instances and each other, and write to the object and the pool.

use mirrorvip::observation::{NoEvidence, Observation, Role};
use mirrorvip::peer::document::{Document, Identity, Profile};
use mirrorvip::steer::Authority;
use mirrorvip::steer::arbiter::{PeerFacts, PeerRole};

use super::*;

impl State {
    pub(super) fn observe(&mut self, i: usize) {
        let at = self.at();
        let outcome = match self.members[i].truth {
            Truth::Primary(..) => Ok(Role::Primary),
            Truth::Backup => Ok(Role::Backup),
            Truth::Hung(_) => Err(NoEvidence::TimedOut { after: Duration::ZERO }),
        };
        let rank = self.rank_of(i);
        let Some(daemon) = &mut self.members[i].daemon else { return };
        let epoch = daemon.tracker.epoch();
        if outcome.is_ok() && rank > 0 && daemon.rank != rank {
            daemon.rank = rank;
            daemon.reached = [false; MEMBERS];
            daemon.timely = daemon.tracker.other_at().is_some_and(|other| other.age_at(at) < QOS_TIMEOUT);
        }
        daemon.tracker.expire(at);
        daemon.tracker.observe(&Observation {
            asked_at: at,
            answered_at: at,
            outcome,
            evidence: String::new(),
        });
        daemon.obey();
        let instance = Instance::of(&daemon.tracker, at);
        let sees_promotion = daemon.tracker.epoch() != epoch;
        self.handle(i, Input::Instance(instance));
        if sees_promotion && self.wrong.is_some_and(|(property, _)| property == "S7") {
            // Proven is what was seen, and nothing about others.
            self.wrong = None;
        }
    }

    /// One whole round: every peer that can be reached answers at once, the others are silent.
    pub(super) fn poll(&mut self, i: usize) {
        self.handle(i, Input::Poll);
        self.answer(i);
    }

    /// The answers of the round that is under way.
    pub(super) fn answer(&mut self, i: usize) {
        if !std::mem::take(&mut self.daemon(i).asking) {
            return;
        }
        let asked_at = self.at();
        for (peer, j) in others(i).enumerate() {
            let report = self.report(i, j);
            self.note(i, j, &report);
            self.handle(i, Input::Answer { peer, asked_at, report });
        }
    }

    pub(super) fn note(&mut self, i: usize, j: usize, report: &PeerReport) {
        let (at, now) = (self.at(), self.now);
        let daemon = self.daemon(i);
        daemon.heard[j] = match report {
            PeerReport::Facts(_) => Heard::Facts,
            PeerReport::Conflict(_) => Heard::Conflict,
            PeerReport::Page { serving: true } => Heard::Success(now),
            _ => Heard::Nothing,
        };
        let soon = daemon.tracker.other_at().is_some_and(|other| other.age_at(at) < QOS_TIMEOUT);
        daemon.reached[j] |= soon && matches!(report, PeerReport::Facts(_));
    }

    /// What `j` reports to `i`.
    pub(super) fn report(&self, i: usize, j: usize) -> PeerReport {
        match &self.members[j].daemon {
            Some(_) if self.cut[i][j] => PeerReport::Silent(String::new()),
            Some(_) if self.confused[i][j] => PeerReport::Conflict(String::new()),
            Some(_) if self.is_plain(j) => PeerReport::Page { serving: self.serves(j) },
            Some(daemon) => {
                let identity =
                    Identity { mirror: "PROD".into(), member: NAMES[j].into(), ..Identity::default() };
                let mut profile = Profile::new(identity, &daemon.published);
                profile.follow(&daemon.published, "unsure");
                PeerReport::Facts(PeerFacts::of(&Document::of(&profile, &daemon.tracker, self.at())))
            }
            None => PeerReport::Silent(String::new()),
        }
    }

    /// Returns whether it was clear that traffic may be taken.
    pub(super) fn act(&mut self, i: usize) -> bool {
        if self.no_cloud[i] || self.members[i].daemon.is_none() {
            return false;
        }
        let Record { owner, term, .. } = self.record;
        self.daemon(i).term_before = self.daemon(i).arbiter.memory().term;
        let mark = (term > 0).then(|| Claim { term, member: NAMES[owner].to_owned() });
        self.handle(i, Input::Record { target: Arc::from("record"), mark });
        let mut outputs = self.handle(i, Input::Consult { ticket: 0 });
        for _ in 0..4 {
            if outputs.iter().any(|output| matches!(output, Output::Answer { .. })) {
                break;
            }
            assert!(self.daemon(i).asking, "a consultation waits for answers, or for the disk");
            let asked_at = self.at();
            self.daemon(i).asking = false;
            for (peer, j) in others(i).enumerate() {
                let report = self.report(i, j);
                self.note(i, j, &report);
                outputs.extend(self.handle(i, Input::Answer { peer, asked_at, report }));
            }
        }
        let authority = outputs.into_iter().find_map(|output| match output {
            Output::Answer { authority, .. } => Some(authority),
            _ => None,
        });
        let at = self.at();
        let serves = self.daemon(i).tracker.verdict().serves(at);
        let Some(Authority::Clear { term: mine, certain }) = authority.filter(|_| serves) else {
            return false;
        };
        self.judge_doubts(i);
        if self.pool[i] {
            for j in others(i).filter(|&j| self.pool[j]).collect::<Vec<_>>() {
                self.judge(i, j);
                self.pool[j] = false;
            }
        }
        self.pool[i] = true;
        let takes = owner != i;
        if term >= mine && !(takes && certain) {
            return true;
        }
        if takes {
            others(i).for_each(|j| self.judge(i, j));
        }
        let rank = self.daemon(i).rank;
        self.record = Record { owner: i, term: mine, rank };
        true
    }

    /// S4 and S5, at the moment of a write.
    fn judge_doubts(&mut self, i: usize) {
        let (at, now) = (self.at(), self.now);
        let daemon = self.daemon(i);
        let just_promoted = daemon.tracker.other_at().is_some_and(|other| other.age_at(at) < QOS_TIMEOUT);
        let success = |heard: &Heard| matches!(heard, Heard::Success(at) if now <= at + millis(QOS_TIMEOUT));
        if daemon.arbiter.memory().taken.is_some() {
            // An operator knows better.
        } else if daemon.heard.contains(&Heard::Conflict) {
            self.wrong = Some(("S4", "wrote while the members were indistinguishable"));
        } else if !just_promoted && daemon.heard.iter().any(success) {
            self.wrong = Some(("S5", "wrote while a page without a term said SUCCESS"));
        }
    }

    /// The operator takes it; L5.
    pub(super) fn take(&mut self, i: usize) {
        let at = self.at();
        let taken =
            Taken { reason: String::new(), user: String::new(), at: String::new(), overrode: String::new() };
        self.handle(i, Input::Take(taken));
        if self.daemon(i).arbiter.doubt(at).is_ok() {
            self.wrong = Some(("L5", "is in doubt right after the operator's decision"));
        }
    }

    /// S1, at the moment at which `i` takes something that `from` may have.
    fn judge(&mut self, i: usize, from: usize) {
        let Record { owner, rank, .. } = self.record;
        let from_record = from == owner && self.rank_of(owner) == rank;
        let can_be_asked = self.setup != Setup::Alone && !self.is_plain(from) && !self.cut[i][from];
        if !self.is_later(from, i) || self.rose_unheard(i, from) {
            return;
        }
        if from_record {
            self.wrong = Some(("S1", "took it from a later promotion whose record it read"));
        } else if can_be_asked && self.knows(from) {
            self.wrong = Some(("S1", "took it from a member that was promoted later and could be reached"));
        }
    }

    /// Whether `j` holds a later promotion than the one that `i` saw last.
    fn is_later(&self, j: usize, i: usize) -> bool {
        // An instance that has just lost the role was the primary when it was asked.
        let mine = self.members[i].daemon.as_ref().map_or(0, |daemon| daemon.rank);
        matches!(self.members[j].truth, Truth::Primary(rank, _) if rank > mine)
    }

    /// PROVISO: a term that rises without a promotion (row 8, and the operator's decision) warns no member before a record with it
    /// is written or a peer has asked. A member that is promoted in between has a lower term.
    fn rose_unheard(&self, i: usize, j: usize) -> bool {
        let daemon = |i: usize| self.members[i].daemon.as_ref();
        let decided = daemon(i).is_some_and(|daemon| daemon.arbiter.memory().taken.is_some());
        let mine = daemon(i).map_or(0, |daemon| daemon.term_before);
        let heard = daemon(j).is_none_or(|daemon| daemon.arbiter.memory().seen.term >= mine);
        (self.setup == Setup::Alone || decided) && !heard
    }

    /// Whether the daemon of `j` has been certain of its promotion for longer than answers may be old. One that was blind while
    /// its instance lost the role and regained it cannot know how late it was.
    fn knows(&self, j: usize) -> bool {
        let daemon = self.members[j].daemon.as_ref().filter(|daemon| daemon.rank == self.rank_of(j));
        let since = daemon.and_then(|daemon| daemon.certain_since);
        since.is_some_and(|since| self.now > since + millis(arbiter::FRESH))
    }

    /// S7, when `i` has become certain of a promotion of before.
    fn judge_proof(&mut self, i: usize) {
        if self.daemon(i).arbiter.memory().taken.is_some() {
            // The operator decided, and no evidence.
            return;
        }
        let heard = |j: usize| self.members[i].daemon.as_ref().is_some_and(|d| d.heard[j] == Heard::Facts);
        if others(i).any(|j| heard(j) && self.is_later(j, i) && self.knows(j)) {
            self.wrong =
                Some(("S7", "took its promotion for the latest beside a later one that it could ask"));
        }
    }

    /// A round of questions of `i` in which `j` seems to be the primary of a promotion with this term.
    pub(super) fn forge(&mut self, i: usize, j: usize, term: u64) {
        let asked_at = self.at();
        self.handle(i, Input::Poll);
        if !std::mem::take(&mut self.daemon(i).asking) {
            return;
        }
        for (peer, other) in others(i).enumerate() {
            let report = if other == j {
                let mark = Claim { term, member: NAMES[j].to_owned() };
                PeerReport::Facts(PeerFacts {
                    member: NAMES[j].to_owned(),
                    role: PeerRole::Primary,
                    serving: true,
                    term: mark.term,
                    proven: true,
                    seen: mark,
                })
            } else {
                self.report(i, other)
            };
            self.note(i, other, &report);
            self.handle(i, Input::Answer { peer, asked_at, report });
        }
    }

    /// Lets the arbiter of `i` work, with a disk that writes at once.
    pub(super) fn handle(&mut self, i: usize, input: Input) -> Vec<Output> {
        let (at, now) = (self.at(), self.now);
        let daemon = self.daemon(i);
        let was_proven = daemon.arbiter.memory().proven;
        let mut outputs = daemon.arbiter.handle(at, input);
        let stored = outputs.iter().find_map(|output| match output {
            Output::Store(memory) => Some(memory.clone()),
            _ => None,
        });
        if let Some(memory) = stored {
            outputs.extend(daemon.arbiter.handle(at, Input::Stored(memory)));
        }
        for output in &outputs {
            match output {
                Output::Ask => daemon.asking = true,
                Output::Publish(ruling) => {
                    daemon.refuse.clone_from(&ruling.refuse);
                    daemon.published = ruling.memory.clone();
                }
                Output::Store(_) | Output::Answer { .. } => {}
            }
        }
        daemon.obey();
        let certain = daemon.arbiter.memory().proven && daemon.tracker.primary_at(at).is_some();
        daemon.certain_since = daemon.certain_since.filter(|_| certain).or(certain.then_some(now));
        if !was_proven && daemon.arbiter.memory().proven && self.wrong.is_none() {
            self.judge_proof(i);
        }
        outputs
    }

    /// So long every daemon asks its instance, and no other.
    pub(super) fn pass(&mut self, span: Duration) {
        let until = self.now + millis(span);
        while self.now < until {
            self.now += TICK;
            (0..MEMBERS).for_each(|i| self.observe(i));
        }
    }

    /// Every daemon asks its instance and its peers, twice.
    pub(super) fn meet(&mut self) {
        for _ in 0..2 {
            for i in 0..MEMBERS {
                if self.members[i].daemon.is_some() {
                    self.observe(i);
                }
            }
            for i in 0..MEMBERS {
                if self.members[i].daemon.is_some() && !self.is_plain(i) {
                    self.poll(i);
                }
            }
        }
    }

    /// Everything works again.
    pub(super) fn heal(&mut self) {
        self.cut = [[false; MEMBERS]; MEMBERS];
        self.confused = [[false; MEMBERS]; MEMBERS];
        self.no_cloud = [false; MEMBERS];
        for i in 0..MEMBERS {
            if self.members[i].daemon.is_none() {
                self.start(i);
            }
        }
    }
}

impl Daemon {
    pub(super) fn obey(&mut self) {
        match &self.refuse {
            Some(by) => self.tracker.supersede(self.tracker.epoch(), by),
            None => self.tracker.reinstate(),
        }
    }

    /// What a stop writes.
    pub(super) fn disk(&self) -> Option<Disk> {
        let Remembered { epoch, primary, asked_at, .. } = self.tracker.remember()?;
        Some(Disk { epoch: epoch.into(), primary, asked_at, memory: self.arbiter.memory().clone() })
    }
}
