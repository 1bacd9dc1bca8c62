//! Asking the database: one question, one deadline, one answer per mirror.
//!
//! A [`Prober`] is one way to ask, with the state that must survive between questions (a child that could not be
//! killed, trusted certificates). It decides nothing and remembers no role; the loop that drives it decides when to ask.
//!
//! Each kind is a thin shell that does the I/O around a pure parser that reads the answer:
//!
//! | kind | asks | reads |
//! |---|---|---|
//! | [`qlist`] | a child process: `iris qlist` | a line of fields separated by `^` |
//! | [`gateway`] | HTTP: the status page of a Web Gateway | the status code and `SUCCESS` or `FAILED` |
//! | [`metrics`] | HTTP: `/api/monitor/metrics` | Prometheus text |
//! | [`exec`] | a child process: any command | the exit code |
//! | [`file`](mod@file) | a file with a heartbeat | a role word |
//!
//! In all of them, every wait ends at the question's deadline (plus a clean-up of well under a second); every input has a
//! limit; a child, a name server or a file system that hangs is remembered and nothing is started beside it; unknown text
//! is never a role.

use std::fmt;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{self, Mirror};
use crate::observation::{NoEvidence, Outcome};

pub mod exec;
pub mod file;
pub mod gateway;
mod member;
pub mod metrics;
pub mod page;
pub mod qlist;
pub(crate) mod run;
mod schedule;

/// How much of an answer is kept as evidence for people, in characters.
const EVIDENCE_LENGTH: usize = 300;

/// One answer for one mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// A definite role, or none and why.
    pub outcome: Outcome,
    /// What it was read from, for people; sanitized and bounded, empty without an answer.
    pub evidence: String,
    /// How old the answer was when it was read: the age of a heartbeat file, zero for a direct probe.
    pub age: Duration,
}

/// One way to ask, for one mirror or for several that share it.
///
/// Making one does no I/O. Dropping it kills what it started.
#[derive(Debug)]
pub enum Prober {
    /// `iris qlist` or `ccontrol qlist`.
    Qlist(qlist::Qlist),
    /// The status page of a Web Gateway, or `/api/monitor/metrics` of the instance.
    Page(page::Page),
    /// Any command whose exit code is the answer.
    Exec(exec::Exec),
    /// A role word in a file that another process keeps fresh.
    File(file::File),
}

// === impl Prober ===

impl Prober {
    /// The probers that `mirrors` need, each with the indices of the mirrors it asks for.
    ///
    /// Mirrors whose `qlist` probes agree in command, environment, interval and timeout share one: a
    /// single call lists every instance of the node. Every other mirror has its own. The order is that
    /// of each group's first mirror.
    pub fn group<T>(mirrors: &[Mirror<T>], clock: &Clock) -> Vec<(Self, Vec<usize>)> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (index, mirror) in mirrors.iter().enumerate() {
            match groups.iter_mut().find(|group| can_share(&mirrors[group[0]], mirror)) {
                Some(group) => group.push(index),
                None => groups.push(vec![index]),
            }
        }
        groups
            .into_iter()
            .map(|group| {
                let members: Vec<&Mirror<T>> = group.iter().map(|&index| &mirrors[index]).collect();
                (Self::new(&members, clock), group)
            })
            .collect()
    }

    /// Asks one question. The readings are in the order of the group's mirrors.
    ///
    /// Takes no longer than the mirror's `timeout` plus a clean-up of at most half a second. Dropping
    /// the future kills the child's process group; the prober stays usable.
    pub async fn ask(&mut self) -> Vec<Reading> {
        match self {
            // Boxed: buffers and a TLS handshake in flight are kilobytes that every caller would carry otherwise.
            Self::Qlist(qlist) => Box::pin(qlist.ask()).await,
            Self::Page(page) => vec![Box::pin(page.ask()).await],
            Self::Exec(exec) => vec![Box::pin(exec.ask()).await],
            Self::File(file) => vec![file.ask().await],
        }
    }

    /// A prober for mirrors that can share one; `mirrors` is never empty.
    fn new<T>(mirrors: &[&Mirror<T>], clock: &Clock) -> Self {
        let mirror = mirrors[0];
        match &mirror.probe {
            config::Probe::Qlist { command, environment, .. } => {
                let instances = mirrors.iter().filter_map(|mirror| instance_of(mirror)).collect();
                Self::Qlist(qlist::Qlist::new(command, environment, instances, mirror.timeout))
            }
            config::Probe::Gateway(target) => Self::Page(gateway::page(target, mirror.timeout)),
            config::Probe::Metrics(target) => Self::Page(metrics::page(target, mirror.timeout)),
            config::Probe::Exec { command, environment } => {
                Self::Exec(exec::Exec::new(command, environment, mirror.timeout))
            }
            config::Probe::File { path } => {
                Self::File(file::File::new(path, mirror.timeout, mirror.stale_after, clock))
            }
        }
    }
}

impl fmt::Display for Prober {
    /// The question, for logs: a command line, an address without its query, a path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Qlist(qlist) => qlist.fmt(f),
            Self::Page(page) => page.fmt(f),
            Self::Exec(exec) => exec.fmt(f),
            Self::File(file) => file.fmt(f),
        }
    }
}

// === impl Reading ===

impl Reading {
    /// An answer given just now.
    fn fresh(outcome: Outcome, evidence: String) -> Self {
        Self { outcome, evidence, age: Duration::ZERO }
    }

    /// No evidence, and no text.
    fn silent(cause: NoEvidence) -> Self {
        Self::fresh(Err(cause), String::new())
    }
}

fn can_share<T>(one: &Mirror<T>, other: &Mirror<T>) -> bool {
    match (&one.probe, &other.probe) {
        (
            config::Probe::Qlist { command, environment, .. },
            config::Probe::Qlist { command: other_command, environment: other_environment, .. },
        ) => {
            command == other_command
                && environment == other_environment
                && one.interval == other.interval
                && one.timeout == other.timeout
        }
        _ => false,
    }
}

fn instance_of<T>(mirror: &Mirror<T>) -> Option<String> {
    match &mirror.probe {
        config::Probe::Qlist { instance, .. } => Some(instance.clone()),
        config::Probe::Gateway(_)
        | config::Probe::Metrics(_)
        | config::Probe::Exec { .. }
        | config::Probe::File { .. } => None,
    }
}
