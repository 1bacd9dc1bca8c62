//! The checks of `mirrorvip check`: tries everything that the daemon will need. This module has the local checks, `peers`
//! those of the other members; the [providers](crate::provider) check the cloud.
//!
//! Each [`Finding`] names its subject, the result, the consequence and the correction. Nothing is changed: an address is
//! bound for a moment, a file is created in the state directory and removed, and the instance is asked once, as
//! `mirrorvip probe` does.

use crate::clock::Clock;
use crate::config::Source;
pub use crate::finding::{Finding, Kind, Severity};
use crate::observation::Role;
use crate::provider::Config;

mod addresses;
mod exposure;
mod files;
mod instance;
mod peers;
mod timing;

/// The result of the local checks.
#[derive(Clone, Debug)]
pub struct Local {
    /// The findings.
    pub findings: Vec<Finding>,
    /// The role of each mirror's instance, in the order of the configuration; `None` where it did not report one.
    pub roles: Vec<Option<Role>>,
}

/// Checks everything that `config` needs on this machine, as the user of this process.
pub async fn local(config: &Config, clock: &Clock) -> Local {
    let mut findings = Vec::new();
    findings.extend(user());
    for mirror in &config.mirrors {
        findings.extend(timing::mirror(mirror));
        findings.extend(timing::reads(mirror));
        findings.extend(files::wake_on(mirror));
        findings.extend(peers::local(mirror));
        for finding in mirror.targets.iter().flat_map(|table| table.kind().local_findings(mirror)) {
            // Several tables may have the same finding.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
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

/// Checks the permissions of the configuration's file.
pub fn configuration(source: &Source) -> Option<Finding> {
    match source {
        Source::File(path) => files::configuration(path),
        Source::Environment(_) => None,
    }
}

/// The checks that `--offline` leaves out.
pub fn offline(config: &Config) -> Vec<Finding> {
    let peers: usize = config.mirrors.iter().map(|mirror| mirror.peers.len()).sum();
    let targets: usize = config.mirrors.iter().map(|mirror| mirror.targets.len()).sum();
    let left_out = |subject: &str, count: usize, what: &str| {
        let plural = if count == 1 { "" } else { "s" };
        (count > 0).then(|| Finding::untested(subject, format!("{count} {what}{plural} (--offline)")))
    };
    let peers = left_out("peers", peers, "other member");
    peers.into_iter().chain(left_out("steering", targets, "steering target")).collect()
}

/// Asks the other members of every mirror as the daemon will. `roles` are those of [`Local`].
pub async fn peers(config: &Config, roles: &[Option<Role>]) -> Vec<Finding> {
    peers::ask(config, roles).await
}

/// A check as root proves nothing about the rights of the daemon's user.
fn user() -> Option<Finding> {
    rustix::process::geteuid().is_root().then(|| {
        Finding::warning(
            "user",
            "checked as root, which may open every file; the daemon's user may lack rights",
        )
        .help("Repeat it as that user: `sudo -u mirrorvip mirrorvip check`.")
    })
}
