//! The probe loop: asks, passes the answer to the role machine, publishes, reports changes. The only writer of the
//! [`Snapshot`]s of its mirrors.
//!
//! One question is in flight at a time; the prober bounds its time. Meanwhile the loop still notices and reports a lease
//! that ends, although no reader depends on that. Cancelling the loop drops the question, which kills the child, and
//! returns the mirrors: a reload passes them to the next loop, so that no verdict and no epoch is lost.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::schedule::Schedule;
use super::{Prober, Reading};
use crate::clock::{Clock, Timestamp};
use crate::observation::{NoEvidence, Observation};
use crate::role::{Supersede, Tracker, Verdict};
use crate::snapshot::{Snapshot, Transition};

#[cfg(test)]
mod tests;

/// One mirror that a loop asks about.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Its name in logs.
    pub(crate) name: Arc<str>,
    /// Where its state is published; no other task sends.
    pub(crate) snapshot: watch::Sender<Snapshot>,
    /// Rulings of steering that this member is superseded.
    orders: Option<watch::Receiver<Option<Supersede>>>,
    /// The present stretch without evidence.
    episode: Option<Episode>,
}

/// A stretch of failed probes, so that it is reported once and not at each probe.
#[derive(Debug)]
struct Episode {
    word: &'static str,
    failures: u64,
}

/// Something that answers for several mirrors at once, in their order.
pub(crate) trait Ask {
    /// Asks once; bounds its own time.
    fn ask(&mut self) -> impl Future<Output = Vec<Reading>>;
}

impl Ask for Prober {
    async fn ask(&mut self) -> Vec<Reading> {
        Self::ask(self).await
    }
}

/// Asks about `mirrors` once per `interval` and at each `wake` until it is cancelled; returns the mirrors.
pub(crate) async fn run(
    mut prober: impl Ask,
    mut mirrors: Vec<Watched>,
    interval: Duration,
    wake: Arc<Notify>,
    clock: Clock,
    cancelled: CancellationToken,
) -> Vec<Watched> {
    let mut schedule = Schedule::new(interval);
    loop {
        // Cancel-safe: each branch is a timer, a token or a `Notify`, which keeps a permit that was not taken.
        tokio::select! {
            biased;
            () = cancelled.cancelled() => return mirrors,
            () = wake.notified() => {
                schedule.wake(Instant::now());
                continue;
            }
            () = sleep_until(schedule.due(Instant::now())) => {}
            () = lease_end(&mirrors, &clock) => {
                expire(&mirrors, &clock);
                continue;
            }
            () = ordered(&mirrors) => {
                obey(&mirrors, &clock);
                continue;
            }
        }
        let woken = schedule.ask(Instant::now());
        let asked_at = clock.now();
        let Some(readings) = ask(&mut prober, &mirrors, &clock, &cancelled).await else { return mirrors };
        expire(&mirrors, &clock);
        let answered_at = clock.now();
        debug_assert_eq!(readings.len(), mirrors.len(), "a prober answers for each of its mirrors");
        for (mirror, reading) in mirrors.iter_mut().zip(readings) {
            mirror.take_in(reading, asked_at, answered_at, woken);
        }
    }
}

/// One question; `None` when the loop was cancelled meanwhile.
async fn ask(
    prober: &mut impl Ask,
    mirrors: &[Watched],
    clock: &Clock,
    cancelled: &CancellationToken,
) -> Option<Vec<Reading>> {
    let mut answer = std::pin::pin!(prober.ask());
    loop {
        // The question is pinned outside: the other branches do not drop it.
        tokio::select! {
            biased;
            () = cancelled.cancelled() => return None,
            readings = &mut answer => return Some(readings),
            () = lease_end(mirrors, clock) => expire(mirrors, clock),
            () = ordered(mirrors) => obey(mirrors, clock),
        }
    }
}

/// Until the next lease of any of the mirrors ends; for ever when none runs.
async fn lease_end(mirrors: &[Watched], clock: &Clock) {
    let now = clock.now();
    let next = mirrors
        .iter()
        .filter_map(|mirror| mirror.snapshot.borrow().tracker().running_lease())
        .map(|lease| lease.remaining(now))
        .min();
    match next {
        Some(remaining) => sleep(remaining).await,
        None => std::future::pending().await,
    }
}

fn expire(mirrors: &[Watched], clock: &Clock) {
    let now = clock.now();
    for mirror in mirrors {
        if mirror.snapshot.borrow().tracker().running_lease().is_some_and(|lease| !lease.covers(now)) {
            mirror.update(|snapshot| snapshot.rule(now, |tracker| tracker.expire(now)));
        }
    }
}

/// Until one of the mirrors is ordered to refuse; cancel-safe, for an order stays until it is obeyed.
async fn ordered(mirrors: &[Watched]) {
    let mut waits: Vec<_> = mirrors
        .iter()
        .filter_map(|mirror| {
            let mut orders = mirror.orders.clone()?;
            Some(Box::pin(async move {
                if orders.wait_for(|order| mirror.must_obey(order.as_ref())).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }))
        })
        .collect();
    std::future::poll_fn(|context| {
        let ready = waits.iter_mut().any(|wait| wait.as_mut().poll(context).is_ready());
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn obey(mirrors: &[Watched], clock: &Clock) {
    let now = clock.now();
    for mirror in mirrors {
        let order = mirror.orders.as_ref().and_then(|orders| orders.borrow().clone());
        if mirror.must_obey(order.as_ref()) {
            mirror.update(|snapshot| snapshot.rule(now, |tracker| carry_out(tracker, order.as_ref())));
        }
    }
}

fn carry_out(tracker: &mut Tracker, order: Option<&Supersede>) {
    match order {
        Some(Supersede { epoch, by }) if *epoch == tracker.epoch() => tracker.supersede(*epoch, by),
        Some(_) | None => tracker.reinstate(),
    }
}

// === impl Watched ===

impl Watched {
    /// A mirror whose state is published through `snapshot`.
    pub(crate) fn new(name: Arc<str>, snapshot: watch::Sender<Snapshot>) -> Self {
        Self { name, snapshot, orders: None, episode: None }
    }

    /// The same mirror, which refuses when `orders` says so.
    #[must_use]
    pub(crate) fn obeying(self, orders: watch::Receiver<Option<Supersede>>) -> Self {
        Self { orders: Some(orders), ..self }
    }

    /// Whether carrying out `order` would change the verdict.
    fn must_obey(&self, order: Option<&Supersede>) -> bool {
        let snapshot = self.snapshot.borrow();
        let mut tracker = snapshot.tracker().clone();
        carry_out(&mut tracker, order);
        tracker.verdict() != snapshot.verdict()
    }

    /// Changes the snapshot, publishes it, and reports the transition, if it is one.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Snapshot) -> Option<Transition>) {
        let mut transition = None;
        self.snapshot.send_modify(|snapshot| transition = change(snapshot));
        if let Some(transition) = transition {
            report(&self.name, &transition);
        }
    }

    fn take_in(&mut self, reading: Reading, asked_at: Timestamp, answered_at: Timestamp, woken: bool) {
        let observation = Arc::new(Observation {
            asked_at: asked_at.earlier_by(reading.age),
            answered_at,
            outcome: reading.outcome,
            evidence: reading.evidence,
        });
        let order = self.orders.as_ref().and_then(|orders| orders.borrow().clone());
        self.update(|snapshot| {
            snapshot.counters.count(&observation, asked_at.age_at(answered_at), woken);
            snapshot.newest = Some(Arc::clone(&observation));
            snapshot.rule(answered_at, |tracker| {
                tracker.observe(&observation);
                // At once: a reader must not see this member serve for a moment.
                carry_out(tracker, order.as_ref());
            })
        });
        self.report_episode(&observation);
    }

    /// Logs once that the answers stopped, again when the cause changes, and when they are back.
    fn report_episode(&mut self, observation: &Observation) {
        let mirror = &*self.name;
        match (&observation.outcome, &mut self.episode) {
            (Ok(_), None) => {}
            (Ok(role), episode @ Some(_)) => {
                let failures = episode.take().map_or(0, |episode| episode.failures);
                tracing::info!(mirror, %role, failures, "the instance reports its role again");
            }
            (Err(cause), Some(episode)) if episode.word == cause.word() => episode.failures += 1,
            (Err(cause), episode) => {
                let failures = episode.as_ref().map_or(1, |episode| episode.failures + 1);
                *episode = Some(Episode { word: cause.word(), failures });
                self.report_no_evidence(cause, &observation.evidence);
            }
        }
    }

    fn report_no_evidence(&self, cause: &NoEvidence, evidence: &str) {
        let mirror = &*self.name;
        let snapshot = self.snapshot.borrow();
        if cause.is_unanswerable() {
            tracing::error!(mirror, cause = cause.word(), reason = %cause, evidence, "the role cannot be determined; `mirrorvip check` shows why");
        } else if let Verdict::Serve { until, .. } = snapshot.verdict() {
            tracing::warn!(mirror, cause = cause.word(), reason = %cause, evidence, serving_until = %until.ends_at(), "no evidence of the role; the last answer bridges it");
        } else {
            tracing::warn!(mirror, cause = cause.word(), reason = %cause, evidence, "no evidence of the role");
        }
    }
}

/// The one line for each change of state.
fn report(mirror: &str, transition: &Transition) {
    let Transition { at, from, to, epoch, origin, reason, evidence_age } = transition;
    let epoch = u64::from(*epoch);
    // Logs are read by machines, too: an age in whole milliseconds, absent rather than a made-up number.
    let evidence_age_ms = evidence_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let origin = origin.map(crate::role::Origin::word);
    if *from == "primary" && ["no-evidence", "unanswerable", "expired"].contains(to) {
        // Clients lose their database although the instance may still have its role.
        let help = format!(
            "run `mirrorvip probe --mirror {mirror}` on this machine: it asks the instance once and shows the answer"
        );
        tracing::warn!(mirror, from, to, reason, epoch, origin, evidence_age_ms, at = %at, help, "state changed");
    } else {
        tracing::info!(mirror, from, to, reason, epoch, origin, evidence_age_ms, at = %at, "state changed");
    }
}
