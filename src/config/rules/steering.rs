//! Rules of the steering tables that need two values, or two tables.
//!
//! Broken, each of these would have two loops of one daemon fight over an object, empty a pool that belongs
//! to somebody else, or send a request that the cloud can only refuse.

use std::net::IpAddr;

use super::super::cloud_value::fits_record;
use super::super::diagnostic::{Problem, Problems, Reported, Span, quoted};
use super::super::section::{Located, Section};
use super::super::steering::{Peer, Pool, RecordType, Target, Value};

/// The cloud objects that have been taken so far, and by which place in the text.
pub(in crate::config) struct Objects<'a> {
    problems: &'a Problems,
    /// Number of the mirror whose tables are being read.
    mirror: usize,
    pools: Vec<PoolClaim>,
    sole: Vec<(String, Option<Span>)>,
}

/// What a table says that its mirror may deregister.
pub(in crate::config) struct Owned<'a> {
    pub(in crate::config) key: &'static str,
    pub(in crate::config) targets: &'a Located<Vec<String>>,
}

struct PoolClaim {
    mirror: usize,
    pool: Located<String>,
    port: Option<u32>,
    owned: Vec<String>,
}

// === impl Objects ===

impl<'a> Objects<'a> {
    pub(in crate::config) fn new(problems: &'a Problems) -> Self {
        Self { problems, mirror: 0, pools: Vec::new(), sole: Vec::new() }
    }

    /// From here on the tables are those of another mirror.
    pub(in crate::config) fn next_mirror(&mut self) {
        self.mirror += 1;
    }

    /// A target group or a classic load balancer. Mirrors may share one, if each knows what is its own.
    pub(in crate::config) fn pool(&mut self, pool: &Located<String>, port: Option<u32>, owned: &Owned<'_>) {
        let contest = self.pools.iter().filter(|other| other.pool.value == pool.value).find_map(|other| {
            let (message, help) = self.contest(other, port, owned)?;
            let problem = Problem::new(pool.span.clone(), message).with_help(help);
            Some(problem.related(other.pool.span.clone(), "first here"))
        });
        if let Some(problem) = contest {
            self.problems.report(problem);
        }
        let owned = owned.targets.value.clone();
        self.pools.push(PoolClaim { mirror: self.mirror, pool: pool.clone(), port, owned });
    }

    /// Why a table with these targets gets in the way of another for the same pool, and what to write.
    fn contest(&self, other: &PoolClaim, port: Option<u32>, owned: &Owned<'_>) -> Option<(String, String)> {
        let Owned { key, targets } = owned;
        let same_port = other.port == port;
        if other.mirror == self.mirror {
            let help = "Write one table for each pool and port.".to_owned();
            return same_port.then(|| ("the same targets are steered twice".to_owned(), help));
        }
        if targets.value.is_empty() || other.owned.is_empty() {
            return Some((
                format!("two mirrors share a pool without naming `{key}`"),
                format!(
                    "Write pool = \"primary-only\" and `{key}` in both tables, so that each primary leaves the other \
                     mirror's targets alone; or give each mirror a pool of its own."
                ),
            ));
        }
        let both = targets.value.iter().find(|target| same_port && other.owned.contains(target))?;
        Some((
            format!("two mirrors own the target {both} of one pool"),
            format!("Leave it to one of them in `{key}`, or give each a port of its own."),
        ))
    }

    /// A record: name, type and set identifier tell it from others.
    pub(in crate::config) fn record(
        &mut self,
        zone: &str,
        record: &Located<String>,
        record_type: RecordType,
        set_identifier: Option<&str>,
    ) {
        let object =
            format!("{zone} {} {record_type:?} {}", record.value, set_identifier.unwrap_or_default());
        let message = format!("the record {} is steered twice", record.value);
        self.take(object, record.span.clone(), message, "Leave a record to one table of one mirror.");
    }

    /// The routes of one table.
    pub(in crate::config) fn routes(&mut self, tables: &Located<Vec<String>>, destination: &str) {
        for table in &tables.value {
            let message = format!("the route to {destination} in {table} is steered twice");
            let help = "Leave a route to one table of one mirror.";
            self.take(format!("{table} {destination}"), tables.span.clone(), message, help);
        }
    }

    /// A metric: two that publish under one name would contradict each other.
    pub(in crate::config) fn metric(
        &mut self,
        span: Option<Span>,
        namespace: &str,
        metric: &str,
        dimensions: (&Value, &Value),
    ) {
        let message = format!("the metric {metric} in {namespace} is published twice");
        let help = "Publish it once, or under another `metric`, `namespace` or `member`.";
        // The mirror's name is a dimension, too.
        let mirror = self.mirror;
        self.take(format!("{mirror} {namespace} {metric} {dimensions:?}"), span, message, help);
    }

    /// A label of a pod: two tables would say different things in turn.
    pub(in crate::config) fn pod_label(&mut self, span: Option<Span>, label: &str, pod: (&Value, &Value)) {
        let message = format!("the label {label} is written twice");
        let help = "Write it once, or give each mirror a `label` of its own.";
        self.take(format!("pod {pod:?} {label}"), span, message, help);
    }

    fn take(&mut self, object: String, span: Option<Span>, message: String, help: &str) {
        match self.sole.iter().find(|(taken, _)| *taken == object) {
            Some((_, first)) => {
                let problem = Problem::new(span, message).related(first.clone(), "first here");
                self.problems.report(problem.with_help(help));
            }
            None => self.sole.push((object, span)),
        }
    }
}

/// Who deregisters must know whom; who deregisters nobody owns nothing.
pub(in crate::config) fn check_owned(
    section: &Section<'_>,
    key: &'static str,
    pool: &Located<Pool>,
    owned: &Located<Vec<String>>,
) {
    match pool.value {
        Pool::PrimaryOnly if owned.value.is_empty() => {
            let span = owned.span.clone().or_else(|| pool.span.clone()).or_else(|| section.span());
            section.report(
                Problem::new(span, format!("a `primary-only` pool needs `{key}`"))
                    .with_help(format!(
                        "Write in `{key}` the targets of all members of this mirror: the primary deregisters these \
                         and no others."
                    ))
                    .needs_whole_text(),
            );
        }
        Pool::AllMembers if !owned.value.is_empty() => {
            section.report(
                Problem::new(owned.span.clone(), format!("`{key}` has no use in a pool of all members"))
                    .related(pool.span.clone(), "nobody is deregistered from it")
                    .with_help(format!("Write pool = \"primary-only\", or remove `{key}`."))
                    .needs_whole_text(),
            );
        }
        Pool::PrimaryOnly | Pool::AllMembers => {}
    }
}

/// All targets of a group are instances, or all are addresses.
pub(in crate::config) fn check_one_kind(section: &Section<'_>, owned: &Located<Vec<String>>) {
    let addresses = owned.value.iter().filter(|target| target.parse::<IpAddr>().is_ok()).count();
    if addresses > 0 && addresses < owned.value.len() {
        section.report(
            Problem::new(owned.span.clone(), "`owned_targets` has both instance ids and addresses")
                .with_help(
                    "A target group has one kind of targets: write what `describe-target-health` shows.",
                ),
        );
    }
}

/// The value that a record of this type can have.
pub(in crate::config) fn check_record_value(
    section: &Section<'_>,
    record_type: RecordType,
    value: &Located<Value>,
) {
    let (kind, example) = match record_type {
        RecordType::A => ("an A record has an IPv4 address", "such as \"10.0.1.12\", or \"auto\""),
        RecordType::Aaaa => {
            ("an AAAA record has an IPv6 address", "such as \"2001:db8::12\"; there is no \"auto\"")
        }
        RecordType::Cname => (
            "a CNAME record has a name",
            "such as \"a.example.internal\", lower-case and without a final dot",
        ),
    };
    let problem = match &value.value {
        Value::Auto if record_type == RecordType::A => return,
        Value::Is(text) if fits_record(record_type, text) => return,
        Value::Auto => format!("{kind}, and \"auto\" tells none"),
        Value::Is(text) => format!("{kind}, and this is {}", quoted(text)),
    };
    let span = value.span.clone().or_else(|| section.span());
    let help = format!("Write `value`, {example}.");
    section.report(Problem::new(span, problem).with_help(help).needs_whole_text());
}

/// An alias has an answer of its own, and only addresses have aliases here.
pub(in crate::config) fn check_alias(
    section: &Section<'_>,
    plain: &[(&str, &Option<Span>)],
    dns_name: &Located<String>,
    record_type: Option<&Located<RecordType>>,
) {
    for (key, span) in plain {
        if let Some(span) = span {
            section.report(
                Problem::new(span.clone(), format!("`{key}` has no use in an alias record"))
                    .related(dns_name.span.clone(), "the alias")
                    .with_help(format!(
                        "Remove `{key}`: an alias answers what it points to, with its time to live."
                    )),
            );
        }
    }
    if let Some(record_type) = record_type.filter(|record_type| record_type.value == RecordType::Cname) {
        section.report(
            Problem::new(record_type.span.clone(), "a CNAME record cannot be an alias to a load balancer")
                .related(dns_name.span.clone(), "the alias")
                .with_help("Write type = \"A\" (or \"AAAA\") for an alias."),
        );
    }
}

/// An alias needs both a name and the zone of that name.
pub(in crate::config) fn half_an_alias(section: &Section<'_>, span: Option<Span>, missing: &str) -> Reported {
    section.report(
        Problem::new(span, format!("an alias needs `{missing}`, too"))
            .with_help(
                "Write both: a load balancer's DNS name and its own hosted zone id (`describe-load-balancers` \
                 shows it as CanonicalHostedZoneId), not that of your zone.",
            )
            .needs_whole_text(),
    )
}

/// A mirror that moves traffic asks the other members whether one of them was promoted later, or says that there is none.
pub(in crate::config) fn check_peers(
    section: &Section<'_>,
    peers: &[Peer],
    no_peers: Option<&Located<()>>,
    targets: &[Target],
) {
    if let (Some(none), false) = (no_peers, peers.is_empty()) {
        section.report(
            Problem::new(
                none.span.clone(),
                "`peers` says that there is none, and there are [[mirror.peer]] tables",
            )
            .with_help("Remove peers = \"none\", or the [[mirror.peer]] tables."),
        );
    }
    let mover = targets.iter().find(|target| target.moves_traffic());
    if let (Some(mover), None, true) = (mover, no_peers, peers.is_empty()) {
        section.report(
            Problem::new(section.span(), format!("{} moves traffic, and no other member is named", mover.table()))
                .with_help(
                    "Write a [[mirror.peer]] table with `address` and `page` for each other member, so that it is asked \
                     before anything is taken from it; or peers = \"none\" in [[mirror]] if there is no other member.",
                )
                .needs_whole_text(),
        );
    }
}

/// Authorities are for https.
pub(in crate::config) fn check_ca_file<T>(
    section: &Section<'_>,
    url: &Located<hyper::Uri>,
    ca_file: Option<&Located<T>>,
) {
    if let Some(ca_file) = ca_file
        && url.value.scheme_str() != Some("https")
    {
        section.report(
            Problem::new(ca_file.span.clone(), "`ca_file` has no use without https")
                .related(url.span.clone(), "this is not https")
                .with_help("Write an https address, or remove `ca_file`."),
        );
    }
}
