//! Clients that follow the primary: whole daemons against the simulated cloud, over the real AWS SDK.

#![cfg(feature = "simulation")]
#![expect(clippy::print_stderr, reason = "a failing test shows the logs of the processes that it ran")]

mod foreign;
mod order;
mod peers;
mod pools;
mod records;
mod rig;
#[path = "../support/mod.rs"]
mod support;
mod whole;
