//! May this member take traffic? PURE: what it remembers, what records say, what peers answer; a ruling.
//!
//! The verdict says that the instance is primary. That is necessary and not enough: a member that was
//! isolated, paused or restarted may look primary to itself while another was promoted later, and must then
//! write nothing that moves traffic, to no object of the mirror, until its own instance is seen to lose the
//! role and regain it.
//!
//! # How it is known whose promotion is the later one
//!
//! Wall clocks of two members are never compared. In the order of their weight:
//!
//! - *Order seen* (`witness`): a peer that was certainly not primary after this member was promoted, and
//!   serves, was promoted later. A peer whose present promotion was seen before this member was promoted, was
//!   promoted earlier. This holds even where a virtual machine was paused and its clocks do not know.
//! - *Spans*: both sides tell how long ago they were promoted, at the same moment.
//! - *Claims*: a record that can carry a number carries one that rises with each promotion that writes it.
//!
//! # The table of cases
//!
//! The first row that applies rules.
//!
//! | # | peers | this member | records | ruling |
//! |---|---|---|---|---|
//! | 1 | any | was superseded in this epoch | any | superseded, still |
//! | 2 | one serves and was promoted later | any | any | superseded |
//! | 3 | not each is something else for certain | remembers that it was superseded in this epoch | any | superseded, still |
//! | 4 | one serves, nobody can tell the order | any | any | unsure |
//! | 5 | each certainly is not primary, is superseded, or was promoted earlier | any | any | clear |
//! | 6 | silent, in doubt, or none configured | any | another's claim is above the one that was written there in this epoch | superseded |
//! | 7 | the same | any | another's claim has risen in this epoch, or is the very one that was written (with peers) | unsure |
//! | 8 | the same | an object was taken after all was done in this epoch | any | unsure |
//! | 9 | silent or in doubt | promoted | another's claim, not known at that time | unsure |
//! | 10 | as in row 6 | promoted | any: they are of earlier promotions | clear |
//! | 11 | the same | resumed | another's claim | unsure |
//! | 12 | the same | found, role remembered as lost | another's claim, known before the restart | as one's own: it is earlier |
//! | 13 | the same | found, in any other way | another's claim | unsure |
//! | 14 | the same | resumed or found | its own, at least one | clear |
//! | 15 | the same | resumed or found | none carries a claim | unsure |
//!
//! In rows 1 to 3 the page refuses as well while a peer serves that is not known to be earlier.
//!
//! Rows 7 and 9 are about a promotion whose first look or write was held up, because the machine was paused or the
//! cloud did not answer: who wrote meanwhile may have been promoted later. What comes to light at once counts as
//! known, for the mirror takes longer from one promotion to the next. So a true primary is in these rows only
//! when the cloud could not be read for a while, another was promoted in that while, and it is silent since. Without
//! peers nobody could ever end that doubt, and the record counts as earlier.
//!
//! A state file that was lost counts as nothing remembered: rows 13 to 15. The order of two that serve: the
//! order seen; otherwise the spans, where both are known and differ by more than two seconds. In any other case
//! nobody can tell: not even when only one of them knows its span. A true primary whose state file was lost must
//! not give way to an old one that comes back, and a page that tells nothing but SUCCESS may have begun to say
//! so a moment ago.
//!
//! *Unsure* takes nothing, and holds nothing up where nothing has to be taken: a plan without a step that moves
//! traffic needs no authority. So a daemon that restarts on the true primary of a steered mirror is in row 5 or
//! 14, or has nothing to do; a human is needed where a peer cannot be reached, *and* nothing was remembered,
//! *and* somebody else's name is in the record.

use std::fmt;
use std::time::Duration;

use crate::role::Origin;

#[cfg(test)]
mod tests;
pub(crate) mod witness;

pub(crate) use witness::Order;

/// Two promotions that are closer than this cannot be told apart by their spans: an answer may take this long.
/// The mirror itself takes longer from one to the next.
pub(crate) const MARGIN: Duration = Duration::from_secs(2);

/// Whether this member may take traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// As far as anybody can tell, its promotion is the latest.
    Clear {
        /// The fencing number that its writes carry: higher than any that is known to be earlier.
        claim: u64,
    },
    /// Another member was promoted later. Final until the own instance loses the role and regains it.
    Superseded {
        /// By whom and how it is known.
        by: String,
    },
    /// Nobody can tell, so nothing is taken; asked again at every turn.
    Unsure {
        /// Why, and what would help.
        why: String,
        /// What the claim would be.
        claim: u64,
    },
}

/// Whose name a record carries, and the claim with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Whose.
    pub(crate) owner: Owner,
    /// The claim.
    pub(crate) claim: u64,
}

/// The owner that a record names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This member.
    Me,
    /// Another, by its name.
    Other(String),
}

/// A record, and what was written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordFacts {
    /// What it says.
    pub(crate) record: Record,
    /// The claim that this member wrote to it in this epoch, or may have written, or found there as its own.
    pub(crate) written: Option<u64>,
    /// The claim that it carried at the first look in this epoch, whosesoever; zero if it carried none.
    pub(crate) first: Option<u64>,
}

/// A peer, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerFacts {
    /// Its address.
    pub(crate) name: String,
    /// What it is.
    pub(crate) state: PeerState,
}

/// What a peer is, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerState {
    /// Its page says SUCCESS.
    Serving {
        /// How long ago it was promoted, if it tells.
        promoted_ago: Option<Duration>,
        /// Whether its promotion was seen to be earlier or later than this member's.
        order: Option<Order>,
    },
    /// It is certainly not the primary.
    NotServing,
    /// It knows that another was promoted later. Its instance may still say that it is primary.
    StoodDown,
    /// It does not serve for lack of evidence; it may be the primary.
    Indefinite,
    /// It does not answer, or was not asked yet.
    Unreachable,
}

/// What the process before this one left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Nothing.
    Nothing,
    /// The role was held when it was last seen.
    Held,
    /// The role was lost when it was last seen.
    Lost,
}

/// All that a ruling rests on. It is about a member that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// How the present period of serving began.
    pub(crate) origin: Origin,
    /// How long ago this member was promoted, if it is known.
    pub(crate) promoted_ago: Option<Duration>,
    /// By whom it was superseded in this epoch, as was seen.
    pub(crate) superseded: Option<String>,
    /// Whether it remembers that it was superseded in this epoch, and nobody saw what happened since.
    pub(crate) remembers_superseded: bool,
    /// Who took an object after all was done in this epoch.
    pub(crate) taken: Option<String>,
    /// What the process before left.
    pub(crate) memory: Memory,
    /// The highest claim that was known before this process: in records, or its own.
    pub(crate) known_before: u64,
    /// The highest claim that was known when this member was promoted, or a moment later.
    pub(crate) known_at_promotion: u64,
    /// The claim to write if the ruling is clear.
    pub(crate) claim: u64,
    /// The records that carry a claim.
    pub(crate) records: Vec<RecordFacts>,
    /// Every configured peer.
    pub(crate) peers: Vec<PeerFacts>,
}

/// What follows from the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ruling {
    /// Whether this member may take traffic.
    pub(crate) authority: Authority,
    /// Whether it is superseded by what it remembers alone, which peers may put right: row 3.
    pub(crate) from_memory: bool,
    /// Why its page may refuse: a peer serves, and is not known to be earlier.
    pub(crate) refuse: Option<String>,
}

/// What one piece of evidence says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Evidence {
    Clear,
    Unsure(String),
    Superseded(String),
}

/// Rules.
pub(crate) fn rule(facts: &Facts) -> Ruling {
    let serving: Vec<Evidence> = facts
        .peers
        .iter()
        .filter_map(|peer| match peer.state {
            PeerState::Serving { promoted_ago, order } => {
                Some(compare(facts, &peer.name, promoted_ago, order))
            }
            PeerState::NotServing | PeerState::StoodDown | PeerState::Indefinite | PeerState::Unreachable => {
                None
            }
        })
        .collect();
    let rival = serving.iter().any(|evidence| *evidence != Evidence::Clear);
    let later = serving.iter().find_map(|evidence| match evidence {
        Evidence::Superseded(by) => Some(by.clone()),
        Evidence::Clear | Evidence::Unsure(_) => None,
    });
    let seen = facts.superseded.clone().or(later);
    let from_memory = seen.is_none() && facts.remembers_superseded && !every_peer_is_something_else(facts);
    let evidence = match seen {
        Some(by) => Evidence::Superseded(by),
        None if from_memory => Evidence::Superseded("another member, as this one remembers".to_owned()),
        None => serving
            .into_iter()
            .find(|evidence| matches!(evidence, Evidence::Unsure(_)))
            .unwrap_or_else(|| without_rivals(facts)),
    };
    let refuse = match &evidence {
        Evidence::Superseded(by) if rival => Some(by.clone()),
        Evidence::Superseded(_) | Evidence::Clear | Evidence::Unsure(_) => None,
    };
    let authority = match evidence {
        Evidence::Clear => Authority::Clear { claim: facts.claim },
        Evidence::Unsure(why) => Authority::Unsure { why, claim: facts.claim },
        Evidence::Superseded(by) => Authority::Superseded { by },
    };
    Ruling { authority, from_memory, refuse }
}

/// There are peers, and the instance of each says that it is not the primary.
fn every_peer_is_something_else(facts: &Facts) -> bool {
    !facts.peers.is_empty() && facts.peers.iter().all(|peer| peer.state == PeerState::NotServing)
}

/// This member and a peer both serve: rows 2 and 4, and what counts as earlier in row 5.
fn compare(facts: &Facts, peer: &str, theirs: Option<Duration>, order: Option<Order>) -> Evidence {
    let later = |how: &str| Evidence::Superseded(format!("{peer} serves and was promoted later: {how}"));
    let unsure = |how: &str| Evidence::Unsure(format!("{peer} serves, too, and {how}"));
    match (order, facts.promoted_ago, theirs) {
        (Some(Order::Later), _, _) => later("it was not primary after this member was promoted"),
        (Some(Order::Earlier), _, _) => Evidence::Clear,
        (None, Some(mine), Some(theirs)) if mine.abs_diff(theirs) <= MARGIN => {
            unsure("the two promotions cannot be told apart")
        }
        (None, Some(mine), Some(theirs)) if theirs < mine => {
            later(&format!("{:.0} s ago, this member {:.0} s ago", theirs.as_secs_f64(), mine.as_secs_f64()))
        }
        (None, Some(_), Some(_)) => Evidence::Clear,
        (None, Some(_), None) => unsure("does not tell when it was promoted"),
        (None, None, _) => unsure("nobody knows when this member was promoted"),
    }
}

/// Nobody who serves was promoted later: rows 5 to 15.
fn without_rivals(facts: &Facts) -> Evidence {
    let silent: Vec<&str> = facts
        .peers
        .iter()
        .filter(|peer| matches!(peer.state, PeerState::Indefinite | PeerState::Unreachable))
        .map(|peer| peer.name.as_str())
        .collect();
    if silent.is_empty() && !facts.peers.is_empty() {
        return Evidence::Clear;
    }
    let help = if facts.peers.is_empty() {
        "configure the other members as [[mirror.peer]], so that they can be asked".to_owned()
    } else {
        format!("{} cannot tell", silent.join(", "))
    };
    if let Some(evidence) = beside_what_was_written(facts, &help) {
        return evidence;
    }
    if let Some(by) = &facts.taken {
        return Evidence::Unsure(format!("{by} took over what this member had; {help}"));
    }
    match facts.origin {
        Origin::Promoted => news_since_promotion(facts, &help).unwrap_or(Evidence::Clear),
        Origin::Resumed | Origin::Found => {
            let judged: Vec<Evidence> =
                facts.records.iter().map(|record| judge(facts, &record.record, &help)).collect();
            let unsure = judged.iter().find(|evidence| matches!(evidence, Evidence::Unsure(_)));
            unsure
                .or(judged.first())
                .cloned()
                .unwrap_or_else(|| Evidence::Unsure(format!("this member's promotion was not seen; {help}")))
        }
    }
}

/// Rows 6 and 7: somebody wrote in this epoch, as far as the record tells.
fn beside_what_was_written(facts: &Facts, help: &str) -> Option<Evidence> {
    let judge = |RecordFacts { record, written, first }: &RecordFacts| {
        let Owner::Other(name) = &record.owner else { return None };
        let theirs = record.claim;
        match (written, first) {
            (Some(mine), _) if theirs > *mine => Some(Evidence::Superseded(format!(
                "{name} claims the record with number {theirs}, this member had written {mine}"
            ))),
            (Some(mine), _) if theirs == *mine && !facts.peers.is_empty() => Some(Evidence::Unsure(format!(
                "{name} claims the record with number {theirs}, as this member was about to; {help}"
            ))),
            (_, Some(first)) if theirs > *first => Some(Evidence::Unsure(format!(
                "{name} claimed the record with number {theirs} after this member was promoted; {help}"
            ))),
            (Some(_) | None, Some(_) | None) => None,
        }
    };
    let found: Vec<Evidence> = facts.records.iter().filter_map(judge).collect();
    let superseded = found.iter().find(|evidence| matches!(evidence, Evidence::Superseded(_)));
    superseded.or(found.first()).cloned()
}

/// Row 9: a claim came to light after this member was promoted, and there are peers who should know.
fn news_since_promotion(facts: &Facts, help: &str) -> Option<Evidence> {
    if facts.peers.is_empty() {
        return None;
    }
    facts.records.iter().find_map(|RecordFacts { record, .. }| match &record.owner {
        Owner::Other(name) if record.claim > facts.known_at_promotion => Some(Evidence::Unsure(format!(
            "{name} claims the record with number {}, unknown when this member was promoted; {help}",
            record.claim
        ))),
        Owner::Other(_) | Owner::Me => None,
    })
}

/// Rows 11 to 14, for one record.
fn judge(facts: &Facts, record: &Record, help: &str) -> Evidence {
    let Owner::Other(name) = &record.owner else { return Evidence::Clear };
    match (facts.origin, facts.memory) {
        (Origin::Found, Memory::Lost) if record.claim <= facts.known_before => Evidence::Clear,
        (
            Origin::Found | Origin::Resumed | Origin::Promoted,
            Memory::Held | Memory::Lost | Memory::Nothing,
        ) => Evidence::Unsure(format!(
            "{name} owns the record, and this member's promotion was not seen; {help}"
        )),
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear { claim } => write!(f, "clear, claim {claim}"),
            Self::Superseded { by } => write!(f, "superseded: {by}"),
            Self::Unsure { why, .. } => write!(f, "unsure whether another member was promoted later: {why}"),
        }
    }
}

impl Authority {
    /// The ruling in one lower-case word, as in status and metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Clear { .. } => "clear",
            Self::Superseded { .. } => "superseded",
            Self::Unsure { .. } => "unsure",
        }
    }
}
