//! The fake command, run for real in every mode.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output, Stdio};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

fn fake() -> (tempfile::TempDir, FakeIris) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let fake = FakeIris::new(&directory.path().join("a"), "IRIS").expect("the command runs");
    fake.set_role("Failover", "Backup").expect("its directory is writable");
    (directory, fake)
}

fn command(fake: &FakeIris, arguments: &[&str]) -> Command {
    let mut command = Command::new(fake.command());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(fake: &FakeIris, arguments: &[&str]) -> Output {
    command(fake, arguments).output().expect("it runs")
}

/// Waits, with a deadline, until `condition` holds.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..LIMIT.as_millis() / PAUSE.as_millis() {
        if condition() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("{what}: not within {LIMIT:?}");
}

/// Processes whose command line names the directory.
fn processes_of(fake: &FakeIris) -> usize {
    let directory = fake.directory().to_str().expect("temporary paths are UTF-8").as_bytes();
    let names_it = |entry: &std::fs::DirEntry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| line.windows(directory.len()).any(|window| window == directory))
    };
    std::fs::read_dir("/proc").expect("Linux").flatten().filter(names_it).count()
}

#[test]
fn answers_for_one_instance_or_for_all() {
    let (_directory, fake) = fake();
    fake.set_line("IRIS^one^\nIRISTEST^two^\nOTHER^three^").expect("writable");
    let all = run(&fake, &["qlist"]);
    assert!(all.status.success());
    assert_eq!(all.stdout, b"IRIS^one^\nIRISTEST^two^\nOTHER^three^\n");
    let one = run(&fake, &["qlist", "IRIS"]);
    assert!(one.status.success());
    assert_eq!(one.stdout, b"IRIS^one^\n");
    let none = run(&fake, &["qlist", "IR*"]);
    assert_eq!((none.status.code(), none.stdout), (Some(1), Vec::new()));
    let unknown = run(&fake, &["stop", "IRIS"]);
    assert_eq!((unknown.status.code(), unknown.stdout), (Some(2), Vec::new()));
}

#[test]
fn needs_no_environment() {
    let (_directory, fake) = fake();
    let output = command(&fake, &["qlist", "IRIS"]).env_clear().output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains("^Failover^Backup^"));
    assert_eq!(output.stderr, b"");
}

#[test]
fn misbehaves_as_configured() {
    let (_directory, fake) = fake();
    fake.set_mode(Mode::Nothing).expect("writable");
    let nothing = run(&fake, &["qlist", "IRIS"]);
    assert_eq!((nothing.status.code(), nothing.stdout), (Some(0), Vec::new()));

    fake.set_mode(Mode::Exit(7)).expect("writable");
    let exit = run(&fake, &["qlist", "IRIS"]);
    assert_eq!((exit.status.code(), exit.stdout), (Some(7), Vec::new()));

    fake.set_mode(Mode::Die).expect("writable");
    let die = run(&fake, &["qlist", "IRIS"]);
    assert_eq!((die.status.signal(), die.stdout), (Some(9), Vec::new()));

    fake.set_mode(Mode::Corrupt).expect("writable");
    let corrupt = run(&fake, &["qlist", "IRIS"]);
    assert!(corrupt.stdout.contains(&0x1b) && std::str::from_utf8(&corrupt.stdout).is_err());

    fake.set_mode(Mode::Slow(Duration::from_millis(30))).expect("writable");
    assert!(String::from_utf8_lossy(&run(&fake, &["qlist", "IRIS"]).stdout).contains("^Failover^Backup^"));
}

#[test]
fn floods_until_the_reader_closes_the_pipe() {
    use std::io::Read as _;
    let (_directory, fake) = fake();
    fake.set_mode(Mode::Flood).expect("writable");
    let mut child = command(&fake, &["qlist", "IRIS"]).spawn().expect("it runs");
    let mut pipe = child.stdout.take().expect("it is piped");
    pipe.read_exact(&mut vec![0; 200_000]).expect("there is always more");
    drop(pipe);
    eventually("end of the flood", || child.try_wait().expect("our child").is_some());
}

#[test]
fn hangs_until_the_mode_changes() {
    let (_directory, fake) = fake();
    fake.set_mode(Mode::Hang).expect("writable");
    let mut child = command(&fake, &["qlist", "IRIS"]).spawn().expect("it runs");
    eventually("the child waits", || processes_of(&fake) == 1);
    assert!(child.try_wait().expect("our child").is_none());
    fake.set_mode(Mode::Answer).expect("writable");
    eventually("end of hanging", || child.try_wait().expect("our child").is_some());
}

#[test]
fn nothing_hangs_once_the_directory_is_gone() {
    let (directory, fake) = fake();
    fake.set_mode(Mode::Hang).expect("writable");
    let mut child = command(&fake, &["qlist", "IRIS"]).spawn().expect("it runs");
    drop(directory);
    eventually("end of hanging", || child.try_wait().expect("our child").is_some());
    eventually("no process left", || processes_of(&fake) == 0);
}

#[test]
fn grandchild_holds_the_pipe_and_dies_with_its_group() {
    use std::io::Read as _;
    let (_directory, fake) = fake();
    fake.set_mode(Mode::Grandchild).expect("writable");
    let mut child = command(&fake, &["qlist", "IRIS"]).process_group(0).spawn().expect("it runs");
    let status = child.wait().expect("it exits by itself");
    assert!(status.success());
    eventually("the grandchild stays", || processes_of(&fake) == 1);
    let group = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("it has members");
    let mut text = String::new();
    child
        .stdout
        .take()
        .expect("it is piped")
        .read_to_string(&mut text)
        .expect("the pipe ends with the group");
    assert!(text.contains("^Failover^Backup^"));
    eventually("no process left", || processes_of(&fake) == 0);
}

#[test]
fn the_simulated_mirror_prints_and_logs_a_failover() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut mirror = SimulatedMirror::new(directory.path(), TIMING, Clock::system()).expect("commands run");
    let field = |mirror: &SimulatedMirror, member: MemberId, number: usize| {
        let output = run(mirror.iris(member), &["qlist", INSTANCE_NAME]);
        let line = String::from_utf8(output.stdout).expect("the line is text");
        line.trim_end().split('^').nth(number - 1).map(str::to_owned)
    };
    assert_eq!(field(&mirror, MemberId::A, 12).as_deref(), Some("Primary"));
    assert_eq!(field(&mirror, MemberId::B, 12).as_deref(), Some("Backup"));
    assert_eq!(field(&mirror, MemberId::C, 11).as_deref(), Some("Disaster Recovery"));

    mirror.handle(Duration::ZERO, Event::Stop(MemberId::A)).expect("A runs");
    assert!(field(&mirror, MemberId::A, 4).is_some_and(|text| text.starts_with("down, last used ")));
    let changes = mirror.advance(Duration::from_millis(100)).expect("writable");
    assert!(
        !changes.is_empty() && changes.iter().all(|change| change.member() == MemberId::B),
        "{changes:?}"
    );
    assert_eq!(field(&mirror, MemberId::B, 12).as_deref(), Some("Transition"));
    let log = std::fs::read_to_string(mirror.iris(MemberId::B).messages_log()).expect("it exists");
    assert!(log.ends_with(" 1 [Utility.Event] Becoming primary mirror server\n"), "{log}");
    mirror.advance(Duration::from_millis(400)).expect("writable");
    assert_eq!(field(&mirror, MemberId::B, 12).as_deref(), Some("Primary"));
}

#[test]
fn a_used_directory_is_an_error() {
    let (_directory, fake) = fake();
    let again = FakeIris::new(fake.directory(), "IRIS");
    assert!(matches!(again, Err(FakeIrisError::Write { .. })), "{again:?}");
}
