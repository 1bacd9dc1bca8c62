//! Descriptions of events for the timeline. PURE.

use std::time::Duration;

use super::report::Page;
use super::timeline::span;
use crate::simulation::Instance;

/// The change of an instance; the member type is named only if it changes.
pub(super) fn describe_change(from: Instance, to: Instance) -> String {
    if from.member_type != to.member_type {
        format!("instance {from} -> {to}")
    } else if to.reverted && !from.reverted {
        format!("instance {} -> {} (cut off from the mirror)", from.status, to.status)
    } else if to.hung && !from.hung {
        format!("instance {} hangs", from.status)
    } else {
        format!("instance {} -> {}", from.status, to.status)
    }
}

/// The change of a page `after` the last change of its `instance`; `seen` is when its daemon saw that change.
pub(super) fn describe_page(
    (from, to): (Page, Page),
    instance: Instance,
    after: Duration,
    seen: Option<Duration>,
) -> String {
    let flip = format!("page {from} -> {to}");
    let after = span(after);
    if to == Page::SUCCESS {
        seen.map_or(flip.clone(), |seen| format!("{flip}   role change seen after {}", span(seen)))
    } else if from != Page::SUCCESS || to == Page::Silent {
        flip
    } else if instance.reverted {
        format!("{flip}   its peers have answered")
    } else if instance.hung {
        format!("{flip}   expired {after} after the instance hung")
    } else {
        format!("{flip}   {after} after the role change")
    }
}
