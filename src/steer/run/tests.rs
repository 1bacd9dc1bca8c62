//! The loop in paused time, beside a scripted cloud.

use std::collections::BTreeSet;

use super::*;
use crate::observation::{NoEvidence, Role};

mod awaited;
mod drift;
mod scripted;
mod taken;
mod turns;

use scripted::{CLEAR, Cloud, Fault, STALE_AFTER, says, start, unsure};

fn pool(members: &[&'static str]) -> Cloud {
    Cloud { members: members.iter().copied().collect(), ..Cloud::default() }
}

const TAKE: [&str; 2] = ["Add a (epoch 1, term 3)", "Remove b (epoch 1, term 3)"];

#[tokio::test(start_paused = true)]
async fn a_loop_that_starts_on_the_primary_reads_first_and_writes_only_what_differs() {
    let bench = start(pool(&["a", "b"]), &[Role::Primary]);
    bench.pass(3, Role::Primary).await;
    assert_eq!(bench.steps(), TAKE[1..]);
    assert_eq!(bench.cloud().reads.len(), 3, "one before, one for the removal, one to verify");
    assert_eq!(bench.state(), "fulfilled");
    bench.stop().await;

    let bench = start(pool(&["a"]), &[Role::Primary]);
    bench.authority.send_replace(unsure());
    bench.pass(3, Role::Primary).await;
    assert_eq!((bench.steps(), bench.state()), (vec![], "fulfilled"), "nothing to take needs no authority");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_led_in_an_earlier_epoch_is_read_before_it_counts_in_this_one() {
    let bench = start(pool(&["a"]), &[Role::Primary]);
    bench.pass(3, Role::Primary).await;
    assert_eq!(bench.state(), "fulfilled");
    bench.pass(1, Role::Backup).await;
    // The other was promoted, took it, and died: all within a drift check.
    bench.cloud().members = ["b"].into();
    bench.pass(3, Role::Primary).await;
    assert_eq!(bench.steps(), ["Add a (epoch 2, term 3)", "Remove b (epoch 2, term 3)"]);
    assert_eq!(bench.state(), "fulfilled");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_write_of_a_promotion_leaves_without_a_read_before_it() {
    let bench = start(pool(&["b"]), &[Role::Backup]);
    bench.pass(45, Role::Backup).await;
    assert_eq!(bench.cloud().reads, [0, 30_000], "drift checks keep the connection warm");
    bench.cloud().read_faults.extend([Fault::Hang; 9]);
    bench.says(Role::Primary);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(bench.steps(), TAKE[..1], "and nothing is removed before a read");
    assert_eq!(bench.cloud().writes[0].0, 45_000);
    let timeline = bench.report.borrow().ladder.expect("promoted");
    assert_eq!(timeline.page_flipped, timeline.accepted);
    assert_eq!(timeline.fulfilled, None, "done means verified, and that read hangs");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_promotion_does_not_trust_an_old_read() {
    let bench = start(pool(&["a"]), &[Role::Backup]);
    bench.pass(10, Role::Backup).await;
    bench.cloud().members = ["b"].into();
    bench.pass(1, Role::Primary).await;
    assert_eq!(bench.steps(), TAKE, "the drift check of ten seconds ago saw that all was well");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_read_from_before_another_led_does_not_count_as_done() {
    let bench = start(pool(&["b"]), &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.pass(2, Role::Primary).await;
    assert_eq!((bench.steps(), bench.state()), (TAKE.map(str::to_owned).into(), "fulfilled"));
    bench.pass(1, Role::Backup).await;
    bench.cloud().members = pool(&["b"]).members;
    bench.pass(1, Role::Primary).await;
    assert_eq!(bench.steps()[2..], ["Add a (epoch 2, term 3)", "Remove b (epoch 2, term 3)"]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_read_that_hangs_does_not_hold_up_a_promotion() {
    let bench = start(pool(&["b"]), &[Role::Backup]);
    bench.pass(29, Role::Backup).await;
    bench.cloud().read_faults.push_back(Fault::Hang);
    bench.pass(2, Role::Backup).await;
    assert_eq!(bench.cloud().reads.len(), 2, "the second is in flight");
    bench.says(Role::Primary);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(bench.steps(), TAKE);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_demotion_cancels_what_was_not_sent_and_finishes_what_was() {
    let slow = Cloud { write_takes: Duration::from_millis(500), ..pool(&["b"]) };
    let bench = start(slow, &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.says(Role::Primary);
    sleep(Duration::from_millis(250)).await;
    bench.says(Role::Backup);
    bench.pass(5, Role::Backup).await;
    assert_eq!(bench.steps(), TAKE[..1]);
    assert_eq!(bench.cloud().members, BTreeSet::from(["a", "b"]), "the step in flight was not dropped");
    assert_eq!(bench.cloud().reads.len(), 2, "and then the object was read");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_the_step_in_flight_and_withdraws_nothing() {
    let slow = Cloud { write_takes: Duration::from_millis(500), ..pool(&["b"]) };
    let bench = start(slow, &[Role::Backup, Role::Primary]);
    sleep(Duration::from_millis(250)).await;
    let cloud = Arc::clone(&bench.cloud);
    bench.stop().await;
    let cloud = cloud.lock().unwrap();
    assert_eq!((cloud.writes.len(), cloud.members.clone()), (1, BTreeSet::from(["a", "b"])));
}

#[tokio::test(start_paused = true)]
async fn throttled_reads_do_not_hold_up_the_write() {
    let bench = start(pool(&["b"]), &[Role::Backup]);
    bench.pass(29, Role::Backup).await;
    bench.cloud().read_faults.extend([Fault::Error(Class::Throttled); 30]);
    bench.pass(20, Role::Backup).await;
    assert_eq!(bench.state(), "failing");
    bench.says(Role::Primary);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(bench.steps(), TAKE[..1], "and nothing is removed before a read");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn throttled_writes_are_sent_again_without_a_read_and_within_seconds() {
    let bench = start(pool(&["b"]), &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.cloud().write_faults.extend([Fault::Error(Class::Throttled); 6]);
    bench.pass(20, Role::Primary).await;
    assert_eq!(bench.steps().len(), 8);
    {
        let cloud = bench.cloud();
        let gaps: Vec<u64> = cloud.writes[..7].windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert_eq!(gaps, [250, 500, 1_000, 1_000, 1_000, 1_000], "half of each ceiling, as jitter has it");
        let (first, last) = (cloud.writes[0].0, cloud.writes[6].0);
        assert_eq!(cloud.reads.iter().filter(|at| (first..last).contains(at)).count(), 0);
    }
    assert_eq!(bench.state(), "fulfilled");
    assert_eq!(bench.report.borrow().calls[&("Add".into(), "throttled")], 6);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_write_of_unknown_outcome_is_verified_before_it_is_repeated() {
    let bench = start(pool(&["a", "b"]), &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.cloud().write_faults.push_back(Fault::Hang);
    bench.pass(20, Role::Primary).await;
    assert_eq!(bench.steps().len(), 2);
    {
        let cloud = bench.cloud();
        let between = cloud.writes[0].0 + 8_000..=cloud.writes[1].0;
        assert!(cloud.reads.iter().any(|at| between.contains(at)));
    }
    assert_eq!((bench.state(), bench.report.borrow().attempts), ("fulfilled", 0));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_swap_is_read_again_at_once_and_not_for_ever() {
    let bench = start(pool(&["a", "b"]), &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.cloud().write_faults.extend([Fault::Error(Class::Observe); 5]);
    bench.says(Role::Primary);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(bench.steps().len(), 4, "three reads at once");
    assert_eq!(bench.cloud().reads.len(), 9, "each removal is preceded by two");
    bench.pass(5, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (6, "fulfilled"));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_must_change_is_tried_again_at_the_next_drift_check() {
    let bench = start(pool(&["a", "b"]), &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.cloud().write_faults.push_back(Fault::Error(Class::Stop));
    bench.pass(25, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (1, "impossible"));
    bench.pass(10, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (2, "fulfilled"));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_target_written_too_often_is_held_and_reported() {
    let bench = start(Cloud { opponent: Some("b"), ..pool(&["a", "b"]) }, &[Role::Primary]);
    bench.pass(300, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (MOVES, "contested"));
    assert_eq!(bench.report.borrow().writes_left, 0);
    bench.cloud().opponent = None;
    bench.pass(400, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (MOVES + 1, "fulfilled"));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn refused_writes_are_no_contest() {
    let bench = start(pool(&["b"]), &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.cloud().write_faults.extend([Fault::Error(Class::Throttled); 30]);
    bench.pass(200, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (32, "fulfilled"));
    assert_eq!(bench.report.borrow().writes_left, MOVES - 2);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn silence_withdraws_nothing_and_takes_nothing() {
    let bench = start(pool(&["a"]), &[Role::Primary]);
    bench.pass(1, Role::Primary).await;
    bench.cloud().members = BTreeSet::from(["b"]);
    for _ in 0..60 {
        says(&bench.snapshot, &bench.clock, Err(NoEvidence::TimedOut { after: Duration::from_secs(2) }));
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!((bench.steps(), bench.state()), (vec![], "holding"));
    assert_eq!(bench.cloud().members, BTreeSet::from(["b"]));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_expires_unpublished_moves_nothing_more() {
    let slow = Cloud { write_takes: STALE_AFTER, ..pool(&["b"]) };
    let bench = start(slow, &[Role::Backup, Role::Primary]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.steps(), TAKE[..1], "the probe loop hangs");
    bench.pass(10, Role::Primary).await;
    assert_eq!(bench.steps(), TAKE, "it runs again");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_doubt_that_came_up_on_asking_holds_nothing_up_once_it_is_gone() {
    let bench = start(pool(&["b"]), &[Role::Backup]);
    bench.pass(3, Role::Backup).await;
    // Clear until the write asked, and clear again a moment later.
    bench.rulings.lock().unwrap().push_back(unsure());
    bench.says(Role::Primary);
    sleep(Duration::from_millis(50)).await;
    assert_eq!((bench.steps(), bench.state()), (vec![], "holding"));
    bench.authority.send_replace(CLEAR);
    sleep(Duration::from_millis(50)).await;
    assert_eq!(bench.steps(), TAKE);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_authority_nothing_is_taken_and_it_goes_on_when_it_is_clear() {
    let bench = start(pool(&["b"]), &[Role::Primary]);
    bench.authority.send_replace(unsure());
    bench.pass(60, Role::Primary).await;
    assert_eq!((bench.steps(), bench.state()), (vec![], "holding"));
    assert!(bench.report.borrow().state.reason().is_some_and(|why| why.contains("a peer is silent")));
    bench.authority.send_replace(CLEAR);
    bench.pass(1, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (2, "fulfilled"));
    bench.authority.send_replace(Authority::Superseded { by: "b".to_owned() });
    bench.cloud().members = BTreeSet::from(["b"]);
    bench.pass(120, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (2, "holding"));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_cloud_is_waited_for_second_by_second() {
    let bench = start(Cloud { unhealthy: true, ..pool(&["b"]) }, &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.pass(10, Role::Primary).await;
    assert_eq!((bench.steps(), bench.state()), (vec![TAKE[0].to_owned()], "waiting"), "the old one stays");
    assert_eq!(bench.cloud().reads.len(), 11);
    bench.cloud().unhealthy = false;
    bench.pass(2, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (2, "fulfilled"));
    let timeline = bench.report.borrow().ladder.expect("promoted");
    let after = |at: Option<Timestamp>| timeline.role_changed.expect("known").age_at(at.expect("reached"));
    assert_eq!(after(timeline.accepted), Duration::ZERO);
    assert_eq!(after(timeline.fulfilled), Duration::from_secs(10));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn any_role_enrols_itself() {
    for role in [Role::Backup, Role::Primary] {
        let bench = start(Cloud { enrol: true, ..pool(&["b"]) }, std::slice::from_ref(&role));
        bench.authority.send_replace(unsure());
        bench.pass(1, role).await;
        assert_eq!((bench.steps(), bench.state()), (vec!["Enrol a".to_owned()], "fulfilled"));
        bench.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_impossible_state_is_reported_and_read_again() {
    let bench = start(Cloud { unsuitable: true, ..pool(&["b"]) }, &[Role::Primary]);
    bench.pass(1, Role::Primary).await;
    assert_eq!((bench.steps(), bench.state()), (vec![], "impossible"));
    bench.cloud().unsuitable = false;
    bench.pass(35, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (2, "fulfilled"));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn knowledge_from_before_a_fail_back_is_not_trusted_after_it() {
    let bench = start(pool(&["a"]), &[Role::Primary]);
    bench.pass(3, Role::Primary).await;
    assert_eq!(bench.state(), "fulfilled");
    bench.pass(1, Role::Backup).await;
    bench.cloud().members = BTreeSet::from(["b"]);
    // It is primary again long before the next drift check, which would show what the other did meanwhile.
    bench.pass(2, Role::Primary).await;
    assert_eq!(bench.steps(), ["Add a (epoch 2, term 3)", "Remove b (epoch 2, term 3)"]);
    assert_eq!(bench.state(), "fulfilled");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_withdrawn_because_of_what_was_known_before() {
    let bench = start(pool(&["a", "b"]), &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    // The other, primary at that time, went on to remove this member.
    bench.cloud().members = BTreeSet::from(["b"]);
    bench.pass(2, Role::Primary).await;
    assert_eq!(bench.steps(), TAKE, "added before the other is removed: the pool is never empty");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_throttled_removal_is_sent_again_after_another_read() {
    let bench = start(pool(&["a", "b"]), &[Role::Primary]);
    bench.cloud().write_faults.push_back(Fault::Error(Class::Throttled));
    bench.pass(3, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (2, "fulfilled"));
    let cloud = bench.cloud();
    let between = cloud.writes[0].0..=cloud.writes[1].0;
    assert!(cloud.reads.iter().any(|at| *at > *between.start() && between.contains(at)));
}
