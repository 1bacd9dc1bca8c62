//! Asks each instance once, as the daemon will.

use super::{Finding, Kind};
use crate::clock::Clock;
use crate::config::{Mirror, Probe};
use crate::observation::{NoEvidence, OtherRole, Outcome, Role};
use crate::probe::Prober;

/// What was found, and the role that each mirror's instance reported.
pub(super) async fn ask(mirrors: &[Mirror], clock: &Clock) -> (Vec<Finding>, Vec<Option<Role>>) {
    let mut findings = Vec::new();
    let mut roles = vec![None; mirrors.len()];
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
            roles[member] = reading.outcome.ok();
        }
    }
    (findings, roles)
}

fn judge(mirror: &Mirror, outcome: &Outcome, took_ms: u128) -> Finding {
    let subject = format!("mirror {}, {} probe", mirror.name, mirror.probe.kind());
    let cause = match outcome {
        Ok(Role::Other(OtherRole::NotMember)) => {
            return Finding::error(
                Kind::Configuration,
                subject,
                "the instance is not a member of a mirror: its page will never say SUCCESS",
            )
            .help(not_member(&mirror.probe));
        }
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
    let finding =
        Finding::error(kind, subject, format!("no evidence of the role: {cause}")).explain(cause.word());
    match help(&mirror.probe, cause) {
        Some(help) => finding.help(help),
        None => finding,
    }
}

/// What to correct where the instance that answers belongs to no mirror.
fn not_member(probe: &Probe) -> String {
    let asked = match probe {
        Probe::Qlist { instance, command, .. } => {
            format!(
                "Write the name of the mirrored instance for `instance`: `{command} list` shows all, and this is {instance}."
            )
        }
        Probe::Gateway(_) | Probe::Metrics(_) => {
            "Write the address of the mirrored instance for `url`.".to_owned()
        }
        Probe::Exec { .. } => "Let the command ask the mirrored instance.".to_owned(),
        Probe::File { .. } => "Let the publisher ask the mirrored instance.".to_owned(),
    };
    format!("{asked} If it is the right one, add it to the mirror in the Management Portal.")
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

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn an_instance_outside_every_mirror_is_an_error() {
        let text = "[[mirror]]\nname = 'PROD'\n[mirror.probe.qlist]\ninstance = 'IRIS'\n";
        let mirror = crate::config::parse(text, "test.toml").unwrap().mirrors.remove(0);
        let found = judge(&mirror, &Ok(Role::Other(OtherRole::NotMember)), 1);
        assert_eq!((found.severity, found.kind), (Severity::Error, Kind::Configuration));
        assert!(found.message.contains("not a member of a mirror"), "{found:?}");
        assert!(found.help.unwrap().contains("`iris list` shows all"));
        assert_eq!(judge(&mirror, &Ok(Role::Backup), 1).severity, Severity::Good);
    }
}
