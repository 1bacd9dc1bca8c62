//! What a look tells the authority. PURE.

use super::super::standing::Sighting;
use super::super::{Outlook, Plan, Target, Wish};
use super::world::Aim;

/// What `observed`, and the `plan` that follows from it, tell of who has the object.
pub(super) fn sighting<T: Target>(
    target: &T,
    aim: &Aim,
    observed: &T::Observed,
    plan: &Plan<T::Step>,
) -> Sighting {
    let leads = matches!(aim.wish, Wish::Lead { .. });
    let record = target.record(observed);
    Sighting {
        // Of an object that carries claims, these tell more exactly who was when.
        taken: if record.is_none() { taken(aim, &plan.then) } else { None },
        standby: matches!(aim.wish, Wish::Follow),
        fulfilled: leads && plan.steps.is_empty() && plan.then == Outlook::Fulfilled,
        record,
    }
}

/// Who took over an object that this member had in this epoch, fulfilled or on the way there: the target
/// tells the one that is taken from the one that is still to be taken.
fn taken(aim: &Aim, then: &Outlook) -> Option<String> {
    match (then, &aim.wish) {
        (Outlook::TakenOver { by }, Wish::Lead { .. }) => Some(by.clone()),
        (Outlook::TakenOver { .. }, Wish::Follow | Wish::Hold { .. }) => None,
        (Outlook::Fulfilled | Outlook::Waiting { .. } | Outlook::Impossible { .. }, _) => None,
    }
}
