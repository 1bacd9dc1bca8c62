//! What the process before this one left about a mirror. PURE.

use super::super::authority::Memory;
use crate::state::{Claims, Kept};

/// What the process before this one left about a mirror.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past {
    /// Its role.
    pub(crate) memory: Memory,
    /// Its claims.
    pub(crate) claims: Claims,
}

// === impl Past ===

impl Past {
    /// What the state file holds, if there is one.
    pub(crate) fn of(kept: Option<&Kept>) -> Self {
        let memory = match kept.map(|kept| kept.role.primary) {
            Some(true) => Memory::Held,
            Some(false) => Memory::Lost,
            None => Memory::Nothing,
        };
        Self { memory, claims: kept.map(|kept| kept.claims).unwrap_or_default() }
    }
}
