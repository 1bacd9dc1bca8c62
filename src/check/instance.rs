//! Asks each instance once, as the daemon will.

use super::{Finding, Kind};
use crate::clock::Clock;
use crate::config::Probe;
use crate::file;
use crate::observation::{NoEvidence, OtherRole, Outcome, Role};
use crate::probe::{Prober, qlist};
use crate::provider::Mirror;

/// The findings, and the role that each mirror's instance reported.
pub(super) async fn ask(mirrors: &[Mirror], clock: &Clock) -> (Vec<Finding>, Vec<Option<Role>>) {
    let mut findings = Vec::new();
    let mut roles = vec![None; mirrors.len()];
    for (mut prober, members) in Prober::group(mirrors, clock) {
        let asked_at = clock.now();
        let readings = prober.ask().await;
        let took = asked_at.age_at(clock.now());
        for (member, reading) in members.into_iter().zip(readings) {
            let mirror = &mirrors[member];
            let finding = judge(mirror, &reading.outcome, took.as_millis());
            findings.push(match others(mirror, &reading.outcome).await {
                Some(help) => finding.help(help),
                None => finding,
            });
            if took * 2 > mirror.timeout && reading.outcome.is_ok() {
                findings.push(
                    Finding::warning(
                        format!("mirror {}", mirror.name),
                        format!("the answer took {took:.1?} of the {:?} that `timeout` allows: under load it will take longer", mirror.timeout),
                    )
                    .help("Find out why it is slow, or raise timeout and stale_after."),
                );
            }
            roles[member] = reading.outcome.ok();
        }
    }
    (findings, roles)
}

/// The names of the instances on this machine, if the configured one does not exist.
async fn others(mirror: &Mirror, outcome: &Outcome) -> Option<String> {
    let Probe::Qlist { instance, command, environment } = &mirror.probe else { return None };
    let Err(NoEvidence::NoSuchInstance(_) | NoEvidence::Unparsable(_) | NoEvidence::Failed(_)) = outcome
    else {
        return None;
    };
    let names = qlist::instances(command, environment, mirror.timeout).await;
    if names.is_empty() || names.iter().any(|name| name.eq_ignore_ascii_case(instance)) {
        return None;
    }
    Some(match names.as_slice() {
        [only] => format!("The instance here is {only}: write instance = \"{only}\"."),
        _ => format!("The instances here are {}: write one of them for `instance`.", names.join(", ")),
    })
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
                format!("the instance reported within {took_ms} ms that it is {role}"),
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

/// What to correct if the instance belongs to no mirror.
fn not_member(probe: &Probe) -> String {
    let asked = match probe {
        Probe::Qlist { instance, command, .. } => {
            format!(
                "Write the name of the mirrored instance for `instance`: `{command} list` shows all; {instance} is not mirrored."
            )
        }
        Probe::Gateway(_) | Probe::Metrics(_) => {
            "Write the address of the mirrored instance for `url`.".to_owned()
        }
        Probe::Exec { .. } => "Change the command so that it asks the mirrored instance.".to_owned(),
        Probe::File { .. } => "Configure the publisher so that it asks the mirrored instance.".to_owned(),
    };
    format!("{asked} If it is the right one, add it to the mirror in the Management Portal.")
}

/// What to correct, unless the cause itself says it.
fn help(probe: &Probe, cause: &NoEvidence) -> Option<String> {
    let text = match (cause, probe) {
        (NoEvidence::TimedOut { .. }, Probe::Qlist { command, instance, .. }) => {
            return Some(format!(
                "Run `{command} qlist {instance}` as this user: it hangs if the instance hangs."
            ));
        }
        (NoEvidence::TimedOut { .. }, Probe::Gateway(_)) => {
            "The Web Gateway waits for an instance that does not answer. Check that the instance runs."
        }
        (NoEvidence::NoSuchInstance(_), Probe::Qlist { command, .. }) => {
            return Some(format!("Set `instance` to a name that `{command} list` shows."));
        }
        (NoEvidence::Trouble(_), _) => {
            "The primary lost its backup and its arbiter: check the Mirror Monitor in the Management Portal."
        }
        (NoEvidence::Unparsable(_), Probe::Qlist { .. }) => {
            "This release's qlist may not print the mirror status: use [mirror.probe.gateway] or [mirror.probe.metrics]."
        }
        (NoEvidence::Unrecognised(_), _) => {
            "If the instance works, please report this text: mirrorvip does not know it and refuses."
        }
        // If the command itself may not be executed, the cause says what to do.
        (NoEvidence::Denied(cause), Probe::Qlist { command, .. }) if !cause.contains("may not execute") => {
            return Some(format!(
                "Add user {} to the instance's group, which owns {command}: `ls -lL $(command -v {command})` shows it.",
                file::own_user()
            ));
        }
        (NoEvidence::Denied(_), Probe::File { path }) => return Some(file::to_read(path)),
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
        let mirror = crate::provider::parse(text, "test.toml").unwrap().mirrors.remove(0);
        let found = judge(&mirror, &Ok(Role::Other(OtherRole::NotMember)), 1);
        assert_eq!((found.severity, found.kind), (Severity::Error, Kind::Configuration));
        assert!(found.message.contains("not a member of a mirror"), "{found:?}");
        assert!(found.help.unwrap().contains("`iris list` shows all"));
        assert_eq!(judge(&mirror, &Ok(Role::Backup), 1).severity, Severity::Good);
    }
}
