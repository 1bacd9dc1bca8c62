//! The daemon under a service manager: one that a test plays, systemd's own tools, and a systemd that has booted
//! in a container with HAProxy in front.

mod activation;
mod container;
mod haproxy;
mod notify;
mod units;
