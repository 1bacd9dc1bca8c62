//! The interface to an arbiter's task: loops report what they read and consult it before they take traffic; the admin
//! listener passes on the operator's decision.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::{Authority, FRESH};
use crate::peer::TIMEOUT;
use crate::term::{Claim, Taken};

/// Sends messages to the arbiter of one mirror.
#[derive(Clone, Debug)]
pub struct ArbiterHandle {
    messages: mpsc::Sender<Message>,
    authority: watch::Receiver<Authority>,
}

/// Why an operator's decision was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// There is nothing to take, or nothing to override.
    #[error("{0}")]
    Refused(String),
    /// The arbiter does not answer.
    #[error("the arbiter does not answer; mirrorvip is stopping or was just reloaded")]
    Gone,
}

#[derive(Debug)]
pub(crate) enum Message {
    /// A loop read what its object carries.
    Read { target: Arc<str>, mark: Option<Claim> },
    /// A loop is about to take traffic.
    Consult { answer: oneshot::Sender<Authority> },
    /// Steering of this target has ended.
    Gone { target: Arc<str> },
    /// The operator decides; without `taken`, only asks what a decision would override.
    Take { taken: Option<Taken>, answer: oneshot::Sender<Result<String, String>> },
}

// === impl ArbiterHandle ===

impl ArbiterHandle {
    pub(crate) fn new(messages: mpsc::Sender<Message>, authority: watch::Receiver<Authority>) -> Self {
        Self { messages, authority }
    }

    /// The ruling that was published last: a reason to consult, never to act on.
    pub(in crate::steer) fn authority(&self) -> watch::Receiver<Authority> {
        self.authority.clone()
    }

    /// Reports what the object of `target` carries.
    pub(in crate::steer) async fn read(&self, target: &Arc<str>, mark: Option<Claim>) {
        // An arbiter that has ended means that the daemon is stopping.
        let _ = self.messages.send(Message::Read { target: Arc::clone(target), mark }).await;
    }

    /// The ruling on fresh answers, for a write that follows at once.
    pub(in crate::steer) async fn consult(&self) -> Authority {
        let (answer, ruling) = oneshot::channel();
        let consult = async {
            let _ = self.messages.send(Message::Consult { answer }).await;
            ruling.await.ok()
        };
        // The rest of one round of questions, and a whole second one.
        let ruling = timeout(2 * TIMEOUT + FRESH, consult).await.ok().flatten();
        let why = "the arbiter does not answer; mirrorvip is stopping";
        ruling.unwrap_or_else(|| Authority::Unsure { why: why.to_owned(), term: 0 })
    }

    /// Reports that steering of `target` has ended.
    pub(crate) async fn gone(&self, target: &str) {
        let _ = self.messages.send(Message::Gone { target: target.into() }).await;
    }

    /// What a decision of the operator would override now; with `taken`, carries it out. Returns what is overridden.
    pub async fn take(&self, taken: Option<Taken>) -> Result<String, TakeError> {
        let (answer, outcome) = oneshot::channel();
        let take = async {
            let _ = self.messages.send(Message::Take { taken, answer }).await;
            outcome.await.ok()
        };
        let outcome = timeout(TIMEOUT, take).await.ok().flatten().ok_or(TakeError::Gone)?;
        outcome.map_err(TakeError::Refused)
    }
}
