//! Bytes, status codes and totality of the answers.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::watch;

use super::*;
use crate::health::head::{MAX_HEAD, Parsed, parse};
use crate::observation::{AsyncKind, NoEvidence, Observation, OtherRole, Outcome};
use crate::peer::document::Identity;
use crate::peer::key::Key;
use crate::role::{Settings, Tracker};
use crate::term::{Claim, Memory};

const NOW: Timestamp = Timestamp::new(Duration::from_secs(100), Duration::from_secs(1_000));
const STALE_AFTER: Duration = Duration::from_secs(4);

fn mirror(name: &str, outcomes: &[Outcome]) -> Mirror {
    let rise = NonZeroU32::MIN;
    let mut tracker = Tracker::new(Settings { stale_after: STALE_AFTER, rise }, None);
    for outcome in outcomes {
        let (asked_at, answered_at, outcome) = (NOW, NOW, outcome.clone());
        tracker.observe(&Observation { asked_at, answered_at, outcome, evidence: String::new() });
    }
    let snapshot = watch::channel(Snapshot::new(tracker)).1;
    let (name, paths) = (Arc::from(name), vec![format!("/{name}")]);
    Mirror { profile: profile(&name, None), name, paths, snapshot }
}

/// What the member `db1` of `mirror` reports besides its role.
fn profile(mirror: &str, key: Option<Key>) -> watch::Receiver<Profile> {
    let identity = Identity {
        mirror: mirror.to_owned(),
        member: "db1".to_owned(),
        daemon: "d".repeat(32),
        run: "e".repeat(32),
        digest: "3b1f".to_owned(),
    };
    let seen = Claim { term: 8, member: "db2".to_owned() };
    let memory = Memory { term: 7, seen, ..Memory::default() };
    let profile = Profile {
        proven: true,
        authority: "clear",
        key: key.map(Arc::new),
        ..Profile::new(identity, &memory)
    };
    watch::Sender::new(profile).subscribe()
}

fn ask_all(mirrors: &[Mirror], request: &str, now: Timestamp) -> (Response, String) {
    let routes = Routes::new(mirrors.iter().map(|m| (&*m.name, m.paths.as_slice())));
    let text = format!("{request} HTTP/1.1\r\n\r\n");
    let Parsed::Complete { head, .. } = parse(text.as_bytes(), 0) else { panic!("{request}") };
    let response = respond(&head, &routes, mirrors, now);
    let bytes = String::from_utf8(response.bytes.to_vec()).unwrap();
    (response, bytes)
}

fn ask(outcome: &Outcome, request: &str) -> String {
    ask_all(&[mirror("m", std::slice::from_ref(outcome))], request, NOW).1
}

#[test]
fn the_status_page_byte_for_byte() {
    let page = "GET /m/mirror_status.cxw";
    assert_eq!(
        ask(&Ok(Role::Primary), page),
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 7\r\n\r\nSUCCESS"
    );
    assert_eq!(
        ask(&Ok(Role::Backup), page),
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n\
         Content-Length: 6\r\n\r\nFAILED"
    );
    assert_eq!(
        ask(&Err(NoEvidence::NoSuchInstance("no instance X".into())), page),
        "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nConnection: close\r\n\
         Content-Length: 6\r\n\r\nFAILED"
    );
    assert_eq!(
        ask(&Ok(Role::Primary), "HEAD /m/mirror_status.cxw"),
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 7\r\n\r\n"
    );
}

#[test]
fn only_primary_succeeds_and_only_a_broken_set_up_is_500() {
    for role in Role::all() {
        let status = if role == Role::Primary { 200 } else { 503 };
        assert_eq!(ask_all(&[mirror("m", &[Ok(role)])], "GET /m/mirrorstatus.cxw", NOW).0.status, status);
    }
    let text = String::new;
    for (cause, status) in [
        (NoEvidence::CommandMissing(text()), 500),
        (NoEvidence::Denied(text()), 500),
        (NoEvidence::TimedOut { after: STALE_AFTER }, 503),
        (NoEvidence::Trouble(text()), 503),
        (NoEvidence::Unreachable(text()), 503),
    ] {
        assert_eq!(ask_all(&[mirror("m", &[Err(cause)])], "GET /m/mirrorstatus.cxw", NOW).0.status, status);
    }
    assert_eq!(ask_all(&[mirror("m", &[])], "GET /m/mirrorstatus.cxw", NOW).0.status, 503);
}

#[test]
fn the_reader_lets_the_verdict_expire() {
    let mirrors = [mirror("m", &[Ok(Role::Primary)])];
    let just_before = NOW.later_by(STALE_AFTER.checked_sub(Duration::from_nanos(1)).unwrap());
    let status = |path, now| ask_all(&mirrors, path, now).0.status;
    for path in ["GET /m/mirrorstatus.cxw", "GET /primary"] {
        assert_eq!(status(path, just_before), 200);
        assert_eq!(status(path, NOW.later_by(STALE_AFTER)), 503);
    }
    let readers = [mirror("m", &[Ok(Role::Backup)])];
    assert_eq!(ask_all(&readers, "GET /backup", just_before).0.status, 200);
    assert_eq!(ask_all(&readers, "GET /backup", NOW.later_by(STALE_AFTER)).0.status, 503);
}

#[test]
fn pages_of_roles() {
    let reporting = Ok(Role::Async(AsyncKind::ReadOnlyReporting));
    let table: [(&Outcome, [u16; 3]); 5] = [
        (&Ok(Role::Primary), [200, 503, 503]),
        (&Ok(Role::Backup), [503, 200, 503]),
        (&reporting, [503, 503, 200]),
        (&Ok(Role::Other(OtherRole::Connected)), [503, 503, 503]),
        (&Err(NoEvidence::CommandMissing("x".into())), [503, 503, 503]),
    ];
    for (outcome, expected) in table {
        let mirrors = [mirror("m", std::slice::from_ref(outcome))];
        let seen = ["/primary", "/backup", "/m/async"]
            .map(|path| ask_all(&mirrors, &format!("GET {path}"), NOW).0.status);
        assert_eq!(seen, expected, "{outcome:?}");
    }
    let ends = |outcome: Outcome, end: &str| {
        let answer = ask(&outcome, "GET /primary");
        assert!(answer.ends_with(end), "{answer}");
    };
    ends(Ok(Role::Primary), "\r\n\r\nthe instance is primary, epoch 1\n");
    ends(Ok(Role::Backup), "\r\n\r\nthe instance is backup\n");
    ends(Err(NoEvidence::TimedOut { after: Duration::from_secs(2) }), "\r\n\r\nno answer within 2s\n");
    assert!(ask(&Ok(Role::Primary), "GET /promotion").starts_with("HTTP/1.1 404 "), "of earlier versions");
    let hostile = Err(NoEvidence::Failed("a\r\nX-Evil: 1\r\n\r\n".into()));
    assert_eq!(ask(&hostile, "GET /primary").matches("\r\n").count(), 5, "no header is smuggled in");
}

#[test]
fn the_page_for_other_members_byte_for_byte() {
    let promoted = [mirror("m", &[Ok(Role::Backup), Ok(Role::Primary)])];
    let (response, bytes) = ask_all(&promoted, "GET /m/peer", NOW.later_by(Duration::from_millis(1_500)));
    assert_eq!(response.about, Some(About { mirror: 0, verdict: false }), "another member directs no client");
    let document = format!(
        "{{\"mirror\":\"m\",\"member\":\"db1\",\"daemon\":\"{}\",\"run\":\"{}\",\"version\":\"{}\",\"digest\":\"3b1f\",\
         \"role\":\"primary\",\"definite\":true,\"role_age_seconds\":1.5,\"serving\":true,\"term\":7,\"proven\":true,\
         \"seen\":{{\"term\":8,\"member\":\"db2\"}},\"authority\":\"clear\",\"promoted_seconds_ago\":1.5}}",
        "d".repeat(32),
        "e".repeat(32),
        env!("CARGO_PKG_VERSION"),
    );
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ";
    assert_eq!(bytes, format!("{head}{}\r\n\r\n{document}", document.len()));
    assert_eq!(ask_all(&promoted, "HEAD /peer", NOW).1.split("\r\n\r\n").nth(1), Some(""));
}

#[test]
fn the_page_for_other_members_says_what_the_instance_is_at_that_moment() {
    let reported = |outcome: Outcome, later: Duration| {
        let (response, bytes) = ask_all(&[mirror("m", &[outcome])], "GET /peer", NOW.later_by(later));
        assert_eq!(response.status, 200, "whatever it is");
        let (_, body) = bytes.split_once("\r\n\r\n").unwrap();
        let document = Document::parse(body.as_bytes()).unwrap();
        (document.role.clone(), document.definite, document.serving, document.is_other_since())
    };
    let word = |word: &str| Some(word.to_owned());
    let second = Duration::from_secs(1);
    assert_eq!(reported(Ok(Role::Primary), second), (word("primary"), true, true, None));
    assert_eq!(reported(Ok(Role::Backup), second), (word("backup"), true, false, Some(second)));
    assert_eq!(reported(Ok(Role::Primary), STALE_AFTER), (word("primary"), false, false, None));
    assert_eq!(reported(Ok(Role::Backup), STALE_AFTER), (word("backup"), false, false, None));
    assert_eq!(reported(Err(NoEvidence::Trouble(String::new())), second), (None, false, false, None));
}

#[test]
fn the_page_for_other_members_is_signed_where_there_is_a_secret_and_a_nonce() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "k".repeat(32)).unwrap();
    let key = || Key::load(file.path()).unwrap();
    let nonce = "00112233445566778899aabbccddeeff";
    let question = |fields: &str| format!("GET /m/peer HTTP/1.1{fields}\r\n\r\n");
    let asked = format!("\r\nMirrorVIP-Nonce: {nonce}");
    let answer = |key: Option<Key>, fields: &str| {
        let mirrors = [Mirror { profile: profile("m", key), ..mirror("m", &[Ok(Role::Backup)]) }];
        let routes = Routes::new(mirrors.iter().map(|m| (&*m.name, m.paths.as_slice())));
        let text = question(fields);
        let Parsed::Complete { head, .. } = parse(text.as_bytes(), 0) else { panic!("{text}") };
        String::from_utf8(respond(&head, &routes, &mirrors, NOW).bytes.to_vec()).unwrap()
    };
    let signed = answer(Some(key()), &asked);
    let (head, body) = signed.split_once("\r\n\r\n").unwrap();
    let signature = head.lines().find_map(|line| line.strip_prefix("mirrorvip-signature: ")).expect("signed");
    assert!(key().verifies(nonce, body.as_bytes(), signature));
    assert!(!answer(Some(key()), "").contains("signature"), "no question asked for it");
    assert!(!answer(None, &asked).contains("signature"), "there is no secret");
}

#[test]
fn live_and_ready() {
    let mirrors = [mirror("a", &[Ok(Role::Backup)]), mirror("b", &[])];
    assert_eq!(ask_all(&mirrors, "GET /live", NOW).0.status, 200);
    let (response, bytes) = ask_all(&mirrors, "GET /ready", NOW);
    assert_eq!(response.status, 503);
    assert!(bytes.ends_with("mirror b has no verdict yet\n"));
    assert_eq!(ask_all(&mirrors[..1], "GET /ready", NOW).0.status, 200);
    let failed = [mirror("b", &[Err(NoEvidence::TimedOut { after: STALE_AFTER })])];
    assert_eq!(ask_all(&failed, "GET /ready", NOW).0.status, 200, "a verdict, if a bad one");
}

#[test]
fn faults_of_the_request() {
    let wrong_method = ask(&Ok(Role::Primary), "POST /m/mirror_status.cxw");
    assert!(wrong_method.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
    assert!(wrong_method.contains("\r\nAllow: GET, HEAD\r\n"));
    let elsewhere = ask(&Ok(Role::Primary), "GET /");
    assert!(elsewhere.starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(elsewhere.contains("/m/mirror_status.cxw /primary"));
    assert!(ask(&Ok(Role::Primary), "OPTIONS *").starts_with("HTTP/1.1 404"));
    for (response, status) in [
        (Response::bad_request(), 400),
        (Response::forbidden(), 403),
        (Response::timeout(), 408),
        (Response::too_long(), 431),
    ] {
        assert_eq!(response.status, status);
        assert!(!phrase(status).is_empty());
    }
}

#[test]
fn records_which_mirror_was_asked_for_its_verdict() {
    let mirrors = [mirror("a", &[]), mirror("b", &[])];
    let about = |request| ask_all(&mirrors, request, NOW).0.about;
    assert_eq!(about("GET /b/mirrorstatus.cxw"), Some(About { mirror: 1, verdict: true }));
    assert_eq!(about("GET /b/primary"), Some(About { mirror: 1, verdict: true }));
    assert_eq!(about("HEAD /a/backup"), Some(About { mirror: 0, verdict: false }));
    assert_eq!(about("GET /live"), None);
}

proptest! {
    /// Whatever is sent, SUCCESS is said for the page of a serving mirror only, and lengths are right.
    #[test]
    fn any_bytes_get_a_whole_answer(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..MAX_HEAD / 64),
            "(GET|HEAD|POST) (/m/mirror_?status.cxw|/primary|/[a-z/]{0,9}) HTTP/1.[01]\r\n\r\n"
                .prop_map(String::into_bytes),
        ],
        serving in any::<bool>(),
    ) {
        let outcome = if serving { Ok(Role::Primary) } else { Ok(Role::Backup) };
        let mirrors = [mirror("m", &[outcome])];
        let routes = Routes::new(mirrors.iter().map(|m| (&*m.name, m.paths.as_slice())));
        if let Parsed::Complete { head, .. } = parse(&bytes, 0) {
            let response = respond(&head, &routes, &mirrors, NOW);
            let text = String::from_utf8(response.bytes.to_vec()).unwrap();
            let (headers, body) = text.split_once("\r\n\r\n").unwrap();
            let length = format!("Content-Length: {}", body.len());
            prop_assert!(head.method == Method::Head || headers.ends_with(&length));
            prop_assert!(serving || body != "SUCCESS");
        }
    }
}
