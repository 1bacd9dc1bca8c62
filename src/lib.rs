//! mirrorvip
pub mod clock;
pub mod config;
pub mod observation;
pub mod probe;
pub mod role;
pub mod snapshot;
pub mod wake;
