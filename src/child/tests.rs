//! What cannot be provoked from outside: processes that survive SIGKILL. What the probes make of ordinary
//! and unruly commands is tested with real scripts in `tests/probe/child.rs`.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::*;

fn shell(script: &str) -> Call {
    let arguments = vec!["-c".to_owned(), script.to_owned()];
    Call { program: "/bin/sh".to_owned(), arguments, environment: Vec::new(), variables: Vec::new() }
}

fn sleeper() -> process::Child {
    Command::new("/bin/sleep").arg("1000").stdin(Stdio::null()).process_group(0).spawn().expect("it starts")
}

#[tokio::test]
async fn nothing_is_started_beside_a_process_that_does_not_die() {
    let mut child = sleeper();
    let pid = Pid::from_child(&child);
    let survivor = survivors::of_group(pid)[0];
    let mut runner = Runner::new();
    runner.running = Some(Running { child: None, group: pid, survivors: vec![survivor] });
    for _ in 0..2 {
        let answer = runner.run(&shell("exit 0"), Duration::from_secs(5)).await;
        assert_eq!(answer.expect_err("held back"), NoEvidence::Unkillable { pid: child.id() });
    }
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
    let answer = runner.run(&shell("exit 0"), Duration::from_secs(5)).await;
    assert!(answer.expect("the way is free").status.success());
    assert!(runner.running.is_none());
}

#[tokio::test]
async fn a_leader_that_does_not_die_is_remembered_until_it_is_reaped() {
    // It leads no group, so what is sent to its group does not reach it.
    let child = Command::new("/bin/sleep").arg("1000").stdin(Stdio::null()).spawn().expect("it starts");
    let pid = Pid::from_child(&child);
    let mut runner = Runner::new();
    runner.running = Some(Running::new(child));
    for _ in 0..2 {
        let answer = runner.run(&shell("exit 0"), Duration::from_secs(5)).await;
        let pid = pid.as_raw_nonzero().get().unsigned_abs();
        assert_eq!(answer.expect_err("held back"), NoEvidence::Unkillable { pid });
    }
    rustix::process::kill_process(pid, Signal::KILL).expect("it is ours");
    let answer = runner.run(&shell("exit 0"), Duration::from_secs(5)).await;
    assert!(answer.expect("the way is free").status.success());
    assert!(rustix::process::test_kill_process(pid).is_err(), "it was reaped");
}

#[tokio::test]
async fn a_start_that_hangs_is_not_joined_by_another() {
    let (release, hang) = std::sync::mpsc::channel::<()>();
    let mut runner = Runner::new();
    let abandoned = runner.starting.run(move || {
        hang.recv().expect("the test holds the sender");
        shell("sleep 1000").start()
    });
    assert!(timeout(Duration::from_millis(1), abandoned).await.is_err());
    let answer = runner.run(&shell("exit 0"), Duration::from_secs(5)).await;
    assert!(matches!(answer, Err(NoEvidence::Failed(text)) if text.contains("has not started")));
    release.send(()).expect("the call waits");
    let answer = runner.run(&shell("echo $PPID"), Duration::from_secs(5)).await.expect("the way is free");
    assert_eq!(answer.stdout, format!("{}\n", process::id()).into_bytes());
}

/// The result of the start is there, and the question is given up before it has looked.
#[tokio::test]
async fn a_start_that_is_given_up_is_killed_whenever_it_comes() {
    let start = || shell("sleep 1000").start().expect("there is a shell");
    let has_ended = |running: &Running| {
        let group = running.group;
        async move {
            while !has_exited(group) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let awaited = Awaited::default();
    let before = start();
    lock(&awaited.0).came(&before);
    let state = Arc::clone(&awaited.0);
    drop(awaited);
    timeout(Duration::from_secs(5), has_ended(&before)).await.expect("it came just before");

    *lock(&state) = Start::UnderWay;
    drop(Awaited(Arc::clone(&state)));
    let after = start();
    lock(&state).came(&after);
    timeout(Duration::from_secs(5), has_ended(&after)).await.expect("it came afterwards");

    let awaited = Awaited::default();
    let taken = start();
    lock(&awaited.0).came(&taken);
    awaited.taken();
    drop(awaited);
    assert!(!has_exited(taken.group), "another runner holds it");
}

#[tokio::test]
async fn a_dropped_runner_leaves_its_child_to_the_next() {
    let child = sleeper();
    let pid = Pid::from_child(&child);
    drop(Running::new(child));
    let gone = async {
        while rustix::process::test_kill_process(pid).is_ok() {
            reap_orphans();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(5), gone).await.expect("it was killed and reaped");
}
