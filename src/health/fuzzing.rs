//! What must hold for any bytes that a client sends; see [`crate::fuzzing`].

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::watch;

use super::Mirror;
use super::head::{self, Method, Parsed};
use super::proxy::{self, Prefix};
use super::respond::{Response, respond};
use super::route::Routes;
use crate::clock::Timestamp;
use crate::peer::document::{Identity, Profile};
use crate::role::{Settings, Tracker};
use crate::snapshot::Snapshot;
use crate::term::Memory;

/// Longer input is cut: cutting it into pieces takes a time that is the square of its length.
const LONGEST: usize = 512;

/// Pieces do not matter; every answer is whole; a mirror that was never seen as primary never says SUCCESS.
pub(crate) fn request(bytes: &[u8]) {
    let whole = head::parse(bytes, 0);
    if bytes.len() <= LONGEST {
        let decided = (0..=bytes.len())
            .map(|end| head::parse(&bytes[..end], end.saturating_sub(1)))
            .find(|parsed| *parsed != Parsed::Partial);
        match decided {
            Some(decided) => assert_eq!(decided, whole, "pieces matter"),
            // A broken field may be refused early or only at the end of the head.
            None => assert!(!matches!(whole, Parsed::Complete { .. }), "pieces matter"),
        }
    }
    check_at_end(bytes);
    let Parsed::Complete { head, length } = whole else { return };
    assert!(length <= bytes.len() && length <= head::MAX_HEAD);
    let mirror = unseen_mirror();
    let routes = Routes::new([(&*mirror.name, mirror.paths.as_slice())]);
    let now = Timestamp::new(Duration::from_secs(1), Duration::from_secs(1));
    let answer = respond(&head, &routes, &[mirror], now);
    check_answer(&answer, head.method == Method::Head);
}

/// A header is found at one length, whatever follows it, and waited for until then.
pub(crate) fn proxy(bytes: &[u8]) {
    let whole = proxy::split(bytes);
    let Prefix::Header { length, .. } = whole else { return };
    assert!(length <= bytes.len(), "a header of bytes that have not come");
    assert_eq!(proxy::split(&bytes[..length]), whole, "what follows the header matters");
    if length <= LONGEST {
        let early = (0..length).find(|&end| proxy::split(&bytes[..end]) != Prefix::Partial);
        assert_eq!(early, None, "decided before the header was there");
    }
}

/// A client that closes its side has said all: there is nothing to wait for.
fn check_at_end(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let end = bytes.len() + 4;
    match head::parse_at_end(&mut bytes) {
        Parsed::Partial => panic!("waits for a client that will not send any more"),
        Parsed::Complete { length, .. } => assert!(length <= end),
        Parsed::Malformed | Parsed::TooLong => {}
    }
}

fn check_answer(answer: &Response, head_only: bool) {
    let text = std::str::from_utf8(&answer.bytes).expect("answers are text");
    let (head, body) = text.split_once("\r\n\r\n").expect("answers have a head");
    assert!(head.starts_with(&format!("HTTP/1.1 {} ", answer.status)), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length: usize = length.and_then(|length| length.parse().ok()).expect("answers say their length");
    assert_eq!(body.len(), if head_only { 0 } else { length }, "{text}");
    assert!(!body.contains("SUCCESS") && !body.contains("is primary"), "{text}");
}

fn unseen_mirror() -> Mirror {
    let settings = Settings { stale_after: Duration::from_secs(4), rise: NonZeroU32::MIN };
    let (_sender, snapshot) = watch::channel(Snapshot::new(Tracker::new(settings, None)));
    let profile = watch::channel(Profile::new(Identity::default(), &Memory::default())).1;
    Mirror { name: "PROD".into(), paths: vec!["/csp/bin".to_owned(), "/csp".to_owned()], snapshot, profile }
}
