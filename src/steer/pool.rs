//! Pools of load balancers: what to do about who is registered. PURE: who is in the pool and what is
//! remembered come in, moves come out.
//!
//! Shared by all load balancers whose pools are sets of members with a health each. It knows neither their
//! APIs nor what identifies a member; strangers, who belong to another mirror or to nobody, are left out of
//! the [`View`] and so cannot be touched.
//!
//! | pool | intent | moves |
//! |---|---|---|
//! | all members | any | add this member if it is absent; nobody is ever removed: health checks decide |
//! | primary only | lead | add this member; wait until it is healthy, or long enough; then remove the others |
//! | primary only | follow, hold | none: the primary sees to it |
//!
//! What a primary-only pool tells of later promotions is used, too. Whoever was registered in this epoch and
//! finds itself removed while another member is in has been taken over. So has whoever was alone and finds
//! a healthy other: only a member that holds itself for the primary registers itself. One that is there and
//! fails its check is drift (a script, an operator) and is removed again.
//!
//! A look may be from before the last move. A move that was [accepted](super::accepted) a moment ago is not made
//! again, and who was removed by it is not taken for somebody new.

use std::fmt;
use std::time::Duration;

use super::accepted::Accepted;
use super::{Intent, Progress};
use crate::clock::Timestamp;
use crate::config::steering::Pool;
use crate::role::Epoch;

#[cfg(test)]
mod tests;

/// How a pool is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Who belongs in it.
    pub(crate) pool: Pool,
    /// How long a primary waits for its own health before it removes the others all the same.
    pub(crate) healthy_within: Duration,
}

/// The pool as far as this mirror is concerned. Whoever drains is absent: it gets no new clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View<K> {
    /// This member.
    pub(crate) me: K,
    /// Who is registered of this member and of those that the mirror owns.
    pub(crate) registered: Vec<Entry<K>>,
}

/// One that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<K> {
    /// Who.
    pub(crate) key: K,
    /// What the load balancer thinks of it.
    pub(crate) health: Health,
}

/// What a load balancer thinks of one that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It passes its check.
    Healthy,
    /// Not known (yet), and why.
    Unknown(String),
    /// It fails its check, and how.
    Failing(String),
    /// It gets no traffic however healthy it is: why, and what to change.
    Unused(String),
}

/// A change of who is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Move<K> {
    /// Register this member.
    Add(K),
    /// Deregister these.
    Remove(Vec<K>),
}

/// What the pool showed in the present epoch: one look cannot tell a pool that is still to be taken from one
/// that was taken away. And what was changed a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Memory<K> {
    seen: Option<InEpoch>,
    accepted: Accepted<Change<K>>,
}

/// What an accepted move did to one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change<K> {
    In(K),
    Out(K),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct InEpoch {
    epoch: Epoch,
    /// The read with which the epoch began. It may be older than the promotion, so it proves nothing.
    first_read: u64,
    /// Since when this member is registered, as far as was looked.
    registered_at: Option<Timestamp>,
    /// Whether it was seen registered.
    was_in: bool,
    /// Whether it was seen to be the only one.
    was_alone: bool,
}

/// The moves from what `view` shows to what `intent` wants.
pub(crate) fn plan<K: Clone + fmt::Display + PartialEq>(
    rules: Rules,
    memory: &Memory<K>,
    intent: &Intent,
    view: &View<K>,
    now: Timestamp,
) -> (Vec<Move<K>>, Progress) {
    let just_added = memory.accepted.may_be_unseen(&Change::In(view.me.clone()), now);
    if just_added && view.own_health().is_none() {
        return (Vec::new(), Progress::waiting(format!("the registration of {} to be seen", view.me)));
    }
    match (rules.pool, intent) {
        (Pool::AllMembers, Intent::Lead { .. }) => enrol(view, true),
        (Pool::AllMembers, Intent::Follow | Intent::Hold { .. }) => enrol(view, false),
        (Pool::PrimaryOnly, Intent::Lead { epoch, .. }) => {
            // Who is out itself looks at everybody: another who is in may have removed it.
            let (gone, still_in) = match view.own_health() {
                Some(_) => memory.just_removed(view, now),
                None => (Vec::new(), view.clone()),
            };
            let (moves, then) = take(rules, &memory.in_epoch(*epoch), &still_in, now);
            if then == Progress::Fulfilled && !gone.is_empty() {
                return (moves, Progress::waiting(format!("the removal of {} to be seen", gone.join(", "))));
            }
            (moves, then)
        }
        (Pool::PrimaryOnly, Intent::Follow | Intent::Hold { .. }) => (Vec::new(), Progress::Fulfilled),
    }
}

// === all members ===

/// `awaited`: whether clients wait for this member to become healthy.
fn enrol<K: Clone + fmt::Display + PartialEq>(view: &View<K>, awaited: bool) -> (Vec<Move<K>>, Progress) {
    match view.own_health() {
        None if awaited => {
            (vec![Move::Add(view.me.clone())], Progress::waiting(format!("{} to be healthy", view.me)))
        }
        None => (vec![Move::Add(view.me.clone())], Progress::Fulfilled),
        Some(Health::Unused(why)) => (Vec::new(), Progress::Blocked { why: why.clone() }),
        Some(Health::Unknown(why) | Health::Failing(why)) if awaited => {
            (Vec::new(), Progress::waiting(format!("{} to be healthy ({why})", view.me)))
        }
        Some(Health::Healthy | Health::Unknown(_) | Health::Failing(_)) => (Vec::new(), Progress::Fulfilled),
    }
}

// === primary only ===

fn take<K: Clone + fmt::Display + PartialEq>(
    rules: Rules,
    seen: &Seen,
    view: &View<K>,
    now: Timestamp,
) -> (Vec<Move<K>>, Progress) {
    let others = view.others();
    match view.own_health() {
        None if seen.was_in && !others.is_empty() => (Vec::new(), taken_over(&others)),
        None => (
            vec![Move::Add(view.me.clone())],
            Progress::waiting(format!("{} to be healthy{}", view.me, after(&others))),
        ),
        Some(Health::Unused(why)) => (Vec::new(), Progress::Blocked { why: why.clone() }),
        Some(own) if seen.was_alone => guard(own, view, &others),
        Some(Health::Healthy) => (remove(&others), Progress::Fulfilled),
        Some(Health::Unknown(why) | Health::Failing(why)) => {
            let waited = seen.registered_at.map_or(Duration::ZERO, |at| at.age_at(now));
            if waited < rules.healthy_within {
                let what = format!("{} to be healthy ({why}){}", view.me, after(&others));
                (Vec::new(), Progress::waiting(what))
            } else {
                let what = format!(
                    "{} to be healthy ({why}) after more than {:?}: the others do not stay for that",
                    view.me, rules.healthy_within
                );
                (remove(&others), Progress::waiting(what))
            }
        }
    }
}

/// This member has been alone in this epoch: whoever else is there came later.
fn guard<K: Clone + fmt::Display + PartialEq>(
    own: &Health,
    view: &View<K>,
    others: &[&Entry<K>],
) -> (Vec<Move<K>>, Progress) {
    let those = |wanted: fn(&Health) -> bool| -> Vec<&Entry<K>> {
        others.iter().copied().filter(|entry| wanted(&entry.health)).collect()
    };
    let healthy = those(|health| matches!(health, Health::Healthy));
    if !healthy.is_empty() {
        return (Vec::new(), taken_over(&healthy));
    }
    let useless = those(|health| matches!(health, Health::Failing(_) | Health::Unused(_)));
    let unknown = those(|health| matches!(health, Health::Unknown(_)));
    let then = match own {
        _ if !unknown.is_empty() => {
            Progress::waiting(format!("the health of {}, which somebody else registered", list(&unknown)))
        }
        Health::Healthy => Progress::Fulfilled,
        Health::Unknown(why) | Health::Failing(why) => {
            Progress::waiting(format!("{} to be healthy ({why})", view.me))
        }
        Health::Unused(why) => Progress::Blocked { why: why.clone() },
    };
    (remove(&useless), then)
}

fn remove<K: Clone>(others: &[&Entry<K>]) -> Vec<Move<K>> {
    if others.is_empty() {
        return Vec::new();
    }
    vec![Move::Remove(others.iter().map(|entry| entry.key.clone()).collect())]
}

fn taken_over<K: fmt::Display>(by: &[&Entry<K>]) -> Progress {
    Progress::LostOwnership { by: list(by) }
}

fn after<K: fmt::Display>(others: &[&Entry<K>]) -> String {
    if others.is_empty() { String::new() } else { format!(", before {} is taken out", list(others)) }
}

fn list<K: fmt::Display>(entries: &[&Entry<K>]) -> String {
    entries.iter().map(|entry| entry.key.to_string()).collect::<Vec<_>>().join(", ")
}

// === impl View ===

impl<K: PartialEq> View<K> {
    fn own_health(&self) -> Option<&Health> {
        self.registered.iter().find(|entry| entry.key == self.me).map(|entry| &entry.health)
    }

    fn others(&self) -> Vec<&Entry<K>> {
        self.registered.iter().filter(|entry| entry.key != self.me).collect()
    }
}

// === impl Memory ===

/// What a plan takes from the memory.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    registered_at: Option<Timestamp>,
    was_in: bool,
    was_alone: bool,
}

impl<K> Default for Memory<K> {
    fn default() -> Self {
        Self { seen: None, accepted: Accepted::default() }
    }
}

impl<K: Clone + fmt::Display + PartialEq> Memory<K> {
    /// Takes note of what the pool showed under `intent`. `read` numbers the reads of the pool: what was read
    /// before the epoch began, and serves to save a read, tells nothing about the epoch.
    pub(crate) fn note(&mut self, intent: &Intent, view: &View<K>, read: u64, now: Timestamp) {
        self.accepted.looked(now);
        let epoch = match intent {
            Intent::Lead { epoch, .. } => *epoch,
            // Kept: the same epoch may go on after a doubt.
            Intent::Follow | Intent::Hold { .. } => return,
        };
        let begun = InEpoch { epoch, first_read: read, registered_at: None, was_in: false, was_alone: false };
        let current = match self.seen.take() {
            Some(current) if current.epoch == epoch => self.seen.insert(current),
            Some(_) | None => {
                // Others may have changed it since.
                self.accepted = Accepted::default();
                self.seen.insert(begun)
            }
        };
        let is_in = view.own_health().is_some();
        current.registered_at = if is_in { current.registered_at.or(Some(now)) } else { None };
        if read > current.first_read {
            current.was_in |= is_in;
            current.was_alone |= is_in && view.others().is_empty();
        }
    }

    /// The service has accepted that this member is in.
    pub(crate) fn added(&mut self, me: &K) {
        self.accepted.remove(&Change::Out(me.clone()));
        self.accepted.add(Change::In(me.clone()));
    }

    /// The service has accepted that `one` is out.
    pub(crate) fn removed(&mut self, one: &K) {
        self.accepted.remove(&Change::In(one.clone()));
        self.accepted.add(Change::Out(one.clone()));
    }

    /// Forgets what `epoch` showed so far: the pool is to be taken as if for the first time.
    pub(crate) fn forget(&mut self, epoch: Epoch) {
        if self.seen.as_ref().is_some_and(|current| current.epoch == epoch) {
            *self = Self::default();
        }
    }

    /// Who is listed only because the look may be from before the removal, and the pool without them.
    fn just_removed(&self, view: &View<K>, now: Timestamp) -> (Vec<String>, View<K>) {
        let was_removed =
            |entry: &Entry<K>| self.accepted.may_be_unseen(&Change::Out(entry.key.clone()), now);
        let (gone, registered) = view.registered.iter().cloned().partition::<Vec<_>, _>(was_removed);
        let gone = gone.iter().map(|entry| entry.key.to_string()).collect();
        (gone, View { me: view.me.clone(), registered })
    }

    fn in_epoch(&self, epoch: Epoch) -> Seen {
        match &self.seen {
            Some(InEpoch { epoch: noted, registered_at, was_in, was_alone, .. }) if *noted == epoch => {
                Seen { registered_at: *registered_at, was_in: *was_in, was_alone: *was_alone }
            }
            Some(_) | None => Seen::default(),
        }
    }
}
