//! Answers that no service gives: endless ones, and some with which a parser never ends. In each case page and probes
//! work, and the daemon needs little memory.

use std::fs;

use mirrorvip::simulation::cloud::{Effect, Fault, Service};

use crate::support::Daemon;
use crate::support::stage::{Peers, Stage, eventually};

/// What a daemon may take, in KiB, while every endpoint answers without end. It takes some 30 MiB otherwise, and a
/// bounded answer for each loop comes on top.
const MOST_MEMORY: u64 = 128 * 1024;

/// How often the loops are answered so.
const STRUCK: u64 = 40;

/// The most memory that the daemon ever had, in KiB.
fn peak(daemon: &Daemon) -> u64 {
    let path = format!("/proc/{}/status", daemon.pid().as_raw_nonzero());
    let status = fs::read_to_string(path).expect("the daemon runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux reports it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The APIs that a daemon of the stage asks.
const APIS: [Service; 4] = [Service::Elbv2, Service::Route53, Service::Ec2, Service::CloudWatch];

/// The primary's page stays up while `effect` strikes all its requests to these services; then all is as before.
fn nothing_is_held_up_by(effect: Effect, services: &[Service], error: &str) {
    let mut stage = Stage::unstarted(&["a", "b"], Peers::None);
    stage.start("b");
    stage.until_at_rest("b");
    if services == APIS {
        // It knows its identity.
        stage.until_fulfilled("b");
    }
    for service in services {
        stage.cloud.fault(Fault::new(effect).on(*service).by("b"));
    }
    stage.promote("b");
    stage.until_page("b", 200);
    // A promotion that waits asks again and again.
    eventually("many attempts", || {
        assert_eq!(stage.page("b"), 200);
        let steering = stage.status("b")["steering"].clone();
        let attempts =
            steering.as_array().expect("a list").iter().filter_map(|target| target["attempts"].as_u64());
        attempts.sum::<u64>() >= STRUCK
    });
    stage.until("b", "the cause", |mirror| {
        let targets = mirror["steering"].as_array().expect("a list");
        targets
            .iter()
            .any(|target| target["last_error"]["message"].as_str().is_some_and(|m| m.contains(error)))
    });
    let peak = peak(stage.daemon("b"));
    assert!(peak < MOST_MEMORY, "{peak} KiB");
    stage.cloud.clear_faults();
    stage.until_leads_to("b");
    let probes = stage.status("b")["probes"].clone();
    assert_eq!(probes["no_evidence"], 0, "{probes:#}");
    stage.stop("b");
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
