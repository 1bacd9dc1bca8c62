//! The loop that makes one steering target follow the primary. How it works is described in [`steer`](super).
//!
//! | after | the next read |
//! |---|---|
//! | a step that was made | at once: done means verified |
//! | the intent is fulfilled | at the next drift check |
//! | the cloud has to finish a change | after the target's pause, usually a second |
//! | a read or write failed in passing | after its own backoff, soon while a promotion waits; a throttled write leaves the last read valid |
//! | a lost swap | at once, a few times, then as a failure |
//! | an error that a retry does not fix | at the next drift check |
//! | no authority, or too many writes | in some seconds |
//! | the intent changed | at once; a read under way is dropped |
//! | the drift interval changed | at once |
//!
//! The first write of a promotion that was seen does not wait for a read: its plan starts from the last drift
//! check's read, if that is young enough. That read may be outdated: the loop trusts it when it shows something to
//! do, never when it shows nothing, and withdraws nothing because of it. A step in flight is never dropped: it is
//! awaited outside any `select!`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::arbiter::Authority;
use super::error::{CallError, Class};
use super::pace::{Backoff, Budget};
use super::report::{PromotionTimeline, State};
use super::{Intent, Plan, Progress, SOON, Step, Target};
use crate::clock::Timestamp;
use crate::role::Epoch;

mod authorized;
mod inputs;
mod journal;
#[cfg(test)]
mod tests;

pub(crate) use authorized::Authorized;
use authorized::NotAuthorized;
pub(crate) use inputs::LoopContext;
use inputs::{LoopInputs, TurnInput};
use journal::Journal;

/// Between two reads while nothing may be written.
const HOLDING: Duration = Duration::from_secs(5);

/// How old a read may be to start a plan from; twice the drift interval if that is longer, because one missed drift
/// check is no reason to read first. An outdated read costs one wasted call at worst: the service refuses the write.
const KNOWN_FOR: Duration = Duration::from_mins(1);

/// Accepted writes that move traffic within [`WINDOW`], at least: a failover needs two or three. More means a
/// competing writer. A refused write changed nothing, and has its backoff.
const MOVES: usize = 20;

/// Failovers within [`WINDOW`] of an object that needs a write for each of its parts.
const FAILOVERS: usize = 4;

/// Accepted writes that any role may make within [`WINDOW`]: a metric every five seconds, twice.
const PUBLICATIONS: usize = 240;

const WINDOW: Duration = Duration::from_mins(10);

/// Lost swaps in a row after which the loop reads again at once.
const SWAPS: u32 = 3;

/// How often in a row the loop resets a target's memory because authority is certain.
const RESETS: u32 = 3;

/// Steers until it is cancelled; a step in flight is finished first. Withdraws nothing.
pub(crate) async fn run<T: Target>(target: T, around: LoopContext) {
    Loop::new(target, around).run().await;
}

#[derive(Debug)]
struct Loop<T: Target> {
    target: T,
    name: Arc<str>,
    inputs: LoopInputs,
    journal: Journal,
    jitter: fn() -> f64,
    /// The last read, and when it began.
    known: Option<(T::Observed, Timestamp)>,
    /// Whether the last read is still valid: the write after it was throttled.
    still_valid: bool,
    reads: Backoff,
    writes: Backoff,
    lost_swaps: u32,
    /// How often in a row the target's memory was reset.
    resets: u32,
    moves: Budget,
    publications: Budget,
    /// The last epoch in which this loop led.
    begun: Option<Epoch>,
    /// The intent that was fulfilled last, while it remains the intent.
    fulfilled: Option<Intent>,
    /// Whether steps were made since then.
    repairing: bool,
}

/// How a read ended.
enum Read<O> {
    Seen(O),
    Failed(Duration),
    /// The intent changed meanwhile.
    Overtaken,
}

// === impl Loop ===

impl<T: Target> Loop<T> {
    fn new(target: T, around: LoopContext) -> Self {
        let LoopContext { mirror, snapshot, arbiter, report, clock, drift, jitter, help, cancelled } = around;
        let name: Arc<str> = report.borrow().target.clone();
        Self {
            journal: Journal::new(mirror, Arc::clone(&name), report, clock.clone(), help),
            inputs: LoopInputs { snapshot, authority: arbiter.authority(), arbiter, clock, drift, cancelled },
            moves: Budget::new(MOVES.max(FAILOVERS * target.parts()), WINDOW),
            target,
            name,
            jitter,
            known: None,
            still_valid: false,
            reads: Backoff::default(),
            writes: Backoff::default(),
            lost_swaps: 0,
            resets: 0,
            publications: Budget::new(PUBLICATIONS, WINDOW),
            begun: None,
            fulfilled: None,
            repairing: false,
        }
    }

    async fn run(mut self) {
        while !self.inputs.cancelled.is_cancelled() {
            let mut input = self.inputs.turn_input();
            let pause = self.turn(&mut input).await;
            let left = self.moves.left(self.inputs.clock.now());
            self.journal.publish(left);
            let cancelled = self.inputs.cancelled.clone();
            // Cancel-safe: a timer, and changes that stay to be seen.
            tokio::select! {
                biased;
                () = cancelled.cancelled() => {}
                () = self.inputs.stirred(|now| now.calls_for_another_read(&input)) => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// One turn: read, plan, make the steps. Returns how long to wait for the next one.
    async fn turn(&mut self, aim: &mut TurnInput) -> Duration {
        if self.fulfilled.as_ref().is_some_and(|intent| !intent.agrees_with(&aim.intent)) {
            (self.fulfilled, self.repairing) = (None, false);
        }
        let (observed, fresh) = match self.known_start(aim) {
            Some(observed) => (observed, false),
            None => match self.read(aim).await {
                Read::Seen(observed) => (observed, true),
                Read::Failed(pause) => return pause,
                Read::Overtaken => return Duration::ZERO,
            },
        };
        let now = self.inputs.clock.now();
        self.target.note(&aim.intent, &observed, now);
        let plan = self.target.plan(&aim.intent, &observed, now);
        if fresh {
            self.inputs.arbiter.read(&self.name, self.target.ownership_record(&observed)).await;
        }
        let Plan { steps, then } = plan;
        match (steps.is_empty(), fresh) {
            (true, true) => self.rest(aim, then).await,
            // The note changed the plan; the next turn reads.
            (true, false) => Duration::ZERO,
            (false, _) => self.make(aim, steps, fresh).await,
        }
    }

    /// The last read, if a plan may start from it.
    fn known_start(&mut self, aim: &TurnInput) -> Option<T::Observed> {
        let begins = match &aim.intent {
            Intent::Lead { epoch, .. } => {
                let begins = self.begun.replace(*epoch) != Some(*epoch);
                if begins {
                    let timeline = PromotionTimeline::begin(*epoch, &self.inputs.snapshot.borrow());
                    self.journal.timeline(timeline);
                }
                begins && aim.promoted
            }
            Intent::Follow | Intent::Hold { .. } => false,
        };
        let still_valid = std::mem::take(&mut self.still_valid);
        let now = self.inputs.clock.now();
        let (observed, at) = self.known.as_ref()?;
        // The service refuses a write that starts from an outdated read. Only a new read proves that there is nothing
        // to do (a member that is promoted again soon remembers the object as its own), or that a withdrawal is safe.
        let begins_with_more = || {
            self.target.plan(&aim.intent, observed, now).steps.first().is_some_and(|step| !step.withdraws())
        };
        let known_for = KNOWN_FOR.max(self.inputs.drift() * 2);
        let usable = (begins || still_valid) && at.age_at(now) < known_for && begins_with_more();
        usable.then(|| observed.clone())
    }

    async fn read(&mut self, aim: &TurnInput) -> Read<T::Observed> {
        let at = self.inputs.clock.now();
        let Self { target, inputs, .. } = self;
        // Dropping a read is safe: it changes nothing. A promotion does not wait for one that hangs.
        let cancelled = inputs.cancelled.clone();
        let result = tokio::select! {
            biased;
            () = cancelled.cancelled() => return Read::Overtaken,
            () = inputs.changed(|now| !now.intent.agrees_with(&aim.intent)) => return Read::Overtaken,
            result = target.observe() => result,
        };
        match result {
            Ok(observed) => {
                self.reads.succeeded();
                self.journal.read();
                self.known = Some((observed.clone(), at));
                Read::Seen(observed)
            }
            Err(error) => {
                let class = error.class;
                self.journal.failed(error);
                Read::Failed(match class {
                    Class::Retry | Class::Throttled | Class::Observe => {
                        let awaited = self.is_awaited(aim);
                        self.reads.failed(class, awaited, (self.jitter)())
                    }
                    Class::Stop => self.drift(),
                })
            }
        }
    }

    /// There is nothing to send.
    async fn rest(&mut self, aim: &mut TurnInput, then: Progress) -> Duration {
        match then {
            Progress::Fulfilled => {
                self.writes.succeeded();
                self.lost_swaps = 0;
                let repaired = std::mem::take(&mut self.repairing);
                self.fulfilled = Some(aim.intent.clone());
                self.resets = 0;
                self.journal.fulfilled(&aim.intent, repaired);
                self.drift()
            }
            Progress::Waiting { what, pause } => {
                self.journal.enter(State::Waiting { what });
                pause
            }
            Progress::LostOwnership { by } => self.taken_over(aim, &by).await,
            Progress::Blocked { why } => {
                self.journal.impossible(why);
                self.drift()
            }
        }
    }

    /// Another member has the object. That is no evidence of a promotion, so other objects are still steered. This one is
    /// left alone unless certainly no other member is the primary.
    async fn taken_over(&mut self, aim: &mut TurnInput, by: &str) -> Duration {
        let authority = self.inputs.arbiter.consult().await;
        match (&authority, &aim.intent) {
            (Authority::Clear { certain: true, .. }, Intent::Lead { epoch, .. }) if self.resets < RESETS => {
                self.resets += 1;
                self.target.reset_memory(*epoch);
                return Duration::ZERO;
            }
            (Authority::Clear { .. }, _) => {
                let why = "another member or another tool put it there, and not every other member has confirmed that it is not \
                           the primary; `mirrorvip take` decides";
                self.journal.held(&format!("take it from {by}"), why);
            }
            (Authority::Superseded { .. } | Authority::Unsure { .. }, _) => {
                aim.clear = false;
                self.journal.held(&format!("take it from {by}"), &authority.to_string());
            }
        }
        HOLDING
    }

    /// Makes the steps in order, until one may not be made or fails.
    async fn make(&mut self, aim: &mut TurnInput, steps: Vec<T::Step>, fresh: bool) -> Duration {
        if self.target.pace().is_none() {
            self.repairing |= self.fulfilled.is_some();
        }
        let count = steps.len();
        let (mut touched, mut accepted, mut failed) = (false, false, None::<CallError>);
        for (made, step) in steps.into_iter().enumerate() {
            if self.inputs.cancelled.is_cancelled()
                || !self.inputs.turn_input().intent.agrees_with(&aim.intent)
            {
                self.journal.cancelled(count - made, "the intent changed");
                return Duration::ZERO;
            }
            if step.withdraws() && !fresh {
                return Duration::ZERO;
            }
            let started = Instant::now();
            let result = match Authorized::for_any_role(&step) {
                None => match self.move_traffic(aim, &step).await {
                    Ok(result) => result,
                    Err(pause) => {
                        self.still_valid = made == 0;
                        return pause;
                    }
                },
                Some(step) if self.publications.left(self.inputs.clock.now()) > 0 => {
                    let result = self.target.apply(step).await;
                    if result.is_ok() {
                        self.publications.spend(self.inputs.clock.now());
                    }
                    result
                }
                Some(_) => {
                    self.journal.contested();
                    return self.drift();
                }
            };
            match result {
                Ok(()) => {
                    self.writes.succeeded();
                    self.resets = 0;
                    self.journal.made(&step, started.elapsed());
                    (touched, accepted) = (true, true);
                }
                Err(error) => {
                    let class = error.class;
                    self.journal.step_failed(&step, started.elapsed(), &error);
                    touched |= class != Class::Throttled;
                    failed = Some(match failed {
                        Some(before) if before.class.urgency() >= class.urgency() => before,
                        Some(_) | None => error,
                    });
                    // A service that throttles one step would throttle the next.
                    if !step.stands_alone() || class == Class::Throttled {
                        break;
                    }
                }
            }
        }
        let Some(error) = failed else { return Duration::ZERO };
        let class = error.class;
        self.journal.write_failed(error);
        let pause = self.after_failure(aim, class, !touched);
        // Done means verified: the accepted steps are read soon.
        if accepted { pause.min(SOON) } else { pause }
    }

    /// Whether a new read still calls for `step`: while the arbiter was consulted, another member may have removed this
    /// one.
    async fn is_still_planned(&mut self, aim: &TurnInput, step: &T::Step) -> bool {
        let at = self.inputs.clock.now();
        let Ok(observed) = self.target.observe().await else { return false };
        let now = self.inputs.clock.now();
        self.target.note(&aim.intent, &observed, now);
        let steps = self.target.plan(&aim.intent, &observed, now).steps;
        // A withdrawal that has to follow another step is not due yet.
        let planned = steps.iter().take_while(|first| first.withdraws()).any(|first| first == step);
        self.known = Some((observed, at));
        planned
    }

    /// Makes one step that needs write authorization; the error is how long to wait if there is none.
    async fn move_traffic(
        &mut self,
        aim: &mut TurnInput,
        step: &T::Step,
    ) -> Result<Result<(), CallError>, Duration> {
        let authority = self.inputs.arbiter.consult().await;
        if step.withdraws() && !self.is_still_planned(aim, step).await {
            return Err(Duration::ZERO);
        }
        let now = self.inputs.clock.now();
        if self.inputs.cancelled.is_cancelled() {
            return Err(Duration::ZERO);
        }
        if self.moves.left(now) == 0 {
            self.journal.contested();
            return Err(self.drift());
        }
        if let Authority::Clear { term, .. } = authority
            && term != aim.term
        {
            // A higher term became known since: the plan with the lower one is void.
            return Err(Duration::ZERO);
        }
        let Some(permit) = &aim.permit else {
            // Only an intent to lead plans such a step, and only a verdict to serve produces that intent.
            self.journal.enter(State::Holding { why: "there is no permit".to_owned() });
            return Err(HOLDING);
        };
        let snapshot = self.inputs.snapshot.borrow().clone();
        match Authorized::for_primary(step, permit, &snapshot, &authority, now) {
            Ok(step) => {
                self.journal.working();
                let result = self.target.apply(step).await;
                if result.is_ok() {
                    self.moves.spend(self.inputs.clock.now());
                }
                Ok(result)
            }
            Err(NotAuthorized::Permit(lost)) => {
                self.journal.cancelled(1, &lost.to_string());
                // The intent has changed, or is about to: a verdict that expired is published a moment later.
                Err(SOON)
            }
            Err(overtaken @ NotAuthorized::Overtaken) => {
                self.journal.cancelled(1, &overtaken.to_string());
                Err(SOON)
            }
            Err(no @ NotAuthorized::Authority(_)) => {
                aim.clear = false;
                self.journal.held(&step.to_string(), &no.to_string());
                Err(HOLDING)
            }
        }
    }

    /// How long to wait after a failed write. `untouched`: the last read certainly is still valid.
    fn after_failure(&mut self, aim: &TurnInput, class: Class, untouched: bool) -> Duration {
        let awaited = self.is_awaited(aim);
        match class {
            Class::Observe if self.lost_swaps < SWAPS => {
                self.lost_swaps += 1;
                Duration::ZERO
            }
            Class::Throttled => {
                self.still_valid = untouched;
                self.writes.failed(class, awaited, (self.jitter)())
            }
            Class::Observe | Class::Retry => self.writes.failed(class, awaited, (self.jitter)()),
            Class::Stop => self.drift(),
        }
    }

    /// Whether a promotion waits for this loop: clients are not known to be directed here.
    fn is_awaited(&self, aim: &TurnInput) -> bool {
        matches!(aim.intent, Intent::Lead { .. }) && (self.fulfilled.is_none() || self.repairing)
    }

    /// Until the next drift check: a tenth more or less, so that the members' reads do not coincide.
    fn drift(&self) -> Duration {
        // A target with its own pace publishes on time.
        let drift = || self.inputs.drift().mul_f64(0.9 + 0.2 * (self.jitter)());
        self.target.pace().unwrap_or_else(drift)
    }
}
