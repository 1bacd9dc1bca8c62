//! What must hold for any bytes, one function per parser: the fuzz targets in `tests/fuzz/`, which `tests/fuzz_smoke.rs`
//! also runs for a short time. The program itself does not call them.
//!
//! Each function panics when an invariant breaks. Most compare with a naive reading that knows less than the parser: it may
//! consider more outputs *possibly primary*, never fewer.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::health;
use crate::observation::Role;
use crate::peer::document::Document;
use crate::probe::{Reading, file, metrics, qlist};
use crate::provider::Config;
use crate::steer::arbiter::{Arbiter, Input, Instance, PeerFacts, PeerReport, Settings};
use crate::term::{Claim, LONGEST_JUMP, Memory};
use crate::wake;

/// Panics when an invariant does not hold for these bytes.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("config", config),
    ("log", log),
    ("metrics", metrics),
    ("peer", peer),
    ("proxy", proxy),
    ("qlist", qlist),
    ("request", request),
    ("role_file", role_file),
];

/// The instance that the targets ask for.
const INSTANCE: &str = "IRIS";

/// Output of `iris qlist`: primary only by a whole line that says so in three fields.
pub fn qlist(bytes: &[u8]) {
    let reading = qlist::parse(bytes, INSTANCE);
    check_evidence(&reading);
    if reading.outcome != Ok(Role::Primary) {
        return;
    }
    let text = String::from_utf8_lossy(bytes);
    let says_so = |line: &str| {
        let fields: Vec<_> = line.split('^').map(|field| field.trim().to_lowercase()).collect();
        let ended = fields.len() > 12 || line.ends_with('\n');
        matches!(&fields[..], [name, _, _, status, _, _, _, _, _, _, member, mirror, ..]
            if ended && *name == INSTANCE.to_lowercase() && status.starts_with("running")
                && member == "failover" && mirror == "primary")
    };
    assert!(text.split_inclusive('\n').any(says_so), "primary, but no line says so");
}

/// What another member reports: names stay printable, and no number poisons the order of promotions.
pub fn peer(bytes: &[u8]) {
    const KNOWN: u64 = 7;
    let Ok(document) = Document::parse(bytes) else { return };
    let facts = PeerFacts::of(&document);
    assert!(facts.member.bytes().all(|byte| byte.is_ascii_graphic()), "{}", facts.member.escape_default());
    let settings = Settings {
        member: "a".to_owned(),
        peers: vec![("b".to_owned(), None)],
        qos_timeout: Duration::from_secs(8),
        refuses: true,
    };
    let memory = Memory { seen: Claim { term: KNOWN, member: "b".to_owned() }, ..Memory::default() };
    let mut arbiter = Arbiter::new(settings, memory, Instance::default());
    let now = Timestamp::new(Duration::from_secs(1_000), Duration::from_secs(1_700_000_000));
    arbiter.handle(now, Input::Poll);
    arbiter.handle(now, Input::Answer { peer: 0, asked_at: now, report: PeerReport::Facts(facts) });
    let seen = &arbiter.memory().seen;
    assert!((KNOWN..=KNOWN + LONGEST_JUMP).contains(&seen.term), "{seen}");
}

/// The instance's metrics: primary only by both numbers, each on a whole line.
pub fn metrics(bytes: &[u8]) {
    let reading = metrics::parse(bytes);
    check_evidence(&reading);
    if reading.outcome != Ok(Role::Primary) {
        return;
    }
    let text = String::from_utf8_lossy(bytes);
    let says = |name: &str, number: char| {
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(str::trim).any(|line| line.starts_with(name) && line.contains(number))
    };
    let both = says("iris_mirror_status", '2') && says("iris_mirror_member_type", '3');
    assert!(both, "primary, but the numbers do not say so");
}

/// A role file: primary only by that word alone on the first line.
pub fn role_file(bytes: &[u8]) {
    let (outcome, evidence) = file::parse(bytes);
    check_text(&evidence);
    if outcome == Ok(Role::Primary) {
        let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(line).trim().to_lowercase(), "primary");
    }
}

/// A configuration: what is accepted keeps the rules, what is refused says why and where.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match crate::provider::parse(text, "fuzz.toml") {
        Ok(config) => check_rules(&config),
        Err(report) => {
            assert!(report.problems().next().is_some(), "refused without a reason");
            let lines = text.lines().count().max(1);
            for problem in report.problems() {
                assert!(problem.line().is_none_or(|line| (1..=lines + 1).contains(&line)), "{problem:?}");
            }
            let rendered = report.render(false);
            let harmful = |c: char| c.is_control() && c != '\n';
            assert!(!rendered.contains(harmful), "{rendered:?}");
        }
    }
}

/// The head of a request and its answer, however the bytes arrive.
pub fn request(bytes: &[u8]) {
    health::fuzzing::request(bytes);
}

/// A PROXY header, however the bytes arrive.
pub fn proxy(bytes: &[u8]) {
    health::fuzzing::proxy(bytes);
}

/// A log: wakes exactly when one of its lines is about mirroring, however the bytes arrive.
pub fn log(bytes: &[u8]) {
    let Some((&piece, log)) = bytes.split_first() else { return };
    let log = &log[..log.len().min(wake::LONGEST_LINE)];
    let mut line = wake::UnfinishedLine::default();
    // Every piece is read, whatever the ones before said.
    let woken = log.chunks(usize::from(piece).max(1)).fold(false, |woken, part| line.extend(part) | woken);
    let about = log.split(|&byte| byte == b'\n').any(wake::is_about_mirroring);
    assert_eq!(woken, about);
}

fn check_rules(config: &Config) {
    assert!(!config.health.listen.is_empty() && !config.mirrors.is_empty());
    let admin = &config.admin;
    let guarded = admin.tls.is_some() || admin.token_file.is_some();
    assert!(guarded || admin.listen.ip().to_canonical().is_loopback(), "an open admin listener");
    let mut taken = Vec::new();
    for mirror in &config.mirrors {
        let needed = mirror.interval.saturating_add(mirror.timeout);
        assert!(mirror.stale_after >= needed, "an answer dies before the next can be in");
        assert!(mirror.stale_after < mirror.qos_timeout, "an answer outlives the primary");
        assert!(!mirror.paths.is_empty());
        taken.push(format!("name {}", mirror.name.to_lowercase()));
        taken.extend(mirror.paths.iter().map(|path| path.trim_end_matches('/').to_lowercase()));
    }
    let count = taken.len();
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), count, "two mirrors answer for each other");
}

fn check_evidence(reading: &Reading) {
    check_text(&reading.evidence);
    if let Err(cause) = &reading.outcome {
        check_text(&cause.to_string());
    }
}

/// Text of others is short and steers no terminal.
fn check_text(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.chars().count() < 2_000, "{} characters", text.chars().count());
}
