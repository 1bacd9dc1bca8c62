//! A mirror on a stage: a simulated cloud with one load balancer, and for each member an `iris` command that
//! says what the test wants and a real daemon. The test alone decides who is the primary; the cloud writes
//! that truth beside every change.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mirrorvip::simulation::FakeIris;
use mirrorvip::simulation::cloud::{
    ClassicBalancer, HealthCheck, Settings, SimulatedCloud, Target, TargetGroup,
};
use tempfile::TempDir;

use crate::support::address::{free_port, own_address};
use crate::support::relay::{Relay, Way};
use crate::support::{Daemon, get, mirrorvip, now};

/// The port that clients use.
pub(crate) const PORT: u16 = 1972;
/// The port that the load balancer checks, as the cloud knows it.
const PAGE: u16 = 8080;

/// After this long without an answer of its instance a member's page refuses.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(4);

/// How long the mirror waits for its primary before it promotes another member.
const QOS_TIMEOUT: Duration = Duration::from_secs(5);

/// After the last fault a pause of a loop that nobody waits for may just have begun (10 s), behind a call that hangs
/// (2.5 s); the target must become healthy after it. The rest is for a machine that is busy.
pub(crate) const BOUND: Duration = Duration::from_secs(25);
/// After errors that only the operator can mend the loop looks again at the next drift check, within 33 s.
pub(crate) const DRIFT_BOUND: Duration = Duration::from_secs(50);

/// Which load balancer, and who is registered with it.
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

/// How the daemons know of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    /// Not at all.
    None,
    /// By `[[mirror.peer]]`.
    Asked,
}

/// The whole mirror.
pub(crate) struct Stage {
    pub(crate) cloud: SimulatedCloud,
    pub(crate) pool: Pool,
    /// The ARN of the group or the name of the classic load balancer.
    pub(crate) balancer: String,
    pub(crate) peers: Peers,
    members: BTreeMap<&'static str, Member>,
    /// Who is primary, in truth.
    primary: Arc<Mutex<Option<String>>>,
}

struct Member {
    directory: TempDir,
    iris: FakeIris,
    page: SocketAddr,
    /// Ways to the pages of the other members, which can be shut.
    ways: BTreeMap<&'static str, Relay>,
    daemon: Option<Daemon>,
}

/// Waits until `condition` gives something, and fails with what `describe` says if it never does.
pub(crate) fn within<T>(
    bound: Duration,
    mut condition: impl FnMut() -> Option<T>,
    describe: impl FnOnce() -> String,
) -> T {
    let deadline = now() + bound;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(now() < deadline, "waited {bound:?} in vain: {}", describe());
        std::thread::sleep(Duration::from_millis(10));
    }
}

// === impl Pool ===

impl Pool {
    fn is_classic(self) -> bool {
        matches!(self, Self::ClassicAllMembers | Self::ClassicPrimaryOnly)
    }

    pub(crate) fn has_all_members(self) -> bool {
        matches!(self, Self::AllMembers | Self::ClassicAllMembers)
    }
}

// === impl Stage ===

impl Stage {
    /// A mirror of these members, none of whose daemons runs: the instances are backups, and `c`, which is
    /// for disaster recovery, is connected.
    pub(crate) fn new(pool: Pool, peers: Peers, names: &[&'static str]) -> Self {
        let settings = Settings {
            // Fifty times as fast as AWS; draining takes six seconds.
            second: Duration::from_millis(20),
            ..Settings::default()
        };
        let cloud = SimulatedCloud::start(settings).expect("loopback ports are free");
        let balancer = if pool.is_classic() {
            cloud.create_classic_balancer(ClassicBalancer {
                name: "iris".to_owned(),
                port: PORT,
                health_check: HealthCheck::default(),
                cross_zone: true,
                draining: 60,
            });
            "iris".to_owned()
        } else {
            cloud.create_target_group(TargetGroup::network("iris"))
        };
        let primary = Arc::new(Mutex::new(None));
        let truth = Arc::clone(&primary);
        cloud.know_primary(move || truth.lock().unwrap_or_else(PoisonError::into_inner).clone());

        let host = own_address();
        let pages: BTreeMap<_, _> = names.iter().map(|&name| (name, free_port(host))).collect();
        let members = names.iter().map(|&name| {
            let directory = TempDir::new().expect("a temporary directory");
            let iris =
                FakeIris::new(&directory.path().join("iris"), "IRIS").expect("the simulated command runs");
            let ways = match peers {
                Peers::None => BTreeMap::new(),
                Peers::Asked => {
                    let others = pages.iter().filter(|(other, _)| **other != name);
                    others.map(|(&other, &page)| (other, Relay::to(page))).collect()
                }
            };
            cloud.place(name, PAGE, pages[name]);
            (name, Member { directory, iris, page: pages[name], ways, daemon: None })
        });
        let members = members.collect();
        let stage = Self { cloud, pool, balancer, peers, members, primary };
        for &name in names {
            stage.rest(name);
        }
        stage
    }

    /// The mirror in its usual state: daemons run, `a` is the primary and the cloud leads to it.
    pub(crate) fn at_rest(pool: Pool, peers: Peers, names: &[&'static str]) -> Self {
        let mut stage = Self::new(pool, peers, names);
        for &name in names {
            stage.start(name);
        }
        // So that the promotion is seen, not found.
        for &name in names {
            stage.until_not_primary(name);
        }
        stage.promote("a");
        stage.until_led_to("a", BOUND);
        stage.until_fulfilled("a");
        if peers == Peers::Asked {
            // A pool carries no term: the others learn it when they ask.
            for &name in names.iter().filter(|name| **name != "a") {
                within(
                    BOUND,
                    || (stage.daemon(name).mirror("PROD")["seen"]["term"] == 1).then_some(()),
                    || format!("{name} knows the term; {}", stage.describe()),
                );
            }
        }
        stage
    }

    /// A member's target.
    pub(crate) fn target(&self, name: &str) -> Target {
        let settings = self.cloud.settings();
        let member =
            settings.members.iter().find(|member| member.name == name).expect("a member of the cloud");
        let id = if self.pool.is_classic() { member.instance_id.clone() } else { member.address.to_string() };
        Target { id, port: PORT }
    }

    /// Registers a member as an administrator would have done before.
    pub(crate) fn register(&self, name: &str) {
        self.cloud.register(&self.balancer, self.target(name));
    }

    /// Who is registered, draining ones left out.
    pub(crate) fn registered(&self) -> Vec<Target> {
        let health = self.cloud.target_health(&self.balancer);
        health.into_iter().filter(|one| one.state != "draining").map(|one| one.target).collect()
    }
}

/// What happens to the instances.
impl Stage {
    /// The instance becomes what it is when it is not the primary.
    fn rest(&self, name: &str) {
        let (kind, status) =
            if name == "c" { ("Disaster Recovery", "Connected") } else { ("Failover", "Backup") };
        self.members[name].iris.set_role(kind, status).expect("the role can be set");
    }

    /// The mirror makes a member its primary. Others that still say that they are, are wrong.
    pub(crate) fn promote(&self, name: &str) {
        let before = self.primary.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if before.is_some_and(|before| before != name) {
            // It has not stepped down, so the mirror waits for it first.
            std::thread::sleep(QOS_TIMEOUT);
        }
        self.decide(Some(name));
        self.members[name].iris.set_role("Failover", "Primary").expect("the role can be set");
    }

    /// An orderly end of a member's term: nobody is primary after it, and the member's own page says so.
    pub(crate) fn demote(&self, name: &str) {
        self.rest(name);
        if self.members[name].daemon.is_some() {
            self.until_page(name, 503);
        }
        self.decide(None);
    }

    /// A member that was not the primary, whatever it said, says so.
    pub(crate) fn step_back(&self, name: &str) {
        self.rest(name);
        self.until_not_primary(name);
    }

    /// An orderly failover.
    pub(crate) fn hand_over(&self, from: &str, to: &str) {
        self.demote(from);
        self.promote(to);
    }

    /// The host of a member is gone, and with it whatever ran there.
    pub(crate) fn crash(&mut self, name: &'static str) {
        self.cloud.displace(name, PAGE);
        self.daemon_of(name).crash();
        self.rest(name);
        self.decide(None);
    }

    /// A host that was gone is back, its instance a backup.
    pub(crate) fn bring_back(&mut self, name: &'static str) {
        self.cloud.place(name, PAGE, self.members[name].page);
        self.start(name);
    }

    /// Cuts a member off from its peers and the load balancer; what it asks of the cloud is the test's fault.
    pub(crate) fn isolate(&self, name: &'static str, isolated: bool) {
        if isolated {
            self.cloud.displace(name, PAGE);
        } else {
            self.cloud.place(name, PAGE, self.members[name].page);
        }
        for (from, member) in &self.members {
            for (to, way) in &member.ways {
                if *from == name || *to == name {
                    way.set(if isolated { Way::Refused } else { Way::Open });
                }
            }
        }
    }

    fn decide(&self, primary: Option<&str>) {
        *self.primary.lock().unwrap_or_else(PoisonError::into_inner) = primary.map(str::to_owned);
    }
}

/// The daemons.
impl Stage {
    /// Starts a member's daemon, as its host would.
    pub(crate) fn start(&mut self, name: &'static str) {
        let toml = self.config(name);
        let mut command = mirrorvip();
        command.env_remove("AWS_EC2_METADATA_DISABLED").envs(self.cloud.environment(name));
        let member = self.members.get_mut(name).expect("a member");
        member.daemon = Some(Daemon::start_with(member.directory.path(), &toml, command));
    }

    /// Stops a member's daemon and starts it again.
    pub(crate) fn restart(&mut self, name: &'static str) {
        self.stop(name);
        self.start(name);
    }

    /// Stops a member's daemon, as its host would.
    pub(crate) fn stop(&mut self, name: &'static str) {
        let status = self.daemon_of(name).stop();
        assert!(status.success(), "the daemon of {name} ended with {status}");
    }

    /// A member's running daemon.
    pub(crate) fn daemon(&self, name: &str) -> &Daemon {
        self.members[name].daemon.as_ref().expect("the test has started it")
    }

    /// The daemons that run.
    pub(crate) fn daemons(&self) -> impl Iterator<Item = (&str, &Daemon)> {
        self.members.iter().filter_map(|(&name, member)| Some((name, member.daemon.as_ref()?)))
    }

    fn daemon_of(&mut self, name: &str) -> Daemon {
        let member = self.members.get_mut(name).expect("a member");
        member.daemon.take().expect("the test has started it")
    }

    /// The status of a member's steering target.
    pub(crate) fn steering(&self, name: &str) -> serde_json::Value {
        self.daemon(name).mirror("PROD")["steering"][0].clone()
    }

    /// Waits until a member's loop has nothing left to do.
    pub(crate) fn until_fulfilled(&self, name: &str) {
        within(
            DRIFT_BOUND,
            || (self.steering(name)["state"] == "fulfilled").then_some(()),
            || format!("{name} fulfilled; {}", self.describe()),
        );
    }

    /// Waits until a member's page answers this status code.
    pub(crate) fn until_page(&self, name: &str, status: u16) {
        let asked =
            || get(self.members[name].page, "/csp/bin/mirrorstatus.cxw").map_or(0, |answer| answer.status);
        within(
            BOUND,
            || (asked() == status).then_some(()),
            || format!("page {status} of {name}; {}", self.describe()),
        );
    }

    /// Waits until a member's instance has said that it is not the primary.
    fn until_not_primary(&self, name: &str) {
        let other = ["starting", "no-evidence", "primary", "superseded"];
        let is_other = || other.iter().any(|state| self.daemon(name).mirror("PROD")["state"] == *state);
        within(BOUND, || (!is_other()).then_some(()), || format!("{name} not primary; {}", self.describe()));
    }

    /// Waits until a member knows that another was promoted later.
    pub(crate) fn until_superseded(&self, name: &str) {
        within(
            BOUND,
            || (self.daemon(name).mirror("PROD")["state"] == "superseded").then_some(()),
            || format!("{name} superseded; {}", self.describe()),
        );
    }

    /// Waits until a member's loop leaves the pool to another.
    pub(crate) fn until_holding(&self, name: &str) {
        within(
            DRIFT_BOUND,
            || (self.steering(name)["state"] == "holding").then_some(()),
            || format!("{name} holding; {}", self.describe()),
        );
    }

    fn config(&self, name: &str) -> String {
        let member = &self.members[name];
        let mut toml = format!(
            "state_directory = \"{directory}/state\"\n\
             [health]\nlisten = [\"{page}\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [[mirror]]\nname = \"PROD\"\nmember = \"{name}\"\npaths = [\"/csp/bin\"]\n\
             interval = \"200ms\"\ntimeout = \"2s\"\nstale_after = \"{stale_after}s\"\n\
             qos_timeout = \"{qos_timeout}s\"\n{peers}\
             [mirror.probe.qlist]\ninstance = \"IRIS\"\ncommand = \"{command}\"\n",
            directory = member.directory.path().display(),
            page = member.page,
            stale_after = STALE_AFTER.as_secs(),
            qos_timeout = QOS_TIMEOUT.as_secs(),
            peers = if member.ways.is_empty() { "peers = \"none\"\n" } else { "" },
            command = member.iris.command().display(),
        );
        for (other, way) in &member.ways {
            let (address, page) = (self.target(other).id, way.address());
            write!(
                toml,
                "[[mirror.peer]]\naddress = \"{address}\"\npage = \"http://{page}/csp/bin/mirrorstatus.cxw\"\n"
            )
            .expect("a string takes everything");
        }
        let owned: Vec<_> = self.members.keys().map(|name| self.target(name).id).collect();
        let (table, owns) = if self.pool.is_classic() {
            (format!("[[mirror.classic_elb]]\nload_balancer = \"{}\"\n", self.balancer), "owned_instances")
        } else {
            let arn = &self.balancer;
            (format!("[[mirror.elbv2]]\ntarget_group_arn = \"{arn}\"\nport = {PORT}\n"), "owned_targets")
        };
        toml += &table;
        if self.pool.has_all_members() {
            toml += "pool = \"all-members\"\n";
        } else {
            writeln!(toml, "pool = \"primary-only\"\n{owns} = {owned:?}").expect("a string takes everything");
        }
        toml
    }
}
