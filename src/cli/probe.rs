//! `mirrorvip probe`: probes once and prints the evidence, the verdict and the reason. Changes nothing.

use clap::Args;
use serde::Serialize;

use super::{Exit, Failure, Global, output, run};
use crate::clock::Clock;
use crate::health::page_status;
use crate::observation::{NoEvidence, Observation};
use crate::probe::{Prober, Reading};
use crate::provider::{Config, Mirror};
use crate::role::{Settings, Tracker, Verdict};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Probe this mirror only
    #[arg(long, value_name = "NAME")]
    mirror: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The result of one probe of one mirror.
#[derive(Debug, Serialize)]
struct Answer {
    mirror: String,
    /// The role, or the cause of missing evidence, in one word.
    outcome: String,
    /// Whether the role is definite.
    definite: bool,
    /// What was read.
    evidence: String,
    /// The status code of the page of a daemon that has seen only this answer.
    page: u16,
    /// The state of such a daemon, in one word.
    state: String,
    /// Why.
    reason: String,
    took_ms: u128,
    #[serde(skip)]
    exit: Exit,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, Failure> {
    let config = run::load(global)?;
    let mirrors = select(&config, arguments.mirror.as_deref())?;
    let answers = run::on_runtime(async { Ok(ask(&mirrors).await) })?;
    if arguments.json {
        output::print_json(&answers)?;
    } else {
        for answer in &answers {
            output::print(answer.for_people())?;
        }
    }
    Ok(answers.iter().map(|answer| answer.exit).find(|exit| *exit != Exit::Ok).unwrap_or(Exit::Ok))
}

fn select(config: &Config, name: Option<&str>) -> Result<Vec<Mirror>, Failure> {
    let mirrors: Vec<_> = match name {
        None => config.mirrors.clone(),
        Some(name) => {
            config.mirrors.iter().filter(|mirror| mirror.name.eq_ignore_ascii_case(name)).cloned().collect()
        }
    };
    if mirrors.is_empty() {
        let names: Vec<_> = config.mirrors.iter().map(|mirror| mirror.name.as_str()).collect();
        let error = anyhow::anyhow!(
            "no mirror is named {}; the configuration has {}",
            name.unwrap_or_default(),
            names.join(", ")
        );
        return Err(Failure::new(Exit::Usage, error));
    }
    Ok(mirrors)
}

async fn ask(mirrors: &[Mirror]) -> Vec<Answer> {
    let clock = Clock::system();
    let mut answers = Vec::new();
    for (mut prober, members) in Prober::group(mirrors, &clock) {
        let asked_at = clock.now();
        let readings = prober.ask().await;
        let answered_at = clock.now();
        for (member, Reading { outcome, evidence, age }) in members.into_iter().zip(readings) {
            let asked_at = asked_at.earlier_by(age);
            answers.push(Answer::new(
                &mirrors[member],
                &Observation { asked_at, answered_at, outcome, evidence },
            ));
        }
    }
    answers
}

// === impl Answer ===

impl Answer {
    fn new(mirror: &Mirror, observation: &Observation) -> Self {
        let settings = Settings { stale_after: mirror.stale_after, rise: std::num::NonZeroU32::MIN };
        let mut tracker = Tracker::new(settings, None);
        tracker.observe(observation);
        let verdict = tracker.verdict();
        let (outcome, exit) = match &observation.outcome {
            Ok(role) => (role.word(), Exit::Ok),
            Err(cause @ NoEvidence::Denied(_)) => (cause.word(), Exit::Permission),
            Err(cause) => (cause.word(), Exit::Unavailable),
        };
        Self {
            mirror: mirror.name.clone(),
            outcome: outcome.to_owned(),
            definite: observation.outcome.is_ok(),
            evidence: observation.evidence.clone(),
            page: page_status(verdict),
            state: verdict.label().to_owned(),
            reason: match verdict {
                Verdict::Serve { .. } => "the instance is primary".to_owned(),
                Verdict::Refuse(reason) => reason.to_string(),
            },
            took_ms: observation.asked_at.age_at(observation.answered_at).as_millis(),
            exit,
        }
    }

    fn for_people(&self) -> String {
        use output::{BAD, DOUBTFUL, FAINT, GOOD};
        let Self { mirror, outcome, evidence, page, reason, took_ms, .. } = self;
        let style = match (page, self.definite) {
            (200, _) => GOOD,
            (_, true) => DOUBTFUL,
            (_, false) => BAD,
        };
        let body = if *page == 200 { "SUCCESS" } else { "FAILED" };
        let evidence = if evidence.is_empty() { "(nothing was read)" } else { evidence };
        let more =
            if self.definite { String::new() } else { format!("\n  more      mirrorvip explain {outcome}") };
        format!(
            "{mirror}: {style}{outcome}{style:#}\n  evidence  {evidence}\n  page      {page} {body}\n  \
             why       {reason}{more}\n  {FAINT}answered within {took_ms} ms{FAINT:#}\n"
        )
    }
}
