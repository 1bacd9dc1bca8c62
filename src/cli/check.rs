//! `mirrorvip check`: prints the findings of [`check`].

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::{Exit, Failure, Global, output, run, terminal};
use crate::check::{self, Finding, Kind, Local, Severity};
use crate::clock::Clock;
use crate::config::{LoadError, Report};
use crate::provider::check::recovery::{Recovery, Stage};
use crate::provider::check::{self as clouds, Online};
use crate::provider::{Config, Table};

/// The width of the column of labels; wrapped lines are indented by it.
const INDENT: usize = 9;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON: the problems of the configuration, or what was found
    #[arg(long)]
    json: bool,
    /// Send no request to peers, to AWS or to Kubernetes
    #[arg(long)]
    offline: bool,
}

/// One problem of the configuration, for machines.
#[derive(Debug, Serialize)]
struct ConfigProblem<'a> {
    line: Option<usize>,
    column: Option<usize>,
    message: &'a str,
    help: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    /// The problems of the configuration; if there are any, nothing else is checked.
    problems: Vec<ConfigProblem<'a>>,
    findings: &'a [Finding],
    /// How long clients will wait after a promotion, per steering target or load balancer.
    recoveries: &'a [Recovery],
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.json
        && let Err(LoadError::Invalid(report)) = global.source().load::<Table>()
    {
        output::print_json(&Document { problems: problems(&report), findings: &[], recoveries: &[] })?;
        return Ok(Exit::Config);
    }
    let config = run::load(global)?;
    let (mut findings, recoveries) =
        run::on_runtime(async { Ok(inspect(&config, arguments.offline).await) })?;
    findings.splice(0..0, check::configuration(&global.source()));
    if arguments.json {
        output::print_json(&Document { problems: Vec::new(), findings: &findings, recoveries: &recoveries })?;
    } else {
        output::print(format_args!(
            "{}{}: configuration is valid\n",
            label(Severity::Good, true),
            global.source()
        ))?;
        for finding in &findings {
            output::print(for_people(finding))?;
        }
        for recovery in &recoveries {
            output::print(time_to_recovery(recovery))?;
        }
        output::print(summary(&findings))?;
    }
    Ok(findings.iter().find(|finding| finding.severity == Severity::Error).map_or(Exit::Ok, exit))
}

async fn inspect(config: &Config, offline: bool) -> (Vec<Finding>, Vec<Recovery>) {
    let clock = Clock::system();
    let Local { mut findings, roles } = check::local(config, &clock).await;
    if offline {
        findings.extend(check::offline(config));
        return (findings, Vec::new());
    }
    findings.extend(check::peers(config, &roles).await);
    let Online { findings: more, recoveries } = clouds::online(config, &clock).await;
    findings.extend(more);
    (findings, recoveries)
}

/// The stages, one per line, and their sum.
fn time_to_recovery(recovery: &Recovery) -> String {
    let Recovery { subject, stages, at_most, depends_on } = recovery;
    let mut text = format!("\n{subject}: clients follow a promotion within {at_most:?}\n");
    for Stage { stage, at_most, why } in stages {
        let at_most = if at_most.is_zero() { "0s".to_owned() } else { format!("{at_most:?}") };
        let why = terminal::wrap(why, 31);
        let _ = writeln!(text, "  {stage:<20} {at_most:>6}  {FAINT}{why}{FAINT:#}", FAINT = output::FAINT);
    }
    let depends_on = terminal::wrap(&format!("depends on {depends_on}"), 2);
    let _ = writeln!(text, "  {depends_on}");
    text
}

fn problems(report: &Report) -> Vec<ConfigProblem<'_>> {
    let mut problems = Vec::new();
    for problem in report.problems() {
        let (line, column) = (problem.line(), problem.column());
        problems.push(ConfigProblem { line, column, message: problem.message(), help: problem.help() });
    }
    problems
}

fn for_people(finding: &Finding) -> String {
    let Finding { severity, subject, message, help, explain, tested, .. } = finding;
    let wrap = |text: &str| terminal::wrap(text, INDENT);
    let help = help.as_ref().map(|help| format!("{:INDENT$}{}\n", "", wrap(&format!("help: {help}"))));
    let help = help.unwrap_or_default();
    let more = explain.map(|word| format!("{:INDENT$}more: mirrorvip explain {word}\n", ""));
    let more = more.unwrap_or_default();
    let what = wrap(&format!("{subject}: {message}"));
    format!("{}{what}\n{help}{more}", label(*severity, *tested))
}

fn label(severity: Severity, tested: bool) -> String {
    let (style, word) = match severity {
        Severity::Good if !tested => (output::FAINT, "note"),
        Severity::Good => (output::GOOD, "good"),
        Severity::Warning => (output::DOUBTFUL, "warning"),
        Severity::Error => (output::BAD, "error"),
    };
    format!("{style}{word:<INDENT$}{style:#}")
}

fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => "\nNo errors, no warnings.\n".to_owned(),
        (errors, warnings) => format!("\n{}, {}.\n", counted(errors, "error"), counted(warnings, "warning")),
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn exit(finding: &Finding) -> Exit {
    match finding.kind {
        Kind::Configuration => Exit::Config,
        Kind::Permission => Exit::Permission,
        Kind::Unavailable => Exit::Unavailable,
    }
}
