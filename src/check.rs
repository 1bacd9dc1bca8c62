//! What `mirrorvip check` finds: everything that the daemon will need, tried before it needs it; here what is
//! local, in `peers` the other members, in [`aws`] what is in the cloud.
//!
//! Each [`Finding`] says what was looked at, what is so, what follows from it and how to mend it. Nothing is
//! changed: an address is bound for a moment and given back, a file is made in the state directory and
//! removed, and the instance is asked once, as `mirrorvip probe` does.

use serde::Serialize;

use crate::clock::Clock;
use crate::config::{Config, Source};
use crate::explain;
use crate::observation::Role;

mod addresses;
pub mod aws;
mod exposure;
mod files;
mod instance;
pub mod kubernetes;
mod peers;
mod timing;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Good,
    /// It will run, and somebody will be surprised some day.
    Warning,
    /// It will not do what it is for.
    Error,
}

/// What kind of repair an error needs; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The configuration says something wrong.
    Configuration,
    /// The user may not do what the daemon must.
    Permission,
    /// Something that is needed is not there or does not answer.
    Unavailable,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What kind of repair it needs.
    pub kind: Kind,
    /// What was looked at: a mirror, a table of the configuration, a file.
    pub subject: String,
    /// What is so, and what follows from it.
    pub message: String,
    /// How to mend it: a full sentence.
    pub help: Option<String>,
    /// The word of its page in the [runbook](crate::explain).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<&'static str>,
}

/// What was found on this machine.
#[derive(Clone, Debug)]
pub struct Local {
    /// The findings.
    pub findings: Vec<Finding>,
    /// What each mirror's instance is, in the order of the configuration; `None` where it did not say.
    pub roles: Vec<Option<Role>>,
}

/// Looks at everything that `config` needs on this machine, as the user of this process.
pub async fn local(config: &Config, clock: &Clock) -> Local {
    let mut findings = Vec::new();
    findings.extend(user());
    for mirror in &config.mirrors {
        findings.extend(timing::mirror(mirror));
        findings.extend(timing::looks(mirror));
        findings.extend(files::wake_on(mirror));
        findings.extend(peers::local(mirror));
    }
    let (of_instances, roles) = instance::ask(&config.mirrors, clock).await;
    findings.extend(of_instances);
    findings.extend(addresses::listeners(config).await);
    findings.extend(exposure::findings(config));
    findings.extend(files::certificates(config, clock));
    findings.extend(files::token(&config.admin));
    findings.extend(files::secrets(config));
    findings.push(files::state_directory(&config.state_directory));
    findings.push(addresses::descriptors(&config.health));
    Local { findings, roles }
}

/// What is wrong with the rights of the configuration's file.
pub fn configuration(source: &Source) -> Option<Finding> {
    match source {
        Source::File(path) => files::configuration(path),
        Source::Environment(_) => None,
    }
}

/// Asks the other members of every mirror what the daemon will ask them. `roles` are those of [`Local`].
pub async fn peers(config: &Config, roles: &[Option<Role>]) -> Vec<Finding> {
    peers::ask(config, roles).await
}

/// The daemon need not be root, and what root may do proves nothing about the daemon's user.
fn user() -> Option<Finding> {
    rustix::process::geteuid().is_root().then(|| {
        Finding::warning("user", "checked as root, who may do everything; the daemon's own user may not")
            .help("Repeat it as that user: `sudo -u mirrorvip mirrorvip check`.")
    })
}

// === impl Finding ===

impl Finding {
    fn new(severity: Severity, kind: Kind, subject: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        let explain = explain::of_finding(&message).filter(|_| severity != Severity::Good);
        Self { severity, kind, subject: subject.into(), message, help: None, explain }
    }

    fn good(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Good, Kind::Configuration, subject, message)
    }

    fn warning(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, Kind::Configuration, subject, message)
    }

    fn error(kind: Kind, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, kind, subject, message)
    }

    #[must_use]
    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same with the word of its page, where the message says too little to find it.
    #[must_use]
    fn explain(self, word: &'static str) -> Self {
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
