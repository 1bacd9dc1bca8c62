//! The daemon under a service manager: one that a test plays, systemd's own tools, and a systemd that has booted
//! in a container with HAProxy in front.

#[path = "../support/mod.rs"]
mod support;

mod activation;
mod container;
mod haproxy;
mod notify;
mod units;
