//! Real daemons as child processes, with the machine's own programs around them and no cloud.

mod admin;
mod daemon;
mod demo;
mod publish;
mod reload;
mod support;
