//! Records, routes, metrics and hooks that follow the primary: real daemons against the simulated cloud,
//! their instances played by simulated commands.
//!
//! Asserted in every scenario: within the bound ([`support::PATIENCE`]) after the last fault the object leads
//! to the primary and to nobody else; no object was ever left empty; no member changed where clients are led
//! but the primary of that moment. What a paused, isolated or restarted old primary does *not* do is asserted
//! after it has looked at the cloud again, so that nothing passes for want of an attempt.

mod handover;
mod hook;
mod metric;
mod route;
mod stage;
mod stale;
mod three;
