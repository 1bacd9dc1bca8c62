//! `mirrorvip plan`: prints the calls that a promotion would make now, and sends none.

use std::fmt::Write as _;

use clap::Args;

use super::{Exit, Failure, Global, output, run};
use crate::clock::Clock;
use crate::provider::preview::{self, Call, Preview, Then, Unknown};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, Failure> {
    let config = run::load(global)?;
    let previews = run::on_runtime(async { Ok(preview::promotion(&config, &Clock::system()).await) })?;
    if arguments.json {
        output::print_json(&previews)?;
    } else if previews.is_empty() {
        output::print(
            "No steering target is configured: no call would be made. Load balancers follow the status page.\n",
        )?;
    } else {
        for preview in &previews {
            output::print(for_people(preview))?;
        }
    }
    let errors: Vec<_> = previews.iter().filter_map(|preview| preview.error.as_ref()).collect();
    Ok(match errors.as_slice() {
        [] if previews.iter().any(|preview| matches!(preview.then, Then::Blocked(_))) => Exit::Config,
        [] => Exit::Ok,
        errors if errors.iter().any(|error| error.denied) => Exit::Permission,
        _ => Exit::Unavailable,
    })
}

fn for_people(preview: &Preview) -> String {
    use output::{BAD, DOUBTFUL, FAINT, GOOD};
    let Preview { mirror, target, calls, then, once_healthy, error, withheld } = preview;
    let mut text = format!("{mirror}, {target}\n");
    if let Some(why) = withheld {
        let _ = writeln!(text, "  {BAD}withheld{BAD:#} a promotion now would move no traffic, because {why}");
    }
    let mut number = 1..;
    let mut list = |text: &mut String, calls: &[Call]| {
        for (call, number) in calls.iter().zip(number.by_ref()) {
            let who = if call.moves_traffic { "" } else { " (in any role)" };
            let _ = writeln!(text, "  {number}. {}{FAINT}{who}{FAINT:#}", call.call);
        }
    };
    list(&mut text, calls);
    let _ = match (then, error) {
        (_, Some(Unknown { message, class, help, .. })) => {
            writeln!(text, "  {BAD}not known{BAD:#} {message} (class {class})\n    help: {help}")
        }
        (Then::Fulfilled, None) if calls.is_empty() => {
            writeln!(text, "  {GOOD}nothing to do{GOOD:#}")
        }
        (Then::Fulfilled, None) => Ok(()),
        (Then::WaitsFor(what), None) => writeln!(text, "  then waits for {what}, and plans again"),
        (Then::LostOwnership(by), None) => writeln!(text, "  {DOUBTFUL}held by{DOUBTFUL:#} {by}"),
        (Then::Blocked(why), None) => writeln!(text, "  {BAD}impossible{BAD:#} {why}"),
        (Then::Unknown, None) => writeln!(text, "  {BAD}not known{BAD:#}"),
    };
    if !once_healthy.is_empty() {
        text += "  then, once healthy:\n";
        list(&mut text, once_healthy);
    }
    text
}
