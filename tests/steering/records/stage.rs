//! The members of one mirror, each a real daemon with an instance that does as it is told, and their cloud.

use std::cell::Cell;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mirrorvip::simulation::cloud::{Call, Fault, Mutation, Settings, SimulatedCloud};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::address::{free_port, own_address};
use crate::support::node::{Node, change};
use crate::support::{Daemon, eventually, mirrorvip, now};

/// How long an answer of an instance is believed here.
const STALE_AFTER: Duration = Duration::from_millis(2500);

/// How long the mirror waits for its primary before it promotes another member.
const QOS_TIMEOUT: Duration = Duration::from_secs(3);

/// A drift check is due after half a minute; it and what follows take less than this.
pub(crate) const DRIFT_BOUND: Duration = Duration::from_secs(75);

/// The name of the record in all scenarios.
pub(crate) const RECORD: &str = "db.example.internal";
/// The record that tells whose it is.
pub(crate) const MARK: &str = "_mirrorvip.db.example.internal";

/// Whether the members ask each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    Known,
    Unknown,
}

/// The members, their cloud, and who is primary in truth.
pub(crate) struct Stage {
    /// Before the cloud, so that they end before it.
    members: Vec<Member>,
    pub(crate) cloud: SimulatedCloud,
    primary: Arc<Mutex<Option<String>>>,
    /// How many calls there were when a scenario last turned: looks count from there.
    turned: Cell<usize>,
}

struct Member {
    name: &'static str,
    node: Node,
    config: String,
    daemon: Option<Daemon>,
}

/// A cloud that runs fifty times as fast as AWS.
pub(crate) fn fast_cloud() -> SimulatedCloud {
    let settings = Settings { second: Duration::from_millis(20), ..Settings::default() };
    SimulatedCloud::start(settings).expect("loopback ports are free")
}

/// A zone with the record that an administrator made for a member that is gone.
pub(crate) fn zone_with_record(cloud: &SimulatedCloud) -> String {
    let zone = cloud.create_zone("example.internal");
    cloud.create_record(&zone, RECORD, "A", 60, &["10.0.9.9"]);
    zone
}

/// The table that makes the record of `zone` follow.
pub(crate) fn record_table(zone: &str) -> String {
    format!("[[mirror.route53]]\nhosted_zone_id = \"{zone}\"\nrecord = \"{RECORD}\"\ntype = \"A\"\n")
}

/// Waits until `condition` gives something, for longer than a step takes that need not wait for a drift check.
pub(crate) fn eventually_within<T>(
    bound: Duration,
    what: &str,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let deadline = now() + bound;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

// === impl Stage ===

impl Stage {
    /// Members `a` and `b`, both backup and started, with these steering tables, in which `DIRECTORY` is the
    /// member's own.
    pub(crate) fn new(cloud: SimulatedCloud, peers: Peers, targets: &str) -> Self {
        Self::of(&["a", "b"], cloud, peers, targets)
    }

    /// The same with a third member `c`, an async one for disaster recovery.
    pub(crate) fn of_three(cloud: SimulatedCloud, peers: Peers, targets: &str) -> Self {
        Self::of(&["a", "b", "c"], cloud, peers, targets)
    }

    fn of(names: &[&'static str], cloud: SimulatedCloud, peers: Peers, targets: &str) -> Self {
        let primary = Arc::new(Mutex::new(None));
        let known = Arc::clone(&primary);
        cloud.know_primary(move || known.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let places: Vec<_> = names.iter().map(|name| (*name, free_port(own_address()))).collect();
        let members = places.iter().map(|&(name, own)| {
            let others = places.iter().filter(|(other, _)| peers == Peers::Known && *other != name);
            let mut tables: Vec<String> = others
                .map(|(other, page)| {
                    format!(
                        "[[mirror.peer]]\naddress = \"{other}\"\n\
                         page = \"http://{page}/csp/bin/mirrorstatus.cxw\"\n"
                    )
                })
                .collect();
            tables.push(targets.to_owned());
            Member::new(name, own, peers, &tables.concat())
        });
        let mut stage = Self { members: members.collect(), cloud, primary, turned: Cell::new(0) };
        for name in names {
            let role = if *name == "c" { "disaster-recovery" } else { "backup" };
            stage.start(name);
            eventually(role, || (stage.status(name)["state"] == role).then_some(()));
        }
        stage
    }

    /// Starts a member's daemon.
    pub(crate) fn start(&mut self, name: &str) {
        self.turned.set(self.cloud.calls().len());
        let environment = self.cloud.environment(name);
        let member = self.members.iter_mut().find(|member| member.name == name).expect("a member");
        let mut command = mirrorvip();
        command.envs(environment);
        member.daemon = Some(Daemon::start_with(member.node.path(), &member.config, command));
    }

    /// Stops a member's daemon and starts it again; it remembers what it has written down.
    pub(crate) fn restart(&mut self, name: &str) {
        let member = self.members.iter_mut().find(|member| member.name == name).expect("a member");
        member.daemon.take().expect("it runs").stop();
        self.start(name);
    }

    /// Kills a member's daemon, loses its state, and starts it again.
    pub(crate) fn restart_without_memory(&mut self, name: &str) {
        let member = self.members.iter_mut().find(|member| member.name == name).expect("a member");
        member.daemon.take().expect("it runs").crash();
        fs::remove_dir_all(member.node.path().join("state")).expect("it was written");
        self.start(name);
    }

    /// Reloads a member's daemon with another configuration: `from`, which is there once, becomes `to`.
    pub(crate) fn reload(&mut self, name: &str, from: &str, to: &str) {
        let member = self.members.iter_mut().find(|member| member.name == name).expect("a member");
        member.config = change(&member.config, from, to);
        let line = member.daemon.as_mut().expect("it runs").reload(&member.config);
        assert_eq!(line["message"], "reloaded", "{line}");
    }

    fn member(&self, name: &str) -> &Member {
        self.members.iter().find(|member| member.name == name).expect("a member")
    }

    /// The daemon of a member.
    pub(crate) fn daemon(&self, name: &str) -> &Daemon {
        self.member(name).daemon.as_ref().expect("it runs")
    }

    /// A file of a member's directory.
    pub(crate) fn path(&self, name: &str, file: &str) -> PathBuf {
        self.member(name).node.path().join(file)
    }

    /// The instance of `name` ceases to be primary, and its daemon has understood.
    pub(crate) fn demote(&self, name: &str) {
        let member = self.member(name);
        member.node.iris.set_role("Failover", "Backup").expect("the role can be set");
        self.daemon(name).wait_for_page(503);
        let mut primary = self.primary.lock().unwrap_or_else(PoisonError::into_inner);
        if primary.as_deref() == Some(name) {
            *primary = None;
        }
    }

    /// The mirror makes `name` its primary. What others still say of themselves is their business.
    pub(crate) fn elect(&self, name: &str) {
        let before = self.primary.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if before.is_some_and(|before| before != name) {
            // It has not stepped down, so the mirror waits for it first.
            std::thread::sleep(QOS_TIMEOUT);
        }
        self.turned.set(self.cloud.calls().len());
        *self.primary.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
        self.member(name).node.iris.set_role("Failover", "Primary").expect("the role can be set");
    }

    /// An orderly failover.
    pub(crate) fn fail_over(&self, to: &str) {
        for member in self.members.iter().filter(|member| member.name != to) {
            self.demote(member.name);
        }
        self.elect(to);
    }

    /// Freezes a member: its daemon, and with it the answers of its instance.
    pub(crate) fn freeze(&self, name: &str) {
        self.turned.set(self.cloud.calls().len());
        self.daemon(name).signal(Signal::STOP);
    }

    /// Lets a frozen member go on, after so long that nothing it knew is fresh.
    pub(crate) fn thaw(&self, name: &str) {
        // What is proven is behaviour after this time; nothing has to happen within it.
        std::thread::sleep(QOS_TIMEOUT + Duration::from_millis(500));
        self.turned.set(self.cloud.calls().len());
        self.daemon(name).signal(Signal::CONT);
    }

    /// The status of a member's mirror.
    pub(crate) fn status(&self, name: &str) -> Value {
        self.daemon(name).mirror("PROD")
    }

    /// A member's first steering target.
    pub(crate) fn target(&self, name: &str) -> Value {
        self.status(name)["steering"][0].clone()
    }

    /// Waits until a member's first target is in this state; returns it.
    pub(crate) fn until_target(&self, name: &str, state: &str) -> Value {
        eventually(&format!("{state} of {name}"), || {
            let target = self.target(name);
            (target["state"] == state).then_some(target)
        })
    }

    /// Waits until a member's clients are directed to it in its present epoch.
    pub(crate) fn until_led_to(&self, name: &str) {
        eventually(&format!("clients led to {name}"), || {
            let status = self.status(name);
            let target = &status["steering"][0];
            let done = status["state"] == "primary"
                && target["state"] == "fulfilled"
                && target["ladder"]["epoch"] == status["epoch"]
                && target["ladder"]["fulfilled"].is_string();
            done.then_some(())
        });
    }

    /// Waits until a member's authority is one of these; `holding` is the state of its first target, which another member
    /// has.
    pub(crate) fn until_ruling(&self, name: &str, rulings: &[&str]) {
        eventually_within(DRIFT_BOUND, &format!("{rulings:?} of {name}"), || {
            let status = self.status(name);
            let is = |ruling: &&str| {
                status["authority"]["ruling"] == **ruling || status["steering"][0]["state"] == **ruling
            };
            rulings.iter().any(is).then_some(())
        });
    }

    /// Waits until a member has looked by `action` since the scenario turned last: since a member was elected,
    /// frozen, thawed or started. That is at its next drift check, if nothing makes it look before.
    pub(crate) fn until_looked(&self, name: &str, action: &str) {
        eventually_within(DRIFT_BOUND, &format!("{action} by {name}"), || {
            let calls = self.cloud.calls().into_iter().skip(self.turned.get());
            let mut looks =
                calls.filter(|call| call.member.as_deref() == Some(name) && call.action == action);
            looks.any(|call| call.error.is_none()).then_some(())
        });
    }

    /// The requests of a member that were read and answered.
    pub(crate) fn calls_of(&self, name: &str, action: &str) -> Vec<Call> {
        let calls = self.cloud.calls().into_iter();
        calls.filter(|call| call.member.as_deref() == Some(name) && call.action == action).collect()
    }

    /// The address of a member.
    pub(crate) fn address(&self, name: &str) -> String {
        self.settled(name, |member| member.address.to_string())
    }

    /// The network interface of a member.
    pub(crate) fn interface(&self, name: &str) -> String {
        self.settled(name, |member| member.network_interface.clone())
    }

    fn settled(&self, name: &str, what: fn(&mirrorvip::simulation::cloud::Member) -> String) -> String {
        let settings = self.cloud.settings();
        what(settings.members.iter().find(|member| member.name == name).expect("a member"))
    }

    /// What the record says, as the service lists it.
    pub(crate) fn record(&self, zone: &str) -> Vec<String> {
        self.cloud.record(zone, RECORD, "A").map(|record| record.values).unwrap_or_default()
    }

    /// What the mark beside the record says; empty without one.
    pub(crate) fn mark(&self, zone: &str) -> String {
        self.cloud.record(zone, MARK, "TXT").map(|record| record.values.join(" ")).unwrap_or_default()
    }

    /// Waits until the record leads to `name`, and `name` knows; then nothing may have gone wrong.
    pub(crate) fn record_follows(&self, zone: &str, name: &str) {
        let address = self.address(name);
        eventually(&format!("the record of {name}"), || {
            (self.record(zone) == [address.as_str()]).then_some(())
        });
        self.until_led_to(name);
        assert_eq!(self.record(zone), [address.as_str()]);
        self.assert_clean();
    }

    /// Switches faults on, which the requests of `name` meet.
    pub(crate) fn break_for(&self, name: &str, faults: &[Fault]) {
        for fault in faults {
            self.cloud.fault(fault.clone().by(name));
        }
    }

    /// Nothing was ever left empty, and nobody but the primary moved traffic.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.cloud.violations(), Vec::<String>::new());
        let stolen: Vec<Mutation> = self
            .moves()
            .into_iter()
            .filter(|mutation| mutation.primary.as_ref() != Some(&mutation.member))
            .collect();
        assert!(stolen.is_empty(), "traffic was moved by who was not primary: {stolen:#?}");
    }

    /// The changes so far of where clients are led.
    pub(crate) fn moves(&self) -> Vec<Mutation> {
        self.cloud.mutations().into_iter().filter(Mutation::moved_traffic).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for member in &self.members {
            let log = fs::read_to_string(member.node.path().join("log")).unwrap_or_default();
            eprintln!("=== log of {} ===\n{log}", member.name);
        }
        for mutation in self.cloud.mutations() {
            eprintln!("{mutation:?}");
        }
    }
}

// === impl Member ===

impl Member {
    fn new(name: &'static str, page: SocketAddr, peers: Peers, targets: &str) -> Self {
        let node = Node::backup();
        if name == "c" {
            node.iris.set_role("Disaster Recovery", "Connected").expect("the role can be set");
        }
        let listeners =
            change(&node.listeners(), "listen = [\"127.0.0.1:0\"]", &format!("listen = [\"{page}\"]"));
        let mirror = node.mirror("PROD", "[\"/csp/bin\"]");
        let mirror =
            change(&mirror, "name = \"PROD\"", &format!("name = \"PROD\"\nmember = \"member-{name}\""));
        let mirror = change(&mirror, "timeout = \"5s\"", "timeout = \"2s\"");
        // Many scenarios share a machine with few cores, and each question starts a process.
        let mirror = change(&mirror, "interval = \"100ms\"", "interval = \"200ms\"");
        let stale_after = format!(
            "stale_after = \"{}ms\"\nqos_timeout = \"{}s\"{}",
            STALE_AFTER.as_millis(),
            QOS_TIMEOUT.as_secs(),
            if peers == Peers::Unknown { "\npeers = \"none\"" } else { "" },
        );
        let mirror = change(&mirror, "stale_after = \"6s\"", &stale_after);
        let targets = targets.replace("DIRECTORY", &node.path().display().to_string());
        let config = format!("{listeners}{mirror}\n{targets}");
        Self { name, node, config, daemon: None }
    }
}
