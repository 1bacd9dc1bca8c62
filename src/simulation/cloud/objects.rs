//! The objects of the simulated cloud, and what an action does to them. PURE: services change, time comes in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::api::{ApiError, Request};
use super::ec2::RouteTable;
use super::journal::Touched;
use super::pool::{Pool, Rules, Target};
use super::settings::{ClassicBalancer, HealthCheck, Member, Service, Settings, TargetGroup};
use super::zone::{Delays, Zone};
use super::{classic_elb, cloudwatch, ec2, elbv2, route53, sts};

/// Everything that directs clients, and what was measured.
#[derive(Debug)]
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
    pub(super) metrics: Vec<cloudwatch::Datum>,
    /// How long reads answer from before the last change; zero is not at all.
    pub(super) lag: Duration,
    /// What reads answer from, and until when.
    before: Option<(Duration, Before)>,
    last_id: u64,
}

/// What is read with a lag.
#[derive(Clone, Debug)]
struct Before {
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

/// What an action answers, and what it did.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// What is inside of the result's element.
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
        Self {
            settings,
            groups: BTreeMap::new(),
            classic: BTreeMap::new(),
            zones: BTreeMap::new(),
            tables: BTreeMap::new(),
            detached: BTreeSet::new(),
            metrics: Vec::new(),
            lag: Duration::ZERO,
            before: None,
            last_id: 0,
        }
    }

    /// Carries out an action that the caller may do.
    pub(super) fn answer(
        &mut self,
        now: Duration,
        caller: &Member,
        request: &Request,
    ) -> Result<Answer, ApiError> {
        self.advance(now);
        if request.action.starts_with("Describe") {
            return self.answer_from_before(now, caller, request);
        }
        let before = (!self.lag.is_zero()).then(|| self.copy());
        let answer = self.answer_now(now, caller, request)?;
        if let Some(before) = before.filter(|_| !answer.touched.is_empty()) {
            self.before = Some((now + self.lag, before));
        }
        Ok(answer)
    }

    fn answer_now(&mut self, now: Duration, caller: &Member, request: &Request) -> Result<Answer, ApiError> {
        match request.service {
            Service::Elbv2 => elbv2::answer(self, now, request),
            Service::ClassicElb => classic_elb::answer(self, now, request),
            Service::Route53 => route53::answer(self, now, request),
            Service::Ec2 => ec2::answer(self, request),
            Service::CloudWatch => cloudwatch::answer(self, caller, request),
            Service::Sts => sts::answer(caller, request),
            Service::Metadata => Err(ApiError::new(404, "NotFound", "Not Found")),
        }
    }

    /// Answers a read, from before the last change while that is too young to be seen.
    fn answer_from_before(
        &mut self,
        now: Duration,
        caller: &Member,
        request: &Request,
    ) -> Result<Answer, ApiError> {
        let Some((until, mut before)) = self.before.take().filter(|(until, _)| now < *until) else {
            return self.answer_now(now, caller, request);
        };
        before.swap(self);
        let answer = self.answer_now(now, caller, request);
        before.swap(self);
        self.before = Some((until, before));
        answer
    }

    fn copy(&self) -> Before {
        Before { groups: self.groups.clone(), classic: self.classic.clone(), tables: self.tables.clone() }
    }

    /// Lets happen what was due up to `now`.
    pub(super) fn advance(&mut self, now: Duration) {
        self.groups.values_mut().for_each(|group| group.pool.advance(now));
        self.classic.values_mut().for_each(|balancer| balancer.pool.advance(now));
        self.zones.values_mut().for_each(|zone| zone.advance(now));
    }

    pub(super) fn create_group(&mut self, settings: TargetGroup) -> String {
        let id = self.next_id();
        let attributes = elbv2::group_attributes(&settings);
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
    fn swap(&mut self, objects: &mut Objects) {
        std::mem::swap(&mut self.groups, &mut objects.groups);
        std::mem::swap(&mut self.classic, &mut objects.classic);
        std::mem::swap(&mut self.tables, &mut objects.tables);
    }
}

/// Changes a pool and tells what became of it.
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

/// An answer that only tells.
pub(super) fn told(body: String) -> Answer {
    Answer { body, touched: Vec::new() }
}

/// An action that this cloud does not know.
pub(super) fn unknown(request: &Request) -> ApiError {
    let message = format!("The action {} is not valid for this endpoint.", request.action);
    ApiError::new(400, "InvalidAction", message)
}
