//! Doubts that evidence does not end, and what they cost: silent and lying peers, wrong secrets, a state directory that
//! cannot be written.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::fake_peer::{FakePeer, backup, primary};
use crate::support::relay::Way;
use crate::support::stage::{Peers, Stage, eventually};
use crate::support::{Daemon, mirrorvip};

fn take(daemon: &Daemon) {
    let mut command = mirrorvip();
    command.args(["take", "--yes", "--reason", "b is lost", "--url", &format!("http://{}", daemon.admin)]);
    let output = command.output().expect("the command starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn nonsense_term_in_the_record_is_held_beside_silent_peers_until_an_operator_takes_it() {
    let mut stage = Stage::of_everything(Peers::Asked);
    stage.promote_fully("a");
    stage.until_fulfilled("a");
    stage.kill("b");
    stage.write_ownership("x", u64::MAX);
    stage.until_alarm("a", &["record-term"]);
    stage.until_considered("a");
    assert!(stage.ownership().contains("owner=x "), "{}", stage.ownership());
    assert_eq!(stage.page("a"), 200);
    stage.until("a", "the record to be held", |mirror| mirror["steering"][1]["state"] == "holding");
    take(stage.daemon("a"));
    stage.until_leads_to("a");
    stage.until_fulfilled("a");
    assert!(stage.ownership().contains("owner=a "), "{}", stage.ownership());
    stage.assert_clean();
}

#[test]
fn mistaken_answer_of_a_peer_withholds_traffic_only_while_it_lasts() {
    let mut stage = Stage::unstarted(&["a"], Peers::Asked);
    let peer = FakePeer::start(backup("b"));
    stage.add_peer("a", "10.0.1.12", peer.address());
    stage.start_all();
    stage.promote_fully("a");
    stage.until_fulfilled("a");
    peer.report(primary("b", 6));
    stage.until_superseded("a");
    peer.report(backup("b"));
    stage.until_serves("a");
    stage.assert_clean();
}

#[test]
fn unwritable_state_costs_the_memory_of_the_promotion() {
    let mut stage = Stage::unstarted(&["a", "b"], Peers::Asked);
    // Also root cannot make a directory of a file.
    let file = stage.path("a", "state");
    fs::write(&file, "").expect("the test's directory is writable");
    stage.start_all();
    let warning =
        |line: &Value| line["level"] == "WARN" && line.to_string().contains(&file.display().to_string());
    eventually("the warning that names the directory", || stage.daemon("a").log().iter().any(warning));
    stage.promote_fully("a");
    stage.until_fulfilled("a");

    // The new process has not seen the promotion. Beside a silent peer it leaves everything as it is; a reachable backup
    // is evidence enough.
    stage.set_ways_of("a", Way::Refused);
    stage.restart("a");
    stage.until_ruling("a", &["unsure"]);
    stage.until_considered("a");
    assert!(stage.leads_to("a"));
    assert_eq!(stage.page("a"), 200);
    stage.set_ways_of("a", Way::Open);
    stage.until_ruling("a", &["clear"]);
    stage.until_fulfilled("a");
    stage.assert_clean();
}

/// Whether the answer of the peer carries the right signature.
fn is_trusted(mirror: &Value) -> bool {
    let peer = &mirror["members"][1];
    peer["reachable"] == true && peer["problem"].is_null()
}

#[test]
fn wrong_secret_is_silence_and_stops_no_seen_promotion() {
    let mut stage = Stage::unstarted(&["a", "b"], Peers::Asked);
    let [one, two] = ["one", "two"].map(|name| {
        let file = stage.path("a", &format!("{name}.key"));
        fs::write(&file, format!("{name:-<40}\n")).expect("the test's directory is writable");
        format!("peer_key_file = \"{}\"\n", file.display())
    });
    for name in ["a", "b"] {
        stage.configure(name, &one);
    }
    stage.start_all();
    stage.until("a", "an answer of the peer", |mirror| {
        is_trusted(mirror) && mirror["members"][1]["member"] == "b"
    });
    stage.promote_fully("a");
    stage.demote("a");

    stage.stop("b");
    stage.reconfigure("b", &one, &two);
    stage.start("b");
    stage.until_at_rest("b");
    for name in ["a", "b"] {
        stage.until(name, "the wrong signature", |mirror| {
            let problem = mirror["members"][1]["problem"].as_str().unwrap_or_default();
            problem.contains("peer_key_file")
        });
    }
    stage.promote_fully("b");
    stage.until_fulfilled("b");
    assert_eq!(stage.page("b"), 200);
    stage.assert_clean();
}

#[test]
fn secret_replaced_in_place_is_used_after_a_reload() {
    let mut stage = Stage::unstarted(&["a", "b"], Peers::Asked);
    let secret = stage.path("a", "peers.key");
    fs::write(&secret, format!("{:-<40}", "old")).expect("the test's directory is writable");
    for name in ["a", "b"] {
        stage.configure(name, &format!("peer_key_file = \"{}\"\n", secret.display()));
    }
    stage.start_all();
    stage.promote_fully("a");
    stage.until("b", "a trusted answer", is_trusted);

    fs::write(&secret, format!("{:-<40}", "new")).expect("the test's directory is writable");
    stage.daemon("a").signal(Signal::HUP);
    stage.until("b", "the wrong signature", |mirror| {
        mirror["members"][1]["problem"].as_str().is_some_and(|problem| problem.contains("another secret"))
    });
    stage.daemon("b").signal(Signal::HUP);
    for name in ["a", "b"] {
        stage.until(name, "a trusted answer", is_trusted);
    }
    stage.until_ruling("a", &["clear"]);
    stage.until_fulfilled("a");
    assert_eq!(stage.page("a"), 200);
    stage.assert_clean();
}
