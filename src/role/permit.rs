//! The right to write to a cloud: minted by a current verdict to serve, and checked again before each step. PURE.

use std::marker::PhantomData;

use super::{Epoch, Reason, Verdict};
use crate::clock::Timestamp;

/// The right to write to the cloud in one epoch. Only a current verdict to serve mints it, and it must be
/// [held](Permit::hold) again before each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    epoch: Epoch,
}

/// Proof that a permit was checked just now; write authorization needs one.
#[derive(Debug)]
pub struct Held<'permit> {
    epoch: Epoch,
    permit: PhantomData<&'permit Permit>,
}

/// Why a permit does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PermitLost {
    /// The member does not serve.
    #[error("no longer primary: {0}")]
    NotServing(Reason),
    /// The member lost the role and regained it: a plan of the old epoch is void.
    #[error("promoted again since: epoch {now}, planned in {then}")]
    OtherEpoch {
        /// The permit's epoch.
        then: Epoch,
        /// The verdict's epoch.
        now: Epoch,
    },
}

// === impl Permit ===

impl Permit {
    /// The right of one epoch; only a current verdict to serve may call this.
    pub(super) const fn new(epoch: Epoch) -> Self {
        Self { epoch }
    }

    /// Checks the permit against the verdict of this very moment.
    pub fn hold(&self, verdict: &Verdict, now: Timestamp) -> Result<Held<'_>, PermitLost> {
        match verdict.at(now) {
            Verdict::Serve { epoch, .. } if epoch == self.epoch => Ok(Held { epoch, permit: PhantomData }),
            Verdict::Serve { epoch, .. } => Err(PermitLost::OtherEpoch { then: self.epoch, now: epoch }),
            Verdict::Refuse(reason) => Err(PermitLost::NotServing(reason)),
        }
    }
}

// === impl Held ===

impl Held<'_> {
    /// The epoch in which the step is made.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}
