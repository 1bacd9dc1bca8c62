//! What was observed, as docs/security.md shows it.

use std::fmt::{self, Write as _};
use std::fs;
use std::time::Duration;

use crate::checkers::{Checks, Count};
use crate::figures::{kernel, processor, quantile};
use crate::plans::ATTACKS;
use crate::target::{Health, WATCHDOG};

/// One attack, and its effect on checks and daemon.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Of each lane.
    pub(crate) checks: Vec<Checks>,
    /// What was done.
    pub(crate) note: String,
    pub(crate) took: Duration,
    /// Processor time of the daemon during the attack.
    pub(crate) cpu: Duration,
    /// How long after the attack checks were answered again; `None` if not within the run's patience.
    pub(crate) recovered: Option<Duration>,
    pub(crate) health: Health,
}

/// Name, promise and deed of every attack, in lines.
pub(crate) fn list() -> String {
    let lines =
        ATTACKS.iter().map(|attack| format!("{:<26} {} [{}]\n", attack.name, attack.does, attack.promise));
    lines.collect()
}

/// The table, and how it came to be.
pub(crate) fn render(rows: &[Row], seconds: u64) -> String {
    let mut text = String::new();
    write(&mut text, rows, seconds).expect("writing to a string does not fail");
    text
}

fn write(out: &mut String, rows: &[Row], seconds: u64) -> fmt::Result {
    let lanes: Vec<_> =
        rows.first().into_iter().flat_map(|row| &row.checks).map(|lane| lane.lane.name).collect();
    writeln!(
        out,
        "| attack | checks answered right, {} | after the attack | p50, p99, max of near ones | processor time | \
         memory, descriptors at most | watchdog | what was done |\n|{}---|---|---|---|---|---|---|",
        lanes.join(" | "),
        "---|".repeat(lanes.len()),
    )?;
    for attack in rows {
        writeln!(out, "{}", row(attack))?;
    }
    let examples: Vec<_> = rows
        .iter()
        .flat_map(|row| row.checks.iter().map(move |checks| (row.name, checks)))
        .filter_map(|(name, checks)| {
            let why = checks.example.as_ref()?;
            Some(format!("{name}, {}: {why}", checks.lane.name))
        })
        .collect();
    if !examples.is_empty() {
        writeln!(out, "\nWhy checks were not answered, an example each: {}.", examples.join("; "))?;
    }
    writeln!(
        out,
        "\nEach attack lasts {seconds} s, on a daemon of its own with a probe a second. Load balancers give a check 2 s \
         and its round trips; \"away\" means that each flight of an open connection arrives so much later. After: \
         the checks of all in the 3 s that follow. Watchdog: the longest time without a report, of {} s that the unit \
         grants. {} cores of {}, Linux {}, loopback, attackers and checkers on the same machine. By `tests/attack/run`.",
        WATCHDOG.as_secs(),
        cores(),
        processor(),
        kernel(),
    )
}

/// One row, without its end of line.
pub(crate) fn row(row: &Row) -> String {
    let Row { name, checks, note, took, cpu, recovered, health } = row;
    let mut after = Count::default();
    for lane in checks {
        after.all += lane.after.all;
        after.wrong += lane.after.wrong;
        after.unanswered += lane.after.unanswered;
    }
    let mut then = cell(after);
    if after.wrong + after.unanswered > 0 {
        then += &recovered.map_or_else(
            || ", and never again".to_owned(),
            |time| format!(", again after {:.1} s", time.as_secs_f64()),
        );
    }
    let during: Vec<_> = checks.iter().map(|lane| cell(lane.during)).collect();
    let near = checks.first().map(|lane| lane.latencies.as_slice()).unwrap_or_default();
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| milliseconds(quantile(near, share)));
    format!(
        "| `{name}` | {} | {} | {p50}, {p99}, {max} ms | {:.1} of {:.0} s | {}, {} | {} | {note} |",
        during.join(" | "),
        then,
        cpu.as_secs_f64(),
        took.as_secs_f64(),
        memory(health),
        health.most_descriptors,
        watchdog(health),
    )
}

fn cell(count: Count) -> String {
    let words = count.words();
    if count.wrong + count.unanswered > 0 { format!("**{words}**") } else { words }
}

fn memory(health: &Health) -> String {
    let size = mebibytes(health.peak);
    if health.too_large { format!("**{size}, called off**") } else { size }
}

fn watchdog(health: &Health) -> String {
    let longest = format!("{:.1} s", health.longest_fast.as_secs_f64());
    match (health.alive, health.longest_fast > WATCHDOG) {
        (false, _) => format!("**{longest}, the daemon died**"),
        (true, true) => format!("**{longest}**"),
        (true, false) => longest,
    }
}

/// With one decimal.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1_000.0)
}

/// A size for people.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

fn cores() -> usize {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines().filter(|line| line.starts_with("processor")).count()
}
