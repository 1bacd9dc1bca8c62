//! `mirrorvip check`: prints what [`check`] finds.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::{Exit, Failure, Global, output, run};
use crate::check::aws::recovery::{Recovery, Stage};
use crate::check::aws::{self, Online};
use crate::check::{self, Finding, Kind, Local, Severity};
use crate::clock::Clock;
use crate::config::{Config, LoadError, Report};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON: the problems of the configuration, or what was found
    #[arg(long)]
    json: bool,
    /// Ask nobody outside this machine: neither peers nor AWS
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
    /// What is wrong with the configuration; nothing else is looked at then.
    problems: Vec<ConfigProblem<'a>>,
    findings: &'a [Finding],
    /// How long clients will wait after a promotion, one for each way to them.
    recoveries: &'a [Recovery],
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.json
        && let Err(LoadError::Invalid(report)) = global.source().load()
    {
        output::print_json(&Document { problems: problems(&report), findings: &[], recoveries: &[] })?;
        return Ok(Exit::Config);
    }
    let config = run::load(global)?;
    let (mut findings, recoveries) = run::on_runtime(async { Ok(look(&config, arguments.offline).await) })?;
    findings.splice(0..0, check::configuration(&global.source()));
    if arguments.json {
        output::print_json(&Document { problems: Vec::new(), findings: &findings, recoveries: &recoveries })?;
    } else {
        output::print(format_args!("{}{}: every rule holds\n", label(Severity::Good), global.source()))?;
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

async fn look(config: &Config, offline: bool) -> (Vec<Finding>, Vec<Recovery>) {
    let clock = Clock::system();
    let Local { mut findings, roles } = check::local(config, &clock).await;
    if offline {
        return (findings, Vec::new());
    }
    findings.extend(check::peers(config, &roles).await);
    findings.extend(check::kubernetes::online(config).await);
    let Online { findings: more, recoveries } = aws::online(config, &clock).await;
    findings.extend(more);
    (findings, recoveries)
}

/// The stages below each other, and their sum.
fn time_to_recovery(recovery: &Recovery) -> String {
    let Recovery { subject, stages, at_most, depends_on } = recovery;
    let mut text = format!("\n{subject}: clients follow a promotion within {at_most:?}\n");
    for Stage { stage, at_most, why } in stages {
        let at_most = if at_most.is_zero() { "0s".to_owned() } else { format!("{at_most:?}") };
        let _ = writeln!(text, "  {stage:<20} {at_most:>6}  {FAINT}{why}{FAINT:#}", FAINT = output::FAINT);
    }
    let _ = writeln!(text, "  depends on {depends_on}");
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
    let Finding { severity, subject, message, help, explain, .. } = finding;
    let help = help.as_ref().map(|help| format!("         help: {help}\n")).unwrap_or_default();
    let more = explain.map(|word| format!("         more: mirrorvip explain {word}\n")).unwrap_or_default();
    format!("{}{subject}: {message}\n{help}{more}", label(*severity))
}

fn label(severity: Severity) -> String {
    let (style, word) = match severity {
        Severity::Good => (output::GOOD, "good"),
        Severity::Warning => (output::DOUBTFUL, "warning"),
        Severity::Error => (output::BAD, "error"),
    };
    format!("{style}{word:<9}{style:#}")
}

fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => "\nNothing wrong was found.\n".to_owned(),
        (errors, warnings) => format!("\n{errors} to mend, {warnings} to think about.\n"),
    }
}

fn exit(finding: &Finding) -> Exit {
    match finding.kind {
        Kind::Configuration => Exit::Config,
        Kind::Permission => Exit::Permission,
        Kind::Unavailable => Exit::Unavailable,
    }
}
