//! Records as Route 53 shows them: which one is meant, whether two say the same, and how to print one. PURE.
//!
//! A record that was read is kept as the SDK's own type, because a DELETE must repeat every field of it.
//! Two spellings of one thing are brought to a normal form before they are compared: Route 53 adds the final
//! dot, writes `*` as `\052`, and keeps the case that somebody typed.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

use aws_sdk_route53::types::{AliasTarget, ResourceRecord, ResourceRecordSet, RrType};

use crate::config::steering::RecordType;
use crate::text::printable;

/// How much of a name or a value is shown, in characters.
const SHOWN: usize = 255;

/// Which record is meant: Route 53 tells records apart by these three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Lower-case, with the final dot.
    pub(super) name: String,
    pub(super) rr_type: RrType,
    pub(super) set_identifier: Option<String>,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Plain { value: String, ttl: u32 },
    Alias { hosted_zone_id: String, dns_name: String, evaluate_target_health: bool },
}

// === impl Key ===

impl Key {
    /// Whether `record` has this name and type, whatever its set identifier.
    pub(super) fn is_namesake_of(&self, record: &ResourceRecordSet) -> bool {
        record.r#type == self.rr_type && canonical(&record.name) == canonical(&self.name)
    }

    /// Whether `record` is the one.
    pub(super) fn is_of(&self, record: &ResourceRecordSet) -> bool {
        self.is_namesake_of(record) && record.set_identifier == self.set_identifier
    }

    /// A record of this key that says nothing yet.
    pub(super) fn blank(&self) -> ResourceRecordSet {
        ResourceRecordSet::builder()
            .name(&self.name)
            .r#type(self.rr_type.clone())
            .set_set_identifier(self.set_identifier.clone())
            .build()
            .expect("name and type are all that a record set needs")
    }
}

// === impl Content ===

impl Content {
    /// Makes `record` say this. Whatever else it carries (weight, health check, region) stays.
    pub(super) fn put_into(&self, record: &mut ResourceRecordSet) {
        match self {
            Self::Plain { value, ttl } => {
                let value = ResourceRecord::builder().value(value).build();
                record.resource_records = Some(vec![value.expect("a value is all that a record needs")]);
                record.ttl = Some(i64::from(*ttl));
                record.alias_target = None;
            }
            Self::Alias { hosted_zone_id, dns_name, evaluate_target_health } => {
                let alias = AliasTarget::builder()
                    .hosted_zone_id(hosted_zone_id)
                    .dns_name(dns_name)
                    .evaluate_target_health(*evaluate_target_health)
                    .build();
                record.alias_target = Some(alias.expect("all that an alias needs was given"));
                record.resource_records = None;
                record.ttl = None;
            }
        }
    }
}

/// The SDK's word for a type of record.
pub(super) fn rr_type(record_type: RecordType) -> RrType {
    match record_type {
        RecordType::A => RrType::A,
        RecordType::Aaaa => RrType::Aaaa,
        RecordType::Cname => RrType::Cname,
    }
}

/// Whether two records say the same, however they are spelt.
pub(super) fn same(one: &ResourceRecordSet, other: &ResourceRecordSet) -> bool {
    normal(one) == normal(other)
}

/// A domain name in its normal form: lower-case, without the final dot, and with escapes (`\ooo`, octal) for
/// what is not printable ASCII, for a dot that separates no labels, and for a backslash, and for nothing else.
///
/// See "DNS domain name format" in the Route 53 Developer Guide.
pub(crate) fn canonical(name: &str) -> String {
    let bytes = name.as_bytes();
    let mut out = String::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'.' {
            out.push('.');
            at += 1;
            continue;
        }
        let (byte, length) = unescape(&bytes[at..]).unwrap_or((byte, 1));
        if byte.is_ascii_graphic() && byte != b'.' && byte != b'\\' {
            out.push(char::from(byte.to_ascii_lowercase()));
        } else {
            write!(out, "\\{byte:03o}").expect("a String takes what is written to it");
        }
        at += length;
    }
    // More than one is no name; but what is in normal form must stay so.
    out.truncate(out.trim_end_matches('.').len());
    out
}

/// The byte that an escape at the beginning of `bytes` stands for, and the escape's length: `\ooo` or `\c`.
pub(super) fn unescape(bytes: &[u8]) -> Option<(u8, usize)> {
    match bytes {
        [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
            Some(((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), 4))
        }
        [b'\\', byte, ..] => Some((*byte, 2)),
        _ => None,
    }
}

/// A record in one line, with all that it carries.
pub(super) fn describe(record: &ResourceRecordSet) -> String {
    let mut words = vec![record.name.clone(), record.r#type.to_string()];
    if let Some(ttl) = record.ttl {
        words.push(ttl.to_string());
    }
    words.extend(record.resource_records().iter().map(|value| value.value.clone()));
    if let Some(alias) = &record.alias_target {
        let health = alias.evaluate_target_health;
        words.push(format!(
            "alias {} zone={} evaluate-target-health={health}",
            alias.dns_name, alias.hosted_zone_id
        ));
    }
    let mut field = |name: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("{name}={value}")));
    };
    field("set-identifier", record.set_identifier.clone());
    field("weight", record.weight.map(|weight| weight.to_string()));
    field("region", record.region.as_ref().map(ToString::to_string));
    field("failover", record.failover.as_ref().map(ToString::to_string));
    field("geolocation", record.geo_location.as_ref().map(|place| format!("{place:?}")));
    field("geoproximity", record.geo_proximity_location.as_ref().map(|place| format!("{place:?}")));
    field("cidr", record.cidr_routing_config.as_ref().map(|cidr| format!("{cidr:?}")));
    field("multivalue", record.multi_value_answer.map(|yes| yes.to_string()));
    field("health-check", record.health_check_id.clone());
    words.iter().map(|word| printable(word, SHOWN)).collect::<Vec<_>>().join(" ")
}

/// The record with every name and value in its normal form.
fn normal(record: &ResourceRecordSet) -> ResourceRecordSet {
    let mut record = record.clone();
    record.name = canonical(&record.name);
    if let Some(alias) = &mut record.alias_target {
        alias.dns_name = canonical(&alias.dns_name);
    }
    let rr_type = record.r#type.clone();
    for value in record.resource_records.iter_mut().flatten() {
        value.value = match &rr_type {
            RrType::Cname => canonical(&value.value),
            RrType::Aaaa => value
                .value
                .parse()
                .map_or_else(|_unreadable| value.value.clone(), |address: Ipv6Addr| address.to_string()),
            _ => value.value.clone(),
        };
    }
    // An absent list and an empty one look the same on the wire.
    record.resource_records = record.resource_records.filter(|values| !values.is_empty());
    record
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_compared_in_their_normal_form() {
        assert_eq!(canonical("DB.Example.Internal."), "db.example.internal");
        assert_eq!(canonical("\\052.example.internal."), "*.example.internal");
        assert_eq!(canonical("*.example.internal"), "*.example.internal");
        assert_eq!(
            canonical("a\\056b.example."),
            "a\\056b.example",
            "a dot within a label separates nothing"
        );
        assert_eq!(canonical("a\\.b.example\\."), "a\\056b.example\\056");
        assert_eq!(canonical("a b\\040c"), "a\\040b\\040c");
        assert_eq!(canonical("é"), "\\303\\251");
        assert_eq!(canonical("\\"), "\\134", "an escape that is cut off is a backslash");
        assert_eq!(canonical("."), "");
        assert_eq!(canonical(".."), "");
    }

    proptest! {
        #[test]
        fn the_normal_form_is_its_own(name in "(\\\\[0-7]{3}|[ -~é]){0,20}") {
            let once = canonical(&name);
            prop_assert_eq!(canonical(&once), once);
        }

        #[test]
        fn any_text_has_a_normal_form(name in ".{0,40}") {
            prop_assert!(canonical(&name).is_ascii());
        }
    }

    fn record(rr_type: &RrType, value: &str) -> ResourceRecordSet {
        let key = Key { name: "db.example.".to_owned(), rr_type: rr_type.clone(), set_identifier: None };
        let mut record = key.blank();
        Content::Plain { value: value.to_owned(), ttl: 5 }.put_into(&mut record);
        record
    }

    #[test]
    fn values_are_compared_as_their_type_means_them() {
        let check = |rr_type: RrType, one, other, expected| {
            assert_eq!(same(&record(&rr_type, one), &record(&rr_type, other)), expected, "{one}, {other}");
        };
        check(RrType::A, "10.0.0.1", "10.0.0.1", true);
        check(RrType::A, "10.0.0.1", "10.0.0.2", false);
        check(RrType::Aaaa, "2001:DB8::0:1", "2001:db8::1", true);
        check(RrType::Cname, "LB.example.com.", "lb.example.com", true);
        let mut slow = record(&RrType::A, "10.0.0.1");
        slow.ttl = Some(300);
        assert!(!same(&slow, &record(&RrType::A, "10.0.0.1")), "the time to live belongs to it");
    }

    #[test]
    fn a_description_carries_every_field() {
        let mut weighted = record(&RrType::A, "10.0.0.1");
        weighted.set_identifier = Some("eu".to_owned());
        weighted.weight = Some(10);
        weighted.health_check_id = Some("h-1".to_owned());
        assert_eq!(
            describe(&weighted),
            "db.example. A 5 10.0.0.1 set-identifier=eu weight=10 health-check=h-1"
        );
        let alias = Content::Alias {
            hosted_zone_id: "Z1".to_owned(),
            dns_name: "lb.example.".to_owned(),
            evaluate_target_health: true,
        };
        alias.put_into(&mut weighted);
        assert_eq!(
            describe(&weighted),
            "db.example. A alias lb.example. zone=Z1 evaluate-target-health=true set-identifier=eu weight=10 \
             health-check=h-1"
        );
    }
}
