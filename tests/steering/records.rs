//! Records, routes, metrics and hooks that follow the primary: real daemons against the simulated cloud,
//! their instances played by simulated commands.
//!
//! Asserted in every story: within a bound after the last fault the object leads to the primary and to no other
//! member; no object was ever left empty; only the primary of that moment changed where clients are led. What a
//! paused, isolated or restarted old primary does *not* do is asserted after it has read the cloud again, so that
//! no test passes because nothing was tried.

mod handover;
mod hook;
mod metric;
mod route;
mod stale;
mod three;
