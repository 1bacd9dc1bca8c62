//! What the mirror, its machines, the network and an attacker do. A child of the [world](super) that it changes.

use std::num::NonZeroU32;

use mirrorvip::role::Settings;

use super::*;

impl State {
    pub(super) fn make(&mut self, action: Action) {
        match action {
            Action::Time(seconds) => self.now += seconds,
            Action::Observe(i) => self.observe(i),
            Action::Poll(i) => self.poll(i),
            Action::Act(i) => {
                self.act(i);
            }
            Action::Promote(i) => {
                self.left.promotions -= 1;
                self.promote(i);
            }
            Action::StepDown(i) => {
                self.members[i].truth = Truth::Backup;
                (self.acting, self.vacant_until) = (None, self.now + millis(HAND_OVER));
            }
            Action::Isolate(i) => {
                self.left.faults -= 1;
                if let Truth::Primary(rank, _) = self.members[i].truth {
                    self.members[i].truth = Truth::Primary(rank, true);
                }
                self.lose_primary(i);
            }
            Action::Hang(i) => {
                self.left.faults -= 1;
                let rank = self.rank_of(i);
                self.members[i].truth = Truth::Hung(rank);
                self.lose_primary(i);
            }
            Action::Rejoin(i) => self.rejoin(i),
            Action::Force(i) => {
                self.left.mischief -= 1;
                self.left.promotions -= 1;
                if let Some(old) = self.acting
                    && let Truth::Primary(rank, _) = self.members[old].truth
                {
                    self.members[old].truth = Truth::Primary(rank, true);
                }
                self.promote(i);
            }
            Action::Cut(i, j) => {
                self.left.cuts -= 1;
                (self.cut[i][j], self.cut[j][i]) = (true, true);
            }
            Action::Heal(i, j) => (self.cut[i][j], self.cut[j][i]) = (false, false),
            Action::CutCloud(i) => {
                self.left.cuts -= 1;
                self.no_cloud[i] = true;
            }
            Action::HealCloud(i) => self.no_cloud[i] = false,
            Action::Stop(i) => {
                self.left.faults -= 1;
                self.stop(i);
            }
            Action::Start(i) => self.start(i),
            Action::Lose(i) => {
                self.left.faults -= 1;
                self.members[i].disk = None;
            }
            Action::Snapshot(i) => {
                self.left.faults -= 1;
                let member = &mut self.members[i];
                let disk = member.daemon.as_ref().map_or_else(|| member.disk.clone(), Daemon::disk);
                member.snapshot = Some(Box::new((member.truth, disk)));
            }
            Action::Revert(i) => self.revert(i),
            Action::Take(i) => {
                self.left.takes -= 1;
                self.take(i);
            }
            Action::Forge(i, j) => {
                self.left.mischief -= 1;
                self.forged = true;
                let term = self.daemon(i).arbiter.memory().seen.term + 2;
                self.forge(i, j, term);
            }
            Action::Exaggerate(i, j) => {
                self.left.mischief -= 1;
                self.forge(i, j, FAR);
            }
            Action::ForgeRecord(i) => {
                self.left.mischief -= 1;
                self.record = Record { owner: i, term: FAR, rank: 0 };
            }
            Action::Confuse(i, j) => {
                self.left.mischief -= 1;
                self.confused[i][j] = true;
            }
            Action::Clarify(i, j) => self.confused[i][j] = false,
            Action::Reload(i) => {
                self.left.faults -= 1;
                self.reload(i);
            }
        }
    }
    pub(super) fn may_promote(&self) -> bool {
        self.acting.is_none() && self.now >= self.vacant_until
    }

    /// An administrator promotes another while there is a primary, though not as fast as the mirror could not.
    pub(super) fn may_force(&self) -> bool {
        self.acting.is_some() && self.now >= self.promoted_at + millis(QOS_TIMEOUT)
    }

    pub(super) fn promote(&mut self, i: usize) {
        self.rank += 1;
        // It takes the mirror a moment, so that nothing is asked in the moment of the promotion.
        self.now += 1;
        self.promoted_at = self.now;
        self.members[i].truth = Truth::Primary(self.rank, false);
        self.acting = Some(i);
    }

    pub(super) fn lose_primary(&mut self, i: usize) {
        if self.acting == Some(i) {
            (self.acting, self.vacant_until) = (None, self.now + millis(QOS_TIMEOUT));
        }
    }

    pub(super) fn rejoin(&mut self, i: usize) {
        let rank = self.rank_of(i);
        let latest = rank == self.rank && rank > 0;
        if latest && self.acting.is_none() {
            self.members[i].truth = Truth::Primary(rank, false);
            self.acting = Some(i);
        } else {
            self.members[i].truth = Truth::Backup;
        }
    }

    pub(super) fn revert(&mut self, i: usize) {
        self.left.faults -= 1;
        let Some(snapshot) = self.members[i].snapshot.clone() else { return };
        let (truth, disk) = *snapshot;
        self.lose_primary(i);
        let member = &mut self.members[i];
        member.truth = match truth {
            Truth::Primary(rank, _) => Truth::Primary(rank, true),
            other => other,
        };
        // Another boot: its clocks say nothing about moments before.
        member.disk = disk.map(|disk| Disk { asked_at: None, ..disk });
        member.daemon = None;
        self.start(i);
    }

    pub(super) fn stop(&mut self, i: usize) {
        let member = &mut self.members[i];
        if let Some(daemon) = member.daemon.take() {
            member.disk = daemon.disk();
        }
    }

    pub(super) fn start(&mut self, i: usize) {
        let disk = self.members[i].disk.clone();
        let remembered = disk.as_ref().map(|disk| {
            let text = format!(r#"{{"epoch":{},"primary":{}}}"#, disk.epoch, disk.primary);
            let remembered: Remembered =
                serde_json::from_str(&text).expect("the fields of a remembered role");
            Remembered { asked_at: disk.asked_at, ..remembered }
        });
        let memory = disk.map(|disk| disk.memory).unwrap_or_default();
        let settings = Settings { stale_after: STALE_AFTER, rise: NonZeroU32::MIN };
        let tracker = Tracker::new(settings, remembered);
        let refuse = memory.superseded_by.as_ref().map(|by| by.mark.to_string());
        let arbiter = Arbiter::new(self.settings(i), memory.clone(), Instance::remembered(remembered));
        let mut daemon = Daemon {
            tracker,
            arbiter,
            asking: false,
            refuse,
            published: memory,
            rank: 0,
            timely: false,
            certain_since: None,
            reached: [false; MEMBERS],
            heard: [Heard::Nothing; MEMBERS],
            term_before: 0,
        };
        daemon.obey();
        self.members[i].daemon = Some(daemon);
    }

    pub(super) fn reload(&mut self, i: usize) {
        let (at, settings) = (self.at(), self.settings(i));
        if let Some(daemon) = &mut self.members[i].daemon {
            let memory = daemon.arbiter.memory().clone();
            // As the shipped task does it: before its first answer a process goes by what it was left.
            let instance = match daemon.tracker.standing() {
                Some(_) => Instance::of(&daemon.tracker, at),
                None => Instance::remembered(daemon.tracker.remember()),
            };
            daemon.arbiter = Arbiter::new(settings, memory, instance);
            (daemon.asking, daemon.heard) = (false, [Heard::Nothing; MEMBERS]);
        }
    }
}
