//! The `qlist` probe: `iris qlist`, or `ccontrol qlist` for Caché. No login, no licence unit.
//!
//! It prints a line for each instance, fields separated by `^`, as the System Administration Guide has it:
//!
//! | # | field | # | field |
//! |---|---|---|---|
//! | 1 | instance name | 8 | JDBC gateway port |
//! | 2 | installation directory | 9 | health state |
//! | 3 | version | 10 | product |
//! | 4 | **instance status** | 11 | **mirror member type** |
//! | 5 | CPF file | 12 | **mirror status** |
//! | 6 | superserver port | 13 | data directory |
//! | 7 | web server port | 14 | list of superserver ports |
//!
//! Older releases print fewer, some with a separator at the end, so fields are found by number and later fields do not
//! matter. Only a field with a separator or a newline after it is read: output that was cut off must not look like an
//! answer, and `Primary` may be the beginning of another word.
//!
//! **Primary is: field 4 begins with `running`, field 11 is `Failover`, field 12 is exactly `Primary`.**
//! Field 9 does not count: it stays at `warn` or `alert` long after the cause is gone.

use std::fmt;
use std::time::Duration;

use super::member::{MemberType, MirrorStatus, rule};
use super::{EVIDENCE_LENGTH, Reading};
use crate::child::{Call, Finished, Runner};
use crate::observation::{AsyncKind, NoEvidence, OtherRole, Outcome, Role};
use crate::text::printable;

/// How many other instances are named when the one asked for is missing.
const NAMES_SHOWN: usize = 8;

/// How much of one field or name is shown, in characters.
const FIELD_SHOWN: usize = 60;

/// Asks for the instances of one node that share a command.
#[derive(Debug)]
pub struct Qlist {
    call: Call,
    instances: Vec<String>,
    timeout: Duration,
    runner: Runner,
}

// === impl Qlist ===

impl Qlist {
    /// A probe of `instances` by one call. With one instance the call names it, with several it lists all.
    pub(super) fn new(
        command: &str,
        environment: &[String],
        instances: Vec<String>,
        timeout: Duration,
    ) -> Self {
        let mut arguments = vec!["qlist".to_owned()];
        if let [instance] = &instances[..] {
            arguments.push(instance.clone());
        }
        let environment = environment.to_vec();
        let call = Call { program: command.to_owned(), arguments, environment, variables: Vec::new() };
        Self { call, instances, timeout, runner: Runner::new() }
    }

    pub(super) async fn ask(&mut self) -> Vec<Reading> {
        let answer = self.runner.run(&self.call, self.timeout).await.and_then(refuse_failure);
        let read = |instance: &String| match &answer {
            Ok(finished) => parse(&finished.stdout, instance),
            Err(cause) => Reading::silent(cause.clone()),
        };
        self.instances.iter().map(read).collect()
    }
}

/// The instances that `command` lists, at most [`NAMES_SHOWN`]; none where it does not answer.
pub(crate) async fn instances(command: &str, environment: &[String], timeout: Duration) -> Vec<String> {
    // Without a name it lists all.
    let mut listing = Qlist::new(command, environment, Vec::new(), timeout);
    let Ok(finished) = listing.runner.run(&listing.call, timeout).await.and_then(refuse_failure) else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&finished.stdout);
    let lines = text.split_inclusive('\n').map(Line::new).filter(|line| line.names_an_instance());
    lines.take(NAMES_SHOWN).map(|line| printable(line.name(), FIELD_SHOWN)).collect()
}

impl fmt::Display for Qlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call.fmt(f)
    }
}

/// Reads the role of `instance` from what `qlist` printed. PURE and total.
pub fn parse(output: &[u8], instance: &str) -> Reading {
    let text = String::from_utf8_lossy(output);
    let mut lines = text.split_inclusive('\n').map(Line::new).filter(|line| !line.text.trim().is_empty());
    let Some(first) = lines.clone().next() else {
        return Reading::silent(NoEvidence::Unparsable(format!(
            "qlist printed nothing; is there an instance {}?",
            printable(instance, FIELD_SHOWN)
        )));
    };
    let mut matching = lines.clone().filter(|line| line.names(instance));
    let Some(line) = matching.next() else {
        return Reading::fresh(Err(missing(instance, lines)), first.evidence());
    };
    if let Some(other) = matching.find(|other| other.text.trim() != line.text.trim()) {
        let cause = format!("two different lines for one instance, the other is {}", other.evidence());
        return Reading::fresh(Err(NoEvidence::Unrecognised(cause)), line.evidence());
    }
    // The same line twice, whole and cut off, is read where it is whole.
    let line = lines.find(|whole| whole.names(instance) && !whole.cut_off).unwrap_or(line);
    Reading::fresh(read(&line.fields()), line.evidence())
}

/// An exit code other than zero, or a signal, is a failure whatever was printed.
fn refuse_failure(finished: Finished) -> Result<Finished, NoEvidence> {
    if finished.status.success() {
        return Ok(finished);
    }
    let complaint = finished.complaint.to_ascii_lowercase();
    let refusals =
        ["permission denied", "not permitted", "not authorized", "access denied", "insufficient privilege"];
    let cause = format!("qlist {}", finished.describe());
    Err(if refusals.iter().any(|refusal| complaint.contains(refusal)) {
        NoEvidence::Denied(cause)
    } else {
        NoEvidence::Failed(cause)
    })
}

fn missing<'a>(instance: &str, lines: impl Iterator<Item = Line<'a>> + Clone) -> NoEvidence {
    let mut found = lines.clone().filter(|line| line.names_an_instance());
    let instance = printable(instance, FIELD_SHOWN);
    if found.clone().next().is_none() {
        return NoEvidence::Unparsable(
            "qlist printed no line that begins with an instance and `^`".to_owned(),
        );
    }
    if lines.into_iter().any(|line| line.cut_off) {
        return NoEvidence::Unparsable(format!("qlist was cut off before a line for instance {instance}"));
    }
    let names: Vec<_> =
        found.by_ref().take(NAMES_SHOWN).map(|line| printable(line.name(), FIELD_SHOWN)).collect();
    let more = if found.next().is_some() { ", ..." } else { "" };
    NoEvidence::NoSuchInstance(format!(
        "there is no instance {instance}; the instances here are {}{more}: correct `instance`",
        names.join(", ")
    ))
}

/// Reads the fields of the instance's line.
fn read(fields: &[&str]) -> Outcome {
    let Some(status) = fields.get(3) else { return Err(too_few(fields, "the instance status is field 4")) };
    let status = status.to_ascii_lowercase();
    if starts_with_word(&status, "down", ",") {
        return Ok(Role::Other(OtherRole::InstanceDown));
    }
    if starts_with_word(&status, "sign-on inhibited", ",:") {
        return Ok(Role::Other(OtherRole::SignOnInhibited));
    }
    if !starts_with_word(&status, "running", ",") {
        return Err(unrecognised("instance status", fields[3]));
    }
    let (Some(member), Some(mirror)) = (fields.get(10), fields.get(11)) else {
        return Err(too_few(fields, "the mirror status is field 12"));
    };
    let shown = format!(
        "mirror member type `{}` with mirror status `{}`",
        printable(member, FIELD_SHOWN),
        printable(mirror, FIELD_SHOWN)
    );
    let (member_word, mirror_word) = (normalise(member), normalise(mirror));
    if member_word.contains("trouble") || mirror_word.contains("trouble") {
        return Err(NoEvidence::Trouble(shown));
    }
    if member_word.is_empty() && matches!(mirror_word.as_str(), "" | "not member") {
        return Ok(Role::Other(OtherRole::NotMember));
    }
    match (member_type(&member_word), mirror_status(&mirror_word)) {
        (Some(member), Some(mirror)) => rule(member, mirror, &shown),
        (None, Some(MirrorStatus::Indeterminate)) => Err(NoEvidence::Indeterminate(shown)),
        (Some(MemberType::Indeterminate), None) => Err(NoEvidence::Indeterminate(shown)),
        (None, _) => Err(unrecognised("mirror member type", member)),
        (_, None) => Err(unrecognised("mirror status", mirror)),
    }
}

/// The member type that a lower-case word in field 11 stands for.
fn member_type(word: &str) -> Option<MemberType> {
    match word {
        "failover" => Some(MemberType::Failover),
        "disaster recovery" => Some(MemberType::Async(AsyncKind::DisasterRecovery)),
        "read-only reporting" => Some(MemberType::Async(AsyncKind::ReadOnlyReporting)),
        "read-write reporting" => Some(MemberType::Async(AsyncKind::ReadWriteReporting)),
        "async" => Some(MemberType::Async(AsyncKind::Unspecified)),
        "not member" => Some(MemberType::NotMember),
        "indeterminate" | "error" => Some(MemberType::Indeterminate),
        _ => None,
    }
}

/// The mirror status that a lower-case word in field 12 stands for.
fn mirror_status(word: &str) -> Option<MirrorStatus> {
    match word {
        "" => Some(MirrorStatus::Blank),
        "primary" => Some(MirrorStatus::Primary),
        "backup" => Some(MirrorStatus::Backup),
        "connected" => Some(MirrorStatus::Connected),
        "transition" => Some(MirrorStatus::Transition),
        "synchronizing" => Some(MirrorStatus::Synchronizing),
        "waiting" => Some(MirrorStatus::Waiting),
        "stopped" => Some(MirrorStatus::Stopped),
        "crashed" => Some(MirrorStatus::Crashed),
        "not initialized" => Some(MirrorStatus::NotInitialized),
        "down" => Some(MirrorStatus::Down),
        "error" | "indeterminate" => Some(MirrorStatus::Indeterminate),
        "not member" => Some(MirrorStatus::NotMember),
        _ => {
            let (connected, of) = word.strip_suffix(" connected")?.split_once('/')?;
            Some(MirrorStatus::ConnectedTo {
                connected: connected.trim().parse().ok()?,
                of: of.trim().parse().ok()?,
            })
        }
    }
}

/// One line, and whether its end is missing.
#[derive(Clone, Copy)]
struct Line<'a> {
    text: &'a str,
    cut_off: bool,
}

// === impl Line ===

impl<'a> Line<'a> {
    fn new(text: &'a str) -> Self {
        Self { text: text.trim_end_matches(['\r', '\n']), cut_off: !text.ends_with('\n') }
    }

    fn name(self) -> &'a str {
        self.text.split('^').next().unwrap_or_default().trim()
    }

    /// Whether this is the line of `instance`: its first field, which must be a whole one.
    fn names(self, instance: &str) -> bool {
        self.text.contains('^') && self.name().eq_ignore_ascii_case(instance.trim())
    }

    /// Whether this is the line of any instance. Garbage with carets in it says nothing about which instances
    /// there are.
    fn names_an_instance(self) -> bool {
        let name = self.name();
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        self.text.contains('^') && !name.is_empty() && name.chars().all(fits)
    }

    /// The whole fields.
    fn fields(self) -> Vec<&'a str> {
        let mut fields: Vec<_> = self.text.split('^').map(str::trim).collect();
        if self.cut_off {
            fields.pop();
        }
        fields
    }

    fn evidence(self) -> String {
        printable(self.text, EVIDENCE_LENGTH)
    }
}

/// Whether `text` is `word`, or goes on with a space or one of `separators` after it.
fn starts_with_word(text: &str, word: &str, separators: &str) -> bool {
    text.strip_prefix(word).is_some_and(|rest| {
        rest.chars().next().is_none_or(|next| next.is_whitespace() || separators.contains(next))
    })
}

/// Lower case, with single spaces.
fn normalise(field: &str) -> String {
    let words: Vec<_> = field.split_whitespace().map(str::to_ascii_lowercase).collect();
    words.join(" ")
}

fn too_few(fields: &[&str], wanted: &str) -> NoEvidence {
    NoEvidence::Unparsable(format!("qlist prints {} whole fields, {wanted}", fields.len()))
}

fn unrecognised(what: &str, text: &str) -> NoEvidence {
    NoEvidence::Unrecognised(format!("{what} `{}`", printable(text, FIELD_SHOWN)))
}

#[cfg(test)]
mod tests;
