//! Rules of a record's table that need two values. PURE.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr as _;

use super::table::RecordType;
use crate::config::reading::{Located, Problem, Reported, Section, Span, is_dns_name, quoted};
use crate::config::steering::Value;

/// The value that a record of this type can have.
pub(super) fn check_record_value(section: &Section<'_>, record_type: RecordType, value: &Located<Value>) {
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
        Value::Auto => format!("{kind}, and \"auto\" has none"),
        Value::Is(text) => format!("{kind}, and this is {}", quoted(text)),
    };
    let span = value.span.clone().or_else(|| section.span());
    let help = format!("Write `value`, {example}.");
    section.report(Problem::new(span, problem).with_help(help).needs_whole_text());
}

/// An alias has an answer of its own, and only addresses have aliases here.
pub(super) fn check_alias(
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
pub(super) fn half_an_alias(section: &Section<'_>, span: Option<Span>, missing: &str) -> Reported {
    section.report(
        Problem::new(span, format!("an alias needs `{missing}`, too"))
            .with_help(
                "Write both: a load balancer's DNS name and its own hosted zone id (`describe-load-balancers` \
                 shows it as CanonicalHostedZoneId), not that of your zone.",
            )
            .needs_whole_text(),
    )
}

/// Whether the text fits a record of this type.
fn fits_record(record_type: RecordType, text: &str) -> bool {
    match record_type {
        RecordType::A => Ipv4Addr::from_str(text).is_ok(),
        RecordType::Aaaa => Ipv6Addr::from_str(text).is_ok(),
        RecordType::Cname => is_dns_name(text) && IpAddr::from_str(text).is_err(),
    }
}
