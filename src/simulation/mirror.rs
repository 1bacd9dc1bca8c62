//! How the simulated mirror fails over.
//!
//! PURE: [`Mirror::handle`] applies an event, [`Mirror::next_due`] says when its next consequence is due, and
//! [`Mirror::advance`] applies it. The sequences are those that InterSystems documents:
//!
//! | event | old primary | new primary |
//! |---|---|---|
//! | stop | Primary, down | Backup, log line, Transition, Primary; begins after `handover` |
//! | crash | Primary, down | the same; begins after `detection` |
//! | hang | Primary, silent, down once the other takes over | the same; begins after `detection` |
//! | promotion | - | Disaster Recovery, Failover/Backup, log line, Transition, Primary |
//! | start | down, sign-on inhibited, Synchronizing, Backup | - |
//! | revert | Backup, Primary (reverted), until it is stopped | Primary throughout |
//!
//! A real mirror decides with agents and an arbiter over a network; here the decision reads the state of all members. So
//! there are never two primaries, and never a member in trouble. A member that was reverted to a snapshot reports that it
//! is primary and is not part of the mirror.

use std::time::Duration;

use super::event::{Change, Event, Refused, Timing};
use super::instance::{Instance, LogLine, MemberId, MemberType, Status};

/// The three members and what is due for them.
#[derive(Clone, Debug)]
pub struct Mirror {
    timing: Timing,
    instances: [Instance; 3],
    /// The last primary: only this member may become primary at its start without another member.
    last_primary: MemberId,
    /// Which members have been primary: only these have a snapshot as primary.
    was_primary: [bool; 3],
    /// What is due, unsorted: a handful of entries at most.
    due: Vec<(Duration, Next)>,
}

/// A consequence that is due later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A backup takes over, if there still is no primary.
    TakeOver,
    /// The member in transition is primary.
    FinishPromotion(MemberId),
    /// The starting member looks for its mirror.
    FinishStart(MemberId),
    /// The synchronizing member has caught up.
    FinishCatchUp(MemberId),
}

impl Mirror {
    /// A mirror at rest: A primary, B backup, C connected.
    pub fn new(timing: Timing) -> Self {
        let instance = |member_type, status| Instance { member_type, status, hung: false, reverted: false };
        Self {
            timing,
            instances: [
                instance(MemberType::Failover, Status::Primary),
                instance(MemberType::Failover, Status::Backup),
                instance(MemberType::DisasterRecovery, Status::Connected),
            ],
            last_primary: MemberId::A,
            was_primary: [true, false, false],
            due: Vec::new(),
        }
    }

    /// What a member is.
    pub fn instance(&self, member: MemberId) -> Instance {
        self.instances[member.index()]
    }

    /// The acting primary that answers; never more than one.
    pub fn primary(&self) -> Option<MemberId> {
        self.find(Instance::is_primary)
    }

    /// When [`advance`](Self::advance) has something to do; `None` while the mirror is at rest.
    pub fn next_due(&self) -> Option<Duration> {
        self.due.iter().map(|&(at, _)| at).min()
    }

    /// Applies `event` at `now`.
    pub fn handle(&mut self, now: Duration, event: Event) -> Result<Vec<Change>, Refused> {
        let mut changes = self.advance(now);
        match event {
            Event::Stop(member) => self.stop(now, member, self.timing.handover, &mut changes)?,
            Event::Crash(member) => self.stop(now, member, self.timing.detection, &mut changes)?,
            Event::Hang(member) => self.hang(now, member, &mut changes)?,
            Event::Start(member) => self.start(now, member, &mut changes)?,
            Event::Promote(member) => self.promote(now, member, &mut changes)?,
            Event::Revert(member) => self.revert(member, &mut changes)?,
        }
        Ok(changes)
    }

    /// Applies what is due up to `now`, in order.
    pub fn advance(&mut self, now: Duration) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some(position) = self.position_of_next(now) {
            let (at, next) = self.due.remove(position);
            match next {
                Next::TakeOver => self.take_over(at, &mut changes),
                Next::FinishPromotion(member) => self.finish_promotion(at, member, &mut changes),
                Next::FinishStart(member) => self.finish_start(at, member, &mut changes),
                Next::FinishCatchUp(member) => self.finish_catch_up(member, &mut changes),
            }
        }
        changes
    }

    fn position_of_next(&self, now: Duration) -> Option<usize> {
        let due = self.due.iter().enumerate().filter(|(_, (at, _))| *at <= now);
        due.min_by_key(|(_, (at, _))| *at).map(|(position, _)| position)
    }
}

/// What happens to members from outside.
impl Mirror {
    fn stop(
        &mut self,
        now: Duration,
        member: MemberId,
        noticed_after: Duration,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refused> {
        let instance = self.instance(member);
        if instance.status == Status::Down && !instance.hung {
            return Err(Refused::Down(member));
        }
        let led = leads(instance);
        self.forget(member);
        let down = Instance { status: Status::Down, hung: false, reverted: false, ..instance };
        self.set(member, down, changes);
        if led {
            self.lose_primary(now + noticed_after, changes);
        }
        Ok(())
    }

    fn hang(&mut self, now: Duration, member: MemberId, changes: &mut Vec<Change>) -> Result<(), Refused> {
        let instance = self.instance(member);
        if instance.hung {
            return Err(Refused::Hung(member));
        }
        if instance.status == Status::Down {
            return Err(Refused::Down(member));
        }
        self.forget(member);
        // Nothing finishes while it hangs: at its start it begins again.
        let status = match instance.status {
            status @ (Status::Primary | Status::Backup | Status::Connected | Status::Waiting) => status,
            Status::Transition | Status::Starting | Status::Synchronizing | Status::Down => Status::Down,
        };
        self.set(member, Instance { hung: true, status, ..instance }, changes);
        if leads(instance) {
            self.lose_primary(now + self.timing.detection, changes);
        }
        Ok(())
    }

    fn start(&mut self, now: Duration, member: MemberId, changes: &mut Vec<Change>) -> Result<(), Refused> {
        let instance = self.instance(member);
        if instance.status != Status::Down {
            if !instance.hung {
                return Err(Refused::Running(member));
            }
            self.wake_up(now, member, changes);
            return Ok(());
        }
        self.set(member, Instance { status: Status::Starting, hung: false, ..instance }, changes);
        self.due.push((now + self.timing.startup, Next::FinishStart(member)));
        Ok(())
    }

    /// A member that hung learns what happened in the meantime.
    fn wake_up(&mut self, now: Duration, member: MemberId, changes: &mut Vec<Change>) {
        let instance = Instance { hung: false, ..self.instance(member) };
        self.set(member, instance, changes);
        let has_leader = self.find(leads).is_some();
        match (instance.status, self.primary()) {
            // It is cut off: no member connects to it.
            (Status::Primary, _) if instance.reverted => {}
            (Status::Primary, _) => self.reconnect(now, member, changes),
            (Status::Waiting, Some(primary)) => self.join(now, member, primary, changes),
            (Status::Backup, None) if !has_leader => self.lose_primary(now + self.timing.handover, changes),
            (Status::Connected, None) => {
                self.set(member, Instance { status: Status::Waiting, ..instance }, changes);
            }
            _ => {}
        }
    }

    fn promote(&mut self, now: Duration, member: MemberId, changes: &mut Vec<Change>) -> Result<(), Refused> {
        let instance = self.instance(member);
        let runs = matches!(instance.status, Status::Connected | Status::Waiting) && !instance.hung;
        if instance.member_type != MemberType::DisasterRecovery || !runs {
            return Err(Refused::NotPromotable(member));
        }
        if let Some(leader) = self.find(leads) {
            return Err(Refused::HasPrimary(leader));
        }
        let promoted = Instance { member_type: MemberType::Failover, status: Status::Backup, ..instance };
        self.set(member, promoted, changes);
        self.due.push((now + self.timing.handover, Next::TakeOver));
        Ok(())
    }

    fn revert(&mut self, member: MemberId, changes: &mut Vec<Change>) -> Result<(), Refused> {
        if leads(self.instance(member)) {
            return Err(Refused::HasPrimary(member));
        }
        if !self.was_primary[member.index()] {
            return Err(Refused::NoSnapshot(member));
        }
        self.forget(member);
        let (member_type, status) = (MemberType::Failover, Status::Primary);
        self.set(member, Instance { member_type, status, hung: false, reverted: true }, changes);
        Ok(())
    }
}

/// Consequences.
impl Mirror {
    fn take_over(&mut self, now: Duration, changes: &mut Vec<Change>) {
        if self.find(|instance| leads(instance) && !instance.hung).is_some() {
            return;
        }
        let backup = self.find(|instance| instance.status == Status::Backup && !instance.hung);
        // The last primary also has all the data. It is waiting if its successor went down before it became primary.
        let last = self.instance(self.last_primary);
        let waits = last.status == Status::Waiting && last.member_type == MemberType::Failover && !last.hung;
        let Some(member) = backup.or_else(|| waits.then_some(self.last_primary)) else {
            return;
        };
        // The mirror ensures that the hung member stops acting as primary.
        if let Some(hung) = self.find(leads) {
            self.set(hung, Instance { status: Status::Down, ..self.instance(hung) }, changes);
        }
        self.begin_promotion(now, member, changes);
    }

    fn begin_promotion(&mut self, now: Duration, member: MemberId, changes: &mut Vec<Change>) {
        log(member, 1, "Utility.Event", "Becoming primary mirror server".to_owned(), changes);
        self.set(member, Instance { status: Status::Transition, ..self.instance(member) }, changes);
        self.due.push((now + self.timing.transition, Next::FinishPromotion(member)));
    }

    fn finish_promotion(&mut self, now: Duration, member: MemberId, changes: &mut Vec<Change>) {
        self.set(member, Instance { status: Status::Primary, ..self.instance(member) }, changes);
        self.last_primary = member;
        self.was_primary[member.index()] = true;
        let mounted = "Mounted database /usr/irissys/mgr/myappdata/ (SFN 5) read-write.";
        log(member, 0, "Database.MountedRW", mounted.to_owned(), changes);
        self.reconnect(now, member, changes);
    }

    /// Waiting members connect to `primary`.
    fn reconnect(&mut self, now: Duration, primary: MemberId, changes: &mut Vec<Change>) {
        for member in MemberId::ALL {
            let instance = self.instance(member);
            if instance.status == Status::Waiting && !instance.hung {
                self.join(now, member, primary, changes);
            }
        }
    }

    fn finish_start(&mut self, now: Duration, member: MemberId, changes: &mut Vec<Change>) {
        let mut instance = self.instance(member);
        let other_failover_members = MemberId::ALL
            .into_iter()
            .filter(|&other| other != member)
            .map(|other| self.instance(other))
            .filter(|other| other.member_type == MemberType::Failover && other.status != Status::Down)
            .filter(|other| !other.reverted)
            .count();
        if other_failover_members == 2 {
            // A promoted async member has taken its place in the pair.
            instance.member_type = MemberType::DisasterRecovery;
        }
        self.set(member, Instance { status: Status::Waiting, ..instance }, changes);
        let leader = self.find(leads);
        match (leader, self.primary()) {
            (_, Some(primary)) => self.join(now, member, primary, changes),
            (Some(_), None) => {}
            (None, None) if member == self.last_primary => self.begin_promotion(now, member, changes),
            (None, None) => {}
        }
    }

    fn join(&mut self, now: Duration, member: MemberId, primary: MemberId, changes: &mut Vec<Change>) {
        let instance = self.instance(member);
        match instance.member_type {
            MemberType::DisasterRecovery => {
                self.set(member, Instance { status: Status::Connected, ..instance }, changes);
                log_connected(member, primary, changes);
            }
            MemberType::Failover => {
                let found = format!("Found {primary} as primary, becoming backup");
                log(member, 0, "Utility.Event", found, changes);
                self.set(member, Instance { status: Status::Synchronizing, ..instance }, changes);
                self.due.push((now + self.timing.catch_up, Next::FinishCatchUp(member)));
            }
        }
    }

    fn finish_catch_up(&mut self, member: MemberId, changes: &mut Vec<Change>) {
        let instance = self.instance(member);
        if let Some(primary) = self.primary() {
            self.set(member, Instance { status: Status::Backup, ..instance }, changes);
            log_connected(member, primary, changes);
        } else {
            self.set(member, Instance { status: Status::Waiting, ..instance }, changes);
        }
    }

    /// The primary is gone: async members wait, and a backup will notice.
    fn lose_primary(&mut self, noticed_at: Duration, changes: &mut Vec<Change>) {
        for member in MemberId::ALL {
            let instance = self.instance(member);
            if instance.status == Status::Connected && !instance.hung {
                self.set(member, Instance { status: Status::Waiting, ..instance }, changes);
            }
        }
        self.due.push((noticed_at, Next::TakeOver));
    }

    /// Cancels what is due for `member`.
    fn forget(&mut self, member: MemberId) {
        self.due.retain(|(_, next)| match *next {
            Next::TakeOver => true,
            Next::FinishPromotion(whose) | Next::FinishStart(whose) | Next::FinishCatchUp(whose) => {
                whose != member
            }
        });
    }

    fn set(&mut self, member: MemberId, to: Instance, changes: &mut Vec<Change>) {
        let from = std::mem::replace(&mut self.instances[member.index()], to);
        if from != to {
            changes.push(Change::Became { member, from, to });
        }
    }

    fn find(&self, wanted: impl Fn(Instance) -> bool) -> Option<MemberId> {
        MemberId::ALL.into_iter().find(|&member| wanted(self.instance(member)))
    }
}

/// Whether an instance is the primary or becomes it.
fn leads(instance: Instance) -> bool {
    matches!(instance.status, Status::Primary | Status::Transition) && !instance.reverted
}

fn log_connected(member: MemberId, primary: MemberId, changes: &mut Vec<Change>) {
    let text = format!("MirrorClient: Connected to primary: {primary} (ver 4)");
    log(member, 0, "Generic.Event", text, changes);
}

fn log(member: MemberId, severity: u8, facility: &'static str, text: String, changes: &mut Vec<Change>) {
    changes.push(Change::Logged { member, line: LogLine { severity, facility, text } });
}
