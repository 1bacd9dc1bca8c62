//! The loop in paused time, with a scripted instance.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::observation::Role;
use crate::role::{Settings, Tracker};

/// Answers after `takes` what `role` says at that moment, and counts the questions in flight.
struct Scripted<F> {
    takes: Duration,
    answer: F,
    asked: Arc<AtomicUsize>,
}

impl<F: FnMut(usize) -> Reading> Ask for Scripted<F> {
    async fn ask(&mut self) -> Vec<Reading> {
        let index = self.asked.fetch_add(1, Ordering::SeqCst);
        sleep(self.takes).await;
        vec![(self.answer)(index)]
    }
}

struct Bench {
    snapshot: watch::Receiver<Snapshot>,
    asked: Arc<AtomicUsize>,
    wake: Arc<Notify>,
    clock: Clock,
    cancelled: CancellationToken,
    orders: watch::Sender<Option<Supersede>>,
    task: tokio::task::JoinHandle<Vec<Watched>>,
}

const STALE_AFTER: Duration = Duration::from_secs(4);

#[expect(clippy::disallowed_methods, reason = "the test owns the task and joins it")]
fn start(takes: Duration, answer: impl FnMut(usize) -> Reading + Send + 'static) -> Bench {
    let base = Instant::now();
    let clock = Clock::from_fn(move || {
        let since = Instant::now() - base;
        Timestamp::new(since, Duration::from_secs(1_795_228_800) + since)
    });
    let settings = Settings { stale_after: STALE_AFTER, rise: std::num::NonZeroU32::MIN };
    let (sender, snapshot) = watch::channel(Snapshot::new(Tracker::new(settings, None)));
    let (orders, obeyed) = watch::channel(None);
    let (asked, wake, cancelled) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()), CancellationToken::new());
    let task = tokio::spawn(run(
        Scripted { takes, answer, asked: Arc::clone(&asked) },
        vec![Watched::new("TEST".into(), sender).obeying(obeyed)],
        Duration::from_secs(1),
        Arc::clone(&wake),
        clock.clone(),
        cancelled.clone(),
    ));
    Bench { snapshot, asked, wake, clock, cancelled, orders, task }
}

fn reading(outcome: Result<Role, NoEvidence>) -> Reading {
    Reading { outcome, evidence: String::new(), age: Duration::ZERO }
}

fn timed_out() -> NoEvidence {
    NoEvidence::TimedOut { after: Duration::from_secs(2) }
}

impl Bench {
    fn serves(&self) -> bool {
        self.snapshot.borrow().verdict_at(self.clock.now()).serves(self.clock.now())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn labels(&self) -> Vec<&'static str> {
        self.snapshot.borrow().transitions.iter().map(|transition| transition.to).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn asks_once_an_interval_and_publishes() {
    let bench = start(Duration::from_millis(20), |_| reading(Ok(Role::Primary)));
    sleep(Duration::from_millis(3_500)).await;
    assert_eq!(bench.asked(), 4);
    assert!(bench.serves());
    assert_eq!(bench.labels(), ["primary"]);
    assert_eq!(bench.snapshot.borrow().counters.definite, 4);
}

#[tokio::test(start_paused = true)]
async fn one_question_at_a_time_and_the_next_follows_a_slow_one_without_a_pause() {
    let bench = start(Duration::from_secs(2), |_| reading(Err(timed_out())));
    sleep(Duration::from_millis(6_100)).await;
    assert_eq!(bench.asked(), 4, "at 0, 2, 4 and 6 s");
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_asks_at_once_and_a_burst_is_merged() {
    let bench = start(Duration::from_millis(1), |_| reading(Ok(Role::Backup)));
    sleep(Duration::from_millis(500)).await;
    assert_eq!(bench.asked(), 1);
    for _ in 0..100 {
        bench.wake.notify_one();
    }
    sleep(Duration::from_millis(5)).await;
    assert_eq!(bench.asked(), 2);
    assert_eq!(bench.snapshot.borrow().counters.woken, 1);
}

#[tokio::test(start_paused = true)]
async fn a_promotion_some_time_after_its_log_line_is_seen_an_eighth_later() {
    let bench = start(Duration::from_millis(1), {
        let promoted = Instant::now() + Duration::from_millis(500 + 400);
        move |_| reading(Ok(if Instant::now() >= promoted { Role::Primary } else { Role::Backup }))
    });
    sleep(Duration::from_millis(500)).await;
    bench.wake.notify_one();
    sleep(Duration::from_millis(400 + 400 / 8 + 10)).await;
    assert!(bench.serves());
}

#[tokio::test(start_paused = true)]
async fn a_hung_question_expires_for_the_reader_and_in_the_report() {
    let bench = start(Duration::from_millis(10), |_| reading(Ok(Role::Primary)));
    sleep(Duration::from_millis(50)).await;
    assert!(bench.serves());
    // The next question is asked at 1 s and stays in flight far longer than any deadline allows.
    bench.cancelled.cancel();
    let mirrors = bench.task.await.expect("the loop does not panic");
    let (cancelled, wake) = (CancellationToken::new(), Arc::new(Notify::new()));
    let hung = Scripted {
        takes: Duration::from_secs(3_600),
        answer: |_| reading(Ok(Role::Primary)),
        asked: bench.asked,
    };
    #[expect(clippy::disallowed_methods, reason = "the test owns the task and joins it")]
    let task = tokio::spawn(run(
        hung,
        mirrors,
        Duration::from_secs(1),
        wake,
        bench.clock.clone(),
        cancelled.clone(),
    ));
    sleep(STALE_AFTER.saturating_sub(Duration::from_millis(100))).await;
    let serves = |at: Timestamp| bench.snapshot.borrow().verdict_at(at).serves(at);
    assert!(serves(bench.clock.now()));
    sleep(Duration::from_millis(60)).await;
    assert!(!serves(bench.clock.now()));
    assert_eq!(
        bench.snapshot.borrow().transitions.back().map(|t| (t.from, t.to)),
        Some(("primary", "expired"))
    );
    cancelled.cancel();
    assert_eq!(task.await.expect("the loop does not panic").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn silence_is_counted_and_recovery_keeps_the_epoch() {
    let bench = start(Duration::from_millis(10), |index| {
        reading(if (1..=2).contains(&index) { Err(timed_out()) } else { Ok(Role::Primary) })
    });
    sleep(Duration::from_millis(3_500)).await;
    assert!(bench.serves());
    let snapshot = bench.snapshot.borrow();
    assert_eq!((snapshot.counters.definite, snapshot.counters.no_evidence), (2, 2));
    assert_eq!(snapshot.transitions.len(), 1, "bridged silence is no change of state");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_old_when_it_was_read_expires_earlier() {
    let bench = start(Duration::from_millis(10), |index| match index {
        0 => {
            Reading { outcome: Ok(Role::Primary), evidence: String::new(), age: Duration::from_millis(3_500) }
        }
        _ => reading(Err(timed_out())),
    });
    sleep(Duration::from_millis(400)).await;
    assert!(bench.serves());
    sleep(Duration::from_millis(200)).await;
    assert!(!bench.serves());
}

#[tokio::test(start_paused = true)]
async fn an_order_to_refuse_is_obeyed_at_once_even_while_a_question_is_in_flight() {
    let bench = start(Duration::from_millis(900), |_| reading(Ok(Role::Primary)));
    sleep(Duration::from_millis(1_500)).await;
    assert!(bench.serves());
    let epoch = bench.snapshot.borrow().tracker().epoch();
    bench.orders.send_replace(Some(Supersede { epoch, by: "10.0.2.12".to_owned() }));
    sleep(Duration::from_millis(1)).await;
    assert!(!bench.serves());
    sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.labels(), ["primary", "superseded"], "the instance still says primary");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_withdrawn_reinstates_the_page_at_once() {
    let bench = start(Duration::from_millis(900), |_| reading(Ok(Role::Primary)));
    sleep(Duration::from_millis(1_500)).await;
    let epoch = bench.snapshot.borrow().tracker().epoch();
    for _ in 0..2 {
        bench.orders.send_replace(Some(Supersede { epoch, by: "10.0.2.12".to_owned() }));
        sleep(Duration::from_millis(300)).await;
        assert!(!bench.serves());
        bench.orders.send_replace(None);
        sleep(Duration::from_millis(1)).await;
        assert!(bench.serves(), "before the next answer, which takes longer");
    }
    assert_eq!(bench.labels(), ["primary", "superseded", "primary", "superseded", "primary"]);
    assert_eq!(bench.snapshot.borrow().tracker().epoch(), epoch, "it is no promotion");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_stands_before_the_first_answer_is_obeyed_with_it() {
    let bench = start(Duration::from_millis(10), |index| {
        reading(Ok(if index == 0 { Role::Backup } else { Role::Primary }))
    });
    sleep(Duration::from_millis(500)).await;
    let next = bench.snapshot.borrow().tracker().epoch().next();
    bench.orders.send_replace(Some(Supersede { epoch: next, by: "10.0.2.12".to_owned() }));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.labels(), ["backup", "superseded"], "never primary for a moment");
}

#[tokio::test(start_paused = true)]
async fn an_order_about_another_epoch_is_not_for_this_one() {
    let bench = start(Duration::from_millis(10), |index| {
        reading(Ok(if index == 1 { Role::Backup } else { Role::Primary }))
    });
    sleep(Duration::from_millis(500)).await;
    let epoch = bench.snapshot.borrow().tracker().epoch();
    sleep(Duration::from_secs(2)).await;
    bench.orders.send_replace(Some(Supersede { epoch, by: "10.0.2.12".to_owned() }));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.labels(), ["primary", "backup", "primary"]);
    assert!(bench.serves());
}
