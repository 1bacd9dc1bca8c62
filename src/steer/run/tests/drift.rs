//! Drift checks: when the loop reads although nothing happens, and why.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_was_read_too_long_ago_is_read_again() {
    let bench = start(pool(&["b"]), &[Role::Backup]);
    sleep(Duration::from_millis(10)).await;
    bench.cloud().read_faults.extend([Fault::Error(Class::Stop); 2]);
    bench.pass(65, Role::Backup).await;
    let reads = bench.cloud().reads.len();
    bench.pass(1, Role::Primary).await;
    assert_eq!(bench.cloud().reads.len(), reads + 3, "before and after, and for the removal");
    assert_eq!(bench.steps(), TAKE);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_drift_interval_is_in_force_at_once() {
    let bench = start(pool(&["a"]), &[Role::Primary]);
    bench.pass(5, Role::Primary).await;
    assert_eq!((bench.cloud().reads.len(), bench.state()), (1, "fulfilled"));
    bench.drift.send_replace(Duration::from_mins(4));
    bench.pass(3_600, Role::Primary).await;
    let reads = bench.cloud().reads.split_off(1);
    assert_eq!(
        reads,
        (0..15).map(|n| 5_000 + n * 240_000).collect::<Vec<_>>(),
        "one at once, fifteen an hour"
    );
    bench.drift.send_replace(Duration::from_secs(5));
    bench.pass(11, Role::Primary).await;
    assert_eq!(bench.cloud().reads[1..], [3_605_000, 3_610_000, 3_615_000]);
    assert_eq!((bench.steps(), bench.state()), (vec![], "fulfilled"));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_longer_drift_interval_keeps_what_was_read_for_longer() {
    let bench = start(pool(&["b"]), &[Role::Backup]);
    bench.drift.send_replace(Duration::from_mins(4));
    sleep(Duration::from_millis(10)).await;
    bench.cloud().read_faults.push_back(Fault::Error(Class::Stop));
    bench.pass(470, Role::Backup).await;
    let reads = bench.cloud().reads.len();
    bench.says(Role::Primary);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(bench.cloud().writes[0].1, TAKE[0]);
    assert_eq!(bench.cloud().reads.len(), reads + 3, "to verify, once a step, and for the removal");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn drift_is_repaired_and_counted() {
    let bench = start(pool(&["a"]), &[Role::Primary]);
    bench.pass(1, Role::Primary).await;
    bench.cloud().members.insert("b");
    bench.pass(35, Role::Primary).await;
    assert_eq!(bench.steps(), TAKE[1..]);
    assert_eq!(bench.report.borrow().drift_repaired, 1);
    bench.stop().await;
}
