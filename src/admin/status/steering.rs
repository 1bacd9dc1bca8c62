//! The part of the status document that is about steering. PURE.

use serde::{Deserialize, Serialize};

use super::precise;
use crate::admin::SteeringView;
use crate::clock::Timestamp;
use crate::steer::report::{PromotionTimeline, Report};
use crate::steer::{Authority, CallError};

/// Whether a member may take traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuthorityStatus {
    /// `clear`, `unsure` or `superseded`.
    pub ruling: String,
    /// Why; null if it is clear.
    pub reason: Option<String>,
    /// The term that its writes carry; null if it is not clear.
    #[serde(default)]
    pub term: Option<u64>,
    /// The same under an older name.
    pub claim: Option<u64>,
}

/// One steering target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SteeringStatus {
    /// The kind of target and its object.
    pub target: String,
    /// Its state in one word: see [`State::word`](crate::steer::report::State::word).
    pub state: String,
    /// More about the state; null if there is nothing to say.
    pub reason: Option<String>,
    /// Since when it is in this state.
    pub since: String,
    /// When it was last seen in its desired state; null for never.
    pub last_success: Option<String>,
    /// Failures in a row.
    pub attempts: u64,
    /// The last error; null for none.
    pub last_error: Option<ErrorStatus>,
    /// The steps of the last promotion and their times; null before the first one that this process saw.
    pub ladder: Option<LadderStatus>,
    /// Calls by action and result.
    pub calls: Vec<CallStatus>,
    /// How many external changes of the object were reverted.
    pub drift_repaired: u64,
    /// Writes left before the loop reports a contest and stops writing.
    pub writes_left: u64,
}

/// An error of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorStatus {
    /// When it occurred.
    pub at: String,
    /// The API action.
    pub action: String,
    /// Its class, which decides what follows: `retry`, `throttled`, `observe` or `stop`.
    pub class: String,
    /// The service's error code.
    pub code: Option<String>,
    /// Its message, sanitised.
    pub message: String,
}

/// The steps of a promotion, from the instance's change of role until clients follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LadderStatus {
    /// Which promotion.
    pub epoch: u64,
    /// When the question was asked whose answer was *primary*.
    pub role_changed: Option<String>,
    /// When the page flipped.
    pub page_flipped: Option<String>,
    /// When the API accepted the first step.
    pub accepted: Option<String>,
    /// When the object was first seen in its desired state.
    pub fulfilled: Option<String>,
}

/// How often a call had a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallStatus {
    /// The API action; `observe` for a successful read, which may take several calls.
    pub action: String,
    /// `ok`, or the class of the error.
    pub result: String,
    /// How often.
    pub count: u64,
}

pub(super) fn authority(authority: &Authority) -> AuthorityStatus {
    let (reason, term) = match authority {
        Authority::Clear { term, .. } => (None, Some(*term)),
        Authority::Superseded { by: text } | Authority::Unsure { why: text, .. } => {
            (Some(text.clone()), None)
        }
    };
    AuthorityStatus { ruling: authority.word().to_owned(), reason, term, claim: term }
}

pub(super) fn targets(view: &SteeringView) -> Vec<SteeringStatus> {
    view.targets.iter().map(|report| target(&report.borrow())).collect()
}

fn target(report: &Report) -> SteeringStatus {
    let call = |((action, result), count): (&(std::sync::Arc<str>, &str), &u64)| CallStatus {
        action: action.to_string(),
        result: (*result).to_owned(),
        count: *count,
    };
    SteeringStatus {
        target: report.target.to_string(),
        state: report.state.word().to_owned(),
        reason: report.state.reason().map(str::to_owned),
        since: precise(report.since),
        last_success: report.last_success.map(precise),
        attempts: report.attempts,
        last_error: report.last_error.as_ref().map(|(at, error)| self::error(*at, error)),
        ladder: report.ladder.as_ref().map(ladder),
        calls: report.calls.iter().map(call).collect(),
        drift_repaired: report.drift_repaired,
        writes_left: report.writes_left as u64,
    }
}

fn error(at: Timestamp, error: &CallError) -> ErrorStatus {
    ErrorStatus {
        at: precise(at),
        action: error.action.to_owned(),
        class: error.class.word().to_owned(),
        code: error.code.clone(),
        message: error.message.clone(),
    }
}

fn ladder(ladder: &PromotionTimeline) -> LadderStatus {
    LadderStatus {
        epoch: ladder.epoch.into(),
        role_changed: ladder.role_changed.map(precise),
        page_flipped: ladder.page_flipped.map(precise),
        accepted: ladder.accepted.map(precise),
        fulfilled: ladder.fulfilled.map(precise),
    }
}
