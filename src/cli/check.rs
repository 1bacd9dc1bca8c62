//! `mirrorvip check`: prints what [`check`] finds.

use clap::Args;
use serde::Serialize;

use super::{Exit, Failure, Global, output, run};
use crate::check::{self, Finding, Kind, Severity};
use crate::clock::Clock;
use crate::config::{self, LoadError, Report};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON: the problems of the configuration, or what was found
    #[arg(long)]
    json: bool,
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
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.json
        && let Err(LoadError::Invalid(report)) = config::load(&global.config)
    {
        output::print_json(&Document { problems: problems(&report), findings: &[] })?;
        return Ok(Exit::Config);
    }
    let config = run::load(global)?;
    let findings = run::on_runtime(async { Ok(check::local(&config, &Clock::system()).await) })?;
    if arguments.json {
        output::print_json(&Document { problems: Vec::new(), findings: &findings })?;
    } else {
        output::print(format_args!(
            "{}{}: every rule holds\n",
            label(Severity::Good),
            global.config.display()
        ))?;
        for finding in &findings {
            output::print(for_people(finding))?;
        }
        output::print(summary(&findings))?;
    }
    Ok(findings.iter().find(|finding| finding.severity == Severity::Error).map_or(Exit::Ok, exit))
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
    let Finding { severity, subject, message, help, .. } = finding;
    let help = help.as_ref().map(|help| format!("         help: {help}\n")).unwrap_or_default();
    format!("{}{subject}: {message}\n{help}", label(*severity))
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
