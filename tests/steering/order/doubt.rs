//! Doubts that evidence does not end, and what they cost: silent and lying peers, wrong secrets, a state directory that
//! cannot be written.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::rig::{
    Peers, Rig, until, until_alarm, until_fulfilled, until_ruling, until_state, until_superseded,
};
use crate::support::fake_peer::{FakePeer, backup, primary};
use crate::support::relay::Way;
use crate::support::{Daemon, eventually, mirrorvip};

fn take(daemon: &Daemon) {
    let mut command = mirrorvip();
    command.args(["take", "--yes", "--reason", "b is lost", "--url", &format!("http://{}", daemon.admin)]);
    let output = command.output().expect("the command starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn nonsense_term_in_the_record_is_held_beside_silent_peers_until_an_operator_takes_it() {
    let rig = Rig::new(Peers::Asked);
    let [a, b] = rig.start_all();
    rig.promote_fully(0, &a);
    until_fulfilled(&a);
    b.crash();
    rig.write_ownership("x", u64::MAX);
    until_alarm(&a, &["record-term"]);
    rig.until_considered(0, &a);
    assert!(rig.ownership().contains("owner=x "), "{}", rig.ownership());
    assert_eq!(a.page(), 200);
    until(&a, "the record to be held", |mirror| mirror["steering"][1]["state"] == "holding");
    take(&a);
    rig.until_points_at(0, &a);
    until_fulfilled(&a);
    assert!(rig.ownership().contains("owner=a "), "{}", rig.ownership());
    rig.assert_clean();
}

#[test]
fn mistaken_answer_of_a_peer_withholds_traffic_only_while_it_lasts() {
    let mut rig = Rig::of(&["a"], Peers::Asked);
    let peer = FakePeer::start(backup("b"));
    rig.add_peer(0, peer.address());
    let a = rig.start(0);
    until_state(&a, "not-primary");
    rig.promote_fully(0, &a);
    until_fulfilled(&a);
    peer.report(primary("b", 6));
    until_superseded(&a);
    peer.report(backup("b"));
    rig.until_serves(0, &a);
    rig.assert_clean();
}

#[test]
fn unwritable_state_costs_the_memory_of_the_promotion() {
    let rig = Rig::new(Peers::Asked);
    // Also root cannot make a directory of a file.
    fs::write(rig.state_directory(0), "").expect("the test's directory is writable");
    let [a, b] = rig.start_all();
    let warning = |line: &Value| {
        line["level"] == "WARN" && line.to_string().contains(&rig.state_directory(0).display().to_string())
    };
    eventually("the warning that names the directory", || a.log().iter().any(warning).then_some(()));
    rig.promote_fully(0, &a);
    until_fulfilled(&a);

    // The new process has not seen the promotion. Beside a silent peer it leaves everything as it is; a reachable backup
    // is evidence enough.
    rig.set_ways_of(0, Way::Refused);
    assert!(a.stop().success());
    let a = rig.start(0);
    until_ruling(&a, "unsure");
    rig.until_considered(0, &a);
    assert!(rig.points_at(0));
    assert_eq!(a.page(), 200);
    rig.set_ways_of(0, Way::Open);
    until_ruling(&a, "clear");
    until_fulfilled(&a);
    rig.assert_clean();
    drop(b);
}

#[test]
fn wrong_secret_is_silence_and_stops_no_seen_promotion() {
    let mut rig = Rig::new(Peers::Asked);
    let secrets = ["one", "two"].map(|name| {
        let file = rig.directory.path().join(format!("{name}.key"));
        fs::write(&file, format!("{name:-<40}\n")).expect("the test's directory is writable");
        file
    });
    for index in [0, 1] {
        rig.configure(index, &format!("peer_key_file = \"{}\"\n", secrets[0].display()));
    }
    let [a, b] = rig.start_all();
    until(&a, "an answer of the peer", |mirror| {
        let peer = &mirror["members"][1];
        peer["member"] == "b" && peer["reachable"] == true && peer["problem"].is_null()
    });
    rig.promote_fully(0, &a);
    rig.demote(0, &a);

    assert!(b.stop().success());
    rig.replace_configuration(1, &format!("peer_key_file = \"{}\"\n", secrets[1].display()));
    let b = rig.start(1);
    until_state(&b, "not-primary");
    for daemon in [&a, &b] {
        until(daemon, "the wrong signature", |mirror| {
            let problem = mirror["members"][1]["problem"].as_str().unwrap_or_default();
            problem.contains("peer_key_file")
        });
    }
    rig.promote_fully(1, &b);
    until_fulfilled(&b);
    assert_eq!(b.page(), 200);
    rig.assert_clean();
}

#[test]
fn secret_replaced_in_place_is_used_after_a_reload() {
    let mut rig = Rig::new(Peers::Asked);
    let secret = rig.directory.path().join("peers.key");
    fs::write(&secret, format!("{:-<40}", "old")).expect("the test's directory is writable");
    for index in [0, 1] {
        rig.configure(index, &format!("peer_key_file = \"{}\"\n", secret.display()));
    }
    let daemons: [_; 2] = rig.start_all();
    let until_believed = |daemon: &Daemon| {
        until(daemon, "an answer that is believed", |mirror| {
            let peer = &mirror["members"][1];
            peer["reachable"] == true && peer["problem"].is_null()
        });
    };
    rig.promote_fully(0, &daemons[0]);
    until_believed(&daemons[1]);

    fs::write(&secret, format!("{:-<40}", "new")).expect("the test's directory is writable");
    daemons[0].signal(Signal::HUP);
    until(&daemons[1], "the wrong signature", |mirror| {
        mirror["members"][1]["problem"].as_str().is_some_and(|problem| problem.contains("another secret"))
    });
    daemons[1].signal(Signal::HUP);
    for daemon in &daemons {
        until_believed(daemon);
    }
    until_ruling(&daemons[0], "clear");
    until_fulfilled(&daemons[0]);
    assert_eq!(daemons[0].page(), 200);
    rig.assert_clean();
}
