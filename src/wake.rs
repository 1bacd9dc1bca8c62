//! Waking the probe loop: follows files in which a role change shows before the next probe is due.
//!
//! What is read here is never evidence. A line in `messages.log` says *ask again*, and what the answer is
//! only the probe knows: `Becoming primary mirror server` is written at the beginning of a promotion.
//!
//! - A file named `*.log` is followed as a log: each new line that [is about mirroring](is_about_mirroring)
//!   wakes. Following begins at its end, goes on over truncation and roll-over (the rest of the old file is
//!   read first, then the new one from its start), and waits for a file or directory that does not exist.
//! - Of any other file, each change wakes: its content, its replacement, its coming and going.
//!
//! inotify reports a change at once. Network and overlay file systems deliver no events, so each file is
//! also looked at every second. A file system that hangs holds up the following of that file alone.
//!
//! However much is written, following costs little: a pause lies between two polls, a poll reads at most 64 KiB, and of
//! a log that grew by more than 1 MiB since the last look only the end is read. What was skipped counts as a line
//! about mirroring, so no wake-up is lost.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

mod tail;
mod watch;

pub(crate) use tail::{LINE as LONGEST_LINE, UnfinishedLine};
use tail::{Look, Tail};
use watch::{Events, Watch};

/// How often a file is looked at without an event.
const POLL: Duration = Duration::from_secs(1);

/// Between two polls at least this passes, however many events there are and however much is still to be read. It is
/// as long as the shortest time between two probes: what is found sooner would be asked no sooner.
const PAUSE: Duration = Duration::from_millis(10);

/// Follows `paths` until `cancelled`. Each thing worth a probe notifies `wake` with `notify_one`, which keeps
/// one permit: a burst wakes once, and a wake-up during a probe is not lost.
pub async fn follow(paths: Vec<PathBuf>, wake: Arc<Notify>, cancelled: CancellationToken) {
    let mut followers = JoinSet::new();
    for path in paths {
        followers.spawn(follow_one(path, Arc::clone(&wake)));
    }
    // Followers end only with the set, which ends with this future, or by a panic, which is passed on.
    let all = async { followers.join_all().await };
    let _all_or_none = cancelled.run_until_cancelled(all).await;
}

/// Whether a line of `messages.log` (`cconsole.log` in Caché) may go with a change of the mirror role.
///
/// Rather once too often: a wake-up in vain costs one probe.
pub fn is_about_mirroring(line: &[u8]) -> bool {
    let words: [&[u8]; 4] = [b"mirror", b"primary", b"becoming backup", b"failover"];
    words.iter().any(|word| line.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
}

async fn follow_one(path: PathBuf, wake: Arc<Notify>) {
    let (mut events, watch) = match Events::new(&path) {
        Ok((events, watch)) => (Some(events), Some(watch)),
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "no inotify: looking at the file every {POLL:?} only");
            (None, None)
        }
    };
    let mut follower = Follower { tail: Tail::new(path), watch };
    loop {
        // Whatever touches the file system may hang, and runs where it delays no other task.
        let look;
        (follower, look) = match spawn_blocking(move || follower.look()).await {
            Ok(looked) => looked,
            Err(error) => match error.try_into_panic() {
                Ok(payload) => std::panic::resume_unwind(payload),
                Err(_the_runtime_stops) => return,
            },
        };
        if look.wake {
            wake.notify_one();
        }
        // On the machine's clock: the pause is for its cores' sake.
        if spawn_blocking(|| std::thread::sleep(PAUSE)).await.is_err() {
            return;
        }
        if look.more {
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
    /// Watching comes first: what happens after the look makes an event.
    fn look(mut self) -> (Self, Look) {
        if let Some(watch) = &mut self.watch {
            watch.renew();
        }
        let look = self.tail.look();
        (self, look)
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
