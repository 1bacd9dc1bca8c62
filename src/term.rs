//! The term: one number that orders the promotions of a mirror. PURE.
//!
//! A member that sees its own promotion takes a term above every one that it knows. Answers to peers and ownership
//! records in cloud objects carry terms, so that a member knows whether another was promoted after it without comparing
//! the clocks of two machines. The [arbiter](crate::steer::arbiter) decides what follows from a term.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far above the highest term known a reported term may be. Promotions count one by one; a larger jump is a
/// mistake or an attack, and believing it would carry the number into every member's state.
pub const LONGEST_JUMP: u64 = 1_000;

/// The highest term that a member believes while it knows of none: after its state was lost.
pub const HIGHEST_FIRST: u64 = 1_000_000;

/// A term, and which member holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The term; zero is before the first.
    pub term: u64,
    /// The member's name; empty if it is not known.
    pub member: String,
}

/// What the arbiter of one mirror saves for the next process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The term of this member's last promotion.
    pub term: u64,
    /// Whether `term` is certainly that of the promotion that the instance holds.
    pub proven: bool,
    /// The highest term known when the instance was last definitely not the primary.
    pub before: u64,
    /// The highest term known, and whose.
    pub seen: Claim,
    /// The member that was promoted later and served when it last answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<Successor>,
    /// The operator's decision that is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
}

/// A member that was promoted later.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Successor {
    /// Its term and name.
    #[serde(flatten)]
    pub mark: Claim,
    /// The address under which it was asked.
    pub address: String,
}

/// `mirrorvip take`: an operator's decision that this member's promotion is the latest. In force until the instance is
/// definitely not the primary.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Taken {
    /// Why, in the operator's words.
    pub reason: String,
    /// The operator, as the client reports it.
    pub user: String,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// What it overrode.
    pub overrode: String,
}

// === impl Memory ===

impl Memory {
    /// Whether a reported term can be true: not too far above what is known.
    pub fn believes(&self, term: u64) -> bool {
        match self.term.max(self.seen.term) {
            0 => term <= HIGHEST_FIRST,
            known => term <= known.saturating_add(LONGEST_JUMP),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = if self.member.is_empty() { "an unknown member" } else { &self.member };
        write!(f, "{member} (term {})", self.term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_far_above_what_is_known_is_not_believed() {
        let mut memory = Memory::default();
        assert!(memory.believes(HIGHEST_FIRST) && !memory.believes(HIGHEST_FIRST + 1));
        memory.seen.term = 7;
        assert!(memory.believes(7 + LONGEST_JUMP) && !memory.believes(8 + LONGEST_JUMP));
        memory.term = u64::MAX;
        assert!(memory.believes(u64::MAX));
    }
}
