//! What the arbiter would rule if the instance became the primary now: for `mirrorvip plan` and `mirrorvip check`. It
//! feeds that promotion to the shipped [arbiter](super::arbiter). It asks the peers, and does no other I/O.

use std::sync::Arc;

use super::arbiter::{
    Arbiter, Authority, Input, Instance, LastRole, Output, PeerFacts, PeerReport, Settings,
};
use crate::clock::{Clock, Timestamp};
use crate::config::Mirror;
use crate::peer::document::Identity;
use crate::peer::identity::{Judgement, judge};
use crate::peer::key::Key;
use crate::peer::{Peers, Reply, Report};
use crate::state::PersistedState;
use crate::term::{Claim, Memory};

/// What is known of a mirror before a promotion.
#[derive(Debug)]
pub(crate) struct Foresight {
    settings: Settings,
    memory: Memory,
    reports: Vec<PeerReport>,
}

impl Foresight {
    /// For `mirror`, with the `state` that the daemon saved and the peers' present answers. `daemon` is the identifier in
    /// this member's state directory, if it has one.
    pub(crate) async fn new<T>(
        mirror: &Mirror<T>,
        state: Option<&PersistedState>,
        daemon: Option<&str>,
        clock: &Clock,
    ) -> Self {
        let identity = Identity {
            mirror: mirror.name.clone(),
            member: mirror.member_name(),
            daemon: daemon.unwrap_or_default().to_owned(),
            ..Identity::default()
        };
        let key = match mirror.peer_key_file.as_deref().map(Key::load) {
            None => None,
            Some(Ok(key)) => Some(Arc::new(key)),
            // No answer can be verified, so none counts; `check` reports what is wrong with the file.
            Some(Err(error)) => {
                let why = format!("peer_key_file {error}");
                let reports = vec![PeerReport::Silent(why); mirror.peers.len()];
                return Self::of(mirror, identity.member, state, reports);
            }
        };
        let mut peers = Peers::new(&mirror.name, &mirror.peers, key.as_ref(), clock.clone());
        peers.ask();
        let mut reports = vec![PeerReport::Silent("not asked".to_owned()); mirror.peers.len()];
        for _ in &mirror.peers {
            let (index, Report { reply, .. }) = peers.next().await;
            let peer = &mirror.peers[index];
            reports[index] = match reply {
                // Only the daemon itself knows whether that is its own process.
                Reply::Document(document) if document.daemon == identity.daemon => {
                    PeerReport::Conflict(format!(
                        "{} is this member itself, or its state directory is a copy of this one's: run `mirrorvip check` for \
                         what to do in each case",
                        peer.address
                    ))
                }
                Reply::Document(document) => {
                    match judge(&identity, &peer.address, peer.member.as_deref(), &document) {
                        Judgement::Peer => PeerReport::Facts(PeerFacts::of(&document)),
                        Judgement::Myself => PeerReport::Myself,
                        Judgement::Conflict(why) => PeerReport::Conflict(why),
                    }
                }
                // Its page stops saying SUCCESS before this member becomes the primary, unless the mirror has two primaries.
                Reply::Success | Reply::Failed => PeerReport::Page { serving: false },
                Reply::Unreachable(why) => PeerReport::Silent(why),
            };
        }
        Self::of(mirror, identity.member, state, reports)
    }

    fn of<T>(
        mirror: &Mirror<T>,
        member: String,
        state: Option<&PersistedState>,
        reports: Vec<PeerReport>,
    ) -> Self {
        let settings = Settings {
            member,
            peers: mirror.peers.iter().map(|peer| (peer.address.clone(), peer.member.clone())).collect(),
            qos_timeout: mirror.qos_timeout,
            refuses: false,
        };
        Self { settings, memory: state.map(|state| state.arbiter.clone()).unwrap_or_default(), reports }
    }

    /// The ruling on a promotion at `now`, when objects carry these ownership records.
    pub(crate) fn promotion(&self, records: &[(Arc<str>, Option<Claim>)], now: Timestamp) -> Authority {
        let mut arbiter = Arbiter::new(self.settings.clone(), self.memory.clone(), Instance::default());
        let other = Instance { role: LastRole::Other(Some(now)), other_at: Some(now), ..Instance::default() };
        let mut outputs = arbiter.handle(now, Input::Instance(other));
        outputs.extend(arbiter.handle(now, Input::Poll));
        for (peer, report) in self.reports.iter().enumerate() {
            outputs
                .extend(arbiter.handle(now, Input::Answer { peer, asked_at: now, report: report.clone() }));
        }
        for (target, mark) in records {
            let (target, mark) = (Arc::clone(target), mark.clone());
            outputs.extend(arbiter.handle(now, Input::Record { target, mark }));
        }
        // The backup's last answer, and then the primary's first.
        outputs.extend(arbiter.handle(now, Input::Instance(other)));
        let primary = Instance { role: LastRole::Primary(Some(now)), primary: true, epoch: 1, ..other };
        outputs.extend(arbiter.handle(now, Input::Instance(primary)));
        outputs.extend(arbiter.handle(now, Input::Stored(arbiter.memory().clone())));
        outputs.extend(arbiter.handle(now, Input::Consult { ticket: 0 }));
        let answer = outputs.into_iter().find_map(|output| match output {
            Output::Answer { authority, .. } => Some(authority),
            Output::Ask | Output::Store(_) | Output::Publish(_) => None,
        });
        answer.unwrap_or_else(|| Authority::Unsure {
            why: "the peers have to be asked again".to_owned(),
            term: 0,
        })
    }
}
