//! What a peer answers, and what is said about it.

use std::time::Duration;

use super::super::Severity;
use super::*;
use crate::peer::document::Document;
use crate::peer::document::tests::backup;
use crate::peer::key::SIGNATURE;
use crate::term::Claim;

type Asked = Result<Answer, NoEvidence>;

#[expect(clippy::unnecessary_wraps, reason = "it stands for what a client returns")]
fn page(status: u16, body: &str) -> Asked {
    Ok(Answer::of(status, &[("content-type", "text/plain")], body))
}

#[expect(clippy::unnecessary_wraps, reason = "it stands for what a client returns")]
fn document(document: &Document) -> Asked {
    let body = serde_json::to_string(document).unwrap();
    Ok(Answer::of(200, &[("content-type", "application/json")], &body))
}

fn config(more: &str) -> Mirror {
    let text = format!(
        "[[mirror]]\nname = 'PROD'\nmember = 'a'\nprobe.file.path = '/role'\n{more}\n[[mirror.peer]]\n\
         address = '10.0.2.12'\npage = 'http://10.0.2.12:8080/csp/bin/mirror_status.cxw'\n"
    );
    let config = crate::provider::parse(&text, "test.toml");
    config.unwrap_or_else(|report| panic!("{}", report.render(false))).mirrors.remove(0)
}

fn own(mirror: &Mirror) -> Own<'_> {
    let identity = Identity {
        mirror: "PROD".to_owned(),
        member: "a".to_owned(),
        daemon: "daemon-a".to_owned(),
        run: String::new(),
        digest: "d".to_owned(),
    };
    Own { mirror, identity, memory: Memory::default(), secret: Secret::None }
}

/// What `b` reports that runs this version.
fn peer_b() -> Document {
    Document { version: env!("CARGO_PKG_VERSION").to_owned(), ..backup("b") }
}

fn findings(own: &Own<'_>, peer: Asked, unsigned: Option<&str>, page: Asked, is_older: bool) -> Vec<Finding> {
    let pages = Pages { peer, unsigned: unsigned.map(str::to_owned), page };
    judge(own, &own.mirror.peers[0], &Answers { pages, is_older })
}

#[track_caller]
fn one(found: &[Finding], severity: Severity, words: &str) {
    let [finding] = found else { panic!("{words}: {found:#?}") };
    assert!(finding.severity == severity && finding.message.contains(words), "{words}: {finding:#?}");
    assert_eq!(finding.help.is_none(), severity == Severity::Good, "{finding:?}");
}

#[test]
fn a_peer_is_judged_by_what_the_daemon_will_learn_from_it() {
    let mirror = config("");
    let own = own(&mirror);
    let (success, failed) = (|| page(200, "SUCCESS"), || page(503, "FAILED"));
    let refused = || Err(NoEvidence::Unreachable("connection refused".to_owned()));
    let slow = Err(NoEvidence::TimedOut { after: peer::TIMEOUT });
    let b = peer_b();
    let primary = Document { role: Some("primary".to_owned()), serving: true, term: 7, ..b.clone() };
    let unsure = Document { definite: false, ..b.clone() };
    let damaged = Ok(Answer::of(200, &[("content-type", "application/json")], "{}"));
    let table = [
        (document(&b), failed(), false, Severity::Good, "member b reports backup, term 0"),
        (document(&primary), success(), false, Severity::Good, "member b reports primary, term 7"),
        (document(&unsure), failed(), false, Severity::Good, "backup (not confirmed now)"),
        (document(&b), page(404, ""), false, Severity::Warning, "answers 404"),
        (damaged, failed(), false, Severity::Error, "cannot be read"),
        (refused(), refused(), false, Severity::Warning, "does not answer: connection refused"),
        (slow, failed(), false, Severity::Warning, "does not answer"),
        (page(404, "no such page, there is: /a"), success(), false, Severity::Error, "has no mirror PROD"),
        (page(404, "no such page, there is: /a"), success(), true, Severity::Warning, "older version"),
        (
            page(403, "requests from this address are not allowed"),
            page(403, ""),
            false,
            Severity::Error,
            "refuses this member",
        ),
        (page(404, "<html>"), success(), false, Severity::Warning, "says SUCCESS"),
        (page(404, "<html>"), page(500, "FAILED"), false, Severity::Warning, "says FAILED"),
        (page(200, "<html>"), page(200, "<html>"), false, Severity::Error, "is not a status page"),
        (
            Err(NoEvidence::Failed("moved".to_owned())),
            success(),
            false,
            Severity::Warning,
            "takes no traffic",
        ),
    ];
    for (peer, page, is_older, severity, words) in table {
        one(&findings(&own, peer, None, page, is_older), severity, words);
    }
}

#[test]
fn a_member_that_is_not_the_configured_peer_is_an_error() {
    let mirror = config("");
    let own = own(&mirror);
    let b = peer_b();
    let found = |changed: &Document| findings(&own, document(changed), None, page(503, "FAILED"), false);
    let itself = Document { daemon: "daemon-a".to_owned(), ..b.clone() };
    one(
        &found(&itself),
        Severity::Error,
        "either it is this member itself, or its state directory is a copy",
    );
    one(&found(&Document { member: "a".to_owned(), ..b.clone() }), Severity::Error, "this member's name");
    one(&found(&Document { mirror: "TEST".to_owned(), ..b.clone() }), Severity::Error, "the mirror TEST");
    one(&found(&Document { digest: "e".to_owned(), ..b.clone() }), Severity::Error, "configuration differs");
    one(
        &found(&Document { version: "0.0.1".to_owned(), ..b.clone() }),
        Severity::Warning,
        "runs mirrorvip 0.0.1",
    );
    let nonsense = Document { seen: Claim { term: u64::MAX, member: "c".to_owned() }, ..b.clone() };
    one(&found(&nonsense), Severity::Error, "is not plausible, because the highest one known here is 0");

    let mut expecting = config("");
    expecting.peers[0].member = Some("c".to_owned());
    let own = self::own(&expecting);
    let found = findings(&own, document(&b), None, page(503, "FAILED"), false);
    one(&found, Severity::Error, "answers as member b, expected c");
}

#[test]
fn a_signature_that_is_missing_or_wrong_says_on_which_side() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "k".repeat(32)).unwrap();
    let key = Arc::new(Key::load(file.path()).unwrap());
    let mirror = config("");
    let with_key = Own { secret: Secret::Loaded(key), ..own(&mirror) };
    let body = serde_json::to_string(&peer_b()).unwrap();
    let signed = || Ok(Answer::of(200, &[("content-type", "application/json"), (SIGNATURE, "00ff")], &body));
    let failed = || page(503, "FAILED");
    let found = |own: &Own<'_>, answer, unsigned| findings(own, answer, unsigned, failed(), false);
    one(&found(&with_key, signed(), None), Severity::Good, "member b reports backup");
    one(&found(&with_key, document(&peer_b()), Some("no")), Severity::Error, "does not sign its answer");
    one(&found(&with_key, signed(), Some("other")), Severity::Error, "with another secret");
    one(&found(&own(&mirror), signed(), None), Severity::Error, "this member has no peer_key_file");
    one(&found(&with_key, page(404, "<html>"), Some("no")), Severity::Error, "always counts as silent");
    let broken = Own { secret: Secret::Broken, ..own(&mirror) };
    one(&found(&broken, signed(), None), Severity::Good, "member b reports backup");
}

#[test]
fn a_file_that_holds_no_secret_is_found_without_asking() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "short").unwrap();
    let mirror = config(&format!("peer_key_file = '{}'", file.path().display()));
    one(local(&mirror).as_slice(), Severity::Error, "holds 5 bytes");
    std::fs::write(file.path(), "k".repeat(32)).unwrap();
    one(local(&mirror).as_slice(), Severity::Good, "every member must have the same one");
    one(local(&config("peer_key_file = '/nonexistent'")).as_slice(), Severity::Error, "cannot be read");
}

#[test]
fn what_a_stranger_says_is_made_printable() {
    let mirror = config("");
    let answer = page(404, "no such page, there is: \u{1b}[2J");
    let found = findings(&own(&mirror), answer, None, page(404, ""), false);
    assert!(!found[0].message.contains('\u{1b}'), "{found:?}");
}

#[test]
fn members_are_compared_with_each_other() {
    let member = |address: &str, name: &str| Member {
        address: Some(address.to_owned()).filter(|address| !address.is_empty()),
        name: Some(name.to_owned()),
        daemon: Some(format!("daemon-{name}-{address}")),
        run: Some(format!("run-{name}-{address}")),
        term: Some(7),
        ..Member::default()
    };
    let primary = |member: Member| Member { is_primary: true, serves: true, ..member };
    let (a, b, c) = (member("", "a"), member("10.0.2.12", "b"), member("10.0.3.12", "c"));
    let judged = |members: &[&Member]| {
        together::judge("PROD", &members.iter().map(|member| (*member).clone()).collect::<Vec<_>>())
    };
    assert_eq!(judged(&[&primary(a.clone()), &b, &c]), []);
    assert_eq!(judged(&[&a, &primary(b.clone()), &c]), []);
    let two = judged(&[&primary(a.clone()), &primary(b.clone()), &c]);
    one(
        &two,
        Severity::Error,
        "2 members are primary at the same time: this member, a (term 7) and b at 10.0.2.12 (term 7)",
    );
    one(&judged(&[&a, &primary(b.clone()), &primary(c.clone())]), Severity::Error, "b at 10.0.2.12");
    let gateway = Member { address: Some("10.0.3.12".to_owned()), serves: true, ..Member::default() };
    one(&judged(&[&primary(a.clone()), &gateway]), Severity::Error, "2 status pages say SUCCESS");

    let itself = Member { daemon: a.daemon.clone(), ..primary(member("10.0.1.12", "a")) };
    assert_eq!(judged(&[&primary(a.clone()), &itself]), [], "it is judged for being this member");
    let namesake = primary(member("10.0.2.12", "a"));
    one(&judged(&[&primary(a.clone()), &namesake]), Severity::Error, "2 members are primary");

    one(&judged(&[&a, &b, &member("10.0.3.12", "b")]), Severity::Error, "are both member b");
    let again = Member { address: Some("10.0.3.12".to_owned()), ..b.clone() };
    one(&judged(&[&a, &b, &again]), Severity::Error, "are the same member");
    let copy = Member { daemon: b.daemon.clone(), ..c.clone() };
    one(&judged(&[&a, &b, &copy]), Severity::Error, "is a copy of that of 10.0.2.12");
    let silent =
        Member { address: Some("10.0.3.12".to_owned()), expected: Some("b".to_owned()), ..Member::default() };
    one(&judged(&[&a, &b, &silent]), Severity::Error, "are both member b");
    let wrong = Member { expected: Some("a".to_owned()), ..silent };
    one(&judged(&[&a, &b, &wrong]), Severity::Error, "this member's own name");
}

/// A daemon on this machine, asked as a peer.
#[tokio::test]
async fn a_server_that_says_no_such_page_is_asked_for_the_role() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            let asks_role = head[..length].starts_with(b"GET /PROD/primary ");
            let answer = match (asks_role, head[..length].starts_with(b"GET /PROD/peer ")) {
                (true, _) => ("503 Service Unavailable", "the instance is backup\n"),
                (false, true) => ("404 Not Found", "no such page, there is: /PROD/primary\n"),
                (false, false) => ("503 Service Unavailable", "FAILED"),
            };
            let text = format!(
                "HTTP/1.1 {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}",
                answer.0,
                answer.1.len(),
                answer.1
            );
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    let url = format!("http://{address}/csp/bin/mirror_status.cxw").parse().unwrap();
    let mut mirror = config("");
    mirror.peers[0].page = HttpTarget { url, ca_file: None };
    let directory = tempfile::tempdir().unwrap();
    let text = "[[mirror]]\nname = 'PROD'\nprobe.file.path = '/role'\n";
    let config = crate::provider::parse(text, "test.toml").unwrap();
    let config = Config { state_directory: directory.path().to_owned(), mirrors: vec![mirror], ..config };
    let asked = tokio::time::timeout(Duration::from_secs(30), ask(&config, &[Some(Role::Primary)])).await;
    one(&asked.unwrap(), Severity::Warning, "runs an older version of mirrorvip");
}
