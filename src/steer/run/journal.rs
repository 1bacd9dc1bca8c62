//! The report that a steering loop publishes, and its log.
//!
//! One info line per step that was sent, with its outcome, unless an earlier step of the same episode failed the same
//! way; one warning per episode of failures, and a line for its end; one error when an operator must act.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::steer::error::{CallError, Class};
use crate::steer::report::{PromotionTimeline, Report, State};
use crate::steer::{Intent, Step};

/// The report as it grows, and its log entries.
#[derive(Debug)]
pub(super) struct Journal {
    mirror: Arc<str>,
    target: Arc<str>,
    report: Report,
    published: watch::Sender<Report>,
    clock: Clock,
    /// How to correct what a failed call reports.
    help: fn(&CallError) -> Option<&'static str>,
    /// The present stretch of failures.
    episode: Option<Episode>,
    /// The last doubt, refusal or impossibility that was logged, so that it is logged once.
    said: Option<String>,
}

/// Failures without a success in between.
#[derive(Debug)]
struct Episode {
    /// Their kinds: each is logged once.
    kinds: Vec<(&'static str, Class)>,
    /// Whether one of them was a write's: then a successful read does not end it.
    write: bool,
    failures: u64,
}

// === impl Episode ===

impl Episode {
    /// Whether this failure is like an earlier one.
    fn has_seen(&self, error: &CallError) -> bool {
        self.kinds.contains(&(error.action, error.class))
    }
}

// === impl Journal ===

impl Journal {
    pub(super) fn new(
        mirror: Arc<str>,
        target: Arc<str>,
        published: watch::Sender<Report>,
        clock: Clock,
        help: fn(&CallError) -> Option<&'static str>,
    ) -> Self {
        let report = Report::new(Arc::clone(&target), clock.now());
        Self { mirror, target, report, published, clock, help, episode: None, said: None }
    }

    /// Publishes the report.
    pub(super) fn publish(&mut self, writes_left: usize) {
        self.report.writes_left = writes_left;
        self.published.send_replace(self.report.clone());
    }

    /// Enters a state without a log entry.
    pub(super) fn enter(&mut self, state: State) {
        self.report.enter(state, self.clock.now());
    }

    /// A promotion begins.
    pub(super) fn timeline(&mut self, timeline: PromotionTimeline) {
        self.report.ladder = Some(timeline);
    }

    /// A read worked.
    pub(super) fn read(&mut self) {
        self.report.count("observe", "ok");
        // A write's episode ends when the write succeeds or is not needed any more.
        if self.episode.as_ref().is_some_and(|episode| !episode.write) {
            self.recovered();
        }
    }

    /// A read failed.
    pub(super) fn failed(&mut self, error: CallError) {
        self.report.count(error.action, error.class.word());
        self.take_down(error, false);
    }

    /// A step is about to be sent.
    pub(super) fn working(&mut self) {
        self.enter(State::Working);
        let left = self.report.writes_left;
        self.publish(left);
    }

    /// A step was accepted.
    pub(super) fn made(&mut self, step: &impl Step, took: Duration) {
        let (mirror, target) = (&*self.mirror, &*self.target);
        tracing::info!(mirror, target, %step, took_ms = milliseconds(took), outcome = "accepted", "steering step sent");
        let now = self.clock.now();
        self.report.count(&action(step), "ok");
        if let Some(timeline) = self.report.ladder.as_mut().filter(|_| step.moves_traffic()) {
            timeline.accepted.get_or_insert(now);
        }
        self.said = None;
        self.recovered();
        self.enter(State::Working);
    }

    /// A step failed, or its outcome is unknown.
    pub(super) fn step_failed(&mut self, step: &impl Step, took: Duration, error: &CallError) {
        let (mirror, target) = (&*self.mirror, &*self.target);
        let took_ms = milliseconds(took);
        if self.episode.as_ref().is_some_and(|episode| episode.has_seen(error)) {
            tracing::debug!(mirror, target, %step, took_ms, outcome = %error, "steering step sent");
        } else {
            tracing::info!(mirror, target, %step, took_ms, outcome = %error, "steering step sent");
        }
        self.report.count(&action(step), error.class.word());
    }

    /// A turn's writes ended with this failure, even if others were accepted.
    pub(super) fn write_failed(&mut self, error: CallError) {
        self.take_down(error, true);
    }

    /// All is as intended.
    pub(super) fn fulfilled(&mut self, intent: &Intent, repaired: bool) {
        let now = self.clock.now();
        let (mirror, target) = (&*self.mirror, &*self.target);
        if !matches!(intent, Intent::Hold { .. }) {
            self.report.last_success = Some(now);
        }
        if repaired {
            self.report.drift_repaired += 1;
            tracing::info!(mirror, target, "external change reverted");
        }
        let state = match intent {
            Intent::Lead { epoch, .. } => {
                if let Some(timeline) =
                    self.report.ladder.as_mut().filter(|timeline| timeline.epoch == *epoch)
                    && timeline.fulfilled.is_none()
                {
                    timeline.fulfilled = Some(now);
                    let after = timeline.role_changed.map(|at| milliseconds(at.age_at(now)));
                    tracing::info!(mirror, target, %epoch, after_ms = after, "clients are directed to this member");
                }
                State::Fulfilled
            }
            Intent::Follow => State::Fulfilled,
            Intent::Hold { reason } => State::Holding { why: reason.clone() },
        };
        self.said = None;
        self.recovered();
        self.enter(state);
    }

    /// The intent cannot be fulfilled until an operator changes something.
    pub(super) fn impossible(&mut self, why: String) {
        if self.say(&why) {
            let (mirror, target) = (&*self.mirror, &*self.target);
            tracing::error!(mirror, target, why, "this steering target cannot be made to follow the primary");
        }
        self.enter(State::Blocked { why });
    }

    /// A step may not be made for lack of authority.
    pub(super) fn held(&mut self, step: &str, why: &str) {
        if self.say(why) {
            let (mirror, target) = (&*self.mirror, &*self.target);
            tracing::error!(mirror, target, step, why, "traffic is not moved to this member");
        }
        self.enter(State::Holding { why: why.to_owned() });
    }

    /// Steps of a plan will not be sent.
    pub(super) fn cancelled(&mut self, steps: usize, why: &str) {
        let (mirror, target) = (&*self.mirror, &*self.target);
        tracing::info!(mirror, target, steps, why, "steering steps cancelled");
        self.enter(State::Holding { why: why.to_owned() });
    }

    /// The writes of a while are used up.
    pub(super) fn contested(&mut self) {
        if self.report.enter(State::Contested, self.clock.now()) {
            let (mirror, target) = (&*self.mirror, &*self.target);
            tracing::error!(
                mirror,
                target,
                "contested: too many writes in ten minutes; this member holds. Find the other tool that changes the object"
            );
        }
    }

    fn take_down(&mut self, error: CallError, write: bool) {
        let (mirror, target) = (&*self.mirror, &*self.target);
        let help = (self.help)(&error);
        let episode = self.episode.get_or_insert(Episode { kinds: Vec::new(), write, failures: 0 });
        episode.failures += 1;
        episode.write |= write;
        if !episode.has_seen(&error) {
            episode.kinds.push((error.action, error.class));
            match error.class {
                Class::Stop => {
                    tracing::error!(mirror, target, %error, help, "a steering call is refused; an operator must act");
                }
                Class::Retry | Class::Throttled => {
                    tracing::warn!(mirror, target, %error, help, "a steering call failed; retrying");
                }
                Class::Observe => {
                    tracing::warn!(mirror, target, %error, "another writer changed the object; reading it again");
                }
            }
        }
        self.report.attempts = self.episode.as_ref().map_or(0, |episode| episode.failures);
        let how = match help {
            Some(help) => format!("{}. {help}", error.to_string().trim_end_matches('.')),
            None => error.to_string(),
        };
        let state = match error.class {
            Class::Stop => State::Blocked { why: how },
            Class::Retry | Class::Throttled | Class::Observe => State::Failing { how },
        };
        self.report.last_error = Some((self.clock.now(), error));
        self.enter(state);
    }

    fn recovered(&mut self) {
        self.report.attempts = 0;
        if let Some(Episode { failures, .. }) = self.episode.take() {
            let (mirror, target) = (&*self.mirror, &*self.target);
            tracing::info!(mirror, target, failures, "steering calls work again");
        }
    }

    /// Whether this text is not the last one that was logged.
    fn say(&mut self, text: &str) -> bool {
        let news = self.said.as_deref() != Some(text);
        if news {
            self.said = Some(text.to_owned());
        }
        news
    }
}

/// The API action of a step: a step is displayed as its call, which begins with it.
fn action(step: &impl Step) -> String {
    let text = step.to_string();
    let word: String = text.chars().take_while(char::is_ascii_alphanumeric).take(64).collect();
    if word.is_empty() { "step".to_owned() } else { word }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
