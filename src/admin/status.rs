//! The document behind `GET /status`: what the daemon saw, what it rules and why. PURE: a [`View`], a
//! moment, a document. The field comments here are its schema; fields are added, not renamed.

use serde::{Deserialize, Serialize};

use super::View;
use super::view::MirrorView;
use crate::clock::Timestamp;
use crate::health::{Checker, page_status};
use crate::observation::Observation;
use crate::role::{Origin, Verdict};
use crate::snapshot::{Counters, Snapshot, Transition};
use crate::term::{Claim, Taken};

mod members;
mod steering;

pub use members::MemberStatus;
pub use steering::{AuthorityStatus, CallStatus, ErrorStatus, LadderStatus, SteeringStatus};

/// The whole document. Times are RFC 3339 in UTC, spans are seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Which program answers.
    pub build: Build,
    /// Its process id.
    pub pid: u32,
    /// When it was started.
    pub started_at: String,
    /// When this document was made.
    pub now: String,
    /// Where it answers health checks.
    pub health: HealthStatus,
    /// Every mirror, in the order of the configuration.
    pub mirrors: Vec<MirrorStatus>,
}

/// Which program answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// The version of the package.
    pub version: String,
    /// The commit it was built from, if the builder said so in `MIRRORVIP_COMMIT`.
    pub commit: Option<String>,
}

/// The health listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthStatus {
    /// The addresses that it is bound to.
    pub listen: Vec<String>,
    /// The address of the agent check.
    pub agent_check: Option<String>,
}

/// One mirror.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// Its name.
    pub name: String,
    /// The path prefixes of its page.
    pub paths: Vec<String>,
    /// Whether the page says SUCCESS at this moment.
    pub serving: bool,
    /// The status code that the page answers at this moment: 200, 500 or 503.
    pub page: u16,
    /// The state in one word: `primary`, another role, `starting`, `rising`, `no-evidence`, `unanswerable`,
    /// `expired`, `superseded` or `stopping`.
    pub state: String,
    /// Why the page refuses; null while it serves.
    pub reason: Option<String>,
    /// The definite role of the last answer, if it may still be believed.
    pub role: Option<String>,
    /// Number of the last promotion seen; 0 before the first.
    pub epoch: u64,
    /// How the last period of serving began: `promoted`, `resumed` or `found`.
    pub origin: Option<String>,
    /// Until when the verdict is valid without a new answer; null when no answer bears it.
    pub until: Option<String>,
    /// How long that is.
    pub remaining_seconds: Option<f64>,
    /// The newest answer; null before the first.
    pub evidence: Option<EvidenceStatus>,
    /// The probe loop since its start.
    pub probes: ProbeStatus,
    /// Whether this member may take traffic; null where nothing is steered and no peer is configured.
    #[serde(default)]
    pub authority: Option<AuthorityStatus>,
    /// The term of this member's last promotion; 0 before the first.
    #[serde(default)]
    pub term: u64,
    /// The highest term that this member knows, and whose.
    #[serde(default)]
    pub seen: Claim,
    /// The operator's decision that is in force; null for none.
    #[serde(default)]
    pub taken: Option<Taken>,
    /// Every member of the mirror as this one sees it: this one first, then the peers in the order of the configuration.
    #[serde(default)]
    pub members: Vec<MemberStatus>,
    /// Every steering target, in the order of the configuration.
    #[serde(default)]
    pub steering: Vec<SteeringStatus>,
    /// The last hundred changes of state, oldest first.
    pub transitions: Vec<TransitionStatus>,
    /// When anybody asked for the verdict last; null for never.
    pub last_checked_at: Option<String>,
    /// Who checks, the most recent first.
    pub checkers: Vec<CheckerStatus>,
}

/// The newest answer of the probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceStatus {
    /// When it was asked for.
    pub asked_at: String,
    /// How old it is, counted from there.
    pub age_seconds: f64,
    /// The role, or the kind of no evidence, in one word.
    pub outcome: String,
    /// Why it is no evidence; null when it is.
    pub reason: Option<String>,
    /// What was read, sanitised.
    pub text: String,
}

/// Counts of the probe loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeStatus {
    /// Answers with a role.
    pub definite: u64,
    /// Answers that did not.
    pub no_evidence: u64,
    /// Questions not asked because an earlier child could not be killed.
    pub unkillable: u64,
    /// Questions asked because of a wake-up.
    pub woken: u64,
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionStatus {
    /// When it was ruled.
    pub at: String,
    /// The state before.
    pub from: String,
    /// The state after.
    pub to: String,
    /// The epoch after.
    pub epoch: u64,
    /// How serving began; null when the state after does not serve.
    pub origin: Option<String>,
    /// Why.
    pub reason: String,
    /// How old the evidence was; null when there was none.
    pub evidence_age_seconds: Option<f64>,
}

/// One client that asks for this mirror's page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckerStatus {
    /// Its address.
    pub address: String,
    /// How often it asked since it was first seen.
    pub checks: u64,
    /// When it asked last.
    pub last_at: String,
    /// What it was answered then.
    pub last_status: u16,
}

/// The document for `view` at `now`.
pub fn status(view: &View, now: Timestamp) -> Status {
    let checks = view.checkers.snapshot();
    Status {
        build: view.build.clone(),
        pid: view.pid,
        started_at: precise(view.started_at),
        now: precise(now),
        health: HealthStatus {
            listen: view.health.iter().map(ToString::to_string).collect(),
            agent_check: view.agent_check.map(|address| address.to_string()),
        },
        mirrors: view.mirrors.iter().map(|mirror| mirror_status(view, mirror, &checks, now)).collect(),
    }
}

fn mirror_status(view: &View, mirror: &MirrorView, checks: &[Checker], now: Timestamp) -> MirrorStatus {
    let snapshot = mirror.snapshot.borrow();
    let verdict = snapshot.verdict_at(now);
    let lease = snapshot.tracker().running_lease().filter(|lease| lease.covers(now));
    let mut checkers: Vec<&Checker> = checks.iter().filter(|check| *check.mirror == *mirror.name).collect();
    checkers.sort_by_key(|check| check.last.age_at(now));
    let memory = mirror.members.borrow().memory.clone();
    MirrorStatus {
        name: mirror.name.to_string(),
        paths: mirror.paths.clone(),
        serving: verdict.serves(now),
        page: page_status(&verdict),
        state: verdict.label().to_owned(),
        reason: match &verdict {
            Verdict::Serve { .. } => None,
            Verdict::Refuse(reason) => Some(reason.to_string()),
        },
        role: snapshot.role_at(now).ok().map(|role| role.word().to_owned()),
        epoch: snapshot.tracker().epoch().into(),
        origin: snapshot.tracker().origin().map(origin),
        until: lease.map(|lease| precise(lease.ends_at())),
        remaining_seconds: lease.map(|lease| lease.remaining(now).as_secs_f64()),
        evidence: snapshot.newest.as_deref().map(|observation| evidence(observation, now)),
        probes: probes(&snapshot.counters),
        authority: mirror.steering.as_ref().map(|steering| steering::authority(&steering.authority.borrow())),
        term: memory.term,
        seen: memory.seen,
        taken: memory.taken,
        members: members::members(mirror, &snapshot, now),
        steering: mirror.steering.as_ref().map_or_else(Vec::new, steering::targets),
        transitions: transitions(&snapshot),
        last_checked_at: view.checkers.asked(&mirror.name).map(|asked| precise(asked.last)),
        checkers: checkers.into_iter().map(checker).collect(),
    }
}

fn evidence(observation: &Observation, now: Timestamp) -> EvidenceStatus {
    let (outcome, reason) = match &observation.outcome {
        Ok(role) => (role.word(), None),
        Err(cause) => (cause.word(), Some(cause.to_string())),
    };
    EvidenceStatus {
        asked_at: precise(observation.asked_at),
        age_seconds: observation.asked_at.age_at(now).as_secs_f64(),
        outcome: outcome.to_owned(),
        reason,
        text: observation.evidence.clone(),
    }
}

fn probes(counters: &Counters) -> ProbeStatus {
    let Counters { definite, no_evidence, unkillable, woken, probing: _ } = *counters;
    ProbeStatus { definite, no_evidence, unkillable, woken }
}

fn transitions(snapshot: &Snapshot) -> Vec<TransitionStatus> {
    let status = |transition: &Transition| TransitionStatus {
        at: precise(transition.at),
        from: transition.from.to_owned(),
        to: transition.to.to_owned(),
        epoch: transition.epoch.into(),
        origin: transition.origin.map(origin),
        reason: transition.reason.clone(),
        evidence_age_seconds: transition.evidence_age.map(|age| age.as_secs_f64()),
    };
    snapshot.transitions.iter().map(status).collect()
}

fn checker(checker: &Checker) -> CheckerStatus {
    CheckerStatus {
        address: checker.address.to_string(),
        checks: checker.count,
        last_at: precise(checker.last),
        last_status: checker.last_status,
    }
}

fn origin(origin: Origin) -> String {
    origin.word().to_owned()
}

/// Microseconds: who compares two hosts' documents wants more than a person does.
pub(super) fn precise(at: Timestamp) -> String {
    format!("{:.6}", at.to_utc())
}
