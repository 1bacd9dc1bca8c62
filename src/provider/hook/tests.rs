//! When a command is due, over all histories; and what real commands do.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use proptest::prelude::*;
use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

use super::plan::Event;
use super::*;
use crate::observation::{Observation, Role};
use crate::role::Epoch;
use crate::steer::testing::{Serving, at, epoch, lead};
use crate::steer::{Progress, Step as _};

const BOTH: When = When { on_promotion: true, on_demotion: true };

/// No honest command of these tests takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

fn remembered(epoch: u64, primary: bool) -> Remembered {
    let fields = serde_json::json!({ "epoch": epoch, "primary": primary });
    serde_json::from_value(fields).expect("its fields")
}

fn seen(epoch: u64, memory: &Memory) -> Observed {
    Observed { facts: Facts { epoch, ..Facts::default() }, memory: memory.clone() }
}

// === when it is due ===

#[test]
fn it_is_due_once_for_the_present_state() {
    let check = |before: Option<Remembered>, intent: &Intent, epoch: u64, expected: Option<(Event, u64)>| {
        let plan = plan::plan(BOTH, intent, &seen(epoch, &Memory::new(before)));
        let due = plan.steps.first().map(|run| (run.event, run.epoch));
        assert_eq!(due, expected, "{before:?}, {intent:?}, epoch {epoch}");
    };
    let hold = Intent::Hold { reason: String::new() };
    // A daemon that starts beside a primary: state known, known to be older, lost.
    check(Some(remembered(3, true)), &lead(3), 3, None);
    check(Some(remembered(3, false)), &lead(4), 4, Some((Event::Promotion, 4)));
    check(Some(remembered(3, true)), &lead(4), 4, Some((Event::Promotion, 4)));
    check(None, &lead(1), 1, Some((Event::Promotion, 1)));
    // Beside another role: it was primary when it was last seen, it was not, nothing is known.
    check(Some(remembered(3, true)), &Intent::Follow, 3, Some((Event::Demotion, 3)));
    check(Some(remembered(3, false)), &Intent::Follow, 3, None);
    check(None, &Intent::Follow, 0, None);
    // Silence and doubt are no events.
    check(Some(remembered(3, true)), &hold, 3, None);
    check(Some(remembered(3, false)), &hold, 4, None);
}

#[test]
fn facts_from_before_a_promotion_are_not_reported_as_its_own() {
    let memory = Memory::new(Some(remembered(3, false)));
    let plan = plan::plan(BOTH, &lead(4), &seen(3, &memory));
    assert_eq!(plan.steps, []);
    assert!(matches!(plan.then, Progress::Waiting { .. }), "they are read again");
}

#[test]
fn only_the_events_that_are_asked_for() {
    let memory = Memory::new(Some(remembered(3, true)));
    let promotion = |when| plan::plan(when, &lead(4), &seen(4, &memory)).steps.len();
    let demotion = |when| plan::plan(when, &Intent::Follow, &seen(3, &memory)).steps.len();
    let only = |on_promotion, on_demotion| When { on_promotion, on_demotion };
    assert_eq!((promotion(BOTH), demotion(BOTH)), (1, 1));
    assert_eq!((promotion(only(true, false)), demotion(only(true, false))), (1, 0));
    assert_eq!((promotion(only(false, true)), demotion(only(false, true))), (0, 1));
}

proptest! {
    /// However many edges are missed, the last state is set right, and nothing is run twice.
    #[test]
    fn the_last_state_wins(history in prop::collection::vec((any::<bool>(), any::<bool>()), 1..20)) {
        let mut memory = Memory::default();
        let mut ran = HashSet::new();
        let (mut number, mut primary) = (0, false);
        let epochs: Vec<Epoch> = (1..=20).map(epoch).collect();
        let last = history.len() - 1;
        for (index, (next, looked)) in history.into_iter().enumerate() {
            number += u64::from(next && !primary);
            primary = next;
            if !looked && index != last {
                continue;
            }
            let intent = if primary {
                let epoch = epochs[usize::try_from(number).expect("a small number") - 1];
                Intent::Lead { epoch, term: number, certain: false }
            } else {
                Intent::Follow
            };
            for run in plan::plan(BOTH, &intent, &seen(number, &memory)).steps {
                prop_assert_eq!(run.moves_traffic(), primary);
                prop_assert!(ran.insert((primary, run.epoch)), "twice: {:?}", run);
                memory.settle(&run, None);
            }
            prop_assert!(plan::plan(BOTH, &intent, &seen(number, &memory)).steps.is_empty());
        }
        prop_assert!(number == 0 || ran.contains(&(primary, number)), "{:?}", ran);
    }
}

// === real commands ===

fn hook(directory: &TempDir, script: &str, timeout: Duration, retry: bool) -> Hook {
    let script = format!("cd '{}'\n{script}", directory.path().display());
    let command = ["/bin/sh", "-c", &script, "hook", "one argument"];
    hook_of(&command, timeout, retry)
}

fn hook_of(command: &[&str], timeout: Duration, retry: bool) -> Hook {
    let settings = Table {
        command: command.iter().map(|&word| word.to_owned()).collect(),
        on_promotion: true,
        on_demotion: true,
        timeout,
        retry,
        environment: vec![],
    };
    let (_sender, snapshots) = watch::channel(Serving::in_epoch(4).snapshot().clone());
    Hook::new(&settings, "PROD", "i-own", Some(remembered(3, false)), snapshots)
}

/// Reads, and runs the command if it is due.
async fn turn(hook: &mut Hook, intent: &Intent, serving: &Serving) -> Result<Progress, CallError> {
    let observed = hook.observe().await?;
    let plan = hook.plan(intent, &observed, at(0));
    for step in &plan.steps {
        hook.apply(serving.allows(step)).await?;
    }
    Ok(plan.then)
}

fn read(directory: &TempDir, name: &str) -> String {
    fs::read_to_string(directory.path().join(name)).unwrap_or_default()
}

#[tokio::test]
async fn it_gets_the_facts_and_runs_once() {
    let directory = TempDir::new().expect("a directory");
    let mut hook =
        hook(&directory, "echo \"$1\" >> ran; env | grep ^MIRRORVIP_ | sort > facts", PATIENCE, false);
    let serving = Serving::in_epoch(4);
    for _ in 0..3 {
        assert_eq!(turn(&mut hook, &lead(4), &serving).await, Ok(Progress::Fulfilled));
    }
    assert_eq!(read(&directory, "ran"), "one argument\n");
    assert_eq!(
        read(&directory, "facts"),
        "MIRRORVIP_EPOCH=4\nMIRRORVIP_EVENT=promotion\nMIRRORVIP_MEMBER=i-own\nMIRRORVIP_MIRROR=PROD\n\
         MIRRORVIP_ORIGIN=found\nMIRRORVIP_REASON=the instance is primary\nMIRRORVIP_ROLE=primary\n"
    );

    let mut demoted = serving.snapshot().clone();
    let backup = Observation {
        asked_at: at(1),
        answered_at: at(1),
        outcome: Ok(Role::Backup),
        evidence: String::new(),
    };
    demoted.rule(at(1), |tracker| tracker.observe(&backup));
    let (_sender, snapshots) = watch::channel(demoted);
    hook.snapshots = snapshots;
    for _ in 0..3 {
        assert_eq!(turn(&mut hook, &Intent::Follow, &serving).await, Ok(Progress::Fulfilled));
    }
    assert_eq!(read(&directory, "ran"), "one argument\none argument\n");
    assert_eq!(
        read(&directory, "facts"),
        "MIRRORVIP_EPOCH=4\nMIRRORVIP_EVENT=demotion\nMIRRORVIP_MEMBER=i-own\nMIRRORVIP_MIRROR=PROD\n\
         MIRRORVIP_ORIGIN=found\nMIRRORVIP_REASON=the instance is backup\nMIRRORVIP_ROLE=backup\n"
    );
}

#[tokio::test]
async fn a_failure_is_reported_until_the_next_event() {
    let directory = TempDir::new().expect("a directory");
    let mut hook = hook(&directory, "echo x >> ran; echo 'no such route' >&2; exit 3", PATIENCE, false);
    let serving = Serving::in_epoch(4);
    let error = turn(&mut hook, &lead(4), &serving).await.expect_err("it fails");
    let progress = turn(&mut hook, &lead(4), &serving).await.expect("nothing is run");
    let why =
        "promotion of epoch 4: the command exited with code 3: no such route; not retried (`retry` is false)";
    assert_eq!(error, CallError::new(ACTION, Class::Stop, why), "reported at once in the same words");
    assert_eq!(progress, Progress::Blocked { why: why.to_owned() });
    assert_eq!(read(&directory, "ran"), "x\n");
    turn(&mut hook, &Intent::Follow, &serving).await.expect_err("the next event is another run");
    assert_eq!(read(&directory, "ran"), "x\nx\n");
}

#[tokio::test]
async fn a_failure_is_tried_again_when_asked_for() {
    let directory = TempDir::new().expect("a directory");
    let mut hook = hook(&directory, "echo x >> ran; test \"$(wc -l < ran)\" -ge 3", PATIENCE, true);
    let serving = Serving::in_epoch(4);
    for _ in 0..2 {
        let error = turn(&mut hook, &lead(4), &serving).await.expect_err("it fails");
        assert_eq!(error.class, Class::Retry);
    }
    for _ in 0..2 {
        assert_eq!(turn(&mut hook, &lead(4), &serving).await, Ok(Progress::Fulfilled));
    }
    assert_eq!(read(&directory, "ran"), "x\nx\nx\n");
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_its_children() {
    let directory = TempDir::new().expect("a directory");
    let mut hook = hook(&directory, "sleep 1000 & echo $! > pid; wait", Duration::from_secs(1), false);
    let serving = Serving::in_epoch(4);
    let error = turn(&mut hook, &lead(4), &serving).await.expect_err("it hangs");
    let why =
        "promotion of epoch 4: the command still ran after 1s and was killed; not retried (`retry` is false)";
    assert_eq!(error.message, why);
    let pid = read(&directory, "pid").trim().parse().ok().and_then(Pid::from_raw).expect("it began");
    let gone = async {
        while test_kill_process(pid).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the child is gone");
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_the_operators_business() {
    let mut hook = hook_of(&["/nowhere/hook"], PATIENCE, true);
    let serving = Serving::in_epoch(4);
    let error = turn(&mut hook, &lead(4), &serving).await.expect_err("it does not start");
    assert_eq!(error.class, Class::Stop);
    assert!(error.message.contains("does not exist"), "{error}");
    let observed = hook.observe().await.expect("no I/O");
    let due = hook.plan(&lead(4), &observed, at(0));
    assert_eq!(due.steps.len(), 1, "the next drift check tries again");
}

#[tokio::test]
async fn a_promotion_is_of_one_epoch_and_says_what_it_knows() {
    let directory = TempDir::new().expect("a directory");
    let mut hook = hook(&directory, "echo x >> ran", PATIENCE, false);
    let observed = hook.observe().await.expect("no I/O");
    let step = hook.plan(&lead(4), &observed, at(0)).steps.remove(0);
    assert!(step.moves_traffic() && step.is_planned_for(epoch(4), 1) && !step.is_planned_for(epoch(5), 1));
    assert_eq!(
        step.to_string(),
        "run the hook: promotion of epoch 4, origin `found`, role `primary`, the instance is primary"
    );
}
