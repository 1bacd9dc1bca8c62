//! Publishing on a real file system: what is written, what is not, and how old it looks.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::*;
use crate::observation::NoEvidence;

fn at(boot: u64, wall: u64) -> Timestamp {
    Timestamp::new(Duration::from_secs(boot), Duration::from_secs(wall))
}

fn answer(outcome: Result<Role, NoEvidence>, asked_at: Timestamp) -> Observation {
    Observation { asked_at, answered_at: asked_at, outcome, evidence: String::new() }
}

#[test]
fn the_heartbeat_is_the_moment_of_the_question_on_the_clock_that_counts_more() {
    let check = |asked_at: Timestamp, now: Timestamp, modified: u64| {
        let beat = Beat::of(&answer(Ok(Role::Primary), asked_at), now).unwrap();
        assert_eq!(beat.modified, Duration::from_secs(modified));
    };
    check(at(10, 1_000), at(10, 1_000), 1_000);
    check(at(10, 1_000), at(13, 1_003), 1_000);
    check(at(10, 1_000), at(13, 900), 897); // the wall clock was stepped back
    check(at(10, 1_000), at(11, 1_060), 1_000); // the virtual machine was paused
}

#[test]
fn silence_is_not_published() {
    let silence = NoEvidence::TimedOut { after: Duration::from_secs(2) };
    assert_eq!(Beat::of(&answer(Err(silence), at(1, 1)), at(1, 1)), None);
    let trouble = NoEvidence::Trouble("In Trouble".to_owned());
    assert_eq!(Beat::of(&answer(Err(trouble), at(1, 1)), at(1, 1)), None);
}

/// What is written is what the probe reads, for every role.
#[test]
fn every_role_reads_back() {
    let directory = tempfile::tempdir().unwrap();
    let (file, path) = (RoleFile::of("PROD", directory.path()), role_file("PROD", directory.path()));
    for role in Role::all() {
        let beat = Beat::of(&answer(Ok(role.clone()), at(5, 1_700_000_000)), at(5, 1_700_000_000)).unwrap();
        file.replace(&beat).unwrap();
        assert_eq!(crate::probe::file::parse(&fs::read(&path).unwrap()).0, Ok(role));
    }
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.mtime(), 1_700_000_000);
    assert_eq!(metadata.mode() & 0o7777, MODE);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the test owns the task and joins it")]
async fn answers_are_written_once_and_a_full_stop_leaves_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (file, path) = (RoleFile::of("PROD", directory.path()), role_file("PROD", directory.path()));
    let settings = Settings { stale_after: Duration::from_secs(4), rise: std::num::NonZeroU32::MIN };
    let (sender, snapshots) = watch::channel(Snapshot::new(Tracker::new(settings, None)));
    let (clock, cancelled) = (Clock::system(), CancellationToken::new());
    let task =
        tokio::spawn(publish("PROD".into(), file.clone(), snapshots, clock.clone(), cancelled.clone()));
    let observe = |outcome| {
        let newest = Some(Arc::new(answer(outcome, clock.now())));
        sender.send_modify(|snapshot| snapshot.newest = newest);
    };
    let wait_for = async |role: &str| {
        let is_there = || fs::read_to_string(&path).is_ok_and(|text| text.starts_with(role));
        for _ in 0..2_000 {
            if is_there() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{role} was not published");
    };
    observe(Ok(Role::Primary));
    wait_for("primary\n").await;
    let inode = || fs::metadata(&path).unwrap().ino();
    let written = inode();
    // Neither silence nor a change without an answer touches the file; the next answer proves their turn is over.
    observe(Err(NoEvidence::TimedOut { after: Duration::from_secs(2) }));
    sender.send_modify(|_| ());
    tokio::task::yield_now().await;
    assert_eq!(inode(), written);
    observe(Ok(Role::Backup));
    wait_for("backup\n").await;
    cancelled.cancel();
    task.await.unwrap();
    assert!(path.exists());
}

/// What stands in the place of the file, or of an earlier version's temporary file, belongs to another program.
#[test]
fn a_link_is_replaced_and_its_victim_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let shared = directory.path().join("shared");
    fs::create_dir(&shared).unwrap();
    for name in ["PROD.role", ".PROD.role.new"] {
        std::os::unix::fs::symlink(&victim, shared.join(name)).unwrap();
    }
    let beat = Beat { text: "backup\n".to_owned(), modified: Duration::from_secs(1) };
    RoleFile::of("PROD", &shared).replace(&beat).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_ne!(fs::metadata(&victim).unwrap().mtime(), 1);
    assert_eq!(fs::read_to_string(role_file("PROD", &shared)).unwrap(), "backup\n");
}

#[tokio::test]
async fn a_directory_that_comes_late_is_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let file = RoleFile::of("PROD", &directory.path().join("later"));
    let beat = Beat { text: "backup\n".to_owned(), modified: Duration::from_secs(1) };
    let mut writing = SingleFlight::new();
    assert!(write(&mut writing, &file, beat.clone()).await.is_err());
    fs::create_dir(directory.path().join("later")).unwrap();
    write(&mut writing, &file, beat).await.unwrap();
}
