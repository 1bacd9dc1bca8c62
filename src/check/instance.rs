//! Asks each instance once, as the daemon will.

use super::{Finding, Kind};
use crate::clock::Clock;
use crate::config::{Mirror, Probe};
use crate::observation::{NoEvidence, Outcome};
use crate::probe::Prober;

pub(super) async fn ask(mirrors: &[Mirror], clock: &Clock) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (mut prober, members) in Prober::group(mirrors, clock) {
        let asked_at = clock.now();
        let readings = prober.ask().await;
        let took = asked_at.age_at(clock.now());
        for (member, reading) in members.into_iter().zip(readings) {
            let mirror = &mirrors[member];
            findings.push(judge(mirror, &reading.outcome, took.as_millis()));
            if took * 2 > mirror.timeout && reading.outcome.is_ok() {
                findings.push(
                    Finding::warning(
                        format!("mirror {}", mirror.name),
                        format!("the answer took {took:.1?} of the {:?} that timeout allows: under load it will be missed", mirror.timeout),
                    )
                    .help("Find out why it is slow, or raise timeout and stale_after."),
                );
            }
        }
    }
    findings
}

fn judge(mirror: &Mirror, outcome: &Outcome, took_ms: u128) -> Finding {
    let subject = format!("mirror {}, {} probe", mirror.name, mirror.probe.kind());
    let cause = match outcome {
        Ok(role) => {
            return Finding::good(
                subject,
                format!("the instance answered within {took_ms} ms that it is {role}"),
            );
        }
        Err(cause) => cause,
    };
    let kind = match cause {
        NoEvidence::Denied(_) => Kind::Permission,
        _ => Kind::Unavailable,
    };
    let finding = Finding::error(kind, subject, format!("no evidence of the role: {cause}"));
    match help(&mirror.probe, cause) {
        Some(help) => finding.help(help),
        None => finding,
    }
}

/// The way out, where the cause does not name it itself.
fn help(probe: &Probe, cause: &NoEvidence) -> Option<String> {
    let text = match (cause, probe) {
        (NoEvidence::TimedOut { .. }, Probe::Qlist { command, .. }) => {
            return Some(format!(
                "Run `{command} qlist` by hand, as this user: it hangs when the instance does."
            ));
        }
        (NoEvidence::TimedOut { .. }, Probe::Gateway(_)) => {
            "The Web Gateway waits for an instance that is stopped: is it running?"
        }
        (NoEvidence::NoSuchInstance(_), Probe::Qlist { command, .. }) => {
            return Some(format!("Take the name that `{command} list` shows for `instance`."));
        }
        (NoEvidence::Trouble(_), _) => {
            "The primary lost its backup and its arbiter; look at the Mirror Monitor before anything else."
        }
        (NoEvidence::Unparsable(_), Probe::Qlist { .. }) => {
            "This release's qlist may not print the mirror status; the gateway or the metrics probe can tell instead."
        }
        (NoEvidence::Unrecognised(_), _) => {
            "If the instance is well, please report the words above: mirrorvip does not know them, so it refuses."
        }
        (NoEvidence::Denied(_), Probe::Qlist { .. }) => {
            "Run it as a user who may execute the command: a member of the instance's group, or its owner."
        }
        (NoEvidence::Unreachable(_), Probe::File { .. }) => "Start the publisher that writes the file.",
        _ => return None,
    };
    Some(text.to_owned())
}
