//! Whether a promotion of this member would take traffic now: the shipped arbiter rules on it, with the present answers
//! of the peers and the ownership records.

use std::sync::Arc;

use crate::clock::Clock;
use crate::finding::{Finding, Kind};
use crate::provider::{Config, Mirror};
use crate::state::Store;
use crate::steer::Authority;
use crate::steer::foresight::Foresight;
use crate::term::Claim;

/// What the ownership record of an object says.
#[derive(Clone, Debug)]
pub(crate) struct Ownership {
    /// The object's name in findings.
    pub(crate) object: String,
    /// The record, if it exists and can be read.
    pub(crate) mark: Option<Claim>,
    /// What to remove if the record is wrong.
    pub(crate) written_in: String,
}

/// Findings about a promotion of `mirror` now; `records` are `None` when some object cannot be read.
pub(super) async fn ask(
    config: &Config,
    mirror: &Mirror,
    records: Option<&[Ownership]>,
    clock: &Clock,
) -> Vec<Finding> {
    let store = Store::new(config.state_directory.clone());
    let state = store.load(&mirror.name).ok().flatten();
    let foresight = Foresight::new(mirror, state.as_ref(), store.known_daemon_id().as_deref(), clock).await;
    let known = records.unwrap_or_default();
    let marks: Vec<_> =
        known.iter().map(|known| (Arc::from(known.object.as_str()), known.mark.clone())).collect();
    let authority = foresight.promotion(&marks, clock.now());
    judge(mirror, &authority, records)
}

fn judge(mirror: &Mirror, authority: &Authority, records: Option<&[Ownership]>) -> Vec<Finding> {
    let subject = format!("mirror {}, promotion", mirror.name);
    let (term, certain) = match authority {
        Authority::Clear { term, certain } => (*term, *certain),
        Authority::Unsure { why, .. } | Authority::Superseded { by: why } => {
            return vec![
                Finding::error(
                    Kind::Configuration,
                    subject,
                    format!("a promotion now would move no traffic, because {why}"),
                )
                .help("Correct that before the next failover. `mirrorvip plan` shows the withheld calls."),
            ];
        }
    };
    let own = mirror.member_name();
    let mut findings = Vec::new();
    for Ownership { object, mark, written_in } in records.unwrap_or_default() {
        let Some(mark) = mark else { continue };
        if mark.term > term && !certain {
            findings.push(
                Finding::error(
                    Kind::Configuration,
                    format!("mirror {}, {object}", mirror.name),
                    format!(
                        "a promotion now would not move this record, because its ownership record names {mark}, far above \
                         every term known here, and is not believed"
                    ),
                )
                .help(format!(
                    "Find out what wrote it. If it is a mistake, remove {written_in}: the next promotion writes it again."
                )),
            );
        }
        if mirror.peers.is_empty() && mark.member != own {
            findings.push(
                Finding::warning(
                    format!("mirror {}, {object}", mirror.name),
                    format!(
                        "belongs to {mark}, and the configuration says peers = \"none\": the daemon takes the record without \
                         asking that member"
                    ),
                )
                .help("If that member still exists, write a [[mirror.peer]] for it."),
            );
        }
    }
    if findings.is_empty() && records.is_some() {
        findings
            .push(Finding::good(subject, format!("a promotion now would take traffic, with term {term}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Severity;
    use crate::provider::check::testing::config;

    fn mirror(peers: &str) -> Mirror {
        config("", &format!("member = 'a'\n{peers}\n")).mirrors.remove(0)
    }

    #[track_caller]
    fn one(found: &[Finding], severity: Severity, words: &str) {
        let [finding] = found else { panic!("{found:?}") };
        assert!(finding.severity == severity && finding.message.contains(words), "{finding:?}");
    }

    #[test]
    fn a_promotion_of_today_is_judged_with_its_records() {
        let with_peer = mirror("[[mirror.peer]]\naddress = '10.0.2.12'\npage = 'http://10.0.2.12/'");
        let clear = |certain| Authority::Clear { term: 8, certain };
        let of = |member: &str, term| {
            let mark = Claim { term, member: member.to_owned() };
            vec![Ownership { object: "record db".to_owned(), mark: Some(mark), written_in: "it".to_owned() }]
        };
        let judged = |authority, records: &[Ownership]| judge(&with_peer, &authority, Some(records));
        one(&judged(clear(false), &of("b", 7)), Severity::Good, "would take traffic, with term 8");
        one(&judged(clear(false), &of("b", 9_000_000)), Severity::Error, "would not move this record");
        one(&judged(clear(true), &of("b", 9_000_000)), Severity::Good, "with term 8");
        assert_eq!(judge(&with_peer, &clear(true), None), [], "what cannot be read is a finding already");
        let unsure = Authority::Unsure { why: "b is two".to_owned(), term: 3 };
        one(&judged(unsure, &[]), Severity::Error, "a promotion now would move no traffic, because b is two");
        let alone = mirror("");
        one(&judge(&alone, &clear(false), Some(&of("a", 7))), Severity::Good, "with term 8");
        one(
            &judge(&alone, &clear(false), Some(&of("b", 7))),
            Severity::Warning,
            "without asking that member",
        );
    }
}
