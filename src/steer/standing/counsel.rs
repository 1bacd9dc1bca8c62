//! How the loops speak with the standing: they tell what they saw, and ask before they move traffic.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::super::authority::{Authority, Record};
use super::FRESH;
use crate::peer::TIMEOUT;
use crate::role::Epoch;

/// How the loops speak with the task.
#[derive(Clone, Debug)]
pub(crate) struct Counsel {
    messages: mpsc::Sender<Message>,
    authority: watch::Receiver<Authority>,
}

/// What a loop saw of its object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// Whose name it carries.
    pub(crate) record: Option<Record>,
    /// Who took it after this member had made it its own in this epoch.
    pub(crate) taken: Option<String>,
    /// Whether this member was no primary when it looked: what it saw was there before a promotion that follows.
    pub(crate) standby: bool,
    /// Whether all is as the primary that looked wishes it.
    pub(crate) fulfilled: bool,
}

#[derive(Debug)]
pub(in crate::steer) enum Message {
    Saw { target: Arc<str>, sighting: Sighting },
    Consult { answer: oneshot::Sender<Authority> },
    Wrote { target: Arc<str>, epoch: Epoch, claim: u64 },
    Gone { target: Arc<str> },
}

// === impl Counsel ===

impl Counsel {
    pub(in crate::steer) fn new(
        messages: mpsc::Sender<Message>,
        authority: watch::Receiver<Authority>,
    ) -> Self {
        Self { messages, authority }
    }

    /// The ruling as it was published last: to know when to look, never to act on.
    pub(in crate::steer) fn authority(&self) -> watch::Receiver<Authority> {
        self.authority.clone()
    }

    /// Tells what a loop saw.
    pub(in crate::steer) async fn saw(&self, target: &Arc<str>, sighting: Sighting) {
        // Nobody listens: the daemon is stopping.
        let _ = self.messages.send(Message::Saw { target: Arc::clone(target), sighting }).await;
    }

    /// The ruling on fresh facts, for a write that follows at once.
    pub(in crate::steer) async fn consult(&self) -> Authority {
        let (answer, ruling) = oneshot::channel();
        let consult = async {
            let _ = self.messages.send(Message::Consult { answer }).await;
            ruling.await.ok()
        };
        // A round of questions may be about to end when another has to be waited for.
        let ruling = timeout(2 * TIMEOUT + FRESH, consult).await.ok().flatten();
        let why = "nobody rules; mirrorvip is stopping";
        ruling.unwrap_or_else(|| Authority::Unsure { why: why.to_owned(), claim: 0 })
    }

    /// Tells that `target` carries `claim` since a write of `epoch`, or may carry it: nobody knows what became
    /// of the write. Not for a write that was refused.
    pub(in crate::steer) async fn wrote(&self, target: &Arc<str>, epoch: Epoch, claim: u64) {
        let _ = self.messages.send(Message::Wrote { target: Arc::clone(target), epoch, claim }).await;
    }

    /// Tells that nobody looks at `target` any longer.
    pub(crate) async fn gone(&self, target: &str) {
        let _ = self.messages.send(Message::Gone { target: target.into() }).await;
    }
}
