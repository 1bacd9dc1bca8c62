//! The part of the status document that shows every member of a mirror as this one sees it. PURE.

use serde::{Deserialize, Serialize};

use super::precise;
use crate::admin::MirrorView;
use crate::clock::Timestamp;
use crate::peer::document::Document;
use crate::snapshot::Snapshot;
use crate::steer::arbiter::MemberView;

/// One member of the mirror. What it does not report is null; the last report of an unreachable member stays, with its age.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Whether this is the member that answers.
    #[serde(rename = "self")]
    pub is_self: bool,
    /// Its name; null before its first answer.
    pub member: Option<String>,
    /// Its address in the configuration; null for the member that answers.
    pub address: Option<String>,
    /// The last role that its instance reported.
    pub role: Option<String>,
    /// Whether the instance reported it just before the answer, so that it is valid.
    pub definite: Option<bool>,
    /// Whether its page says SUCCESS.
    pub serving: Option<bool>,
    /// The term of its last promotion.
    pub term: Option<u64>,
    /// Whether its instance certainly still holds that promotion.
    pub proven: Option<bool>,
    /// Whether it may take traffic: `clear`, `unsure` or `superseded`; null if neither steering nor a peer is configured.
    pub authority: Option<String>,
    /// The version of its mirrorvip.
    pub version: Option<String>,
    /// How old this report is, counted from the question; null before its first answer.
    pub age_seconds: Option<f64>,
    /// Whether it answered the last question.
    pub reachable: bool,
    /// Since when it is reachable or unreachable; null before the first question, and for the member that answers.
    pub since: Option<String>,
    /// What is wrong with its last answer, or why there is none.
    pub problem: Option<String>,
    /// Whether its configuration agrees with this member's where all members must agree; null while unknown.
    pub agrees: Option<bool>,
}

/// Every member of `mirror`: this one first, then the peers in the order of the configuration.
pub(super) fn members(mirror: &MirrorView, snapshot: &Snapshot, now: Timestamp) -> Vec<MemberStatus> {
    let own = Document::of(&mirror.profile.borrow(), snapshot.tracker(), now);
    let authority = mirror.steering.as_ref().map(|steering| steering.authority.borrow().word().to_owned());
    let this = MemberStatus {
        is_self: true,
        address: None,
        age_seconds: Some(0.0),
        reachable: true,
        since: None,
        problem: None,
        agrees: None,
        authority,
        ..reported(Some(&own))
    };
    let known = mirror.members.borrow();
    let peers = known.members.iter().map(|member| peer(member, now));
    std::iter::once(this).chain(peers).collect()
}

fn peer(member: &MemberView, now: Timestamp) -> MemberStatus {
    // If only its page answers, an earlier document says nothing about its current state.
    let (asked_at, document) = match (&member.document, member.page) {
        (Some((asked_at, document)), None) => (Some(*asked_at), Some(document)),
        (None, None) => (None, None),
        (_, Some(_)) => (member.asked_at, None),
    };
    let status = reported(document);
    MemberStatus {
        is_self: false,
        address: Some(member.address.to_string()),
        serving: member.page.or(status.serving),
        age_seconds: asked_at.map(|at| at.age_at(now).as_secs_f64()),
        reachable: member.reachable,
        since: member.since.map(precise),
        problem: member.problem.clone(),
        agrees: member.agrees,
        ..status
    }
}

/// What a document says of its member.
fn reported(document: Option<&Document>) -> MemberStatus {
    MemberStatus {
        is_self: false,
        member: document.map(|document| document.member.clone()),
        address: None,
        role: document.and_then(|document| document.role.clone()),
        definite: document.map(|document| document.definite),
        serving: document.map(|document| document.serving),
        term: document.map(|document| document.term),
        proven: document.map(|document| document.proven),
        authority: document.map(|document| document.authority.clone()),
        version: document.map(|document| document.version.clone()),
        age_seconds: None,
        reachable: false,
        since: None,
        problem: None,
        agrees: None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::peer::document::tests::backup;

    fn at(seconds: u64) -> Timestamp {
        let wall = Duration::from_secs(1_795_228_800 + seconds);
        Timestamp::new(Duration::from_secs(seconds), wall)
    }

    fn view() -> MemberView {
        MemberView {
            address: "10.0.2.12".into(),
            document: Some((at(10), backup("db2"))),
            page: None,
            asked_at: Some(at(10)),
            reachable: true,
            since: Some(at(5)),
            problem: None,
            kind: None,
            agrees: Some(true),
        }
    }

    #[test]
    fn silent_member_keeps_last_report_and_its_age() {
        let silent =
            MemberView { reachable: false, since: Some(at(70)), problem: Some("no answer".into()), ..view() };
        let status = peer(&silent, at(100));
        assert_eq!((status.member.as_deref(), status.role.as_deref()), (Some("db2"), Some("backup")));
        assert_eq!((status.age_seconds, status.reachable), (Some(90.0), false));
        assert_eq!(status.since, Some(precise(at(70))));
        assert_eq!(status.problem.as_deref(), Some("no answer"));
    }

    #[test]
    fn page_alone_reports_serving_and_nothing_else() {
        let page = MemberView { page: Some(true), asked_at: Some(at(98)), ..view() };
        let status = peer(&page, at(100));
        assert_eq!((status.serving, status.age_seconds), (Some(true), Some(2.0)));
        assert_eq!((status.member, status.role, status.term), (None, None, None));
    }
}
