//! HAProxy's agent check: the daemon says more than up and down there, and a new daemon revokes what the
//! one before it reported.

use rustix::process::Signal;

use super::balancer::Checks;
use super::clients::{NO_MEMBER, Session};
use super::stage::{Member, Stage};

/// The agent alone decides.
fn agent_only(name: &str, member: &Member) -> String {
    let Member { database, agent, .. } = member;
    format!("{name} {} agent-check agent-addr {} agent-port {}", database.address, agent.ip(), agent.port())
}

/// The agent and the status page decide together.
fn agent_and_page(name: &str, member: &Member) -> String {
    let Member { page, .. } = member;
    format!("{} check addr {} port {}", agent_only(name, member), page.ip(), page.port())
}

#[test]
fn says_up_and_down_and_why() {
    let stage = Stage::set("", Checks::QUICK, agent_only);
    let clients = stage.clients();
    clients.wait_for("a");
    stage.balancer.wait_for("b", "down as backup", |server| server.agent_reason() == "backup");

    stage.a.becomes("Synchronizing");
    let fallen = stage.balancer.wait_until_down("a");
    assert_eq!(fallen.status(), "DOWN (agent)");
    stage.balancer.wait_for("a", "with its reason", |server| server.agent_reason() == "synchronizing");
    clients.wait_for(NO_MEMBER);
    stage.b.becomes("Primary");
    stage.balancer.wait_until_up("b");
    clients.wait_for("b");
    assert_eq!(clients.story(), ["a", NO_MEMBER, "b"]);
}

#[test]
fn a_stop_drains_and_the_next_daemon_is_ready() {
    let mut stage = Stage::set("drain = \"60s\"", Checks::QUICK, agent_only);
    let mut session = Session::open(stage.balancer.front).expect("HAProxy listens");
    assert_eq!(session.ask().as_deref(), Some("a"));
    let clients = stage.clients();
    clients.wait_for("a");

    stage.a.daemon().signal(Signal::TERM);
    stage.balancer.wait_for("a", "draining", |server| server.status().starts_with("DRAIN"));
    clients.wait_for(NO_MEMBER);
    assert_eq!(session.ask().as_deref(), Some("a"), "a restart of the daemon ends no session");
    stage.a.hurry_to_the_end();
    let alone = stage.balancer.wait_for("a", "without its agent", |server| server.agent_status() == "L4CON");
    assert!(alone.status().starts_with("DRAIN"), "the drain was not undone: {alone:?}");

    stage.a.start_again();
    stage.balancer.wait_until_up("a");
    clients.wait_for("a");
    assert_eq!(session.ask().as_deref(), Some("a"), "the session outlives the restart");
    assert_eq!(clients.story(), ["a", NO_MEMBER, "a"]);
}

#[test]
fn a_backup_that_drained_is_taken_in_when_it_is_promoted() {
    let mut stage = Stage::set("drain = \"60s\"", Checks::QUICK, agent_only);
    let clients = stage.clients();
    clients.wait_for("a");
    stage.b.daemon().signal(Signal::TERM);
    // It stays down, and HAProxy does not show in its status that it drains as well.
    stage.balancer.wait_for("b", "draining", |server| server.agent_status() == "CHECKED");
    stage.b.hurry_to_the_end();
    stage.b.start_again();
    stage.balancer.wait_for("b", "down as backup", |server| server.agent_reason() == "backup");

    stage.a.becomes("Backup");
    clients.wait_for(NO_MEMBER);
    stage.b.becomes("Primary");
    stage.balancer.wait_until_up("b");
    clients.wait_for("b");
    assert_eq!(clients.story(), ["a", NO_MEMBER, "b"]);
}

#[test]
fn a_member_that_left_the_mirror_is_in_maintenance_until_it_is_primary() {
    let stage = Stage::set("", Checks::QUICK, agent_only);
    let clients = stage.clients();
    clients.wait_for("a");
    stage.a.iris.set_role("Not Member", "").expect("the test's directory is writable");
    stage.balancer.wait_for("a", "in maintenance", |server| server.status() == "MAINT");
    clients.wait_for(NO_MEMBER);
    stage.a.becomes("Backup");
    let back = stage.balancer.wait_for("a", "a member again", |server| server.agent_reason() == "backup");
    assert_eq!(back.status(), "MAINT", "being a member alone brings it to no client");
    stage.a.becomes("Primary");
    stage.balancer.wait_until_up("a");
    clients.wait_for("a");
    assert_eq!(clients.story(), ["a", NO_MEMBER, "a"]);
}

#[test]
fn agent_and_page_agree_through_restart_and_failover() {
    let mut stage = Stage::set("drain = \"60s\"", Checks::QUICK, agent_and_page);
    let clients = stage.clients();
    clients.wait_for("a");
    stage.a.daemon().signal(Signal::TERM);
    stage.balancer.wait_for("a", "out", |server| !server.is_up());
    clients.wait_for(NO_MEMBER);
    stage.a.hurry_to_the_end();
    stage.a.start_again();
    stage.balancer.wait_until_up("a");
    clients.wait_for("a");

    stage.a.becomes("Waiting");
    stage.balancer.wait_until_down("a");
    clients.wait_for(NO_MEMBER);
    stage.b.becomes("Primary");
    stage.balancer.wait_until_up("b");
    clients.wait_for("b");
    assert_eq!(clients.story(), ["a", NO_MEMBER, "a", NO_MEMBER, "b"]);
}
