//! Two members, each a project of one of the published compose files, and HAProxy before them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use mirrorvip::simulation::FakeIris;
use tempfile::TempDir;

use super::images::{HAPROXY, build_mirrorvip, make_others};
use crate::support::docker::{Docker, is_root, output_of, repository};
use crate::support::eventually;
use crate::support::haproxy::Server;

/// The network between HAProxy and the pages, with addresses that RFC 2544 reserves for tests.
const LB: &str = "lb";
const SUBNET: &str = "198.18.0.0/24";

/// Both members and HAProxy.
pub(crate) struct Stage {
    pub(crate) docker: Docker,
    /// The compose file.
    file: PathBuf,
    /// The service whose container answers the page.
    page: &'static str,
    directory: TempDir,
    members: [FakeIris; 2],
}

/// One of the two members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    First,
    Second,
}

// === impl Member ===

impl Member {
    const ALL: [Self; 2] = [Self::First, Self::Second];

    fn index(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }

    fn project(self) -> &'static str {
        ["db1", "db2"][self.index()]
    }

    fn address(self) -> String {
        format!("198.18.0.{}", 11 + self.index())
    }
}

// === impl Stage ===

impl Stage {
    /// Starts both members of `config/docker/FILE`, whose `page` service answers, the first as the primary; only root can.
    pub(crate) fn start(file: &str, page: &'static str) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let docker = Docker::start();
        build_mirrorvip(&docker);
        make_others(&docker);
        let directory = TempDir::new().expect("a temporary directory");
        let instance = |member: Member| {
            let path = directory.path().join(member.project());
            FakeIris::new(&path, "IRIS").expect("the simulated command runs")
        };
        let members = Member::ALL.map(instance);
        let file = repository("config/docker").join(file);
        let stage = Self { docker, file, page, directory, members };
        stage.promote(Member::First);
        stage.docker.run(&["network", "create", "--subnet", SUBNET, LB]);
        for member in Member::ALL {
            stage.compose(member, &["up", "--detach", "--no-build"]);
            stage.heal(member);
        }
        stage.start_haproxy();
        Some(stage)
    }

    /// Makes one the primary and the other the backup, the old primary first, as in an orderly hand-over.
    pub(crate) fn promote(&self, member: Member) {
        let other = &self.members[1 - member.index()];
        other.set_role("Failover", "Backup").expect("the role can be set");
        self.members[member.index()].set_role("Failover", "Primary").expect("the role can be set");
    }

    /// Cuts a member's page off from HAProxy.
    pub(crate) fn partition(&self, member: Member) {
        self.docker.run(&["network", "disconnect", LB, &self.container(member, self.page)]);
    }

    /// The end of that.
    pub(crate) fn heal(&self, member: Member) {
        let container = self.container(member, self.page);
        self.docker.run(&["network", "connect", "--ip", &member.address(), LB, &container]);
    }

    /// Cuts a service off from its own member's others.
    pub(crate) fn isolate(&self, member: Member, service: &str) {
        let network = format!("{}_default", member.project());
        self.docker.run(&["network", "disconnect", &network, &self.container(member, service)]);
    }

    /// The end of that.
    pub(crate) fn rejoin(&self, member: Member, service: &str) {
        let network = format!("{}_default", member.project());
        let container = self.container(member, service);
        self.docker.run(&["network", "connect", "--alias", service, &network, &container]);
    }

    /// The container of a member's service.
    pub(crate) fn container(&self, member: Member, service: &str) -> String {
        self.compose(member, &["ps", "--quiet", service])
    }

    /// Runs the client on a member's service.
    pub(crate) fn docker(&self, verb: &str, member: Member, service: &str) {
        self.docker.run(&[verb, &self.container(member, service)]);
    }

    /// The process of this name in the container of a member's service, which has a shell's tools.
    pub(crate) fn process(&self, member: Member, service: &str, name: &str) -> Option<String> {
        let container = self.container(member, service);
        let output = self.docker.try_run(&["exec", &container, "pidof", name]);
        let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (!found.is_empty()).then_some(found)
    }

    /// Waits until HAProxy sends clients to exactly these members.
    pub(crate) fn wait_for_traffic_to(&self, expected: &[Member]) {
        let mut last = Vec::new();
        let arrived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("HAProxy's choice", || {
                last = self.up();
                last == expected
            });
        }));
        assert!(arrived.is_ok(), "traffic goes to {last:?}, not to {expected:?}\n{}", self.logs());
    }

    /// Waits until Docker reports that a service is healthy.
    pub(crate) fn wait_until_healthy(&self, member: Member, service: &str) {
        let container = self.container(member, service);
        eventually("a healthy container", || {
            let health = self.docker.run(&["inspect", "--format", "{{.State.Health.Status}}", &container]);
            health == "healthy"
        });
    }

    fn start_haproxy(&self) {
        let server = |member: Member| {
            format!("    server {} {}:1972 check port 8080\n", member.project(), member.address())
        };
        let config = format!(
            "global\n    stats socket /etc/haproxy/stats mode 666\n\
             defaults\n    mode tcp\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n\
             backend iris\n    option httpchk\n    http-check send meth GET uri /csp/bin/mirror_status.cxw\n\
             \x20   http-check expect string SUCCESS\n    default-server inter 200ms fall 2 rise 1\n{}{}",
            server(Member::First),
            server(Member::Second)
        );
        let directory = self.directory.path().join("haproxy");
        fs::create_dir(&directory).expect("the test's directory is writable");
        fs::write(directory.join("haproxy.cfg"), config).expect("the test's directory is writable");
        let volume = format!("{}:/etc/haproxy", directory.display());
        self.docker.run(&[
            "run",
            "--detach",
            "--network",
            LB,
            "--volume",
            &volume,
            HAPROXY,
            "haproxy",
            "-f",
            "/etc/haproxy/haproxy.cfg",
        ]);
    }

    /// Which servers HAProxy uses, from its statistics.
    fn up(&self) -> Vec<Member> {
        let Ok(mut stats) = UnixStream::connect(self.directory.path().join("haproxy/stats")) else {
            return Vec::new();
        };
        let mut text = String::new();
        let asked = stats.write_all(b"show stat\n").and_then(|()| stats.read_to_string(&mut text));
        let servers = if asked.is_ok() { Server::read_all(&text) } else { Vec::new() };
        // Before its first check a server counts as up, with a status that says so: only a check counts here.
        let is_up = |member: &Member| {
            servers.iter().any(|server| {
                server.text("svname") == member.project() && server.check_status() == "L7OK" && server.is_up()
            })
        };
        Member::ALL.into_iter().filter(is_up).collect()
    }

    fn compose(&self, member: Member, arguments: &[&str]) -> String {
        let instance = self.members[member.index()].directory().display();
        let extra = self.directory.path().join(format!("{}.yaml", member.project()));
        if !extra.exists() {
            // All that the test adds to the published file: where the stand-in finds its instance.
            let text = format!("services:\n  iris:\n    volumes: [\"{instance}:/instance:ro\"]\n");
            fs::write(&extra, text).expect("the test's directory is writable");
        }
        let (file, extra) = (self.file.to_string_lossy(), extra.to_string_lossy().into_owned());
        let mut whole = vec!["--project-name", member.project(), "--file", &file, "--file", &extra];
        whole.extend(arguments);
        // Both members are on one machine here: a port that the system chooses.
        output_of(self.docker.compose().args(whole).env("HEALTH_PORT", "127.0.0.1:"))
    }

    /// The logs of both members, for messages of failing tests.
    fn logs(&self) -> String {
        let logs = |member| self.compose(member, &["logs", "--no-color", "--tail", "30"]);
        Member::ALL.map(logs).join("\n")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for member in Member::ALL {
                self.compose(member, &["down", "--volumes", "--timeout", "1"]);
            }
        }
    }
}
