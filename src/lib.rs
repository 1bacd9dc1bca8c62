//! mirrorvip
pub mod clock;
pub mod config;
pub mod observation;
pub mod role;
pub mod snapshot;
