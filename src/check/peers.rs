//! Asks each peer as the daemon will, and checks whether the answers will show which promotion is the latest.
//!
//! A peer that is down is a warning. A peer whose answers can never be used is an error, as it would be noticed only when
//! two members seem to be primary. [`reported`] checks the report of one member, [`together`] compares the members.

use std::path::Path;
use std::sync::Arc;

use hyper::{StatusCode, Uri};
use tokio::task::JoinSet;

use super::{Finding, Kind, files};
use crate::config::HttpTarget;
use crate::config::steering::Peer;
use crate::health::NO_SUCH_PAGE;
use crate::http::{Answer, Client};
use crate::observation::{NoEvidence, Role};
use crate::peer::document::Identity;
use crate::peer::key::{Key, KeyError};
use crate::peer::{self, Pages, Reply};
use crate::provider::agreement;
use crate::provider::{Config, Mirror};
use crate::state::Store;
use crate::term::Memory;
use crate::text::chain;
use crate::text::printable;

mod reported;
mod together;

use reported::{member, reports, signature};
use together::Member;

/// How much of a peer's text is shown, in characters.
const SHOWN: usize = 200;

/// This member, as its peers are compared with it.
struct Own<'a> {
    mirror: &'a Mirror,
    identity: Identity,
    memory: Memory,
    secret: Secret,
}

/// The secret with which answers must be signed.
enum Secret {
    /// None is configured.
    None,
    Loaded(Arc<Key>),
    /// The file is unusable, which is another finding.
    Broken,
}

/// What one peer answered.
struct Answers {
    pages: Pages,
    /// Whether it has a page of this mirror, but none for members.
    is_older: bool,
}

/// The findings about peers that need no network.
pub(super) fn local(mirror: &Mirror) -> Option<Finding> {
    let path = mirror.peer_key_file.as_ref()?;
    let subject = format!("mirror {}, peer_key_file {}", mirror.name, path.display());
    Some(match Key::load(path) {
        Ok(_) => Finding::good(subject, "holds a secret; every member must have the same one"),
        Err(error) => broken_secret(subject, path, &error),
    })
}

fn broken_secret(subject: String, path: &Path, error: &KeyError) -> Finding {
    let kind = match error {
        KeyError::Unreadable(cause) if cause.kind() == std::io::ErrorKind::PermissionDenied => {
            Kind::Permission
        }
        KeyError::Unreadable(_) | KeyError::Length(_) | KeyError::TooLong => Kind::Configuration,
    };
    let message = format!("{}: the daemon does not start", chain(error));
    if kind == Kind::Permission {
        return files::unusable(subject, message, kind, &[path]);
    }
    Finding::error(kind, subject, message).help(
        "Make a secret with `openssl rand -hex 32`, copy it to this file on every member, and let the daemon's user read it: \
         `install -o root -g mirrorvip -m 640`.",
    )
}

/// Asks the peers of all mirrors in parallel. `roles` are those of the local instances, one per mirror.
pub(super) async fn ask(config: &Config, roles: &[Option<Role>]) -> Vec<Finding> {
    let store = Store::new(config.state_directory.clone());
    let daemon = store.known_daemon_id();
    let owns: Vec<_> =
        config.mirrors.iter().map(|mirror| Own::new(mirror, &store, daemon.as_deref())).collect();
    let mut asked = JoinSet::new();
    for (mirror, own) in owns.iter().enumerate() {
        for (place, peer) in own.mirror.peers.iter().enumerate() {
            let (name, page, key) = (own.mirror.name.clone(), peer.page.clone(), own.secret.key());
            asked.spawn(async move { (mirror, place, Answers::get(&name, &page, key).await) });
        }
    }
    let mut answers = asked.join_all().await;
    answers.sort_unstable_by_key(|(mirror, place, _)| (*mirror, *place));

    let mut findings = Vec::new();
    let mut answers = answers.into_iter().peekable();
    for (index, own) in owns.iter().enumerate() {
        let mut members = vec![own.as_member(roles.get(index).and_then(Option::as_ref))];
        while let Some((_, place, answers)) = answers.next_if(|(mirror, ..)| *mirror == index) {
            let peer = &own.mirror.peers[place];
            findings.extend(judge(own, peer, &answers));
            members.push(answers.as_member(peer));
        }
        findings.extend(together::judge(&own.mirror.name, &members));
    }
    findings
}

fn judge(own: &Own<'_>, peer: &Peer, answers: &Answers) -> Vec<Finding> {
    let subject = format!("mirror {}, peer {}", own.mirror.name, peer.address);
    let Answers { pages: Pages { peer: asked, unsigned, page }, is_older } = answers;
    let error =
        |text: String, help: String| vec![Finding::error(Kind::Configuration, &subject, text).help(help)];
    let answer = match asked {
        Err(cause @ (NoEvidence::Unreachable(_) | NoEvidence::TimedOut { .. })) => {
            return vec![silent(&subject, cause)];
        }
        Err(_) => None,
        Ok(answer) if answer.status == StatusCode::FORBIDDEN => {
            return error(
                "refuses this member's question (403), and will refuse the daemon's".to_owned(),
                "Add this member's address to `allowed_networks` there.".to_owned(),
            );
        }
        Ok(answer) if is_other_mirror(answer) && !is_older => {
            let (mirror, body) = (&own.mirror.name, String::from_utf8_lossy(&answer.body));
            let body = printable(body.trim(), SHOWN);
            return error(
                format!(
                    "mirrorvip runs there and has no mirror {mirror} ({body}): it cannot report its term"
                ),
                format!(
                    "Give the mirror the same `name` on every member: they ask each other at /{mirror}/peer."
                ),
            );
        }
        Ok(answer) => Some(answer),
    };
    match answer.and_then(peer::read) {
        Some(Reply::Document(document)) => {
            let signature = signature(own, &subject, answer, unsigned.as_deref());
            // Without a valid signature the answer may be forged.
            let is_trusted = signature.is_none() || !matches!(own.secret, Secret::Loaded(_));
            let mut findings: Vec<_> = signature.into_iter().collect();
            if is_trusted {
                findings.extend(member(own, peer, &subject, &document));
            }
            findings.extend(status_page(&subject, page));
            if findings.is_empty() {
                findings.push(Finding::good(subject, reports(&document)));
            }
            findings
        }
        Some(Reply::Unreachable(why)) => error(
            format!("{why}: it counts as silent"),
            "Run the same version of mirrorvip on every member.".to_owned(),
        ),
        Some(Reply::Success | Reply::Failed) | None => vec![no_document(own, subject, page, *is_older)],
    }
}

fn silent(subject: &str, cause: &NoEvidence) -> Finding {
    Finding::warning(
        subject,
        format!(
            "does not answer: {cause}; while it is silent, this member takes traffic only for a promotion that it saw itself"
        ),
    )
    .help(
        "Check that mirrorvip runs there, that `page` has its address and port, and that firewalls and security groups let \
         the members reach each other's health port.",
    )
}

/// The finding about a member without a page for other members: an older version, or a Web Gateway.
fn no_document(own: &Own<'_>, subject: String, page: &Result<Answer, NoEvidence>, is_older: bool) -> Finding {
    let page = match page {
        Ok(page) if is_older || is_status_page(page) => page,
        Ok(page) => {
            return Finding::error(
                Kind::Configuration,
                subject,
                format!("`page` answers {} and is not a status page", page.status.as_u16()),
            )
            .help("Write the status page of mirrorvip there, such as http://10.0.2.12:8080/csp/bin/mirror_status.cxw.");
        }
        Err(cause) => return silent(&subject, cause),
    };
    let (what, help) = if is_older {
        ("runs an older version of mirrorvip", "Install this version of mirrorvip there.")
    } else {
        (
            "has a status page and no page for other members",
            "Write as `page` the one of mirrorvip on that member, not that of a Web Gateway.",
        )
    };
    if own.secret.is_some() {
        let text =
            format!("{what}: its answer is not signed, so with peer_key_file it always counts as silent");
        return Finding::error(Kind::Configuration, subject, text).help(help);
    }
    let says = if peer::read_page(page) == Reply::Success { "SUCCESS" } else { "FAILED" };
    Finding::warning(
        subject,
        format!(
            "{what}; its status page says {says}. While it says SUCCESS, this member takes no traffic. FAILED does not \
             prove that it is not the primary: if this member restarts as the primary, it waits for an operator"
        ),
    )
    .help(help)
}

fn status_page(subject: &str, page: &Result<Answer, NoEvidence>) -> Option<Finding> {
    match page {
        Ok(page) if is_status_page(page) => None,
        Ok(page) => Some(
            Finding::warning(
                subject,
                format!("`page` answers {} and is not a status page", page.status.as_u16()),
            )
            .help("Write one of that member's `paths`, and /mirror_status.cxw behind it."),
        ),
        Err(cause) => Some(silent(subject, cause)),
    }
}

fn is_status_page(answer: &Answer) -> bool {
    let refuses =
        matches!(answer.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::INTERNAL_SERVER_ERROR);
    match peer::read_page(answer) {
        Reply::Success => true,
        Reply::Failed => refuses && answer.body.trim_ascii() == b"FAILED",
        Reply::Document(_) | Reply::Unreachable(_) => false,
    }
}

/// Whether mirrorvip says that it has no such page.
fn is_other_mirror(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND && answer.body.starts_with(NO_SUCH_PAGE.as_bytes())
}

// === impl Own ===

impl<'a> Own<'a> {
    fn new(mirror: &'a Mirror, store: &Store, daemon: Option<&str>) -> Self {
        let identity = Identity {
            mirror: mirror.name.clone(),
            member: mirror.member_name(),
            daemon: daemon.unwrap_or_default().to_owned(),
            run: String::new(),
            digest: agreement::digest(mirror),
        };
        let memory = store.load(&mirror.name).ok().flatten().map(|state| state.arbiter).unwrap_or_default();
        let secret = match mirror.peer_key_file.as_deref().map(Key::load) {
            None => Secret::None,
            Some(Ok(key)) => Secret::Loaded(Arc::new(key)),
            Some(Err(_)) => Secret::Broken,
        };
        Self { mirror, identity, memory, secret }
    }

    /// This member. Its page follows the instance, unless another member superseded it.
    fn as_member(&self, role: Option<&Role>) -> Member {
        let is_primary = role == Some(&Role::Primary);
        Member {
            address: None,
            name: Some(self.identity.member.clone()),
            expected: None,
            daemon: Some(self.identity.daemon.clone()).filter(|daemon| !daemon.is_empty()),
            run: None,
            is_primary,
            serves: is_primary && self.memory.superseded_by.is_none(),
            term: Some(self.memory.term),
        }
    }
}

// === impl Secret ===

impl Secret {
    fn key(&self) -> Option<Arc<Key>> {
        match self {
            Self::Loaded(key) => Some(Arc::clone(key)),
            Self::None | Self::Broken => None,
        }
    }

    fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }
}

// === impl Answers ===

impl Answers {
    async fn get(mirror: &str, page: &HttpTarget, key: Option<Arc<Key>>) -> Self {
        let pages = peer::look(mirror, page, key).await;
        let is_older = match &pages.peer {
            Ok(answer) if is_other_mirror(answer) => has_role_page(mirror, page).await,
            Ok(_) | Err(_) => false,
        };
        Self { pages, is_older }
    }

    /// The peer, as it reports itself; [`judge`] decides whether the report can be trusted.
    fn as_member(&self, peer: &Peer) -> Member {
        let document = match self.pages.peer.as_ref().ok().and_then(peer::read) {
            Some(Reply::Document(document)) if self.pages.unsigned.is_none() => Some(document),
            Some(_) | None => None,
        };
        let page_serves = self.pages.page.as_ref().is_ok_and(|page| peer::read_page(page) == Reply::Success);
        Member {
            address: Some(peer.address.clone()),
            name: document.as_ref().map(|document| document.member.clone()),
            expected: peer.member.clone(),
            daemon: document.as_ref().map(|document| document.daemon.clone()),
            run: document.as_ref().map(|document| document.run.clone()),
            is_primary: document.as_ref().is_some_and(|document| document.is_primary()),
            serves: page_serves || document.as_ref().is_some_and(|document| document.serving),
            term: document.as_ref().map(|document| document.term),
        }
    }
}

/// Whether the page `/NAME/primary` exists there, as in every version of mirrorvip.
async fn has_role_page(mirror: &str, page: &HttpTarget) -> bool {
    let mut parts = page.url.clone().into_parts();
    parts.path_and_query = format!("/{mirror}/primary").parse().ok();
    let Ok(url) = Uri::from_parts(parts) else { return false };
    let target = HttpTarget { url, ca_file: page.ca_file.clone() };
    let answer = Client::new(&target, peer::TIMEOUT, SHOWN).get().await;
    answer.is_ok_and(|answer| matches!(answer.status, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE))
}

#[cfg(test)]
mod tests;
