//! How soon the end of a fault is noticed: at once if a promotion waits, within seconds otherwise.

use super::scripted::{Cloud, Outage, start};
use super::*;

/// What docs/aws.md promises, in milliseconds.
const NOTICED_WITHIN: u64 = 3_000;

/// How long an attempt takes during a fault: a reset, a connection that is not accepted, silence.
const TAKES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(2)];

/// The pool of an outage from the first second to `until`, with the longest pauses.
fn unlucky(until: u64, takes: Duration, class: Class) -> Cloud {
    Cloud { outage: Some(Outage { until, takes, class }), jitter: Some(|| 1.0), ..pool(&["b"]) }
}

#[tokio::test(start_paused = true)]
async fn a_promotion_that_waits_is_carried_out_within_three_seconds_of_the_end_of_any_fault() {
    for takes in TAKES {
        // Whenever it ends, in whatever pause or attempt.
        for until in (2_000..20_000).step_by(370) {
            let bench = start(unlucky(until, takes, Class::Retry), &[Role::Backup]);
            bench.pass(1, Role::Backup).await;
            bench.pass(25, Role::Primary).await;
            assert!(bench.cloud().members.contains("a"), "{takes:?}, {until}");
            let written = bench.cloud().writes.iter().map(|(at, _)| *at).find(|at| *at >= until);
            let late = written.expect("it was written") - until;
            assert!(late <= NOTICED_WITHIN, "{late} ms after a fault of {takes:?} that ended at {until}");
            bench.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_idle_wait_does_not_slow_a_later_promotion() {
    let bench = start(unlucky(60_000, Duration::ZERO, Class::Retry), &[Role::Backup]);
    bench.pass(40, Role::Backup).await;
    bench.pass(15, Role::Primary).await;
    let reads = bench.cloud().reads.clone();
    let promoted = reads.iter().filter(|at| (40_000..55_000).contains(*at)).count();
    assert!(promoted >= 25, "{reads:?}");
    bench.pass(10, Role::Primary).await;
    assert_eq!((bench.steps().last(), bench.state()), (Some(&TAKE[1].to_owned()), "fulfilled"));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_waiting_promotion_a_fault_is_retried_slowly() {
    for role in [Role::Backup, Role::Primary] {
        let bench = start(Cloud { jitter: Some(|| 1.0), ..pool(&["a"]) }, std::slice::from_ref(&role));
        bench.pass(10, role.clone()).await;
        assert_eq!(bench.state(), "fulfilled");
        bench.cloud().outage = Some(Outage { until: 300_000, takes: Duration::ZERO, class: Class::Retry });
        bench.pass(200, role.clone()).await;
        let reads = bench.cloud().reads.len();
        assert!((10..40).contains(&reads), "{role:?}: {reads}");
        bench.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn throttles_keep_their_own_pace() {
    let bench = start(unlucky(20_000, Duration::ZERO, Class::Throttled), &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.pass(25, Role::Primary).await;
    let reads: Vec<_> = bench.cloud().reads.iter().copied().filter(|at| *at < 20_000).collect();
    assert!(reads.len() <= 13, "{reads:?}");
    assert_eq!(bench.state(), "fulfilled");
    bench.stop().await;
}
