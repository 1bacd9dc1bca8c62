//! Rules between two values: what must differ, and which durations fit together.
//!
//! A daemon that broke one of these would start and then do the wrong thing: two mirrors would answer for each other, or a
//! page would say SUCCESS after another member took over.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

mod steering;

pub(crate) use self::steering::{ObjectClaims, Owned, check_ca_file, check_peers};
use super::Admin;
use super::diagnostic::{Problem, Problems, Span, quoted};
use super::section::{Located, Section};

/// The listener addresses, mirror names and paths so far, each with its place in the text.
pub(super) struct Claims<'a> {
    problems: &'a Problems,
    addresses: Vec<(Located<SocketAddr>, &'static str)>,
    names: HashMap<String, Option<Span>>,
    paths: HashMap<String, Option<Span>>,
}

/// The durations of one mirror that depend on each other.
pub(super) struct Timing<'a> {
    pub(super) interval: &'a Located<Duration>,
    pub(super) timeout: &'a Located<Duration>,
    pub(super) stale_after: &'a Located<Duration>,
    pub(super) qos_timeout: &'a Located<Duration>,
}

// === impl Claims ===

impl<'a> Claims<'a> {
    pub(super) fn new(problems: &'a Problems) -> Self {
        Self { problems, addresses: Vec::new(), names: HashMap::new(), paths: HashMap::new() }
    }

    /// An address that only `key` may listen on.
    pub(super) fn address(&mut self, key: &'static str, address: &Located<SocketAddr>) {
        let taken = self.addresses.iter().find(|(other, _)| collide(other.value, address.value));
        if let Some((other, other_key)) = taken {
            // What is written comes first: the other one may be a default.
            let (span, related) = match &address.span {
                Some(span) => (Some(span.clone()), other.span.clone()),
                None => (other.span.clone(), None),
            };
            let message = if other.value == address.value {
                format!("`{key}` and `{other_key}` both listen on {}", address.value)
            } else {
                format!(
                    "`{key}` on {} and `{other_key}` on {} listen on the same port",
                    address.value, other.value
                )
            };
            self.problems.report(
                Problem::new(span, message)
                    .related(related, "taken here")
                    .with_help("Give each listener a port of its own.")
                    .needs_whole_text(),
            );
        }
        self.addresses.push((address.clone(), key));
    }

    /// A mirror's name.
    pub(super) fn name(&mut self, name: &Located<String>) {
        claim(&mut self.names, name, self.problems, |name| {
            Problem::new(None, format!("two mirrors are named {}", quoted(name)))
                .with_help("Give each mirror a name of its own; upper and lower case count as equal.")
        });
    }

    /// A path prefix of a mirror.
    pub(super) fn path(&mut self, path: &Located<String>) {
        claim(&mut self.paths, path, self.problems, |path| {
            Problem::new(None, format!("the path {} is written twice", quoted(path)))
                .with_help("A path selects one mirror: leave it to one. Upper and lower case count as equal.")
        });
    }
}

/// Claims `wanted`, or reports `problem` if it is taken.
fn claim(
    taken: &mut HashMap<String, Option<Span>>,
    wanted: &Located<String>,
    problems: &Problems,
    problem: impl Fn(&str) -> Problem,
) {
    match taken.get(&wanted.value.to_lowercase()) {
        Some(first) => {
            let problem = problem(&wanted.value).at(wanted.span.clone()).related(first.clone(), "first here");
            problems.report(problem);
        }
        None => {
            taken.insert(wanted.value.to_lowercase(), wanted.span.clone());
        }
    }
}

/// Whether two listeners conflict. IPv6 listeners do not listen on IPv4.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    let same_family = matches!((a, b), (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)));
    let overlap = a == b || (same_family && (a.is_unspecified() || b.is_unspecified()));
    one.port() == other.port() && one.port() != 0 && overlap
}

/// A request takes at least as long as its head.
pub(super) fn check_deadlines(
    section: &Section<'_>,
    header: &Located<Duration>,
    request: &Located<Duration>,
) {
    if request.value >= header.value {
        return;
    }
    let message = format!(
        "`request_timeout` ({:?}) is shorter than `header_timeout` ({:?})",
        request.value, header.value
    );
    section.report(
        place(message, &[("request_timeout", request), ("header_timeout", header)])
            .with_help(format!("Write request_timeout = \"{:?}\" or more.", header.value)),
    );
}

/// An admin listener that other machines can reach needs TLS or a token.
pub(super) fn check_admin(section: &Section<'_>, admin: &Admin, listen: &Located<SocketAddr>) {
    if listen.value.ip().to_canonical().is_loopback() || admin.tls.is_some() || admin.token_file.is_some() {
        return;
    }
    section.report(
        Problem::new(
            listen.span.clone(),
            format!("`admin.listen` on {} is open to every client that can reach it", listen.value),
        )
        .with_help(
            "Write a loopback address, such as \"127.0.0.1:9180\", or protect it with \
             token_file = \"/etc/mirrorvip/token\" or [admin.tls].",
        )
        .needs_whole_text(),
    );
}

/// An answer must be valid until the next one can arrive, and expire before another member can take over.
pub(super) fn check_timing(section: &Section<'_>, timing: &Timing<'_>) {
    let Timing { interval, timeout, stale_after, qos_timeout } = timing;
    let needed = interval.value + timeout.value;
    if stale_after.value < needed {
        let message = format!(
            "`stale_after` ({:?}) is shorter than `interval` and `timeout` together ({:?} + {:?} = {needed:?})",
            stale_after.value, interval.value, timeout.value
        );
        let help = if needed < qos_timeout.value {
            format!(
                "Write stale_after = \"{needed:?}\" or more, so that an answer stays valid until the next one arrives."
            )
        } else {
            format!(
                "Shorten `interval` or `timeout`: together they must stay below `qos_timeout`, {:?}.",
                qos_timeout.value
            )
        };
        let values = [("stale_after", *stale_after), ("timeout", *timeout), ("interval", *interval)];
        section.report(place(message, &values).with_help(help));
    }
    if stale_after.value >= qos_timeout.value {
        let message = format!(
            "`stale_after` ({:?}) is not below `qos_timeout` ({:?})",
            stale_after.value, qos_timeout.value
        );
        section.report(
            place(message, &[("stale_after", *stale_after), ("qos_timeout", *qos_timeout)]).with_help(
                format!(
                    "An answer must expire before another member can take over: write a `stale_after` below \
                 \"{:?}\", or as `qos_timeout` what the mirror is really set to.",
                    qos_timeout.value
                ),
            ),
        );
    }
}

/// A problem of several durations, shown at those that are written.
fn place(message: String, durations: &[(&str, &Located<Duration>)]) -> Problem {
    let mut written = durations.iter().filter_map(|(key, duration)| Some((key, duration.span.clone()?)));
    let mut problem = Problem::new(written.next().map(|(_, span)| span), message).needs_whole_text();
    for (key, span) in written {
        problem = problem.related(Some(span), format!("`{key}`"));
    }
    problem
}
