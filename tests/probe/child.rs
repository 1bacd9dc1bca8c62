//! The probes that start a child process, with real and mostly unruly children.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use mirrorvip::clock::Clock;
use mirrorvip::config::Probe;
use mirrorvip::observation::{NoEvidence, Role};
use mirrorvip::probe::Prober;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, set_child_subreaper, waitid,
};
use tokio::time::timeout;

use super::support::{LONG, SHORT, Scripts, ask, cause, exec, mirror, prober, qlist, run_alone, word};

const PRIMARY: &str =
    "echo 'IRIS^/usr/irissys^2024.1^running, since now^iris.cpf^1972^52773^0^ok^IRIS^Failover^Primary^/data'";

#[tokio::test]
async fn qlist_asks_for_its_instance_and_reads_the_answer() {
    let scripts = Scripts::new();
    let command = scripts.script("iris", &format!("echo \"$*\" > $here/arguments\n{PRIMARY}"));
    let reading = ask(&mut qlist(&command, LONG)).await;
    assert_eq!(reading.outcome, Ok(Role::Primary));
    assert!(reading.evidence.starts_with("IRIS^/usr/irissys^"), "{}", reading.evidence);
    assert_eq!(reading.age, Duration::ZERO);
    let arguments = std::fs::read_to_string(scripts.path("arguments")).expect("the script wrote it");
    assert_eq!(arguments, "qlist IRIS\n");
    scripts.assert_gone(1).await;
}

#[tokio::test]
async fn mirrors_of_one_node_share_a_call() {
    let scripts = Scripts::new();
    let others = "echo 'HR^/hr^2024.1^down, last used never'";
    let command = scripts.script("iris", &format!("echo \"$*\" > $here/arguments\n{PRIMARY}\n{others}"));
    let qlist = |instance: &str, environment: &[&str]| {
        let probe = Probe::Qlist {
            instance: instance.to_owned(),
            command: command.to_str().expect("temporary paths are text").to_owned(),
            environment: environment.iter().map(|&name| name.to_owned()).collect(),
        };
        mirror(probe, LONG)
    };
    let file = mirror(Probe::File { path: scripts.path("role") }, LONG);
    let slow = mirror(qlist("IRIS", &[]).probe, LONG * 2);
    let mirrors =
        [qlist("IRIS", &[]), file, qlist("HR", &[]), qlist("IRIS", &["LANG"]), slow, qlist("NEW", &[])];
    let mut groups = Prober::group(&mirrors, &Clock::system());
    let indices: Vec<_> = groups.iter().map(|(_, indices)| indices.clone()).collect();
    assert_eq!(indices, [vec![0, 2, 5], vec![1], vec![3], vec![4]]);

    let readings = groups[0].0.ask().await;
    assert_eq!(readings.iter().map(word).collect::<Vec<_>>(), ["primary", "down", "no-such-instance"]);
    assert_eq!(std::fs::read_to_string(scripts.path("arguments")).expect("written"), "qlist\n");
    assert_eq!(scripts.pids().len(), 1, "one call for three mirrors");
    scripts.assert_gone(1).await;
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_its_descendants() {
    let scripts = Scripts::new();
    let body =
        "trap '' TERM HUP INT\n(trap '' TERM; sleep 1000 & echo $! >> $pids; wait) &\necho $! >> $pids\nwait";
    let command = scripts.script("iris", body);
    let mut prober = qlist(&command, SHORT);
    let reading = ask(&mut prober).await;
    assert_eq!(cause(&reading), &NoEvidence::TimedOut { after: SHORT });
    scripts.assert_gone(1).await;
    // Nothing of it is in the way of the next question.
    assert_eq!(cause(&ask(&mut prober).await), &NoEvidence::TimedOut { after: SHORT });
    scripts.assert_gone(2).await;
}

#[tokio::test]
async fn a_stopped_command_is_killed_too() {
    let scripts = Scripts::new();
    let command = scripts.script("iris", "kill -STOP $$");
    assert_eq!(word(&ask(&mut qlist(&command, SHORT)).await), "timed-out");
    scripts.assert_gone(1).await;
}

#[tokio::test]
async fn garbage_silence_and_death_are_no_evidence() {
    let check = async |body: &str, expected: NoEvidence| {
        let scripts = Scripts::new();
        let command = scripts.script("iris", body);
        assert_eq!(cause(&ask(&mut qlist(&command, LONG)).await), &expected, "{body}");
        scripts.assert_gone(1).await;
    };
    let nothing = "qlist printed nothing; is there an instance IRIS?";
    check("exit 0", NoEvidence::Unparsable(nothing.to_owned())).await;
    let problem = "qlist printed no line that begins with an instance and `^`";
    check("echo 'Segmentation fault'", NoEvidence::Unparsable(problem.to_owned())).await;
    check(PRIMARY.replace("Primary", "Prime").as_str(), {
        NoEvidence::Unrecognised("mirror status `Prime`".to_owned())
    })
    .await;
    // What was printed before does not count.
    let died = "qlist exited with code 3: no licence";
    check(
        &format!("{PRIMARY}\necho >&2\necho 'no licence' >&2\nexit 3"),
        NoEvidence::Failed(died.to_owned()),
    )
    .await;
    let killed = "qlist was killed by signal 9";
    check(&format!("{PRIMARY}\nkill -KILL $$"), NoEvidence::Failed(killed.to_owned())).await;
    let refused = "qlist exited with code 1: IRIS: Permission denied";
    check("echo 'IRIS: Permission denied' >&2; exit 1", NoEvidence::Denied(refused.to_owned())).await;
    let coloured = "qlist exited with code 1: \u{fffd}[2Jgone";
    check("printf '\\033[2Jgone' >&2; exit 1", NoEvidence::Failed(coloured.to_owned())).await;
}

#[tokio::test]
async fn a_grandchild_that_holds_the_pipe_delays_no_probe() {
    let scripts = Scripts::new();
    let command = scripts.script("iris", &format!("sleep 1000 &\necho $! >> $pids\n{PRIMARY}"));
    assert_eq!(word(&ask(&mut qlist(&command, LONG)).await), "primary");
    scripts.assert_gone(2).await;
}

#[tokio::test]
async fn not_even_one_that_left_the_group() {
    let scripts = Scripts::new();
    let stray =
        "setsid sh -c 'echo $$ > $0/stray; exec sleep 1000' $here &\nuntil [ -s $here/stray ]; do :; done";
    let command = scripts.script("iris", &format!("{stray}\n{PRIMARY}"));
    assert_eq!(word(&ask(&mut qlist(&command, LONG)).await), "primary");
    scripts.assert_gone(1).await;
    let stray = std::fs::read_to_string(scripts.path("stray")).expect("the script wrote it");
    let stray = Pid::from_raw(stray.trim().parse().expect("a process id")).expect("not zero");
    kill_process(stray, Signal::KILL).expect("it lives on");
}

#[tokio::test]
async fn output_is_bounded_and_complaints_are_not_in_the_way() {
    let scripts = Scripts::new();
    let command = scripts.script("flood", "head -c 10000000 /dev/zero");
    assert_eq!(cause(&ask(&mut exec(&command, LONG)).await), &NoEvidence::TooLong { limit: 65_536 });
    let command = scripts.script("endless", "exec cat /dev/zero");
    assert_eq!(word(&ask(&mut exec(&command, LONG)).await), "too-long");
    let command = scripts.script("full", "head -c 65536 /dev/zero");
    assert_eq!(word(&ask(&mut exec(&command, LONG)).await), "primary");
    let command = scripts.script("complaint", "head -c 10000000 /dev/zero >&2; exit 0");
    assert_eq!(word(&ask(&mut exec(&command, LONG)).await), "primary");
    scripts.assert_gone(4).await;
}

#[tokio::test]
async fn exec_reads_the_exit_code() {
    let scripts = Scripts::new();
    for (body, expected) in [
        ("exit 0", "primary"),
        ("exit 1", "not-primary"),
        ("echo backup; exit 1", "backup"),
        ("echo backup; exit 0", "unrecognised"),
        ("exit 2", "failed"),
        ("exec /nowhere/at/all", "command-missing"),
        ("exec /", "denied"),
        // Standard input is at its end.
        ("read line && exit 3; exit 0", "primary"),
    ] {
        let command = scripts.script("role", body);
        assert_eq!(word(&ask(&mut exec(&command, LONG)).await), expected, "{body}");
    }
    scripts.assert_gone(8).await;
}

/// In a process of its own, whose environment can be chosen.
#[test]
fn the_environment_is_an_allow_list() {
    run_alone("probe::child::shows_its_environment", |program| {
        let mut command = Command::new(program);
        command.env("IRISSYS", "/iris").env("WANTED", "yes").env("AWS_SECRET_ACCESS_KEY", "no");
        command
    });
}

#[tokio::test]
#[ignore = "the_environment_is_an_allow_list runs it"]
async fn shows_its_environment() {
    let scripts = Scripts::new();
    let script = scripts.script("role", "env > $here/env");
    let command = vec![script.to_str().expect("temporary paths are text").to_owned()];
    let environment = vec!["WANTED".to_owned(), "SET_NOWHERE".to_owned()];
    assert_eq!(word(&ask(&mut prober(Probe::Exec { command, environment }, LONG)).await), "primary");
    let env = std::fs::read_to_string(scripts.path("env")).expect("the script wrote it");
    let mut names: Vec<_> = env.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    // These are the shell's own.
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    names.sort_unstable();
    let mut expected = vec!["IRISSYS", "PATH", "WANTED"];
    expected.extend(std::env::var_os("HOME").map(|_| "HOME"));
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_command_that_cannot_be_started_says_why() {
    let scripts = Scripts::new();
    let text = async |mut prober: Prober, expected: &str| {
        let reading = ask(&mut prober).await;
        assert_eq!(word(&reading), expected, "{reading:?}");
        assert!(cause(&reading).is_unanswerable());
        cause(&reading).to_string()
    };
    let missing = qlist("no-such-command-anywhere".as_ref(), LONG);
    let said = text(missing, "command-missing").await;
    assert!(said.starts_with("command `no-such-command-anywhere` is not in PATH ("), "{said}");
    assert!(said.ends_with("set `command` to its absolute path"), "{said}");

    let said = text(qlist(&scripts.path("nothing"), LONG), "command-missing").await;
    assert!(said.ends_with("/nothing does not exist; set `command` to a path that does"), "{said}");

    let plain = scripts.file("plain", "#!/bin/sh\nexit 0\n", "644");
    let said = text(qlist(&plain, LONG), "denied").await;
    assert!(said.contains("may not execute") && said.contains("/plain: it "), "{said}");
    text(qlist(scripts.path("").as_path(), LONG), "denied").await;

    let orphaned = scripts.file("orphaned", "#!/nowhere/bin/sh -e\n", "755");
    let said = text(qlist(&orphaned, LONG), "command-missing").await;
    assert!(
        said.ends_with("/orphaned names the interpreter /nowhere/bin/sh, which does not exist"),
        "{said}"
    );

    let headless = scripts.file("headless", "exit 0\n", "755");
    let said = text(qlist(&headless, LONG), "command-missing").await;
    assert!(said.contains("must begin with a line such as `#!/bin/sh`"), "{said}");
}

#[tokio::test]
async fn giving_up_on_a_question_kills_the_child() {
    let scripts = Scripts::new();
    let command = scripts.script("iris", "sleep 1000 &\necho $! >> $pids\nwait");
    let mut prober = qlist(&command, LONG);
    {
        let mut question = Box::pin(prober.ask());
        let noted = scripts.until_noted(2);
        tokio::select! {
            readings = &mut question => panic!("it hangs, and yet {readings:?}"),
            () = noted => {}
        }
    }
    scripts.assert_dead(2).await;
    // The prober stays usable, and reaps what is left of it.
    scripts.script("iris", PRIMARY);
    assert_eq!(word(&ask(&mut prober).await), "primary");
    scripts.assert_gone(3).await;
}

/// Runs the test below as an ordinary user, if this is root.
#[test]
fn an_ordinary_user_can_ask() {
    let scripts = Scripts::new();
    run_alone("probe::child::asks_as_an_ordinary_user", |program| {
        if !rustix::process::geteuid().is_root() {
            return Command::new(program);
        }
        // Where this program lies may be closed to others.
        let copy = scripts.path("tests");
        std::fs::copy(program, &copy).expect("can be copied");
        std::fs::set_permissions(scripts.path(""), PermissionsExt::from_mode(0o755)).expect("it is ours");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]).arg(&copy);
        command
    });
}

#[tokio::test]
#[ignore = "an_ordinary_user_can_ask runs it"]
async fn asks_as_an_ordinary_user() {
    assert!(!rustix::process::geteuid().is_root());
    let scripts = Scripts::new();
    let command = scripts.script("iris", PRIMARY);
    assert_eq!(word(&ask(&mut qlist(&command, LONG)).await), "primary");
    let command = scripts.script("hangs", "sleep 1000 & wait");
    assert_eq!(word(&ask(&mut qlist(&command, SHORT)).await), "timed-out");
    scripts.assert_gone(2).await;
    let command = scripts.file("others", "#!/bin/sh\n", "644");
    assert_eq!(word(&ask(&mut qlist(&command, LONG)).await), "denied");
    let role = scripts.file("role", "primary\n", "000");
    assert_eq!(word(&ask(&mut prober(Probe::File { path: role }, LONG)).await), "denied");
}

/// Several at once: each exit reaches the probe that waits for it.
#[tokio::test]
async fn probers_do_not_disturb_each_other() {
    let scripts = Scripts::new();
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..8 {
        let command = scripts.script(&format!("role{n}"), &format!("exit {}", n % 2));
        asking.spawn(async move {
            let mut prober = exec(&command, LONG);
            for _ in 0..10 {
                assert_eq!(word(&ask(&mut prober).await), ["primary", "not-primary"][n % 2]);
            }
        });
    }
    timeout(LONG, asking.join_all()).await.expect("no exit is missed");
    scripts.assert_gone(80).await;
}

/// As process 1 of a container the daemon inherits the descendants of the children it kills. In a process of
/// its own, as it makes all of it the one that inherits them.
#[test]
fn descendants_of_killed_children_do_not_pile_up_as_zombies() {
    run_alone("probe::child::inherits_descendants", |program| Command::new(program));
}

#[tokio::test]
#[ignore = "descendants_of_killed_children_do_not_pile_up_as_zombies runs it"]
async fn inherits_descendants() {
    set_child_subreaper(Some(getpid())).expect("any process may");
    let scripts = Scripts::new();
    let command = scripts.script("iris", "(sleep 1000 & echo $! >> $pids; wait) &\nwait");
    let mut prober = qlist(&command, SHORT);
    for _ in 0..3 {
        assert_eq!(word(&ask(&mut prober).await), "timed-out");
    }
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    assert_eq!(waitid(WaitId::All, options).err(), Some(Errno::CHILD), "no child is left, dead or alive");
    scripts.assert_gone(6).await;
}
