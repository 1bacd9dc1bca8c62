//! The probe that reads a file with a heartbeat.

use std::fs::{self, File};
use std::time::{Duration, UNIX_EPOCH};

use mirrorvip::clock::{Clock, Timestamp};
use mirrorvip::config::Probe;
use mirrorvip::observation::{NoEvidence, Role};
use mirrorvip::probe::Prober;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::support::{LONG, Scripts, ask, cause, mirror, prober, word};

#[tokio::test]
async fn a_fresh_role_word_is_the_role() {
    let scripts = Scripts::new();
    let path = scripts.path("role");
    let mut prober = prober(Probe::File { path: path.clone() }, LONG);
    let reading = ask(&mut prober).await;
    assert!(
        matches!(cause(&reading), NoEvidence::Unreachable(text) if text.contains("check that its publisher runs"))
    );

    fs::write(&path, "primary\nby iris-main\n").expect("can be written");
    let reading = ask(&mut prober).await;
    assert_eq!(reading.outcome, Ok(Role::Primary));
    assert_eq!(reading.evidence, "primary");
    assert!(reading.age < LONG, "{:?}", reading.age);

    // As publishers do it that know how: a new file takes the place of the old.
    fs::write(scripts.path("new"), "backup").expect("can be written");
    fs::rename(scripts.path("new"), &path).expect("can be renamed");
    assert_eq!(ask(&mut prober).await.outcome, Ok(Role::Backup));
}

#[tokio::test]
async fn the_answer_is_as_old_as_the_heartbeat() {
    let scripts = Scripts::new();
    let path = scripts.path("role");
    fs::write(&path, "primary\n").expect("can be written");
    let beat = File::options().write(true).open(&path).expect("it exists");
    let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
    let clock = Clock::from_fn(|| Timestamp::new(Duration::ZERO, Duration::from_secs(1_000)));
    let mirrors = [mirror(Probe::File { path }, LONG)];
    let mut prober = Prober::group(&mirrors, &clock).pop().expect("one mirror, one prober").0;

    beat.set_modified(at(997)).expect("ours to touch");
    let reading = ask(&mut prober).await;
    assert_eq!((reading.outcome, reading.age), (Ok(Role::Primary), Duration::from_secs(3)));
    beat.set_modified(at(996)).expect("ours to touch");
    assert_eq!(cause(&ask(&mut prober).await), &NoEvidence::Outdated { age: Duration::from_secs(4) });
    beat.set_modified(at(1_002)).expect("ours to touch");
    let reading = ask(&mut prober).await;
    assert!(
        matches!(cause(&reading), NoEvidence::Unrecognised(text) if text.contains("clocks")),
        "{reading:?}"
    );
}

#[tokio::test]
async fn a_file_that_is_no_role_file_is_no_evidence() {
    let scripts = Scripts::new();
    let asked = async |name: &str| {
        let reading = ask(&mut prober(Probe::File { path: scripts.path(name) }, LONG)).await;
        word(&reading)
    };
    let fifo = scripts.path("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("any user may make a FIFO");
    assert_eq!(asked("fifo").await, "failed");
    assert_eq!(asked("").await, "failed");
    assert_eq!(asked("fifo/below").await, "unreachable");
    fs::write(scripts.path("long"), vec![b'p'; 100_000]).expect("can be written");
    assert_eq!(asked("long").await, "too-long");
    fs::write(scripts.path("empty"), "").expect("can be written");
    assert_eq!(asked("empty").await, "unparsable");
    fs::write(scripts.path("prose"), "primary, I believe\n").expect("can be written");
    assert_eq!(asked("prose").await, "unrecognised");
}
