//! What one member reports to another: the JSON document at `/NAME/peer`. PURE; written and read here, so that both
//! sides agree. Reading is total.
//!
//! ```text
//! {"mirror":"PROD","member":"db1","daemon":"5f0c...","run":"91aa...","version":"0.1.0","digest":"3b1f...",
//!  "role":"primary","definite":true,"role_age_seconds":0.4,"serving":true,"term":7,"proven":true,
//!  "seen":{"term":7,"member":"db1"},"authority":"clear","promoted_seconds_ago":35.2}
//! ```
//!
//! Keys that a reader does not know are ignored. Numbers that cannot be true make the document unreadable.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key::Key;
use crate::clock::Timestamp;
use crate::observation::Role;
use crate::role::Tracker;
use crate::term::{Claim, Memory};

/// Names and identifiers are at most this long, in bytes.
const LONGEST_WORD: usize = 128;

/// Longer spans are nonsense: a thousand years, in seconds.
const LONGEST_SPAN: f64 = 3e10;

/// What a member reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The mirror's name.
    pub(crate) mirror: String,
    /// The member's name, as ownership records carry it.
    pub(crate) member: String,
    /// Identifies the state directory of the daemon: random, kept there.
    pub(crate) daemon: String,
    /// Identifies the process: random, made at its start.
    pub(crate) run: String,
    /// The program's version.
    pub(crate) version: String,
    /// Digest of what all members must agree on, see [`agreement`](crate::provider::agreement).
    pub(crate) digest: String,
    /// The instance's role, in one word; the last reported one if it is not known now; null before the first.
    pub(crate) role: Option<String>,
    /// Whether the instance reported the role recently enough to be valid.
    pub(crate) definite: bool,
    /// How long before this answer the instance was asked, in seconds.
    pub(crate) role_age_seconds: Option<f64>,
    /// Whether the status page says SUCCESS.
    pub(crate) serving: bool,
    /// The term of the member's last promotion.
    pub(crate) term: u64,
    /// Whether that is certainly the promotion that the instance holds.
    pub(crate) proven: bool,
    /// The highest term that the member knows, and whose.
    pub(crate) seen: Claim,
    /// Whether the member may take traffic: `clear`, `unsure` or `superseded`.
    pub(crate) authority: String,
    /// How long before this answer the promotion was seen, in seconds of boot time. Only shown, never used.
    pub(crate) promoted_seconds_ago: Option<f64>,
}

/// What a member reports besides what its snapshot shows.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(crate) identity: Identity,
    pub(crate) term: u64,
    pub(crate) proven: bool,
    pub(crate) seen: Claim,
    pub(crate) authority: &'static str,
    /// Signs the answers.
    pub(crate) key: Option<Arc<Key>>,
}

/// Which member reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The mirror's name.
    pub mirror: String,
    /// The member's name, as ownership records carry it.
    pub member: String,
    /// Identifies the state directory of the daemon.
    pub daemon: String,
    /// Identifies the process.
    pub run: String,
    /// Digest of what all members must agree on.
    pub digest: String,
}

// === impl Profile ===

impl Profile {
    /// What a member reports that remembers this much, before its arbiter has ruled.
    pub fn new(identity: Identity, memory: &Memory) -> Self {
        let Memory { term, seen, .. } = memory.clone();
        Self { identity, term, proven: false, seen, authority: "unsure", key: None }
    }

    /// Reports the arbiter's ruling to peers from here on.
    pub fn follow(&mut self, memory: &Memory, authority: &'static str) {
        (self.term, self.proven) = (memory.term, memory.proven);
        self.seen.clone_from(&memory.seen);
        self.authority = authority;
    }
}

// === impl Document ===

impl Document {
    /// The document of the member whose role machine is `tracker`, at `now`.
    pub fn of(profile: &Profile, tracker: &Tracker, now: Timestamp) -> Self {
        let Identity { mirror, member, daemon, run, digest } = profile.identity.clone();
        let standing = tracker.standing();
        let since = |at: Timestamp| at.boot_age_at(now).as_secs_f64();
        Self {
            mirror,
            member,
            daemon,
            run,
            digest,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: standing.map(|standing| standing.role.word().to_owned()),
            definite: standing.is_some_and(|standing| standing.until.covers(now)),
            role_age_seconds: standing.map(|standing| standing.until.asked_at().age_at(now).as_secs_f64()),
            serving: tracker.verdict().serves(now),
            term: profile.term,
            proven: profile.proven,
            seen: profile.seen.clone(),
            authority: profile.authority.to_owned(),
            promoted_seconds_ago: tracker.promoted_at().map(since),
        }
    }

    /// Reads a document; the error says what is wrong with it.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let document: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let Self { mirror, member, daemon, run, version, digest, authority, .. } = &document;
        let role = document.role.as_deref().unwrap_or("none");
        let words = [mirror, member, daemon, run, version, digest, authority].map(String::as_str);
        for word in words.into_iter().chain([role]) {
            if !is_word(word) {
                return Err("a name or identifier is empty, too long or not printable".to_owned());
            }
        }
        if !document.seen.member.is_empty() && !is_word(&document.seen.member) {
            return Err("the name of the member with the highest term is not printable".to_owned());
        }
        let spans = [document.role_age_seconds, document.promoted_seconds_ago];
        if spans.into_iter().flatten().any(|span| !(0.0..=LONGEST_SPAN).contains(&span)) {
            return Err("a span is negative or longer than a thousand years".to_owned());
        }
        Ok(document)
    }

    /// Whether the instance says that it is the primary, and that is still valid.
    pub(crate) fn is_primary(&self) -> bool {
        self.definite && self.role.as_deref() == Some(Role::Primary.word())
    }

    /// How old the instance's answer was if it certainly is not the primary.
    pub(crate) fn is_other_since(&self) -> Option<Duration> {
        let other = self.definite && self.role.as_deref() != Some(Role::Primary.word()) && !self.serving;
        self.role_age_seconds.filter(|_| other).map(Duration::from_secs_f64)
    }
}

/// Printable ASCII without blanks, and no longer than anything here is.
fn is_word(text: &str) -> bool {
    (1..=LONGEST_WORD).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the backup `member` reports that has seen nothing.
    pub(crate) fn backup(member: &str) -> Document {
        Document {
            mirror: "PROD".to_owned(),
            member: member.to_owned(),
            daemon: format!("daemon-{member}"),
            run: format!("run-{member}"),
            version: "1.2.3".to_owned(),
            digest: "d".to_owned(),
            role: Some("backup".to_owned()),
            definite: true,
            role_age_seconds: Some(0.5),
            serving: false,
            term: 0,
            proven: false,
            seen: Claim::default(),
            authority: "unsure".to_owned(),
            promoted_seconds_ago: None,
        }
    }

    fn changed(key: &str, value: serde_json::Value) -> Result<Document, String> {
        let mut document = serde_json::to_value(backup("b")).unwrap();
        document[key] = value;
        Document::parse(document.to_string().as_bytes())
    }

    #[test]
    fn what_is_written_reads_back_and_unknown_keys_are_ignored() {
        assert_eq!(Document::parse(serde_json::to_string(&backup("b")).unwrap().as_bytes()), Ok(backup("b")));
        assert_eq!(changed("colour", "blue".into()), Ok(backup("b")));
    }

    #[test]
    fn what_cannot_be_true_is_refused() {
        for (key, value) in [
            ("member", serde_json::json!("")),
            ("member", "two words".into()),
            ("member", "\u{1b}[2J".into()),
            ("role", "x".repeat(129).into()),
            ("term", (-1).into()),
            ("role_age_seconds", (-0.5).into()),
            ("promoted_seconds_ago", 1e300.into()),
            ("seen", serde_json::json!({"term": 3, "member": "\n"})),
        ] {
            changed(key, value.clone()).expect_err(&format!("{key} = {value}"));
        }
    }

    #[test]
    fn only_a_definite_role_says_that_a_member_is_not_the_primary() {
        assert!(backup("b").is_other_since().is_some() && !backup("b").is_primary());
        let stale = Document { definite: false, ..backup("b") };
        assert!(stale.is_other_since().is_none() && !stale.is_primary());
        let primary = Document { role: Some("primary".to_owned()), ..backup("b") };
        assert!(primary.is_primary() && primary.is_other_since().is_none());
        let contradictory = Document { serving: true, ..backup("b") };
        assert!(contradictory.is_other_since().is_none(), "its page says SUCCESS");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Document::parse(&body);
        }
    }
}
