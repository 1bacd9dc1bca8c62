//! Asks the other members of a mirror for their role.
//!
//! All peers are asked at once at `/NAME/peer` of the server that has their status page, each within one deadline; a peer
//! reports a [document] there. Without such a page (a Web Gateway, an older version) the status page itself is asked, and
//! only its answer is known:
//!
//! | answer | means |
//! |---|---|
//! | 200 with a document | what it reports |
//! | 200 `SUCCESS` on the status page | it serves, promoted at an unknown time |
//! | any other answer | it does not serve, for reasons unknown |
//! | none in time, no connection, refused | nothing is known |
//!
//! With a shared secret (`peer_key_file`) each question carries a nonce, and an answer that is not [signed](key) with it
//! counts as none. Without a secret, a machine that can answer at a peer's address can withhold traffic from this member,
//! or void the protection of a later primary by denying that it is the primary; it cannot direct traffic to a member whose
//! own instance does not say that it is the primary.
//!
//! The [arbiter](crate::steer::arbiter) draws the conclusions.

use std::sync::Arc;
use std::time::Duration;

use hyper::{StatusCode, Uri};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::{Clock, Timestamp};
use crate::config::HttpTarget;
use crate::config::steering::Peer;
use crate::http::{Answer, Client};
use crate::observation::NoEvidence;
use crate::random::random_identifier;
use crate::text::printable;

pub mod document;
pub mod identity;
pub mod key;

use document::Document;
use key::Key;

/// How long a peer may take, both pages together.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// How long a page may be.
const BODY_LIMIT: usize = 16 * 1024;

/// How much of a peer's own words is shown, in characters.
const SHOWN: usize = 200;

/// One peer's answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) asked_at: Timestamp,
    pub(crate) answered_at: Timestamp,
    /// What it said.
    pub(crate) reply: Reply,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// What the member reports of itself.
    Document(Box<Document>),
    /// Its status page says SUCCESS; nothing else is known.
    Success,
    /// It answers, and does not say SUCCESS.
    Failed,
    /// There is no usable answer.
    Unreachable(String),
}

/// The answers of both pages of a peer, to find out why it reports nothing.
#[derive(Debug)]
pub(crate) struct Pages {
    /// The page for other members.
    pub(crate) peer: Result<Answer, NoEvidence>,
    /// What is wrong with its signature, if it needs one.
    pub(crate) unsigned: Option<String>,
    /// The status page.
    pub(crate) page: Result<Answer, NoEvidence>,
}

/// The peers of one mirror, and the round of questions that is under way.
#[derive(Debug)]
pub(crate) struct Peers {
    idle: Vec<Option<Asker>>,
    round: JoinSet<(usize, Asker, Report)>,
    clock: Clock,
}

/// Asks one peer.
#[derive(Debug)]
struct Asker {
    document: Client,
    page: Client,
    key: Option<Arc<Key>>,
}

// === impl Peers ===

impl Peers {
    /// The peers of `mirror`. Sends nothing yet.
    pub(crate) fn new(mirror: &str, peers: &[Peer], key: Option<&Arc<Key>>, clock: Clock) -> Self {
        let idle = peers.iter().map(|peer| Some(Asker::new(mirror, &peer.page, key.cloned()))).collect();
        Self { idle, round: JoinSet::new(), clock }
    }

    /// Asks all of them, unless a round is under way.
    pub(crate) fn ask(&mut self) {
        if !self.round.is_empty() {
            return;
        }
        for (index, asker) in self.idle.iter_mut().enumerate() {
            // A round ends when every asker is back.
            let Some(mut asker) = asker.take() else { continue };
            let clock = self.clock.clone();
            self.round.spawn(async move {
                let report = asker.ask(&clock).await;
                (index, asker, report)
            });
        }
    }

    /// The next answer, with the peer's index; pending while no round is under way. Cancel-safe.
    pub(crate) async fn next(&mut self) -> (usize, Report) {
        match self.round.join_next().await {
            Some(ended) => {
                let (index, asker, report) = ended.expect("asking a peer neither panics nor is aborted");
                self.idle[index] = Some(asker);
                (index, report)
            }
            None => std::future::pending().await,
        }
    }
}

// === impl Asker ===

impl Asker {
    fn new(mirror: &str, page: &HttpTarget, key: Option<Arc<Key>>) -> Self {
        let document = HttpTarget { url: peer_url(mirror, &page.url), ca_file: page.ca_file.clone() };
        Self {
            document: Client::new(&document, TIMEOUT, BODY_LIMIT),
            page: Client::new(page, TIMEOUT, BODY_LIMIT),
            key,
        }
    }

    async fn ask(&mut self, clock: &Clock) -> Report {
        let asked_at = clock.now();
        let reply = timeout(TIMEOUT, self.exchange()).await;
        let reply =
            reply.unwrap_or_else(|_elapsed| Reply::Unreachable(format!("no answer within {TIMEOUT:?}")));
        Report { asked_at, answered_at: clock.now(), reply }
    }

    async fn exchange(&mut self) -> Reply {
        match self.question().await {
            (Ok(_), Some(unsigned)) => return Reply::Unreachable(unsigned),
            (Ok(answer), None) => {
                if let Some(reply) = read(&answer) {
                    return reply;
                }
            }
            (Err(cause @ (NoEvidence::Unreachable(_) | NoEvidence::TimedOut { .. })), _) => {
                return Reply::Unreachable(cause.to_string());
            }
            (Err(cause), _) if self.key.is_some() => return Reply::Unreachable(cause.to_string()),
            (Err(_no_such_page), _) => {}
        }
        match self.page.get().await {
            Ok(answer) => read_page(&answer),
            Err(cause) => Reply::Unreachable(cause.to_string()),
        }
    }

    /// Asks for the document. Returns also what is wrong with the answer's signature.
    async fn question(&mut self) -> (Result<Answer, NoEvidence>, Option<String>) {
        let nonce = random_identifier();
        let answer = self.document.get_with(&[(key::NONCE, &nonce)]).await;
        let unsigned = match (&self.key, &answer) {
            (Some(key), Ok(answer)) => check_signature(key, &nonce, answer),
            (None, _) | (_, Err(_)) => None,
        };
        (answer, unsigned)
    }
}

/// Asks both pages of one peer, each with the deadline of a round.
pub(crate) async fn look(mirror: &str, page: &HttpTarget, key: Option<Arc<Key>>) -> Pages {
    let mut asker = Asker::new(mirror, page, key);
    let (peer, unsigned) = asker.question().await;
    Pages { peer, unsigned, page: asker.page.get().await }
}

/// The page for other members on the server of the status page.
fn peer_url(mirror: &str, page: &Uri) -> Uri {
    let mut parts = page.clone().into_parts();
    // A mirror's name has no character that means anything in a path.
    parts.path_and_query = format!("/{mirror}/peer").parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| page.clone())
}

/// What is wrong with the signature of `answer`; `None` if it is right.
fn check_signature(key: &Key, nonce: &str, answer: &Answer) -> Option<String> {
    match answer.header(key::SIGNATURE) {
        Some(signature) if key.verifies(nonce, &answer.body, signature) => None,
        Some(_) => {
            Some("its answer is signed with another secret: compare the `peer_key_file` of both".to_owned())
        }
        None => Some(format!(
            "its answer ({}) is not signed: set `peer_key_file` there as well",
            answer.status.as_u16()
        )),
    }
}

/// What the page for other members reports, if there is such a page. PURE and total.
pub(crate) fn read(answer: &Answer) -> Option<Reply> {
    let is_json = answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    (answer.status == StatusCode::OK && is_json).then(|| match Document::parse(&answer.body) {
        Ok(document) => Reply::Document(Box::new(document)),
        Err(problem) => {
            Reply::Unreachable(format!("its document cannot be read: {}", printable(&problem, SHOWN)))
        }
    })
}

/// What a status page says. PURE and total.
pub(crate) fn read_page(answer: &Answer) -> Reply {
    match (answer.status, answer.body.trim_ascii()) {
        (StatusCode::OK, b"SUCCESS") => Reply::Success,
        (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED, _) => {
            Reply::Unreachable(format!("its page answers {}", answer.status.as_u16()))
        }
        (_, _) => Reply::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::document::tests::backup;
    use super::*;
    use crate::flood::Flood;

    #[tokio::test]
    async fn a_peer_that_answers_without_end_is_given_up() {
        for flood in [Flood::of_chunks().await, Flood::of_drops().await] {
            let page = format!("{}/csp/bin/mirrorstatus.cxw", flood.url()).parse().unwrap();
            let mut asker = Asker::new("PROD", &HttpTarget { url: page, ca_file: None }, None);
            let report = asker.ask(&Clock::system()).await;
            assert!(matches!(report.reply, Reply::Unreachable(_)), "{report:?}");
            assert!(flood.requests() <= 2 && flood.sent() < 32 * 1024 * 1024, "{} bytes", flood.sent());
        }
    }

    #[test]
    fn the_page_for_members_is_on_the_server_of_the_status_page() {
        let url = |page: &str| peer_url("PROD", &page.parse().unwrap()).to_string();
        assert_eq!(url("http://10.0.2.12:8080/csp/bin/mirrorstatus.cxw"), "http://10.0.2.12:8080/PROD/peer");
        assert_eq!(url("https://[::1]/mirror_status.cxw?x=y"), "https://[::1]/PROD/peer");
    }

    #[test]
    fn a_document_counts_only_as_json_with_200() {
        let body = serde_json::to_string(&backup("b")).unwrap();
        let answer = |status, kind| Answer::of(status, &[("content-type", kind)], &body);
        assert_eq!(read(&answer(200, "application/json")), Some(Reply::Document(Box::new(backup("b")))));
        assert_eq!(read(&answer(404, "application/json")), None);
        assert_eq!(read(&answer(200, "text/html")), None);
        let broken = Answer::of(200, &[("content-type", "application/json")], "{}");
        assert!(matches!(read(&broken), Some(Reply::Unreachable(why)) if why.contains("cannot be read")));
    }

    #[test]
    fn a_status_page_says_success_or_nothing_for_certain() {
        let read = |status, body| read_page(&Answer::of(status, &[], body));
        assert_eq!(read(200, "SUCCESS"), Reply::Success);
        assert_eq!(read(200, "SUCCESS\r\n"), Reply::Success);
        assert_eq!(read(200, "<html>login</html>"), Reply::Failed);
        assert_eq!(read(503, "FAILED"), Reply::Failed);
        assert_eq!(read(500, "FAILED"), Reply::Failed);
        assert!(matches!(read(403, "requests from this address are not allowed"), Reply::Unreachable(_)));
        assert!(matches!(read(404, ""), Reply::Unreachable(_)));
    }
}
