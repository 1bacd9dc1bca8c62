//! The process among other processes: signals from its first milliseconds on, its end in the middle of a start, what a
//! killed one leaves behind, and what its commands can learn of it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::node::{Node, change};
use crate::support::{Daemon, Guarded, PATIENCE, as_ordinary_user, eventually, mirrorvip, now, open_to_all};

// === signals during the start ===

/// How often a signal is sent in the first milliseconds. Without protection about one of seven such starts dies.
const STARTS: usize = 40;

/// Waits until a daemon has opened its configuration or its event queue, which is the first sign that it is
/// past its first instructions. Other files are no sign: while it is executed it holds those of its starter, and then
/// those of the loader. Spins: there is less than a millisecond to hit.
fn wait_for_first_file(daemon: Pid, node: &Node) {
    let deadline = now() + PATIENCE;
    let directory = format!("/proc/{}/fd", daemon.as_raw_nonzero());
    let is_own = |path: &Path| path == node.config_file() || path == Path::new("anon_inode:[eventpoll]");
    let has_own = |mut entries: fs::ReadDir| {
        entries
            .any(|entry| entry.and_then(|entry| fs::read_link(entry.path())).is_ok_and(|path| is_own(&path)))
    };
    // A directory that this user may not list belongs to a process that has shut others out by itself.
    while fs::read_dir(&directory).is_ok_and(|entries| !has_own(entries)) {
        assert!(now() < deadline, "the process opens nothing");
    }
}

fn survives_while_it_starts(signal: Signal) {
    let node = Node::primary();
    node.write(&node.config());
    for start in 0..STARTS {
        let mut daemon = Daemon::launch(node.path(), mirrorvip());
        wait_for_first_file(daemon.pid(), &node);
        daemon.signal(signal);
        // It panics if the process ends.
        daemon.wait_for_log("started");
        if signal == Signal::HUP && start == 0 {
            daemon.wait_for_log("reloaded");
        }
        daemon.crash();
    }
}

#[test]
fn hang_up_in_the_first_milliseconds_is_a_reload() {
    survives_while_it_starts(Signal::HUP);
}

#[test]
fn user_signal_in_the_first_milliseconds_is_no_end() {
    survives_while_it_starts(Signal::USR1);
}

#[test]
fn publisher_survives_signals_in_its_first_milliseconds() {
    let node = Node::primary();
    node.write(&node.config());
    let role = node.path().join("PROD.role");
    for start in 0..STARTS / 2 {
        let mut command = mirrorvip();
        command.arg("publish").arg(node.path()).arg("--config").arg(node.config_file()).stderr(Stdio::null());
        let publisher = Guarded::start(&mut command);
        wait_for_first_file(Pid::from_child(&publisher.0), &node);
        publisher.signal(if start % 2 == 0 { Signal::HUP } else { Signal::USR1 });
        eventually("the role", || role.exists());
        publisher.signal(Signal::TERM);
        let mut publisher = publisher;
        assert!(publisher.wait().success());
        fs::remove_file(&role).expect("it is there");
    }
}

#[test]
fn stop_in_the_first_milliseconds_is_orderly() {
    let node = Node::primary();
    node.write(&node.config());
    for start in 0..STARTS {
        let mut daemon = Daemon::launch(node.path(), mirrorvip());
        wait_for_first_file(daemon.pid(), &node);
        daemon.signal(if start % 2 == 0 { Signal::TERM } else { Signal::INT });
        let end = daemon.wait_for_end();
        assert!(end.success(), "{end}: {}", daemon.log_text());
    }
}

/// A FIFO without a writer stands for a file system that hangs. A refusal to read it is correct as well.
#[test]
fn stop_ends_a_start_that_hangs_in_a_file() {
    let node = Node::primary();
    let token = node.path().join("token");
    assert!(Command::new("mkfifo").arg(&token).status().is_ok_and(|status| status.success()));
    node.write(&change(
        &node.config(),
        "[admin]\n",
        &format!("[admin]\ntoken_file = \"{}\"\n", token.display()),
    ));
    let mut daemon = Daemon::launch(node.path(), mirrorvip());
    eventually("the start to hang, or to be refused", || daemon.has_ended() || blocks(daemon.pid()));
    let _refused_already = kill_process(daemon.pid(), Signal::TERM);
    let end = daemon.wait_for_end();
    assert!(matches!(end.code(), Some(0 | 78)), "{end}: {}", daemon.log_text());
}

/// Whether a process sleeps and catches TERM: then it waits for the FIFO, and for nothing else.
fn blocks(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default()
    };
    let caught = u64::from_str_radix(field("SigCgt:"), 16).unwrap_or_default();
    // Signal 15 is bit 14.
    field("State:").starts_with('S') && caught & (1 << 14) != 0
}

/// A verb is distinguished from an argument that has its name.
#[test]
fn a_command_that_is_no_daemon_ends_at_a_hang_up() {
    let node = Node::primary();
    let hanging =
        format!("{}\n[mirror.probe.exec]\ncommand = [\"sleep\", \"1000\"]\n", node.listeners() + MIRROR);
    fs::write(node.path().join("run"), hanging).expect("the test's directory is writable");
    let mut probe = Guarded::start(mirrorvip().current_dir(node.path()).args(["probe", "--config", "run"]));
    let end = eventually("the end", || {
        let _ended_already = kill_process(Pid::from_child(&probe.0), Signal::HUP);
        probe.0.try_wait().expect("the child is ours")
    });
    assert_eq!(end.signal(), Some(Signal::HUP.as_raw()), "{end}");
}

// === a killed daemon ===

/// A mirror with time for a slow answer, up to its probe.
const MIRROR: &str = "\n[[mirror]]\nname = \"PROD\"\ninterval = \"1s\"\ntimeout = \"60s\"\nstale_after = \"62s\"\n\
                      qos_timeout = \"90s\"\n";

/// A mirror that is asked by a shell script.
fn asked_by(node: &Node, script: &str) -> String {
    let command = format!("command = [\"/bin/sh\", \"-c\", '''{script}''']");
    node.listeners() + MIRROR + &format!("\n[mirror.probe.exec]\n{command}\nenvironment = [\"ASKED_FOR\"]\n")
}

fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

#[test]
fn children_and_their_children_die_with_a_killed_daemon() {
    let node = Node::primary();
    let pids = node.path().join("pids");
    let script =
        format!("sleep 1000 & echo $$ $! >{pids}.new && mv {pids}.new {pids}; wait", pids = pids.display());
    for signal in [Signal::KILL, Signal::ABORT] {
        let mut daemon = Daemon::start(node.path(), &asked_by(&node, &script));
        let text = eventually("the script", || fs::read_to_string(&pids).ok());
        let running: Vec<_> = text.split_whitespace().collect();
        assert!(running.len() == 2 && running.iter().all(|pid| lives(pid)), "{text}");
        // A signal to the terminal or the control group of a daemon reaches its guard as well, which must stay.
        for guard in guards(daemon.pid()) {
            for also in [Signal::TERM, Signal::INT, Signal::HUP, Signal::USR1] {
                kill_process(guard, also).expect("it is there");
            }
        }
        daemon.signal(signal);
        daemon.wait_for_end();
        eventually("the end of the script and its child", || !running.iter().any(|pid| lives(pid)));
        fs::remove_file(&pids).expect("it is there");
    }
}

/// The processes that watch over the children of `daemon`.
fn guards(daemon: Pid) -> Vec<Pid> {
    let parent = daemon.as_raw_nonzero().to_string();
    let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let stat = String::from_utf8_lossy(&read("stat")).into_owned();
        let ppid = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        ppid == Some(&parent) && String::from_utf8_lossy(&read("cmdline")).contains("__guard-children")
    })
    .filter_map(Pid::from_raw)
    .collect()
}

#[test]
fn a_guard_that_was_killed_is_replaced_and_knows_what_runs() {
    let node = Node::primary();
    let pid = node.path().join("pid");
    let script = format!("echo $$ >{pid}.new && mv {pid}.new {pid}; exec sleep 1000", pid = pid.display());
    let hook = format!("\n[[mirror.hook]]\ncommand = [\"/bin/sh\", \"-c\", '{script}']\n");
    // Without doubt about other members nothing holds the hook up.
    let config = change(&node.config(), "name = \"PROD\"\n", "name = \"PROD\"\npeers = \"none\"\n");
    let mut daemon = Daemon::start(node.path(), &(config + &hook));
    let hook = eventually("the hook", || fs::read_to_string(&pid).ok()).trim().to_owned();
    let [first] = guards(daemon.pid())[..] else { panic!("there is one guard") };
    kill_process(first, Signal::KILL).expect("it is there");
    let second = eventually("another guard", || {
        guards(daemon.pid())
            .into_iter()
            .find(|guard| *guard != first && lives(&guard.as_raw_nonzero().to_string()))
    });
    assert!(lives(&hook));
    daemon.signal(Signal::KILL);
    daemon.wait_for_end();
    eventually("the end of the hook", || !lives(&hook));
    eventually("the guard's end", || !lives(&second.as_raw_nonzero().to_string()));
}

#[test]
fn the_guard_ends_with_a_daemon_that_is_stopped() {
    let node = Node::primary();
    let daemon = Daemon::start(node.path(), &node.config());
    daemon.wait_for_page(200);
    let [guard] = guards(daemon.pid())[..] else { panic!("there is one guard") };
    assert!(daemon.stop().success());
    eventually("its end", || !lives(&guard.as_raw_nonzero().to_string()));
}

// === secrets ===

#[test]
fn commands_see_nothing_of_the_daemon() {
    let node = Node::primary();
    let seen = node.path().join("seen");
    let script = format!(
        "{{ env; for file in environ mem maps; do cat /proc/$PPID/$file && echo READ $file; done; \
         ls -l /proc/$PPID/fd && echo READ fd; ls -l /proc/$$/fd; }} >{seen}.new 2>&1; mv {seen}.new {seen}",
        seen = seen.display()
    );
    let config = asked_by(&node, &script);
    let secret = node.path().join("inherited");
    fs::write(&secret, "a descriptor that the caller left open").expect("the test's directory is writable");
    let ordinary = as_ordinary_user(node.path());
    open_to_all(node.path(), 0o777);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec 7<{}; exec \"$@\"", secret.display()), "sh"]);
    command.arg(ordinary.get_program()).args(ordinary.get_args());
    command.env_remove("RUST_LOG").env_remove("MIRRORVIP_CONFIG_TOML");
    for (name, value) in [
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("CREDENTIALS_DIRECTORY", "/hunter2"),
        ("MIRRORVIP_TOKEN", "hunter2"),
        ("ASKED_FOR", "by the configuration"),
    ] {
        command.env(name, value);
    }
    let daemon = Daemon::start_with(node.path(), &config, command);
    let text = eventually("what the script saw", || fs::read_to_string(&seen).ok());
    assert!(text.contains("ASKED_FOR=by the configuration"), "{text}");
    assert!(!text.contains("hunter2"), "a secret of the environment: {text}");
    assert!(!text.contains("READ"), "a file of the daemon's: {text}");
    assert!(!text.contains("inherited"), "a descriptor of the daemon's starter: {text}");
    assert!(!daemon.log_text().contains("commands have no guard"), "{}", daemon.log_text());
}
