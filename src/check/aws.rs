//! The cloud's side of `mirrorvip check`: who one is there, whether everything that is steered can be read,
//! and whether its settings do what they are for. Reads only.
//!
//! Reading is `read`'s business. Judging does no I/O, from settings to findings: `health_check`, `group` and
//! `members` for pools, `record` for records and routes, [`recovery`] for how long clients will wait; `promotion` lets the
//! arbiter rule on a promotion of today. A right to write
//! cannot be tried without writing; `mirrorvip iam-policy` says which are needed.

use serde::Serialize;

use self::promotion::Ownership;
use self::recovery::Recovery;
use super::{Finding, Kind};
use crate::aws::help::{help, is_denied};
use crate::aws::session::{Session, needs_identity};
use crate::clock::Clock;
use crate::config::steering::{Target, Value};
use crate::config::{Config, Mirror};
use crate::steer::{CallError, Class};

mod group;
mod health_check;
mod members;
mod promotion;
mod read;
mod record;
pub mod recovery;

/// What the cloud told.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Online {
    /// What was found.
    pub findings: Vec<Finding>,
    /// How long clients will wait after a promotion, one for each way to them.
    pub recoveries: Vec<Recovery>,
}

/// What was read of one table that matters for a promotion.
enum Read {
    /// A record, and who owns it.
    Record(Ownership),
    /// Nothing that bears an ownership record.
    Other,
    /// It cannot be read.
    Failed,
}

/// What is judged: one table of one mirror.
struct Subject<'a> {
    config: &'a Config,
    mirror: &'a Mirror,
    /// How findings name it.
    name: String,
}

/// Asks AWS about everything that `config` steers there.
pub async fn online(config: &Config, clock: &Clock) -> Online {
    let mut online = Online::default();
    let mut session = Session::new(config);
    let in_cloud = |table: &&Target| !matches!(table, Target::Kubernetes(_) | Target::Hook(_));
    let tables = || config.mirrors.iter().flat_map(|mirror| &mirror.targets).filter(in_cloud);
    if tables().next().is_none() {
        return online;
    }
    if tables().any(needs_identity) {
        online.findings.push(identity(&mut session).await);
    }
    online.findings.push(caller(&mut session).await);
    for mirror in &config.mirrors {
        let mut records = Some(Vec::new());
        for table in &mirror.targets {
            let read = target(config, mirror, table, &mut session, &mut online).await;
            match (read, &mut records) {
                (Read::Record(record), Some(records)) => records.push(record),
                (Read::Other, _) | (Read::Record(_), None) => {}
                (Read::Failed, _) => records = None,
            }
        }
        if mirror.targets.iter().any(Target::moves_traffic) {
            online.findings.extend(promotion::ask(config, mirror, records.as_deref(), clock).await);
        }
    }
    online
}

async fn identity(session: &mut Session) -> Finding {
    const SUBJECT: &str = "instance metadata";
    match session.identity().await {
        Ok(identity) => Finding::good(
            SUBJECT,
            format!("\"auto\" means {}, {} in {}", identity.instance_id, identity.address, identity.region),
        ),
        Err(error) => Finding::error(Kind::Unavailable, SUBJECT, format!("failed to {error}"))
            .explain("aws-identity")
            .help(error.help()),
    }
}

/// Whose rights these are. Asking needs none, so it tells wrong credentials from missing rights.
async fn caller(session: &mut Session) -> Finding {
    const SUBJECT: &str = "AWS credentials";
    let sdk = session.global_sdk().await;
    match crate::aws::query::caller_identity(&sdk).await {
        Ok(caller) => Finding::good(
            SUBJECT,
            format!(
                "good for {} in account {}; whether it may write is not tried: `mirrorvip iam-policy` prints what it \
                 needs",
                caller.arn, caller.account
            ),
        ),
        Err(error) => failed(SUBJECT, &error),
    }
}

async fn target(
    config: &Config,
    mirror: &Mirror,
    table: &Target,
    session: &mut Session,
    online: &mut Online,
) -> Read {
    let subject = |name: &str| Subject { config, mirror, name: format!("mirror {}, {name}", mirror.name) };
    let mut of_record = Read::Other;
    let outcome = match table {
        Target::Elbv2(table) => {
            let group = table.target_group_arn.rsplit(':').next().unwrap_or_default();
            let subject = subject(&format!("elbv2 {group}"));
            let identity = session.identity_for(&Target::Elbv2(table.clone())).await;
            let read = read::group(table, session).await;
            read.map(|group| {
                let own = group.own_target(table, identity.as_ref());
                online.findings.extend(group::judge(&subject, table, &group, own.as_deref()));
                online.recoveries.push(recovery::pool(&subject, table.pool, &group));
            })
            .map_err(|error| (subject.name, error))
        }
        Target::ClassicElb(table) => {
            let subject = subject(&format!("classic_elb {}", table.load_balancer));
            let identity = session.identity_for(&Target::ClassicElb(table.clone())).await;
            let read = read::classic(table, session).await;
            read.map(|group| {
                let own =
                    or_auto(&table.instance_id, identity.as_ref().map(|known| known.instance_id.as_str()));
                online.findings.extend(group::judge_classic(&subject, table, &group, own));
                online.recoveries.push(recovery::pool(&subject, table.pool, &group));
            })
            .map_err(|error| (subject.name, error))
        }
        Target::Route53(table) => {
            let subject = subject(&format!("route53 {}", table.record));
            let read = read::record(table, session).await;
            read.map(|records| {
                online.findings.extend(record::judge(&subject, table, &records));
                online.recoveries.push(recovery::record(&subject, table, &records));
                of_record = Read::Record(Ownership { record: table.record.clone(), mark: records.owner });
            })
            .map_err(|error| (subject.name, error))
        }
        Target::Route(table) => {
            let subject = subject(&format!("route {}", table.destination));
            let read = read::route_tables(table, session).await;
            let interfaces = read::interfaces(table, session).await;
            read.and_then(|tables| {
                online.findings.extend(record::judge_routes(&subject, table, &tables));
                online.recoveries.push(recovery::route(&subject, table));
                online.findings.extend(record::judge_interfaces(&subject, table, &interfaces?));
                Ok(())
            })
            .map_err(|error| (subject.name, error))
        }
        Target::CloudWatch(table) => {
            let subject = subject(&format!("cloudwatch {} {}", table.namespace, table.metric));
            online.findings.push(Finding::good(
                &subject.name,
                "cannot be tried without publishing; the alarm must treat missing data as breaching",
            ));
            online.recoveries.push(recovery::metric(&subject, table));
            Ok(())
        }
        Target::Kubernetes(_) | Target::Hook(_) => Ok(()),
    };
    match outcome {
        Ok(()) => of_record,
        Err((subject, error)) => {
            online.findings.push(failed(&subject, &error));
            Read::Failed
        }
    }
}

/// A read that failed, which the daemon's will, too.
pub(super) fn failed(subject: &str, error: &CallError) -> Finding {
    let kind = match error.class {
        _ if is_denied(error) => Kind::Permission,
        Class::Stop => Kind::Configuration,
        Class::Retry | Class::Throttled | Class::Observe => Kind::Unavailable,
    };
    Finding::error(kind, subject, error.to_string()).explain(error.class.word()).help(help(error))
}

// === impl Subject ===

impl Subject<'_> {
    fn good(&self, message: impl Into<String>) -> Finding {
        Finding::good(&self.name, message)
    }

    fn warning(&self, message: impl Into<String>) -> Finding {
        Finding::warning(&self.name, message)
    }

    fn error(&self, message: impl Into<String>) -> Finding {
        Finding::error(Kind::Configuration, &self.name, message)
    }
}

/// What a value that may be automatic means, as far as it is known.
fn or_auto<'a>(value: &'a Value, auto: Option<&'a str>) -> Option<&'a str> {
    match value {
        Value::Auto => auto,
        Value::Is(text) => Some(text),
    }
}

#[cfg(test)]
mod tests;
