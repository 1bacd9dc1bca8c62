//! The wake-up, on real files. Where an event must do it, time stands still so that the poll cannot.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, UNIX_EPOCH};

use mirrorvip::wake::follow;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const NEWS: &str = "01/09/22-11:02:08:227 (684) 1 [Utility.Event] Becoming primary mirror server\n";
const SMALL_TALK: &str = "02/06/22-09:50:00:545 (749) 0 [Utility.Event] Manager initialized for DEMO\n";

/// Longer than anything takes here, unless it is lost.
const LONG: Duration = Duration::from_secs(30);

/// Longer than the poll.
const QUIET: Duration = Duration::from_millis(1_300);

struct Following {
    directory: TempDir,
    wake: Arc<Notify>,
    cancelled: CancellationToken,
    tasks: JoinSet<()>,
}

impl Following {
    /// Follows `names`, and a log beside them that shows that it has begun.
    async fn start(names: &[&str]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let begun = "begun.log";
        File::create(directory.path().join(begun)).expect("can be created");
        let paths = names.iter().chain([&begun]).map(|name| directory.path().join(name)).collect();
        let (wake, cancelled) = (Arc::new(Notify::new()), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(paths, Arc::clone(&wake), cancelled.clone()));
        let following = Self { directory, wake, cancelled, tasks };
        following.until_followed(begun).await;
        following
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        append(&self.path(name), text);
    }

    async fn woken(&self) {
        timeout(LONG, self.wake.notified()).await.expect("it wakes");
    }

    /// Appends lines until it wakes, and waits until no wake-up follows.
    async fn until_followed(&self, name: &str) {
        let followed = async {
            while timeout(Duration::from_millis(50), self.wake.notified()).await.is_err() {
                self.append(name, NEWS);
            }
        };
        timeout(LONG, followed).await.expect("it is followed");
        while timeout(QUIET, self.wake.notified()).await.is_ok() {}
    }
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).expect("can be opened");
    file.write_all(text.as_bytes()).expect("can be written");
}

/// A stopped clock.
struct Stopped(mpsc::Sender<()>);

impl Stopped {
    /// Whether the clock stood still up to here.
    fn all_along(self) {
        self.0.send(()).expect("only an event could wake, and it came in time");
    }
}

/// Stops the runtime's clock: a blocking task keeps a paused one from advancing by itself. After [`LONG`] it
/// advances all the same, so that a test whose event does not come fails.
fn stop_time() -> Stopped {
    let (running, hold) = mpsc::channel();
    tokio::time::pause();
    drop(spawn_blocking(move || {
        let _released_or_overdue = hold.recv_timeout(LONG);
    }));
    Stopped(running)
}

#[tokio::test]
async fn a_line_about_mirroring_wakes_at_once() {
    let following = Following::start(&["messages.log"]).await;
    following.append("messages.log", SMALL_TALK);
    following.until_followed("messages.log").await;
    let stopped = stop_time();
    for _ in 0..20 {
        following.append("messages.log", SMALL_TALK);
        following.append("messages.log", NEWS);
        following.woken().await;
    }
    stopped.all_along();
}

#[tokio::test]
async fn following_goes_on_across_roll_over_and_truncation() {
    let following = Following::start(&["messages.log"]).await;
    following.until_followed("messages.log").await;
    let stopped = stop_time();
    for generation in 0..3 {
        fs::rename(following.path("messages.log"), following.path(&format!("messages.old{generation}")))
            .expect("can be renamed");
        following.append("messages.log", NEWS);
        following.woken().await;
        following.append("messages.log", NEWS);
        following.woken().await;
        File::create(following.path("messages.log")).expect("can be truncated");
        following.append("messages.log", "primary\n");
        following.woken().await;
    }
    stopped.all_along();
}

#[tokio::test]
async fn a_file_that_comes_late_is_followed_from_its_start() {
    let following = Following::start(&["messages.log", "role"]).await;
    let stopped = stop_time();
    following.append("messages.log", NEWS);
    following.woken().await;
    following.append("role", "");
    following.woken().await;
    let role = File::options().write(true).open(following.path("role")).expect("it exists");
    role.set_modified(UNIX_EPOCH).expect("ours to touch");
    following.woken().await;
    fs::remove_file(following.path("role")).expect("ours to remove");
    following.woken().await;
    stopped.all_along();
}

#[tokio::test]
async fn a_directory_that_comes_late_or_is_replaced_is_found_by_the_poll() {
    let following = Following::start(&["mgr/messages.log"]).await;
    fs::create_dir(following.path("mgr")).expect("can be created");
    following.append("mgr/messages.log", NEWS);
    following.woken().await;
    fs::rename(following.path("mgr"), following.path("moved")).expect("can be renamed");
    fs::create_dir(following.path("mgr")).expect("can be created");
    following.append("mgr/messages.log", NEWS);
    following.woken().await;
}

/// A program that writes endlessly costs little: wake-ups come no faster than probes may follow each other.
#[tokio::test]
async fn a_log_that_never_stops_wakes_at_a_bounded_rate() {
    let following = Following::start(&["messages.log"]).await;
    let (path, stop) = (following.path("messages.log"), CancellationToken::new());
    let stopped = stop.clone();
    let writer = spawn_blocking(move || {
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("can be opened");
        while !stopped.is_cancelled() {
            file.write_all(NEWS.repeat(100).as_bytes()).expect("can be written");
            // Not to fill the disk: 80 MB/s at most.
            std::thread::sleep(Duration::from_micros(100));
        }
    });
    let clock = mirrorvip::clock::Clock::system();
    let started = clock.now();
    for _ in 0..50 {
        following.woken().await;
    }
    let took = started.age_at(clock.now());
    stop.cancel();
    writer.await.expect("the writer does not panic");
    assert!(took >= Duration::from_millis(10) * 45, "50 wake-ups within {took:?}");
}

#[tokio::test]
async fn it_ends_when_it_is_cancelled() {
    let mut following = Following::start(&["messages.log", "nowhere/messages.log"]).await;
    following.cancelled.cancel();
    let ended = timeout(LONG, following.tasks.join_next()).await.expect("it ends");
    assert!(ended.expect("there was one task").is_ok());
}
