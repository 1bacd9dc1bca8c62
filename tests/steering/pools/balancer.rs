//! A load balancer before the members: its pool, where it leads clients, and what must hold in every story.

use mirrorvip::simulation::cloud::{
    ClassicBalancer, HealthCheck, Mutation, SimulatedCloud, Target, TargetGroup,
};

use crate::support::cloud::fast_cloud;
use crate::support::stage::{PORT, Peers, Stage, eventually};

/// Which load balancer, and which members are registered with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pool {
    /// A target group with every member.
    AllMembers,
    /// A target group with the primary alone.
    PrimaryOnly,
    /// A classic load balancer with every member.
    ClassicAllMembers,
    /// A classic load balancer with the primary alone.
    ClassicPrimaryOnly,
}

/// A load balancer.
pub(crate) struct Balancer {
    pool: Pool,
    /// The ARN of the group or the name of the classic load balancer.
    id: String,
}

// === impl Pool ===

impl Pool {
    fn is_classic(self) -> bool {
        matches!(self, Self::ClassicAllMembers | Self::ClassicPrimaryOnly)
    }

    fn has_all_members(self) -> bool {
        matches!(self, Self::AllMembers | Self::ClassicAllMembers)
    }

    fn create(self, cloud: &SimulatedCloud) -> String {
        if !self.is_classic() {
            return cloud.create_target_group(TargetGroup::network("iris"));
        }
        cloud.create_classic_balancer(ClassicBalancer {
            name: "iris".to_owned(),
            port: PORT,
            health_check: HealthCheck::default(),
            cross_zone: true,
            draining: 60,
        });
        "iris".to_owned()
    }

    /// The table that makes it follow.
    fn table(self, cloud: &SimulatedCloud, id: &str, names: &[&str]) -> String {
        let members = cloud.settings().members.into_iter();
        let members = members.filter(|member| names.contains(&member.name.as_str()));
        let (table, owns, owned): (_, _, Vec<_>) = if self.is_classic() {
            let ids = members.map(|member| member.instance_id);
            (format!("[[mirror.classic_elb]]\nload_balancer = \"{id}\"\n"), "owned_instances", ids.collect())
        } else {
            let addresses = members.map(|member| member.address.to_string());
            let table = format!("[[mirror.elbv2]]\ntarget_group_arn = \"{id}\"\nport = {PORT}\n");
            (table, "owned_targets", addresses.collect())
        };
        if self.has_all_members() {
            table + "pool = \"all-members\"\n"
        } else {
            format!("{table}pool = \"primary-only\"\n{owns} = {owned:?}\n")
        }
    }
}

// === impl Stage ===

impl Stage<Balancer> {
    /// A mirror of these members; no daemon runs.
    pub(crate) fn of_pool(pool: Pool, peers: Peers, names: &[&'static str]) -> Self {
        let cloud = fast_cloud();
        let id = pool.create(&cloud);
        let table = pool.table(&cloud, &id, names);
        Self::new(cloud, Balancer { pool, id }, names, peers, &table)
    }

    /// The mirror in its usual state: daemons run, `a` is the primary and the cloud leads to it.
    pub(crate) fn at_rest(pool: Pool, peers: Peers, names: &[&'static str]) -> Self {
        let mut stage = Self::of_pool(pool, peers, names);
        stage.start_all();
        stage.promote("a");
        stage.until_leads_to("a");
        if peers == Peers::Asked {
            // A pool carries no term: the others learn it when they ask.
            for name in names {
                stage.until_term(name, 1);
            }
        }
        stage
    }

    /// An orderly failover, up to its end.
    pub(crate) fn hand_over(&self, to: &str) {
        self.fail_over(to);
        self.until_leads_to(to);
    }

    /// A member's target.
    pub(crate) fn registration(&self, name: &str) -> Target {
        let host = self.host(name);
        let id = if self.objects.pool.is_classic() { host.instance_id } else { host.address.to_string() };
        Target { id, port: PORT }
    }

    /// Registers a member as an administrator would have done before.
    pub(crate) fn register(&self, name: &str) {
        self.cloud.register(&self.objects.id, self.registration(name));
    }

    /// What is registered, draining targets left out.
    pub(crate) fn registered(&self) -> Vec<Target> {
        let health = self.cloud.target_health(&self.objects.id);
        health.into_iter().filter(|one| one.state != "draining").map(|one| one.target).collect()
    }

    /// Waits until new connections go to this member alone, and its loop has nothing left to do.
    pub(crate) fn until_leads_to(&self, name: &str) {
        eventually(&format!("clients led to {name}"), || self.leads_to(name));
        self.until_fulfilled(name);
    }

    /// Whether new connections go to this member and to no other, because it alone is healthy.
    pub(crate) fn leads_to(&self, name: &str) -> bool {
        self.cloud.forwards_to(&self.objects.id) == (vec![self.registration(name)], false)
    }

    /// Changes that a member asked for.
    pub(crate) fn mutations_by(&self, name: &str) -> Vec<Mutation> {
        self.cloud.mutations().into_iter().filter(|mutation| mutation.member == name).collect()
    }

    /// How often a member has read the pool.
    pub(crate) fn reads_by(&self, name: &str) -> usize {
        let reads = ["DescribeTargetHealth", "DescribeInstanceHealth"];
        reads.map(|action| self.calls_of(name, action).len()).iter().sum()
    }

    /// What holds in every story: no pool was left empty, and every request that moved traffic came from the primary of that
    /// moment. A member that registers itself where all members belong moves none.
    pub(crate) fn assert_safe(&self) {
        self.assert_clean_but(|mutation| {
            !mutation.moved_traffic() || self.objects.pool.has_all_members() && self.is_enrolment(mutation)
        });
    }

    fn is_enrolment(&self, mutation: &Mutation) -> bool {
        let own = self.registration(&mutation.member);
        let names = |text: &str| text == own.to_string() || text == own.id;
        mutation.before.iter().all(|target| mutation.after.contains(target))
            && mutation.after.iter().all(|target| mutation.before.contains(target) || names(target))
    }
}
