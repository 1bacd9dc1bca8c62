//! One object of each kind, steered together: target group, record, overlay route and metric.

use mirrorvip::simulation::cloud::TargetGroup;

use super::zone::{self, HasZone};
use crate::support::cloud::fast_cloud;
use crate::support::stage::{PORT, Peers, Stage, eventually};

const OVERLAY: &str = "192.0.2.10/32";

/// How pool, record and route are read, in the order of the configuration.
const READS: [&str; 3] = ["DescribeTargetHealth", zone::LIST, "DescribeRouteTables"];

/// The objects.
pub(crate) struct Everything {
    pub(crate) group: String,
    zone: String,
    table: String,
}

impl HasZone for Everything {
    fn zone(&self) -> &str {
        &self.zone
    }
}

// === impl Stage ===

impl Stage<Everything> {
    /// Members `a` and `b`, started.
    pub(crate) fn of_everything(peers: Peers) -> Self {
        let mut stage = Self::unstarted(&["a", "b"], peers);
        stage.start_all();
        stage
    }

    /// These members, whose daemons do not run.
    pub(crate) fn unstarted(names: &[&'static str], peers: Peers) -> Self {
        let cloud = fast_cloud();
        let group = cloud.create_target_group(TargetGroup::network("iris"));
        let zone = cloud.create_zone("example.internal");
        cloud.create_record(&zone, zone::RECORD, "A", 5, &["10.0.1.12"]);
        let table = cloud.create_route_table();
        cloud.create_route(&table, OVERLAY, "b");
        let members = cloud.settings().members;
        let members = members.iter().filter(|member| names.contains(&member.name.as_str()));
        let owned: Vec<_> = members.map(|member| member.address.to_string()).collect();
        let targets = format!(
            "[[mirror.elbv2]]\ntarget_group_arn = \"{group}\"\npool = \"primary-only\"\nport = {PORT}\n\
             owned_targets = {owned:?}\n{record}ttl = 5\n\
             [[mirror.route]]\nroute_tables = [\"{table}\"]\ndestination = \"{OVERLAY}\"\n\
             [[mirror.cloudwatch]]\nnamespace = \"Iris\"\nmetric = \"Primary\"\n",
            record = zone::table(&zone),
        );
        Self::new(cloud, Everything { group, zone, table }, names, peers, &targets)
    }

    /// Promotes a member and waits until everything leads to it.
    pub(crate) fn promote_fully(&self, name: &str) {
        self.promote(name);
        self.until_leads_to(name);
    }

    /// Waits until everything leads to this member and to no other.
    pub(crate) fn until_leads_to(&self, name: &str) {
        eventually(&format!("everything leads to {name}"), || self.leads_to(name));
    }

    /// Waits until nothing withholds traffic from the member.
    pub(crate) fn until_serves(&self, name: &str) {
        self.until_ruling(name, &["clear"]);
        self.until_page(name, 200);
        self.until_leads_to(name);
        self.until_fulfilled(name);
    }

    /// Whether pool, record and route lead to this member, and to no other.
    pub(crate) fn leads_to(&self, name: &str) -> bool {
        self.pool_leads_to(name) && self.record_leads_to(name) && self.route_leads_to(name)
    }

    /// Whether this member alone is registered, and healthy.
    pub(crate) fn pool_leads_to(&self, name: &str) -> bool {
        !self.cloud.forwards_to(&self.objects.group).1 && self.is_registered_alone(name)
    }

    fn is_registered_alone(&self, name: &str) -> bool {
        let registered = self.cloud.target_health(&self.objects.group);
        let address = self.address(name);
        registered.len() == 1 && registered.iter().all(|health| health.target.id == address)
    }

    /// Whether nothing was taken from this member, whose daemon may be down.
    pub(crate) fn is_left_to(&self, name: &str) -> bool {
        self.is_registered_alone(name) && self.record_leads_to(name) && self.route_leads_to(name)
    }

    pub(crate) fn route_leads_to(&self, name: &str) -> bool {
        self.cloud.route(&self.objects.table, OVERLAY) == Some(self.host(name).network_interface)
    }

    /// Waits until each loop of this member has read its object again, twice, so that its conclusion from the first read is
    /// carried out; or until it holds: then it has asked the arbiter and waits.
    pub(crate) fn until_considered(&self, name: &str) {
        let before = READS.map(|action| self.answered(name, action));
        eventually(&format!("{name} reads everything again"), || {
            let steering = self.status(name)["steering"].clone();
            READS.iter().enumerate().all(|(place, action)| {
                steering[place]["state"] == "holding" || self.answered(name, action) >= before[place] + 2
            })
        });
    }

    fn answered(&self, name: &str, action: &str) -> usize {
        self.calls_of(name, action).iter().filter(|call| call.error.is_none()).count()
    }
}
