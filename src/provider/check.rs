//! The clouds' side of `mirrorvip check`: the caller's identity, whether every steered object can be read, and whether
//! its settings are right. Reads only.
//!
//! Each [`Kind`](super::Kind) reads and judges its tables; judging does no I/O. [`recovery`] is how long clients will
//! wait; `promotion` lets the arbiter rule on a promotion now. A right to write cannot be tested without writing;
//! `mirrorvip iam-policy` prints the rights that are needed.

use serde::Serialize;

use self::promotion::Ownership;
use self::recovery::Recovery;
use super::help::{help, is_denied};
use super::{Cloud, Sessions, Table, aws};
use crate::clock::Clock;
use crate::finding::{Finding, Kind};
use crate::provider::{Config, Mirror};
use crate::steer::{CallError, Class};

pub(crate) mod promotion;
pub mod recovery;
#[cfg(test)]
pub(crate) mod testing;

/// The result for all clouds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Online {
    /// What was found.
    pub findings: Vec<Finding>,
    /// How long clients will wait after a promotion, one for each way to them.
    pub recoveries: Vec<Recovery>,
}

/// The result for one table.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What was found.
    pub(crate) findings: Vec<Finding>,
    /// How long its clients will wait after a promotion.
    pub(crate) recovery: Option<Recovery>,
    /// The object's ownership record, for a kind that has one.
    pub(crate) ownership: Option<Ownership>,
}

/// What is judged: one table of one mirror.
pub(crate) struct Subject<'a> {
    pub(crate) config: &'a Config,
    pub(crate) mirror: &'a Mirror,
    /// How findings name it.
    pub(crate) name: String,
}

/// Asks about everything that `config` steers.
pub async fn online(config: &Config, clock: &Clock) -> Online {
    let mut online = Online::default();
    let mut sessions = Sessions::new(config);
    let in_cloud = |table: &Table| table.kind().cloud() != Cloud::None;
    for mirror in &config.mirrors {
        for table in mirror.targets.iter().filter(|table| !in_cloud(table)) {
            // A failure is among the findings.
            let _ = online.table(config, mirror, table, &mut sessions).await;
        }
    }
    let tables = || config.mirrors.iter().flat_map(|mirror| &mirror.targets);
    if !tables().any(in_cloud) {
        return online;
    }
    let caller = aws::check::caller(aws::places(tables()), &mut sessions.aws).await;
    let is_unknown = caller.is_err();
    online.findings.extend(caller.unwrap_or_else(|missing| missing));
    if is_unknown {
        return online;
    }
    for mirror in &config.mirrors {
        let mut records = Some(Vec::new());
        for table in mirror.targets.iter().filter(|table| in_cloud(table)) {
            match (online.table(config, mirror, table, &mut sessions).await, &mut records) {
                (Ok(Some(record)), Some(records)) => records.push(record),
                (Ok(_), _) => {}
                (Err(_told), _) => records = None,
            }
        }
        if mirror.targets.iter().any(|table| table.kind().moves_traffic()) {
            online.findings.extend(promotion::ask(config, mirror, records.as_deref(), clock).await);
        }
    }
    online
}

/// A failed read, which fails in the daemon as well.
pub(crate) fn failed(subject: &str, error: &CallError) -> Finding {
    let kind = match error.class {
        _ if is_denied(error) => Kind::Permission,
        Class::Stop => Kind::Configuration,
        Class::Retry | Class::Throttled | Class::Observe => Kind::Unavailable,
    };
    Finding::error(kind, subject, error.to_string()).explain(error.class.word()).help(help(error))
}

// === impl Online ===

impl Online {
    /// Checks one table; returns the object's ownership record, or the error of its read.
    async fn table(
        &mut self,
        config: &Config,
        mirror: &Mirror,
        table: &Table,
        sessions: &mut Sessions,
    ) -> Result<Option<Ownership>, CallError> {
        let kind = table.kind();
        let subject = Subject { config, mirror, name: format!("mirror {}, {}", mirror.name, kind.subject()) };
        let mut found = Found::default();
        let outcome = kind.check(&subject, sessions, &mut found).await;
        let Found { findings, recovery, ownership } = found;
        self.findings.extend(findings);
        self.recoveries.extend(recovery);
        if let Err(error) = &outcome {
            let mut finding = failed(&subject.name, error);
            sessions.name_region(table, &mut finding.message).await;
            self.findings.push(finding);
        }
        outcome.map(|()| ownership)
    }
}

// === impl Sessions ===

impl Sessions {
    /// Adds to the `message` of an error the region in which the object of `table` was asked for, if there is one.
    pub(crate) async fn name_region(&mut self, table: &Table, message: &mut String) {
        if let Cloud::Aws(aws::Place { at: aws::Where::Region(value), .. }) = table.kind().cloud()
            && let Ok(region) = self.aws.region(&value).await
        {
            *message = format!("{} (region {region})", message.trim_end_matches('.'));
        }
    }
}

// === impl Subject ===

impl Subject<'_> {
    pub(crate) fn good(&self, message: impl Into<String>) -> Finding {
        Finding::good(&self.name, message)
    }

    pub(crate) fn warning(&self, message: impl Into<String>) -> Finding {
        Finding::warning(&self.name, message)
    }

    pub(crate) fn error(&self, message: impl Into<String>) -> Finding {
        Finding::error(Kind::Configuration, &self.name, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Severity;

    #[test]
    fn check_errors_name_the_side_that_must_act() {
        let denied = CallError::new("DescribeTargetGroups", Class::Stop, "AccessDenied: no")
            .with_code(Some("AccessDenied"));
        let finding = failed("it", &denied);
        assert_eq!((finding.severity, finding.kind), (Severity::Error, Kind::Permission));
        assert!(finding.help.unwrap().contains("mirrorvip iam-policy"));
        let silent = CallError::new("DescribeTargetGroups", Class::Retry, "no answer in time");
        assert_eq!(failed("it", &silent).kind, Kind::Unavailable);
    }

    #[tokio::test]
    async fn errors_name_the_region_of_a_regional_service() {
        let text = "[[mirror]]\nname = 'PROD'\npeers = 'none'\nprobe.file.path = '/role'\n\
                    [[mirror.classic_elb]]\nload_balancer = 'iris'\nregion = 'eu-west-1'\n\
                    [[mirror.route53]]\nhosted_zone_id = 'Z1'\nrecord = 'db.example.internal'\ntype = 'A'\n";
        let config = crate::provider::parse(text, "test").unwrap();
        let mut sessions = Sessions::new(&config);
        let mut named = Vec::new();
        for table in &config.mirrors[0].targets {
            let mut message = "no such object.".to_owned();
            sessions.name_region(table, &mut message).await;
            named.push(message);
        }
        assert_eq!(named, ["no such object (region eu-west-1)", "no such object."]);
    }
}
