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
use super::authority::{Authority, Facts, Owner, PeerFacts, PeerState, Record, RecordFacts, Ruling, rule};
use crate::clock::{Clock, Timestamp};
use crate::config::steering::{Peer, Superseded};
use crate::peer::{Peers, Reply, Report, Told};
use crate::role::{Epoch, Origin, Verdict};
use crate::snapshot::Snapshot;
use crate::state::Claims;

mod counsel;
mod past;

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
    waiting: Vec<(Arc<str>, oneshot::Sender<Authority>)>,
    targets: BTreeMap<Arc<str>, Seen>,
    /// The last epoch in which this member served.
    epoch: Option<Epoch>,
    /// The highest claim that was known when it began.
    known_then: u64,
    serving: bool,
    superseded: Option<(Epoch, String)>,
    claim: Option<(Epoch, u64)>,
    warned: Option<Epoch>,
}

/// A round of questions: the epoch in which it was begun.
#[derive(Clone, Copy, Debug)]
struct Round(Option<Epoch>);

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
    sighting: Sighting,
    written: Option<(Epoch, u64)>,
    /// What was written before that, in case the last write was none.
    before: Option<(Epoch, u64)>,
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
            known_then: 0,
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
        if self.epoch.replace(epoch) != Some(epoch) {
            let Claims { own, seen, .. } = *self.ruled.claims.borrow();
            self.known_then = own.max(seen);
            for peer in &mut self.known {
                let proven = peer.witness.epoch_began(origin == Some(Origin::Promoted));
                if let Some((_, PeerState::Serving { order, .. })) = &mut peer.last {
                    *order = proven;
                }
            }
            for seen in self.targets.values_mut() {
                seen.sighting.taken = None;
            }
        }
        if !std::mem::replace(&mut self.serving, true) {
            // What was answered before proves nothing about a member that lost sight of its role since.
            self.answered_at = None;
            self.ask();
            self.rule();
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Saw { target, sighting } => {
                if let Some(record) = &sighting.record {
                    let claim = record.claim;
                    self.change_claims(|claims| claims.seen = claims.seen.max(claim));
                    if sighting.standby {
                        self.known_then = self.known_then.max(claim);
                    }
                }
                self.targets.entry(target).or_default().sighting = sighting;
                self.rule();
            }
            Message::NotWritten { target } => {
                let seen = self.targets.entry(target).or_default();
                seen.written = seen.before;
            }
            Message::Consult { target, answer } if self.facts_are_fresh() => self.answer(&target, answer),
            Message::Consult { target, answer } => {
                self.waiting.push((target, answer));
                self.ask();
            }
        }
    }

    /// Begins a round of questions, unless one is under way.
    fn ask(&mut self) {
        if !self.peers.is_empty() && self.round.is_none() {
            self.round = Some(Round(self.epoch));
            self.peers.ask();
        }
    }

    fn take_in(&mut self, index: usize, report: Report, last: bool) {
        // What was asked in an earlier epoch proves nothing about the order of promotions in this one.
        let of_this_epoch = self.round.is_some_and(|Round(epoch)| epoch == self.epoch);
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
            Reply::Told(Told::Indefinite { .. }) | Reply::Failed => PeerState::Indefinite,
            Reply::Unreachable(cause) => {
                tracing::debug!(mirror = &*self.mirror, peer = peer.name, cause, "a peer does not answer");
                PeerState::Unreachable
            }
        };
        peer.last = Some((report.answered_at, state));
        if last {
            self.round = None;
            self.answered_at = of_this_epoch.then(|| self.clock.now());
            self.rule();
            if of_this_epoch {
                // However long a silent peer made the round last: nobody can know more.
                for (target, answer) in std::mem::take(&mut self.waiting) {
                    self.answer(&target, answer);
                }
            } else {
                self.ask();
            }
        }
    }

    /// Whether traffic may be moved on what is known.
    fn facts_are_fresh(&self) -> bool {
        let now = self.clock.now();
        let snapshot = self.snapshot.borrow();
        let promoted_just_now = snapshot.tracker().origin() == Some(Origin::Promoted)
            && snapshot.tracker().promotion().is_some_and(|promotion| promotion.ago(now) < FRESH)
            && !self.has_news();
        let answered_just_now = self.answered_at.is_some_and(|at| at.age_at(now) <= FRESH);
        self.peers.is_empty() || promoted_just_now || answered_just_now
    }

    /// Whether another member's claim came to light since the present epoch began: clocks that stood still may
    /// take a promotion for fresh that another came after.
    fn has_news(&self) -> bool {
        self.targets.values().any(|seen| match &seen.sighting.record {
            Some(Record { owner: Owner::Other(_), claim }) => *claim > self.known_then,
            Some(Record { owner: Owner::Me, .. }) | None => false,
        })
    }

    /// Rules on the present facts for one write to `target`, and remembers the claim as written there.
    fn answer(&mut self, target: &Arc<str>, answer: oneshot::Sender<Authority>) {
        // The verdict may have changed since the last message; a promotion is known before it is acted on.
        self.follow_verdict();
        let authority = self.rule();
        if let (Authority::Clear { claim }, Some(epoch)) = (&authority, self.epoch) {
            let claim = *claim;
            self.claim = Some((epoch, claim));
            let seen = self.targets.entry(Arc::clone(target)).or_default();
            seen.before = seen.written.replace((epoch, claim));
            self.change_claims(|claims| claims.own = claims.own.max(claim));
        }
        // Whoever asked may have been cancelled.
        let _ = answer.send(authority);
    }

    /// Rules, publishes, and gives the orders that follow.
    fn rule(&mut self) -> Authority {
        let now = self.clock.now();
        let Some((epoch, facts)) = self.facts(now) else {
            let claim = self.next_claim(None);
            let authority = Authority::Unsure { why: "this member is not the primary".to_owned(), claim };
            self.publish(authority.clone());
            return authority;
        };
        let Ruling { authority, refuse } = rule(&facts);
        if let Authority::Superseded { by } = &authority
            && self.superseded.as_ref().is_none_or(|(then, _)| *then != epoch)
        {
            tracing::error!(
                mirror = &*self.mirror,
                by,
                "superseded: this member moves no traffic until its instance loses the role and regains it"
            );
            self.superseded = Some((epoch, by.clone()));
            self.change_claims(|claims| claims.superseded_in = Some(epoch));
        }
        if let Some(by) = refuse {
            self.order(epoch, by);
        }
        self.publish(authority.clone());
        authority
    }

    /// A peer that was promoted later says SUCCESS.
    fn order(&mut self, epoch: Epoch, by: String) {
        match self.policy {
            Superseded::Refuse => {
                self.ruled.orders.send_if_modified(|order| {
                    let news = order.as_ref().is_none_or(|order| order.epoch != epoch);
                    if news {
                        *order = Some(Supersede { epoch, by });
                    }
                    news
                });
            }
            Superseded::Warn => {
                if self.warned.replace(epoch) != Some(epoch) {
                    tracing::warn!(
                        mirror = &*self.mirror,
                        by,
                        "two members say SUCCESS; this one was promoted earlier"
                    );
                }
            }
        }
    }

    fn publish(&self, authority: Authority) {
        self.ruled.authority.send_if_modified(|known| {
            let changed = *known != authority;
            *known = authority;
            changed
        });
    }

    /// What is known at `now`; `None` while this member does not serve.
    fn facts(&self, now: Timestamp) -> Option<(Epoch, Facts)> {
        let snapshot = self.snapshot.borrow();
        let Verdict::Serve { epoch, .. } = snapshot.verdict_at(now) else { return None };
        let tracker = snapshot.tracker();
        let here = self.superseded.as_ref().filter(|(then, _)| *then == epoch).map(|(_, by)| by.clone());
        let before = (self.past.claims.superseded_in == Some(epoch))
            .then(|| "another member, as this one remembers".to_owned());
        let record = |seen: &Seen| {
            let written = seen.written.filter(|(then, _)| *then == epoch).map(|(_, claim)| claim);
            seen.sighting.record.clone().map(|record| RecordFacts { record, written })
        };
        let facts = Facts {
            origin: tracker.origin()?,
            promoted_ago: tracker.promotion().map(|promotion| promotion.ago(now)),
            superseded: here.or(before),
            taken: self.targets.values().find_map(|seen| seen.sighting.taken.clone()),
            memory: self.past.memory,
            known_before: self.past.claims.own.max(self.past.claims.seen),
            known_at_promotion: self.known_then,
            claim: self.next_claim(Some(epoch)),
            records: self.targets.values().filter_map(record).collect(),
            peers: self.known.iter().map(|peer| peer.facts(now)).collect(),
        };
        Some((epoch, facts))
    }

    /// One claim an epoch, above every claim of others that is known; without an epoch, that of the next one.
    fn next_claim(&self, epoch: Option<Epoch>) -> u64 {
        let claims = *self.ruled.claims.borrow();
        let others = self.targets.values().filter_map(|seen| match &seen.sighting.record {
            Some(Record { owner: Owner::Other(_), claim }) => Some(*claim),
            Some(Record { owner: Owner::Me, .. }) | None => None,
        });
        let others = others.max().unwrap_or(0);
        match self.claim {
            Some((then, claim)) if Some(then) == epoch && claim > others => claim,
            Some(_) | None => claims.own.max(claims.seen).max(others).saturating_add(1),
        }
    }

    fn change_claims(&self, change: impl FnOnce(&mut Claims)) {
        self.ruled.claims.send_if_modified(|claims| {
            let before = *claims;
            change(claims);
            *claims != before
        });
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
