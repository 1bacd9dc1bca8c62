//! What the arbiter knows of the other members: their last answers, and which of these still count. PURE.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::peer::document::Document;
use crate::term::{Claim, Memory};

/// What came back from a peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerReport {
    /// What the member reports of itself.
    Facts(PeerFacts),
    /// A status page and nothing else: whether it says SUCCESS.
    Page {
        /// Whether it does.
        serving: bool,
    },
    /// No answer that can be used, and why.
    Silent(String),
    /// This very process answered.
    Myself,
    /// It is not certain which member answered: why, and how to correct it.
    Conflict(String),
}

/// The part of a member's report that the arbiter uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerFacts {
    /// Its name.
    pub member: String,
    /// What its instance is.
    pub role: PeerRole,
    /// Whether its page says SUCCESS.
    pub serving: bool,
    /// The term of its last promotion.
    pub term: u64,
    /// Whether that is certainly the promotion that the instance holds.
    pub proven: bool,
    /// The highest term that it knows.
    pub seen: Claim,
}

/// What a peer's instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerRole {
    /// Primary.
    Primary,
    /// Certainly something else.
    Other {
        /// How long before the peer's answer its instance was asked.
        age: Duration,
    },
    /// The peer does not know.
    Unknown,
}

/// The peers of one mirror, in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Members {
    me: String,
    qos_timeout: Duration,
    peers: Vec<Peer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Peer {
    address: String,
    /// Its name, from the configuration or its first answer.
    member: Option<String>,
    /// The last answer, and when the question was asked.
    answer: Option<(Timestamp, PeerReport)>,
    /// The last facts, however old.
    facts: Option<(Timestamp, PeerFacts)>,
    /// The highest term of this member that is known.
    heard: u64,
    /// Whether something is known of the member that its last answer may not cover.
    outdated: bool,
}

// === impl PeerFacts ===

impl PeerFacts {
    /// The part of a document that the arbiter uses.
    pub fn of(document: &Document) -> Self {
        let role = match document.is_other_since() {
            Some(age) => PeerRole::Other { age },
            None if document.is_primary() => PeerRole::Primary,
            None => PeerRole::Unknown,
        };
        Self {
            member: document.member.clone(),
            role,
            serving: document.serving,
            term: document.term,
            proven: document.proven,
            seen: document.seen.clone(),
        }
    }
}

// === impl Members ===

impl Members {
    pub(super) fn new(me: &str, qos_timeout: Duration, peers: &[(String, Option<String>)]) -> Self {
        let peer = |(address, member): &(String, Option<String>)| Peer {
            address: address.clone(),
            member: member.clone(),
            answer: None,
            facts: None,
            heard: 0,
            outdated: false,
        };
        Self { me: me.to_owned(), qos_timeout, peers: peers.iter().map(peer).collect() }
    }

    /// Whether there is no other member to ask.
    pub(super) fn none(&self) -> bool {
        self.peers.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn has(&self, address: &str) -> bool {
        self.peers.iter().any(|peer| peer.address == address)
    }

    /// Takes in the answer to a question of `asked_at`. `current`: nothing became known since the question was asked.
    /// Returns the terms that the answer reports, if `memory` believes them.
    pub(super) fn answered(
        &mut self,
        index: usize,
        asked_at: Timestamp,
        report: PeerReport,
        current: bool,
        memory: &Memory,
    ) -> Vec<Claim> {
        let Some(peer) = self.peers.get_mut(index) else { return Vec::new() };
        let report = match report {
            PeerReport::Facts(facts) => {
                match [facts.term, facts.seen.term].into_iter().find(|t| !memory.believes(*t)) {
                    Some(term) => PeerReport::Silent(format!(
                        "it reports term {term}, and the highest known is {}: not believed",
                        memory.term.max(memory.seen.term)
                    )),
                    None => PeerReport::Facts(facts),
                }
            }
            report => report,
        };
        peer.outdated &= !current;
        let marks = match &report {
            PeerReport::Facts(facts) => {
                peer.member.get_or_insert_with(|| facts.member.clone());
                peer.facts = Some((asked_at, facts.clone()));
                // The highest term that it knows may be its own, lost with its state: no news to it either.
                let own = if facts.seen.member == facts.member { facts.seen.term } else { 0 };
                peer.heard = peer.heard.max(facts.term).max(own);
                vec![Claim { term: facts.term, member: facts.member.clone() }, facts.seen.clone()]
            }
            PeerReport::Page { .. }
            | PeerReport::Silent(_)
            | PeerReport::Myself
            | PeerReport::Conflict(_) => Vec::new(),
        };
        peer.answer = Some((asked_at, report));
        marks
    }

    /// Learns of a term. Returns whether that is news, which the member's last answer may not cover.
    /// `highest`: it is above every term known before.
    pub(super) fn heard(&mut self, mark: &Claim, highest: bool) -> bool {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.member.as_ref() == Some(&mark.member)) {
            let news = mark.term > peer.heard;
            if news {
                (peer.heard, peer.outdated) = (mark.term, true);
            }
            return news;
        }
        // Any peer without a known name may be that member.
        let mut unnamed =
            self.peers.iter_mut().filter(|peer| peer.member.is_none() && !peer.is_myself()).peekable();
        let news = highest && mark.member != self.me && unnamed.peek().is_some();
        unnamed.filter(|_| news).for_each(|peer| peer.outdated = true);
        news
    }

    /// Whether `member` was certainly not the primary a moment ago. Nothing is certain about a member that is no peer.
    pub(super) fn excludes(&self, member: &str, now: Timestamp) -> bool {
        let mut named = self.peers.iter().filter(|peer| peer.member.as_deref() == Some(member)).peekable();
        named.peek().is_some() && named.all(|peer| peer.is_other(self.qos_timeout, now))
    }

    /// Whether every other member certainly was not the primary a moment ago.
    pub(super) fn all_others_are_not_primary(&self, now: Timestamp) -> bool {
        let mut others = self.peers.iter().filter(|peer| !peer.is_myself()).peekable();
        others.peek().is_some() && others.all(|peer| peer.is_other(self.qos_timeout, now))
    }

    /// The peer that serves with the highest term above `term`, and its address.
    pub(super) fn serving_above(&self, term: u64, now: Timestamp) -> Option<(Claim, String)> {
        let serving = self.peers.iter().filter_map(|peer| {
            let facts =
                peer.present(self.qos_timeout, now).filter(|facts| facts.serving && facts.term > term)?;
            Some((Claim { term: facts.term, member: facts.member.clone() }, peer.address.clone()))
        });
        serving.max()
    }

    /// Whether `member` reports that it serves, with a proven term below `term`: an earlier answer that said otherwise
    /// was not its own.
    pub(super) fn serves_below(&self, member: &str, term: u64, now: Timestamp) -> bool {
        let is =
            |facts: &PeerFacts| facts.member == member && facts.serving && facts.proven && facts.term < term;
        self.peers.iter().any(|peer| peer.present(self.qos_timeout, now).is_some_and(is))
    }

    /// A peer that has a status page only, which says SUCCESS without a term.
    pub(super) fn serving_without_term(&self, now: Timestamp) -> Option<&str> {
        let serves = |peer: &&Peer| {
            let fresh = peer.asked_within(self.qos_timeout, now);
            fresh && matches!(peer.answer, Some((_, PeerReport::Page { serving: true })))
        };
        self.peers.iter().find(serves).map(|peer| peer.address.as_str())
    }

    /// Every term that the peers reported, however long ago, with its holder.
    pub(super) fn marks(&self) -> impl Iterator<Item = Claim> {
        let of = |facts: &PeerFacts| {
            [Claim { term: facts.term, member: facts.member.clone() }, facts.seen.clone()]
        };
        self.peers.iter().filter_map(|peer| peer.facts.as_ref()).flat_map(move |(_, facts)| of(facts))
    }

    /// Why members cannot be distinguished.
    pub(super) fn conflict(&self) -> Option<String> {
        let said = self.peers.iter().find_map(|peer| match &peer.answer {
            Some((_, PeerReport::Conflict(why))) => Some(why.clone()),
            Some(_) | None => None,
        });
        said.or_else(|| {
            let (index, peer) = self.peers.iter().enumerate().find(|(index, peer)| {
                peer.member.is_some() && self.peers[..*index].iter().any(|other| other.member == peer.member)
            })?;
            let (member, first) =
                (peer.member.as_deref()?, self.peers[..index].iter().find(|p| p.member == peer.member)?);
            Some(format!(
                "{} and {} both answer as member {member}: give each member its own `member` in [[mirror]]",
                first.address, peer.address
            ))
        })
    }

    /// The addresses of the peers without a definite answer.
    pub(super) fn silent(&self, now: Timestamp) -> String {
        let silent: Vec<&str> = self
            .peers
            .iter()
            .filter(|peer| !peer.is_myself() && !peer.is_other(self.qos_timeout, now))
            .map(|peer| peer.address.as_str())
            .collect();
        silent.join(", ")
    }

    /// Whether that is this member's own name.
    pub(super) fn is_me(&self, member: &str) -> bool {
        self.me == member
    }
}

// === impl Peer ===

impl Peer {
    fn asked_within(&self, span: Duration, now: Timestamp) -> bool {
        self.answer.as_ref().is_some_and(|(at, _)| at.age_at(now) <= span)
    }

    fn is_myself(&self) -> bool {
        matches!(self.answer, Some((_, PeerReport::Myself)))
    }

    /// Its facts, while they still count.
    fn present(&self, qos_timeout: Duration, now: Timestamp) -> Option<&PeerFacts> {
        let (at, facts) = self.facts.as_ref()?;
        (at.age_at(now) < qos_timeout).then_some(facts)
    }

    /// Whether its instance certainly was not the primary less than a QoS timeout ago.
    fn is_other(&self, qos_timeout: Duration, now: Timestamp) -> bool {
        match &self.facts {
            Some((at, PeerFacts { role: PeerRole::Other { age }, .. })) => {
                !self.outdated && at.age_at(now).saturating_add(*age) < qos_timeout
            }
            Some(_) | None => false,
        }
    }
}
