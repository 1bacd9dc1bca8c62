//! The tables about steering.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::{goal, mebibytes, median};
use crate::as_f64;
use crate::figures::quantile;
use crate::steering::{Figures, Outcome, Round, Steady, Times};

/// The goals, which the project set for itself before it measured anything.
const FLOOR_GOAL: f64 = 3.0;
const BOTO3_GOAL: f64 = 20.0;
/// "In seconds".
const RECOVERY_GOAL: Duration = Duration::from_secs(60);
const OTHER_READS_GOAL: f64 = 30.0;
const RESIDENT_GOAL: u64 = 16 * 1024 * 1024;

/// One figure of a round.
type Time = fn(&Times) -> Duration;

const HOUR: f64 = 3_600.0;
/// The pace of reads, and the number of loops: two members with two steering targets each.
const READ_EVERY: f64 = 30.0;
const LOOPS: f64 = 4.0;

/// All of them but what is about memory.
pub(super) fn write(out: &mut String, figures: &Figures) -> fmt::Result {
    write_handovers(out, figures)?;
    write_recoveries(out, figures)?;
    write_calls(out, &figures.steady)
}

/// A row of the table of costs.
pub(super) fn write_memory(out: &mut String, figures: &Figures) -> fmt::Result {
    let resident = figures.steady.resident;
    let goal = goal("at most 16 MiB", resident <= RESIDENT_GOAL, None);
    writeln!(
        out,
        "| resident memory, steering a target group and a record | {}; {goal} |",
        mebibytes(resident)
    )
}

fn write_handovers(out: &mut String, figures: &Figures) -> fmt::Result {
    let rounds = &figures.handovers;
    let [group, record] = ratios(rounds, |times| times.warm, |times| times.raw);
    let floor = goal("warm: at most 3 times the raw calls", group.max(record) <= FLOOR_GOAL, None);
    let floor = format!("{floor} ({group:.1}, {record:.1})");
    let [group, record] = ratios(rounds, |times| times.boto3, |times| times.warm);
    let boto3 = goal("warm: 20 times faster than boto3", group.min(record) >= BOTO3_GOAL, None);
    let boto3 = format!("{boto3} ({group:.0}, {record:.0})");

    writeln!(
        out,
        "\n| from the role's flip to the accepted write, {} rounds | target group, p50 | max | record, p50 | max \
         | goal |\n|---|---|---|---|---|---|",
        rounds.len(),
    )?;
    let rows: [(&str, Time, &str); 7] = [
        ("two raw calls, started by the caller", |times| times.raw, ""),
        ("`iris qlist`, then two raw calls", |times| times.raw_asking, ""),
        ("mirrorvip, warm", |times| times.warm, &floor),
        ("of that, until its page says `SUCCESS`", |times| times.warm_page, ""),
        ("mirrorvip, cold: from the start of the process", |times| times.cold, ""),
        ("boto3 script, started by the flip", |times| times.boto3, &boto3),
        ("AWS command line in a shell script, started by the flip", |times| times.command_line, ""),
    ];
    for (what, time, goal) in rows {
        let [group, record] = [0, 1].map(|kind| {
            let mut series: Vec<_> = rounds.iter().map(|round| time(&round[kind])).collect();
            series.sort_unstable();
            [0.5, 1.0].map(|share| milliseconds(quantile(&series, share))).join(" | ")
        });
        writeln!(out, "| {what} | {group} | {record} | {goal} |")?;
    }
    writeln!(
        out,
        "\nAgainst the simulated cloud, on loopback and without TLS; it is built without optimisation, and its own \
         time is in every figure. Ratios are medians of those of each round. All but warm read before they write; the raw calls use an open connection and \
         no signature, the others the credentials of the instance's role. Warm: the backup's daemon was started, \
         read its objects and rested for up to {:.0} s; its times include the log line's way, `iris qlist`, and \
         asking the peer where its last answer is older than two seconds.",
        figures.extent.rest.as_secs_f64().ceil(),
    )
}

fn write_recoveries(out: &mut String, figures: &Figures) -> fmt::Result {
    writeln!(
        out,
        "\n| from the role's flip to the accepted write, with faults, one try each | mirrorvip, warm \
         | boto3 script | AWS command line | goal |\n|---|---|---|---|---|"
    )?;
    for recovery in &figures.recoveries {
        let cells = recovery.outcomes.map(|outcome| match outcome {
            Outcome::Accepted(after) => format!("{:.1} s", after.as_secs_f64()),
            Outcome::GaveUp(after) => format!("gives up after {:.1} s", after.as_secs_f64()),
            Outcome::Undecided(after) => format!("not within {:.0} s", after.as_secs_f64()),
        });
        let [daemon, _, _] = recovery.outcomes;
        let recovered = matches!(daemon, Outcome::Accepted(after) if after <= RECOVERY_GOAL);
        let goal = goal("in seconds, not minutes", recovered, None);
        writeln!(out, "| {} | {} | {goal} |", recovery.trouble, cells.join(" | "))?;
    }
    writeln!(
        out,
        "\nCall-outs with the defaults of their clients. A client that gives up ends with an error, and IRIS starts a call-out \
         again after 30 s at the earliest, while users wait, or never, by its entry point."
    )
}

fn write_calls(out: &mut String, steady: &Steady) -> fmt::Result {
    let window = steady.window.as_secs_f64();
    let an_hour = |count: u64| as_f64(count) / window * HOUR;
    let total = |reads: &std::collections::BTreeMap<String, u64>| reads.values().sum::<u64>();
    let (reads, others) = (total(&steady.reads), total(&steady.other_reads));
    writeln!(
        out,
        "\n| calls of a pair at rest, each member with a target group and a record | in {window:.0} s | an hour \
         | goal |\n|---|---|---|---|"
    )?;
    for (action, count) in &steady.reads {
        writeln!(
            out,
            "| drift check, which keeps connections warm: `{action}` | {count} | {:.0} | |",
            an_hour(*count)
        )?;
    }
    for (action, count) in &steady.other_reads {
        writeln!(out, "| other: `{action}` | {count} | {:.0} | |", an_hour(*count))?;
    }
    let others_goal = goal("at most 30 an hour", an_hour(others) <= OTHER_READS_GOAL, None);
    writeln!(out, "| all other reads | {others} | {:.0} | {others_goal} |", an_hour(others))?;
    writeln!(out, "| writes | {} | {:.0} | |", steady.writes, an_hour(steady.writes))?;
    writeln!(
        out,
        "\nAn hour is the count x 3,600 / {window:.0}. Drift checks come every {READ_EVERY} s, a tenth more or less, from \
         {LOOPS} loops (two members with two steering targets): {:.0} in {window:.0} s by that pace, {reads} \
         counted.",
        LOOPS * window / READ_EVERY,
    )
}

/// How many times longer one took than the other, for each kind: the median over the rounds, of which each
/// compares what was measured soon after each other.
fn ratios(rounds: &[Round], over: Time, under: Time) -> [f64; 2] {
    [0, 1].map(|kind| {
        let ratio = |round: &Round| over(&round[kind]).as_secs_f64() / under(&round[kind]).as_secs_f64();
        median(rounds.iter().map(ratio).collect())
    })
}

fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1_000.0;
    if milliseconds < 100.0 { format!("{milliseconds:.2} ms") } else { format!("{milliseconds:.0} ms") }
}
