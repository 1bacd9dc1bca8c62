//! mirrorvip
pub mod clock;
pub mod config;
pub mod health;
pub mod observation;
pub mod role;
pub mod snapshot;
pub mod tls;
