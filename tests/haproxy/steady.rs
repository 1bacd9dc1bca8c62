//! What no check may notice: reloads, and hostile clients.
//!
//! Many servers of one HAProxy stand for the same page, so that checks come in close succession while each
//! has a second to connect and ten to be answered: a check that fails is the daemon's fault.

use tempfile::TempDir;

use super::balancer::{Balancer, Checks};
use super::crowd::Crowd;
use super::stage::Member;
use crate::support::address::{free_port, own_address};
use crate::support::eventually;

/// Checks a second.
const SERVERS: usize = 40;

/// A primary that HAProxy checks all the time.
struct Watched {
    balancer: Balancer,
    member: Member,
    _directory: TempDir,
}

#[test]
fn reloads_fail_no_check() {
    let mut watched = Watched::start("");
    let another = free_port(watched.member.page.ip());
    let page = watched.member.page;
    let epoch = watched.member.status()["epoch"].take();
    let plain = watched.member.patient_configuration("");
    let slower = plain.replace("interval = \"50ms\"", "interval = \"60ms\"");
    let wider = plain.replace(&format!("[\"{page}\"]"), &format!("[\"{another}\", \"{page}\"]"));
    let guarded =
        watched.member.patient_configuration("max_connections = 100\nallowed_networks = [\"127.0.0.0/8\"]");
    let renamed = plain.replace("[[mirror]]", "[[miror]]");
    let homeless = plain.replace(&page.to_string(), "192.0.2.1:80");
    for (configuration, outcome) in [
        (&slower, "reloaded"),
        (&wider, "reloaded"),
        (&renamed, "the new configuration is invalid; the old one stays in force"),
        (&homeless, "the new configuration cannot be applied; the old one stays in force"),
        (&guarded, "reloaded"),
        (&plain, "reloaded"),
        (&plain, "reloaded"),
    ] {
        let line = watched.member.daemon_mut().reload(configuration);
        assert_eq!(line["message"], outcome, "{line}");
        watched.wait_for_checks(SERVERS / 2);
    }
    watched.assert_no_check_failed();
    assert_eq!(watched.member.status()["epoch"], epoch);
}

#[test]
fn a_crowd_that_fits_in_delays_no_check() {
    withstands("max_connections = 4096\nheader_timeout = \"60s\"\nrequest_timeout = \"60s\"", |crowd| {
        assert_eq!(crowd.turned_out(), 0, "there was room and time for all");
    });
}

#[test]
fn a_crowd_beyond_the_limits_delays_no_check() {
    withstands("", |crowd| {
        assert!(crowd.turned_out() > 0, "1024 connections are the most, and there were more");
    });
}

/// Lets the crowd in, and HAProxy check each of its servers twice meanwhile.
fn withstands(health: &str, judge: impl Fn(&Crowd)) {
    super::crowd::raise_descriptor_limit();
    let watched = Watched::start(health);
    let transitions = watched.member.status()["transitions"].take();
    let crowd = Crowd::gather(watched.member.page);
    watched.wait_for_checks(2 * SERVERS);
    crowd.wait_for_rounds(10);
    watched.assert_no_check_failed();
    assert_eq!(watched.member.status()["transitions"], transitions, "no probe was delayed");
    judge(&crowd);
}

// === impl Watched ===

impl Watched {
    fn start(health: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let member = Member::start_patient(directory.path(), health);
        member.daemon().wait_for_page(200);
        let server = |number| {
            let (database, page) = (member.database.address, member.page);
            format!("a{number} {database} check addr {} port {}", page.ip(), page.port())
        };
        let servers: Vec<_> = (0..SERVERS).map(server).collect();
        let front = free_port(own_address());
        let balancer = Balancer::start(directory.path(), front, Checks::PATIENT, &servers);
        eventually("a first check of each server", || {
            balancer.servers().iter().all(|server| server.check_status() == "L7OK")
        });
        Self { balancer, member, _directory: directory }
    }

    /// Waits until the daemon has answered this many more.
    fn wait_for_checks(&self, more: usize) {
        let wanted = self.member.checks() + u64::try_from(more).expect("a small number");
        eventually("further checks", || self.member.checks() >= wanted);
    }

    fn assert_no_check_failed(&self) {
        let servers = self.balancer.servers();
        assert_eq!(servers.len(), SERVERS);
        for server in servers {
            assert_eq!(server.status(), "UP", "{server:?}");
            assert_eq!(server.check_status(), "L7OK", "{server:?}");
            assert_eq!((server.failed_checks(), server.falls()), (0, 0), "{server:?}");
        }
    }
}
