//! The document of `GET /status`: evidence, verdicts and reasons, made from a [`View`] and a moment. PURE. The field
//! comments are its schema; fields are added, not renamed.

use serde::{Deserialize, Serialize};

use super::View;
use super::view::{Build, ConfigurationView, MirrorView};
use crate::clock::Timestamp;
use crate::health::{Checker, page_status};
use crate::observation::Observation;
use crate::role::{Origin, Verdict};
use crate::snapshot::{Counters, PastTransition, Snapshot, Transition};
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
    /// The configuration in force; null if its source is unknown.
    #[serde(default)]
    pub configuration: Option<ConfigurationStatus>,
    /// Where it answers health checks.
    pub health: HealthStatus,
    /// Every mirror, in the order of the configuration.
    pub mirrors: Vec<MirrorStatus>,
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigurationStatus {
    /// The file, or the name of the environment variable.
    pub source: String,
    /// When it was applied.
    pub loaded_at: String,
    /// The last reload; null before the first.
    pub last_reload: Option<ReloadStatus>,
}

/// One reload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReloadStatus {
    /// When it ended.
    pub at: String,
    /// Why the previous configuration stays in force; null if the new one is in force.
    pub error: Option<String>,
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
    /// The definite role of the last answer, while that answer is valid.
    pub role: Option<String>,
    /// Number of the last promotion seen; 0 before the first.
    pub epoch: u64,
    /// How the last period of serving began: `promoted`, `resumed` or `found`.
    pub origin: Option<String>,
    /// Until when the verdict is valid without a new answer; null if it does not depend on an answer.
    pub until: Option<String>,
    /// How long that is.
    pub remaining_seconds: Option<f64>,
    /// The newest answer; null before the first.
    pub evidence: Option<EvidenceStatus>,
    /// The probe loop since its start.
    pub probes: ProbeStatus,
    /// Whether this member may take traffic; null if neither steering nor a peer is configured.
    #[serde(default)]
    pub authority: Option<AuthorityStatus>,
    /// The term of this member's last promotion; 0 before the first.
    #[serde(default)]
    pub term: u64,
    /// The highest term that this member knows, and its owner.
    #[serde(default)]
    pub seen: Claim,
    /// The operator's decision in force; null for none.
    #[serde(default)]
    pub taken: Option<Taken>,
    /// Every member of the mirror as this one sees it: this one first, then the peers in the order of the configuration.
    #[serde(default)]
    pub members: Vec<MemberStatus>,
    /// Every steering target, in the order of the configuration.
    #[serde(default)]
    pub steering: Vec<SteeringStatus>,
    /// The last hundred changes of state of this process, oldest first.
    pub transitions: Vec<TransitionStatus>,
    /// The last changes of state of the processes before it, oldest first.
    #[serde(default)]
    pub earlier_transitions: Vec<PastTransition>,
    /// When a client last asked for the verdict; null for never.
    pub last_checked_at: Option<String>,
    /// The clients that check, the most recent first.
    pub checkers: Vec<CheckerStatus>,
}

/// The newest answer of the probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceStatus {
    /// When the question was asked.
    pub asked_at: String,
    /// How old it is, counted from there.
    pub age_seconds: f64,
    /// The role, or the cause of missing evidence, in one word.
    pub outcome: String,
    /// Why it is no evidence; null if it is evidence.
    pub reason: Option<String>,
    /// What was read, sanitised.
    pub text: String,
}

/// Counts of the probe loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeStatus {
    /// Answers with a role.
    pub definite: u64,
    /// Answers without a role.
    pub no_evidence: u64,
    /// Questions not asked because an earlier child could not be killed.
    pub unkillable: u64,
    /// Questions triggered by a wake-up.
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
    /// How serving began; null if the state after does not serve.
    pub origin: Option<String>,
    /// Why.
    pub reason: String,
    /// How old the evidence was; null if there was none.
    pub evidence_age_seconds: Option<f64>,
}

/// A client that asks for this mirror's page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckerStatus {
    /// Its address.
    pub address: String,
    /// How often it has asked since it was first seen.
    pub checks: u64,
    /// When it last asked.
    pub last_at: String,
    /// The status code of that answer.
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
        configuration: view.configuration.as_ref().map(configuration),
        health: HealthStatus {
            listen: view.health.iter().map(ToString::to_string).collect(),
            agent_check: view.agent_check.map(|address| address.to_string()),
        },
        mirrors: view.mirrors.iter().map(|mirror| mirror_status(view, mirror, &checks, now)).collect(),
    }
}

fn configuration(view: &ConfigurationView) -> ConfigurationStatus {
    let reload =
        |(at, error): &(Timestamp, Option<String>)| ReloadStatus { at: precise(*at), error: error.clone() };
    ConfigurationStatus {
        source: view.source.clone(),
        loaded_at: precise(view.loaded_at),
        last_reload: view.last_reload.as_ref().map(reload),
    }
}

fn mirror_status(view: &View, mirror: &MirrorView, checks: &[Checker], now: Timestamp) -> MirrorStatus {
    let snapshot = mirror.snapshot.borrow();
    let verdict = snapshot.verdict_at(now);
    let lease = snapshot.tracker().running_lease().filter(|lease| lease.covers(now));
    let mut checkers: Vec<&Checker> = checks.iter().filter(|check| *check.mirror == *mirror.name).collect();
    checkers.sort_by_key(|check| check.last.age_at(now));
    let memory = mirror.members.borrow().memory.clone();
    let Counters { definite, no_evidence, unkillable, woken, .. } = snapshot.counters;
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
        probes: ProbeStatus { definite, no_evidence, unkillable, woken },
        authority: mirror.steering.as_ref().map(|steering| steering::authority(&steering.authority.borrow())),
        term: memory.term,
        seen: memory.seen,
        taken: memory.taken,
        members: members::members(mirror, &snapshot, now),
        steering: mirror.steering.as_ref().map_or_else(Vec::new, steering::targets),
        transitions: transitions(&snapshot),
        earlier_transitions: snapshot.earlier.to_vec(),
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

/// With microseconds, for comparing the documents of two hosts.
pub(super) fn precise(at: Timestamp) -> String {
    format!("{:.6}", at.to_utc())
}
