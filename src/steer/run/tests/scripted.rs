//! A scripted cloud: a pool of members that the primary takes, faults to come, and a member whose instance says what the
//! test wants.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Mutex;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::*;
use crate::clock::Clock;
use crate::observation::{Observation, Outcome, Role};
use crate::role::{Settings, Tracker};
use crate::snapshot::Snapshot;
use crate::steer::arbiter::{ArbiterHandle, Message};
use crate::steer::report::Report;
use crate::term::Claim;

pub(super) const STALE_AFTER: Duration = Duration::from_secs(4);
const DRIFT: Duration = Duration::from_secs(30);

/// The pause while a change propagates.
const SPREADING: Duration = Duration::from_secs(5);

/// The object, and the faults to come.
#[derive(Debug, Default)]
pub(super) struct Cloud {
    pub(super) members: BTreeSet<&'static str>,
    /// Whether the pool has to hold every member, whatever its role.
    pub(super) enrol: bool,
    pub(super) taken_by: Option<&'static str>,
    pub(super) unhealthy: bool,
    /// Until when changes have not propagated, in milliseconds from the start.
    pub(super) spreads_until: u64,
    /// Tables that lead elsewhere; each step towards one stands alone.
    pub(super) tables: BTreeSet<&'static str>,
    /// A table whose steps end so.
    pub(super) refuses: Option<(&'static str, Class)>,
    /// Whether the pool is of a kind that cannot be steered.
    pub(super) unsuitable: bool,
    pub(super) reads: Vec<u64>,
    pub(super) writes: Vec<(u64, String)>,
    pub(super) read_faults: VecDeque<Fault>,
    pub(super) write_faults: VecDeque<Fault>,
    pub(super) write_takes: Duration,
    /// The member that another one removes during a consultation.
    pub(super) removed_during_consultation: Option<&'static str>,
    /// The fewest members after any change.
    pub(super) fewest: usize,
    /// How often the target's memory was reset.
    pub(super) resets: u32,
    /// Calls that begin before its end fail.
    pub(super) outage: Option<Outage>,
    /// The length of pauses, as a fraction of their ceiling; half by default.
    pub(super) jitter: Option<fn() -> f64>,
    /// Puts this member back after each write.
    pub(super) opponent: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Error(Class),
    Hang,
}

/// The cloud cannot be reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    /// In milliseconds from the start.
    pub(super) until: u64,
    /// How long it takes to notice.
    pub(super) takes: Duration,
    pub(super) class: Class,
}

#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other, as the script sets them"
)]
pub(super) struct Observed {
    members: BTreeSet<&'static str>,
    tables: BTreeSet<&'static str>,
    enrol: bool,
    taken_by: Option<&'static str>,
    unhealthy: bool,
    spreads: bool,
    unsuitable: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Call {
    Enrol,
    Add,
    Remove(&'static str),
    Point(&'static str),
}

pub(super) struct Pool {
    cloud: Arc<Mutex<Cloud>>,
    start: Instant,
    /// The epoch in which certainly no other member is the primary.
    reset: Option<Epoch>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enrol => f.write_str("Enrol a"),
            Self::Add => f.write_str("Add a"),
            Self::Remove(member) => write!(f, "Remove {member}"),
            Self::Point(table) => write!(f, "Point {table}"),
        }
    }
}

impl Step for Call {
    fn moves_traffic(&self) -> bool {
        !matches!(self, Self::Enrol)
    }

    fn withdraws(&self) -> bool {
        matches!(self, Self::Remove(_))
    }

    fn stands_alone(&self) -> bool {
        matches!(self, Self::Point(_))
    }
}

impl Pool {
    fn millis(&self) -> u64 {
        u64::try_from((Instant::now() - self.start).as_millis()).unwrap()
    }
}

pub(super) async fn suffer(fault: Option<Fault>, action: &'static str) -> Result<(), CallError> {
    match fault {
        None => Ok(()),
        Some(Fault::Error(class)) => Err(CallError::new(action, class, "as scripted")),
        Some(Fault::Hang) => {
            sleep(Duration::from_secs(8)).await;
            Err(CallError::new(action, Class::Retry, "no answer in time"))
        }
    }
}

impl Pool {
    async fn suffer_outage(&self, action: &'static str) -> Result<(), CallError> {
        let outage = self.cloud.lock().unwrap().outage.filter(|outage| self.millis() < outage.until);
        let Some(Outage { takes, class, .. }) = outage else { return Ok(()) };
        sleep(takes).await;
        Err(CallError::new(action, class, "out of reach"))
    }
}

impl Target for Pool {
    type Observed = Observed;
    type Step = Call;

    async fn observe(&mut self) -> Result<Observed, CallError> {
        let fault = {
            let mut cloud = self.cloud.lock().unwrap();
            cloud.reads.push(self.millis());
            cloud.read_faults.pop_front()
        };
        suffer(fault, "Describe").await?;
        self.suffer_outage("Describe").await?;
        let cloud = self.cloud.lock().unwrap();
        let (members, tables, enrol) = (cloud.members.clone(), cloud.tables.clone(), cloud.enrol);
        let spreads = self.millis() < cloud.spreads_until;
        let Cloud { taken_by, unhealthy, unsuitable, .. } = *cloud;
        Ok(Observed { members, tables, enrol, taken_by, unhealthy, spreads, unsuitable })
    }

    fn reset_memory(&mut self, epoch: Epoch) {
        self.reset = Some(epoch);
        self.cloud.lock().unwrap().resets += 1;
    }

    fn ownership_record(&self, observed: &Observed) -> Option<Claim> {
        observed.taken_by.map(|by| Claim { term: 2, member: by.to_owned() })
    }

    fn plan(&self, intent: &Intent, observed: &Observed, _now: Timestamp) -> Plan<Call> {
        let mut steps = Vec::new();
        let mut then = Progress::Fulfilled;
        let present = observed.members.contains("a");
        if observed.unsuitable {
            return Plan { steps, then: Progress::Blocked { why: "it is of another kind".to_owned() } };
        }
        if observed.enrol {
            steps.extend((!present).then_some(Call::Enrol));
        } else if let Intent::Lead { epoch, .. } = intent {
            steps.extend((!present).then_some(Call::Add));
            steps.extend(observed.tables.iter().map(|table| Call::Point(table)));
            if observed.unhealthy {
                then = Progress::waiting("health");
            } else {
                steps.extend(observed.members.iter().filter(|m| **m != "a").map(|m| Call::Remove(m)));
            }
            if observed.spreads {
                then = Progress::Waiting { what: "changes to spread".to_owned(), pause: SPREADING };
            }
            if let (Some(by), false) = (observed.taken_by, self.reset == Some(*epoch)) {
                return Plan { steps: Vec::new(), then: Progress::LostOwnership { by: by.to_owned() } };
            }
        }
        Plan { steps, then }
    }

    async fn apply(&mut self, step: Authorized<'_, Call>) -> Result<(), CallError> {
        let (fault, takes) = {
            let mut cloud = self.cloud.lock().unwrap();
            let at = self.millis();
            cloud.writes.push((at, step.to_string()));
            let refused = cloud.refuses.filter(|(table, _)| *step == Call::Point(table));
            let refused = refused.map(|(_, class)| Fault::Error(class));
            (refused.or_else(|| cloud.write_faults.pop_front()), cloud.write_takes)
        };
        sleep(takes).await;
        suffer(fault, "Change").await?;
        self.suffer_outage("Change").await?;
        let mut cloud = self.cloud.lock().unwrap();
        match &*step {
            Call::Enrol | Call::Add => cloud.members.insert("a"),
            Call::Remove(member) => cloud.members.remove(member),
            Call::Point(table) => cloud.tables.remove(table),
        };
        cloud.taken_by = None;
        let opponent = cloud.opponent;
        cloud.members.extend(opponent);
        cloud.fewest = cloud.fewest.min(cloud.members.len());
        Ok(())
    }
}

pub(super) struct Bench {
    pub(super) cloud: Arc<Mutex<Cloud>>,
    pub(super) snapshot: watch::Sender<Snapshot>,
    pub(super) authority: watch::Sender<Authority>,
    /// The rulings of the next consultations.
    pub(super) rulings: Arc<Mutex<VecDeque<Authority>>>,
    /// The ownership records that the loop reported to the arbiter.
    pub(super) marks: Arc<Mutex<Vec<Option<Claim>>>>,
    pub(super) report: watch::Receiver<Report>,
    pub(super) drift: watch::Sender<Duration>,
    pub(super) clock: Clock,
    pub(super) cancelled: CancellationToken,
    pub(super) task: JoinHandle<()>,
    pub(super) arbiter: JoinHandle<()>,
}

pub(super) const CLEAR: Authority = Authority::Clear { term: 3, certain: false };

pub(super) const CERTAIN: Authority = Authority::Clear { term: 3, certain: true };

pub(super) fn unsure() -> Authority {
    Authority::Unsure { why: "a peer is silent".to_owned(), term: 3 }
}

/// A member that was the backup before the loop began, beside a cloud.
#[expect(clippy::disallowed_methods, reason = "the test owns the tasks and ends them")]
pub(super) fn start(cloud: Cloud, before: &[Role]) -> Bench {
    let start = Instant::now();
    let clock = Clock::from_fn(move || {
        let since = Instant::now() - start;
        Timestamp::new(Duration::from_secs(500) + since, Duration::from_secs(1_795_228_800) + since)
    });
    let settings = Settings { stale_after: STALE_AFTER, rise: std::num::NonZeroU32::MIN };
    let snapshot = watch::Sender::new(Snapshot::new(Tracker::new(settings, None)));
    for role in before {
        says(&snapshot, &clock, Ok(role.clone()));
    }
    let authority = watch::Sender::new(CLEAR);
    let (messages, mut heard) = mpsc::channel(8);
    let (reads, rulings) =
        (Arc::<Mutex<Vec<Option<Claim>>>>::default(), Arc::<Mutex<VecDeque<Authority>>>::default());
    let jitter = cloud.jitter.unwrap_or(|| 0.5);
    let cloud = Arc::new(Mutex::new(Cloud { fewest: usize::MAX, ..cloud }));
    let around_it = Arc::clone(&cloud);
    let (marks, found, rules) = (Arc::clone(&reads), Arc::clone(&rulings), authority.clone());
    let arbiter = tokio::spawn(async move {
        while let Some(message) = heard.recv().await {
            match message {
                Message::Read { mark, .. } => marks.lock().unwrap().push(mark),
                Message::Gone { .. } | Message::Take { .. } => {}
                Message::Consult { answer } => {
                    {
                        let mut cloud = around_it.lock().unwrap();
                        if let Some(member) = cloud.removed_during_consultation.take() {
                            cloud.members.remove(member);
                            cloud.fewest = cloud.fewest.min(cloud.members.len());
                        }
                    }
                    if let Some(ruling) = found.lock().unwrap().pop_front() {
                        rules.send_replace(ruling);
                    }
                    drop(answer.send(rules.borrow().clone()));
                }
            }
        }
    });
    let (report_to, report) = watch::channel(Report::new("pool test".into(), clock.now()));
    let (cancelled, drift) = (CancellationToken::new(), watch::Sender::new(DRIFT));
    let around = LoopContext {
        mirror: "PROD".into(),
        snapshot: snapshot.subscribe(),
        arbiter: ArbiterHandle::new(messages, authority.subscribe()),
        report: report_to,
        clock: clock.clone(),
        drift: drift.subscribe(),
        jitter,
        help: |_| None,
        cancelled: cancelled.clone(),
    };
    let task = tokio::spawn(run(Pool { cloud: Arc::clone(&cloud), start, reset: None }, around));
    Bench {
        cloud,
        snapshot,
        authority,
        rulings,
        marks: reads,
        report,
        drift,
        clock,
        cancelled,
        task,
        arbiter,
    }
}

pub(super) fn says(snapshot: &watch::Sender<Snapshot>, clock: &Clock, outcome: Outcome) {
    let now = clock.now();
    let observation = Observation { asked_at: now, answered_at: now, outcome, evidence: String::new() };
    snapshot.send_modify(|snapshot| {
        snapshot.rule(now, |tracker| tracker.observe(&observation));
    });
}

impl Bench {
    pub(super) fn says(&self, role: Role) {
        says(&self.snapshot, &self.clock, Ok(role));
    }

    /// Lets time pass while the instance keeps saying what it is.
    pub(super) async fn pass(&self, seconds: u64, role: Role) {
        for _ in 0..seconds {
            self.says(role.clone());
            sleep(Duration::from_secs(1)).await;
        }
    }

    pub(super) fn cloud(&self) -> std::sync::MutexGuard<'_, Cloud> {
        self.cloud.lock().unwrap()
    }

    pub(super) fn steps(&self) -> Vec<String> {
        self.cloud().writes.iter().map(|(_, step)| step.clone()).collect()
    }

    pub(super) fn state(&self) -> &'static str {
        self.report.borrow().state.word()
    }

    pub(super) async fn stop(self) {
        self.cancelled.cancel();
        self.task.await.expect("the loop does not panic");
        self.arbiter.abort();
    }
}
