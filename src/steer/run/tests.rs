//! The loop in paused time, with a scripted cloud: a pool of members that the primary takes for itself.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Mutex;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::observation::{NoEvidence, Observation, Outcome, Role};
use crate::role::{Settings, Tracker};
use crate::steer::standing::Message;

const STALE_AFTER: Duration = Duration::from_secs(4);

/// The object, and the faults that lie in wait.
#[derive(Debug, Default)]
struct Cloud {
    members: BTreeSet<&'static str>,
    /// Whether the pool has to hold every member, whatever its role.
    enrol: bool,
    taken_by: Option<&'static str>,
    unhealthy: bool,
    /// Whether the pool is of a kind that cannot be steered.
    unsuitable: bool,
    reads: Vec<u64>,
    writes: Vec<(u64, String)>,
    read_faults: VecDeque<Fault>,
    write_faults: VecDeque<Fault>,
    write_takes: Duration,
    /// Puts this member back after each write.
    opponent: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Error(Class),
    Hang,
}

#[derive(Clone, Debug, PartialEq)]
struct Observed {
    members: BTreeSet<&'static str>,
    enrol: bool,
    taken_by: Option<&'static str>,
    unhealthy: bool,
    unsuitable: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Call {
    Enrol,
    Add,
    Remove(&'static str),
}

struct Pool {
    cloud: Arc<Mutex<Cloud>>,
    start: Instant,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enrol => f.write_str("Enrol a"),
            Self::Add => f.write_str("Add a"),
            Self::Remove(member) => write!(f, "Remove {member}"),
        }
    }
}

impl Step for Call {
    fn moves_traffic(&self) -> bool {
        !matches!(self, Self::Enrol)
    }
}

impl Pool {
    fn millis(&self) -> u64 {
        u64::try_from((Instant::now() - self.start).as_millis()).unwrap()
    }
}

async fn suffer(fault: Option<Fault>, action: &'static str) -> Result<(), CallError> {
    match fault {
        None => Ok(()),
        Some(Fault::Error(class)) => Err(CallError::new(action, class, "as scripted")),
        Some(Fault::Hang) => {
            sleep(Duration::from_secs(8)).await;
            Err(CallError::new(action, Class::Retry, "no answer in time"))
        }
    }
}

impl Target for Pool {
    type Observed = Observed;
    type Step = Call;

    fn name(&self) -> &'static str {
        "pool test"
    }

    async fn observe(&mut self) -> Result<Observed, CallError> {
        let fault = {
            let mut cloud = self.cloud.lock().unwrap();
            cloud.reads.push(self.millis());
            cloud.read_faults.pop_front()
        };
        suffer(fault, "Describe").await?;
        let cloud = self.cloud.lock().unwrap();
        let (members, enrol) = (cloud.members.clone(), cloud.enrol);
        let Cloud { taken_by, unhealthy, unsuitable, .. } = *cloud;
        Ok(Observed { members, enrol, taken_by, unhealthy, unsuitable })
    }

    fn plan(&self, wish: &Wish, observed: &Observed, _now: Timestamp) -> Plan<Call> {
        let mut steps = Vec::new();
        let mut then = Outlook::Fulfilled;
        let present = observed.members.contains("a");
        if observed.unsuitable {
            return Plan { steps, then: Outlook::Impossible { why: "it is of another kind".to_owned() } };
        }
        if observed.enrol {
            steps.extend((!present).then_some(Call::Enrol));
        } else if let Wish::Lead { .. } = wish {
            steps.extend((!present).then_some(Call::Add));
            if observed.unhealthy {
                then = Outlook::Waiting { what: "health".to_owned() };
            } else {
                steps.extend(observed.members.iter().filter(|m| **m != "a").map(|m| Call::Remove(m)));
            }
            if let Some(by) = observed.taken_by {
                then = Outlook::TakenOver { by: by.to_owned() };
            }
        }
        Plan { steps, then }
    }

    async fn apply(&mut self, step: &Call, proof: Proof<'_>) -> Result<(), CallError> {
        let proof = match proof {
            Proof::Warrant(warrant) => format!(" (epoch {}, claim {})", warrant.epoch(), warrant.claim()),
            Proof::AnyRole => String::new(),
        };
        let (fault, takes) = {
            let mut cloud = self.cloud.lock().unwrap();
            let at = self.millis();
            cloud.writes.push((at, format!("{step}{proof}")));
            (cloud.write_faults.pop_front(), cloud.write_takes)
        };
        sleep(takes).await;
        suffer(fault, "Change").await?;
        let mut cloud = self.cloud.lock().unwrap();
        match step {
            Call::Enrol | Call::Add => cloud.members.insert("a"),
            Call::Remove(member) => cloud.members.remove(member),
        };
        cloud.taken_by = None;
        let opponent = cloud.opponent;
        cloud.members.extend(opponent);
        Ok(())
    }
}

struct Bench {
    cloud: Arc<Mutex<Cloud>>,
    snapshot: watch::Sender<Snapshot>,
    authority: watch::Sender<Authority>,
    sightings: Arc<Mutex<Vec<Sighting>>>,
    report: watch::Receiver<Report>,
    clock: Clock,
    cancelled: CancellationToken,
    task: JoinHandle<()>,
    council: JoinHandle<()>,
}

const CLEAR: Authority = Authority::Clear { claim: 3 };

fn unsure() -> Authority {
    Authority::Unsure { why: "a peer is silent".to_owned(), claim: 3 }
}

/// A member that was the backup before the loop began, beside a cloud.
#[expect(clippy::disallowed_methods, reason = "the test owns the tasks and ends them")]
fn start(cloud: Cloud, before: &[Role]) -> Bench {
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
    let (sightings, rules) = (Arc::new(Mutex::new(Vec::new())), authority.subscribe());
    let seen = Arc::clone(&sightings);
    let council = tokio::spawn(async move {
        while let Some(message) = heard.recv().await {
            match message {
                Message::Saw { sighting, .. } => seen.lock().unwrap().push(sighting),
                Message::Consult { answer, .. } => drop(answer.send(rules.borrow().clone())),
            }
        }
    });
    let cloud = Arc::new(Mutex::new(cloud));
    let (report_to, report) = watch::channel(Report::new("pool test".into(), clock.now()));
    let cancelled = CancellationToken::new();
    let around = Surroundings {
        mirror: "PROD".into(),
        snapshot: snapshot.subscribe(),
        counsel: Counsel::new(messages, authority.subscribe()),
        report: report_to,
        clock: clock.clone(),
        chance: || 0.5,
        cancelled: cancelled.clone(),
    };
    let task = tokio::spawn(run(Pool { cloud: Arc::clone(&cloud), start }, around));
    Bench { cloud, snapshot, authority, sightings, report, clock, cancelled, task, council }
}

fn says(snapshot: &watch::Sender<Snapshot>, clock: &Clock, outcome: Outcome) {
    let now = clock.now();
    let observation = Observation { asked_at: now, answered_at: now, outcome, evidence: String::new() };
    snapshot.send_modify(|snapshot| {
        snapshot.rule(now, |tracker| tracker.observe(&observation));
    });
}

impl Bench {
    fn says(&self, role: Role) {
        says(&self.snapshot, &self.clock, Ok(role));
    }

    /// Lets time pass while the instance keeps saying what it is.
    async fn pass(&self, seconds: u64, role: Role) {
        for _ in 0..seconds {
            self.says(role.clone());
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn cloud(&self) -> std::sync::MutexGuard<'_, Cloud> {
        self.cloud.lock().unwrap()
    }

    fn steps(&self) -> Vec<String> {
        self.cloud().writes.iter().map(|(_, step)| step.clone()).collect()
    }

    fn state(&self) -> &'static str {
        self.report.borrow().state.word()
    }

    fn taken(&self) -> Option<Sighting> {
        self.sightings.lock().unwrap().iter().rfind(|seen| seen.taken.is_some()).cloned()
    }

    async fn stop(self) {
        self.cancelled.cancel();
        self.task.await.expect("the loop does not panic");
        self.council.abort();
    }
}

fn pool(members: &[&'static str]) -> Cloud {
    Cloud { members: members.iter().copied().collect(), ..Cloud::default() }
}

const TAKE: [&str; 2] = ["Add a (epoch 1, claim 3)", "Remove b (epoch 1, claim 3)"];

#[tokio::test(start_paused = true)]
async fn a_loop_that_starts_on_the_primary_reads_first_and_writes_only_what_differs() {
    let bench = start(pool(&["a", "b"]), &[Role::Primary]);
    bench.pass(3, Role::Primary).await;
    assert_eq!(bench.steps(), TAKE[1..]);
    assert_eq!(bench.cloud().reads.len(), 2, "one before, one to verify");
    assert_eq!(bench.state(), "fulfilled");
    bench.stop().await;

    let bench = start(pool(&["a"]), &[Role::Primary]);
    bench.authority.send_replace(unsure());
    bench.pass(3, Role::Primary).await;
    assert_eq!((bench.steps(), bench.state()), (vec![], "fulfilled"), "nothing to take needs no authority");
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
    assert_eq!(bench.steps(), TAKE);
    assert_eq!(bench.cloud().writes[0].0, 45_000);
    let ladder = bench.report.borrow().ladder.expect("promoted");
    assert_eq!(ladder.page_flipped, ladder.accepted);
    assert_eq!(ladder.fulfilled, None, "done means verified, and that read hangs");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_promotion_is_not_called_done_on_an_old_read() {
    let bench = start(pool(&["a"]), &[Role::Backup]);
    bench.pass(10, Role::Backup).await;
    // Another member led meanwhile, and took this one out.
    bench.cloud().members = ["b"].into_iter().collect();
    bench.pass(2, Role::Primary).await;
    assert!(bench.cloud().members.contains("a"), "it looked again and saw that it is not in");
    assert!(!bench.cloud().members.contains("b"));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_read_too_long_ago_is_read_again() {
    let bench = start(pool(&["b"]), &[Role::Backup]);
    sleep(Duration::from_millis(10)).await;
    bench.cloud().read_faults.extend([Fault::Error(Class::Stop); 2]);
    bench.pass(65, Role::Backup).await;
    let reads = bench.cloud().reads.len();
    bench.pass(1, Role::Primary).await;
    assert_eq!(bench.cloud().reads.len(), reads + 2, "before and after");
    assert_eq!(bench.steps(), TAKE);
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
    assert_eq!(bench.cloud().reads.len(), 2, "and then the object was looked at");
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
    assert_eq!(bench.steps(), TAKE);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn throttled_writes_are_sent_again_without_a_read_and_within_seconds() {
    let bench = start(pool(&["a", "b"]), &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.cloud().write_faults.extend([Fault::Error(Class::Throttled); 6]);
    bench.pass(20, Role::Primary).await;
    assert_eq!(bench.steps().len(), 7);
    {
        let cloud = bench.cloud();
        let gaps: Vec<u64> = cloud.writes.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert_eq!(gaps, [250, 500, 1_000, 2_000, 4_000, 5_000], "half of each ceiling, as chance has it");
        let (first, last) = (cloud.writes[0].0, cloud.writes[6].0);
        assert_eq!(cloud.reads.iter().filter(|at| (first..last).contains(at)).count(), 0);
    }
    assert_eq!(bench.state(), "fulfilled");
    assert_eq!(bench.report.borrow().calls[&("Remove".into(), "throttled")], 6);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_outcome_is_unknown_is_looked_at_before_it_is_repeated() {
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
async fn a_lost_swap_is_looked_at_at_once_and_not_for_ever() {
    let bench = start(pool(&["a", "b"]), &[Role::Backup]);
    bench.pass(1, Role::Backup).await;
    bench.cloud().write_faults.extend([Fault::Error(Class::Observe); 5]);
    bench.says(Role::Primary);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(bench.steps().len(), 4, "three looks at once");
    assert_eq!(bench.cloud().reads.len(), 4);
    bench.pass(5, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (6, "fulfilled"));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_must_change_is_tried_again_at_the_next_drift_check() {
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
async fn whoever_writes_too_often_holds_and_says_so() {
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
async fn a_verdict_that_expires_with_nobody_publishing_it_moves_nothing_more() {
    let slow = Cloud { write_takes: STALE_AFTER, ..pool(&["b"]) };
    let bench = start(slow, &[Role::Backup, Role::Primary]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.steps(), TAKE[..1], "the probe loop hangs");
    bench.pass(10, Role::Primary).await;
    assert_eq!(bench.steps(), TAKE, "it does not any more");
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
async fn what_another_takes_is_told_before_it_is_taken_back() {
    let bench = start(pool(&["b"]), &[Role::Primary]);
    bench.pass(1, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.taken()), (2, None));
    {
        let mut cloud = bench.cloud();
        (cloud.members, cloud.taken_by) = (BTreeSet::from(["b"]), Some("b"));
    }
    bench.authority.send_replace(unsure());
    // The wish is the same after a spell of silence: so is what was taken.
    says(&bench.snapshot, &bench.clock, Err(NoEvidence::TimedOut { after: Duration::from_secs(2) }));
    sleep(Duration::from_secs(6)).await;
    bench.pass(60, Role::Primary).await;
    assert_eq!(bench.steps().len(), 2);
    assert_eq!(bench.taken().and_then(|seen| seen.taken).as_deref(), Some("b"));
    bench.authority.send_replace(CLEAR);
    bench.pass(1, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (4, "fulfilled"));
    assert_eq!(bench.sightings.lock().unwrap().last(), Some(&Sighting::default()), "it has it back");
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
    let ladder = bench.report.borrow().ladder.expect("promoted");
    let after = |at: Option<Timestamp>| ladder.role_changed.expect("known").age_at(at.expect("reached"));
    assert_eq!(after(ladder.accepted), Duration::ZERO);
    assert_eq!(after(ladder.fulfilled), Duration::from_secs(10));
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
async fn what_cannot_be_is_said_and_looked_at_again() {
    let bench = start(Cloud { unsuitable: true, ..pool(&["b"]) }, &[Role::Primary]);
    bench.pass(1, Role::Primary).await;
    assert_eq!((bench.steps(), bench.state()), (vec![], "impossible"));
    bench.cloud().unsuitable = false;
    bench.pass(35, Role::Primary).await;
    assert_eq!((bench.steps().len(), bench.state()), (2, "fulfilled"));
    bench.stop().await;
}
