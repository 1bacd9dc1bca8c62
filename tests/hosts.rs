//! What stands round a daemon in production: HAProxy, service managers, containers, and the files that people copy.

mod containers;
mod haproxy;
mod manifests;
mod support;
mod systemd;
