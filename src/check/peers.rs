//! Asks each peer as the daemon will, and judges whether it will learn what it needs: who was promoted later.
//!
//! A peer that is down is no fault of this configuration, and a member that has seen its own promotion does
//! without: a warning. A peer that answers and will never tell is an error, because nobody would notice before
//! two members look primary.

use hyper::StatusCode;
use tokio::task::JoinSet;

use super::{Finding, Kind};
use crate::config::steering::Peer;
use crate::config::{Config, Mirror};
use crate::health::NO_SUCH_PAGE;
use crate::observation::{NoEvidence, printable};
use crate::peer::{self, Pages, Reply, Told};
use crate::probe::http::Answer;

/// How much of a peer's own words is shown.
const SHOWN: usize = 200;

/// Asks the peers of all mirrors, at once.
pub(super) async fn ask(config: &Config) -> Vec<Finding> {
    let mut asked = JoinSet::new();
    let all = config.mirrors.iter().flat_map(|mirror| mirror.peers.iter().map(move |peer| (mirror, peer)));
    let all: Vec<(&Mirror, &Peer)> = all.collect();
    for (index, (mirror, peer)) in all.iter().enumerate() {
        let (name, page) = (mirror.name.clone(), peer.page.clone());
        asked.spawn(async move { (index, peer::look(&name, &page).await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_unstable_by_key(|(index, _)| *index);
    let judged = answers.iter().map(|(index, pages)| judge(&all[*index].0.name, all[*index].1, pages));
    judged.collect()
}

fn judge(mirror: &str, peer: &Peer, pages: &Pages) -> Finding {
    let subject = format!("mirror {mirror}, peer {}", peer.address);
    let unreachable = |cause: &NoEvidence| {
        Finding::warning(
            &subject,
            format!(
                "does not answer: {cause}; while it is silent only the order that this member saw counts"
            ),
        )
        .help(
            "Is mirrorvip running there? Is `page` its address and port, and does the firewall or security \
             group let the members reach each other's health port?",
        )
    };
    let (promotion, page) = match (&pages.promotion, &pages.page) {
        (Err(cause @ (NoEvidence::Unreachable(_) | NoEvidence::TimedOut { .. })), _) => {
            return unreachable(cause);
        }
        (promotion, page) => (promotion.as_ref().ok(), page),
    };
    if let Some(told) = promotion.and_then(peer::read) {
        return match page {
            Ok(page) if is_status_page(page) => Finding::good(subject, tells(&told)),
            Ok(page) => Finding::warning(
                subject,
                format!(
                    "{}, but `page` answers {} and is no status page",
                    tells(&told),
                    page.status.as_u16()
                ),
            )
            .help("Write one of that member's `paths`, and /mirror_status.cxw behind it."),
            Err(cause) => unreachable(cause),
        };
    }
    match promotion {
        Some(answer) if is_other_mirror(answer) => Finding::error(
            Kind::Configuration,
            subject,
            format!(
                "mirrorvip runs there and has no mirror of the name {mirror} ({}): it cannot tell when it was \
                 promoted, so this member would stay unsure while that one serves",
                printable(String::from_utf8_lossy(&answer.body).trim(), SHOWN)
            ),
        )
        .help("Give the mirror the same `name` on every member: they ask each other at /NAME/promotion."),
        Some(answer) if answer.status == StatusCode::FORBIDDEN => Finding::error(
            Kind::Configuration,
            subject,
            "refuses this member's question (403), the daemon's will be refused, too",
        )
        .help("Add this member's address to `allowed_networks` there."),
        Some(_) | None => match page {
            Ok(page) if is_status_page(page) => Finding::warning(
                subject,
                "has a status page and does not tell when it was promoted: while it says SUCCESS, this member \
                 stays unsure",
            )
            .help("Write as `page` the one of mirrorvip on that member, not that of a Web Gateway."),
            Ok(page) => Finding::error(
                Kind::Configuration,
                subject,
                format!("`page` answers {} and is no status page", page.status.as_u16()),
            )
            .help("Write the status page of mirrorvip there, such as http://10.0.2.12:8080/csp/bin/mirror_status.cxw."),
            Err(cause) => unreachable(cause),
        },
    }
}

fn tells(told: &Told) -> String {
    match told {
        Told::Serving { epoch, promoted_ago: Some(_), .. } => {
            format!("tells that it is primary, and when it was promoted (epoch {epoch})")
        }
        Told::Serving { epoch, promoted_ago: None, .. } => {
            format!("tells that it is primary (epoch {epoch})")
        }
        Told::NotServing { state } => format!("tells that it is {state}"),
        Told::StoodDown => "tells that another member was promoted after it".to_owned(),
        Told::Indefinite { state } => format!("tells that it does not know what it is ({state})"),
    }
}

fn is_status_page(answer: &Answer) -> bool {
    let refuses =
        matches!(answer.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::INTERNAL_SERVER_ERROR);
    match peer::read_page(answer) {
        Reply::Success => true,
        Reply::Failed => refuses && answer.body.trim_ascii() == b"FAILED",
        Reply::Told(_) | Reply::Unreachable(_) => false,
    }
}

/// Whether mirrorvip says that it does not know the mirror.
fn is_other_mirror(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND && answer.body.starts_with(NO_SUCH_PAGE.as_bytes())
}

#[cfg(test)]
mod tests {
    use hyper::body::Bytes;

    use super::super::Severity;
    use super::*;
    use crate::config::HttpTarget;

    type Asked = Result<(u16, &'static str), NoEvidence>;

    fn finding(promotion: Asked, page: Asked) -> Finding {
        let url = "http://10.0.2.12:8080/csp/bin/mirror_status.cxw".parse().unwrap();
        let peer = Peer { address: "10.0.2.12".to_owned(), page: HttpTarget { url, ca_file: None } };
        let answered = |asked: Asked| {
            let (status, body) = asked?;
            let status = StatusCode::from_u16(status).unwrap();
            Ok(Answer { status, body: Bytes::from_static(body.as_bytes()) })
        };
        judge("PROD", &peer, &Pages { promotion: answered(promotion), page: answered(page) })
    }

    #[test]
    fn what_a_peer_answers_is_judged_by_what_the_daemon_will_learn_from_it() {
        let (success, failed) = (|| Ok((200, "SUCCESS")), || Ok((503, "FAILED")));
        let refused = || Err(NoEvidence::Unreachable("connection refused".to_owned()));
        let slow = Err(NoEvidence::TimedOut { after: peer::TIMEOUT });
        let table = [
            (
                Ok((503, "is the backup\nstate=backup definite=yes\n")),
                failed(),
                Severity::Good,
                "it is backup",
            ),
            (Ok((503, "\nstate=no-evidence definite=no\n")), failed(), Severity::Good, "does not know"),
            (
                Ok((200, "\nstate=primary epoch=3 promoted_seconds_ago=9")),
                success(),
                Severity::Good,
                "when it",
            ),
            (Ok((200, "\nstate=primary epoch=3\n")), success(), Severity::Good, "is primary (epoch 3)"),
            (Ok((503, "\nstate=backup definite=yes\n")), Ok((404, "")), Severity::Warning, "answers 404"),
            (refused(), refused(), Severity::Warning, "does not answer: connection refused"),
            (slow, failed(), Severity::Warning, "does not answer"),
            (
                Ok((404, "no such page, there is: /a")),
                success(),
                Severity::Error,
                "no mirror of the name PROD",
            ),
            (Ok((403, "this address may not ask")), Ok((403, "")), Severity::Error, "refuses this member"),
            (Ok((404, "<html>")), success(), Severity::Warning, "stays unsure"),
            (Ok((404, "<html>")), Ok((500, "FAILED")), Severity::Warning, "stays unsure"),
            (Ok((200, "<html>")), Ok((200, "<html>")), Severity::Error, "is no status page"),
            (Err(NoEvidence::Failed("moved".to_owned())), success(), Severity::Warning, "stays unsure"),
        ];
        for (promotion, page, severity, words) in table {
            let found = finding(promotion, page);
            assert_eq!(found.severity, severity, "{found:?}");
            assert!(found.message.contains(words), "{words}: {found:?}");
            assert_eq!(found.help.is_none(), severity == Severity::Good, "{found:?}");
        }
    }

    #[test]
    fn what_a_stranger_says_is_made_printable() {
        let found = finding(Ok((404, "no such page, there is: \u{1b}[2J")), Ok((404, "")));
        assert!(!found.message.contains('\u{1b}'), "{found:?}");
    }
}
