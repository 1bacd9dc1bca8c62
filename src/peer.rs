//! Asks the other members of a mirror what they are: the evidence for who was promoted later.
//!
//! Each peer is asked at `/NAME/promotion` of the server that its status page is on, all at once, each within
//! one deadline. What it [tells](told) there is exact. Where there is no such page (a Web Gateway, an older
//! version) the status page itself is asked, and its status code is all there is to know:
//!
//! | answer | means |
//! |---|---|
//! | the line for machines, and a status code that agrees | what it says |
//! | 200 `SUCCESS` on the status page | it serves, promoted at an unknown time |
//! | any other answer | it does not serve, for reasons unknown |
//! | none in time, no connection, refused | nothing is known |
//!
//! It draws no conclusions: those are [`authority`](crate::steer::authority)'s.

use std::time::Duration;

use hyper::{StatusCode, Uri};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::{Clock, Timestamp};
use crate::config::HttpTarget;
use crate::config::steering::Peer;
use crate::observation::NoEvidence;
use crate::probe::http::{Answer, Client};

mod told;

pub(crate) use told::Told;

/// How long a peer may take, both pages together.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// How long a page may be.
const BODY_LIMIT: usize = 16 * 1024;

/// One peer's answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    /// When it was asked.
    pub(crate) asked_at: Timestamp,
    /// When the answer was in.
    pub(crate) answered_at: Timestamp,
    /// What it said.
    pub(crate) answer: Reply,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// What the member tells of itself.
    Told(Told),
    /// Its status page says SUCCESS, and there is nothing else to know.
    Success,
    /// It answers, and does not say SUCCESS.
    Failed,
    /// There is no answer.
    Unreachable(String),
}

/// What both pages of a peer answer, for whoever looks for the reason why it tells nothing.
#[derive(Debug)]
pub(crate) struct Pages {
    /// The page for other members.
    pub(crate) promotion: Result<Answer, NoEvidence>,
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
    promotion: Client,
    page: Client,
}

// === impl Peers ===

impl Peers {
    /// The peers of `mirror`. Asks nobody yet.
    pub(crate) fn new(mirror: &str, peers: &[Peer], clock: Clock) -> Self {
        let idle = peers.iter().map(|peer| Some(Asker::new(mirror, &peer.page))).collect();
        Self { idle, round: JoinSet::new(), clock }
    }

    /// Whether there is nobody to ask.
    pub(crate) fn is_empty(&self) -> bool {
        self.idle.is_empty()
    }

    /// Asks all of them, unless that is under way.
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

    /// The next answer, with the peer's index and whether it is the round's last; waits for ever while none
    /// is under way. Cancel-safe.
    pub(crate) async fn next(&mut self) -> (usize, Report, bool) {
        match self.round.join_next().await {
            Some(ended) => {
                let (index, asker, report) = ended.expect("asking a peer neither panics nor is aborted");
                self.idle[index] = Some(asker);
                (index, report, self.round.is_empty())
            }
            None => std::future::pending().await,
        }
    }
}

// === impl Asker ===

impl Asker {
    fn new(mirror: &str, page: &HttpTarget) -> Self {
        let promotion = HttpTarget { url: promotion_url(mirror, &page.url), ca_file: page.ca_file.clone() };
        Self {
            promotion: Client::new(&promotion, TIMEOUT, BODY_LIMIT),
            page: Client::new(page, TIMEOUT, BODY_LIMIT),
        }
    }

    async fn ask(&mut self, clock: &Clock) -> Report {
        let asked_at = clock.now();
        let answer = timeout(TIMEOUT, self.exchange()).await;
        let answer =
            answer.unwrap_or_else(|_elapsed| Reply::Unreachable(format!("no answer within {TIMEOUT:?}")));
        Report { asked_at, answered_at: clock.now(), answer }
    }

    async fn exchange(&mut self) -> Reply {
        match self.promotion.get().await {
            Ok(answer) => {
                if let Some(told) = read(&answer) {
                    return Reply::Told(told);
                }
            }
            Err(cause @ (NoEvidence::Unreachable(_) | NoEvidence::TimedOut { .. })) => {
                return Reply::Unreachable(cause.to_string());
            }
            Err(_no_such_page) => {}
        }
        match self.page.get().await {
            Ok(answer) => read_page(&answer),
            Err(cause) => Reply::Unreachable(cause.to_string()),
        }
    }
}

/// Asks both pages of one peer, each with the deadline of a round.
pub(crate) async fn look(mirror: &str, page: &HttpTarget) -> Pages {
    let mut asker = Asker::new(mirror, page);
    Pages { promotion: asker.promotion.get().await, page: asker.page.get().await }
}

/// The page for other members on the server of the status page.
fn promotion_url(mirror: &str, page: &Uri) -> Uri {
    let mut parts = page.clone().into_parts();
    // A mirror's name has no character that means anything in a path.
    parts.path_and_query = format!("/{mirror}/promotion").parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| page.clone())
}

/// What the page for other members tells, if it is one. PURE and total.
pub(crate) fn read(answer: &Answer) -> Option<Told> {
    let told = Told::parse(std::str::from_utf8(&answer.body).ok()?)?;
    let agrees = match &told {
        Told::Serving { .. } => answer.status == StatusCode::OK,
        Told::NotServing { .. } | Told::StoodDown | Told::Indefinite { .. } => {
            answer.status == StatusCode::SERVICE_UNAVAILABLE
        }
    };
    agrees.then_some(told)
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
    use hyper::body::Bytes;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn the_page_for_members_is_on_the_server_of_the_status_page() {
        let url = |page: &str| promotion_url("PROD", &page.parse().unwrap()).to_string();
        assert_eq!(
            url("http://10.0.2.12:8080/csp/bin/mirrorstatus.cxw"),
            "http://10.0.2.12:8080/PROD/promotion"
        );
        assert_eq!(url("https://[::1]/mirror_status.cxw?x=y"), "https://[::1]/PROD/promotion");
    }

    #[test]
    fn a_line_counts_only_with_the_status_code_that_agrees() {
        let read = |status, line: &str| read(&answer(status, &format!("for people\n{line}\n"))).is_some();
        assert!(read(200, "state=primary epoch=1"));
        assert!(!read(503, "state=primary epoch=1"));
        assert!(read(503, "state=backup definite=yes"));
        assert!(!read(200, "state=backup definite=yes"));
        assert!(!read(404, "no such page"));
    }

    #[test]
    fn a_status_page_says_success_or_nothing_for_certain() {
        let read = |status, body| read_page(&answer(status, body));
        assert_eq!(read(200, "SUCCESS"), Reply::Success);
        assert_eq!(read(200, "SUCCESS\r\n"), Reply::Success);
        assert_eq!(read(200, "<html>login</html>"), Reply::Failed);
        assert_eq!(read(503, "FAILED"), Reply::Failed);
        assert_eq!(read(500, "FAILED"), Reply::Failed);
        assert!(matches!(read(403, "this address may not ask"), Reply::Unreachable(_)));
        assert!(matches!(read(404, ""), Reply::Unreachable(_)));
    }
}
