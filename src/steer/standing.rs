//! Where a member stands among the others: gathers what [`authority`](super::authority) rules on, for all
//! steering targets of one mirror.
//!
//! One task a mirror. It hears from the loops what records say and what was taken, asks the peers, and follows
//! the verdict; after each of these it rules anew and publishes. A loop that is about to move traffic
//! [consults](Counsel::consult) it and gets a ruling on answers that came in at most [`FRESH`] ago: peers that
//! answered before that are asked again first. A promotion that was seen within that time needs nobody's word: it is
//! fresher than any answer could be, unless a record tells of a promotion that was not known by then.
//!
//! What has to outlive the process (the claims, and that this member was superseded) is published for the
//! keeper of the state file. A member that a serving peer supersedes is told so to the probe loop, which alone
//! writes verdicts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::authority::witness::Witness;
use super::authority::{Authority, Owner, PeerFacts, PeerState, Record};
use crate::clock::{Clock, Timestamp};
use crate::config::steering::{Peer, Superseded};
use crate::peer::{Peers, Reply, Report, Told};
use crate::role::{Epoch, Origin, Verdict};
use crate::snapshot::Snapshot;
use crate::state::Claims;

mod counsel;
mod past;
mod ruling;

pub(super) use counsel::Message;
pub(crate) use counsel::{Counsel, Sighting};
pub(crate) use past::Past;

/// How old the answers may be on which traffic is moved.
pub(super) const FRESH: Duration = Duration::from_secs(2);

/// How often the peers are asked in any case: on the primary to notice a later promotion, on the others to know
/// what was promoted before them.
const POLL: Duration = Duration::from_secs(5);

/// After this long without another answer a peer's last one says nothing about the present.
const FORGOTTEN: Duration = Duration::from_secs(15);

/// Messages on their way; a loop has one at a time.
const QUEUE: usize = 64;

/// An order to the probe loop: in this epoch the member is superseded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Supersede {
    /// The epoch that it is about.
    pub(crate) epoch: Epoch,
    /// By whom and how it is known.
    pub(crate) by: String,
}

/// What is published for others than the loops.
#[derive(Debug)]
pub(crate) struct Ruled {
    /// The ruling.
    pub(crate) authority: watch::Sender<Authority>,
    /// What has to outlive the process.
    pub(crate) claims: Arc<watch::Sender<Claims>>,
    /// What the page has to do about it.
    pub(crate) orders: Arc<watch::Sender<Option<Supersede>>>,
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct Standing {
    mirror: Arc<str>,
    clock: Clock,
    past: Past,
    policy: Superseded,
    snapshot: watch::Receiver<Snapshot>,
    ruled: Ruled,
    messages: mpsc::Receiver<Message>,
    peers: Peers,
    known: Vec<Known>,
    /// When the last round of this epoch ended.
    answered_at: Option<Timestamp>,
    /// The present round.
    round: Option<Round>,
    waiting: Vec<oneshot::Sender<Authority>>,
    targets: BTreeMap<Arc<str>, Seen>,
    /// The last epoch in which this member served.
    epoch: Option<Epoch>,
    /// Whether that epoch had begun before this task did: what was seen in it so far is not known here.
    joined: bool,
    /// The highest claim that was known when the epoch began.
    known_then: u64,
    /// The same with what came to light within [`FRESH`].
    known_soon: u64,
    serving: bool,
    superseded: Option<(Epoch, String)>,
    claim: Option<(Epoch, u64)>,
    warned: Option<Epoch>,
}

/// A round of questions.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// The epoch in which it was begun.
    epoch: Option<Epoch>,
    /// Whether something came to light since then that its answers may not know.
    outdated: bool,
}

/// One peer.
#[derive(Debug)]
struct Known {
    name: String,
    witness: Witness,
    last: Option<(Timestamp, PeerState)>,
}

/// One target, as its loop tells.
#[derive(Debug, Default)]
struct Seen {
    record: Option<Record>,
    /// Who took it. Stands until all is as it should be, or the peers know of nobody later.
    taken: Option<String>,
    /// The claim that this member wrote, or may have written, or found as its own.
    written: Option<(Epoch, u64)>,
    /// The claim at the first look of an epoch.
    first: Option<(Epoch, u64)>,
}

// === impl Standing ===

impl Standing {
    /// The standing in `mirror` among `peers`, and how the loops speak with it.
    pub(crate) fn new(
        mirror: Arc<str>,
        peers: &[Peer],
        policy: Superseded,
        past: Past,
        snapshot: watch::Receiver<Snapshot>,
        ruled: Ruled,
        clock: Clock,
    ) -> (Self, Counsel) {
        let (sender, messages) = mpsc::channel(QUEUE);
        let counsel = Counsel::new(sender, ruled.authority.subscribe());
        let known =
            |peer: &Peer| Known { name: peer.address.clone(), witness: Witness::default(), last: None };
        let joined = matches!(snapshot.borrow().verdict_at(clock.now()), Verdict::Serve { .. });
        let standing = Self {
            peers: Peers::new(&mirror, peers, clock.clone()),
            known: peers.iter().map(known).collect(),
            mirror,
            clock,
            past,
            policy,
            snapshot,
            ruled,
            messages,
            answered_at: None,
            round: None,
            waiting: Vec::new(),
            targets: BTreeMap::new(),
            epoch: None,
            joined,
            known_then: 0,
            known_soon: 0,
            serving: false,
            superseded: None,
            claim: None,
            warned: None,
        };
        (standing, counsel)
    }

    /// Gathers and rules until it is cancelled.
    pub(crate) async fn run(mut self, cancelled: CancellationToken) {
        let mut poll_at = Instant::now();
        self.follow_verdict();
        self.rule();
        loop {
            // Cancel-safe: channels lose no message, `Peers::next` no answer, and the timer is a moment.
            tokio::select! {
                biased;
                () = cancelled.cancelled() => return,
                changed = self.snapshot.changed() => match changed {
                    Ok(()) => self.follow_verdict(),
                    Err(_gone) => return,
                },
                message = self.messages.recv() => match message {
                    Some(message) => self.hear(message),
                    None => return,
                },
                (index, report, last) = self.peers.next() => self.take_in(index, report, last),
                () = sleep_until(poll_at) => {
                    poll_at = Instant::now() + POLL;
                    self.ask();
                }
            }
        }
    }

    /// Takes in the verdict.
    fn follow_verdict(&mut self) {
        let now = self.clock.now();
        let (verdict, origin) = {
            let snapshot = self.snapshot.borrow_and_update();
            (snapshot.verdict_at(now), snapshot.tracker().origin())
        };
        let Verdict::Serve { epoch, .. } = verdict else {
            if std::mem::take(&mut self.serving) {
                self.rule();
            }
            return;
        };
        if self.epoch != Some(epoch) {
            self.joined &= self.epoch.is_none();
            self.epoch = Some(epoch);
            let Claims { own, seen, .. } = *self.ruled.claims.borrow();
            (self.known_then, self.known_soon) = (own.max(seen), own.max(seen));
            let promotion_was_seen = origin == Some(Origin::Promoted) && !self.joined;
            for peer in &mut self.known {
                let proven = peer.witness.epoch_began(promotion_was_seen);
                if let Some((_, PeerState::Serving { order, .. })) = &mut peer.last {
                    *order = proven;
                }
            }
            for seen in self.targets.values_mut() {
                seen.taken = None;
            }
        }
        if !std::mem::replace(&mut self.serving, true) {
            // What was answered before proves nothing about a member that lost sight of its role since.
            self.outdate_answers();
            self.ask();
            self.rule();
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Saw { target, sighting } => {
                self.take_down(target, sighting);
                self.rule();
            }
            Message::Wrote { target, epoch, claim } => {
                self.targets.entry(target).or_default().written = Some((epoch, claim));
            }
            Message::Gone { target } => {
                // That it was taken from this member stays true.
                if let Some(seen) = self.targets.get_mut(&target) {
                    *seen = Seen { taken: seen.taken.take(), ..Seen::default() };
                }
            }
            Message::Consult { answer } if self.facts_are_fresh() => self.answer(answer),
            Message::Consult { answer } => {
                self.waiting.push(answer);
                self.ask();
            }
        }
    }

    /// Takes down what a loop saw. What came to light is asked about: answers of before may not know it.
    fn take_down(&mut self, target: Arc<str>, sighting: Sighting) {
        let Sighting { record, taken, standby, fulfilled } = sighting;
        let claim = record.as_ref().map_or(0, |record| record.claim);
        let known = self.ruled.claims.borrow().seen;
        let is_others = record.as_ref().is_some_and(|record| record.owner != Owner::Me);
        self.change_claims(|claims| claims.seen = claims.seen.max(claim));
        if standby {
            self.known_then = self.known_then.max(claim);
        }
        if standby || self.was_promoted_just_now() {
            self.known_soon = self.known_soon.max(claim);
        }
        let seen = self.targets.entry(target).or_default();
        let is_news = (is_others && claim > known) || (taken.is_some() && seen.taken.is_none());
        if let Some(epoch) = self.epoch.filter(|_| !standby) {
            if seen.first.is_none_or(|(then, _)| then != epoch) {
                seen.first = Some((epoch, claim));
            }
            if !is_others && record.is_some() && seen.written.is_none_or(|(then, _)| then != epoch) {
                seen.written = Some((epoch, claim));
            }
        }
        seen.record = record;
        if taken.is_some() || fulfilled {
            seen.taken = taken;
        }
        if is_news && !standby {
            self.outdate_answers();
        }
    }

    /// What the peers told so far, or are about to tell, is not good enough for the next ruling that is asked for.
    fn outdate_answers(&mut self) {
        self.answered_at = None;
        if let Some(round) = &mut self.round {
            round.outdated = true;
        }
    }

    /// Begins a round of questions, unless one is under way.
    fn ask(&mut self) {
        if !self.peers.is_empty() && self.round.is_none() {
            self.round = Some(Round { epoch: self.epoch, outdated: false });
            self.peers.ask();
        }
    }

    fn take_in(&mut self, index: usize, report: Report, last: bool) {
        // What was asked in an earlier epoch proves nothing about the order of promotions in this one.
        let of_this_epoch = self.round.is_some_and(|round| round.epoch == self.epoch);
        let peer = &mut self.known[index];
        let state = match report.answer {
            Reply::Told(Told::Serving { promoted_ago, promotion, .. }) => PeerState::Serving {
                promoted_ago,
                order: if of_this_epoch { peer.witness.saw_serving(promotion) } else { None },
            },
            Reply::Success => PeerState::Serving {
                promoted_ago: None,
                order: if of_this_epoch { peer.witness.saw_serving(None) } else { None },
            },
            Reply::Told(Told::NotServing { .. }) => {
                if of_this_epoch {
                    peer.witness.saw_idle();
                }
                PeerState::NotServing
            }
            // Its instance has not lost the role, perhaps: this is no proof that what it says next is later.
            Reply::Told(Told::StoodDown) => PeerState::StoodDown,
            Reply::Told(Told::Indefinite { .. }) | Reply::Failed => PeerState::Indefinite,
            Reply::Unreachable(cause) => {
                tracing::debug!(mirror = &*self.mirror, peer = peer.name, cause, "a peer does not answer");
                PeerState::Unreachable
            }
        };
        peer.last = Some((report.answered_at, state));
        if last {
            let counts = self.round.take().is_some_and(|round| of_this_epoch && !round.outdated);
            self.answered_at = counts.then(|| self.clock.now());
            self.rule();
            if counts {
                // However long a silent peer made the round last: nobody can know more.
                for answer in std::mem::take(&mut self.waiting) {
                    self.answer(answer);
                }
            } else {
                self.ask();
            }
        }
    }

    /// Whether traffic may be moved on what is known.
    fn facts_are_fresh(&self) -> bool {
        let answered_just_now = self.answered_at.is_some_and(|at| at.age_at(self.clock.now()) <= FRESH);
        let nobody_can_know_more = self.was_promoted_just_now() && !self.has_news();
        self.peers.is_empty() || nobody_can_know_more || answered_just_now
    }

    /// Whether this member's promotion was seen, and within [`FRESH`] by its clocks.
    fn was_promoted_just_now(&self) -> bool {
        let snapshot = self.snapshot.borrow();
        let tracker = snapshot.tracker();
        tracker.origin() == Some(Origin::Promoted)
            && tracker.promotion().is_some_and(|promotion| promotion.ago(self.clock.now()) < FRESH)
    }

    /// Whether another member's claim came to light since the present epoch began: clocks that stood still may
    /// take a promotion for fresh that another came after.
    fn has_news(&self) -> bool {
        self.targets.values().any(|seen| match &seen.record {
            Some(Record { owner: Owner::Other(_), claim }) => *claim > self.known_then,
            Some(Record { owner: Owner::Me, .. }) | None => false,
        })
    }

    /// Rules on the present facts for one write.
    fn answer(&mut self, answer: oneshot::Sender<Authority>) {
        // The verdict may have changed since the last message; a promotion is known before it is acted on.
        self.follow_verdict();
        let authority = self.rule();
        if let (Authority::Clear { claim }, Some(epoch)) = (&authority, self.epoch) {
            let claim = *claim;
            self.claim = Some((epoch, claim));
            // Whoever took it was not promoted later.
            for seen in self.targets.values_mut() {
                seen.taken = None;
            }
            self.change_claims(|claims| {
                claims.own = claims.own.max(claim);
                // Peers have put right what was remembered.
                claims.superseded_in = claims.superseded_in.filter(|then| *then != epoch);
            });
        }
        // Whoever asked may have been cancelled.
        let _ = answer.send(authority);
    }
}

// === impl Known ===

impl Known {
    /// What the peer is at `now`: spans have grown since it answered.
    fn facts(&self, now: Timestamp) -> PeerFacts {
        let state = match self.last {
            Some((at, _)) if at.age_at(now) > FORGOTTEN => PeerState::Unreachable,
            Some((at, PeerState::Serving { promoted_ago, order })) => {
                let promoted_ago = promoted_ago.map(|ago| ago.saturating_add(at.age_at(now)));
                PeerState::Serving { promoted_ago, order }
            }
            Some((_, state)) => state,
            None => PeerState::Unreachable,
        };
        PeerFacts { name: self.name.clone(), state }
    }
}

#[cfg(test)]
mod tests;
