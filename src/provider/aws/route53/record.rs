//! Records as Route 53 shows them: which one is meant, whether two say the same, and how to print one. PURE.
//!
//! A record that was read is kept with every element that it has, because a DELETE must repeat it exactly, also an element
//! that this program does not know. Two spellings of one thing are brought to a normal form before they are compared:
//! Route 53 adds the final dot, writes `*` as `\052`, and keeps upper case.
//!
//! Wire format: `ResourceRecordSet` in the *Route 53 API Reference, version 2013-04-01*.

use std::fmt::{Display, Write as _};
use std::net::Ipv6Addr;

use crate::provider::aws::query::Xml;
use crate::text::printable;

/// How much of a name or a value is shown, in characters.
const SHOWN: usize = 255;

/// The type of the record that holds an [ownership record](mod@super::ownership).
pub(super) const TXT: &str = "TXT";

/// The elements of a record set in the order of the API's schema.
const ORDER: [&str; 15] = [
    "Name",
    "Type",
    "SetIdentifier",
    "Weight",
    "Region",
    "GeoLocation",
    "Failover",
    "MultiValueAnswer",
    "TTL",
    "ResourceRecords",
    "AliasTarget",
    "HealthCheckId",
    "TrafficPolicyInstanceId",
    "CidrRoutingConfig",
    "GeoProximityLocation",
];

/// Elements with a label in descriptions, in the order of those. Name, type, time to live and values have none.
const LABELS: [(&str, &str); 9] = [
    ("SetIdentifier", "set-identifier"),
    ("Weight", "weight"),
    ("Region", "region"),
    ("Failover", "failover"),
    ("GeoLocation", "geolocation"),
    ("GeoProximityLocation", "geoproximity"),
    ("CidrRoutingConfig", "cidr"),
    ("MultiValueAnswer", "multivalue"),
    ("HealthCheckId", "health-check"),
];

/// A record set with all its elements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RecordSet(Xml);

/// Which record is meant: these three identify a record in Route 53.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Lower-case, with the final dot.
    pub(super) name: String,
    /// In capitals.
    pub(super) rr_type: String,
    pub(super) set_identifier: Option<String>,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Plain { value: String, ttl: u32 },
    Alias { hosted_zone_id: String, dns_name: String, evaluate_target_health: bool },
}

// === impl RecordSet ===

impl RecordSet {
    /// A record set as it stands in an answer.
    pub(super) const fn new(element: Xml) -> Self {
        Self(element)
    }

    /// As it stands in a change.
    pub(super) fn element(&self) -> &Xml {
        &self.0
    }

    /// As the zone spells it.
    pub(super) fn name(&self) -> &str {
        self.get("Name").unwrap_or_default()
    }

    /// Its type, in capitals.
    pub(super) fn rr_type(&self) -> &str {
        self.get("Type").unwrap_or_default()
    }

    pub(super) fn set_identifier(&self) -> Option<&str> {
        self.0.child("SetIdentifier").map(Xml::exact_text)
    }

    /// Time to live in seconds. An alias has none.
    pub(super) fn ttl(&self) -> Option<u64> {
        self.get("TTL")?.parse().ok()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        self.0.list("ResourceRecords").filter_map(|record| record.text_of("Value"))
    }

    pub(super) fn alias(&self) -> Option<&Xml> {
        self.0.child("AliasTarget")
    }

    /// Whether it has an element called `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.child(name).is_some()
    }

    /// The text of the element called `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.text_of(name)
    }

    /// Sets the text of the element called `name`.
    pub(super) fn set(&mut self, name: &str, text: impl Display) {
        self.put(Xml::leaf(name, text.to_string()));
    }

    /// Replaces the element of the same name, or adds it where the API's schema has it.
    fn put(&mut self, element: Xml) {
        if let Some(there) = self.0.child_mut(element.name()) {
            *there = element;
            return;
        }
        let place = |name: &str| ORDER.iter().position(|known| *known == name);
        let own = place(element.name());
        let children = self.0.children_mut();
        let follows =
            |child: &Xml| place(child.name()).is_some_and(|other| own.is_some_and(|own| other > own));
        let at = children.iter().position(follows).unwrap_or(children.len());
        children.insert(at, element);
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.children_mut().retain(|child| child.name() != name);
    }

    /// Makes `value` the only one. What else the one value had stays.
    pub(super) fn set_value(&mut self, value: &str) {
        let value = Xml::leaf("Value", value);
        if let Some([record]) =
            self.0.child_mut("ResourceRecords").map(|list| list.children_mut().as_mut_slice())
            && let Some(there) = record.child_mut("Value")
        {
            *there = value;
            return;
        }
        self.put(Xml::tree("ResourceRecords", [Xml::tree("ResourceRecord", [value])]));
    }

    #[cfg(test)]
    pub(super) fn set_values(&mut self, values: &[&str]) {
        let records = values.iter().map(|value| Xml::tree("ResourceRecord", [Xml::leaf("Value", *value)]));
        self.put(Xml::tree("ResourceRecords", records));
    }
}

// === impl Key ===

impl Key {
    /// Whether `record` has this name and type, whatever its set identifier.
    pub(super) fn is_namesake_of(&self, record: &RecordSet) -> bool {
        record.rr_type() == self.rr_type && canonical(record.name()) == canonical(&self.name)
    }

    /// Whether `record` is the one.
    pub(super) fn is_of(&self, record: &RecordSet) -> bool {
        self.is_namesake_of(record) && record.set_identifier() == self.set_identifier.as_deref()
    }

    /// A record of this key without content.
    pub(super) fn blank(&self) -> RecordSet {
        let mut record = RecordSet(Xml::tree("ResourceRecordSet", []));
        record.set("Name", &self.name);
        record.set("Type", &self.rr_type);
        if let Some(set_identifier) = &self.set_identifier {
            record.set("SetIdentifier", set_identifier);
        }
        record
    }
}

// === impl Content ===

impl Content {
    /// Makes `record` say this. Whatever else it carries (weight, health check, region) stays.
    pub(super) fn put_into(&self, record: &mut RecordSet) {
        match self {
            Self::Plain { value, ttl } => {
                record.set_value(value);
                record.set("TTL", ttl);
                record.remove("AliasTarget");
            }
            Self::Alias { hosted_zone_id, dns_name, evaluate_target_health } => {
                let mut alias = record.alias().cloned().unwrap_or_else(|| Xml::tree("AliasTarget", []));
                for (name, text) in [
                    ("HostedZoneId", hosted_zone_id),
                    ("DNSName", dns_name),
                    ("EvaluateTargetHealth", &evaluate_target_health.to_string()),
                ] {
                    let field = Xml::leaf(name, text);
                    match alias.child_mut(name) {
                        Some(there) => *there = field,
                        None => alias.children_mut().push(field),
                    }
                }
                record.put(alias);
                record.remove("ResourceRecords");
                record.remove("TTL");
            }
        }
    }
}

/// Whether two records say the same, however they are spelt.
pub(super) fn same(one: &RecordSet, other: &RecordSet) -> bool {
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
pub(super) fn describe(record: &RecordSet) -> String {
    let mut words = vec![record.name().to_owned(), record.rr_type().to_owned()];
    words.extend(record.get("TTL").map(str::to_owned));
    words.extend(record.values().map(str::to_owned));
    if let Some(alias) = record.alias() {
        let field = |name| alias.text_of(name).unwrap_or_default();
        words.push(format!(
            "alias {} zone={} evaluate-target-health={}",
            field("DNSName"),
            field("HostedZoneId"),
            field("EvaluateTargetHealth")
        ));
    }
    let labelled = LABELS.iter().filter_map(|(name, label)| Some((*label, record.0.child(name)?)));
    let unknown = record.0.children().iter().filter(|child| !ORDER.contains(&child.name()));
    let unknown = unknown.map(|child| (child.name(), child));
    words.extend(labelled.chain(unknown).map(|(label, element)| format!("{label}={}", leaves(element))));
    words.iter().map(|word| printable(word, SHOWN)).collect::<Vec<_>>().join(" ")
}

/// The text of an element, or those of its children with their names.
fn leaves(element: &Xml) -> String {
    if element.children().is_empty() {
        return element.text().to_owned();
    }
    let fields = element.children().iter().map(|child| format!("{}:{}", child.name(), leaves(child)));
    fields.collect::<Vec<_>>().join(",")
}

/// The record with every name and value in its normal form, and its elements in the order of their names.
fn normal(record: &RecordSet) -> RecordSet {
    let mut record = record.clone();
    record.set("Name", canonical(record.name()));
    let rr_type = record.rr_type().to_owned();
    if let Some(alias) = record.0.child_mut("AliasTarget") {
        if let Some(name) = alias.child_mut("DNSName") {
            *name = Xml::leaf("DNSName", canonical(name.text()));
        }
        alias.children_mut().sort_by(|a, b| a.name().cmp(b.name()));
    }
    let values = record.0.child_mut("ResourceRecords").into_iter().flat_map(Xml::children_mut);
    for value in values.filter_map(|value| value.child_mut("Value")) {
        let text = match rr_type.as_str() {
            "CNAME" => canonical(value.text()),
            "AAAA" => value
                .text()
                .parse()
                .map_or_else(|_unreadable| value.text().to_owned(), |address: Ipv6Addr| address.to_string()),
            _ => value.text().to_owned(),
        };
        *value = Xml::leaf("Value", text);
    }
    // An absent list and an empty one mean the same.
    if record.0.list("ResourceRecords").len() == 0 {
        record.remove("ResourceRecords");
    }
    record.0.children_mut().sort_by(|a, b| a.name().cmp(b.name()));
    record
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(xml: &str) -> RecordSet {
        RecordSet::new(Xml::parse(xml.as_bytes()).expect("well-formed"))
    }

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
        fn the_normal_form_is_stable(name in "(\\\\[0-7]{3}|[ -~é]){0,20}") {
            let once = canonical(&name);
            prop_assert_eq!(canonical(&once), once);
        }

        #[test]
        fn any_text_has_a_normal_form(name in ".{0,40}") {
            prop_assert!(canonical(&name).is_ascii());
        }
    }

    fn record(rr_type: &str, value: &str) -> RecordSet {
        let key = Key { name: "db.example.".to_owned(), rr_type: rr_type.to_owned(), set_identifier: None };
        let mut record = key.blank();
        Content::Plain { value: value.to_owned(), ttl: 5 }.put_into(&mut record);
        record
    }

    #[test]
    fn values_are_compared_as_their_type_means_them() {
        let check = |rr_type, one, other, expected| {
            assert_eq!(same(&record(rr_type, one), &record(rr_type, other)), expected, "{one}, {other}");
        };
        check("A", "10.0.0.1", "10.0.0.1", true);
        check("A", "10.0.0.1", "10.0.0.2", false);
        check("AAAA", "2001:DB8::0:1", "2001:db8::1", true);
        check("CNAME", "LB.example.com.", "lb.example.com", true);
        let mut slow = record("A", "10.0.0.1");
        slow.set("TTL", 300);
        assert!(!same(&slow, &record("A", "10.0.0.1")), "the time to live belongs to it");
    }

    #[test]
    fn a_description_has_every_element() {
        let mut weighted = record("A", "10.0.0.1");
        weighted.set("SetIdentifier", "eu");
        weighted.set("Weight", 10);
        weighted.set("HealthCheckId", "h-1");
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
        let described = "db.example. A alias lb.example. zone=Z1 evaluate-target-health=true set-identifier=eu \
                         weight=10 health-check=h-1";
        assert_eq!(describe(&weighted), described);
        let place =
            Xml::tree("GeoLocation", [Xml::leaf("CountryCode", "DE"), Xml::leaf("SubdivisionCode", "1")]);
        let mut elsewhere = record("A", "10.0.0.1");
        elsewhere.put(place);
        elsewhere.put(Xml::leaf("Novelty", "on"));
        assert_eq!(
            describe(&elsewhere),
            "db.example. A 5 10.0.0.1 geolocation=CountryCode:DE,SubdivisionCode:1 Novelty=on"
        );
    }

    #[test]
    fn elements_are_written_in_the_order_of_the_schema() {
        let mut alias = record("A", "10.0.0.1");
        alias.set("HealthCheckId", "h-1");
        alias.set("SetIdentifier", "eu");
        alias.set("Weight", 10);
        let names: Vec<_> = alias.element().children().iter().map(Xml::name).collect();
        assert_eq!(
            names,
            ["Name", "Type", "SetIdentifier", "Weight", "TTL", "ResourceRecords", "HealthCheckId"]
        );
    }

    #[test]
    fn unknown_elements_stay_with_new_content() {
        let alias = "<ResourceRecordSet><Name>db.example.</Name><Type>A</Type><Novelty><On>1</On></Novelty><AliasTarget>\
             <HostedZoneId>Z1</HostedZoneId><DNSName>lb.example.</DNSName><EvaluateTargetHealth>false</EvaluateTargetHealth>\
             <Detail>x</Detail></AliasTarget></ResourceRecordSet>";
        let wanted = Content::Alias {
            hosted_zone_id: "Z1".to_owned(),
            dns_name: "LB.example".to_owned(),
            evaluate_target_health: false,
        };
        let mut record = read(alias);
        wanted.put_into(&mut record);
        assert!(same(&record, &read(alias)), "nothing is left to do: {}", describe(&record));
        Content::Plain { value: "10.0.0.1".to_owned(), ttl: 5 }.put_into(&mut record);
        assert_eq!(describe(&record), "db.example. A 5 10.0.0.1 Novelty=On:1");

        let plain = "<ResourceRecordSet><Name>db.example.</Name><Type>A</Type><TTL>5</TTL><ResourceRecords><ResourceRecord>\
             <Detail>x</Detail><Value>10.0.0.1</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>";
        let mut record = read(plain);
        Content::Plain { value: "10.0.0.1".to_owned(), ttl: 5 }.put_into(&mut record);
        assert_eq!(record, read(plain));
    }
}
