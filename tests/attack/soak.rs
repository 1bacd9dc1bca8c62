//! The soak test: checks at a steady pace for minutes, slow clients, a role that flips every two seconds, and the
//! attacks in turns. Every answer is judged by the role that the instance had.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::checkers::{Answer, Check, Checkers, Lane, Record};
use crate::figures::quantile;
use crate::floods::{self, Flood, Sources};
use crate::now;
use crate::plans::{Weapon, steer};
use crate::servers::{Manner, Server};
use crate::table::{mebibytes, milliseconds};
use crate::target::{Health, Setup, Target};

/// Between two flips of the role.
const FLIP: Duration = Duration::from_secs(2);
/// How long each attack lasts.
const TURN: Duration = Duration::from_secs(20);
/// How long an answer may follow the role that was: `stale_after` below for a loss, `interval` and `timeout` for
/// a promotion.
const LAG: Duration = Duration::from_secs(1);
const TIMES: &str = "interval = \"200ms\"\ntimeout = \"800ms\"\nstale_after = \"1s\"";

/// 500 checks a second, 40 of them from afar.
const LANES: [Lane; 3] = [
    Lane::new("near", 10, 0, 23, 50),
    Lane::new("40 ms away", 11, 40, 5, 250),
    Lane::new("120 ms away", 12, 120, 5, 250),
];

/// How the answers of a lane stand to the role.
#[derive(Debug, Default)]
struct Judged {
    all: usize,
    right: usize,
    wrong: usize,
    unanswered: usize,
    /// The longest that an answer followed the role that was.
    lag: Duration,
    latencies: Vec<Duration>,
    /// What was not right: why, and in which second of the test.
    examples: Vec<String>,
}

/// Runs it for so long; the figures in Markdown.
pub(crate) fn run(program: &Path, duration: Duration) -> Result<String> {
    let directory = tempfile::tempdir().context("failed to make a directory")?;
    let endpoint = Server::start()?;
    let mut setup = Setup { mirror: TIMES.to_owned(), ..Setup::default() };
    // Slow clients are at 127.0.0.20, the flood that may ask at 127.0.0.66, that of strangers in 127.1.0.0/16.
    "allowed_networks = [\"127.0.0.0/16\"]".clone_into(&mut setup.health);
    steer(&mut setup, "peers = \"none\"", "10.0.1.12", &endpoint);
    let target = Target::start(program, directory.path(), &setup)?;
    target.wait_until_serving(None)?;

    let (began, first) = (now(), target.health());
    let stop = AtomicBool::new(false);
    let checkers = Checkers::start(target.page, None, &LANES);
    let (flips, turns) = std::thread::scope(|scope| {
        let flipping = scope.spawn(|| flip(&target, began, &stop));
        let slow = scope.spawn(|| floods::drip(target.page, &stop));
        let attacking = scope.spawn(|| attack(&target, &endpoint, &stop));
        let mut reported = began;
        while now() < began + duration {
            std::thread::sleep(Duration::from_millis(200));
            if reported.elapsed() > Duration::from_secs(60) {
                reported = now();
                let health = target.health();
                eprintln!(
                    "{:>4} s: {}, {} descriptors",
                    began.elapsed().as_secs(),
                    mebibytes(health.resident),
                    health.descriptors
                );
            }
        }
        stop.store(true, Ordering::Relaxed);
        slow.join().expect("it does not panic");
        let turns = attacking.join().expect("it does not panic")?;
        Ok::<_, anyhow::Error>((flipping.join().expect("it does not panic")?, turns))
    })?;
    let records = checkers.stop();
    // What attacks left behind has a moment to be cleared.
    std::thread::sleep(Duration::from_secs(3));
    let last = target.health();
    let judged: Vec<_> =
        records.iter().map(|record| (record.lane, Judged::of(record, &flips, began))).collect();
    let mut text = String::new();
    write(&mut text, &judged, flips.len(), [first, last], &turns)?;
    Ok(text)
}

/// Flips the role, that of the primary since it `began`; since when it is what.
fn flip(target: &Target, began: Instant, stop: &AtomicBool) -> Result<Vec<(Instant, bool)>> {
    let mut flips = vec![(began, true)];
    while !stop.load(Ordering::Relaxed) {
        let due = flips.last().map_or_else(now, |(at, _)| *at + FLIP);
        std::thread::sleep(due.saturating_duration_since(now()).min(Duration::from_millis(50)));
        if now() >= due {
            let primary = flips.len() % 2 == 0;
            target.set_primary(primary)?;
            flips.push((now(), primary));
        }
    }
    Ok(flips)
}

/// Attacks in turns; what was done in each.
fn attack(target: &Target, endpoint: &Server, stop: &AtomicBool) -> Result<Vec<String>> {
    let idle = Flood::idle;
    let weapons = [
        ("idle-flood", Weapon::Page(idle())),
        ("idle-flood-many-strangers", Weapon::Page(Flood { from: Sources::Many, ..idle() })),
        ("partial-heads", Weapon::Page(Flood::partial())),
        ("connect-storm", Weapon::Page(Flood { hold: 0, ..idle() })),
        ("admin-flood", Weapon::AdminAlone(idle())),
        ("wake-flood", Weapon::Wake),
        ("endless-answer", Weapon::Answer(endpoint.clone(), Manner::Endless)),
        ("wide-xml", Weapon::Answer(endpoint.clone(), Manner::Wide)),
    ];
    let mut notes = Vec::new();
    for (name, weapon) in weapons.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (began, ends) = (now(), AtomicBool::new(false));
        let note = std::thread::scope(|scope| {
            let attacking = scope.spawn(|| weapon.run(target, &ends));
            while began.elapsed() < TURN && !stop.load(Ordering::Relaxed) && !target.is_too_large() {
                std::thread::sleep(Duration::from_millis(20));
            }
            ends.store(true, Ordering::Relaxed);
            attacking.join().expect("an attack's thread does not panic")
        })?;
        eprintln!("{name} for {} s: {note}", began.elapsed().as_secs());
        if notes.len() < weapons.len() {
            notes.push(format!("`{name}` ({note})"));
        }
        while target.is_too_large() && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(notes)
}

fn write(
    out: &mut String,
    judged: &[(Lane, Judged)],
    flips: usize,
    [first, last]: [Health; 2],
    turns: &[String],
) -> fmt::Result {
    writeln!(
        out,
        "| soak | checks | answered right | wrong | unanswered | followed the role within | p50, p99, max |\n\
         |---|---|---|---|---|---|---|"
    )?;
    for (lane, judged) in judged {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| milliseconds(quantile(&judged.latencies, share)));
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} ms | {p50}, {p99}, {max} ms |",
            lane.name,
            judged.all,
            judged.right,
            judged.wrong,
            judged.unanswered,
            milliseconds(judged.lag),
        )?;
    }
    let sum = |part: fn(&Judged) -> usize| judged.iter().map(|(_, judged)| part(judged)).sum::<usize>();
    writeln!(
        out,
        "\n{} of {} checks answered, {} wrong. {flips} roles, {} ms each; an answer may follow the previous role for \
         {} ms (`stale_after`). Resident memory first {}, last {}, peak {}; descriptors first {}, last {}, peak {}. The \
         watchdog's longest time without a report: {:.1} s{}. 200 slow clients all the time, attacks in turns of {} s: {}.",
        sum(|judged| judged.all - judged.unanswered),
        sum(|judged| judged.all),
        sum(|judged| judged.wrong),
        FLIP.as_millis(),
        LAG.as_millis(),
        mebibytes(first.resident),
        mebibytes(last.resident),
        mebibytes(last.peak),
        first.descriptors,
        last.descriptors,
        last.most_descriptors,
        last.longest_fast.as_secs_f64(),
        if last.alive { "" } else { ", AND THE DAEMON DIED" },
        TURN.as_secs(),
        turns.join(", "),
    )?;
    let examples: Vec<_> =
        judged.iter().flat_map(|(_, judged)| judged.examples.iter().take(5).cloned()).collect();
    if !examples.is_empty() {
        writeln!(out, "\nNot right, for example: {}.", examples.join("; "))?;
    }
    Ok(())
}

// === impl Judged ===

impl Judged {
    fn of(record: &Record, flips: &[(Instant, bool)], began: Instant) -> Self {
        let mut judged = Self { all: record.checks.len(), ..Self::default() };
        for check in &record.checks {
            let second = check.asked.saturating_duration_since(began).as_secs();
            let said = match &check.answer {
                Answer::Success => true,
                Answer::Failed => false,
                Answer::None(why) => {
                    judged.unanswered += 1;
                    judged.example(second, why);
                    continue;
                }
            };
            judged.latencies.push((check.answered - check.asked).saturating_sub(record.lane.distance));
            let Some(behind) = behind(check, said, flips) else {
                judged.wrong += 1;
                judged.example(second, if said { "SUCCESS of a backup" } else { "FAILED of a primary" });
                continue;
            };
            judged.right += 1;
            judged.lag = judged.lag.max(behind);
        }
        judged.latencies.sort_unstable();
        judged
    }

    fn example(&mut self, second: u64, why: &str) {
        if self.examples.len() < 5 {
            self.examples.push(format!("second {second}: {why}"));
        }
    }
}

/// How long before the check was asked the instance last was what the answer says; `None` if that is too long.
fn behind(check: &Check, said: bool, flips: &[(Instant, bool)]) -> Option<Duration> {
    let mut until = check.answered;
    for &(since, primary) in flips.iter().rev() {
        // The role held from `since` to `until`.
        if since <= check.answered {
            if primary == said {
                let behind = check.asked.saturating_duration_since(until);
                return (behind <= LAG).then_some(behind);
            }
            until = since;
        }
        if check.asked.saturating_duration_since(until) > LAG {
            return None;
        }
    }
    None
}
