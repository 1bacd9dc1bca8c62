//! The probe loops of all mirrors, which mirrors share one, and what a reload preserves.
//!
//! A reload has two steps, so that nothing is touched before everything that can fail has succeeded:
//! [`Mirrors::prepare`] makes the channels that are missing, and [`Mirrors::commit`] moves the loops over.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::files::Memory;
use crate::clock::Clock;
use crate::config::steering::Superseded;
use crate::health;
use crate::peer::document::{Identity, Profile};
use crate::peer::key::Key;
use crate::probe::Prober;
use crate::probe::run::{self, Watched};
use crate::provider;
use crate::provider::agreement;
use crate::random::random_identifier;
use crate::role::Remembered;
use crate::role::{Settings, Tracker};
use crate::snapshot::Snapshot;
use crate::state::{PersistedState, StateError};
use crate::steer::arbiter::{Channels, Instance};
use crate::term;
use crate::text::chain;
use crate::wake;

/// The mirrors of the current configuration, in its order, and their loops.
#[derive(Debug)]
pub(super) struct Mirrors {
    clock: Clock,
    tasks: TaskTracker,
    entries: Vec<Entry>,
    groups: Vec<Group>,
    /// Identifies this process to other members.
    run: String,
    /// Identifies its state directory to other members; set once.
    daemon: OnceCell<String>,
}

/// One mirror as its readers see it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) config: provider::Mirror,
    pub(super) snapshot: watch::Receiver<Snapshot>,
    pub(super) wake: Arc<Notify>,
    /// The remembered state of the instance from before this entry.
    pub(super) past: Instance,
    /// The channels of the arbiter.
    pub(super) channels: Arc<Channels>,
}

/// Mirrors that share a probe, and its loop.
#[derive(Debug)]
struct Group {
    mirrors: Vec<provider::Mirror>,
    wake: Arc<Notify>,
    cancelled: CancellationToken,
    task: JoinHandle<Vec<Watched>>,
}

/// The mirrors of a new configuration, before any loop has changed.
#[derive(Debug)]
pub(super) struct Prepared {
    mirrors: Vec<PreparedMirror>,
}

#[derive(Debug)]
struct PreparedMirror {
    config: provider::Mirror,
    snapshot: watch::Receiver<Snapshot>,
    /// The sender, unless a running loop owns it.
    fresh: Option<watch::Sender<Snapshot>>,
    past: Instance,
    channels: Arc<Channels>,
    /// The secret of the new configuration.
    key: Option<Arc<Key>>,
}

// === impl Mirrors ===

impl Mirrors {
    /// No mirrors yet; their tasks will belong to `tasks`.
    pub(super) fn new(clock: Clock, tasks: TaskTracker) -> Self {
        Self {
            clock,
            tasks,
            entries: Vec::new(),
            groups: Vec::new(),
            run: random_identifier(),
            daemon: OnceCell::new(),
        }
    }

    /// The mirrors, in the order of the configuration.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Asks every instance at once.
    pub(super) fn wake(&self) {
        for group in &self.groups {
            group.wake.notify_one();
        }
    }

    /// The mirrors of a new configuration whose state must be read from disk; `None` if nothing must be read.
    pub(super) fn unknown(&self, mirrors: &[provider::Mirror]) -> Option<Vec<String>> {
        let known = |name: &str| self.entries.iter().any(|entry| entry.config.name == name);
        let names = mirrors.iter().map(|mirror| &mirror.name).filter(|name| !known(name));
        let unknown: Vec<_> = names.cloned().collect();
        (self.daemon.get().is_none() || !unknown.is_empty()).then_some(unknown)
    }

    /// Finds or creates the channels of each mirror of a new configuration. A mirror whose probe changed starts without a
    /// verdict, as the evidence was about another source, but in its epoch. `memory` is the state of the mirrors that are
    /// [unknown](Self::unknown).
    pub(super) fn prepare(
        &self,
        mirrors: &[provider::Mirror],
        memory: Option<Memory>,
        keys: &HashMap<String, Arc<Key>>,
    ) -> Prepared {
        let (daemon, mut states) =
            memory.map_or_else(Default::default, |Memory { daemon, mirrors }| (daemon, mirrors));
        let daemon = self.daemon.get_or_init(|| daemon);
        let prepare = |config: &provider::Mirror| {
            let state = states.remove(&config.name);
            self.prepare_mirror(config.clone(), state, keys.get(&config.name).cloned(), daemon)
        };
        Prepared { mirrors: mirrors.iter().map(prepare).collect() }
    }

    fn prepare_mirror(
        &self,
        config: provider::Mirror,
        state: Option<Result<Option<PersistedState>, StateError>>,
        key: Option<Arc<Key>>,
        daemon: &str,
    ) -> PreparedMirror {
        let known = self.entries.iter().find(|entry| entry.config.name == config.name);
        if let Some(entry) = known.filter(|entry| entry.config.probe == config.probe) {
            let (snapshot, channels) = (entry.snapshot.clone(), Arc::clone(&entry.channels));
            return PreparedMirror { config, snapshot, fresh: None, past: entry.past, channels, key };
        }
        let state = match known {
            Some(entry) => {
                let (role, history) = {
                    let snapshot = entry.snapshot.borrow();
                    (snapshot.tracker().remember(), snapshot.history())
                };
                let arbiter = entry.channels.memory.borrow().clone();
                role.map(|role| PersistedState { role, arbiter, history })
            }
            None => state.unwrap_or(Ok(None)).unwrap_or_else(|error| {
                let (mirror, error) = (&config.name, chain(&error));
                tracing::warn!(
                    mirror,
                    error,
                    "the state of the previous process is lost: this member takes traffic only once every other member \
                     has said that it is not the primary, or at its next promotion"
                );
                None
            }),
        };
        let (role, memory, history): (Option<Remembered>, term::Memory, Vec<_>) =
            state.map_or_else(Default::default, |state| (Some(state.role), state.arbiter, state.history));
        let tracker = Tracker::new(settings(&config), role);
        let epoch = tracker.epoch();
        let (sender, snapshot) = watch::channel(Snapshot::new(tracker).after(history));
        let channels = known.map_or_else(
            || {
                let identity =
                    Identity { daemon: daemon.to_owned(), run: self.run.clone(), ..Identity::default() };
                let refuses = config.superseded == Superseded::Refuse && !config.peers.is_empty();
                Arc::new(Channels::new(Profile::new(identity, &memory), memory, epoch, refuses))
            },
            |entry| Arc::clone(&entry.channels),
        );
        let past = Instance::remembered(role);
        PreparedMirror { config, snapshot, fresh: Some(sender), past, channels, key }
    }

    /// Starts the loops of the prepared mirrors. A loop whose mirrors did not change goes on undisturbed.
    pub(super) async fn commit(&mut self, prepared: Prepared) {
        let configs: Vec<_> = prepared.mirrors.iter().map(|mirror| mirror.config.clone()).collect();
        let mut plan: Vec<(Prober, Vec<usize>)> = Prober::group(&configs, &self.clock);
        let member_configs =
            |members: &[usize]| members.iter().map(|&i| configs[i].clone()).collect::<Vec<_>>();

        let (kept, ended): (Vec<_>, Vec<_>) = std::mem::take(&mut self.groups)
            .into_iter()
            .partition(|group| plan.iter().any(|(_, members)| group.mirrors == member_configs(members)));
        plan.retain(|(_, members)| !kept.iter().any(|group| group.mirrors == member_configs(members)));
        self.groups = kept;

        let mut senders: HashMap<String, watch::Sender<Snapshot>> = HashMap::new();
        for watched in stop(ended).await {
            senders.insert(watched.name.to_string(), watched.snapshot);
        }
        let mut mirrors = prepared.mirrors;
        for mirror in &mut mirrors {
            if let Some(sender) = mirror.fresh.take() {
                senders.insert(mirror.config.name.clone(), sender);
            }
        }
        for (prober, members) in plan {
            let mut watched = Vec::new();
            for config in member_configs(&members) {
                let sender =
                    senders.remove(&config.name).expect("a mirror has a fresh channel or an ended loop's");
                sender.send_modify(|snapshot| snapshot.set(settings(&config)));
                let mirror = mirrors.iter().find(|mirror| mirror.config.name == config.name);
                let orders = mirror.expect("the plan is of these mirrors").channels.orders.subscribe();
                watched.push(Watched::new(config.name.into(), sender).obeying(orders));
            }
            let group = self.start(prober, member_configs(&members), watched);
            self.groups.push(group);
        }
        self.entries = mirrors
            .into_iter()
            .map(|PreparedMirror { config, snapshot, fresh: _, past, channels, key }| {
                let group = self.groups.iter().find(|group| group.mirrors.contains(&config));
                let wake = Arc::clone(&group.expect("every mirror is in a group").wake);
                channels.profile.send_modify(|profile| {
                    profile.key = key;
                    profile.identity.mirror.clone_from(&config.name);
                    profile.identity.member = config.member_name();
                    profile.identity.digest = agreement::digest(&config);
                });
                Entry { config, snapshot, wake, past, channels }
            })
            .collect();
    }

    /// Ends the loops; every mirror refuses from here on.
    pub(super) async fn stop(&mut self) {
        let now = self.clock.now();
        for watched in stop(std::mem::take(&mut self.groups)).await {
            watched.update(|snapshot| snapshot.rule(now, Tracker::stop));
        }
    }

    fn start(&self, prober: Prober, mirrors: Vec<provider::Mirror>, watched: Vec<Watched>) -> Group {
        let (wake, cancelled) = (Arc::new(Notify::new()), CancellationToken::new());
        let wake_on = mirrors.iter().flat_map(|mirror| mirror.wake_on.clone()).collect();
        self.tasks.spawn(wake::follow(wake_on, Arc::clone(&wake), cancelled.clone()));
        let interval = mirrors.first().expect("a group has a mirror").interval;
        let (clock, token) = (self.clock.clone(), cancelled.clone());
        let task = self.tasks.spawn(run::run(prober, watched, interval, Arc::clone(&wake), clock, token));
        Group { mirrors, wake, cancelled, task }
    }
}

/// Ends the loops and returns their mirrors.
async fn stop(groups: Vec<Group>) -> Vec<Watched> {
    for group in &groups {
        group.cancelled.cancel();
    }
    let mut mirrors = Vec::new();
    for group in groups {
        mirrors.extend(group.task.await.expect("a probe loop neither panics nor is aborted"));
    }
    mirrors
}

fn settings(config: &provider::Mirror) -> Settings {
    Settings { stale_after: config.stale_after, rise: config.rise }
}

// === impl Prepared ===

impl Prepared {
    /// The mirrors for the health listener, in the order of the configuration.
    pub(super) fn readers(&self) -> impl Iterator<Item = health::Mirror> {
        self.mirrors.iter().map(|mirror| health::Mirror {
            name: mirror.config.name.as_str().into(),
            paths: mirror.config.paths.clone(),
            snapshot: mirror.snapshot.clone(),
            profile: mirror.channels.profile.subscribe(),
        })
    }
}
