//! Checks the report of one member: signature, identity, term, configuration, version. PURE.

use super::super::{Finding, Kind};
use super::{Own, Secret};
use crate::config::steering::Peer;
use crate::http::Answer;
use crate::peer::document::Document;
use crate::peer::identity::{Judgement, judge};
use crate::peer::key::SIGNATURE;

/// The finding about the signature of a document, if it is not as it must be.
pub(super) fn signature(
    own: &Own<'_>,
    subject: &str,
    answer: Option<&Answer>,
    unsigned: Option<&str>,
) -> Option<Finding> {
    let is_signed = answer.is_some_and(|answer| answer.header(SIGNATURE).is_some());
    let (text, help) = match (&own.secret, unsigned) {
        (Secret::Loaded(_), None) | (Secret::Broken, _) => return None,
        (Secret::None, _) if !is_signed => return None,
        (Secret::None, _) => (
            "signs its answers, and this member has no peer_key_file: that member counts this one as silent",
            "Write peer_key_file in [[mirror]] here, with a copy of that member's file; or remove it there.",
        ),
        (Secret::Loaded(_), Some(_)) if is_signed => (
            "signs its answer with another secret than this member's: each counts the other as silent",
            "Copy the file of peer_key_file from one member to all others, and reload.",
        ),
        (Secret::Loaded(_), Some(_)) => (
            "does not sign its answer, and this member has a peer_key_file: it counts as silent",
            "Write peer_key_file in [[mirror]] there, with a copy of this member's file.",
        ),
    };
    Some(Finding::error(Kind::Configuration, subject, text).help(help))
}

/// The findings about the report of a member.
pub(super) fn member(own: &Own<'_>, peer: &Peer, subject: &str, document: &Document) -> Vec<Finding> {
    let mirror = &own.mirror.name;
    let error = |text: String, help: String| {
        vec![
            Finding::error(Kind::Configuration, subject, format!("{}; {text}", reports(document))).help(help),
        ]
    };
    if document.daemon == own.identity.daemon {
        return error(
            "it has the identifier of this member's daemon: either it is this member itself, or its state directory is \
             a copy of this one's"
                .to_owned(),
            "If the address is this member's own, remove that [[mirror.peer]]. If it is another machine, stop mirrorvip there, \
             remove the file daemon-id from its state_directory, and start it again."
                .to_owned(),
        );
    }
    if let Judgement::Conflict(why) = judge(&own.identity, &peer.address, peer.member.as_deref(), document) {
        let help = if document.member == own.identity.member {
            "If that address is this member's own, remove that [[mirror.peer]]. Until then, this member takes no traffic."
        } else {
            "Until this is corrected, this member takes no traffic. Then run `mirrorvip check` again."
        };
        return error(why, help.to_owned());
    }
    let mut findings = Vec::new();
    if let Some(term) =
        [document.term, document.seen.term].into_iter().find(|term| !own.memory.believes(*term))
    {
        findings.extend(error(
            format!(
                "term {term} is not plausible, because the highest one known here is {}: its answers count as silence",
                own.memory.term.max(own.memory.seen.term)
            ),
            format!(
                "If the state of this member is old and that term is right, stop mirrorvip here, remove {mirror}.json from its \
                 state_directory and start it again; otherwise do so on {}.",
                document.member
            ),
        ));
    }
    if document.digest != own.identity.digest {
        findings.extend(error(
            "its configuration differs where all members must agree".to_owned(),
            "Make these equal on every member: the mirror's name and qos_timeout; of each steering table the object and how it is \
             written (target_group_arn, pool and port; load_balancer and pool; hosted_zone_id, record, type, set_identifier and \
             write; route_tables and destination)."
                .to_owned(),
        ));
    }
    let version = env!("CARGO_PKG_VERSION");
    if document.version != version {
        findings.push(
            Finding::warning(
                subject,
                format!(
                    "{}; it runs mirrorvip {}, and this member {version}",
                    reports(document),
                    document.version
                ),
            )
            .help("Install the same version on every member, the primary last."),
        );
    }
    findings
}

/// Member, role and term.
pub(super) fn reports(document: &Document) -> String {
    let role = document.role.as_deref().unwrap_or("no role yet");
    let sure = if document.definite { "" } else { " (not confirmed now)" };
    format!("member {} reports {role}{sure}, term {}", document.member, document.term)
}
