//! From what was gathered to a ruling, and what follows from it: publishes it, remembers what must not be
//! forgotten, and orders a page to refuse.

use super::super::authority::{Authority, Facts, Owner, Record, RecordFacts, Ruling, rule};
use super::{Seen, Standing, Supersede};
use crate::clock::Timestamp;
use crate::config::steering::Superseded;
use crate::role::{Epoch, Origin, Verdict};
use crate::state::Claims;

impl Standing {
    /// Rules, publishes, and gives the orders that follow.
    pub(super) fn rule(&mut self) -> Authority {
        let now = self.clock.now();
        let Some((epoch, facts)) = self.facts(now) else {
            let claim = self.next_claim(None);
            let authority = Authority::Unsure { why: "this member is not the primary".to_owned(), claim };
            self.publish(authority.clone());
            return authority;
        };
        let Ruling { authority, from_memory, refuse } = rule(&facts);
        if let Authority::Superseded { by } = &authority
            && !from_memory
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
        let of_now =
            |claim: Option<(Epoch, u64)>| claim.filter(|(then, _)| *then == epoch).map(|(_, claim)| claim);
        let record = |seen: &Seen| {
            let (written, first) = (of_now(seen.written), of_now(seen.first));
            seen.record.clone().map(|record| RecordFacts { record, written, first })
        };
        let origin = match tracker.origin()? {
            Origin::Promoted if self.joined => Origin::Resumed,
            origin => origin,
        };
        let facts = Facts {
            origin,
            promoted_ago: tracker.promotion().map(|promotion| promotion.ago(now)),
            superseded: self.superseded.as_ref().filter(|(then, _)| *then == epoch).map(|(_, by)| by.clone()),
            remembers_superseded: self.ruled.claims.borrow().superseded_in == Some(epoch),
            taken: self.targets.values().find_map(|seen| seen.taken.clone()),
            memory: self.past.memory,
            known_before: self.past.claims.own.max(self.past.claims.seen),
            known_at_promotion: self.known_soon,
            claim: self.next_claim(Some(epoch)),
            records: self.targets.values().filter_map(record).collect(),
            peers: self.known.iter().map(|peer| peer.facts(now)).collect(),
        };
        Some((epoch, facts))
    }

    /// One claim an epoch, above every claim of others that is known; without an epoch, that of the next one.
    fn next_claim(&self, epoch: Option<Epoch>) -> u64 {
        let claims = *self.ruled.claims.borrow();
        let others = self.targets.values().filter_map(|seen| match &seen.record {
            Some(Record { owner: Owner::Other(_), claim }) => Some(*claim),
            Some(Record { owner: Owner::Me, .. }) | None => None,
        });
        let others = others.max().unwrap_or(0);
        match self.claim {
            Some((then, claim)) if Some(then) == epoch && claim > others => claim,
            Some(_) | None => claims.own.max(claims.seen).max(others).saturating_add(1),
        }
    }

    pub(super) fn change_claims(&self, change: impl FnOnce(&mut Claims)) {
        self.ruled.claims.send_if_modified(|claims| {
            let before = *claims;
            change(claims);
            *claims != before
        });
    }
}
