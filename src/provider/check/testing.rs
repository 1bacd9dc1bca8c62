//! Helpers for tests of the kinds' checks: a configuration, and its findings.

use super::{Finding, Subject, Table};
use crate::finding::Severity;
use crate::provider;
use crate::provider::Config;

/// A configuration with these tables for its first mirror.
pub(crate) fn config(head: &str, tables: &str) -> Config {
    let peers = if tables.contains("[[mirror.peer]]") { "" } else { "peers = 'none'" };
    let text = format!(
        "{head}\n[[mirror]]\nname = 'PROD'\n{peers}\npaths = '/csp/bin'\nprobe.file.path = '/role'\n{tables}\n\
         [[mirror]]\nname = 'OTHER'\npaths = '/other'\nprobe.file.path = '/role'\n"
    );
    provider::parse(&text, "test.toml").unwrap_or_else(|report| panic!("{}", report.render(false)))
}

/// Asks about the first table of `config`.
pub(crate) fn with_subject<T>(config: &Config, ask: impl FnOnce(&Subject<'_>, &Table) -> T) -> T {
    let mirror = &config.mirrors[0];
    ask(&Subject { config, mirror, name: "it".to_owned() }, &mirror.targets[0])
}

/// Found as severity and message.
pub(crate) fn told(findings: Vec<Finding>) -> Vec<(Severity, String)> {
    findings.into_iter().map(|finding| (finding.severity, finding.message)).collect()
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "what was complained of is looked at once")]
pub(crate) fn one(complaints: Vec<(Severity, String)>, severity: Severity, words: &str) {
    let [(found, message)] = complaints.as_slice() else { panic!("{complaints:?}") };
    assert!(*found == severity && message.contains(words), "{found:?} {message}");
}

/// The stages of `recovery`, in seconds.
pub(crate) fn stages(recovery: &super::recovery::Recovery) -> Vec<(&'static str, u64)> {
    recovery.stages.iter().map(|stage| (stage.stage, stage.at_most.as_secs())).collect()
}
