//! Whether a peer is who the configuration says: another member of the same mirror. PURE.
//!
//! | the answer comes from | judged as |
//! |---|---|
//! | the same process | this member: the entry is left out |
//! | another process with the same state directory's identifier | a conflict: a copied state directory |
//! | a daemon with this member's name | a conflict: a copied configuration |
//! | a daemon for another mirror | a conflict: the address belongs to a stranger |
//! | another member than `member` says, or than answered there before | a conflict: the address was reused |
//! | any other daemon | the peer |
//!
//! While a conflict lasts, a name does not identify a promotion, so nothing is taken.

use super::document::{Document, Identity};

/// Which member gave an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Another member.
    Peer,
    /// This very process.
    Myself,
    /// It is not certain which member it is: what is wrong and how to correct it.
    Conflict(String),
}

/// Judges `document`, which came from `address`. `expected` is the member that the configuration names there, or that
/// answered there before.
pub(crate) fn judge(me: &Identity, address: &str, expected: Option<&str>, document: &Document) -> Judgement {
    let conflict = |text: String| Judgement::Conflict(text);
    if document.run == me.run {
        return Judgement::Myself;
    }
    if document.daemon == me.daemon {
        return conflict(format!(
            "{address} answers with this daemon's identifier: its state directory is a copy of this one's. Remove the file \
             daemon-id from the state directory of the copy and restart it"
        ));
    }
    if !document.mirror.eq_ignore_ascii_case(&me.mirror) {
        return conflict(format!(
            "{address} answers for the mirror {}, not for {}: correct `page` of that [[mirror.peer]]",
            document.mirror, me.mirror
        ));
    }
    if document.member == me.member {
        return conflict(format!(
            "{address} has this member's name, {}: give each member its own `member` in [[mirror]]",
            me.member
        ));
    }
    match expected {
        Some(expected) if expected != document.member => conflict(format!(
            "{address} answers as member {}, expected {expected}: if the address has a new owner, correct [[mirror.peer]] \
             and reload",
            document.member
        )),
        Some(_) | None => Judgement::Peer,
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::tests::backup;
    use super::*;

    #[test]
    fn each_way_of_not_being_the_peer_has_its_own_text() {
        let me = Identity {
            mirror: "PROD".to_owned(),
            member: "a".to_owned(),
            daemon: "daemon-a".to_owned(),
            run: "run-a".to_owned(),
            digest: "d".to_owned(),
        };
        let judged = |expected, document: &Document| match judge(&me, "10.0.2.12", expected, document) {
            Judgement::Peer => "peer".to_owned(),
            Judgement::Myself => "myself".to_owned(),
            Judgement::Conflict(text) => text,
        };
        let peer = backup("b");
        assert_eq!(judged(None, &peer), "peer");
        assert_eq!(judged(Some("b"), &peer), "peer");
        assert!(judged(Some("c"), &peer).contains("answers as member b, expected c"));
        assert_eq!(judged(None, &Document { run: "run-a".to_owned(), ..backup("a") }), "myself");
        assert!(
            judged(None, &Document { daemon: "daemon-a".to_owned(), ..peer.clone() }).contains("daemon-id")
        );
        assert!(
            judged(None, &Document { mirror: "TEST".to_owned(), ..peer.clone() }).contains("mirror TEST")
        );
        assert_eq!(judged(None, &Document { mirror: "prod".to_owned(), ..peer }), "peer");
        let namesake = Document { daemon: "daemon-x".to_owned(), run: "run-x".to_owned(), ..backup("a") };
        assert!(judged(None, &namesake).contains("this member's name"));
    }
}
