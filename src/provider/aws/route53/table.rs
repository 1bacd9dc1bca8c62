//! `[[mirror.route53]]`: its keys, what each sets, and how it is read. The rules that need two values are in [`rules`](super::rules).

use std::fmt;

use super::rules::{check_alias, check_record_value, half_an_alias};
use crate::config::Key;
use crate::config::reading::{
    DNS_NAME, Declared, Located, ObjectClaims, Problem, Reported, Section, Setting, Value as Written,
    auto_or, boolean, choice, dns_name, integer, quoted, text,
};
use crate::config::steering::Value;
use crate::provider::aws::value::label;

/// What the guard record's name adds to a record's.
const GUARD_LABEL: usize = "_mirrorvip.".len();
/// Longest set identifier.
const SET_IDENTIFIER_LENGTH: usize = 128;

const SECTION: &str = "mirror.route53";

const HOSTED_ZONE_ID: Setting<String> = Setting::required(
    SECTION,
    "hosted_zone_id",
    "the hosted zone's id, such as Z0123456789ABCDEFGHIJ",
    hosted_zone_id,
);
const RECORD: Setting<String> =
    Setting::required(SECTION, "record", "the record's name, lower-case, without a final dot", record_name);
const TYPE: Setting<RecordType> =
    Setting::required(SECTION, "type", "the record's type: `A`, `AAAA` or `CNAME`", record_type);
const VALUE: Setting<Value> = Setting::or(
    SECTION,
    "value",
    r#""auto""#,
    "what the record says while this member is primary: an IPv4 address, IPv6 address or name, as its type demands; `auto` (type A) asks the instance metadata service",
    address_or_name,
);
const TTL: Setting<u32> =
    Setting::or(SECTION, "ttl", "5", "for how many seconds resolvers may keep it, 0 to 86400", |value| {
        integer(value, 0..=86_400)
    });
const ALIAS_DNS_NAME: Setting<String> = Setting::off(
    SECTION,
    "alias_dns_name",
    "for an alias record, in place of `value` and `ttl`: the DNS name that it points to",
    host_name,
);
const ALIAS_HOSTED_ZONE_ID: Setting<String> = Setting::off(
    SECTION,
    "alias_hosted_zone_id",
    "for an alias record: the hosted zone of what it points to, such as the load balancer's own",
    hosted_zone_id,
);
const ALIAS_EVALUATE_TARGET_HEALTH: Setting<bool> = Setting::or(
    SECTION,
    "alias_evaluate_target_health",
    "false",
    "for an alias record: whether Route 53 looks at the health of what it points to",
    boolean,
);
const SET_IDENTIFIER: Setting<String> = Setting::off(
    SECTION,
    "set_identifier",
    "tells records of the same name and type apart: 1 to 128 characters",
    set_identifier,
);
const WEIGHT: Setting<u32> =
    Setting::off(SECTION, "weight", "the weight of a record with a `set_identifier`, 0 to 255", |value| {
        integer(value, 0..=255)
    });
const WRITE: Setting<Write> = Setting::or(
    SECTION,
    "write",
    r#""compare-and-swap""#,
    "`compare-and-swap` (a lost race changes nothing) or `upsert` (the last writer wins)",
    write,
);

/// A record in a hosted zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The zone, without `/hostedzone/`.
    pub hosted_zone_id: String,
    /// The name, lower-case, without the final dot.
    pub record: String,
    /// Its type.
    pub record_type: RecordType,
    /// What it says while this member is primary.
    pub value: RecordValue,
    /// Distinguishes records of the same name and type.
    pub set_identifier: Option<String>,
    /// The weight that goes with a set identifier.
    pub weight: Option<u8>,
    /// How it is written.
    pub write: Write,
}

/// Types of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordType {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Another name.
    Cname,
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
        })
    }
}

/// What a record says while this member is primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordValue {
    /// An address or a name, and for how many seconds it may be cached.
    Plain {
        /// The value.
        value: Value,
        /// Time to live, in seconds.
        ttl: u32,
    },
    /// An alias, such as a region's load balancer.
    Alias {
        /// The hosted zone of what it points to.
        hosted_zone_id: String,
        /// The DNS name that it points to.
        dns_name: String,
        /// Whether Route 53 looks at that target's health.
        evaluate_target_health: bool,
    },
}

/// How a record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Write {
    /// DELETE of exactly what was read and CREATE in one batch, with an epoch as fencing token.
    #[default]
    CompareAndSwap,
    /// UPSERT: the last writer wins.
    Upsert,
}

impl Declared for Table {
    const SECTION: &'static str = SECTION;
    const KEYS: &'static [Key] = &[
        HOSTED_ZONE_ID.key,
        RECORD.key,
        TYPE.key,
        VALUE.key,
        TTL.key,
        ALIAS_DNS_NAME.key,
        ALIAS_HOSTED_ZONE_ID.key,
        ALIAS_EVALUATE_TARGET_HEALTH.key,
        SET_IDENTIFIER.key,
        WEIGHT.key,
        WRITE.key,
    ];

    fn read(section: &Section<'_>, claims: &mut ObjectClaims<'_>) -> Result<Self, Reported> {
        let zone = section.read(&HOSTED_ZONE_ID);
        let record = section.read(&RECORD);
        let record_type = section.read(&TYPE);
        let value = record_value(section, record_type.as_ref().ok());
        let set_identifier = section.read_if_written(&SET_IDENTIFIER);
        let weight = section.read_if_written(&WEIGHT);
        let write = section.read(&WRITE);

        if let (Ok(None), Ok(Some(weight))) = (&set_identifier, &weight) {
            section.report(
                Problem::new(weight.span.clone(), "`weight` has no use without `set_identifier`").with_help(
                    "Write the record's `set_identifier`, or remove `weight` for a record that stands alone.",
                ),
            );
        }
        if let (Ok(zone), Ok(record), Ok(record_type), Ok(set_identifier)) =
            (&zone, &record, &record_type, &set_identifier)
        {
            let set_identifier = set_identifier.as_ref().map(|set| set.value.as_str());
            let name = &record.value;
            let set = set_identifier.unwrap_or_default();
            let object = format!("{} {name} {:?} {set}", zone.value, record_type.value);
            let message = format!("the record {name} is steered twice");
            let help = "Leave a record to one table of one mirror.";
            claims.take(object, record.span.clone(), message, help);
        }
        Ok(Self {
            hosted_zone_id: zone?.value,
            record: record?.value,
            record_type: record_type?.value,
            value: value?,
            set_identifier: set_identifier?.map(|set| set.value),
            weight: weight?.map(|weight| u8::try_from(weight.value).expect("the range ends at 255")),
            write: write?.value,
        })
    }
}

/// What the record says: an alias if any of its keys is written, a plain value otherwise.
fn record_value(
    section: &Section<'_>,
    record_type: Option<&Located<RecordType>>,
) -> Result<RecordValue, Reported> {
    let value = section.read(&VALUE);
    let ttl = section.read(&TTL);
    let dns_name = section.read_if_written(&ALIAS_DNS_NAME);
    let zone = section.read_if_written(&ALIAS_HOSTED_ZONE_ID);
    let evaluate = section.read(&ALIAS_EVALUATE_TARGET_HEALTH);

    let (value, ttl, dns_name, zone, evaluate) = (value?, ttl?, dns_name?, zone?, evaluate?);
    match (dns_name, zone) {
        (Some(dns_name), Some(zone)) => {
            check_alias(section, &[("value", &value.span), ("ttl", &ttl.span)], &dns_name, record_type);
            Ok(RecordValue::Alias {
                hosted_zone_id: zone.value,
                dns_name: dns_name.value,
                evaluate_target_health: evaluate.value,
            })
        }
        (None, None) => {
            if evaluate.value {
                section.report(
                    Problem::new(evaluate.span, "`alias_evaluate_target_health` has no use without an alias")
                        .with_help("Write `alias_dns_name` and `alias_hosted_zone_id`, too, or remove it."),
                );
            }
            if let Some(record_type) = record_type {
                check_record_value(section, record_type.value, &value);
            }
            let value = value.value;
            Ok(RecordValue::Plain { value, ttl: ttl.value })
        }
        (Some(half), None) => Err(half_an_alias(section, half.span, "alias_hosted_zone_id")),
        (None, Some(half)) => Err(half_an_alias(section, half.span, "alias_dns_name")),
    }
}

/// What the record says: `"auto"`, or what fits its type.
fn address_or_name(value: &Written<'_>) -> Result<Value, Reported> {
    auto_or(value, |value| text(value, "Write an address or a name.").map(str::to_owned))
}

fn record_type(value: &Written<'_>) -> Result<RecordType, Reported> {
    choice(value, &[("A", RecordType::A), ("AAAA", RecordType::Aaaa), ("CNAME", RecordType::Cname)])
}

fn write(value: &Written<'_>) -> Result<Write, Reported> {
    choice(value, &[("compare-and-swap", Write::CompareAndSwap), ("upsert", Write::Upsert)])
}

/// A hosted zone's id, as the API accepts and prints it: with or without `/hostedzone/` before it. Zones of AWS begin with Z;
/// those of simulators such as moto do not.
fn hosted_zone_id(value: &Written<'_>) -> Result<String, Reported> {
    let help = "Write the id that `aws route53 list-hosted-zones` shows, such as \"Z0123456789ABCDEFGHIJ\".";
    let text = text(value, help)?;
    let id = text.strip_prefix("/hostedzone/").unwrap_or(text);
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    if !(1..=32).contains(&id.len()) || !id.chars().all(fits) {
        return Err(value.refuse(format!("{} is not a hosted zone's id", quoted(text)), help));
    }
    Ok(id.to_owned())
}

/// A record's name. The guard record beside it has a longer one.
fn record_name(value: &Written<'_>) -> Result<String, Reported> {
    dns_name(value, DNS_NAME - GUARD_LABEL)
}

/// A name in DNS, lower-case and without the final dot, as Route 53 gives it back.
fn host_name(value: &Written<'_>) -> Result<String, Reported> {
    dns_name(value, DNS_NAME)
}

fn set_identifier(value: &Written<'_>) -> Result<String, Reported> {
    label(value, SET_IDENTIFIER_LENGTH)
}
