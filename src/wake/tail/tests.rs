//! Looks at real files. The lines that count hold a word about mirroring.

use std::fs::{self, File, OpenOptions};
use std::io::Write;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const NEWS: &str = "01/09/22-11:02:08:227 (684) 1 [Utility.Event] Becoming primary mirror server\n";
const SMALL_TALK: &str = "02/06/22-09:50:00:545 (749) 0 [Utility.Event] Manager initialized for DEMO\n";

const NOTHING: Found = Found { wake: false, more: false };
const WAKE: Found = Found { wake: true, more: false };

struct Fixture {
    directory: TempDir,
    name: &'static str,
}

impl Fixture {
    fn new(name: &'static str) -> Self {
        Self { directory: TempDir::new().expect("a temporary directory"), name }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }

    fn append(&self, text: &str) {
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).open(self.path()).expect("can be written");
        file.write_all(text.as_bytes()).expect("can be written");
    }

    fn roll_over(&self) {
        fs::rename(self.path(), self.directory.path().join("old")).expect("can be renamed");
    }
}

#[test]
fn what_was_there_before_is_no_news() {
    let log = Fixture::new("messages.log");
    log.append(NEWS);
    let mut tail = Tail::new(log.path());
    assert_eq!(tail.poll(), NOTHING);
    assert_eq!(tail.poll(), NOTHING);
    log.append(SMALL_TALK);
    assert_eq!(tail.poll(), NOTHING);
    log.append(NEWS);
    assert_eq!(tail.poll(), WAKE);
    assert_eq!(tail.poll(), NOTHING);
}

#[test]
fn roll_over_loses_neither_the_end_of_the_old_file_nor_the_start_of_the_new() {
    let log = Fixture::new("messages.log");
    log.append(SMALL_TALK);
    let mut tail = Tail::new(log.path());
    tail.poll();
    log.append(NEWS);
    log.roll_over();
    log.append(SMALL_TALK);
    assert_eq!(tail.poll(), WAKE, "the end of the old file");
    log.roll_over();
    log.append(NEWS);
    assert_eq!(tail.poll(), WAKE, "the start of the new file");
    log.roll_over();
    assert_eq!(tail.poll(), NOTHING, "no file for a moment");
    log.append(NEWS);
    assert_eq!(tail.poll(), WAKE);
}

#[test]
fn truncation_starts_over() {
    let log = Fixture::new("cconsole.LOG");
    log.append(SMALL_TALK);
    log.append(SMALL_TALK);
    let mut tail = Tail::new(log.path());
    tail.poll();
    File::create(log.path()).expect("can be truncated");
    log.append(NEWS);
    assert_eq!(tail.poll(), WAKE);
}

#[test]
fn a_late_file_is_read_from_its_start() {
    let log = Fixture::new("messages.log");
    let mut tail = Tail::new(log.path());
    assert_eq!(tail.poll(), NOTHING);
    assert_eq!(tail.poll(), NOTHING);
    log.append(NEWS);
    assert_eq!(tail.poll(), WAKE);
}

#[test]
fn a_turn_is_bounded_and_goes_on() {
    let log = Fixture::new("messages.log");
    log.append("");
    let mut tail = Tail::new(log.path());
    tail.poll();
    log.append(&"x".repeat(2 * TURN));
    log.append("\n");
    log.append(NEWS);
    assert_eq!(tail.poll(), Found { wake: false, more: true });
    assert_eq!(tail.poll(), Found { wake: false, more: true });
    assert_eq!(tail.poll(), WAKE);
}

/// A sparse file of 10 GiB, of which nothing but the end is read.
#[test]
fn a_log_that_grew_by_too_much_is_skipped_and_the_skipping_wakes() {
    let log = Fixture::new("messages.log");
    log.append(SMALL_TALK);
    let mut tail = Tail::new(log.path());
    tail.poll();
    let file = OpenOptions::new().write(true).open(log.path()).expect("it exists");
    file.set_len(10 << 30).expect("can be made longer");
    let mut polls = vec![tail.poll()];
    while polls.last().is_some_and(|found| found.more) {
        polls.push(tail.poll());
        assert!(polls.len() < 10, "the whole file is read");
    }
    assert_eq!(polls.iter().filter(|found| found.wake).count(), 1, "{polls:?}");
    assert_eq!(tail.poll(), NOTHING);
    log.append(&format!("\n{NEWS}"));
    assert_eq!(tail.poll(), WAKE, "and it is followed from there");
    // The same under the log's name after a roll-over.
    log.roll_over();
    let file = File::create(log.path()).expect("can be created");
    file.set_len(10 << 30).expect("can be made longer");
    assert!(tail.poll().wake);
    assert!(!tail.poll().more && tail.poll() == NOTHING);
}

#[test]
fn an_unfinished_line_wakes_once() {
    let mut line = UnfinishedLine::default();
    assert!(!line.extend(b"Becoming pri"));
    assert!(line.extend(b"mary mirror"));
    assert!(!line.extend(b" server, primary"));
    assert!(!line.extend(b" server\n"));
    assert!(line.extend(b"primary\n"));
}

#[test]
fn an_endless_line_is_bounded() {
    let mut line = UnfinishedLine::default();
    for _ in 0..100 {
        assert!(!line.extend(&[b'x'; 1000]));
        assert!(line.kept.len() <= LINE);
    }
    assert!(!line.extend(b"\n"));
    assert!(line.extend(NEWS.as_bytes()));
}

#[test]
fn any_change_of_another_kind_of_file_wakes() {
    let flag = Fixture::new("role-changed");
    let mut tail = Tail::new(flag.path());
    assert_eq!(tail.poll(), NOTHING);
    flag.append("");
    assert_eq!(tail.poll(), WAKE, "it came");
    assert_eq!(tail.poll(), NOTHING);
    flag.append("x");
    assert_eq!(tail.poll(), WAKE, "it grew");
    let touched = File::open(flag.path()).expect("it exists");
    touched.set_modified(std::time::UNIX_EPOCH).expect("ours to touch");
    assert_eq!(tail.poll(), WAKE, "it was touched");
    fs::remove_file(flag.path()).expect("ours to remove");
    assert_eq!(tail.poll(), WAKE, "it went");
    assert_eq!(tail.poll(), NOTHING);
}

#[test]
fn a_path_that_is_no_regular_file_delays_nothing() {
    let log = Fixture::new("messages.log");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        log.path(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("every user may make a FIFO");
    let mut tail = Tail::new(log.path());
    assert_eq!(tail.poll(), NOTHING);
    assert_eq!(tail.poll(), NOTHING);
    fs::remove_file(log.path()).expect("ours to remove");
    log.append(NEWS);
    assert_eq!(tail.poll(), WAKE);
}

proptest! {
    #[test]
    fn cuts_between_reads_hide_no_line(cut in 0..NEWS.len(), before in "[a-z\n]{0,40}") {
        let text = format!("{before}\n{NEWS}");
        let at = before.len() + 1 + cut;
        let mut line = UnfinishedLine::default();
        let first = line.extend(&text.as_bytes()[..at]);
        prop_assert!(line.extend(&text.as_bytes()[at..]) || first);
    }
}
