//! Bytes, status codes and totality of the answers.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::watch;

use super::*;
use crate::health::head::{MAX_HEAD, Parsed, parse};
use crate::observation::{AsyncKind, NoEvidence, Observation, Outcome, Standing};
use crate::role::{Settings, Tracker};

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
    Mirror { name: Arc::from(name), paths: vec![format!("/{name}")], snapshot }
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
        (&Ok(Role::Other(Standing::Connected)), [503, 503, 503]),
        (&Err(NoEvidence::CommandMissing("x".into())), [503, 503, 503]),
    ];
    for (outcome, expected) in table {
        let mirrors = [mirror("m", std::slice::from_ref(outcome))];
        let seen = ["/primary", "/backup", "/m/async"]
            .map(|path| ask_all(&mirrors, &format!("GET {path}"), NOW).0.status);
        assert_eq!(seen, expected, "{outcome:?}");
    }
    for path in ["GET /primary", "GET /promotion"] {
        let ends = |outcome: Outcome, end: &str| {
            let answer = ask(&outcome, path);
            assert!(answer.ends_with(end), "{answer}");
        };
        let primary = "\r\n\r\nthe instance is primary, epoch 1\nstate=primary epoch=1 origin=found\n";
        ends(Ok(Role::Primary), primary);
        ends(Ok(Role::Backup), "\r\n\r\nthe instance is backup\nstate=backup definite=yes\n");
        let silent = Err(NoEvidence::TimedOut { after: Duration::from_secs(2) });
        ends(silent, "\r\n\r\nno answer within 2s\nstate=no-evidence definite=no\n");
    }
    let promoted = [mirror("m", &[Ok(Role::Backup), Ok(Role::Primary)])];
    let (response, told) = ask_all(&promoted, "GET /m/promotion", NOW.later_by(Duration::from_millis(1_500)));
    let line = "state=primary epoch=1 origin=promoted promoted_seconds_ago=1.500 promotion=1000000\n";
    assert!(told.ends_with(line), "{told}");
    assert_eq!(response.about, Some(About { mirror: 0, verdict: false }), "another member directs nobody");
    let hostile = Err(NoEvidence::Failed("a\r\nX-Evil: 1\r\n\r\n".into()));
    assert_eq!(ask(&hostile, "GET /primary").matches("\r\n").count(), 5, "no header is smuggled in");
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
fn says_what_was_asked_about() {
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
