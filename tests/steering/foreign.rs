//! Answers that no service gives: without end, or such that a parser does not end with them. Whatever an endpoint
//! answers, the page and the probes go on, and the machine keeps its memory.

use std::fs;
use std::time::Duration;

use mirrorvip::simulation::cloud::{Effect, Fault, Service};

use crate::rig::{Peers, Rig, until, until_fulfilled, until_state};
use crate::support::{Daemon, PATIENCE, now};

/// What a daemon may take, in KiB, while every endpoint answers without end. It takes some 30 MiB in peace, and a
/// bounded answer for each loop comes on top.
const MOST_MEMORY: u64 = 128 * 1024;

/// How often the loops are answered so.
const STRUCK: u64 = 40;

/// The most memory that the daemon ever had, in KiB.
fn peak(daemon: &Daemon) -> u64 {
    let path = format!("/proc/{}/status", daemon.pid().as_raw_nonzero());
    let status = fs::read_to_string(path).expect("the daemon runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The APIs that a daemon of the rig asks.
const APIS: [Service; 4] = [Service::Elbv2, Service::Route53, Service::Ec2, Service::CloudWatch];

/// The primary's page stays up while `effect` strikes whatever it asks of these services; then all is as before.
fn nothing_is_held_up_by(effect: Effect, services: &[Service], told: &str) {
    let rig = Rig::new(Peers::None);
    let b = rig.start(1);
    until_state(&b, "not-primary");
    if services == APIS {
        // It knows who it is.
        until_fulfilled(&b);
    }
    for service in services {
        rig.cloud.fault(Fault::new(effect).on(*service).by("b"));
    }
    rig.is_primary(1);
    rig.report_role(1, "primary");
    b.wait_for_page(200);
    // A promotion that waits asks again and again.
    let attempts = || {
        let steering = b.status()["mirrors"][0]["steering"].clone();
        steering
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|target| target["attempts"].as_u64())
            .sum::<u64>()
    };
    let deadline = now() + PATIENCE;
    while attempts() < STRUCK {
        assert_eq!(b.page(), 200, "{}", b.log_text());
        assert!(now() < deadline, "{} attempts; {}", attempts(), b.log_text());
        std::thread::sleep(Duration::from_millis(20));
    }
    until(&b, "the cause to be told", |mirror| {
        let targets = mirror["steering"].as_array().expect("a list");
        targets
            .iter()
            .any(|target| target["last_error"]["message"].as_str().is_some_and(|m| m.contains(told)))
    });
    assert!(peak(&b) < MOST_MEMORY, "{} KiB", peak(&b));
    rig.cloud.clear_faults();
    rig.until_points_at(1, &b);
    let probes = b.status()["mirrors"][0]["probes"].clone();
    assert_eq!(probes["no_evidence"], 0, "{probes:#}");
    assert!(b.stop().success());
}

#[test]
fn an_answer_without_end_costs_neither_memory_nor_a_check() {
    nothing_is_held_up_by(Effect::Endless, &APIS, "answered more than 1048576 bytes");
}

#[test]
fn a_metadata_service_without_end_costs_neither_memory_nor_a_check() {
    nothing_is_held_up_by(Effect::Endless, &[Service::Metadata], "answered more than 1048576 bytes");
}

#[test]
fn an_element_of_a_hundred_thousand_attributes_delays_no_probe() {
    nothing_is_held_up_by(Effect::Attributes, &APIS, "answered with more than 100 attributes");
}
