//! May this member take traffic? PURE: what it remembers, what records say, what peers answer; a ruling.
//!
//! The verdict says that the instance is primary. That is necessary and not enough: a member that was
//! isolated, paused or restarted may look primary to itself while another was promoted later, and must then
//! write nothing that moves traffic, to no object of the mirror, until its own instance is seen to lose the
//! role and regain it.

use std::fmt;

/// Whether this member may take traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// As far as anybody can tell, its promotion is the latest.
    Clear {
        /// The fencing number that its writes carry: higher than any that is known to be earlier.
        claim: u64,
    },
    /// Another member was promoted later. Final until the own instance loses the role and regains it.
    Superseded {
        /// By whom and how it is known.
        by: String,
    },
    /// Nobody can tell, so nothing is taken; asked again at every turn.
    Unsure {
        /// Why, and what would help.
        why: String,
    },
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear { claim } => write!(f, "clear, claim {claim}"),
            Self::Superseded { by } => write!(f, "superseded: {by}"),
            Self::Unsure { why } => write!(f, "unsure whether another member was promoted later: {why}"),
        }
    }
}
