//! The probes against the real thing: child processes, sockets and files.

mod child;
mod file;
mod http;
mod support;
