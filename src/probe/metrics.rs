//! The `metrics` probe: `/api/monitor/metrics` of the instance, in the Prometheus text format.
//!
//! | `iris_mirror_status` | | `iris_mirror_member_type` | |
//! |---|---|---|---|
//! | 1 | Not Initialized | 1 | Indeterminate |
//! | 2 | Primary | 2 | Not Member |
//! | 3 | Backup | 3 | Failover |
//! | 4 | Connected | 4 | Async |
//! | 5 | Transition | 5 | Disaster Recovery |
//! | 6 | Synchronizing | 6 | Read-Only Reporting |
//! | 7 | Waiting | 7 | Read-Write Reporting |
//! | 8 | Stopped | | |
//! | 9 | Crashed | | |
//!
//! Primary needs both, 2 and 3: without the member type a 2 is no evidence, because nothing confirms its meaning. There is
//! no value for a primary in trouble, which the `qlist` probe sees. Only lines that end with a newline are read: a number
//! may be cut off.

use std::time::Duration;

use super::member::{MemberType, MirrorStatus, rule};
use super::page::Page;
use super::{EVIDENCE_LENGTH, Reading};
use crate::config::HttpTarget;
use crate::http::{Answer, Client};
use crate::observation::{AsyncKind, NoEvidence, Outcome, Role};
use crate::text::printable;

/// How long the answer may be. It has about 50 kB; more on an instance with many databases.
const BODY_LIMIT: usize = 1024 * 1024;

const STATUS: &str = "iris_mirror_status";
const MEMBER_TYPE: &str = "iris_mirror_member_type";

pub(super) fn page(target: &HttpTarget, timeout: Duration) -> Page {
    Page::new(Client::new(target, timeout, BODY_LIMIT), read)
}

fn read(answer: &Answer) -> Reading {
    let code = answer.status.as_u16();
    let silent = match code {
        200 => return parse(&answer.body),
        401 | 403 => NoEvidence::Denied(format!("the server refuses to show its metrics: HTTP {code}")),
        404 => NoEvidence::NoSuchInstance(format!("no metrics there, correct `url`: HTTP {code}")),
        500..=599 => NoEvidence::Failed(format!("the server cannot answer: HTTP {code}")),
        _ => NoEvidence::Unrecognised(format!("HTTP {code}")),
    };
    Reading::fresh(Err(silent), format!("HTTP {code}"))
}

/// Reads the role from metrics in text form. PURE and total.
pub fn parse(body: &[u8]) -> Reading {
    let text = String::from_utf8_lossy(body);
    let lines = || text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let (status, member) = (samples(lines(), STATUS), samples(lines(), MEMBER_TYPE));
    let mut evidence = [status.clone(), member.clone()].concat().join(", ");
    evidence = printable(&evidence, EVIDENCE_LENGTH);
    let outcome = decide(&status, &member, &evidence);
    Reading::fresh(outcome, evidence)
}

fn decide(status: &[&str], member: &[&str], evidence: &str) -> Outcome {
    if status.is_empty() {
        return Err(NoEvidence::Unparsable(format!("there is no {STATUS} in the answer")));
    }
    let unrecognised = || NoEvidence::Unrecognised(evidence.to_owned());
    let mirror = agreed(status).and_then(mirror_status).ok_or_else(unrecognised)?;
    if member.is_empty() {
        return match rule(MemberType::Failover, mirror, evidence) {
            Ok(Role::Primary) => {
                Err(NoEvidence::Unrecognised(format!("{evidence} without {MEMBER_TYPE} beside it")))
            }
            outcome => outcome,
        };
    }
    let member = agreed(member).and_then(member_type).ok_or_else(unrecognised)?;
    rule(member, mirror, evidence)
}

fn samples<'a>(lines: impl Iterator<Item = &'a str>, name: &str) -> Vec<&'a str> {
    let of_name = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(|c: char| c == '{' || c.is_whitespace()))
    };
    lines.map(str::trim).filter(of_name).collect()
}

/// The whole number on which all `samples` agree.
fn agreed(samples: &[&str]) -> Option<u8> {
    let mut values = samples.iter().map(|sample| value(sample));
    let first = values.next()??;
    values.all(|value| value == Some(first)).then_some(first)
}

/// The value of a sample: `name value`, `name{labels} value`, either with a time stamp behind it.
fn value(sample: &str) -> Option<u8> {
    let rest = match sample.split_once('{') {
        Some((_, labels)) => after_labels(labels)?,
        None => sample.split_once(char::is_whitespace)?.1,
    };
    let mut words = rest.split_whitespace();
    let number: f64 = words.next()?.parse().ok()?;
    let well_formed = words.next().is_none_or(|stamp| stamp.parse::<f64>().is_ok()) && words.next().is_none();
    (1u8..=9).find(|&whole| well_formed && f64::from(whole).to_bits() == number.to_bits())
}

/// What follows the closing brace. Label values are quoted and may hold braces and escaped quotes.
fn after_labels(labels: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in labels.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(&labels[at + 1..]),
            _ => {}
        }
    }
    None
}

const fn mirror_status(value: u8) -> Option<MirrorStatus> {
    match value {
        1 => Some(MirrorStatus::NotInitialized),
        2 => Some(MirrorStatus::Primary),
        3 => Some(MirrorStatus::Backup),
        4 => Some(MirrorStatus::Connected),
        5 => Some(MirrorStatus::Transition),
        6 => Some(MirrorStatus::Synchronizing),
        7 => Some(MirrorStatus::Waiting),
        8 => Some(MirrorStatus::Stopped),
        9 => Some(MirrorStatus::Crashed),
        _ => None,
    }
}

const fn member_type(value: u8) -> Option<MemberType> {
    match value {
        1 => Some(MemberType::Indeterminate),
        2 => Some(MemberType::NotMember),
        3 => Some(MemberType::Failover),
        4 => Some(MemberType::Async(AsyncKind::Unspecified)),
        5 => Some(MemberType::Async(AsyncKind::DisasterRecovery)),
        6 => Some(MemberType::Async(AsyncKind::ReadOnlyReporting)),
        7 => Some(MemberType::Async(AsyncKind::ReadWriteReporting)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word(body: &str) -> &'static str {
        match parse(body.as_bytes()).outcome {
            Ok(role) => role.word(),
            Err(cause) => cause.word(),
        }
    }

    fn scrape(status: &str, member: &str) -> String {
        format!(
            "# HELP iris_mirror_status status\n# TYPE iris_mirror_status gauge\niris_cpu_usage 2\n\
             iris_mirror_member_type{member}\niris_mirror_status{status}\niris_mirror_status_total 9\n"
        )
    }

    #[test]
    fn numbers_mean_what_the_manual_says() {
        let check = |status: &str, member: &str, expected| {
            assert_eq!(word(&scrape(status, member)), expected, "status{status}, member type{member}");
        };
        check(" 2", " 3", "primary");
        check("{id=\"X\"} 2 1700000000000", "{id=\"}\\\"{\",b=\"c\"} 3", "primary");
        check(" 2.0", " 3", "primary");
        check("\t2", " 3", "primary");
        check(" 3", " 3", "backup");
        check(" 1", " 3", "not-initialized");
        check(" 4", " 3", "connected");
        check(" 5", " 3", "transition");
        check(" 6", " 3", "synchronizing");
        check(" 7", " 3", "waiting");
        check(" 8", " 3", "stopped");
        check(" 9", " 3", "crashed");
        check(" 4", " 4", "async");
        check(" 4", " 5", "disaster-recovery");
        check(" 4", " 6", "read-only-reporting");
        check(" 4", " 7", "read-write-reporting");
        check(" 1", " 2", "not-member");
        check(" 2", " 1", "indeterminate");
        check(" 2", " 2", "unrecognised");
        check(" 2", " 5", "unrecognised");
        check(" 2", " 8", "unrecognised");
        check(" 0", " 3", "unrecognised");
        check(" 10", " 3", "unrecognised");
        check(" 2.5", " 3", "unrecognised");
        check(" -2", " 3", "unrecognised");
        check(" NaN", " 3", "unrecognised");
        check(" 2 x", " 3", "unrecognised");
        check(" 2 1 1", " 3", "unrecognised");
        check("{id=\"X\" 2", " 3", "unrecognised");
        check("{}2", " 3", "primary");
        check("", " 3", "unparsable");
        check("es 2", " 3", "unparsable");
    }

    #[test]
    fn samples_must_agree() {
        assert_eq!(word(&scrape(" 2\niris_mirror_status{a=\"b\"} 2", " 3")), "primary");
        assert_eq!(word(&scrape(" 2\niris_mirror_status 3", " 3")), "unrecognised");
        assert_eq!(word(&scrape(" 2", " 3\niris_mirror_member_type 5")), "unrecognised");
    }

    #[test]
    fn without_the_member_type_only_primary_is_doubted() {
        assert_eq!(word("iris_mirror_status 2\n"), "unrecognised");
        assert_eq!(word("iris_mirror_status 3\n"), "backup");
        assert_eq!(word("iris_mirror_status 4\n"), "connected");
        assert_eq!(word(""), "unparsable");
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _total = parse(&body);
        }

        #[test]
        fn unknown_samples_are_never_primary(tail in "[ -~]{0,20}") {
            let body = scrape(&tail, " 3");
            let two = tail.contains('2');
            prop_assert!(two || word(&body) != "primary", "{}", body);
        }

        #[test]
        fn a_cut_never_changes_the_role(cut in 0usize..400) {
            let body = scrape(" 2", " 3");
            let cut = &body[..cut.min(body.len())];
            prop_assert!(matches!(parse(cut.as_bytes()).outcome, Ok(Role::Primary) | Err(_)));
        }
    }
}
