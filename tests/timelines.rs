//! Timelines that an administrator can read, replayed against the real role machine.
//!
//! Each file under `tests/timelines/` is one story. The first line that is no comment gives the settings;
//! every other line is `TIME WHAT => PAGE STATE [epoch N] [ORIGIN]`, where WHAT is what a probe that was
//! asked at TIME (and, with `+1.5s`, answered that much later) brought back, or `look` when only a health
//! check comes by, `superseded` when a peer turns out to have been promoted later; PAGE is the status code of the page at that moment and STATE the label in logs.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use mirrorvip::clock::Timestamp;
use mirrorvip::observation::{NoEvidence, Observation, Outcome, Role};
use mirrorvip::role::{Remembered, Settings, Tracker, Verdict};

#[test]
fn every_timeline_holds() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/timelines");
    let mut played = 0;
    for entry in std::fs::read_dir(&directory).expect("the timelines are in the repository") {
        let path = entry.expect("readable directory").path();
        let text = std::fs::read_to_string(&path).expect("readable timeline");
        replay(&path.file_name().expect("a file").to_string_lossy(), &text);
        played += 1;
    }
    assert!(played >= 6, "only {played} timelines found in {}", directory.display());
}

fn replay(name: &str, text: &str) {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split('#').next().unwrap_or_default().trim()))
        .filter(|(_, line)| !line.is_empty());
    let (_, settings) = lines.next().expect("a timeline begins with its settings");
    let mut tracker = tracker(settings);
    let mut steps = 0;
    for (number, line) in lines {
        let place = format!("{name}:{number}: {line}");
        let (happens, expected) = line.split_once("=>").unwrap_or_else(|| panic!("{place}: `=>` is missing"));
        let now = play(&mut tracker, happens, &place);
        assert_eq!(
            describe(&tracker, now, expected),
            expected.split_whitespace().collect::<Vec<_>>().join(" "),
            "{place}"
        );
        steps += 1;
    }
    assert!(steps > 2, "{name} has too few steps");
}

fn tracker(settings: &str) -> Tracker {
    let (mut stale_after, mut rise, mut remembered) = (None, NonZeroU32::MIN, None);
    for word in settings.split_whitespace() {
        match word.split_once('=').expect("settings are key=value") {
            ("stale_after", value) => stale_after = Some(seconds(value)),
            ("rise", value) => rise = value.parse().expect("rise is a number"),
            ("remembered", value) => {
                remembered = Some(
                    serde_json::from_str::<Remembered>(value).expect("remembered is JSON without blanks"),
                );
            }
            (key, _) => panic!("unknown setting {key}"),
        }
    }
    Tracker::new(Settings { stale_after: stale_after.expect("stale_after is given"), rise }, remembered)
}

/// Plays one step and returns the moment at which a health check comes by.
fn play(tracker: &mut Tracker, happens: &str, place: &str) -> Timestamp {
    let mut words = happens.split_whitespace();
    let asked = seconds(words.next().expect("a time"));
    let what = words.next().unwrap_or_else(|| panic!("{place}: what happens?"));
    let answered =
        asked + words.next().map_or(Duration::ZERO, |delay| seconds(delay.trim_start_matches('+')));
    let outcome: Outcome = match what {
        "look" => return moment(asked),
        "stop" => {
            tracker.stop();
            return moment(asked);
        }
        "superseded" => {
            tracker.supersede(tracker.epoch(), "a peer that was promoted later");
            return moment(asked);
        }
        "hang" => Err(NoEvidence::TimedOut { after: answered.saturating_sub(asked) }),
        "trouble" => Err(NoEvidence::Trouble("In Trouble".to_owned())),
        "gone" => Err(NoEvidence::CommandMissing("iris: not found".to_owned())),
        word => Ok(Role::from_word(word).unwrap_or_else(|| panic!("{place}: {word} is no role"))),
    };
    let (asked_at, answered_at) = (moment(asked), moment(answered));
    tracker.observe(&Observation { asked_at, answered_at, outcome, evidence: String::new() });
    answered_at
}

/// What the reader sees, with the optional words only where the timeline mentions them.
fn describe(tracker: &Tracker, now: Timestamp, expected: &str) -> String {
    let verdict = tracker.verdict().at(now);
    let page = match &verdict {
        Verdict::Serve { .. } => 200,
        Verdict::Refuse(reason) if reason.is_unanswerable() => 500,
        Verdict::Refuse(_) => 503,
    };
    let mut words = vec![page.to_string(), verdict.label().to_owned()];
    if expected.contains("epoch") {
        words.push(format!("epoch {}", tracker.epoch()));
    }
    if let Some(origin) = tracker.origin().filter(|origin| expected.contains(origin.word())) {
        words.push(origin.word().to_owned());
    }
    words.join(" ")
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs_f64(
        text.trim_end_matches('s').parse().unwrap_or_else(|_| panic!("{text} is no time")),
    )
}

fn moment(since_start: Duration) -> Timestamp {
    Timestamp::new(
        Duration::from_secs(86_400) + since_start,
        Duration::from_secs(1_795_228_800) + since_start,
    )
}
