//! Alarms about the mirror as a whole: each compares what the members report, and is logged once when it begins and
//! once when it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Authority, MemberView};
use crate::clock::Timestamp;
use crate::term::Taken;

/// QoS timeouts without a serving member before that is an alarm: a normal failover takes one until the mirror notices,
/// and little more until the new primary serves.
const FAILOVER: u32 = 3;

/// What is wrong with a peer's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Problem {
    /// There is no answer.
    Silent,
    /// It is this daemon.
    Myself,
    /// It is not certain which member answers.
    Conflict,
    /// It reports a term that is not believed.
    Unbelievable,
}

/// What is compared.
pub(super) struct Picture<'a> {
    /// Whether this member's first answers were enough for a verdict.
    pub(super) settled: bool,
    pub(super) serving: bool,
    pub(super) primary: bool,
    pub(super) authority: &'a Authority,
    pub(super) members: &'a [MemberView],
    /// Targets whose ownership record carries a term that is not believed, and what it carries.
    pub(super) unbelievable: &'a [(Arc<str>, String)],
    pub(super) taken: Option<&'a Taken>,
}

/// The alarms of one mirror.
#[derive(Debug)]
pub(super) struct Alarms {
    mirror: Arc<str>,
    qos_timeout: Duration,
    /// Since when this member serves, and since when its instance is the primary. A peer's answer to an earlier question
    /// does not show both at the same time.
    serving_since: Option<Timestamp>,
    primary_since: Option<Timestamp>,
    raised: BTreeMap<Alarm, Raised>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    TwoServe,
    TwoPrimaries,
    NoMemberServes,
    Superseded,
    Peer(Problem, Arc<str>),
    Differs(Arc<str>),
    Record(Arc<str>),
}

#[derive(Debug)]
struct Raised {
    since: Timestamp,
    logged: bool,
}

// === impl Alarms ===

impl Alarms {
    pub(super) fn new(mirror: &str, qos_timeout: Duration) -> Self {
        Self {
            mirror: mirror.into(),
            qos_timeout,
            serving_since: None,
            primary_since: None,
            raised: BTreeMap::new(),
        }
    }

    /// Logs what begins and what ends.
    pub(super) fn update(&mut self, now: Timestamp, picture: &Picture<'_>) {
        self.serving_since =
            self.serving_since.filter(|_| picture.serving).or(picture.serving.then_some(now));
        self.primary_since =
            self.primary_since.filter(|_| picture.primary).or(picture.primary.then_some(now));
        let mirror = &*self.mirror;
        let found = self.find(picture, now);
        self.raised.retain(|alarm, raised| {
            let stays = found.contains_key(alarm);
            if !stays && raised.logged {
                let seconds = raised.since.age_at(now).as_secs();
                tracing::info!(mirror, alarm = alarm.word(), seconds, "no longer: {}", alarm.describe());
            }
            stays
        });
        for (alarm, text) in found {
            let patience = alarm.patience(self.qos_timeout);
            let raised = self.raised.entry(alarm.clone()).or_insert(Raised { since: now, logged: false });
            if !raised.logged && raised.since.age_at(now) >= patience {
                raised.logged = true;
                if let Alarm::Peer(Problem::Silent, _) = alarm {
                    tracing::warn!(mirror, alarm = alarm.word(), "{text}");
                } else {
                    tracing::error!(mirror, alarm = alarm.word(), "{text}");
                }
            }
        }
    }

    /// What is alarming in `picture`, each with its text.
    fn find(&self, picture: &Picture<'_>, now: Timestamp) -> BTreeMap<Alarm, String> {
        let mut found = BTreeMap::new();
        let reachable = |member: &&MemberView| {
            member.reachable && member.asked_at.is_some_and(|at| at.age_at(now) < self.qos_timeout)
        };
        let reachable: Vec<&MemberView> = picture.members.iter().filter(reachable).collect();
        let serving: Vec<&MemberView> = reachable.iter().copied().filter(|m| m.serves()).collect();
        let beside: Vec<&MemberView> =
            serving.iter().copied().filter(|member| member.was_asked_since(self.serving_since)).collect();
        let primaries: Vec<&MemberView> = reachable
            .iter()
            .copied()
            .filter(|member| member.is_primary() && member.was_asked_since(self.primary_since))
            .collect();
        if !beside.is_empty() {
            let text = format!(
                "{} and this member both say SUCCESS: clients may write to two databases. Ask the instances which is the \
                 primary (`iris list`), and stop the other one or its mirrorvip; `mirrorvip status` on each shows its view",
                names(&beside)
            );
            found.insert(Alarm::TwoServe, text);
        } else if !primaries.is_empty() {
            let text = format!(
                "the instances of {} and of this member both say that they are the primary; clients are sent to {}. Ask the \
                 mirror which it is, and demote the other",
                names(&primaries),
                if picture.serving { "this member" } else { "the other" }
            );
            found.insert(Alarm::TwoPrimaries, text);
        }
        if picture.settled && !picture.serving && serving.is_empty() {
            let silent =
                names(&picture.members.iter().filter(|member| !member.reachable).collect::<Vec<_>>());
            let beside =
                if silent.is_empty() { String::new() } else { format!(" ({silent} does not answer)") };
            found.insert(
                Alarm::NoMemberServes,
                format!("no member says SUCCESS{beside}: clients have no database. `mirrorvip probe` on each member shows what its instance says"),
            );
        }
        if let Authority::Superseded { by } = picture.authority {
            let text = format!(
                "superseded: {by}. This member takes no traffic until that one certainly is not the primary. If that cannot \
                 happen, and this instance is the true primary, run `mirrorvip take`"
            );
            found.insert(Alarm::Superseded, text);
        }
        for member in picture.members {
            if let (Some(kind), Some(problem)) = (member.kind, &member.problem) {
                let text = match kind {
                    Problem::Silent => format!("peer {} does not answer: {problem}", member.name()),
                    Problem::Myself | Problem::Conflict | Problem::Unbelievable
                        if picture.taken.is_some() =>
                    {
                        problem.clone()
                    }
                    Problem::Myself => problem.clone(),
                    Problem::Conflict | Problem::Unbelievable => {
                        format!("{problem}. Nothing is taken while this lasts")
                    }
                };
                found.insert(Alarm::Peer(kind, Arc::clone(&member.address)), text);
            }
            if member.agrees == Some(false) {
                let text = format!(
                    "the configuration of {} differs in what all members must agree on (the mirror's name, qos_timeout, the \
                     steered objects): compare the two files",
                    member.name()
                );
                found.insert(Alarm::Differs(Arc::clone(&member.address)), text);
            }
        }
        for (target, mark) in picture.unbelievable {
            let text = format!(
                "{target} carries the name of {mark}, a term far above every known one, which is not believed. It is overwritten \
                 only while every other member certainly is not the primary, or after `mirrorvip take`"
            );
            found.insert(Alarm::Record(Arc::clone(target)), text);
        }
        found
    }
}

// === impl Alarm ===

impl Alarm {
    fn word(&self) -> &'static str {
        match self {
            Self::TwoServe => "two-serve",
            Self::TwoPrimaries => "two-primaries",
            Self::NoMemberServes => "no-member-serves",
            Self::Superseded => "superseded",
            Self::Peer(Problem::Silent, _) => "peer-silent",
            Self::Peer(Problem::Myself, _) => "peer-is-this-daemon",
            Self::Peer(Problem::Conflict, _) => "peer-conflict",
            Self::Peer(Problem::Unbelievable, _) => "peer-term",
            Self::Differs(_) => "configuration-differs",
            Self::Record(_) => "record-term",
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::TwoServe => "two members say SUCCESS".to_owned(),
            Self::TwoPrimaries => "two instances say that they are the primary".to_owned(),
            Self::NoMemberServes => "no member says SUCCESS".to_owned(),
            Self::Superseded => "this member is superseded".to_owned(),
            Self::Peer(Problem::Silent, address) => format!("peer {address} does not answer"),
            Self::Peer(Problem::Myself, address) => format!("peer {address} is this daemon"),
            Self::Peer(Problem::Conflict, address) => {
                format!("peer {address} cannot be distinguished from another member")
            }
            Self::Peer(Problem::Unbelievable, address) => {
                format!("peer {address} reports a term that is not believed")
            }
            Self::Differs(address) => format!("the configuration of peer {address} differs"),
            Self::Record(target) => format!("{target} carries a term that is not believed"),
        }
    }

    /// How long it must last before it is logged.
    fn patience(&self, qos_timeout: Duration) -> Duration {
        match self {
            Self::NoMemberServes => qos_timeout * FAILOVER,
            // One lost answer is no episode.
            Self::Peer(Problem::Silent, _) => qos_timeout,
            _ => Duration::ZERO,
        }
    }
}

fn names(members: &[&MemberView]) -> String {
    members.iter().map(|member| member.name()).collect::<Vec<_>>().join(", ")
}

// === impl MemberView ===

impl MemberView {
    /// Its name and address, as far as they are known.
    pub(crate) fn name(&self) -> String {
        match &self.document {
            Some((_, document)) if document.member != *self.address => {
                format!("{} ({})", document.member, self.address)
            }
            Some(_) | None => self.address.to_string(),
        }
    }

    /// Whether the question that it last answered was asked after `since`.
    fn was_asked_since(&self, since: Option<Timestamp>) -> bool {
        matches!((self.asked_at, since), (Some(asked), Some(since)) if !since.boot_age_at(asked).is_zero())
    }

    /// Whether its page says SUCCESS, as it reported last.
    pub(crate) fn serves(&self) -> bool {
        self.page.unwrap_or_else(|| self.document.as_ref().is_some_and(|(_, document)| document.serving))
    }

    fn is_primary(&self) -> bool {
        self.document.as_ref().is_some_and(|(_, document)| document.is_primary())
    }
}

#[cfg(test)]
mod tests;
