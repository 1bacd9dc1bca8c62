//! The objects of the simulated cloud, which the services' actions change. PURE: time is passed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::api::{ApiError, Request};
use super::elbv2::attributes::group_attributes;
use super::journal::Touched;
use super::pool::{Pool, Rules, Target};
use super::settings::{ClassicBalancer, HealthCheck, Member, Settings, TargetGroup};
use super::zone::{Delays, Zone};

/// Everything that directs clients, and what was measured.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) settings: Settings,
    /// By ARN.
    pub(super) groups: BTreeMap<String, Group>,
    /// By name.
    pub(super) classic: BTreeMap<String, Classic>,
    /// By id, without `/hostedzone/`.
    pub(super) zones: BTreeMap<String, Zone>,
    /// By id.
    pub(super) tables: BTreeMap<String, RouteTable>,
    /// Network interfaces that are attached to no instance that runs.
    pub(super) detached: BTreeSet<String>,
    pub(super) metrics: Vec<Datum>,
    /// How long reads answer from the state before the last change; zero means not at all.
    pub(super) lag: Duration,
    /// The state that reads answer from, and until when.
    pub(super) before: Option<(Duration, Before)>,
    last_id: u64,
}

/// What is read with a lag.
#[derive(Clone, Debug)]
pub(super) struct Before {
    groups: BTreeMap<String, Group>,
    classic: BTreeMap<String, Classic>,
    tables: BTreeMap<String, RouteTable>,
}

/// A target group and its targets.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) settings: TargetGroup,
    /// Numbers it in ARNs.
    pub(super) id: u64,
    pub(super) pool: Pool,
}

/// A classic load balancer and its instances.
#[derive(Clone, Debug)]
pub(super) struct Classic {
    pub(super) settings: ClassicBalancer,
    pub(super) pool: Pool,
}

/// A route table: destination to the network interface it leads to.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteTable {
    pub(super) routes: BTreeMap<String, String>,
}

/// One datum of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Datum {
    /// The member that put it.
    pub member: String,
    /// The metric's namespace.
    pub namespace: String,
    /// Its name.
    pub metric: String,
    /// Its dimensions.
    pub dimensions: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// What an action answers, and what it did.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The content of the result's element.
    pub(super) body: String,
    pub(super) touched: Vec<Touched>,
}

/// Names a pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PoolName {
    /// A target group's ARN.
    Group(String),
    /// A classic load balancer's name.
    Classic(String),
}

// === impl Objects ===

impl Objects {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    pub(super) fn copy(&self) -> Before {
        Before { groups: self.groups.clone(), classic: self.classic.clone(), tables: self.tables.clone() }
    }

    /// Applies what is due up to `now`.
    pub(super) fn advance(&mut self, now: Duration) {
        self.groups.values_mut().for_each(|group| group.pool.advance(now));
        self.classic.values_mut().for_each(|balancer| balancer.pool.advance(now));
        self.zones.values_mut().for_each(|zone| zone.advance(now));
    }

    pub(super) fn create_group(&mut self, settings: TargetGroup) -> String {
        let id = self.next_id();
        let attributes = group_attributes(&settings);
        let draining = attributes.get("deregistration_delay.timeout_seconds");
        let draining = draining.and_then(|seconds| seconds.parse().ok()).unwrap_or(300);
        let rules = self.rules(&settings.health_check, 1, draining, settings.in_use);
        let group = Group { settings, id, pool: Pool::new(rules) };
        let arn = group.arn(&self.settings);
        self.groups.insert(arn.clone(), group);
        arn
    }

    pub(super) fn create_classic(&mut self, settings: ClassicBalancer) {
        let first_passes = settings.health_check.healthy_threshold;
        let rules = self.rules(&settings.health_check, first_passes, settings.draining, true);
        let name = settings.name.clone();
        self.classic.insert(name, Classic { settings, pool: Pool::new(rules) });
    }

    pub(super) fn create_zone(&mut self, name: &str) -> String {
        let id = format!("Z{:020X}", self.next_id());
        let delays = Delays {
            processing: self.settings.real(self.settings.processing),
            insync: self.settings.real(self.settings.insync),
        };
        self.zones.insert(id.clone(), Zone::new(name, delays));
        id
    }

    pub(super) fn create_table(&mut self) -> String {
        let id = format!("rtb-{:017x}", self.next_id());
        self.tables.insert(id.clone(), RouteTable::default());
        id
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The pool of this name and how its health is checked.
    pub(super) fn pool_mut(&mut self, name: &PoolName) -> Option<(&mut Pool, &HealthCheck)> {
        match name {
            PoolName::Group(arn) => {
                self.groups.get_mut(arn).map(|group| (&mut group.pool, &group.settings.health_check))
            }
            PoolName::Classic(name) => {
                self.classic.get_mut(name).map(|classic| (&mut classic.pool, &classic.settings.health_check))
            }
        }
    }

    /// The member that an instance id or address belongs to.
    pub(super) fn member_of(&self, id: &str) -> Option<&Member> {
        let is_it = |member: &&Member| member.instance_id == id || member.address.to_string() == id;
        self.settings.members.iter().find(is_it)
    }

    fn rules(&self, check: &HealthCheck, first_passes: u32, draining: u32, in_use: bool) -> Rules {
        Rules {
            first_passes,
            healthy_threshold: check.healthy_threshold,
            unhealthy_threshold: check.unhealthy_threshold,
            registration: self.settings.real(self.settings.registration),
            draining: self.settings.real(Duration::from_secs(draining.into())),
            in_use,
        }
    }
}

// === impl Before ===

impl Before {
    pub(super) fn swap(&mut self, objects: &mut Objects) {
        std::mem::swap(&mut self.groups, &mut objects.groups);
        std::mem::swap(&mut self.classic, &mut objects.classic);
        std::mem::swap(&mut self.tables, &mut objects.tables);
    }
}

/// Changes a pool and returns its members before and after.
pub(super) fn touch_pool(object: &str, pool: &mut Pool, change: impl FnOnce(&mut Pool)) -> Touched {
    let registered = |pool: &Pool| pool.registered().into_iter().map(Target::to_string).collect();
    let before = registered(pool);
    change(pool);
    Touched { object: object.to_owned(), before, after: registered(pool) }
}

/// An answer without a result.
pub(super) fn done(touched: Vec<Touched>) -> Answer {
    Answer { body: String::new(), touched }
}

/// An answer of an action that changes nothing.
pub(super) fn answered(body: String) -> Answer {
    Answer { body, touched: Vec::new() }
}

/// An action that this cloud does not know.
pub(super) fn unknown(request: &Request) -> ApiError {
    let message = format!("The action {} is not valid for this endpoint.", request.action);
    ApiError::new(400, "InvalidAction", message)
}
