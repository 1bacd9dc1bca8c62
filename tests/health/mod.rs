//! The health listener, seen from outside: real sockets, one server a test, snapshots driven by the test.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "clippy takes test code outside of #[test] functions for code that is shipped"
)]

mod agent;
mod attack;
mod descriptors;
mod foreign;
mod harness;
mod limits;
mod network;
mod page;
mod reload;
mod tls;
