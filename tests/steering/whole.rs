//! Two real daemons and a simulated cloud: target group, record, overlay route and metric follow the primary
//! over the real AWS SDK, and an old primary that still looks primary to itself takes nothing back.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::address::{free_port, own_address};
use crate::support::{Daemon, PATIENCE, eventually, mirrorvip};
use mirrorvip::simulation::cloud::{Effect, Fault, Mutation, Settings, SimulatedCloud, TargetGroup};
use rustix::process::Signal;

const ZONE: &str = "example.internal";
const RECORD: &str = "db.example.internal";
const OVERLAY: &str = "192.0.2.10/32";

/// What a mirror's members share.
struct Rig {
    directory: tempfile::TempDir,
    cloud: SimulatedCloud,
    group: String,
    zone: String,
    table: String,
    pages: [SocketAddr; 2],
    /// Which of them is the primary, as the mirror decides.
    primary: Arc<Mutex<Option<String>>>,
}

const NAMES: [&str; 2] = ["a", "b"];

impl Rig {
    fn new() -> Self {
        let settings = Settings { second: Duration::from_millis(20), ..Settings::default() };
        let cloud = SimulatedCloud::start(settings).expect("loopback ports are free");
        let group = cloud.create_target_group(TargetGroup::network("iris"));
        let zone = cloud.create_zone(ZONE);
        cloud.create_record(&zone, RECORD, "A", 5, &["10.0.1.12"]);
        let table = cloud.create_route_table();
        cloud.create_route(&table, OVERLAY, "b");
        let pages = [free_port(own_address()), free_port(own_address())];
        for (name, page) in NAMES.into_iter().zip(pages) {
            cloud.place(name, 8080, page);
        }
        let primary = Arc::new(Mutex::new(None));
        let oracle = Arc::clone(&primary);
        cloud.know_primary(move || oracle.lock().expect("nobody panics with it").clone());
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { directory, cloud, group, zone, table, pages, primary }
    }

    fn role_file(&self, index: usize) -> PathBuf {
        self.directory.path().join(format!("{}.role", NAMES[index]))
    }

    fn configuration(&self, index: usize, with_peer: bool) -> String {
        let Self { group, zone, table, pages, .. } = self;
        let (name, other) = (NAMES[index], 1 - index);
        let state = self.directory.path().join(name);
        let peer = format!(
            "[[mirror.peer]]\naddress = \"10.0.1.{}\"\npage = \"http://{}/csp/bin/mirrorstatus.cxw\"\n",
            11 + other,
            pages[other]
        );
        format!(
            "state_directory = \"{}\"\n[health]\nlisten = \"{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [[mirror]]\nname = \"PROD\"\nmember = \"{name}\"\ninterval = \"50ms\"\ntimeout = \"1s\"\n\
             [mirror.probe.exec]\ncommand = [\"/bin/grep\", \"-q\", \"^primary\", \"{}\"]\n{}\
             [[mirror.elbv2]]\ntarget_group_arn = \"{group}\"\npool = \"primary-only\"\nport = 1972\n\
             owned_targets = [\"10.0.1.11\", \"10.0.1.12\"]\n\
             [[mirror.route53]]\nhosted_zone_id = \"{zone}\"\nrecord = \"{RECORD}\"\ntype = \"A\"\nttl = 5\n\
             [[mirror.route]]\nroute_tables = [\"{table}\"]\ndestination = \"{OVERLAY}\"\n\
             [[mirror.cloudwatch]]\nnamespace = \"Iris\"\nmetric = \"Primary\"\n",
            state.display(),
            pages[index],
            self.role_file(index).display(),
            if with_peer { peer.as_str() } else { "" },
        )
    }

    fn start(&self, index: usize, with_peer: bool) -> Daemon {
        let directory = self.directory.path().join(format!("{}.d", NAMES[index]));
        fs::create_dir_all(&directory).expect("the test's directory is writable");
        if !self.role_file(index).exists() {
            self.tell(index, "backup");
        }
        let mut command = mirrorvip();
        command.envs(self.cloud.environment(NAMES[index]));
        Daemon::start_with(&directory, &self.configuration(index, with_peer), command)
    }

    fn tell(&self, index: usize, role: &str) {
        write(&self.role_file(index), role);
    }

    /// The mirror makes this member its primary; the other instance keeps saying what it says.
    fn promote(&self, index: usize) {
        *self.primary.lock().expect("nobody panics with it") = Some(NAMES[index].to_owned());
        self.tell(index, "primary");
    }

    fn points_at(&self, index: usize) -> bool {
        let address = format!("10.0.1.{}", 11 + index);
        let (targets, open) = self.cloud.forwards_to(&self.group);
        let record = self.cloud.record(&self.zone, RECORD, "A");
        let registered = self.cloud.target_health(&self.group);
        let route = self.cloud.route(&self.table, OVERLAY);
        !open
            && registered.len() == 1
            && targets.iter().all(|target| target.id == address)
            && record.is_some_and(|record| record.values == [address.clone()])
            && route.is_some_and(|route| route == format!("eni-{:017x}", index + 1))
    }

    /// Waits until the cloud points at this member, which is `daemon`'s.
    fn until_points_at(&self, index: usize, daemon: &Daemon) {
        let deadline = crate::support::now() + PATIENCE;
        while !self.points_at(index) {
            if crate::support::now() >= deadline {
                let pool = self.cloud.target_health(&self.group);
                panic!("{}: {:#}\n{pool:?}\n{}", NAMES[index], daemon.status(), daemon.log_text());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Changes of who receives traffic, by a member that was not the primary when it asked.
    fn trespasses(&self) -> Vec<Mutation> {
        let traffic = |mutation: &Mutation| mutation.action != "PutMetricData";
        let trespass = |m: &Mutation| traffic(m) && m.primary.as_deref() != Some(m.member.as_str());
        self.cloud.mutations().into_iter().filter(trespass).collect()
    }

    fn assert_clean(&self) {
        assert_eq!(self.trespasses(), []);
        assert_eq!(self.cloud.violations(), Vec::<String>::new());
    }
}

fn write(path: &Path, role: &str) {
    // Replaced as a whole: a probe must not read half a word.
    let fresh = path.with_extension("new");
    fs::write(&fresh, format!("{role}\n")).expect("the test's directory is writable");
    fs::rename(&fresh, path).expect("the test's directory is writable");
}

fn until_state(daemon: &Daemon, state: &str) {
    eventually(&format!("state {state}; log: {}", daemon.log_text()), || {
        (daemon.status()["mirrors"][0]["state"] == state).then_some(())
    });
}

/// Waits until the loops themselves have seen that all is done.
fn until_fulfilled(daemon: &Daemon) {
    eventually("every target to be fulfilled", || {
        let status = daemon.status();
        let steering = status["mirrors"][0]["steering"].as_array().expect("a list");
        (steering.len() == 4 && steering.iter().all(|target| target["state"] == "fulfilled")).then_some(())
    });
}

#[test]
fn everything_follows_the_primary_there_and_back() {
    let rig = Rig::new();
    let (a, b) = (rig.start(0, true), rig.start(1, true));
    until_state(&a, "not-primary");
    until_state(&b, "not-primary");
    rig.promote(0);
    rig.until_points_at(0, &a);
    rig.tell(0, "backup");
    until_state(&a, "not-primary");
    rig.promote(1);
    rig.until_points_at(1, &b);
    rig.tell(1, "backup");
    until_state(&b, "not-primary");
    rig.promote(0);
    rig.until_points_at(0, &a);
    until_fulfilled(&a);
    rig.assert_clean();
}

#[test]
fn an_old_primary_that_was_paused_takes_nothing_back() {
    for with_peer in [true, false] {
        let rig = Rig::new();
        let (a, b) = (rig.start(0, with_peer), rig.start(1, with_peer));
        until_state(&a, "not-primary");
        until_state(&b, "not-primary");
        rig.promote(0);
        rig.until_points_at(0, &a);
        until_fulfilled(&a);
        a.signal(Signal::STOP);
        rig.promote(1);
        rig.until_points_at(1, &b);
        a.signal(Signal::CONT);
        // It still looks primary to itself, and its next look finds everything taken.
        eventually("the old primary to hold", || {
            let status = a.status();
            let mirror = &status["mirrors"][0];
            let ruling = mirror["authority"]["ruling"].as_str().unwrap_or_default().to_owned();
            let superseded = ruling == "superseded" || mirror["state"] == "superseded";
            superseded.then_some(())
        });
        std::thread::sleep(Duration::from_secs(2));
        assert!(rig.points_at(1), "with a peer: {with_peer}");
        rig.assert_clean();
    }
}

#[test]
fn a_restarted_primary_reads_first_and_an_old_one_that_restarts_takes_nothing() {
    let rig = Rig::new();
    let (a, b) = (rig.start(0, true), rig.start(1, true));
    until_state(&a, "not-primary");
    until_state(&b, "not-primary");
    rig.promote(0);
    rig.until_points_at(0, &a);
    assert!(a.stop().success());
    let before = rig.cloud.mutations().iter().filter(|m| m.action != "PutMetricData").count();
    let a = rig.start(0, true);
    until_state(&a, "primary");
    until_fulfilled(&a);
    let after = rig.cloud.mutations().iter().filter(|m| m.action != "PutMetricData").count();
    assert_eq!(before, after, "there was nothing to write");

    assert!(a.stop().success());
    std::thread::sleep(Duration::from_secs(3));
    rig.promote(1);
    rig.until_points_at(1, &b);
    let a = rig.start(0, true);
    until_state(&a, "superseded");
    std::thread::sleep(Duration::from_secs(1));
    assert!(rig.points_at(1));
    rig.assert_clean();
}

#[test]
fn throttles_are_outlived() {
    let rig = Rig::new();
    let (a, b) = (rig.start(0, true), rig.start(1, true));
    until_state(&a, "not-primary");
    until_state(&b, "not-primary");
    for _ in 0..10 {
        rig.cloud.fault(Fault::new(Effect::Throttle).times(1));
    }
    rig.promote(0);
    rig.until_points_at(0, &a);
    rig.assert_clean();
}
