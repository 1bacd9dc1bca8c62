//! What tests and the demo do with a running cloud: set it up, break it, inspect it. A name that does not exist is a
//! mistake of the test and panics.

#![expect(
    clippy::missing_panics_doc,
    reason = "each panics for a name that does not exist, and that is said once"
)]

use std::net::SocketAddr;
use std::time::Duration;

use super::elbv2;
use super::fault::{Fault, FaultId};
use super::journal::{Call, Mutation};
use super::objects::PoolName;
use super::pool::{Health, Target};
use super::record::{RecordKey, RecordSet};
use super::settings::{ClassicBalancer, Settings, TargetGroup};
use super::{Datum, SimulatedCloud, ec2, route53};

/// A target and its health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetHealth {
    /// The target.
    pub target: Target,
    /// Its health.
    pub health: Health,
    /// The state as the API of target groups calls it: `initial`, `healthy`, `draining`, ...
    pub state: &'static str,
}

/// Setting up.
impl SimulatedCloud {
    /// Creates a target group, and its load balancer; returns the group's ARN.
    pub fn create_target_group(&self, group: TargetGroup) -> String {
        let arn = self.shared.lock().objects.create_group(group);
        self.check(PoolName::Group(arn.clone()));
        arn
    }

    /// Creates a classic load balancer.
    pub fn create_classic_balancer(&self, balancer: ClassicBalancer) {
        let name = balancer.name.clone();
        self.shared.lock().objects.create_classic(balancer);
        self.check(PoolName::Classic(name));
    }

    /// Registers a target as an administrator would have done it before; its health must still be found.
    pub fn register(&self, pool: &str, target: Target) {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        let (registered, _) =
            state.objects.pool_mut(&pool_name(pool)).unwrap_or_else(|| panic!("there is no pool {pool}"));
        registered.register(now, target);
        state.journal.occupy(pool.to_owned());
    }

    /// Creates a private hosted zone; returns its id.
    pub fn create_zone(&self, name: &str) -> String {
        self.shared.lock().objects.create_zone(name)
    }

    /// Puts a simple record into a zone as if it had always been there.
    pub fn create_record(&self, zone_id: &str, name: &str, record_type: &str, ttl: u32, values: &[&str]) {
        let record = RecordSet {
            ttl: Some(ttl),
            values: values.iter().map(|&value| value.to_owned()).collect(),
            ..RecordSet::empty(name, record_type)
        };
        let mut state = self.shared.lock();
        let zone = state.objects.zones.get_mut(zone_id);
        let object = route53::object(zone_id, &record);
        zone.unwrap_or_else(|| panic!("there is no zone {zone_id}")).put(record);
        state.journal.occupy(object);
    }

    /// Creates a route table; returns its id.
    pub fn create_route_table(&self) -> String {
        self.shared.lock().objects.create_table()
    }

    /// Puts a route to a member into a table.
    pub fn create_route(&self, table: &str, destination: &str, member: &str) {
        let mut state = self.shared.lock();
        let interface = state.objects.settings.member(member).network_interface.clone();
        let found = state.objects.tables.get_mut(table);
        let routes = &mut found.unwrap_or_else(|| panic!("there is no route table {table}")).routes;
        routes.insert(destination.to_owned(), interface);
        state.journal.occupy(ec2::object(table, destination));
    }

    /// Takes a route out of a table, as an administrator would.
    pub fn delete_route(&self, table: &str, destination: &str) {
        let mut state = self.shared.lock();
        let found = state.objects.tables.get_mut(table);
        found.unwrap_or_else(|| panic!("there is no route table {table}")).routes.remove(destination);
    }

    /// Sets the real address of a member's port, for health checks and clients.
    pub fn place(&self, member: &str, port: u16, address: SocketAddr) {
        self.shared.lock().places.insert((member.to_owned(), port), address);
    }

    /// From here on no process listens on a member's port.
    pub fn displace(&self, member: &str, port: u16) {
        self.shared.lock().places.remove(&(member.to_owned(), port));
    }

    /// Sets how to find out which member is primary: called when a request arrives, and recorded with the changes that the
    /// request makes. It must not call this cloud.
    pub fn know_primary(&self, primary: impl Fn() -> Option<String> + Send + 'static) {
        self.shared.lock().oracle = Some(Box::new(primary));
    }
}

/// Breaking.
impl SimulatedCloud {
    /// Switches a fault on.
    pub fn fault(&self, fault: Fault) -> FaultId {
        let now = self.shared.now();
        self.shared.lock().faults.add(now, fault)
    }

    /// Switches a fault off.
    pub fn clear_fault(&self, fault: FaultId) {
        self.shared.lock().faults.remove(fault);
    }

    /// Switches all faults off. What hangs goes on hanging.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// From here on, reads of load balancers and route tables answer from the state before the last change for this long,
    /// in real time: AWS is eventually consistent. Zero switches it off.
    pub fn lag(&self, lag: Duration) {
        self.shared.lock().objects.lag = lag;
    }

    /// Stops the instance of a member for routes: those that lead to it become black holes.
    pub fn detach(&self, member: &str) {
        let mut state = self.shared.lock();
        let interface = state.objects.settings.member(member).network_interface.clone();
        state.objects.detached.insert(interface);
    }

    /// How many faults are still active.
    pub fn faults_left(&self) -> usize {
        let now = self.shared.now();
        self.shared.lock().faults.left(now)
    }
}

/// Inspecting.
impl SimulatedCloud {
    /// The settings it was started with.
    pub fn settings(&self) -> Settings {
        self.shared.lock().objects.settings.clone()
    }

    /// Every change so far, oldest first.
    pub fn mutations(&self) -> Vec<Mutation> {
        self.shared.lock().journal.mutations()
    }

    /// Every request that was read and answered so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().journal.calls()
    }

    /// Broken invariants: a pool, record or route that had a member, and then none.
    pub fn violations(&self) -> Vec<String> {
        self.shared.lock().journal.violations()
    }

    /// What was put to CloudWatch, oldest first.
    pub fn metrics(&self) -> Vec<Datum> {
        self.shared.lock().objects.metrics.clone()
    }

    /// The health of every target of a target group (by ARN) or classic load balancer (by name).
    pub fn target_health(&self, pool: &str) -> Vec<TargetHealth> {
        let mut state = self.shared.lock();
        let found = state.objects.pool_mut(&pool_name(pool)).map(|(pool, _)| {
            let health = pool.health().map(|(target, health)| TargetHealth {
                target: target.clone(),
                health,
                state: elbv2::words(Some(health)).0,
            });
            health.collect()
        });
        found.unwrap_or_else(|| panic!("there is no pool {pool}"))
    }

    /// The targets that new connections go to, and whether that is because no target is healthy.
    pub fn forwards_to(&self, pool: &str) -> (Vec<Target>, bool) {
        let mut state = self.shared.lock();
        let found = state
            .objects
            .pool_mut(&pool_name(pool))
            .map(|(pool, _)| (pool.forwards_to().into_iter().cloned().collect(), pool.fails_open()));
        found.unwrap_or_else(|| panic!("there is no pool {pool}"))
    }

    /// A record as the service lists it.
    pub fn record(&self, zone_id: &str, name: &str, record_type: &str) -> Option<RecordSet> {
        let key = RecordKey::new(name, record_type, None);
        self.shared.lock().objects.zones.get(zone_id)?.record(&key).cloned()
    }

    /// Every record of a zone.
    pub fn records(&self, zone_id: &str) -> Vec<RecordSet> {
        let state = self.shared.lock();
        state.objects.zones.get(zone_id).map(|zone| zone.list(None).cloned().collect()).unwrap_or_default()
    }

    /// A record as resolvers answer it.
    pub fn resolve(&self, zone_id: &str, name: &str, record_type: &str) -> Option<RecordSet> {
        let key = RecordKey::new(name, record_type, None);
        self.shared.lock().objects.zones.get(zone_id)?.resolve(&key).cloned()
    }

    /// The network interface that a route leads to.
    pub fn route(&self, table: &str, destination: &str) -> Option<String> {
        self.shared.lock().objects.tables.get(table)?.routes.get(destination).cloned()
    }
}

/// Target groups are named by ARN, classic load balancers by name.
fn pool_name(name: &str) -> PoolName {
    if name.starts_with("arn:") {
        PoolName::Group(name.to_owned())
    } else {
        PoolName::Classic(name.to_owned())
    }
}
