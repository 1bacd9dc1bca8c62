//! The course of a turn: steps that stand alone, and how soon the next turn comes.

use super::scripted::{Cloud, Fault, start};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_step_that_stands_alone_holds_up_no_other() {
    for class in [Class::Stop, Class::Retry, Class::Observe] {
        let tables = Cloud { tables: ["1", "2", "3"].into(), refuses: Some(("1", class)), ..pool(&["a"]) };
        let bench = start(tables, &[Role::Backup]);
        bench.pass(1, Role::Backup).await;
        bench.says(Role::Primary);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(bench.cloud().tables, ["1"].into(), "{class:?}: the others are made in the same turn");
        bench.pass(3, Role::Primary).await;
        let state = if class == Class::Stop { "impossible" } else { "failing" };
        assert_eq!(bench.state(), state, "{class:?}");
        let error = bench.report.borrow().last_error.clone().expect("it is reported");
        assert_eq!(error.1.class, class);
        assert!(bench.steps().iter().skip(3).all(|step| step.starts_with("Point 1")), "{:?}", bench.steps());
        bench.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_tried_no_faster_because_others_were_made() {
    let tables = Cloud { tables: ["1", "2"].into(), refuses: Some(("1", Class::Stop)), ..pool(&["a"]) };
    let bench = start(tables, &[Role::Primary]);
    bench.pass(25, Role::Primary).await;
    let point = |table| format!("Point {table} (epoch 1, term 3)");
    assert_eq!(bench.steps(), [point("1"), point("2"), point("1")], "once more with the verifying read");
    bench.cloud().refuses = None;
    bench.pass(10, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (4, "fulfilled"));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn steps_that_stand_alone_wait_together_when_there_are_too_many_requests() {
    let tables = Cloud { tables: ["1", "2"].into(), ..pool(&["a"]) };
    let bench = start(tables, &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.cloud().write_faults.push_back(Fault::Error(Class::Throttled));
    bench.says(Role::Primary);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(bench.steps().len(), 1);
    bench.pass(1, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (3, "fulfilled"));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_is_polled_less_often() {
    let spreads = Cloud { spreads_until: 22_000, ..pool(&["b"]) };
    let bench = start(spreads, &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.pass(30, Role::Primary).await;
    let reads: Vec<_> = bench.cloud().reads.iter().copied().filter(|at| *at > 0).collect();
    // Before the removal, again after the arbiter was asked, to verify it, and then every five seconds.
    assert_eq!(reads, [1_000, 1_000, 1_000, 6_000, 11_000, 16_000, 21_000, 26_000]);
    assert_eq!(bench.state(), "fulfilled");
    let timeline = bench.report.borrow().ladder.expect("promoted");
    let after = |at: Option<Timestamp>| timeline.role_changed.expect("known").age_at(at.expect("reached"));
    assert_eq!(after(timeline.accepted), Duration::ZERO);
    assert_eq!(after(timeline.fulfilled), Duration::from_secs(25), "when it was first seen");
    bench.stop().await;
}
