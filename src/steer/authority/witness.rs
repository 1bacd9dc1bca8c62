//! What this member saw of one peer's promotions, in order with its own. PURE.
//!
//! Clocks can be wrong; what was seen before what cannot. A virtual machine that was paused resumes with clocks
//! that may not know it, and then both sides' spans lie about who was promoted later. What it saw of the other
//! before the pause does not.

/// The order of a peer's promotion and this member's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The peer was promoted before this member.
    Earlier,
    /// The peer was promoted after this member.
    Later,
}

/// What was seen of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Witness {
    /// The promotion with which it served when it was last seen.
    latest: Option<u64>,
    /// The same, when this member was promoted.
    before: Option<u64>,
    /// Whether it was certainly not primary at some time since this member's epoch began.
    idle_since: bool,
}

impl Witness {
    /// This member's epoch begins. `promoted` is whether its promotion was seen, and so is not older than what
    /// was seen of the peer. Returns what that proves of the peer's serving as it was seen last.
    pub(crate) fn epoch_began(&mut self, promoted: bool) -> Option<Order> {
        self.before = self.latest.filter(|_| promoted);
        self.idle_since = false;
        self.before.map(|_| Order::Earlier)
    }

    /// The peer certainly is not primary.
    pub(crate) fn saw_idle(&mut self) {
        self.idle_since = true;
        self.latest = None;
    }

    /// The peer serves, with the promotion that it calls `promotion`. Returns what that proves.
    pub(crate) fn saw_serving(&mut self, promotion: Option<u64>) -> Option<Order> {
        self.latest = promotion;
        if self.idle_since {
            Some(Order::Later)
        } else if promotion.is_some() && promotion == self.before {
            Some(Order::Earlier)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_was_idle_since_and_serves_was_promoted_later() {
        let mut witness = Witness::default();
        witness.saw_serving(Some(5));
        assert_eq!(witness.epoch_began(true), Some(Order::Earlier));
        assert_eq!(witness.saw_serving(Some(5)), Some(Order::Earlier));
        witness.saw_idle();
        assert_eq!(witness.saw_serving(Some(5)), Some(Order::Later), "whatever it calls its promotion");
        witness.epoch_began(true);
        assert_eq!(witness.saw_serving(Some(5)), Some(Order::Earlier), "this member was promoted since");
        assert_eq!(witness.saw_serving(Some(6)), None, "another promotion: nobody saw which came first");
    }

    #[test]
    fn what_was_idle_before_proves_nothing_and_nor_does_an_unseen_promotion() {
        let mut witness = Witness::default();
        witness.saw_idle();
        assert_eq!(witness.epoch_began(true), None);
        assert_eq!(witness.saw_serving(None), None);
        witness.saw_serving(Some(7));
        assert_eq!(witness.epoch_began(false), None);
        assert_eq!(witness.saw_serving(Some(7)), None);
    }
}
