//! The label as a function of the verdict, the plan, and the server's answers. The wire is in `tests/kubernetes`.

use super::*;
use crate::flood::Flood;
use crate::observation::{NoEvidence, Role};
use crate::steer::Target as _;
use crate::steer::testing::{at, lead};

fn target() -> Kubernetes {
    let toml = "[[mirror]]\nname = 'PROD'\n[mirror.probe.qlist]\ninstance = 'IRIS'\n[[mirror.kubernetes]]\n";
    let mut config = crate::provider::parse(toml, "test").unwrap();
    match config.mirrors[0].targets.remove(0) {
        crate::provider::Table::Kubernetes(settings) => Kubernetes::new(&settings, None),
        other => panic!("{other:?}"),
    }
}

fn observed(label: Option<&str>, wanted: Option<&'static str>) -> Observed {
    Observed { label: label.map(str::to_owned), version: "7".to_owned(), wanted }
}

fn hold() -> Intent {
    Intent::Hold { reason: "silence".to_owned() }
}

#[test]
fn silence_is_unknown_and_never_backup() {
    let word = |reason| wanted(&Verdict::Refuse(reason));
    let silence = NoEvidence::TimedOut { after: Duration::from_secs(2) };
    assert_eq!(word(Reason::NoEvidence(silence)), Some("unknown"));
    assert_eq!(word(Reason::Expired), Some("unknown"));
    assert_eq!(word(Reason::Superseded { by: "db2".to_owned() }), Some("unknown"));
    assert_eq!(word(Reason::Starting), None);
    assert_eq!(word(Reason::Stopping), None);
    assert_eq!(word(Reason::Rising { seen: 1, needed: 2 }), None);
    for role in Role::all().filter(|role| *role != Role::Primary) {
        assert_eq!(word(Reason::NotPrimary(role.clone())), Some(role.word()));
    }
}

#[test]
fn every_role_word_is_a_valid_label() {
    for word in Role::all().map(|role| role.word()).chain([PRIMARY, UNKNOWN]) {
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        assert!(word.len() <= 63 && word.chars().all(inner), "{word}");
        assert!(word.starts_with(char::is_alphanumeric) && word.ends_with(char::is_alphanumeric), "{word}");
    }
}

#[test]
fn a_plan_sets_what_differs_and_nothing_else() {
    let target = target();
    let check = |intent: &Intent, label: Option<&str>, wanted, expected: &[&str]| {
        let plan = target.plan(intent, &observed(label, wanted), at(0));
        let values: Vec<_> = plan.steps.iter().map(|step| step.value).collect();
        assert_eq!(values, expected, "{intent:?} {label:?} {wanted:?}");
        assert_eq!(plan.then, Progress::Fulfilled);
        assert!(plan.steps.iter().all(|step| !step.moves_traffic() && step.version == "7"));
    };
    check(&lead(1), None, Some("primary"), &["primary"]);
    check(&lead(1), Some("primary"), Some("primary"), &[]);
    // From a read before the promotion.
    check(&lead(1), Some("backup"), Some("backup"), &["primary"]);
    check(&Intent::Follow, Some("primary"), Some("backup"), &["backup"]);
    check(&Intent::Follow, Some("backup"), Some("backup"), &[]);
    check(&Intent::Follow, Some("backup"), Some("down"), &["down"]);
    check(&hold(), Some("primary"), Some("unknown"), &["unknown"]);
    check(&hold(), Some("primary"), None, &[]);
    // A read from before the demotion never makes a primary.
    check(&Intent::Follow, Some("unknown"), Some("primary"), &[]);
    check(&hold(), None, Some("primary"), &[]);
}

#[test]
fn a_write_carries_the_version_that_was_read() {
    let target = target();
    let plan = target.plan(&lead(1), &observed(None, None), at(0));
    assert_eq!(
        plan.steps[0].body(),
        r#"{"metadata":{"labels":{"intersystems.com/mirrorRole":"primary"},"resourceVersion":"7"}}"#
    );
    assert_eq!(plan.steps[0].to_string(), "PatchPod metadata.labels intersystems.com/mirrorRole=primary");
}

#[test]
fn every_answer_has_a_class() {
    let check = |status: u16, body: &str, class: Class, words: &str| {
        let error = read(&Answer::of(status, &[], body)).unwrap_err();
        assert_eq!(error.class, class, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let forbidden = r#"{"kind":"Status","message":"pods \"iris-0\" is forbidden"}"#;
    check(403, forbidden, Class::Stop, "pods \"iris-0\" is forbidden");
    check(401, "", Class::Retry, "the server gave no reason");
    check(404, "", Class::Stop, "404");
    check(409, "", Class::Observe, "409");
    check(429, "", Class::Throttled, "429");
    check(500, "", Class::Retry, "500");
    check(503, "<html>", Class::Retry, "503");
    check(422, "", Class::Stop, "422");
    check(200, "{}", Class::Retry, "the answer is no pod");
}

#[tokio::test]
async fn a_server_that_answers_without_end_is_given_up() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "TOKEN").unwrap();
    for (flood, told) in [(Flood::of_chunks().await, "1048576 bytes"), (Flood::of_drops().await, "2s")] {
        let mut target = target();
        target.settings.server = Some(flood.url().parse().unwrap());
        target.settings.token_file = token.path().to_owned();
        target.settings.namespace = Value::Is("default".to_owned());
        target.settings.pod = Value::Is("iris-0".to_owned());
        let error = target.look().await.expect_err("it is no answer");
        assert!(error.class == Class::Retry && error.message.contains(told), "{error}");
        assert!(flood.requests() == 1 && flood.sent() < 32 * 1024 * 1024, "{} bytes", flood.sent());
    }
}

#[test]
fn what_a_server_answers_is_fit_to_be_shown() {
    let body =
        format!("{{\"metadata\": \"\u{1b}[31m{}\"}}", "x".repeat(100_000)).replace('\u{1b}', "\\u001b");
    let error = read(&Answer::of(200, &[], &body)).expect_err("it is no pod");
    assert!(error.message.chars().count() < 2_000 && !error.message.contains('\u{1b}'), "{error}");
    let deep = "{\"a\":".repeat(100_000);
    assert_eq!(read(&Answer::of(200, &[], &deep)).expect_err("it is no pod").class, Class::Retry);
}
