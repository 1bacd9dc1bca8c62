//! A mirror of real daemons and a simulated cloud: target group, record, overlay route and metric. Instances are files that
//! the test writes; members reach each other through relays that can be cut.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mirrorvip::simulation::cloud::{Mutation, Settings, SimulatedCloud, TargetGroup};
use serde_json::Value;

use crate::support::address::{free_port, own_address};
use crate::support::relay::{Relay, Way};
use crate::support::{Daemon, PATIENCE, mirrorvip, now};

const ZONE: &str = "example.internal";
pub(crate) const RECORD: &str = "db.example.internal";
pub(crate) const OWNERSHIP_RECORD: &str = "_mirrorvip.db.example.internal";
const OVERLAY: &str = "192.0.2.10/32";

/// How long the mirror waits for its primary before it promotes another member.
const QOS_TIMEOUT: Duration = Duration::from_secs(3);

/// How pool, record and route are read, in the order of the configuration.
const READS: [&str; 3] = ["DescribeTargetHealth", "ListResourceRecordSets", "DescribeRouteTables"];

/// How the daemons know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    Asked,
    None,
}

/// What a mirror's members share.
pub(crate) struct Rig {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) cloud: SimulatedCloud,
    pub(crate) group: String,
    pub(crate) zone: String,
    table: String,
    names: Vec<&'static str>,
    pages: Vec<SocketAddr>,
    /// From the member of the first index to the page of the second.
    relays: Vec<(usize, usize, Relay)>,
    peers: Peers,
    /// More keys of `[[mirror]]`, per member.
    keys: Vec<String>,
    /// Instead of the state directory, per member.
    state: Vec<PathBuf>,
    /// The primary, as the mirror decides.
    primary: Arc<Mutex<Option<String>>>,
}

// === impl Rig ===

impl Rig {
    /// Members `a` and `b`.
    pub(crate) fn new(peers: Peers) -> Self {
        Self::of(&["a", "b"], peers)
    }

    pub(crate) fn of(names: &[&'static str], peers: Peers) -> Self {
        let settings = Settings { second: Duration::from_millis(20), ..Settings::default() };
        let cloud = SimulatedCloud::start(settings).expect("loopback ports are free");
        let group = cloud.create_target_group(TargetGroup::network("iris"));
        let zone = cloud.create_zone(ZONE);
        cloud.create_record(&zone, RECORD, "A", 5, &["10.0.1.12"]);
        let table = cloud.create_route_table();
        cloud.create_route(&table, OVERLAY, "b");
        let host = own_address();
        let pages: Vec<_> = names.iter().map(|_| free_port(host)).collect();
        for (name, page) in names.iter().zip(&pages) {
            cloud.place(name, 8080, *page);
        }
        let mut relays = Vec::new();
        for from in 0..names.len() {
            let others = pages.iter().enumerate().filter(|(to, _)| *to != from);
            relays.extend(others.map(|(to, page)| (from, to, Relay::to(*page))));
        }
        let primary = Arc::new(Mutex::new(None));
        let oracle = Arc::clone(&primary);
        cloud.know_primary(move || oracle.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let directory = tempfile::tempdir().expect("a temporary directory");
        let state = names.iter().map(|name| directory.path().join(name)).collect();
        Self {
            directory,
            cloud,
            group,
            zone,
            table,
            names: names.to_vec(),
            pages,
            relays,
            peers,
            keys: vec![String::new(); names.len()],
            state,
            primary,
        }
    }

    /// Adds keys to the `[[mirror]]` table of a member.
    pub(crate) fn configure(&mut self, index: usize, keys: &str) {
        self.keys[index].push_str(keys);
    }

    /// Replaces these keys.
    pub(crate) fn replace_configuration(&mut self, index: usize, keys: &str) {
        keys.clone_into(&mut self.keys[index]);
    }

    /// Adds a peer that the test plays.
    pub(crate) fn add_peer(&mut self, index: usize, page: SocketAddr) {
        let number = self.names.len();
        self.relays.push((index, number, Relay::to(page)));
    }

    fn configuration(&self, index: usize) -> String {
        let Self { group, zone, table, pages, .. } = self;
        let name = self.names[index];
        let mut peers = String::new();
        for (_, to, relay) in self.relays.iter().filter(|(from, _, _)| *from == index) {
            let (address, page) = (address(*to), relay.address());
            write!(
                peers,
                "[[mirror.peer]]\naddress = \"{address}\"\npage = \"http://{page}/csp/bin/mirrorstatus.cxw\"\n"
            )
            .expect("a string takes everything");
        }
        let (no_peers, peers) = match self.peers {
            Peers::Asked => ("", peers.as_str()),
            Peers::None => ("peers = \"none\"\n", ""),
        };
        let owned: Vec<_> = (0..self.names.len()).map(address).collect();
        format!(
            "state_directory = \"{state}\"\n[health]\nlisten = \"{page}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [[mirror]]\nname = \"PROD\"\nmember = \"{name}\"\ninterval = \"100ms\"\ntimeout = \"2s\"\n\
             stale_after = \"2500ms\"\nqos_timeout = \"{qos}ms\"\ndrift_interval = \"5s\"\n{no_peers}{keys}\
             [mirror.probe.exec]\ncommand = [\"/bin/grep\", \"-q\", \"^primary\", \"{role}\"]\n{peers}\
             [[mirror.elbv2]]\ntarget_group_arn = \"{group}\"\npool = \"primary-only\"\nport = 1972\n\
             owned_targets = {owned:?}\n\
             [[mirror.route53]]\nhosted_zone_id = \"{zone}\"\nrecord = \"{RECORD}\"\ntype = \"A\"\nttl = 5\n\
             [[mirror.route]]\nroute_tables = [\"{table}\"]\ndestination = \"{OVERLAY}\"\n\
             [[mirror.cloudwatch]]\nnamespace = \"Iris\"\nmetric = \"Primary\"\n",
            state = self.state[index].display(),
            page = pages[index],
            qos = QOS_TIMEOUT.as_millis(),
            keys = self.keys[index],
            role = self.role_file(index).display(),
        )
    }
}

/// The daemons and their instances.
impl Rig {
    /// Starts a member's daemon.
    pub(crate) fn start(&self, index: usize) -> Daemon {
        let directory = self.directory.path().join(format!("{}.d", self.names[index]));
        fs::create_dir_all(&directory).expect("the test's directory is writable");
        if !self.role_file(index).exists() {
            self.report_role(index, "backup");
        }
        let mut command = mirrorvip();
        command.envs(self.cloud.environment(self.names[index]));
        Daemon::start_with(&directory, &self.configuration(index), command)
    }

    /// All members, all of them backups.
    pub(crate) fn start_all<const N: usize>(&self) -> [Daemon; N] {
        assert_eq!(N, self.names.len());
        let daemons: [Daemon; N] = std::array::from_fn(|index| self.start(index));
        for daemon in &daemons {
            until_state(daemon, "not-primary");
        }
        daemons
    }

    fn role_file(&self, index: usize) -> PathBuf {
        self.directory.path().join(format!("{}.role", self.names[index]))
    }

    /// What the instance of a member says from now on.
    pub(crate) fn report_role(&self, index: usize, role: &str) {
        // Replaced as a whole: a probe must not read half a word.
        let path = self.role_file(index);
        let fresh = path.with_extension("new");
        fs::write(&fresh, format!("{role}\n")).expect("the test's directory is writable");
        fs::rename(&fresh, &path).expect("the test's directory is writable");
    }

    /// The mirror makes this member its primary; the other instance still says what it said.
    pub(crate) fn promote(&self, index: usize) {
        let before = self.primary.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if before.is_some_and(|before| before != self.names[index]) {
            // It has not stepped down, so the mirror waits for it first.
            std::thread::sleep(QOS_TIMEOUT);
        }
        self.is_primary(index);
        self.report_role(index, "primary");
    }

    /// The same, until its daemon directs clients to it.
    pub(crate) fn promote_fully(&self, index: usize, daemon: &Daemon) {
        self.promote(index);
        self.until_points_at(index, daemon);
    }

    /// Waits until nothing withholds traffic from the member.
    pub(crate) fn until_serves(&self, index: usize, daemon: &Daemon) {
        until_ruling(daemon, "clear");
        daemon.wait_for_page(200);
        self.until_points_at(index, daemon);
        until_fulfilled(daemon);
    }

    /// The member is the primary in truth, whatever instances say.
    pub(crate) fn is_primary(&self, index: usize) {
        *self.primary.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.names[index].to_owned());
    }

    /// The instance of this member stops being the primary, and its daemon knows.
    pub(crate) fn demote(&self, index: usize, daemon: &Daemon) {
        self.report_role(index, "backup");
        until_state(daemon, "not-primary");
        *self.primary.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The way between this member and every other, both directions.
    pub(crate) fn set_ways_of(&self, index: usize, way: Way) {
        for (_, _, relay) in self.relays.iter().filter(|(from, to, _)| [*from, *to].contains(&index)) {
            relay.set(way);
        }
    }

    /// The state directory of a member.
    pub(crate) fn state_directory(&self, index: usize) -> &Path {
        &self.state[index]
    }

    /// Copies the state directory of a member, whose daemon does not run.
    pub(crate) fn save_state(&self, index: usize) -> PathBuf {
        let copy = self.directory.path().join(format!("{}.saved", self.names[index]));
        copy_directory(&self.state[index], &copy);
        copy
    }

    /// Replaces the state directory of a member, whose daemon does not run.
    pub(crate) fn restore_state(&self, index: usize, copy: &Path) {
        self.lose_state(index);
        copy_directory(copy, &self.state[index]);
    }

    /// Removes the state directory of a member, whose daemon does not run.
    pub(crate) fn lose_state(&self, index: usize) {
        fs::remove_dir_all(&self.state[index]).expect("the daemon has written it");
    }
}

/// What the cloud says.
impl Rig {
    /// Whether pool, record and route lead to this member, and to no other.
    pub(crate) fn points_at(&self, index: usize) -> bool {
        self.pool_points_at(index) && self.record_points_at(index) && self.route_points_at(index)
    }

    /// Whether this member alone is registered, and healthy.
    pub(crate) fn pool_points_at(&self, index: usize) -> bool {
        !self.cloud.forwards_to(&self.group).1 && self.is_registered_alone(index)
    }

    fn is_registered_alone(&self, index: usize) -> bool {
        let registered = self.cloud.target_health(&self.group);
        registered.len() == 1 && registered.iter().all(|health| health.target.id == address(index))
    }

    /// Whether nothing was taken from this member, whose daemon may be down.
    pub(crate) fn is_left_to(&self, index: usize) -> bool {
        self.is_registered_alone(index) && self.record_points_at(index) && self.route_points_at(index)
    }

    pub(crate) fn record_points_at(&self, index: usize) -> bool {
        self.cloud.record(&self.zone, RECORD, "A").is_some_and(|record| record.values == [address(index)])
    }

    pub(crate) fn route_points_at(&self, index: usize) -> bool {
        let route = self.cloud.route(&self.table, OVERLAY);
        route.is_some_and(|route| route == format!("eni-{:017x}", index + 1))
    }

    /// What the ownership record says.
    pub(crate) fn ownership(&self) -> String {
        let record = self.cloud.record(&self.zone, OWNERSHIP_RECORD, "TXT");
        record.map(|record| record.values.join(" ")).unwrap_or_default()
    }

    /// Another tool writes the ownership record.
    pub(crate) fn write_ownership(&self, member: &str, term: u64) {
        let text = format!("\"mirrorvip1 owner={member} term={term} epoch=1 at=2026-11-21T02:40:00Z\"");
        self.cloud.create_record(&self.zone, OWNERSHIP_RECORD, "TXT", 60, &[&text]);
    }

    /// Waits until the cloud points at this member, which is `daemon`'s.
    pub(crate) fn until_points_at(&self, index: usize, daemon: &Daemon) {
        let deadline = now() + PATIENCE;
        while !self.points_at(index) {
            if now() >= deadline {
                let pool = self.cloud.target_health(&self.group);
                let (name, status) = (self.names[index], daemon.status());
                panic!("{name}: {status:#}\n{pool:?}\n{}\n{}", self.ownership(), daemon.log_text());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until each loop of this member has read its object again, twice, so that what it made of the first read is done;
    /// or until it holds: then it has asked the arbiter and waits.
    pub(crate) fn until_considered(&self, index: usize, daemon: &Daemon) {
        let name = self.names[index];
        let before = self.cloud.calls().len();
        let deadline = now() + PATIENCE;
        loop {
            let calls = self.cloud.calls().split_off(before);
            let of_member: Vec<_> = calls
                .iter()
                .filter(|call| call.member.as_deref() == Some(name) && call.error.is_none())
                .map(|call| call.action.as_str())
                .collect();
            let reads = |action: &str| of_member.iter().filter(|call| **call == action).count();
            let steering = daemon.status()["mirrors"][0]["steering"].clone();
            let considered =
                |(place, action): (usize, &str)| steering[place]["state"] == "holding" || reads(action) >= 2;
            if READS.into_iter().enumerate().all(considered) {
                return;
            }
            assert!(now() < deadline, "{name} does not read everything again: {of_member:?}; {steering:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Changes of where traffic goes, by a member that was not the primary when it asked.
    fn trespasses(&self) -> Vec<Mutation> {
        let traffic = |mutation: &Mutation| mutation.action != "PutMetricData";
        let trespass = |m: &Mutation| traffic(m) && m.primary.as_deref() != Some(m.member.as_str());
        self.cloud.mutations().into_iter().filter(trespass).collect()
    }

    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.trespasses(), []);
        assert_eq!(self.cloud.violations(), Vec::<String>::new());
    }
}

/// The address of a member.
pub(crate) fn address(index: usize) -> String {
    format!("10.0.1.{}", 11 + index)
}

fn copy_directory(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.is_ok_and(|status| status.success()), "{} can be copied", from.display());
}

/// The ruling, whether the page says SUCCESS, and the state.
fn situation(daemon: &Daemon) -> String {
    let status = daemon.status();
    let mirror = &status["mirrors"][0];
    format!("page {}, {:#}\nlog: {}", daemon.page(), mirror, daemon.log_text())
}

/// Waits for `condition` of the mirror's status.
pub(crate) fn until(daemon: &Daemon, what: &str, condition: impl Fn(&Value) -> bool) {
    let deadline = now() + PATIENCE;
    while !condition(&daemon.status()["mirrors"][0]) {
        assert!(now() < deadline, "waited in vain: {what}; {}", situation(daemon));
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn until_state(daemon: &Daemon, state: &str) {
    until(daemon, state, |mirror| mirror["state"] == state);
}

pub(crate) fn until_ruling(daemon: &Daemon, ruling: &str) {
    until(daemon, ruling, |mirror| mirror["authority"]["ruling"] == ruling);
}

/// Waits until the member knows that a later one took its place, and its page refuses.
pub(crate) fn until_superseded(daemon: &Daemon) {
    until_ruling(daemon, "superseded");
    daemon.wait_for_page(503);
}

/// Waits until an alarm is in the log, as an error.
pub(crate) fn until_alarm(daemon: &Daemon, alarms: &[&str]) {
    let deadline = now() + PATIENCE;
    let is_alarm = |line: &Value| {
        line["level"] == "ERROR" && line["alarm"].as_str().is_some_and(|word| alarms.contains(&word))
    };
    while !daemon.log().iter().any(is_alarm) {
        assert!(now() < deadline, "waited in vain for one of {alarms:?}; {}", situation(daemon));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the loops themselves have seen that all is done.
pub(crate) fn until_fulfilled(daemon: &Daemon) {
    until(daemon, "every target to be fulfilled", |mirror| {
        let steering = mirror["steering"].as_array().expect("a list");
        steering.len() == 4 && steering.iter().all(|target| target["state"] == "fulfilled")
    });
}
