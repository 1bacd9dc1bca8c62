//! The image, built by a real `docker build`, and the three ways to run it beside IRIS, from the published compose
//! files: real containers, real networks, HAProxy in a container of its own.
//!
//! What is not real: the bases, which no registry is asked for. The stand-in for Rust's image has a `cargo` that
//! checks its input and hands over the binary under test, since compiling it again would take minutes and
//! prove the compiler; the one for the runtime has what that binary links to, since it is not static. IRIS is
//! a shell script with the simulated `iris` command, and its Web Gateway is played by HAProxy; see `images`.

#![cfg(feature = "simulation")]

mod image;
mod images;
mod node;
mod sidecars;
