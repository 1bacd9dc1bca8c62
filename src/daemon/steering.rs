//! The steering of all mirrors: one arbiter per mirror, one loop per target, and what a reload preserves.
//!
//! The loops run on their own [thread]; the arbiters run with the probe loops, whose verdicts they follow.
//!
//! A loop whose target did not change goes on undisturbed if its mirror has the same probe and peers; it adopts a new drift
//! interval as it runs. Other loops are ended, each after its step in flight, before new ones replace them. Ending a loop
//! withdraws nothing. A reload or stop waits no longer than a call may take; the result of a command of a
//! [`Hook`](crate::steer) that takes longer is lost.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::mirrors::Entry;
use crate::admin::SteeringView;
use crate::clock::Clock;
use crate::config::steering::{Peer, Superseded};
use crate::peer::key::Key;
use crate::provider::Table as Target;
use crate::provider::aws::region::{Region, told};
use crate::provider::aws::{self, Where};
use crate::provider::{self, Member};
use crate::snapshot::Snapshot;
use crate::steer::arbiter::{ArbiterHandle, Channels, Driver};
use crate::steer::report::Report;

mod thread;

use thread::Thread;

/// How long a stop waits for the steps in flight: slightly longer than the deadline of a call.
const STOP_TIMEOUT: Duration = aws::OPERATION_TIMEOUT.saturating_add(Duration::from_secs(2));

/// The steering of every mirror that has any.
#[derive(Debug)]
pub(super) struct Steering {
    clock: Clock,
    tasks: TaskTracker,
    /// Where the loops run.
    thread: Thread,
    mirrors: Vec<Mirror>,
    /// Where this member runs in AWS, as far as that is known.
    aws: aws::Here,
}

#[derive(Debug)]
struct Mirror {
    name: String,
    /// This member's name as the owner of records.
    member: String,
    peers: Vec<Peer>,
    superseded: Superseded,
    snapshot: watch::Receiver<Snapshot>,
    channels: Arc<Channels>,
    /// For loops that a reload adds; it also keeps the arbiter alive without loops.
    handle: ArbiterHandle,
    qos_timeout: Duration,
    /// The secret that verifies peers' answers.
    key: Option<Arc<Key>>,
    /// The interval of drift checks; running loops adopt a new one.
    drift: watch::Sender<Duration>,
    arbiter: Ended,
    loops: Vec<Loop>,
}

#[derive(Debug)]
struct Loop {
    target: Target,
    /// The region in which a service without a region is called.
    region: Option<Region>,
    report: watch::Receiver<Report>,
    task: Ended,
}

/// A task that ends when it is cancelled.
#[derive(Debug)]
struct Ended {
    cancelled: CancellationToken,
    task: JoinHandle<()>,
}

// === impl Steering ===

impl Steering {
    /// Steers nothing yet; the tasks will belong to `tasks`.
    pub(super) fn new(clock: Clock, tasks: TaskTracker) -> io::Result<Self> {
        Ok(Self { clock, tasks, thread: Thread::start()?, mirrors: Vec::new(), aws: aws::Here::default() })
    }

    /// Steers the mirrors of `entries`, and no other.
    pub(super) async fn commit(&mut self, entries: &[Entry]) {
        self.aws.told = told(aws::places(entries.iter().flat_map(|entry| &entry.config.targets)));
        let (mut kept, mut ended) = (Vec::new(), Vec::new());
        for mirror in std::mem::take(&mut self.mirrors) {
            let is_unchanged = entries.iter().any(|entry| mirror.is_unchanged(entry));
            if is_unchanged { kept.push(mirror) } else { ended.push(mirror) }
        }
        make_way(ended.into_iter().flat_map(Mirror::into_tasks).collect()).await;
        for entry in entries.iter().filter(|entry| is_steered(entry)) {
            let position = kept.iter().position(|mirror| mirror.is_unchanged(entry));
            let mut mirror = match position {
                Some(position) => kept.swap_remove(position),
                None => self.begin(entry),
            };
            let drift = entry.config.drift_interval;
            mirror.drift.send_if_modified(|known| std::mem::replace(known, drift) != drift);
            self.commit_targets(&mut mirror, &entry.config.targets).await;
            self.mirrors.push(mirror);
        }
        for entry in entries.iter().filter(|entry| !is_steered(entry)) {
            entry.channels.retire();
        }
    }

    /// The view of the mirror `name` for the admin listener.
    pub(super) fn view(&self, name: &str) -> Option<SteeringView> {
        let mirror = self.mirrors.iter().find(|mirror| mirror.name == name)?;
        Some(SteeringView {
            authority: mirror.channels.authority.subscribe(),
            handle: mirror.handle.clone(),
            targets: mirror.loops.iter().map(|l| l.report.clone()).collect(),
        })
    }

    /// Cancels every loop; [`stopped`](Self::stopped) waits for them.
    pub(super) fn stop(&self) {
        for mirror in &self.mirrors {
            for task in mirror.loops.iter().map(|l| &l.task) {
                task.cancelled.cancel();
            }
        }
    }

    /// Waits until the steps in flight are finished, within their deadline.
    pub(super) async fn stopped(&mut self) {
        self.stop();
        let tasks = self.mirrors.drain(..).flat_map(Mirror::into_tasks).collect();
        if !end(tasks).await {
            tracing::warn!("a steering call is still in flight; its result will not be seen");
        }
    }

    fn begin(&self, entry: &Entry) -> Mirror {
        let config = &entry.config;
        let channels = Arc::clone(&entry.channels);
        let (driver, handle) = Driver::new(
            config,
            entry.past,
            entry.snapshot.clone(),
            Arc::clone(&channels),
            self.clock.clone(),
        );
        let key = channels.profile.borrow().key.clone();
        let cancelled = CancellationToken::new();
        let task = self.tasks.spawn(driver.run(cancelled.clone()));
        Mirror {
            name: config.name.clone(),
            member: config.member_name(),
            peers: config.peers.clone(),
            superseded: config.superseded,
            snapshot: entry.snapshot.clone(),
            channels,
            handle,
            qos_timeout: config.qos_timeout,
            key,
            drift: watch::Sender::new(config.drift_interval),
            arbiter: Ended { cancelled, task },
            loops: Vec::new(),
        }
    }

    async fn commit_targets(&self, mirror: &mut Mirror, targets: &[Target]) {
        let mut old = std::mem::take(&mut mirror.loops);
        let found: Vec<Option<Loop>> = targets
            .iter()
            .map(|target| {
                let position = old.iter().position(|known| self.is_unchanged(known, target));
                position.map(|position| old.swap_remove(position))
            })
            .collect();
        let gone: Vec<_> = old.iter().map(|known| known.report.borrow().target.clone()).collect();
        make_way(old.into_iter().map(|known| known.task).collect()).await;
        for target in gone {
            mirror.handle.gone(&target).await;
        }
        for ((target, name), known) in targets.iter().zip(provider::names(targets)).zip(found) {
            mirror.loops.push(known.unwrap_or_else(|| self.begin_loop(mirror, target, name)));
        }
    }

    fn begin_loop(&self, mirror: &Mirror, target: &Target, name: String) -> Loop {
        let (sender, report) = watch::channel(Report::new(name.into(), self.clock.now()));
        let cancelled = CancellationToken::new();
        let steered = provider::start(
            target.clone(),
            Member {
                mirror: mirror.name.as_str().into(),
                name: mirror.member.as_str().into(),
                drift: mirror.drift.subscribe(),
                aws: self.aws.clone(),
            },
            mirror.snapshot.clone(),
            mirror.handle.clone(),
            sender,
            self.clock.clone(),
            cancelled.clone(),
        );
        let task = self.tasks.spawn_on(steered, self.thread.handle());
        let region = self.aws.told.clone();
        Loop { target: target.clone(), region, report, task: Ended { cancelled, task } }
    }

    /// Whether `known` steers `target` exactly as a new loop would.
    fn is_unchanged(&self, known: &Loop, target: &Target) -> bool {
        let is_anywhere = |place: aws::Place| place.at == Where::Anywhere;
        let same_place = !aws::places([target]).any(is_anywhere) || known.region == self.aws.told;
        known.target == *target && same_place
    }
}

// === impl Mirror ===

impl Mirror {
    /// Whether this is the steering of `entry`'s mirror, regardless of its targets.
    fn is_unchanged(&self, entry: &Entry) -> bool {
        self.name == entry.config.name
            && self.snapshot.same_channel(&entry.snapshot)
            && self.peers == entry.config.peers
            && self.superseded == entry.config.superseded
            && self.member == entry.config.member_name()
            && self.qos_timeout == entry.config.qos_timeout
            && self.has_key_of(entry)
            && is_steered(entry)
    }

    /// Whether it verifies answers with the secret of `entry`; the file may have been replaced.
    fn has_key_of(&self, entry: &Entry) -> bool {
        match (&self.key, &entry.channels.profile.borrow().key) {
            (Some(key), Some(other)) => key.is_same(other),
            (key, other) => key.is_none() && other.is_none(),
        }
    }

    /// Its tasks, the arbiter last, as the loops may still use it.
    fn into_tasks(self) -> Vec<Ended> {
        self.loops.into_iter().map(|known| known.task).chain([self.arbiter]).collect()
    }
}

fn is_steered(entry: &Entry) -> bool {
    !entry.config.targets.is_empty() || !entry.config.peers.is_empty()
}

/// Ends tasks and waits for all, at most [`STOP_TIMEOUT`]. Returns whether all have ended: a step in flight that takes
/// longer, such as a hook's command, goes on, and no other follows it.
async fn end(tasks: Vec<Ended>) -> bool {
    for task in &tasks {
        task.cancelled.cancel();
    }
    let ended = async {
        for Ended { task, .. } in tasks {
            task.await.expect("a steering task neither panics nor is aborted");
        }
    };
    timeout(STOP_TIMEOUT, ended).await.is_ok()
}

/// The same for tasks that a reload replaces.
async fn make_way(tasks: Vec<Ended>) {
    if !end(tasks).await {
        tracing::warn!(
            "a step that was sent before the reload is still in flight; its result will not be seen"
        );
    }
}
