//! What must hold in every state. Liveness is judged on copies in which everything heals at once.

use super::*;

impl State {
    /// Whether no move has violated this property.
    pub(super) fn is_right(&self, property: &str) -> bool {
        self.wrong.is_none_or(|(wrong, _)| wrong != property)
    }

    /// S6: promotions count one by one, and a forged answer adds little.
    pub(super) fn numbers_are_small(&self) -> bool {
        let daemons = self.members.iter().filter_map(|member| member.daemon.as_ref());
        let mut memories = daemons.map(|daemon| daemon.arbiter.memory());
        memories.all(|memory| memory.term.max(memory.seen.term).max(memory.before) < HIGHEST_FIRST)
    }

    /// The world as `i` sees it with every peer silent and the object readable; a record that no member can accept is gone.
    fn alone(&self, i: usize) -> Self {
        let mut alone = self.clone();
        for j in others(i) {
            (alone.cut[i][j], alone.cut[j][i]) = (true, true);
        }
        alone.no_cloud[i] = false;
        if alone.record.term >= FAR {
            alone.record = Record { owner: others(i).next().unwrap_or(i), term: 0, rank: 0 };
        }
        alone
    }

    pub(super) fn two_pages_end(&self) -> bool {
        let primaries: Vec<usize> =
            (0..MEMBERS).filter(|&i| matches!(self.members[i].truth, Truth::Primary(..))).collect();
        if primaries.len() < 2 {
            return true;
        }
        let mut after = self.clone();
        after.heal();
        // One that ceases to be superseded serves first, and supersedes another in the next round.
        after.meet();
        after.meet();
        let serving: Vec<usize> = (0..MEMBERS).filter(|&i| after.serves(i)).collect();
        let term = |i: usize| after.members[i].daemon.as_ref().map(|d| d.arbiter.memory().term);
        // Equal terms are of promotions that knew nothing of each other.
        let in_doubt = serving.iter().all(|&i| term(i) == term(serving[0]));
        let later_refuses = |i: usize| {
            let unproven =
                !after.members[i].daemon.as_ref().is_some_and(|daemon| daemon.arbiter.memory().proven);
            let exempt = after.forged && unproven;
            !exempt && others(i).any(|j| after.knows_itself_later(j, i) && !after.serves(j))
        };
        in_doubt && !serving.iter().any(|&i| later_refuses(i))
    }

    /// Whether `j` was promoted after `i` and could know it: its daemon saw its instance become the primary, not late, and
    /// asked `i` soon after.
    pub(super) fn knows_itself_later(&self, j: usize, i: usize) -> bool {
        matches!(self.members[j].truth, Truth::Primary(rank, _) if rank > self.rank_of(i))
            && self.members[j]
                .daemon
                .as_ref()
                .is_some_and(|daemon| daemon.timely && daemon.rank == self.rank_of(j) && daemon.reached[i])
    }

    pub(super) fn silence_reinstates_no_member(&self) -> bool {
        (0..MEMBERS).all(|i| {
            let Some(daemon) = &self.members[i].daemon else { return true };
            if daemon.arbiter.memory().superseded_by.is_none()
                || !matches!(self.members[i].truth, Truth::Primary(..))
            {
                return true;
            }
            let mut alone = self.alone(i);
            alone.now += LONG;
            alone.observe(i);
            alone.poll(i);
            let mut restarted = alone.clone();
            restarted.stop(i);
            restarted.start(i);
            restarted.observe(i);
            restarted.poll(i);
            !alone.serves(i) && !restarted.serves(i)
        })
    }

    pub(super) fn a_lone_primary_takes_traffic(&self) -> bool {
        (0..MEMBERS).filter(|&i| matches!(self.members[i].truth, Truth::Primary(..))).all(|i| {
            let mut lone = self.clone();
            lone.heal();
            lone.now += TICK;
            for j in others(i) {
                lone.members[j].truth = Truth::Backup;
            }
            lone.meet();
            lone.act(i);
            lone.act(i);
            let alone_in_pool = (0..MEMBERS).all(|j| lone.pool[j] == (i == j));
            let proven = lone.daemon(i).arbiter.memory().proven;
            lone.record.owner == i && lone.serves(i) && alone_in_pool && proven
        })
    }

    pub(super) fn a_seen_promotion_needs_no_peer(&self) -> bool {
        (0..MEMBERS)
            .filter(|&i| {
                self.members[i].truth == Truth::Backup
                    && self.members[i].daemon.is_some()
                    && !self.is_plain(i)
            })
            .all(|i| {
                let mut alone = self.alone(i);
                alone.observe(i);
                if alone.daemon(i).heard.contains(&Heard::Conflict) {
                    alone.poll(i);
                }
                alone.promote(i);
                alone.now += TICK;
                alone.observe(i);
                alone.act(i);
                alone.record.owner == i && alone.serves(i)
            })
    }

    /// L4: what is proven and above every known term needs no peer, restarts included.
    pub(super) fn a_proven_promotion_needs_no_peer(&self) -> bool {
        let is_highest = |state: &Self, i: usize| {
            state.members[i].daemon.as_ref().is_some_and(|daemon| {
                let memory = daemon.arbiter.memory();
                memory.proven && memory.superseded_by.is_none() && memory.seen.member == NAMES[i]
            })
        };
        (0..MEMBERS)
            .filter(|&i| matches!(self.members[i].truth, Truth::Primary(..)) && !self.is_plain(i))
            .filter(|&i| is_highest(self, i))
            .all(|i| {
                let mut alone = self.alone(i);
                alone.observe(i);
                let term = alone.daemon(i).arbiter.memory().term;
                let applies = is_highest(&alone, i) && (alone.record.owner == i || alone.record.term < term);
                if !applies {
                    return true;
                }
                alone.stop(i);
                alone.start(i);
                alone.observe(i);
                alone.act(i)
            })
    }

    /// S8: an operator's decision is no match for a promotion after it, whose record can be read.
    pub(super) fn a_decision_ends_with_a_later_promotion(&self) -> bool {
        let decided = |i: &usize| {
            let daemon = self.members[*i].daemon.as_ref();
            daemon.is_some_and(|daemon| daemon.arbiter.memory().taken.is_some())
        };
        (0..MEMBERS).filter(decided).filter(|&i| matches!(self.members[i].truth, Truth::Primary(..))).all(
            |i| {
                let is_backup = |j: &usize| self.members[*j].truth == Truth::Backup;
                let ready =
                    |j: &usize| is_backup(j) && self.members[*j].daemon.is_some() && !self.is_plain(*j);
                others(i).filter(ready).all(|j| {
                    let mut after = self.alone(i).alone(j);
                    // A term that is neither written nor reported is no warning to the member that is promoted next.
                    if !after.act(i) {
                        return true;
                    }
                    after.pass(QOS_TIMEOUT);
                    after.promote(j);
                    after.observe(j);
                    after.act(j);
                    let was_taken = after.record.owner == j;
                    after.act(i);
                    !was_taken || after.record.owner == j
                })
            },
        )
    }

    /// L6: without peers and without any known term of another, no member is awaited.
    pub(super) fn without_peers_no_answer_is_awaited(&self) -> bool {
        (0..MEMBERS).filter(|&i| matches!(self.members[i].truth, Truth::Primary(..))).all(|i| {
            let mut first = self.alone(i);
            first.record = Record { owner: others(i).next().unwrap_or(i), term: 0, rank: 0 };
            first.stop(i);
            first.members[i].disk = None;
            first.start(i);
            first.observe(i);
            first.act(i) && first.record.owner == i
        })
    }

    pub(super) fn superseded_ends_with_its_cause(&self) -> bool {
        (0..MEMBERS).all(|i| {
            let by = self.members[i].daemon.as_ref().and_then(|d| d.arbiter.memory().superseded_by.clone());
            let Some(by) = by.filter(|_| matches!(self.members[i].truth, Truth::Primary(..))) else {
                return true;
            };
            let j = NAMES.iter().position(|name| *name == by.mark.member).expect("one of three");
            let mut after = self.clone();
            (after.cut[i][j], after.cut[j][i]) = (false, false);
            after.confused[i][j] = false;
            after.members[j].truth = Truth::Backup;
            if after.members[j].daemon.is_none() {
                after.start(j);
            }
            after.observe(j);
            after.observe(i);
            // What another peer reports of the cause may come after the cause's own answer, and before its name is known:
            // then it is asked again.
            for _ in 0..3 {
                after.poll(i);
            }
            let still = after.daemon(i).arbiter.memory().superseded_by.clone();
            still.is_none_or(|still| still.mark.member != by.mark.member)
        })
    }
}
