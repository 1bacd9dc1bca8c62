//! The task around an [arbiter](super): feeds it inputs and carries out its outputs.
//!
//! One task per mirror. It follows the snapshot, asks the peers, serves the steering loops and the operator, and
//! passes memory to the writer of the state file. It publishes through [`Channels`], which outlive a reload.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::alarm::{Alarms, Picture, Problem};
use super::handle::{ArbiterHandle, Message};
use super::{Arbiter, Authority, Input, Instance, Output, PeerFacts, PeerReport, Ruling, Settings};
use crate::clock::{Clock, Timestamp};
use crate::config::Mirror;
use crate::config::steering::Superseded;
use crate::peer::document::{Document, Identity, Profile};
use crate::peer::identity::{Judgement, judge};
use crate::peer::{Peers, Reply, Report};
use crate::role::{Epoch, Supersede};
use crate::snapshot::Snapshot;
use crate::term::Memory;

/// Messages on their way; a loop has one at a time.
const QUEUE: usize = 64;

/// How long the disk may take to store a new term. After that the term is used unstored: a hung disk must not leave
/// the mirror without its primary.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest and the shortest time between two rounds of questions.
const POLL: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// The same while a loop waits to take traffic, so that its next attempt finds fresh answers. A silent peer takes two
/// seconds to time out, which would add to a fault of the cloud.
const POLL_AWAITED: Duration = Duration::from_millis(250);

/// How long after its last consultation a loop counts as waiting: twice as long as an attempt that hangs.
const AWAITED: Duration = Duration::from_secs(5);

/// What the arbiter of one mirror publishes, and what it follows: made once, kept over reloads.
#[derive(Debug)]
pub(crate) struct Channels {
    /// The ruling, for loops.
    pub(crate) authority: watch::Sender<Authority>,
    /// The mirror's members as this one sees them, for status and metrics.
    pub(crate) view: watch::Sender<View>,
    /// What this member reports to peers besides its role.
    pub(crate) profile: watch::Sender<Profile>,
    /// Orders to the probe loop.
    pub(crate) orders: watch::Sender<Option<Supersede>>,
    /// What the state file should hold.
    pub(crate) memory: watch::Sender<Memory>,
    /// What it holds, or would hold if it could be written.
    pub(crate) stored: watch::Sender<Memory>,
}

/// The mirror's members as this one sees them.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What the arbiter remembers.
    pub memory: Memory,
    /// Every peer, in the order of the configuration.
    pub members: Vec<MemberView>,
}

/// One peer.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberView {
    /// Its address.
    pub address: Arc<str>,
    /// What it reported last, and when the question was asked.
    pub(crate) document: Option<(Timestamp, Document)>,
    /// Whether its status page says SUCCESS, of a peer that reports nothing else.
    pub page: Option<bool>,
    /// When the last question was asked that was answered with a document or a page.
    pub asked_at: Option<Timestamp>,
    /// Whether it answered the last question.
    pub reachable: bool,
    /// Since when `reachable` is what it is.
    pub since: Option<Timestamp>,
    /// What is wrong with the last answer, or why there is none.
    pub problem: Option<String>,
    pub(crate) kind: Option<Problem>,
    /// Whether its configuration agrees with this member's; `None` while that is not known.
    pub agrees: Option<bool>,
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct Driver {
    mirror: Arc<str>,
    identity: Identity,
    arbiter: Arbiter,
    snapshot: watch::Receiver<Snapshot>,
    peers: Peers,
    members: Vec<MemberView>,
    /// The name of each peer: the configured one, or the one that it first answered with.
    names: Vec<Option<String>>,
    channels: Arc<Channels>,
    stored: watch::Receiver<Memory>,
    /// The memory that is being written, and until when the term waits for that.
    storing: Option<(Memory, Instant)>,
    messages: mpsc::Receiver<Message>,
    waiting: Vec<(u64, oneshot::Sender<Authority>)>,
    ticket: u64,
    /// Targets whose ownership record carries a term that is not believed.
    unbelievable: Vec<(Arc<str>, String)>,
    alarms: Alarms,
    poll: Duration,
    /// Until when a loop counts as waiting for the cloud.
    awaited_until: Option<Instant>,
    clock: Clock,
}

// === impl Channels ===

impl Channels {
    /// For a mirror whose previous process left `memory`, in `epoch`.
    pub(crate) fn new(profile: Profile, memory: Memory, epoch: Epoch, refuses: bool) -> Self {
        let by = memory.superseded_by.as_ref().filter(|_| refuses);
        let order = by.map(|by| Supersede { epoch, by: format!("{} at {}", by.mark, by.address) });
        Self {
            authority: watch::Sender::new(Authority::Unsure {
                why: "there is no ruling yet".to_owned(),
                term: 0,
            }),
            view: watch::Sender::new(View { memory: memory.clone(), members: Vec::new() }),
            profile: watch::Sender::new(profile),
            orders: watch::Sender::new(order),
            stored: watch::Sender::new(memory.clone()),
            memory: watch::Sender::new(memory),
        }
    }

    /// Nothing is steered and no peer is configured: there is no arbiter.
    pub(crate) fn retire(&self) {
        self.orders.send_replace(None);
        let memory = Memory { proven: false, ..self.memory.borrow().clone() };
        self.profile.send_modify(|profile| profile.follow(&memory, "unsure"));
        self.view.send_replace(View { memory, members: Vec::new() });
    }
}

// === impl Driver ===

impl Driver {
    /// The task for the arbiter of `mirror`, and its handle. `past` is what was known of the instance before this task.
    pub(crate) fn new<T>(
        mirror: &Mirror<T>,
        past: Instance,
        snapshot: watch::Receiver<Snapshot>,
        channels: Arc<Channels>,
        clock: Clock,
    ) -> (Self, ArbiterHandle) {
        let (sender, messages) = mpsc::channel(QUEUE);
        let handle = ArbiterHandle::new(sender, channels.authority.subscribe());
        let Profile { identity, key, .. } = channels.profile.borrow().clone();
        let settings = Settings {
            member: identity.member.clone(),
            peers: mirror.peers.iter().map(|peer| (peer.address.clone(), peer.member.clone())).collect(),
            qos_timeout: mirror.qos_timeout,
            refuses: mirror.superseded == Superseded::Refuse,
        };
        let past = match snapshot.borrow().tracker().standing() {
            Some(_) => Instance::of(snapshot.borrow().tracker(), clock.now()),
            None => past,
        };
        let names = settings.peers.iter().map(|(_, member)| member.clone()).collect();
        let members = mirror.peers.iter().map(|peer| MemberView::unknown(&peer.address)).collect();
        let memory = channels.memory.borrow().clone();
        let driver = Self {
            mirror: mirror.name.as_str().into(),
            identity,
            arbiter: Arbiter::new(settings, memory, past),
            peers: Peers::new(&mirror.name, &mirror.peers, key.as_ref(), clock.clone()),
            snapshot,
            members,
            names,
            stored: channels.stored.subscribe(),
            channels,
            storing: None,
            messages,
            waiting: Vec::new(),
            ticket: 0,
            unbelievable: Vec::new(),
            alarms: Alarms::new(&mirror.name, mirror.qos_timeout),
            poll: (mirror.qos_timeout / 2).clamp(POLL.0, POLL.1),
            awaited_until: None,
            clock,
        };
        (driver, handle)
    }

    /// Runs until it is cancelled.
    pub(crate) async fn run(mut self, cancelled: CancellationToken) {
        let mut poll_at = Instant::now();
        self.follow_snapshot();
        loop {
            let give_up_at = self.storing.as_ref().map(|(_, until)| *until);
            // Cancel-safe: channels lose no message, `Peers::next` no answer, and timers are moments.
            tokio::select! {
                biased;
                () = cancelled.cancelled() => return,
                changed = self.snapshot.changed() => match changed {
                    Ok(()) => self.follow_snapshot(),
                    Err(_gone) => return,
                },
                message = self.messages.recv() => match message {
                    Some(message) => self.receive(message),
                    None => return,
                },
                Ok(()) = self.stored.changed() => {
                    let stored = self.stored.borrow_and_update().clone();
                    if self.storing.take_if(|(memory, _)| *memory == stored).is_some() {
                        self.handle(Input::Stored(stored));
                    }
                }
                () = until(give_up_at) => {
                    if let Some((memory, _)) = self.storing.take() {
                        tracing::warn!(mirror = &*self.mirror, term = memory.term, "writing the state file takes too long; the term is used before it is stored");
                        self.handle(Input::Stored(memory));
                    }
                }
                (index, report) = self.peers.next() => self.take_in(index, report),
                () = sleep_until(poll_at) => {
                    poll_at = Instant::now() + self.poll;
                    self.handle(Input::Poll);
                }
            }
            if self.awaited_until.is_some_and(|until| Instant::now() < until) {
                poll_at = poll_at.min(Instant::now() + POLL_AWAITED);
            }
            self.watch();
        }
    }

    fn follow_snapshot(&mut self) {
        let instance = Instance::of(self.snapshot.borrow_and_update().tracker(), self.clock.now());
        self.handle(Input::Instance(instance));
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Read { target, mark } => {
                self.unbelievable.retain(|(known, _)| *known != target);
                if let Some(mark) = mark.as_ref().filter(|mark| !self.arbiter.memory().believes(mark.term)) {
                    self.unbelievable.push((Arc::clone(&target), mark.to_string()));
                }
                self.handle(Input::Record { target, mark });
            }
            Message::Consult { answer } => {
                // The verdict may have changed since the last message: learn of a promotion before ruling on it.
                self.follow_snapshot();
                self.awaited_until = Some(Instant::now() + AWAITED);
                self.ticket += 1;
                self.waiting.push((self.ticket, answer));
                self.handle(Input::Consult { ticket: self.ticket });
            }
            Message::Gone { target } => {
                self.unbelievable.retain(|(known, _)| *known != target);
                self.handle(Input::Gone { target });
            }
            Message::Take { taken, answer } => {
                self.follow_snapshot();
                let doubt = self.arbiter.doubt(self.clock.now()).map_err(str::to_owned);
                if let (Ok(overrode), Some(taken)) = (&doubt, taken) {
                    tracing::warn!(
                        mirror = &*self.mirror,
                        user = taken.user,
                        reason = taken.reason,
                        overrode,
                        "an operator takes traffic to this member, for its present promotion"
                    );
                    self.handle(Input::Take(crate::term::Taken { overrode: overrode.clone(), ..taken }));
                }
                // The caller may have been cancelled.
                let _ = answer.send(doubt);
            }
        }
    }

    fn take_in(&mut self, index: usize, report: Report) {
        let Report { asked_at, answered_at, reply } = report;
        let (own, address) = (&self.identity, Arc::clone(&self.members[index].address));
        let (mut document, mut page, mut problem) = (None, None, None);
        let report = match reply {
            Reply::Document(seen) => {
                let judged = judge(own, &address, self.names[index].as_deref(), &seen);
                match judged {
                    Judgement::Peer => {
                        self.names[index].get_or_insert_with(|| seen.member.clone());
                        let facts = PeerFacts::of(&seen);
                        document = Some((asked_at, *seen));
                        PeerReport::Facts(facts)
                    }
                    Judgement::Myself => {
                        problem = Some((
                            Problem::Myself,
                            format!("{address} is this daemon itself: remove that [[mirror.peer]]"),
                        ));
                        PeerReport::Myself
                    }
                    Judgement::Conflict(why) => {
                        problem = Some((Problem::Conflict, why.clone()));
                        PeerReport::Conflict(why)
                    }
                }
            }
            Reply::Success => {
                page = Some(true);
                PeerReport::Page { serving: true }
            }
            Reply::Failed => {
                page = Some(false);
                PeerReport::Page { serving: false }
            }
            Reply::Unreachable(why) => {
                problem = Some((Problem::Silent, why.clone()));
                PeerReport::Silent(why)
            }
        };
        if let PeerReport::Facts(facts) = &report
            && let Some(term) =
                [facts.term, facts.seen.term].into_iter().find(|term| !self.arbiter.memory().believes(*term))
        {
            problem =
                Some((Problem::Unbelievable, format!("it reports term {term}, far above every known one")));
        }
        let reachable = !matches!(report, PeerReport::Silent(_));
        let member = &mut self.members[index];
        if member.reachable != reachable || member.since.is_none() {
            member.since = Some(answered_at);
        }
        member.reachable = reachable;
        member.page = page;
        if document.is_some() || page.is_some() {
            member.asked_at = Some(asked_at);
        }
        member.agrees = document.as_ref().map(|(_, seen)| seen.digest == own.digest).or(member.agrees);
        // Another process's answer says nothing about this peer.
        let is_peer = !matches!(report, PeerReport::Conflict(_) | PeerReport::Myself);
        member.document = document.or_else(|| member.document.take().filter(|_| is_peer));
        (member.kind, member.problem) = problem.unzip();
        self.handle(Input::Answer { peer: index, asked_at, report });
    }

    /// Passes `input` to the arbiter, and carries out its outputs.
    fn handle(&mut self, input: Input) {
        for output in self.arbiter.handle(self.clock.now(), input) {
            match output {
                Output::Ask => self.peers.ask(),
                Output::Store(memory) => {
                    // A newer memory does not extend the disk's deadline.
                    let until = self.storing.as_ref().map(|(_, until)| *until);
                    self.storing =
                        Some((memory.clone(), until.unwrap_or_else(|| Instant::now() + STORE_TIMEOUT)));
                    self.channels.memory.send_replace(memory);
                }
                Output::Publish(ruling) => self.publish(ruling),
                Output::Answer { ticket, authority } => {
                    if let Some(position) = self.waiting.iter().position(|(waiting, _)| *waiting == ticket) {
                        let _ = self.waiting.swap_remove(position).1.send(authority);
                    }
                }
            }
        }
    }

    fn publish(&self, Ruling { authority, refuse, memory }: Ruling) {
        let epoch = self.snapshot.borrow().tracker().epoch();
        let order = refuse.map(|by| Supersede { epoch, by });
        self.channels.orders.send_if_modified(|known| replace(known, order));
        self.channels.profile.send_modify(|profile| profile.follow(&memory, authority.word()));
        self.channels.authority.send_if_modified(|known| replace(known, authority));
    }

    /// Publishes the members, and logs alarms.
    fn watch(&mut self) {
        let now = self.clock.now();
        let memory = self.arbiter.memory().clone();
        let snapshot = self.snapshot.borrow();
        let authority = self.channels.authority.borrow();
        self.alarms.update(
            now,
            &Picture {
                settled: snapshot.has_settled(),
                serving: snapshot.verdict_at(now).serves(now),
                primary: snapshot.tracker().primary_at(now).is_some(),
                authority: &authority,
                members: &self.members,
                unbelievable: &self.unbelievable,
                taken: memory.taken.as_ref(),
            },
        );
        self.channels.view.send_if_modified(|view| {
            let changed = view.memory != memory || view.members != self.members;
            if changed {
                *view = View { memory, members: self.members.clone() };
            }
            changed
        });
    }
}

// === impl MemberView ===

impl MemberView {
    pub(super) fn unknown(address: &str) -> Self {
        Self {
            address: address.into(),
            document: None,
            page: None,
            asked_at: None,
            reachable: false,
            since: None,
            problem: None,
            kind: None,
            agrees: None,
        }
    }
}

fn replace<T: PartialEq>(known: &mut T, new: T) -> bool {
    let changed = *known != new;
    *known = new;
    changed
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
