//! The guard of every step: only here does a planned step become an [`Authorized`] one, and only the loop can ask for
//! that. A kind of target therefore cannot forget to check whether this member may take traffic.

use std::fmt;
use std::ops::Deref;

use crate::clock::Timestamp;
use crate::role::{Held, Permit, PermitLost};
use crate::snapshot::Snapshot;
use crate::steer::{Authority, Step};

/// A step that may be made at this moment.
pub(crate) struct Authorized<'a, S> {
    step: &'a S,
    /// Its authorization; `None` for a step that moves no traffic.
    by: Option<WriteAuthorization<'a>>,
}

/// The right to move traffic at this moment: a permit that holds and an authority that is clear.
#[derive(Debug)]
struct WriteAuthorization<'permit> {
    held: Held<'permit>,
    /// The fencing number to write, above every known one.
    term: u64,
}

/// Why there is no write authorization.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAuthorized {
    /// The verdict does not allow it.
    #[error(transparent)]
    Permit(#[from] PermitLost),
    /// Another member may have been promoted later.
    #[error("{0}")]
    Authority(Authority),
    /// The plan is older than the authorization.
    #[error("the step was planned for another promotion")]
    Overtaken,
}

// === impl Authorized ===

impl<'a, S: Step> Authorized<'a, S> {
    /// `step`, if it is allowed in any role because it moves no traffic.
    pub(super) fn for_any_role(step: &'a S) -> Option<Self> {
        (!step.moves_traffic()).then_some(Self { step, by: None })
    }

    /// `step`, if the permit holds, the authority is clear at `now`, and the plan was made for both.
    pub(super) fn for_primary(
        step: &'a S,
        permit: &'a Permit,
        snapshot: &Snapshot,
        authority: &Authority,
        now: Timestamp,
    ) -> Result<Self, NotAuthorized> {
        let held = permit.hold(snapshot.verdict(), now)?;
        let term = match authority {
            Authority::Clear { term, .. } => *term,
            doubt @ (Authority::Superseded { .. } | Authority::Unsure { .. }) => {
                return Err(NotAuthorized::Authority(doubt.clone()));
            }
        };
        if !step.is_planned_for(held.epoch(), term) {
            return Err(NotAuthorized::Overtaken);
        }
        Ok(Self { step, by: Some(WriteAuthorization { held, term }) })
    }

    /// The same for tests of targets.
    #[cfg(test)]
    pub(crate) fn in_test(
        step: &'a S,
        permit: Option<&'a Permit>,
        snapshot: &Snapshot,
        authority: &Authority,
        now: Timestamp,
    ) -> Self {
        match permit {
            Some(permit) => {
                Self::for_primary(step, permit, snapshot, authority, now).expect("the member serves")
            }
            None => Self::for_any_role(step).expect("the step moves no traffic"),
        }
    }
}

impl<S> Deref for Authorized<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.step
    }
}

impl<S: fmt::Display> fmt::Display for Authorized<'_, S> {
    /// With the epoch and the term, where it moves traffic.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, by } = self;
        write!(f, "{step}")?;
        match by {
            Some(WriteAuthorization { held, term }) => write!(f, " (epoch {}, term {term})", held.epoch()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Epoch;
    use crate::steer::testing::{Serving, at, epoch};

    #[derive(Clone, Debug, PartialEq)]
    enum Call {
        Move { term: u64 },
        Publish,
    }

    impl Step for Call {
        fn moves_traffic(&self) -> bool {
            matches!(self, Self::Move { .. })
        }

        fn is_planned_for(&self, _epoch: Epoch, term: u64) -> bool {
            !matches!(self, Self::Move { term: planned } if *planned != term)
        }
    }

    impl fmt::Display for Call {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{self:?}")
        }
    }

    #[test]
    fn no_step_that_moves_traffic_is_made_in_any_role() {
        assert!(Authorized::for_any_role(&Call::Move { term: 1 }).is_none());
        assert_eq!(Authorized::for_any_role(&Call::Publish).expect("it moves none").to_string(), "Publish");
    }

    #[test]
    fn a_step_that_moves_traffic_takes_a_permit_that_holds_and_clear_authority() {
        let serving = Serving::in_epoch(4);
        let step = Call::Move { term: 4 };
        let ask = |authority: &Authority, now| {
            let step = Authorized::for_primary(&step, serving.permit(), serving.snapshot(), authority, now);
            step.map(|step| step.to_string())
        };
        let clear = Authority::Clear { term: 4, certain: false };
        assert_eq!(ask(&clear, at(0)), Ok("Move { term: 4 } (epoch 4, term 4)".to_owned()));
        assert!(matches!(ask(&clear, at(5)), Err(NotAuthorized::Permit(_))), "the verdict has expired");
        let unsure = Authority::Unsure { why: "b is silent".to_owned(), term: 4 };
        assert_eq!(ask(&unsure, at(0)), Err(NotAuthorized::Authority(unsure.clone())));
        let superseded = Authority::Superseded { by: "b".to_owned() };
        assert_eq!(ask(&superseded, at(0)), Err(NotAuthorized::Authority(superseded.clone())));
        let later = Authority::Clear { term: 5, certain: false };
        assert_eq!(ask(&later, at(0)), Err(NotAuthorized::Overtaken), "planned with another term");
        assert_eq!(serving.snapshot().tracker().epoch(), epoch(4));
    }
}
