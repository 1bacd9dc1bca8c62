//! The steering of all mirrors: one arbiter a mirror, one loop a target, and what a reload
//! carries over.
//!
//! The loops run on a [thread] of their own; the arbiters stay with the probe loops, whose verdicts they follow.
//!
//! A loop whose target did not change goes on undisturbed while its mirror is asked in the same way and has the
//! same peers; another drift interval it takes up as it goes. Where that is not so, the loops are ended, each
//! after the step that is in flight, before others take their place. Ending withdraws nothing. Neither a reload nor a stop waits for longer than a call may take:
//! of a command that takes longer ([`Hook`](crate::steer)), nobody sees the end.

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
use crate::aws::region::told;
use crate::clock::Clock;
use crate::config::steering::{Peer, Superseded, Target};
use crate::peer::key::Key;
use crate::snapshot::Snapshot;
use crate::steer::arbiter::{ArbiterHandle, Channels, Driver};
use crate::steer::report::Report;
use crate::steer::{self, Member};

mod thread;

use thread::Thread;

/// How long a stop waits for the steps in flight: a call's own deadline, and a little.
const STOP_TIMEOUT: Duration = crate::aws::OPERATION_TIMEOUT.saturating_add(Duration::from_secs(2));

/// The steering of every mirror that has any.
#[derive(Debug)]
pub(super) struct Steering {
    clock: Clock,
    tasks: TaskTracker,
    /// Where the loops run.
    thread: Thread,
    mirrors: Vec<Mirror>,
    /// The region that some table tells.
    region: Option<Arc<str>>,
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
    /// For loops that a reload adds; also what keeps the arbiter alive without any.
    handle: ArbiterHandle,
    qos_timeout: Duration,
    /// What peers' answers are checked with.
    key: Option<Arc<Key>>,
    /// The pace of drift checks; a loop that goes on takes up another one.
    drift: watch::Sender<Duration>,
    arbiter: Ended,
    loops: Vec<Loop>,
}

#[derive(Debug)]
struct Loop {
    target: Target,
    /// In which a service without a region is asked.
    region: Option<Arc<str>>,
    report: watch::Receiver<Report>,
    task: Ended,
}

/// A task that ends when it is told to.
#[derive(Debug)]
struct Ended {
    cancelled: CancellationToken,
    task: JoinHandle<()>,
}

// === impl Steering ===

impl Steering {
    /// Nothing is steered yet; the tasks will belong to `tasks`.
    pub(super) fn new(clock: Clock, tasks: TaskTracker) -> io::Result<Self> {
        Ok(Self { clock, tasks, thread: Thread::start()?, mirrors: Vec::new(), region: None })
    }

    /// Steers the mirrors of `entries`, and no other.
    pub(super) async fn commit(&mut self, entries: &[Entry]) {
        self.region = told(entries.iter().flat_map(|entry| &entry.config.targets)).map(Into::into);
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

    /// What the admin listener may see of the mirror called `name`.
    pub(super) fn view(&self, name: &str) -> Option<SteeringView> {
        let mirror = self.mirrors.iter().find(|mirror| mirror.name == name)?;
        Some(SteeringView {
            authority: mirror.channels.authority.subscribe(),
            handle: mirror.handle.clone(),
            targets: mirror.loops.iter().map(|l| l.report.clone()).collect(),
        })
    }

    /// Tells every task to end; [`stopped`](Self::stopped) waits for it.
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
            tracing::warn!("a steering call is still in flight; nobody will see what came of it");
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
        for ((target, name), known) in targets.iter().zip(steer::names(targets)).zip(found) {
            mirror.loops.push(known.unwrap_or_else(|| self.begin_loop(mirror, target, name)));
        }
    }

    fn begin_loop(&self, mirror: &Mirror, target: &Target, name: String) -> Loop {
        let (sender, report) = watch::channel(Report::new(name.into(), self.clock.now()));
        let cancelled = CancellationToken::new();
        let steered = steer::start(
            target.clone(),
            Member {
                mirror: mirror.name.as_str().into(),
                name: mirror.member.as_str().into(),
                drift: mirror.drift.subscribe(),
                region: self.region.clone(),
            },
            mirror.snapshot.clone(),
            mirror.handle.clone(),
            sender,
            self.clock.clone(),
            cancelled.clone(),
        );
        let task = self.tasks.spawn_on(steered, self.thread.handle());
        let region = self.region.clone();
        Loop { target: target.clone(), region, report, task: Ended { cancelled, task } }
    }

    /// Whether `known` steers `target` as it would if it began anew.
    fn is_unchanged(&self, known: &Loop, target: &Target) -> bool {
        let same_place = match target {
            Target::Route53(_) => known.region == self.region,
            Target::Elbv2(_) | Target::ClassicElb(_) | Target::Route(_) => true,
            Target::CloudWatch(_) | Target::Kubernetes(_) | Target::Hook(_) => true,
        };
        known.target == *target && same_place
    }
}

// === impl Mirror ===

impl Mirror {
    /// Whether this is the steering of `entry`'s mirror, whatever its targets.
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

    /// Whether it checks answers with the secret of `entry`, which may have been replaced in its file.
    fn has_key_of(&self, entry: &Entry) -> bool {
        match (&self.key, &entry.channels.profile.borrow().key) {
            (Some(key), Some(other)) => key.is_same(other),
            (key, other) => key.is_none() && other.is_none(),
        }
    }

    /// Its tasks, the arbiter last: the loops may still consult it.
    fn into_tasks(self) -> Vec<Ended> {
        self.loops.into_iter().map(|known| known.task).chain([self.arbiter]).collect()
    }
}

fn is_steered(entry: &Entry) -> bool {
    !entry.config.targets.is_empty() || !entry.config.peers.is_empty()
}

/// Ends tasks and waits for each, within [`STOP_TIMEOUT`]. Returns whether all have ended: a step in flight
/// that takes longer, such as a command of the operator's, goes on and is followed by no other.
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
            "a step that was sent before the reload is still in flight; nobody will see what came of it"
        );
    }
}
