//! mirrorvip
pub mod clock;
pub mod config;
#[cfg(feature = "simulation")]
pub mod demo;
pub mod observation;
pub mod role;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod snapshot;
