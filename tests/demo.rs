//! The demo from end to end: the real binary, its real daemons, and nothing left behind.
//!
//! The figures are not judged here: the demo itself fails when a step does not come, when two members
//! answer SUCCESS together, when a member that is not the primary writes to the cloud or leaves it empty, or when a
//! member that comes back from a snapshot does not find that another was promoted after it.

#![cfg(feature = "simulation")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::Condition;

/// Many times what the demo takes on an idle machine.
const LIMIT: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(20);

/// A running demo whose temporary directory is ours.
struct Demo {
    child: Child,
    temporary: tempfile::TempDir,
    output: Arc<Mutex<String>>,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let mut child = Command::new(env!("CARGO_BIN_EXE_mirrorvip"))
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built for this test");
        let output = Arc::<Mutex<String>>::default();
        let streams: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("it is piped")),
            Box::new(child.stderr.take().expect("it is piped")),
        ];
        for stream in streams {
            let output = output.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let mut output = output.lock().expect("no holder of this lock panics");
                    output.push_str(&line);
                    output.push('\n');
                }
            });
        }
        Self { child, temporary, output }
    }

    fn output(&self) -> String {
        self.output.lock().expect("no holder of this lock panics").clone()
    }

    /// Waits, with a deadline, until `condition` gives a value.
    fn eventually<C: Condition>(
        &mut self,
        what: &str,
        mut condition: impl FnMut(&mut Self) -> C,
    ) -> C::Value {
        for _ in 0..LIMIT.as_millis() / PAUSE.as_millis() {
            if let Some(value) = condition(self).value() {
                return value;
            }
            std::thread::sleep(PAUSE);
        }
        panic!("{what}: not within {LIMIT:?}\n{}", self.output());
    }

    fn wait_for_text(&mut self, text: &str) {
        self.eventually(text, |demo| {
            let ended = demo.child.try_wait().expect("our child");
            assert!(ended.is_none() || demo.output().contains(text), "{ended:?}\n{}", demo.output());
            demo.output().contains(text)
        });
    }

    fn wait_for_end(&mut self) -> ExitStatus {
        self.eventually("the end", |demo| demo.child.try_wait().expect("our child"))
    }

    /// Nothing is left: no file at once, and soon no process that mentions the temporary directory.
    fn assert_nothing_left(mut self) {
        let left: Vec<_> = std::fs::read_dir(self.temporary.path()).expect("readable").flatten().collect();
        assert!(left.is_empty(), "{left:?}\n{}", self.output());
        self.eventually("no process left", |demo| demo.processes().is_empty());
    }

    fn processes(&self) -> Vec<PathBuf> {
        let needle = self.temporary.path().to_str().expect("temporary paths are text").as_bytes();
        let entries = std::fs::read_dir("/proc").expect("Linux").flatten();
        let mentions = |path: &PathBuf| {
            std::fs::read(path.join("cmdline"))
                .is_ok_and(|line| line.windows(needle.len()).any(|window| window == needle))
        };
        entries.map(|entry| entry.path()).filter(mentions).collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // After a failed assertion: daemons and simulated commands end with it and with its directory.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn plays_all_scenarios_and_leaves_nothing() {
    let mut demo = Demo::start(&[]);
    let status = demo.wait_for_end();
    demo.eventually("the last line", |demo| {
        demo.output().contains("No two members answered SUCCESS at the same time")
    });
    let output = demo.output();
    assert!(status.success(), "{status}\n{output}");
    let summary = output.split("Summary\n").nth(1).expect("a summary");
    for scenario in ["orderly failover", "crash", "hung instance", "promotion of C"] {
        let row = summary.lines().find(|line| line.trim_start().starts_with(scenario));
        let row = row.unwrap_or_else(|| panic!("{scenario} is missing in the summary\n{output}"));
        assert_eq!(row.matches(" ms").count() + row.matches(" s").count(), 7, "all figures: {row}");
        assert!(!row.contains('?'), "each daemon reports when it saw the role change: {row}");
    }
    for line in ["A         writes the target group: none -> A", "cloud     target group sends to C"] {
        assert!(output.contains(line), "{line}\n{output}");
    }
    assert!(output.contains("cloud     db.example.internal resolves to C\n"), "{output}");
    let (_, chapter) = output.split_once("\nSnapshot: ").expect("A comes back from a snapshot");
    let (chapter, _) = chapter.split_once("\nDisaster: ").expect("another chapter follows");
    for line in [
        "A         instance Backup -> Primary (cut off from the mirror)\n",
        "  A takes nothing:\n    b (term 4) at 10.0.1.12 was promoted after this member (term 3)\n",
        "A         instance Synchronizing -> Backup\n",
    ] {
        assert!(chapter.contains(line), "{line}\n{output}");
    }
    assert!(!chapter.contains(" writes the "), "nothing is moved while A says primary: {chapter}");
    // No line at all when the daemon was back before its page was polled again.
    let last_page = chapter.lines().rfind(|line| line.contains(" A         page "));
    assert!(last_page.is_none_or(|page| page.contains("-> 503")), "{last_page:?}");
    assert!(summary.contains("The reverted member took no traffic"), "{output}");
    assert!(summary.contains("Only the primary wrote to the cloud"), "{output}");
    let times: Vec<f64> =
        output.lines().filter_map(|line| line.split_once(" s  ")?.0.trim().parse().ok()).collect();
    let out_of_order: Vec<_> = times.windows(2).filter(|pair| pair[0] > pair[1]).collect();
    assert!(times.len() > 50 && out_of_order.len() * 50 <= times.len(), "{out_of_order:?}");
    assert!(!output.contains('\u{1b}'), "no colours into a pipe");
    let longest = output.lines().max_by_key(|line| line.chars().count()).expect("it prints");
    assert!(longest.chars().count() <= 80, "{longest}");
    demo.assert_nothing_left();
}

#[test]
fn an_interrupt_in_the_middle_leaves_nothing() {
    let mut demo = Demo::start(&[]);
    // The worst moment: a daemon waits for a command that hangs.
    demo.wait_for_text("instance Primary hangs");
    assert!(!demo.processes().is_empty(), "the daemons' command lines name the directory");
    kill_process(Pid::from_child(&demo.child), Signal::INT).expect("it runs");
    let status = demo.wait_for_end();
    assert!(!status.success(), "{status}\n{}", demo.output());
    demo.assert_nothing_left();
}

#[test]
fn daemons_do_not_outlive_a_killed_demo() {
    let mut demo = Demo::start(&[]);
    demo.wait_for_text("Orderly failover");
    demo.child.kill().expect("it runs");
    demo.wait_for_end();
    // No process was left to remove the directory.
    let kept = std::fs::read_dir(demo.temporary.path()).expect("readable").flatten().count();
    assert_eq!(kept, 1);
    demo.eventually("no process left", |demo| demo.processes().is_empty());
}

#[test]
fn kept_running_it_takes_commands_through_its_fifo() {
    let mut demo = Demo::start(&["--keep"]);
    demo.wait_for_text("q  quit");
    demo.wait_for_text("B         instance Synchronizing -> Backup");
    let directory = std::fs::read_dir(demo.temporary.path()).expect("readable").flatten().next();
    let fifo = directory.expect("the demo runs").path().join("command");
    std::fs::write(&fifo, "failover\n").expect("the demo reads it");
    demo.wait_for_text("you       command failover");
    demo.wait_for_text("C         page 200 -> 503");
    // What it prints for people works: here the cloud of a member is asked, as its daemon does.
    let shown = demo.output();
    let lines = |word: &str| shown.lines().find(|line| line.contains(word)).map(str::trim).map(str::to_owned);
    let (enter, source) = (lines("  cd /").expect("a directory"), lines("./a.env").expect("variables"));
    for verb in [" status --config a.toml", " check --config a.toml", " plan --config a.toml"] {
        let command = lines(verb).unwrap_or_else(|| panic!("no {verb}: {shown}"));
        let run = Command::new("sh").args(["-c", &format!("{enter} && {source} && {command}")]).output();
        let run = run.expect("there is a shell");
        let text = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
        assert!(text.contains("DEMO"), "{command}: {text}");
        assert!(!text.contains("credentials found"), "{command}: {text}");
    }
    std::fs::write(&fifo, "q\n").expect("the demo reads it");
    let status = demo.wait_for_end();
    assert!(status.success(), "{status}\n{}", demo.output());
    demo.assert_nothing_left();
}
