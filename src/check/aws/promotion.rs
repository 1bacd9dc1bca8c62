//! Whether a promotion of this member would take traffic today: the shipped arbiter rules on it, with what the peers
//! answer and what ownership records say now.

use std::sync::Arc;

use super::super::{Finding, Kind};
use crate::clock::Clock;
use crate::config::{Config, Mirror};
use crate::state::Store;
use crate::steer::Authority;
use crate::steer::foresight::Foresight;
use crate::term::Claim;

/// A record, and what its ownership record says.
#[derive(Clone, Debug)]
pub(super) struct Ownership {
    pub(super) record: String,
    pub(super) mark: Option<Claim>,
}

/// Findings about a promotion of `mirror` today; `records` are `None` when some object cannot be read.
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
        known.iter().map(|known| (Arc::from(known.record.as_str()), known.mark.clone())).collect();
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
                    format!("today a promotion here would move nothing, because {why}"),
                )
                .help("Correct that before the next failover. `mirrorvip plan` shows the calls that it withholds."),
            ];
        }
    };
    let own = mirror.member_name();
    let mut findings = Vec::new();
    for Ownership { record, mark } in records.unwrap_or_default() {
        let Some(mark) = mark else { continue };
        if mark.term > term && !certain {
            findings.push(
                Finding::error(
                    Kind::Configuration,
                    format!("mirror {}, route53 {record}", mirror.name),
                    format!(
                        "today a promotion here would not move this record, because its ownership record names {mark}, far above \
                         every term known here, and is not believed"
                    ),
                )
                .help(format!(
                    "Find out what wrote it. If it is a mistake, remove the TXT record _mirrorvip.{record}: the next promotion \
                     writes it again."
                )),
            );
        }
        if mirror.peers.is_empty() && mark.member != own {
            findings.push(
                Finding::warning(
                    format!("mirror {}, route53 {record}", mirror.name),
                    format!(
                        "belongs to {mark}, and the configuration says peers = \"none\": that member is not asked before the record \
                         is taken"
                    ),
                )
                .help("If that member still exists, write a [[mirror.peer]] for it."),
            );
        }
    }
    if findings.is_empty() && records.is_some() {
        findings.push(Finding::good(
            subject,
            format!("a promotion here today would take traffic, with term {term}"),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::super::Severity;
    use super::*;

    fn mirror(peers: &str) -> Mirror {
        let text = format!(
            "[[mirror]]\nname = 'PROD'\nmember = 'a'\nprobe.file.path = '/role'\n{peers}\n[[mirror.route53]]\n\
             hosted_zone_id = 'Z1'\nrecord = 'db.example.internal'\ntype = 'A'\n"
        );
        let config = crate::config::parse(&text, "test.toml");
        config.unwrap_or_else(|report| panic!("{}", report.render(false))).mirrors.remove(0)
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
            vec![Ownership { record: "db.example.internal".to_owned(), mark: Some(mark) }]
        };
        let judged = |authority, records: &[Ownership]| judge(&with_peer, &authority, Some(records));
        one(&judged(clear(false), &of("b", 7)), Severity::Good, "would take traffic, with term 8");
        one(&judged(clear(false), &of("b", 9_000_000)), Severity::Error, "would not move this record");
        one(&judged(clear(true), &of("b", 9_000_000)), Severity::Good, "with term 8");
        assert_eq!(judge(&with_peer, &clear(true), None), [], "what cannot be read is a finding already");
        let unsure = Authority::Unsure { why: "b is two".to_owned(), term: 3 };
        one(&judged(unsure, &[]), Severity::Error, "a promotion here would move nothing, because b is two");
        let alone = mirror("peers = 'none'");
        one(&judge(&alone, &clear(false), Some(&of("a", 7))), Severity::Good, "with term 8");
        one(&judge(&alone, &clear(false), Some(&of("b", 7))), Severity::Warning, "that member is not asked");
    }
}
