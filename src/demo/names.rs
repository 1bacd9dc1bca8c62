//! What happens on the stage, in words. PURE.

use crate::simulation::Instance;

/// In short, unless the kind of member changes.
pub(super) fn describe_change(from: Instance, to: Instance) -> String {
    if from.member_type != to.member_type {
        format!("instance {from} -> {to}")
    } else if to.hung && !from.hung {
        format!("instance {} hangs", from.status)
    } else {
        format!("instance {} -> {}", from.status, to.status)
    }
}
