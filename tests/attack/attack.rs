//! Attacks on the running daemon, with load balancers' checks at the same time, as a table in Markdown.
//!
//! `tests/attack/run` builds what this needs and starts it. Each attack has a daemon of its own, whose probe starts
//! a child each second and whose service manager is played here, watchdog included. Checkers near and far ask for
//! the page before, during and after the attack, and every answer is judged.
//!
//! Everything is on loopback. Attackers and checkers have addresses of their own there. A checker that is far away is
//! one whose bytes come later: each of its flights waits for one round trip, while its connection is open.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

mod checkers;
#[path = "../support/figures.rs"]
mod figures;
mod floods;
mod plans;
mod servers;
mod soak;
mod table;
mod target;
mod tls;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::checkers::{Answer, Checkers, Checks, lanes};
use crate::plans::{ATTACKS, Attack};
use crate::table::Row;
use crate::target::Target;
use crate::tls::Client;

/// How long checks go on before the attack, and after it.
const BEFORE: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(3);
/// How long the daemon may take to recover.
const RECOVERY: Duration = Duration::from_secs(60);

/// What was asked for on the command line.
struct Arguments {
    daemon: PathBuf,
    /// Only attacks whose name contains this.
    name: Option<String>,
    /// How long each attack lasts.
    seconds: u64,
    /// The soak test lasts so many minutes.
    soak: Option<u64>,
    /// Whether there is a wire to a checker that is far away.
    wire: bool,
}

fn main() -> Result<()> {
    let Some(arguments) = arguments()? else {
        // The list was asked for; or a test runner starts every target, and this is no test.
        return Ok(());
    };
    target::raise_descriptor_limit()?;
    if let Some(minutes) = arguments.soak {
        println!("{}", soak::run(&arguments.daemon, Duration::from_secs(60 * minutes))?);
        return Ok(());
    }
    let chosen: Vec<_> = ATTACKS
        .iter()
        .filter(|attack| arguments.wire || attack.needs_no_wire())
        .filter(|attack| arguments.name.as_ref().is_none_or(|name| attack.name.contains(name.as_str())))
        .collect();
    if chosen.is_empty() {
        bail!("no attack has this in its name; --list prints all");
    }
    let mut rows = Vec::new();
    for attack in chosen {
        eprintln!("{}: {}", attack.name, attack.does);
        let row = run(attack, &arguments).with_context(|| format!("failed to run {}", attack.name))?;
        eprintln!("{}", table::row(&row));
        rows.push(row);
    }
    println!("{}", table::render(&rows, arguments.seconds));
    Ok(())
}

fn arguments() -> Result<Option<Arguments>> {
    let (mut daemon, mut name, mut seconds, mut soak) = (None, None, 5, None);
    let (mut wire, mut list) = (false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--daemon" => daemon = Some(value()?.into()),
            "--seconds" => seconds = value()?.parse().context("--seconds needs a whole number")?,
            "--soak" => soak = Some(value()?.parse().context("--soak needs a whole number of minutes")?),
            "--wire" => wire = true,
            "--attacks" => list = true,
            // Cargo's own, and those of test runners.
            "--bench" | "--test" | "--list" | "--format" | "terse" | "--ignored" => {}
            other if other.starts_with('-') => bail!("unknown argument {other}"),
            other => name = Some(other.to_owned()),
        }
    }
    if list {
        print!("{}", table::list());
        return Ok(None);
    }
    Ok(daemon.map(|daemon| Arguments { daemon, name, seconds, soak, wire }))
}

/// One attack on a daemon of its own.
fn run(attack: &Attack, arguments: &Arguments) -> Result<Row> {
    let directory = tempfile::tempdir().context("failed to make a directory")?;
    let (setup, weapon) = attack.prepare(directory.path())?;
    let target = Target::start(&arguments.daemon, directory.path(), &setup)?;
    let client = setup.client()?;
    target.wait_until_serving(client.as_ref())?;
    let checkers = Checkers::start(target.page, client.as_ref(), lanes(arguments.wire));
    std::thread::sleep(BEFORE);

    let (began, cpu) = (now(), target.cpu_time()?);
    let stop = AtomicBool::new(false);
    let note = std::thread::scope(|scope| {
        let attacking = scope.spawn(|| weapon.run(&target, &stop));
        let until = began + Duration::from_secs(arguments.seconds);
        while now() < until && !target.is_too_large() {
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
        attacking.join().expect("an attack's thread does not panic")
    })?;
    let ended = now();
    let cpu = target.cpu_time()?.saturating_sub(cpu);
    std::thread::sleep(AFTER);
    let checks: Vec<Checks> = checkers.stop().into_iter().map(|lane| lane.between(began, ended)).collect();
    let recovered = recovered(&target, client.as_ref(), ended);
    let health = target.health();
    Ok(Row { name: attack.name, checks, note, took: ended - began, cpu, recovered, health })
}

/// How long after the attack has `ended` several checks in a row are answered right, the last of them after the
/// checkers have gone; `None` if that takes too long.
fn recovered(target: &Target, client: Option<&Client>, ended: Instant) -> Option<Duration> {
    let (mut in_a_row, deadline) = (0, ended + RECOVERY);
    while in_a_row < 3 && now() < deadline {
        in_a_row = if checkers::near(target.page, client) == Answer::Success { in_a_row + 1 } else { 0 };
        std::thread::sleep(Duration::from_millis(50));
    }
    (in_a_row == 3).then(|| ended.elapsed())
}

/// The clock of everything here.
#[expect(clippy::disallowed_methods, reason = "what is measured is the time of real processes")]
fn now() -> Instant {
    Instant::now()
}
