//! The figures beside their peers and goals, as docs/benchmarks.md shows them.

mod steering;

use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::figures::{kernel, processor, quantile};
use crate::flips::Cost;
use crate::{CONNECTIONS, Checks, Figures, Round, as_f64};

/// The goals, which the project set for itself before it measured anything.
const RATE_GOAL: f64 = 1.0;
const P99_GOAL: f64 = 1.5;
const FLIP_GOAL: Duration = Duration::from_millis(20);
const RESIDENT_GOAL: u64 = 12 * 1024 * 1024;

/// The tables, and some lines about where and how the figures came to be.
pub(crate) fn render(figures: &Figures) -> String {
    let mut text = String::new();
    write(&mut text, figures).expect("writing to a string does not fail");
    text
}

/// The first of them alone.
pub(crate) fn checks(servers: &[Checks]) -> String {
    let mut text = String::new();
    write_checks(&mut text, servers).expect("writing to a string does not fail");
    text
}

fn write(out: &mut String, figures: &Figures) -> fmt::Result {
    write_checks(out, &figures.servers)?;
    write_flips(out, figures)?;
    steering::write(out, &figures.steering)?;
    write_costs(out, figures)?;
    let Figures { extent, load, servers, woken, .. } = figures;
    writeln!(
        out,
        "\nTwo cores of {}, Linux {}, loopback, load before the run {load}. Checks: each on a connection of its \
         own, {CONNECTIONS} at a time, from one core to a server with one thread on the other; medians of {} \
         interleaved rounds of {:?}, {} checks in all. Flips: {} a row, promotions and demotions in turn. By \
         `tests/bench/run`.",
        processor(),
        kernel(),
        extent.rounds,
        extent.round,
        thousands(as_f64(servers.iter().map(|server| server.count).sum())),
        woken.len(),
    )
}

fn write_checks(out: &mut String, servers: &[Checks]) -> fmt::Result {
    let row = |out: &mut String, what: &str, cell: &dyn Fn(&Checks) -> String, goal: &str| {
        let cells: Vec<_> = servers.iter().map(cell).collect();
        writeln!(out, "| {what} | {} | {goal} |", cells.join(" | "))
    };
    row(out, "health checks", &|server| server.name.clone(), "goal")?;
    row(out, "---", &|_| "---".to_owned(), "---")?;

    let ratio = ratio_to_haproxy(servers, |round| round.rate);
    let rate_goal = goal("at least HAProxy's", ratio >= RATE_GOAL, Some(ratio));
    row(out, "checks a second", &|server| thousands(server.median(|round| round.rate)), &rate_goal)?;
    row(out, "latency, p50", &|server| ms(server.median(|round| round.p50.as_secs_f64())), "")?;
    let ratio = ratio_to_haproxy(servers, |round| round.p99.as_secs_f64());
    let p99_goal = goal("at most 1.5 times HAProxy's", ratio <= P99_GOAL, Some(ratio));
    row(out, "latency, p99", &|server| ms(server.median(|round| round.p99.as_secs_f64())), &p99_goal)?;
    row(out, "processor time a check", &|server| format!("{} µs", server.cost.as_micros()), "")?;
    let small = servers[0].resident <= RESIDENT_GOAL;
    row(out, "resident memory", &|server| mebibytes(server.resident), &goal("at most 12 MiB", small, None))
}

fn write_flips(out: &mut String, figures: &Figures) -> fmt::Result {
    writeln!(
        out,
        "\n| from the role's flip to the page's | p50 | p99 | max | goal |\n|---|---|---|---|---|"
    )?;
    let woken_goal = goal("p99 at most 20 ms", quantile(&figures.woken, 0.99) <= FLIP_GOAL, None);
    for (what, latencies, goal) in [
        ("`wake_on`, log line with the flip", &figures.woken, woken_goal.as_str()),
        ("`wake_on`, log line up to 0.4 s before the flip", &figures.woken_early, ""),
        ("no `wake_on`, `interval = \"1s\"`", &figures.polled, ""),
    ] {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| ms(quantile(latencies, share).as_secs_f64()));
        writeln!(out, "| {what} | {p50} | {p99} | {max} | {goal} |")?;
    }
    Ok(())
}

fn write_costs(out: &mut String, figures: &Figures) -> fmt::Result {
    let Cost { probes, time } = figures.probe;
    let each = |time: Duration| ms(time.as_secs_f64() / as_f64(probes));
    writeln!(out, "\n| cost | |\n|---|---|")?;
    writeln!(
        out,
        "| processor time a `qlist` probe | {} of the daemon, {} of the command (here a shell script) |",
        each(time.own),
        each(time.children)
    )?;
    steering::write_memory(out, &figures.steering)?;
    writeln!(
        out,
        "| size of the program, with all steering and without the demo | {} |",
        mebibytes(figures.program)
    )
}

/// The goal and whether it is met; with the ratio to the peer, if it is about one.
fn goal(goal: &str, met: bool, ratio: Option<f64>) -> String {
    let met = if met { "met" } else { "**missed**" };
    ratio.map_or_else(|| format!("{goal}: {met}"), |ratio| format!("{goal}: {met} ({ratio:.2})"))
}

/// The daemon's value by HAProxy's: the median over the rounds, of which each compares what was measured one
/// right after the other.
fn ratio_to_haproxy(servers: &[Checks], value: fn(&Round) -> f64) -> f64 {
    let [daemon, haproxy, ..] = servers else { return f64::NAN };
    let rounds = daemon.rounds.iter().zip(&haproxy.rounds);
    median(rounds.map(|(daemon, haproxy)| value(daemon) / value(haproxy)).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Seconds as milliseconds.
fn ms(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1_000.0)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", as_f64(bytes) / 1_048_576.0)
}

/// A whole number with commas.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

// === impl Checks ===

impl Checks {
    fn median(&self, value: fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(value).collect())
    }
}
