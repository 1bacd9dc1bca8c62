//! The metrics about the mirror's other members. PURE.

use std::borrow::Cow;
use std::fmt;

use super::truth;
use crate::clock::Timestamp;
use crate::observation::Role;
use crate::peer::document::Document;
use crate::steer::arbiter::MemberView;

/// How a value is read.
pub(super) type Read = fn(&MemberView, Timestamp) -> f64;

pub(super) fn serving(member: &MemberView, _: Timestamp) -> f64 {
    let known = member.page.is_some() || member.document.is_some();
    if member.reachable && known { truth(member.serves()) } else { f64::NAN }
}

pub(super) fn answer_age(member: &MemberView, now: Timestamp) -> f64 {
    member.asked_at.map_or(f64::NAN, |at| at.age_at(now).as_secs_f64())
}

pub(super) fn agrees(member: &MemberView, _: Timestamp) -> f64 {
    member.agrees.map_or(f64::NAN, truth)
}

/// Every peer with the value of its label: its address. Peers with the same address are numbered, as no sample may occur twice.
pub(super) fn labelled(members: &[MemberView]) -> impl Iterator<Item = (Cow<'_, str>, &MemberView)> {
    members.iter().enumerate().map(|(index, member)| {
        let before = members[..index].iter().filter(|other| other.address == member.address).count();
        let label = match before {
            0 => Cow::Borrowed(&*member.address),
            _ => Cow::Owned(format!("{} ({})", member.address, before + 1)),
        };
        (label, member)
    })
}

/// One sample with a member's last report, if there is one.
pub(super) fn info(
    sample: &mut impl FnMut(&[(&str, &str)], f64) -> fmt::Result,
    mirror: (&str, &str),
    peer: &str,
    member: &MemberView,
) -> fmt::Result {
    let Some((_, document)) = &member.document else { return Ok(()) };
    let labels = [
        mirror,
        ("peer", peer),
        ("member", &document.member),
        ("version", &document.version),
        ("role", role(document)),
        ("authority", authority(document)),
    ];
    sample(&labels, 1.0)
}

/// The role, as one of the known words: a peer must not invent values of labels.
fn role(document: &Document) -> &'static str {
    match document.role.as_deref() {
        None => "none",
        Some(word) => Role::from_word(word).map_or("unknown", |role| role.word()),
    }
}

/// The authority, as one of the known words.
fn authority(document: &Document) -> &'static str {
    ["clear", "unsure", "superseded"]
        .into_iter()
        .find(|word| *word == document.authority)
        .unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::peer::document::tests::backup;

    const AT: Timestamp = Timestamp::new(Duration::from_secs(10), Duration::from_secs(1_795_228_810));

    fn member(address: &str) -> MemberView {
        MemberView {
            address: address.into(),
            document: Some((AT, backup("db2"))),
            page: None,
            asked_at: Some(AT),
            reachable: true,
            since: Some(AT),
            problem: None,
            kind: None,
            agrees: None,
        }
    }

    #[test]
    fn silent_peer_has_no_serving_value_but_an_age() {
        let silent = MemberView { reachable: false, ..member("10.0.2.12") };
        let later = AT.later_by(Duration::from_secs(5));
        assert!(serving(&silent, later).is_nan() && agrees(&silent, later).is_nan());
        assert!((answer_age(&silent, later) - 5.0).abs() < 1e-9);
        assert!(serving(&member("10.0.2.12"), later).abs() < 1e-9);
    }

    #[test]
    fn labels_are_distinct_and_their_values_known_words() {
        let members = ["10.0.2.12", "10.0.3.13", "10.0.2.12"].map(member);
        let labels: Vec<_> = labelled(&members).map(|(label, _)| label).collect();
        assert_eq!(labels, ["10.0.2.12", "10.0.3.13", "10.0.2.12 (2)"]);

        let mut strange = backup("db2");
        (strange.role, strange.authority) = (Some("emperor".to_owned()), "absolute".to_owned());
        assert_eq!((role(&strange), authority(&strange)), ("unknown", "unknown"));
        assert_eq!((role(&backup("db2")), authority(&backup("db2"))), ("backup", "unsure"));
    }
}
