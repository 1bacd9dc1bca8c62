//! The `file` probe: a role word in a file with a heartbeat, for a publisher in another container.
//!
//! The first line is a [role word](Role::word), or `dr`, `reporting` or `async`; what follows is ignored. The
//! modification time is the heartbeat: a publisher writes or touches the file at each of its own probes. The
//! answer is as old as the heartbeat, and one of `stale_after` or more is no evidence, so a publisher that
//! hangs or dies fails closed.
//!
//! The age is taken from the wall clock, the only one that a file system knows. A publisher whose clock is ahead would
//! make an old heartbeat look fresh, so a time in the future is no evidence. An unchanged heartbeat grows older by this
//! process's clocks, whatever happens to the wall clock.

use std::fmt;
use std::fs::Metadata;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::timeout;

use super::{EVIDENCE_LENGTH, Reading};
use crate::blocking::SingleFlight;
use crate::clock::{Clock, Timestamp};
use crate::file;
use crate::observation::{AsyncKind, NoEvidence, Outcome, Role};
use crate::text::printable;

/// How much of the file is read; its first line must end in it.
const LIMIT: usize = 4 * 1024;

/// How far in the future a heartbeat may lie: coarse time stamps of file systems, small differences of clocks.
const TOLERATED_SKEW: Duration = Duration::from_secs(1);

/// Asks by reading a file.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    timeout: Duration,
    stale_after: Duration,
    clock: Clock,
    reading: SingleFlight<io::Result<Published>>,
    heartbeat: Option<Heartbeat>,
}

/// A heartbeat when it was first seen.
#[derive(Clone, Copy, Debug)]
struct Heartbeat {
    modified: Duration,
    seen_at: Timestamp,
    /// How old it was then.
    age: Duration,
}

#[derive(Debug)]
struct Published {
    content: Vec<u8>,
    /// The heartbeat, since the Unix epoch.
    modified: Duration,
}

// === impl File ===

impl File {
    /// A probe that reads `path`.
    pub(super) fn new(path: &Path, timeout: Duration, stale_after: Duration, clock: &Clock) -> Self {
        let clock = clock.clone();
        Self {
            path: path.to_owned(),
            timeout,
            stale_after,
            clock,
            reading: SingleFlight::new(),
            heartbeat: None,
        }
    }

    pub(super) async fn ask(&mut self) -> Reading {
        let path = self.path.clone();
        match timeout(self.timeout, self.reading.run(move || read(&path))).await {
            Err(_elapsed) => Reading::silent(NoEvidence::TimedOut { after: self.timeout }),
            Ok(Err(error)) => Reading::silent(self.explain(&error)),
            Ok(Ok(published)) => {
                let now = self.clock.now();
                let heartbeat = Heartbeat::of(&published, now, self.heartbeat);
                self.heartbeat = Some(heartbeat);
                judge(&published, heartbeat, now, self.stale_after)
            }
        }
    }

    fn explain(&self, error: &io::Error) -> NoEvidence {
        let path = printable(&self.path.to_string_lossy(), EVIDENCE_LENGTH);
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => NoEvidence::Unreachable(format!(
                "there is no heartbeat file {path}; check that its publisher runs"
            )),
            io::ErrorKind::PermissionDenied => {
                let user = rustix::process::geteuid().as_raw();
                NoEvidence::Denied(format!("user {user} may not read {path}"))
            }
            _ => NoEvidence::Failed(format!("failed to read {path}: {error}")),
        }
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.path.to_string_lossy(), EVIDENCE_LENGTH))
    }
}

/// Reads the file. The time is taken before the content: were it replaced in between, the answer would
/// look older than it is, and never younger.
fn read(path: &Path) -> io::Result<Published> {
    let (file, metadata) = file::open(path)?;
    let modified = modified(&metadata)?;
    let mut content = Vec::with_capacity(LIMIT + 1);
    file.take(LIMIT as u64 + 1).read_to_end(&mut content)?;
    Ok(Published { content, modified })
}

/// A time before 1970 counts as 1970: it is too old either way.
fn modified(metadata: &Metadata) -> io::Result<Duration> {
    let modified: SystemTime = metadata.modified()?;
    Ok(modified.duration_since(UNIX_EPOCH).unwrap_or_default())
}

// === impl Heartbeat ===

impl Heartbeat {
    /// That of what was read at `now`, after the one `before`. PURE.
    fn of(published: &Published, now: Timestamp, before: Option<Self>) -> Self {
        let modified = published.modified;
        let age = now.since_unix_epoch().saturating_sub(modified);
        before.filter(|known| known.modified == modified).unwrap_or(Self { modified, seen_at: now, age })
    }

    /// How old it is at `now`, at least. PURE.
    fn age_at(&self, now: Timestamp) -> Duration {
        let by_the_wall = now.since_unix_epoch().saturating_sub(self.modified);
        by_the_wall.max(self.age.saturating_add(self.seen_at.age_at(now)))
    }
}

/// What the file says, read at `now`. PURE.
fn judge(published: &Published, heartbeat: Heartbeat, now: Timestamp, stale_after: Duration) -> Reading {
    let age = heartbeat.age_at(now);
    let ahead = published.modified.saturating_sub(now.since_unix_epoch());
    let (outcome, line) = parse(&published.content);
    let outcome = if ahead > TOLERATED_SKEW {
        Err(NoEvidence::Unrecognised(format!(
            "the heartbeat is {ahead:.1?} in the future; the clocks of publisher and reader disagree"
        )))
    } else if age >= stale_after {
        Err(NoEvidence::Outdated { age })
    } else {
        outcome
    };
    Reading { outcome, evidence: line, age }
}

/// Reads the first line. PURE and total; the second value is the line, for people.
pub(crate) fn parse(content: &[u8]) -> (Outcome, String) {
    let end = content.iter().position(|&byte| byte == b'\n');
    let line = String::from_utf8_lossy(&content[..end.unwrap_or(content.len())]);
    let shown = printable(line.trim(), EVIDENCE_LENGTH);
    let outcome = if end.is_none() && content.len() > LIMIT {
        Err(NoEvidence::TooLong { limit: LIMIT })
    } else if line.trim().is_empty() {
        Err(NoEvidence::Unparsable("the first line of the heartbeat file is empty".to_owned()))
    } else {
        role(line.trim()).ok_or_else(|| NoEvidence::Unrecognised(format!("role word `{shown}`")))
    };
    (outcome, shown)
}

/// No role word begins another, so a word that was written in part is no role.
fn role(word: &str) -> Option<Role> {
    match word.to_ascii_lowercase().as_str() {
        "dr" => Some(Role::Async(AsyncKind::DisasterRecovery)),
        "reporting" => Some(Role::Async(AsyncKind::ReadOnlyReporting)),
        word => Role::from_word(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(outcome: &Outcome) -> &'static str {
        match outcome {
            Ok(role) => role.word(),
            Err(cause) => cause.word(),
        }
    }

    #[test]
    fn the_first_line_is_a_role_word() {
        let check = |content: &[u8], expected: &str| {
            assert_eq!(word(&parse(content).0), expected, "{}", String::from_utf8_lossy(content));
        };
        check(b"primary\n", "primary");
        check(b"  PRIMARY \r\nwritten by hook\n", "primary");
        check(b"primary", "primary");
        check(b"primary or so\n", "unrecognised");
        check(b"primar", "unrecognised");
        check(b"\nprimary\n", "unparsable");
        check(b"", "unparsable");
        check(b"dr\n", "disaster-recovery");
        check(b"reporting\n", "read-only-reporting");
        check(b"async\n", "async");
        check(b"not-primary\n", "not-primary");
        check(b"\xff\xfeprimary\n", "unrecognised");
        check(&[b'a'; LIMIT + 1], "too-long");
        check(&[b"backup\n".as_slice(), &[b'a'; LIMIT]].concat(), "backup");
    }

    #[test]
    fn no_role_word_begins_another() {
        let words: Vec<_> = Role::all().map(|role| role.word()).chain(["dr", "reporting"]).collect();
        for word in &words {
            for length in 0..word.len() {
                assert_eq!(role(&word[..length]), None, "{word} written in part");
            }
        }
    }

    #[test]
    fn the_heartbeat_decides() {
        let check = |modified_ms: u64, expected: &str, age_ms: u64| {
            let published =
                Published { content: b"primary\n".to_vec(), modified: Duration::from_millis(modified_ms) };
            let now = Timestamp::new(Duration::from_secs(7), Duration::from_secs(100));
            let heartbeat = Heartbeat::of(&published, now, None);
            let reading = judge(&published, heartbeat, now, Duration::from_secs(4));
            assert_eq!(word(&reading.outcome), expected, "modified at {modified_ms} ms");
            assert_eq!(reading.age, Duration::from_millis(age_ms));
            assert_eq!(reading.evidence, "primary");
        };
        check(99_000, "primary", 1_000);
        check(96_001, "primary", 3_999);
        check(96_000, "outdated", 4_000);
        check(0, "outdated", 100_000);
        check(101_000, "primary", 0);
        check(101_001, "unrecognised", 0);
    }

    #[test]
    fn old_news_stay_old_when_the_wall_clock_steps_back() {
        let published =
            |second| Published { content: b"primary\n".to_vec(), modified: Duration::from_secs(second) };
        let at = |boot, wall| Timestamp::new(Duration::from_secs(boot), Duration::from_secs(wall));
        let stale_after = Duration::from_secs(4);
        let first = Heartbeat::of(&published(100), at(7, 101), None);
        let same = Heartbeat::of(&published(100), at(37, 101), Some(first));
        let reading = judge(&published(100), same, at(37, 101), stale_after);
        assert_eq!((word(&reading.outcome), reading.age), ("outdated", Duration::from_secs(31)));
        let next = Heartbeat::of(&published(101), at(38, 102), Some(same));
        let reading = judge(&published(101), next, at(38, 102), stale_after);
        assert_eq!((word(&reading.outcome), reading.age), ("primary", Duration::from_secs(1)));
    }
}
