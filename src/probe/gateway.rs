//! The `gateway` probe: the status page of an InterSystems Web Gateway on the same node.
//!
//! | answer | meaning |
//! |---|---|
//! | 200 `SUCCESS` | primary |
//! | 503 `FAILED` | not primary |
//! | 500 `FAILED` | the gateway cannot answer: no evidence |
//! | 401, 403 | not permitted |
//! | 404 | there is no such page |
//! | any other | no evidence |
//!
//! While the instance behind it is stopped, the gateway does not answer before its own timeout of 60 seconds, so the
//! probe times out. The page must be that of the local instance: a *mirror-aware* path follows the primary, wherever it
//! is, and always says `SUCCESS`.

use std::time::Duration;

use hyper::StatusCode;

use super::page::Page;
use super::{EVIDENCE_LENGTH, Reading};
use crate::config::HttpTarget;
use crate::http::{Answer, Client};
use crate::observation::{NoEvidence, OtherRole, Outcome, Role};
use crate::text::printable;

/// How long the page may be. It has seven bytes; the rest is for a proxy's answer.
const BODY_LIMIT: usize = 64 * 1024;

/// How much of an unexpected page is shown, in characters.
const BODY_SHOWN: usize = 80;

/// A probe of the status page at `target`.
pub(super) fn page(target: &HttpTarget, timeout: Duration) -> Page {
    Page::new(Client::new(target, timeout, BODY_LIMIT), read)
}

fn read(answer: &Answer) -> Reading {
    let (outcome, evidence) = parse(answer.status, &answer.body);
    Reading::fresh(outcome, evidence)
}

/// Reads the role from a status code and a body. PURE and total; the second value is for people.
fn parse(status: StatusCode, body: &[u8]) -> (Outcome, String) {
    let body = String::from_utf8_lossy(body);
    let word = body.trim();
    let shown =
        printable(&format!("HTTP {} `{}`", status.as_u16(), printable(word, BODY_SHOWN)), EVIDENCE_LENGTH);
    let outcome = match (status.as_u16(), word) {
        (200, "SUCCESS") => Ok(Role::Primary),
        (503, "FAILED") => Ok(Role::Other(OtherRole::NotPrimary)),
        (500, "FAILED") => Err(NoEvidence::Failed(format!("the gateway cannot answer: {shown}"))),
        (401 | 403, _) => Err(NoEvidence::Denied(format!("the gateway refuses to answer: {shown}"))),
        (404, _) => Err(NoEvidence::NoSuchInstance(format!("no status page there, correct `url`: {shown}"))),
        (500..=599, _) => Err(NoEvidence::Failed(format!("the server cannot answer: {shown}"))),
        (_, _) => Err(NoEvidence::Unrecognised(shown.clone())),
    };
    (outcome, shown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word(status: u16, body: &[u8]) -> &'static str {
        match parse(StatusCode::from_u16(status).expect("a status code"), body).0 {
            Ok(role) => role.word(),
            Err(cause) => cause.word(),
        }
    }

    #[test]
    fn status_code_and_body_must_agree() {
        let check = |status, body: &str, expected| assert_eq!(word(status, body.as_bytes()), expected);
        check(200, "SUCCESS", "primary");
        check(200, "SUCCESS\r\n", "primary");
        check(200, "FAILED", "unrecognised");
        check(200, "", "unrecognised");
        check(200, "SUCCESS of another kind", "unrecognised");
        check(200, "<html>login</html>", "unrecognised");
        check(203, "SUCCESS", "unrecognised");
        check(503, "FAILED", "not-primary");
        check(503, "SUCCESS", "failed");
        check(503, "<html>no backend</html>", "failed");
        check(500, "FAILED", "failed");
        check(502, "", "failed");
        check(504, "", "failed");
        check(401, "SUCCESS", "denied");
        check(403, "", "denied");
        check(404, "", "no-such-instance");
        check(418, "", "unrecognised");
    }

    proptest! {
        #[test]
        fn only_the_two_pages_are_definite(status in 100u16..1000, body in "(SUCCESS|FAILED|[ -~]{0,9})") {
            let definite = matches!((status, body.trim()), (200, "SUCCESS") | (503, "FAILED"));
            let parsed = parse(StatusCode::from_u16(status).expect("a status code"), body.as_bytes());
            prop_assert_eq!(parsed.0.is_ok(), definite);
        }
    }
}
