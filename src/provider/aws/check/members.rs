//! Whether a pool's members are as a mirror's should be, and this one among them. PURE.
//!
//! What a state means is said by the steering loops' own reading of it, so that `check` and the daemon agree.

use super::group::{Family, Group, Member};
use crate::finding::Finding;
use crate::provider::check::Subject;
use crate::steer::pool::Health;
use crate::steer::pool::Pool;

/// This member, as a pool names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own<'a> {
    pub(crate) id: &'a str,
    /// `None` where members are known by their id alone.
    pub(crate) port: Option<u16>,
}

/// Found about who is in the pool; `own` is this member as far as it is known.
pub(crate) fn judge(subject: &Subject<'_>, pool: Pool, group: &Group, own: Option<Own<'_>>) -> Vec<Finding> {
    let registered: Vec<_> = group.targets.iter().filter(|target| target.health.is_some()).collect();
    let healthy = registered.iter().filter(|target| target.health == Some(Health::Healthy)).count();
    let mut findings = Vec::new();
    if !registered.is_empty() && healthy == 0 && !group.balancers.is_empty() {
        findings.push(
            subject
                .error(format!("none of its {} members is healthy: it fails open at this moment", registered.len()))
                .help("If there is a primary: is mirrorvip running there, and does its security group allow the health check's port?"),
        );
    }
    if healthy > 1 {
        findings.push(
            subject
                .warning(format!(
                    "{healthy} of its members are healthy: unless several mirrors share it, more than one gets traffic"
                ))
                .help("Ask each member's page yourself: one of them answers 200 that is no primary, or the check does not ask for the page."),
        );
    }
    findings.extend(own.and_then(|own| this_member(subject, pool, &registered, own)));
    findings
}

fn this_member(subject: &Subject<'_>, pool: Pool, registered: &[&Member], own: Own<'_>) -> Option<Finding> {
    let mine = registered.iter().find(|target| target.id == own.id && target.port == own.port);
    let name = match own.port {
        Some(port) => format!("{}:{port}", own.id),
        None => own.id.to_owned(),
    };
    match (mine.and_then(|target| target.health.as_ref().zip(Some(&target.state))), pool) {
        (Some((Health::Unused(why), _)), _) => Some(
            subject
                .error(why)
                .explain("pool-members")
                .help("Correct that before this member becomes primary: mirrorvip cannot."),
        ),
        (Some((Health::Healthy | Health::Unknown(_) | Health::Failing(_), state)), _) => {
            Some(subject.good(format!("{name} is registered and {state}")))
        }
        (None, Pool::AllMembers) => Some(
            subject
                .warning(format!("{name} is not registered: the running daemon registers it"))
                .help("Start the daemon, and ask again."),
        ),
        (None, Pool::PrimaryOnly) => None,
    }
}

/// What must be open and is not asked about: reading security groups, network ACLs and routes would tell less than
/// one look at the members' health does.
pub(crate) fn not_seen(subject: &Subject<'_>, group: &Group) -> Finding {
    let from = match group.family {
        Family::Network => "the load balancer's subnets, or its security group",
        Family::Application | Family::Classic => "the load balancer's security group",
    };
    let listened: Vec<_> =
        subject.config.health.listen.iter().map(|address| address.port().to_string()).collect();
    Finding::untested(
        &subject.name,
        format!(
            "security groups: the members' must let TCP {} in from {from}, besides the clients' port",
            listened.join(" and ")
        ),
    )
}
