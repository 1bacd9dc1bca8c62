//! Parts of the library in the test's own process: real sockets, child processes and files, and no daemon.

mod fuzz_smoke;
mod health;
mod model;
mod probe;
mod support;
mod timelines;
mod wake;
