//! Clients that follow the primary: whole daemons against the simulated cloud, over real HTTP.

#![cfg(feature = "simulation")]

mod everything;
mod foreign;
mod order;
mod peers;
mod pools;
mod records;
mod whole;
mod zone;
