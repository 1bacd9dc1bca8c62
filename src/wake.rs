//! Wakes the probe loop: follows files that show a role change before the next probe is due.
//!
//! What is read here is never evidence. A line in `messages.log` only triggers a probe: `Becoming primary mirror server` is
//! written at the beginning of a promotion.
//!
//! - A file named `*.log` is followed as a log: each new line that [is about mirroring](is_about_mirroring)
//!   wakes. Following begins at its end, goes on over truncation and roll-over (the rest of the old file is
//!   read first, then the new one from its start), and waits for a file or directory that does not exist.
//! - Of any other file, each change wakes: of its content, its replacement, creation or removal.
//!
//! inotify reports a change at once. Network and overlay file systems deliver no events, so each file is also polled every
//! second. A file system that hangs delays only its own file.
//!
//! The cost is bounded: there is a pause between two polls, a poll reads at most 64 KiB, and of a log that grew by more than
//! 1 MiB since the last poll only the end is read. The skipped part counts as a line about mirroring, so no wake-up is lost.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

mod tail;
mod watch;

use tail::{Found, Tail};
#[cfg(feature = "fuzzing")]
pub(crate) use tail::{LINE as LONGEST_LINE, UnfinishedLine};
use watch::{Events, Watch};

/// How often a file is polled without an event.
const POLL: Duration = Duration::from_secs(1);

/// The minimum time between two polls. It is the shortest time between two probes: a faster poll would trigger no earlier
/// probe.
const PAUSE: Duration = Duration::from_millis(10);

/// Follows `paths` until `cancelled`. Each event worth a probe notifies `wake` with `notify_one`, which keeps one permit: a
/// burst wakes once, and a wake-up during a probe is not lost.
pub async fn follow(paths: BTreeSet<PathBuf>, wake: Arc<Notify>, cancelled: CancellationToken) {
    let mut followers = JoinSet::new();
    for path in paths {
        followers.spawn(follow_one(path, Arc::clone(&wake)));
    }
    // Followers end only with the set, which ends with this future, or by a panic, which is propagated.
    let all = async { followers.join_all().await };
    let _all_or_none = cancelled.run_until_cancelled(all).await;
}

/// Whether a line of `messages.log` (`cconsole.log` in Caché) may belong to a change of the mirror role.
///
/// A false positive costs only one probe.
pub fn is_about_mirroring(line: &[u8]) -> bool {
    let words: [&[u8]; 4] = [b"mirror", b"primary", b"becoming backup", b"failover"];
    words.iter().any(|word| line.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
}

async fn follow_one(path: PathBuf, wake: Arc<Notify>) {
    let (mut events, watch) = match Events::new(&path) {
        Ok((events, watch)) => (Some(events), Some(watch)),
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "no inotify: reading the file every {POLL:?} only");
            (None, None)
        }
    };
    let mut follower = Follower { tail: Tail::new(path), watch };
    loop {
        // File system calls may hang, so they run where they delay no other task.
        let found;
        (follower, found) = match spawn_blocking(move || follower.poll()).await {
            Ok(polled) => polled,
            Err(error) => match error.try_into_panic() {
                Ok(payload) => std::panic::resume_unwind(payload),
                Err(_the_runtime_stops) => return,
            },
        };
        if found.wake {
            wake.notify_one();
        }
        // Real time even if tokio's time is paused: the pause limits the use of the CPU.
        if spawn_blocking(|| std::thread::sleep(PAUSE)).await.is_err() {
            return;
        }
        if found.more {
            continue;
        }
        match &mut events {
            Some(events) => {
                let _event_or_poll = timeout(POLL, events.next()).await;
            }
            None => tokio::time::sleep(POLL).await,
        }
    }
}

struct Follower {
    tail: Tail,
    watch: Option<Watch>,
}

// === impl Follower ===

impl Follower {
    /// Watching comes first: a change after the poll makes an event.
    fn poll(mut self) -> (Self, Found) {
        if let Some(watch) = &mut self.watch {
            watch.renew();
        }
        let found = self.tail.poll();
        (self, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_mirroring() {
        let log = include_str!("../tests/fixtures/iris/messages-log-samples.txt");
        let about: Vec<_> = log.lines().map(|line| is_about_mirroring(line.as_bytes())).collect();
        assert_eq!(about, [false, true, false, true, true, true, true]);
        assert!(is_about_mirroring(b"FAILOVER"));
        assert!(is_about_mirroring(b"\xff Becoming Backup \xff"));
        assert!(!is_about_mirroring(b""));
        assert!(!is_about_mirroring(b"mirro"));
    }
}
