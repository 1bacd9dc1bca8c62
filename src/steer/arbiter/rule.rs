//! The rule: who may take traffic. PURE.
//!
//! **H** is the highest known term of another member: from its own answer, from other peers' reports, from an ownership
//! record or from the state file. The first row that applies decides. Every question evaluates the table again.
//!
//! | # | what is known | may this member take traffic? | status page |
//! |---|---|---|---|
//! | 1 | an operator took it for this promotion, and no later one is known | yes | as the instance says |
//! | 2 | members cannot be distinguished, and no later one served | no: unsure | as the instance says |
//! | 3 | every other member certainly is not the primary, now | yes, with a term above every known one | as the instance says |
//! | 4 | this member was promoted, and certainly was not the primary less than a QoS timeout ago | yes, with a term above every known one: the mirror cannot have promoted another since | as the instance says |
//! | 5 | a member with a higher term serves, or served when it last answered | no: superseded, until it certainly is not the primary | FAILED, or as `superseded` says |
//! | 6 | a peer says SUCCESS and cannot report its term (a Web Gateway) | no: unsure | as the instance says |
//! | 7 | this member's term is proven and above H | yes | as the instance says |
//! | 8 | there are no peers to ask (`peers = "none"`), no H, and this member remembers no promotion | yes | as the instance says |
//! | 9 | anything else | no: unsure | as the instance says |

use super::{Arbiter, Authority, FRESH};
use crate::clock::Timestamp;
use crate::term::{Claim, Successor};

impl Arbiter {
    /// The ruling at `now`. A clear ruling raises the term above every known one.
    pub(super) fn rule(&mut self, now: Timestamp) -> Authority {
        if !self.instance.primary {
            return self.unsure("this member is not the primary".to_owned());
        }
        let promoted_just_now = self.was_promoted_just_now(now);
        self.note_successor(promoted_just_now, now);
        let superseded = self.superseded();
        let is_latest = || self.highest().is_none_or(|h| h.term < self.memory.term);
        if self.memory.taken.is_some() && superseded.is_none() && is_latest() {
            return self.clear(true);
        }
        let conflict = self.members.conflict();
        if let (Some(conflict), None) = (&conflict, &superseded) {
            return self.unsure(conflict.clone());
        }
        let all_are_known = conflict.is_none() && self.answered_just_now(now);
        if all_are_known && self.members.all_others_are_not_primary(now) {
            self.memory.superseded_by = None;
            if !self.memory.proven {
                self.rise();
            }
            return self.clear(true);
        }
        if promoted_just_now {
            return self.clear(false);
        }
        if let Some(by) = superseded {
            return Authority::Superseded { by };
        }
        if let Some(address) = self.members.serving_without_term(now) {
            return self.unsure(format!("{address} says SUCCESS and does not report when it was promoted"));
        }
        match (self.highest(), self.memory.proven) {
            (Some(h), true) if h.term < self.memory.term => self.clear(false),
            (None, true) => self.clear(false),
            (None, false) if self.members.none() && self.memory.term == 0 => {
                self.rise();
                self.clear(false)
            }
            (Some(h), proven) => {
                let what = if proven {
                    "its term is not below this member's"
                } else {
                    "this member's promotion was not seen"
                };
                self.unsure(format!("{h} may have been promoted later: {what}; {}", self.help(now)))
            }
            (None, false) => self.unsure(format!("this member's promotion was not seen; {}", self.help(now))),
        }
    }

    /// Remembers which member supersedes this one; only evidence releases it.
    fn note_successor(&mut self, promoted_just_now: bool, now: Timestamp) {
        if promoted_just_now {
            return;
        }
        let (members, term) = (&self.members, self.memory.term);
        if let Some((mark, address)) = members.serving_above(term, now) {
            self.memory.superseded_by = Some(Successor { mark, address });
            // The operator decided before that promotion, or without knowing of it.
            self.memory.taken = None;
        }
        let released = |Successor { mark, .. }: &Successor| {
            members.excludes(&mark.member, now) || members.serves_below(&mark.member, term, now)
        };
        if self.memory.superseded_by.as_ref().is_some_and(released) {
            self.memory.superseded_by = None;
        }
    }

    /// Clear, with a term above every known one.
    fn clear(&mut self, certain: bool) -> Authority {
        let highest = self.highest().map_or(0, |h| h.term);
        if self.memory.seen.term > self.memory.term || highest >= self.memory.term {
            self.rise();
        }
        Authority::Clear { term: self.memory.term, certain }
    }

    /// Which member supersedes this one, in words.
    pub(super) fn superseded(&self) -> Option<String> {
        let Successor { mark, address } = self.memory.superseded_by.as_ref()?;
        Some(format!("{mark} at {address} was promoted after this member (term {})", self.memory.term))
    }

    fn unsure(&self, why: String) -> Authority {
        Authority::Unsure { why, term: self.memory.term }
    }

    fn help(&self, now: Timestamp) -> String {
        if self.members.none() {
            return "there is no [[mirror.peer]] to ask; `mirrorvip take` decides".to_owned();
        }
        match self.members.silent(now).as_str() {
            "" => "the other members are being asked".to_owned(),
            silent => format!("no definite answer from {silent}; `mirrorvip take` decides"),
        }
    }

    /// The highest term of another member, whatever that member is now: its successor may be out of reach.
    fn highest(&self) -> Option<Claim> {
        let known = std::iter::once(self.memory.seen.clone()).chain(self.records.values().cloned());
        let of_others = |mark: &Claim| {
            mark.term > 0 && !self.members.is_me(&mark.member) && self.memory.believes(mark.term)
        };
        known.chain(self.members.marks()).filter(of_others).max()
    }

    /// Whether no other member can have been promoted after this one: it certainly was not the primary less than a QoS
    /// timeout ago, and the mirror needs longer to promote another.
    fn was_promoted_just_now(&self, now: Timestamp) -> bool {
        let other_at = self.instance.other_at.filter(|_| self.memory.proven);
        other_at.is_some_and(|at| at.age_at(now) < self.settings.qos_timeout)
    }

    /// Whether a current round of questions ended at most [`FRESH`] ago.
    fn answered_just_now(&self, now: Timestamp) -> bool {
        self.answered_at.is_some_and(|at| at.age_at(now) <= FRESH)
    }

    /// Whether no answer of a peer could change the ruling, or all of them answered just now.
    pub(super) fn nothing_can_be_newer(&self, now: Timestamp) -> bool {
        !self.instance.primary
            || self.members.none()
            || self.was_promoted_just_now(now)
            || self.answered_just_now(now)
    }
}
