//! The cloud of the demo: a target group that contains only the primary, and a record that names the primary.
//!
//! The daemons find it as they find AWS: endpoints and region in the environment; identity, addresses and credentials at
//! the instance metadata service. They use the real AWS SDK. This module creates the objects and watches them; [`Reigns`]
//! knows which member was primary when, and so whether a write was allowed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::report::{Observed, Reporter};
use super::{BALANCER, DemoError, PAGE_PATH, SAMPLE_INTERVAL};
use crate::clock::Timestamp;
use crate::simulation::MemberId;
use crate::simulation::cloud::{HealthCheck, Mutation, Settings, SimulatedCloud, Target, TargetGroup};

/// The record that names the primary.
pub(crate) const RECORD: &str = "db.example.internal";
/// Name of the target group in the output.
pub(crate) const GROUP: &str = "target group";
/// How long the cloud takes to register a target; AWS takes minutes.
pub(crate) const REGISTRATION: Duration = Duration::from_millis(500);
/// How long the cloud takes until a changed record is resolved; AWS takes up to a minute.
pub(crate) const INSYNC: Duration = Duration::from_millis(500);

/// A second of the cloud: it runs ten times as fast as AWS, as the demo's load balancer does.
const SECOND: Duration = Duration::from_millis(100);
const ZONE: &str = "example.internal";
/// The port that clients use, and the one of the status page, as the cloud knows them.
const CLIENT_PORT: u16 = 1972;
const PAGE_PORT: u16 = 8080;
/// How long a deregistered target finishes its connections, in seconds of the cloud.
const DRAINING: &str = "30";

/// The simulated cloud and what is in it. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Cloud {
    simulated: SimulatedCloud,
    group: String,
    zone: String,
    addresses: [String; 3],
}

/// A change that a member made in the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The member that made it.
    pub(crate) member: MemberId,
    /// When the request had arrived, since the demo began.
    pub(crate) received: Duration,
    /// The action, as AWS calls it.
    pub(crate) action: String,
    /// If the changed object directs clients: its name, and its members before and after.
    pub(crate) directs: Option<(&'static str, String, String)>,
}

/// Which member was primary, and from when. PURE.
///
/// A promotion counts from before it was made visible, and a demotion from after it, so that a write is an error only if
/// the member certainly was not primary.
#[derive(Debug, Default)]
pub(crate) struct Reigns(Vec<(Duration, Option<MemberId>)>);

/// What was last seen in the cloud.
#[derive(Debug, Default)]
struct Seen {
    mutations: u64,
    pool: Vec<MemberId>,
    fails_open: bool,
    record: Option<MemberId>,
}

// === impl Cloud ===

impl Cloud {
    /// Starts a cloud with an empty target group and a zone without the record.
    pub(crate) fn start() -> Result<Self, DemoError> {
        let in_seconds = |length: Duration| length.mul_f64(1.0 / SECOND.as_secs_f64());
        let settings = Settings {
            second: SECOND,
            registration: in_seconds(REGISTRATION),
            insync: in_seconds(INSYNC),
            ..Settings::default()
        };
        let addresses = MemberId::ALL.map(|id| settings.members[id.index()].address.to_string());
        let simulated =
            SimulatedCloud::start(settings).map_err(DemoError::set_up("start the simulated cloud"))?;
        let group = simulated.create_target_group(TargetGroup {
            health_check: HealthCheck {
                path: Some(PAGE_PATH.to_owned()),
                port: Some(PAGE_PORT),
                healthy_threshold: BALANCER.threshold,
                unhealthy_threshold: BALANCER.threshold,
                ..HealthCheck::default()
            },
            attributes: vec![("deregistration_delay.timeout_seconds".to_owned(), DRAINING.to_owned())],
            ..TargetGroup::network("iris")
        });
        let zone = simulated.create_zone(ZONE);
        Ok(Self { simulated, group, zone, addresses })
    }

    /// The environment variables through which a member's daemon finds the cloud.
    pub(crate) fn environment(&self, member: MemberId) -> Vec<(String, String)> {
        self.simulated.role_environment(member.directory())
    }

    /// The steering tables of every member's configuration.
    pub(crate) fn tables(&self) -> String {
        let owned = self.addresses.each_ref().map(|address| format!("\"{address}\"")).join(", ");
        format!(
            "\n[[mirror.elbv2]]\ntarget_group_arn = \"{group}\"\npool = \"primary-only\"\n\
             target_id = \"auto\"\nport = {CLIENT_PORT}\nowned_targets = [{owned}]\n\n\
             [[mirror.route53]]\nhosted_zone_id = \"{zone}\"\nrecord = \"{RECORD}\"\ntype = \"A\"\n\
             value = \"auto\"\nttl = 5\n",
            group = self.group,
            zone = self.zone,
        )
    }

    /// A member's address in the cloud.
    pub(crate) fn address(&self, member: MemberId) -> &str {
        &self.addresses[member.index()]
    }

    /// Sets the real addresses of a member's page and of its port for clients.
    pub(crate) fn place(&self, member: MemberId, page: std::net::SocketAddr, server: std::net::SocketAddr) {
        self.simulated.place(member.directory(), PAGE_PORT, page);
        self.simulated.place(member.directory(), CLIENT_PORT, server);
    }

    /// Broken invariants: the target group or the record had a member, and then none.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.simulated.violations()
    }

    /// How often the cloud was changed.
    pub(crate) fn writes(&self) -> usize {
        self.simulated.mutations().len()
    }

    fn members<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> Vec<MemberId> {
        let member = |value: &str| {
            // A target is `ADDRESS:PORT`, a record's value the bare address.
            let address = value.split(':').next().unwrap_or(value);
            MemberId::ALL.into_iter().find(|id| self.addresses[id.index()] == address)
        };
        values.into_iter().filter_map(member).collect()
    }

    fn describe(&self, began: Timestamp, mutation: Mutation) -> Option<Written> {
        let member = MemberId::ALL.into_iter().find(|id| id.directory() == mutation.member)?;
        let kind = if mutation.object == self.group {
            Some(GROUP)
        } else if mutation.object.ends_with("/A") {
            Some("record")
        } else {
            None
        };
        let names = |values: &[String]| name(&self.members(values.iter().map(String::as_str)));
        Some(Written {
            member,
            received: began.age_at(mutation.received),
            directs: kind.map(|kind| (kind, names(&mutation.before), names(&mutation.after))),
            action: mutation.action,
        })
    }
}

/// Watches the cloud and reports what changes, until the task is aborted.
pub(crate) async fn watch(cloud: Arc<Cloud>, began: Timestamp, reporter: Reporter) {
    let mut seen = Seen::default();
    loop {
        for mutation in cloud.simulated.mutations() {
            if mutation.number <= seen.mutations {
                continue;
            }
            seen.mutations = mutation.number;
            let at = began.age_at(mutation.applied);
            if let Some(written) = cloud.describe(began, mutation) {
                reporter.report(at, Observed::Written(Box::new(written))).await;
            }
        }
        let (targets, fails_open) = cloud.simulated.forwards_to(&cloud.group);
        // An empty group fails open as well, which does not matter.
        let fails_open = fails_open && !targets.is_empty();
        let pool = cloud.members(targets.iter().map(|target: &Target| target.id.as_str()));
        if pool != seen.pool || fails_open != seen.fails_open {
            (seen.pool, seen.fails_open) = (pool.clone(), fails_open);
            reporter.report(reporter.now(), Observed::Group { members: pool, fails_open }).await;
        }
        let resolved = cloud.simulated.resolve(&cloud.zone, RECORD, "A");
        let values = resolved.iter().flat_map(|record| &record.values);
        let record = cloud.members(values.map(String::as_str)).first().copied();
        if record != seen.record {
            seen.record = record;
            reporter.report(reporter.now(), Observed::Record(record)).await;
        }
        sleep(SAMPLE_INTERVAL).await;
    }
}

/// The members' names in one word.
pub(crate) fn name(members: &[MemberId]) -> String {
    let names: Vec<_> = members.iter().map(|member| member.name()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join("+") }
}

// === impl Reigns ===

impl Reigns {
    /// Records that the mirror changed between `before` and `after`, and that `primary` is the result.
    pub(crate) fn record(&mut self, before: Duration, after: Duration, primary: Option<MemberId>) {
        if self.0.last().and_then(|&(_, last)| last) != primary {
            let since = if primary.is_some() { before } else { after };
            self.0.push((since, primary));
        }
    }

    /// Whether `member` was the primary at `at`.
    pub(crate) fn was_primary(&self, member: MemberId, at: Duration) -> bool {
        let reign = self.0.iter().rev().find(|&&(since, _)| since <= at);
        reign.is_some_and(|&(_, primary)| primary == Some(member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_may_write_from_its_promotion_to_its_demotion() {
        let ms = Duration::from_millis;
        let mut reigns = Reigns::default();
        assert!(!reigns.was_primary(MemberId::A, ms(0)), "no member was announced");
        reigns.record(ms(10), ms(12), Some(MemberId::A));
        reigns.record(ms(15), ms(16), Some(MemberId::A));
        reigns.record(ms(20), ms(22), None);
        reigns.record(ms(30), ms(32), Some(MemberId::B));
        for (at, primary) in [
            (9, None),
            (10, Some(MemberId::A)),
            (21, Some(MemberId::A)),
            (22, None),
            (29, None),
            (30, Some(MemberId::B)),
        ] {
            for member in MemberId::ALL {
                assert_eq!(reigns.was_primary(member, ms(at)), primary == Some(member), "{member} at {at}");
            }
        }
    }

    #[test]
    fn its_tables_are_a_valid_configuration() {
        let cloud = Cloud::start().expect("loopback has free ports");
        let text = format!(
            "state_directory = \"/tmp/state\"\n[[mirror]]\nname = \"DEMO\"\nmember = \"a\"\npeers = \"none\"\n\
             [mirror.probe.qlist]\ninstance = \"IRIS\"\n{}",
            cloud.tables()
        );
        let config =
            crate::provider::parse(&text, "demo").unwrap_or_else(|report| panic!("{}", report.render(false)));
        assert_eq!(config.mirrors[0].targets.len(), 2);
        assert_eq!(cloud.members(["10.0.1.12:1972", "10.0.1.13", "10.9.9.9"]), [MemberId::B, MemberId::C]);
    }
}
