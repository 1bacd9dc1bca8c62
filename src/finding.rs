//! One result of `mirrorvip check`. PURE.

use serde::Serialize;

use crate::explain;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Good,
    /// It works, but will cause a problem later.
    Warning,
    /// It does not work.
    Error,
}

/// What kind of repair an error needs; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The configuration is wrong.
    Configuration,
    /// The user lacks a right that the daemon needs.
    Permission,
    /// Something required does not exist or does not answer.
    Unavailable,
}

/// One result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What kind of repair it needs.
    pub kind: Kind,
    /// What was checked: a mirror, a table of the configuration, a file.
    pub subject: String,
    /// The result and its consequence.
    pub message: String,
    /// How to correct it: a full sentence.
    pub help: Option<String>,
    /// The word of its page in the [runbook](crate::explain).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<&'static str>,
    /// Whether it was tested. If not, the message says what was left out.
    pub tested: bool,
}

// === impl Finding ===

impl Finding {
    fn new(severity: Severity, kind: Kind, subject: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        let explain = explain::of_finding(&message).filter(|_| severity != Severity::Good);
        Self { severity, kind, subject: subject.into(), message, help: None, explain, tested: true }
    }

    /// It is as it should be.
    pub(crate) fn good(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Good, Kind::Configuration, subject, message)
    }

    /// Something that was not tested.
    pub(crate) fn untested(subject: impl Into<String>, what: impl Into<String>) -> Self {
        let message = format!("not tested: {}", what.into());
        Self { tested: false, ..Self::good(subject, message) }
    }

    /// It works, but will cause a problem later.
    pub(crate) fn warning(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, Kind::Configuration, subject, message)
    }

    /// It does not work.
    pub(crate) fn error(kind: Kind, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, kind, subject, message)
    }

    /// The same, with how to correct it.
    #[must_use]
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same with the word of its page, if the message does not identify it.
    #[must_use]
    pub(crate) fn explain(self, word: &'static str) -> Self {
        Self { explain: Some(word), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_name_their_page_unless_all_is_well() {
        let message = "max_connections = 4096 needs a hard limit of 4352";
        let finding = Finding::warning("open files", message);
        assert_eq!(serde_json::to_value(&finding).unwrap()["explain"], "open-files");
        assert_eq!(finding.explain("timing").explain, Some("timing"), "the author knows better");
        let good = serde_json::to_value(Finding::good("open files", message)).unwrap();
        assert!(!good.as_object().unwrap().contains_key("explain"), "{good}");
    }
}
