//! The rights that it takes to look after a record. PURE.

use std::fmt::Write as _;

use super::{Table, Write};
use crate::provider::aws::rights::Grant;

/// Label of the record beside each record, which carries owner and epoch.
const GUARD_LABEL: &str = "_mirrorvip.";

pub(super) fn grants(table: &Table, partition: &str) -> Vec<Grant> {
    let zone = format!("arn:{partition}:route53:::hostedzone/{}", table.hosted_zone_id);
    let name = normalized(&table.record);
    let record_type = table.record_type.to_string();
    let (names, types, actions) = match table.write {
        Write::CompareAndSwap => (
            vec![name.clone(), format!("{GUARD_LABEL}{name}")],
            vec![record_type, "TXT".to_owned()],
            vec!["CREATE".to_owned(), "DELETE".to_owned()],
        ),
        Write::Upsert => (vec![name], vec![record_type], vec!["UPSERT".to_owned()]),
    };
    let changes = [
        ("route53:ChangeResourceRecordSetsNormalizedRecordNames", names),
        ("route53:ChangeResourceRecordSetsRecordTypes", types),
        ("route53:ChangeResourceRecordSetsActions", actions),
    ];
    vec![
        Grant::new("ReadRecords", &["route53:ListResourceRecordSets"], vec![zone.clone()]),
        Grant::new(
            "FollowChanges",
            &["route53:GetChange"],
            vec![format!("arn:{partition}:route53:::change/*")],
        ),
        // One statement a record: merged, they would allow every type for every name.
        Grant::new("ChangeRecord", &["route53:ChangeResourceRecordSets"], vec![zone])
            .on_condition("ForAllValues:StringEquals", changes)
            .alone(),
    ]
}

/// A record's name as the condition key compares it: lower-case, without the final dot, and whatever is not
/// a letter, digit, hyphen, underscore or dot as an octal escape (Route 53 Developer Guide, "Using IAM policy
/// conditions for fine-grained access control").
fn normalized(record: &str) -> String {
    let mut name = String::with_capacity(record.len());
    for byte in record.trim_end_matches('.').bytes() {
        match byte.to_ascii_lowercase() {
            plain @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.') => name.push(char::from(plain)),
            other => {
                let _ = write!(name, "\\{other:03o}");
            }
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_route_53_normalizes_them() {
        assert_eq!(normalized("_db-1.Example.internal."), "_db-1.example.internal");
        assert_eq!(normalized("*.a b"), "\\052.a\\040b");
    }
}
