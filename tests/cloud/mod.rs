//! The simulated cloud from outside: clients that others wrote drive it through the life of its objects,
//! and raw connections see its faults.

#![cfg(feature = "simulation")]
#![expect(clippy::disallowed_methods, reason = "a test's patience with real processes is real time")]

mod balancers;
mod faults;
mod foreign;
mod harness;
mod metadata;
