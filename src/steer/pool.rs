//! Pools of load balancers: which members to register and deregister. PURE: the pool and what is remembered come in,
//! moves come out.
//!
//! Shared by all load balancers whose pools are sets of members with a health each. It knows neither their APIs nor
//! what identifies a member. Entries that this mirror does not own are left out of the [`View`], so no move can
//! touch them.
//!
//! | pool | intent | moves |
//! |---|---|---|
//! | all members | any | add this member if it is absent; remove none: health checks decide |
//! | primary only | lead | add this member; wait until it is healthy, or long enough; then remove the others |
//! | primary only | follow, hold | none: the primary takes care of it |
//!
//! A primary-only pool also shows later promotions. A member that was registered in this epoch has lost the pool when
//! it is gone and another member is in. So has a member that was alone and finds a healthy other: only a member that
//! considers itself the primary registers itself. Another one that fails its check is drift (a script, an operator)
//! and is removed again.
//!
//! A read may be older than the last move. A move that was [accepted](super::accepted) a moment ago is not repeated,
//! and a member that it removed does not count as new.

use std::fmt;
use std::time::Duration;

use super::accepted::Accepted;
use super::epoch::InEpoch;
use super::{Intent, Progress};
use crate::clock::Timestamp;
use crate::role::Epoch;

mod target;
#[cfg(test)]
mod tests;

pub(crate) use target::{Balancer, PoolTarget};

/// Which members belong in a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Every member; the health check decides who gets traffic.
    AllMembers,
    /// The primary alone.
    PrimaryOnly,
}

/// How a pool is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Which members belong in it.
    pub(crate) pool: Pool,
    /// How long a primary waits to become healthy before it removes the others anyway.
    pub(crate) healthy_within: Duration,
}

/// The part of a pool that belongs to this mirror. A draining member counts as absent: it gets no new clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View<K> {
    pub(crate) me: K,
    /// The registered entries that belong to this mirror, this member included.
    pub(crate) registered: Vec<Entry<K>>,
}

/// One registered member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<K> {
    /// Its identity.
    pub(crate) key: K,
    /// Its health, as the load balancer reports it.
    pub(crate) health: Health,
}

/// The health of a registered member, as the load balancer reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It passes its check.
    Healthy,
    /// Not known (yet), and why.
    Unknown(String),
    /// It fails its check, and how.
    Failing(String),
    /// It gets no traffic even when healthy: why, and what to change.
    Unused(String),
}

/// A change of the registered members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Move<K> {
    /// Register this member.
    Add(K),
    /// Deregister these.
    Remove(Vec<K>),
}

/// What the pool showed in the present epoch, and what was changed a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Memory<K> {
    seen: InEpoch<Seen>,
    accepted: Accepted<Change<K>>,
}

/// What an accepted move did to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change<K> {
    In(K),
    Out(K),
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
            // A member that is out considers all others: any of them may have removed it.
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
                    "{} to be healthy ({why}) for more than {:?}: the others are removed meanwhile",
                    view.me, rules.healthy_within
                );
                (remove(&others), Progress::waiting(what))
            }
        }
    }
}

/// This member has been alone in this epoch, so the others came later.
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
        _ if !unknown.is_empty() => Progress::waiting(format!(
            "the health of {}, registered by another member or tool",
            list(&unknown)
        )),
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

/// What the pool showed in an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Since when reads show this member registered.
    registered_at: Option<Timestamp>,
    /// Whether it was seen registered.
    was_in: bool,
    /// Whether it was seen to be the only one.
    was_alone: bool,
}

impl<K> Default for Memory<K> {
    fn default() -> Self {
        Self { seen: InEpoch::default(), accepted: Accepted::default() }
    }
}

impl<K: Clone + fmt::Display + PartialEq> Memory<K> {
    /// Remembers what the pool showed under `intent`. `read` numbers the reads of the pool: one from before the epoch
    /// began proves nothing about the epoch.
    pub(crate) fn note(&mut self, intent: &Intent, view: &View<K>, read: u64, now: Timestamp) {
        self.accepted.was_read(now);
        let epoch = match intent {
            Intent::Lead { epoch, .. } => *epoch,
            // Kept: the same epoch may continue after a doubt.
            Intent::Follow | Intent::Hold { .. } => return,
        };
        if self.seen.facts(epoch).is_none() {
            // Others may have changed it since.
            self.accepted = Accepted::default();
        }
        let (seen, counts) = self.seen.note(epoch, read);
        let is_in = view.own_health().is_some();
        seen.registered_at = if is_in { seen.registered_at.or(Some(now)) } else { None };
        if counts {
            seen.was_in |= is_in;
            seen.was_alone |= is_in && view.others().is_empty();
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

    /// Forgets what `epoch` showed, so that the pool is taken as if for the first time.
    pub(crate) fn forget(&mut self, epoch: Epoch) {
        if self.seen.forget(epoch) {
            *self = Self::default();
        }
    }

    /// The members that a read may list although they were just removed, and the pool without them.
    fn just_removed(&self, view: &View<K>, now: Timestamp) -> (Vec<String>, View<K>) {
        let was_removed =
            |entry: &Entry<K>| self.accepted.may_be_unseen(&Change::Out(entry.key.clone()), now);
        let (gone, registered) = view.registered.iter().cloned().partition::<Vec<_>, _>(was_removed);
        let gone = gone.iter().map(|entry| entry.key.to_string()).collect();
        (gone, View { me: view.me.clone(), registered })
    }

    fn in_epoch(&self, epoch: Epoch) -> Seen {
        self.seen.facts(epoch).copied().unwrap_or_default()
    }
}
