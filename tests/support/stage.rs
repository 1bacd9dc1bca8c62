//! A mirror whose members are real daemons in a simulated cloud. Each member has an `iris` command that reports the role that
//! the test wants, and asks the others through relays that can be cut. The test alone decides which member is the primary; the
//! cloud notes that beside every change.
//!
//! A stage is the same for every kind of steering target; what is known of the objects of a kind is in an `impl` for them.

mod watch;

use std::cell::Cell;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mirrorvip::simulation::cloud::{self, Fault, SimulatedCloud};
use rustix::process::Signal;

use super::address::{free_port, own_address};
use super::node::{Node, change};
use super::relay::{Relay, Way};
use super::{Daemon, eventually_within, mirrorvip};

/// The port that clients use.
pub const PORT: u16 = 1972;

/// The port that a load balancer checks, as the cloud knows it.
const PAGE: u16 = 8080;

/// How long an answer of an instance is valid here.
pub const STALE_AFTER: Duration = Duration::from_millis(2500);

/// How long the mirror waits for its primary before it promotes another member.
const QOS_TIMEOUT: Duration = Duration::from_secs(3);

/// No step takes this long: a drift check is due after 5 s, the longest pause of a loop is 10 s, a call that hangs is abandoned
/// after 2.5 s, and a target needs a few checks to become healthy. The rest is for a busy machine.
const BOUND: Duration = Duration::from_secs(45);

/// Whether the members ask each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    Asked,
    None,
}

/// The members, their cloud with its `objects`, and which member is the true primary.
pub struct Stage<Objects = ()> {
    /// Before the cloud, so that the daemons end before it.
    members: Vec<Member>,
    pub cloud: SimulatedCloud,
    pub objects: Objects,
    primary: Arc<Mutex<Option<String>>>,
    /// How many calls there were at the last turn of the story: reads count from there.
    turned: Cell<usize>,
}

struct Member {
    name: &'static str,
    node: Node,
    page: SocketAddr,
    /// To the page of each peer.
    relays: Vec<(&'static str, Relay)>,
    config: String,
    daemon: Option<Daemon>,
}

// === impl Stage ===

impl<Objects> Stage<Objects> {
    /// A mirror of these members with these steering tables, in which `DIRECTORY` is the member's own; no daemon runs. The
    /// instances are backups, but `c`, which is for disaster recovery.
    pub fn new(
        cloud: SimulatedCloud,
        objects: Objects,
        names: &[&'static str],
        peers: Peers,
        targets: &str,
    ) -> Self {
        let primary = Arc::new(Mutex::new(None));
        let truth = Arc::clone(&primary);
        cloud.know_primary(move || truth.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let host = own_address();
        let pages: Vec<_> = names.iter().map(|&name| (name, free_port(host))).collect();
        let members = pages.iter().map(|&(name, page)| {
            cloud.place(name, PAGE, page);
            let others = pages.iter().filter(|(other, _)| peers == Peers::Asked && *other != name);
            let relays = others.map(|&(other, page)| (other, Relay::to(page))).collect();
            Member::new(&cloud, name, page, peers, relays, targets)
        });
        let stage = Self { members: members.collect(), cloud, objects, primary, turned: Cell::new(0) };
        for name in names {
            stage.rest(name);
        }
        stage
    }

    /// The same with every daemon started, so that a promotion is seen and not found.
    pub fn started(
        cloud: SimulatedCloud,
        objects: Objects,
        names: &[&'static str],
        peers: Peers,
        targets: &str,
    ) -> Self {
        let mut stage = Self::new(cloud, objects, names, peers, targets);
        stage.start_all();
        stage
    }

    /// Starts every daemon, and waits until each has asked its instance.
    pub fn start_all(&mut self) {
        let names: Vec<_> = self.members.iter().map(|member| member.name).collect();
        for name in &names {
            self.start(name);
        }
        for name in &names {
            self.until_at_rest(name);
        }
    }

    fn member(&self, name: &str) -> &Member {
        self.members.iter().find(|member| member.name == name).expect("a member")
    }

    fn member_mut(&mut self, name: &str) -> &mut Member {
        self.members.iter_mut().find(|member| member.name == name).expect("a member")
    }

    /// A file of a member's directory.
    pub fn path(&self, name: &str, file: &str) -> PathBuf {
        self.member(name).node.path().join(file)
    }

    /// A member as the cloud knows it.
    pub fn host(&self, name: &str) -> cloud::Member {
        let members = self.cloud.settings().members;
        members.into_iter().find(|member| member.name == name).expect("a member of the cloud")
    }

    /// The address of a member.
    pub fn address(&self, name: &str) -> String {
        self.host(name).address.to_string()
    }
}

/// What happens to the configuration and the daemons.
impl<Objects> Stage<Objects> {
    /// Adds keys to the `[[mirror]]` table of a member whose daemon does not run.
    pub fn configure(&mut self, name: &str, keys: &str) {
        self.reconfigure(name, "name = \"PROD\"\n", &format!("name = \"PROD\"\n{keys}"));
    }

    /// `from`, which is there once, becomes `to` in the configuration of a member whose daemon does not run.
    pub fn reconfigure(&mut self, name: &str, from: &str, to: &str) {
        let member = self.member_mut(name);
        member.config = change(&member.config, from, to);
    }

    /// The same for a member whose daemon runs, and reloads.
    pub fn reload(&mut self, name: &str, from: &str, to: &str) {
        self.reconfigure(name, from, to);
        let member = self.member_mut(name);
        let line = member.daemon.as_mut().expect("it runs").reload(&member.config);
        assert_eq!(line["message"], "reloaded", "{line}");
    }

    /// The same for a member that is to have no peer any more.
    pub fn remove_peers(&mut self, name: &str) {
        let config = &self.member(name).config;
        let peers = config[config.find("[[mirror.peer]]").expect("it has a peer")..].to_owned();
        self.reload(name, &peers, "");
    }

    /// Adds a peer that the test plays to a member whose daemon does not run.
    pub fn add_peer(&mut self, name: &str, address: &str, page: SocketAddr) {
        self.member_mut(name).config += &peer_table(address, page);
    }

    /// Starts a member's daemon.
    pub fn start(&mut self, name: &str) {
        self.turn();
        let mut command = mirrorvip();
        command.env_remove("AWS_EC2_METADATA_DISABLED").envs(self.cloud.environment(name));
        let member = self.member_mut(name);
        member.daemon = Some(Daemon::start_with(member.node.path(), &member.config, command));
    }

    /// Stops a member's daemon.
    pub fn stop(&mut self, name: &str) {
        let status = self.member_mut(name).daemon.take().expect("it runs").stop();
        assert!(status.success(), "the daemon of {name} ended with {status}");
    }

    /// Stops a member's daemon and starts it again; it remembers what it has written down.
    pub fn restart(&mut self, name: &str) {
        self.stop(name);
        self.start(name);
    }

    /// Kills a member's daemon.
    pub fn kill(&mut self, name: &str) {
        self.member_mut(name).daemon.take().expect("it runs").crash();
    }

    /// Removes the state of a member whose daemon does not run.
    pub fn lose_state(&self, name: &str) {
        fs::remove_dir_all(self.path(name, "state")).expect("the daemon has written it");
    }

    /// Kills a member's daemon, loses its state, and starts it again.
    pub fn restart_without_memory(&mut self, name: &str) {
        self.kill(name);
        self.lose_state(name);
        self.start(name);
    }

    /// The host of a member is gone, and with it everything that ran there.
    pub fn crash(&mut self, name: &str) {
        self.cloud.displace(name, PAGE);
        self.kill(name);
        self.rest(name);
        self.decide(None);
    }

    /// A host that was gone is back, and its instance is a backup.
    pub fn bring_back(&mut self, name: &str) {
        self.cloud.place(name, PAGE, self.member(name).page);
        self.start(name);
    }

    /// Freezes a member: its daemon, and with it the answers of its instance.
    pub fn freeze(&self, name: &str) {
        self.turn();
        self.daemon(name).signal(Signal::STOP);
    }

    /// Lets a frozen member run again, after so long that nothing it knew is fresh.
    pub fn thaw(&self, name: &str) {
        // What is proven is behaviour after this time; nothing has to happen within it.
        std::thread::sleep(QOS_TIMEOUT + Duration::from_millis(500));
        self.resume(name);
    }

    /// Lets a frozen member run again at once.
    pub fn resume(&self, name: &str) {
        self.turn();
        self.daemon(name).signal(Signal::CONT);
    }

    /// Decides what becomes of connections between this member and every other, in both directions.
    pub fn set_ways_of(&self, name: &str, way: Way) {
        for member in &self.members {
            for (to, relay) in &member.relays {
                if member.name == name || *to == name {
                    relay.set(way);
                }
            }
        }
    }

    /// Cuts a member off from its peers, the load balancer and the cloud.
    pub fn isolate(&self, name: &str) {
        self.cloud.displace(name, PAGE);
        self.set_ways_of(name, Way::Refused);
        self.cloud.fault(Fault::new(cloud::Effect::Hang).by(name));
    }

    /// The end of that, and of all faults.
    pub fn heal(&self, name: &str) {
        self.turn();
        self.cloud.place(name, PAGE, self.member(name).page);
        self.set_ways_of(name, Way::Open);
        self.cloud.clear_faults();
    }

    fn turn(&self) {
        self.turned.set(self.cloud.calls().len());
    }
}

/// What happens to the instances.
impl<Objects> Stage<Objects> {
    fn primary(&self) -> MutexGuard<'_, Option<String>> {
        self.primary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides which member is the true primary; the instances report what they did.
    pub fn decide(&self, primary: Option<&str>) {
        *self.primary() = primary.map(str::to_owned);
    }

    /// The instance of a member reports that it is the primary.
    pub fn claim(&self, name: &str) {
        self.member(name).node.iris.set_role("Failover", "Primary").expect("the role can be set");
    }

    /// The instance of a member reports what it is when it is not the primary.
    pub fn rest(&self, name: &str) {
        let (kind, status) =
            if name == "c" { ("Disaster Recovery", "Connected") } else { ("Failover", "Backup") };
        self.member(name).node.iris.set_role(kind, status).expect("the role can be set");
    }

    /// The mirror makes a member its primary. Instances that still report that they are it are wrong.
    pub fn promote(&self, name: &str) {
        let before = self.primary().clone();
        if before.is_some_and(|before| before != name) {
            // It has not stepped down, so the mirror waits for it first.
            std::thread::sleep(QOS_TIMEOUT);
        }
        self.turn();
        self.decide(Some(name));
        self.claim(name);
    }

    /// The instance of a member is not the primary, and its daemon, if it runs, knows.
    pub fn demote(&self, name: &str) {
        self.rest(name);
        if self.member(name).daemon.is_some() {
            self.until_at_rest(name);
            self.until_page(name, 503);
        }
        if self.primary().as_deref() == Some(name) {
            self.decide(None);
        }
    }

    /// An orderly failover.
    pub fn fail_over(&self, to: &str) {
        for member in self.members.iter().filter(|member| member.name != to) {
            self.demote(member.name);
        }
        self.promote(to);
    }
}

impl<Objects> Drop for Stage<Objects> {
    #[expect(clippy::print_stderr, reason = "a failing test shows the logs of the daemons that it ran")]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for member in &self.members {
            let log = fs::read_to_string(member.node.path().join("log")).unwrap_or_default();
            eprintln!("=== {} ===\n{}\n=== log ===\n{log}", member.name, member.config);
        }
        for mutation in self.cloud.mutations() {
            eprintln!("{mutation:?}");
        }
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(BOUND, what, condition);
}

// === impl Member ===

impl Member {
    fn new(
        cloud: &SimulatedCloud,
        name: &'static str,
        page: SocketAddr,
        peers: Peers,
        relays: Vec<(&'static str, Relay)>,
        targets: &str,
    ) -> Self {
        let node = Node::backup();
        let directory = node.path().display();
        // Many of these tests share a machine with few cores, and each question starts a process: hence 200 ms.
        let mut config = format!(
            "state_directory = \"{directory}/state\"\n\
             [health]\nlisten = \"{page}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [[mirror]]\nname = \"PROD\"\nmember = \"{name}\"\ninterval = \"200ms\"\ntimeout = \"2s\"\n\
             stale_after = \"{stale_after}ms\"\nqos_timeout = \"{qos_timeout}s\"\ndrift_interval = \"5s\"\n{peers}\
             [mirror.probe.qlist]\ninstance = \"IRIS\"\ncommand = \"{command}\"\n",
            stale_after = STALE_AFTER.as_millis(),
            qos_timeout = QOS_TIMEOUT.as_secs(),
            peers = if peers == Peers::None { "peers = \"none\"\n" } else { "" },
            command = node.iris.command().display(),
        );
        for (other, relay) in &relays {
            let members = cloud.settings().members;
            let peer = members.iter().find(|member| member.name == *other).expect("a member of the cloud");
            config += &peer_table(&peer.address.to_string(), relay.address());
        }
        config += &targets.replace("DIRECTORY", &directory.to_string());
        Self { name, node, page, relays, config, daemon: None }
    }
}

fn peer_table(address: &str, page: SocketAddr) -> String {
    format!("[[mirror.peer]]\naddress = \"{address}\"\npage = \"http://{page}/csp/bin/mirrorstatus.cxw\"\n")
}
