//! `mirrorvip take`: an operator decides that this member takes the traffic, where the arbiter cannot decide. The running
//! daemon carries it out; this command shows the consequences, asks for confirmation and prints the outcome.

use std::io::{self, BufRead as _, IsTerminal as _};

use clap::Args;
use serde::de::DeserializeOwned;

use super::admin::{AdminOptions, Listener};
use super::output::{DOUBTFUL, FAINT, GOOD};
use super::{Exit, Failure, Global, output, run};
use crate::admin::take::{Decision, Offer, Outcome, Refusal, check_reason};
use crate::http::Answer;
use crate::text::printable;

/// How much of the daemon's texts is shown, in characters.
const LONGEST_TEXT: usize = 1_000;

pub(super) const AFTER_HELP: &str = "\
Before you decide: `iris list` on each machine shows which member is the primary, and
`mirrorvip status` shows what this member knows about the others.

Exit codes: 0 taken, 64 usage or no confirmation possible, 69 refused or no answer from the daemon,
130 not confirmed.";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which mirror; may be left out where there is only one
    #[arg(long, value_name = "NAME")]
    mirror: Option<String>,
    /// Why, in at most 200 characters, for the log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminOptions,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, Failure> {
    let reason = check_reason(&arguments.reason).map_err(|error| {
        let help = "Write it as --reason \"db2 is lost, ticket 4711\".";
        Failure::new(Exit::Usage, anyhow::anyhow!(error)).help(Some(help))
    })?;
    let query = query(arguments.mirror.as_deref())?;
    let listener = Listener::find(global, &arguments.admin)?;
    run::on_runtime(async {
        let offer: Offer = read(&listener, &listener.get(&format!("/take{query}")).await?)?;
        if arguments.json {
            // Standard output contains only the outcome.
            output::complain(describe(&offer));
        } else {
            output::print(describe(&offer))?;
        }
        if !arguments.yes {
            confirm(&offer)?;
        }
        let Offer { mirror, overrides, .. } = offer;
        let decision = Decision { reason: reason.to_owned(), user: user(), overrides: Some(overrides) };
        let body = serde_json::to_string(&decision).map_err(|error| Failure::new(Exit::Software, error))?;
        let answer = listener.post(&format!("/take?mirror={mirror}"), body).await?;
        let outcome: Outcome = read(&listener, &answer)?;
        if arguments.json {
            output::print_json(&outcome)?;
        } else {
            output::print(report(&outcome))?;
        }
        Ok(Exit::Ok)
    })
}

/// The query that names `mirror`; an invalid name is not sent.
fn query(mirror: Option<&str>) -> Result<String, Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    match mirror {
        None => Ok(String::new()),
        Some(name) if !name.is_empty() && name.chars().all(fits) => Ok(format!("?mirror={name}")),
        Some(name) => {
            let error = anyhow::anyhow!("{} cannot be a mirror's name", printable(name, LONGEST_TEXT));
            Err(Failure::new(Exit::Usage, error).help(Some("`mirrorvip status` shows the mirrors.")))
        }
    }
}

/// The daemon's answer, or its reason to refuse.
fn read<T: DeserializeOwned>(listener: &Listener, answer: &Answer) -> Result<T, Failure> {
    let status = answer.status.as_u16();
    if status == 200 {
        return serde_json::from_slice(&answer.body)
            .map_err(|error| listener.unavailable(&format!("{error}; is another program on this port?")));
    }
    let Ok(Refusal { error }) = serde_json::from_slice(&answer.body) else {
        let reason = match status {
            404 => "it has no /take: restart it after the upgrade, so that it runs this version".to_owned(),
            _ => format!("it answered {status}"),
        };
        return Err(listener.unavailable(&reason));
    };
    let exit = match status {
        400 | 404 => Exit::Usage,
        _ => Exit::Unavailable,
    };
    let failure = Failure::new(exit, anyhow::anyhow!("{}", printable(&error, LONGEST_TEXT)));
    Err(failure.help(Some("Nothing was changed. `mirrorvip status` shows the current state.")))
}

/// The overridden ruling and the consequences.
fn describe(offer: &Offer) -> String {
    let Offer { mirror, member, overrides, serving, term, seen, others_serving, targets } = offer;
    let mut text = format!(
        "{mirror}: {member} takes the traffic, and overrides this ruling:\n  {DOUBTFUL}{}{DOUBTFUL:#}\n",
        printable(overrides, LONGEST_TEXT)
    );
    let highest = seen.term.max(*term);
    let mut follows =
        vec![format!("its term rises from {term} to {} or higher, above every known one", highest + 1)];
    follows.push(if *serving {
        "its status page still says SUCCESS".to_owned()
    } else {
        "its status page says SUCCESS again".to_owned()
    });
    if !targets.is_empty() {
        follows.push(format!("clients are directed here by {}", targets.join(", ")));
    }
    if !others_serving.is_empty() {
        follows.push(format!(
            "{} becomes superseded: it says SUCCESS at present, and clients may be connected to it",
            others_serving.join(" and ")
        ));
    }
    follows.push(
        "other members that serve, and are not reachable now, are superseded once they see this term"
            .to_owned(),
    );
    text.push_str("What follows, until the instance loses the role:\n");
    for line in follows {
        text.extend(["  - ", &line, "\n"]);
    }
    text
}

/// Asks for the mirror's name on a terminal, so that no decision is made for the wrong mirror.
fn confirm(offer: &Offer) -> Result<(), Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let error = anyhow::anyhow!(
            "standard input is not a terminal, so this cannot be confirmed; nothing was changed"
        );
        let help = "Give --yes to confirm it on the command line.";
        return Err(Failure::new(Exit::Usage, error).help(Some(help)));
    }
    output::complain(format_args!("Type the mirror's name ({}) to confirm: ", offer.mirror));
    let mut line = String::new();
    stdin
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::io(error, "failed to read the confirmation"))?;
    if line.trim() == offer.mirror {
        return Ok(());
    }
    Err(Failure::new(Exit::Interrupted, anyhow::anyhow!("not confirmed; nothing was changed")))
}

/// The user who decides; under `sudo`, its caller.
fn user() -> String {
    let variable = |name| std::env::var(name).ok().filter(|user| !user.trim().is_empty());
    ["SUDO_USER", "LOGNAME", "USER"]
        .into_iter()
        .find_map(variable)
        .unwrap_or_else(|| format!("uid {}", rustix::process::geteuid().as_raw()))
}

fn report(outcome: &Outcome) -> String {
    let Outcome { mirror, member, term, taken } = outcome;
    let decided = match term {
        Some(term) => format!("{GOOD}{mirror}: {member} takes the traffic with term {term}{GOOD:#}"),
        None => format!(
            "{DOUBTFUL}{mirror}: decided, but {member} is not ruled clear yet; see `mirrorvip status`{DOUBTFUL:#}"
        ),
    };
    format!("{decided}\n{FAINT}recorded for {} at {}: {}{FAINT:#}\n", taken.user, taken.at, taken.reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{Claim, Taken};

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn says_what_is_overridden_and_what_follows() {
        let offer = Offer {
            mirror: "PROD".to_owned(),
            member: "db1".to_owned(),
            overrides: "superseded: db2 (term 7) at 10.0.2.12 was promoted after this member (term 6)"
                .to_owned(),
            serving: false,
            term: 6,
            seen: Claim { term: 7, member: "db2".to_owned() },
            others_serving: vec!["db2 (10.0.2.12)".to_owned()],
            targets: vec!["route53 db.example.internal".to_owned()],
        };
        let expected = "\
PROD: db1 takes the traffic, and overrides this ruling:
  superseded: db2 (term 7) at 10.0.2.12 was promoted after this member (term 6)
What follows, until the instance loses the role:
  - its term rises from 6 to 8 or higher, above every known one
  - its status page says SUCCESS again
  - clients are directed here by route53 db.example.internal
  - db2 (10.0.2.12) becomes superseded: it says SUCCESS at present, and clients may be connected to it
  - other members that serve, and are not reachable now, are superseded once they see this term
";
        assert_eq!(plain(&describe(&offer)), expected);
    }

    #[test]
    fn reports_the_term_or_that_it_is_not_ruled_yet() {
        let taken = Taken {
            reason: "db2 is lost".to_owned(),
            user: "anna from 127.0.0.1".to_owned(),
            at: "2026-11-21T02:40:00.000000Z".to_owned(),
            overrode: String::new(),
        };
        let outcome = |term| Outcome {
            mirror: "PROD".to_owned(),
            member: "db1".to_owned(),
            term,
            taken: taken.clone(),
        };
        assert_eq!(
            plain(&report(&outcome(Some(8)))),
            "PROD: db1 takes the traffic with term 8\nrecorded for anna from 127.0.0.1 at 2026-11-21T02:40:00.000000Z: db2 is lost\n"
        );
        assert!(plain(&report(&outcome(None))).contains("is not ruled clear yet"));
    }

    #[test]
    fn only_a_name_is_sent() {
        assert_eq!(query(None).unwrap(), "");
        assert_eq!(query(Some("PROD_1.a-b")).unwrap(), "?mirror=PROD_1.a-b");
        for name in ["", "a b", "a#b", "a&b=c", "../x"] {
            assert_eq!(query(Some(name)).unwrap_err().exit, Exit::Usage, "{name}");
        }
    }
}
