//! Renders the status document as text. PURE.

use std::fmt::Write as _;

use super::super::output::{BAD, DOUBTFUL, FAINT, GOOD};
use crate::admin::status::{
    AuthorityStatus, CheckerStatus, ConfigurationStatus, EvidenceStatus, LadderStatus, MirrorStatus,
    ProbeStatus, ReloadStatus, Status, SteeringStatus, TransitionStatus,
};
use crate::snapshot::PastTransition;
use crate::term::{Claim, Taken};

mod members;

/// How many transitions and checkers are shown; `--json` has them all.
const SHOWN: usize = 5;

/// The document as text, coloured by the stream it is printed to.
pub(super) fn render(status: &Status) -> String {
    let mut text = String::new();
    let Status { pid, build, health, started_at, now, .. } = status;
    let (started_at, listen) = (seconds_only(started_at), health.listen.join(", "));
    line(&mut text, format_args!("mirrorvip {}, pid {pid}, started {started_at}", build.version));
    let now = seconds_only(now);
    line(&mut text, format_args!("{FAINT}health checks on {listen}; now {now}{FAINT:#}"));
    render_configuration(&mut text, status.configuration.as_ref());
    for mirror in &status.mirrors {
        line(&mut text, "");
        render_mirror(&mut text, mirror, &status.now);
    }
    text
}

fn render_configuration(text: &mut String, configuration: Option<&ConfigurationStatus>) {
    let Some(ConfigurationStatus { source, loaded_at, last_reload }) = configuration else { return };
    let loaded_at = seconds_only(loaded_at);
    line(text, format_args!("{FAINT}configuration {source}, loaded {loaded_at}{FAINT:#}"));
    if let Some(ReloadStatus { at, error: Some(error) }) = last_reload {
        let at = seconds_only(at);
        line(text, format_args!("{BAD}the reload at {at} failed: {error}{BAD:#}"));
        line(text, format_args!("  {FAINT}`mirrorvip check --config {source}` shows every problem{FAINT:#}"));
    }
}

fn render_mirror(text: &mut String, mirror: &MirrorStatus, now: &str) {
    let style = match (mirror.serving, mirror.role.is_some()) {
        (true, _) => GOOD,
        (false, true) => DOUBTFUL,
        (false, false) => BAD,
    };
    let MirrorStatus { name, state, page, epoch, probes, .. } = mirror;
    let answer = if mirror.serving { "SUCCESS" } else { "FAILED" };
    line(text, format_args!("{name}  {style}{state}{style:#}  page {style}{page} {answer}{style:#}"));
    if let Some(reason) = &mirror.reason {
        line(text, format_args!("  why       {reason}"));
    }
    if let Some(remaining) = mirror.remaining_seconds {
        line(text, format_args!("  valid     for another {remaining:.1} s without a new answer"));
    }
    match &mirror.evidence {
        None => line(text, "  evidence  none yet"),
        Some(evidence) => {
            let read = if evidence.text.is_empty() {
                evidence.reason.as_deref().unwrap_or("")
            } else {
                &evidence.text
            };
            let EvidenceStatus { outcome, age_seconds, .. } = evidence;
            line(text, format_args!("  evidence  {outcome}, asked {age_seconds:.1} s ago: {read}"));
        }
    }
    let origin = mirror.origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
    line(text, format_args!("  epoch     {epoch}{origin}"));
    let ProbeStatus { definite, no_evidence, woken, .. } = probes;
    let counts = format!("{definite} answered, {no_evidence} failed, {woken} triggered by wake-up");
    line(text, format_args!("  probes    {counts}"));
    render_authority(text, mirror);
    members::render(text, mirror);
    render_steering(text, mirror);
    render_checkers(text, &mirror.checkers, now);
    render_transitions(text, &mirror.transitions, &mirror.earlier_transitions);
}

/// Whether this member may take traffic, and the operator's decision in force.
fn render_authority(text: &mut String, mirror: &MirrorStatus) {
    let Some(AuthorityStatus { ruling, reason, .. }) = &mirror.authority else { return };
    let Claim { term: highest, member } = &mirror.seen;
    let seen = match *highest {
        0 => String::new(),
        _ if *highest == mirror.term => ", the highest known".to_owned(),
        _ if member.is_empty() => format!("; the highest known is {highest}"),
        _ => format!("; the highest known is {highest}, of {member}"),
    };
    line(text, format_args!("  term      {}{seen}", mirror.term));
    if let Some(Taken { reason, user, at, overrode }) = &mirror.taken {
        let at = seconds_only(at);
        line(text, format_args!("  {DOUBTFUL}taken     by {user} at {at}: {reason}{DOUBTFUL:#}"));
        line(text, format_args!("            {FAINT}it overrode: {overrode}{FAINT:#}"));
    }
    // For a member without the role the ruling is of no interest.
    let holds_the_role = mirror.serving || ["rising", "superseded"].contains(&&*mirror.state);
    if let Some(reason) = reason.as_ref().filter(|_| holds_the_role) {
        let style = if ruling == "superseded" { BAD } else { DOUBTFUL };
        line(text, format_args!("  {style}ruling    {ruling}: {reason}{style:#}"));
    }
}

fn render_steering(text: &mut String, mirror: &MirrorStatus) {
    for SteeringStatus { target, state, reason, ladder, .. } in &mirror.steering {
        let style = match state.as_str() {
            "fulfilled" => GOOD,
            "failing" | "contested" | "impossible" => BAD,
            _ => DOUBTFUL,
        };
        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        line(text, format_args!("  steering  {target} {style}{state}{style:#}{reason}"));
        if let Some(timeline) = ladder.as_ref().and_then(promotion_timeline) {
            line(text, format_args!("            {FAINT}{timeline}{FAINT:#}"));
        }
    }
}

/// When each step of the last promotion was done, counted from the question whose answer was *primary*.
fn promotion_timeline(timeline: &LadderStatus) -> Option<String> {
    let LadderStatus { epoch, role_changed, page_flipped, accepted, fulfilled } = timeline;
    let began = role_changed.as_ref().or(page_flipped.as_ref())?;
    let part = |what: &str, at: &Option<String>| {
        at.as_ref().and_then(|at| Some(format!("{what} +{}", between(began, at)?)))
    };
    let parts = [part("page", page_flipped), part("API accepted", accepted), part("done", fulfilled)];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let at = seconds_only(began);
    Some(format!("promotion {epoch} at {at}: {}", parts.join(", ")))
}

fn between(from: &str, to: &str) -> Option<String> {
    let (from, to): (jiff::Timestamp, jiff::Timestamp) = (from.parse().ok()?, to.parse().ok()?);
    Some(format!("{:.2} s", to.duration_since(from).as_secs_f64()))
}

fn render_checkers(text: &mut String, checkers: &[CheckerStatus], now: &str) {
    if checkers.is_empty() {
        line(text, format_args!("  {DOUBTFUL}checks    no client has asked for this page{DOUBTFUL:#}"));
    }
    for (index, checker) in checkers.iter().take(SHOWN).enumerate() {
        let label = if index == 0 { "checks" } else { "" };
        let CheckerStatus { address, checks, last_at, last_status } = checker;
        let ago = ago(last_at, now).unwrap_or_else(|| format!("at {last_at}"));
        line(
            text,
            format_args!("  {label:<8}  {address} asked {ago}, got {last_status}, {checks} checks in total"),
        );
    }
    more(text, checkers.len());
}

fn render_transitions(text: &mut String, transitions: &[TransitionStatus], earlier: &[PastTransition]) {
    let own = transitions.iter().map(|TransitionStatus { at, from, to, reason, .. }| (at, from, to, reason));
    let past = earlier.iter().map(|PastTransition { at, from, to, reason, .. }| (at, from, to, reason));
    for (index, (at, from, to, reason)) in own.rev().chain(past.rev()).take(SHOWN).enumerate() {
        let label = if index == 0 { "history" } else { "" };
        line(text, format_args!("  {label:<8}  {}  {from} -> {to}: {reason}", seconds_only(at)));
    }
    more(text, transitions.len() + earlier.len());
}

fn more(text: &mut String, total: usize) {
    if total > SHOWN {
        line(text, format_args!("            {FAINT}and {} more, see --json{FAINT:#}", total - SHOWN));
    }
}

/// `2026-11-21T02:40:00.123456Z` as `2026-11-21 02:40:00Z`.
fn seconds_only(at: &str) -> String {
    match at.split_once('.') {
        Some((seconds, _)) => format!("{}Z", seconds.replacen('T', " ", 1)),
        None => at.to_owned(),
    }
}

fn ago(at: &str, now: &str) -> Option<String> {
    let at: jiff::Timestamp = at.parse().ok()?;
    let now: jiff::Timestamp = now.parse().ok()?;
    Some(format!("{:.1} s ago", now.duration_since(at).as_secs_f64()))
}

fn line(text: &mut String, line: impl std::fmt::Display) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn document() -> Status {
        serde_json::from_value(serde_json::json!({
            "build": {"version": "1.2.3", "commit": null}, "pid": 42,
            "started_at": "2026-11-21T02:40:00.000000Z", "now": "2026-11-21T03:00:00.500000Z",
            "health": {"listen": ["0.0.0.0:8080"], "agent_check": null},
            "mirrors": [{
                "name": "PROD", "paths": ["/csp/bin"], "serving": true, "page": 200, "state": "primary",
                "reason": null, "role": "primary", "epoch": 7, "origin": "promoted",
                "until": "2026-11-21T03:00:04.000000Z", "remaining_seconds": 3.5,
                "evidence": {"asked_at": "2026-11-21T03:00:00.000000Z", "age_seconds": 0.5, "outcome": "primary",
                             "reason": null, "text": "IRIS^/usr/irissys^..."},
                "probes": {"definite": 1200, "no_evidence": 3, "unkillable": 0, "woken": 2},
                "transitions": [{"at": "2026-11-21T02:50:00.123456Z", "from": "backup", "to": "primary", "epoch": 7,
                                 "origin": "promoted", "reason": "the instance is primary", "evidence_age_seconds": 0.012}],
                "last_checked_at": "2026-11-21T02:59:58.500000Z",
                "checkers": [{"address": "10.0.1.5", "checks": 3201, "last_at": "2026-11-21T02:59:58.500000Z", "last_status": 200}]
            }]
        }))
        .unwrap()
    }

    pub(super) fn plain(status: &Status) -> String {
        anstream::adapter::strip_str(&render(status)).to_string()
    }

    #[test]
    fn says_it_in_words() {
        let expected = "\
mirrorvip 1.2.3, pid 42, started 2026-11-21 02:40:00Z
health checks on 0.0.0.0:8080; now 2026-11-21 03:00:00Z

PROD  primary  page 200 SUCCESS
  valid     for another 3.5 s without a new answer
  evidence  primary, asked 0.5 s ago: IRIS^/usr/irissys^...
  epoch     7 (promoted)
  probes    1200 answered, 3 failed, 2 triggered by wake-up
  checks    10.0.1.5 asked 2.0 s ago, got 200, 3201 checks in total
  history   2026-11-21 02:50:00Z  backup -> primary: the instance is primary
";
        assert_eq!(plain(&document()), expected);
    }

    #[test]
    fn steering_targets_and_ruling_are_shown() {
        let mut status = document();
        let target = |state: &str, reason| {
            serde_json::json!({
                "target": "route53 db.example.internal", "state": state, "reason": reason,
                "since": "2026-11-21T02:50:00.123456Z", "last_success": null, "attempts": 0, "last_error": null,
                "ladder": null, "calls": [], "drift_repaired": 0, "writes_left": 20
            })
        };
        let targets =
            [target("fulfilled", None), target("failing", Some("ListResourceRecordSets: no answer"))];
        status.mirrors[0].steering = serde_json::from_value(targets.as_slice().into()).unwrap();
        let unsure = serde_json::json!({"ruling": "unsure", "reason": "no definite answer from 10.0.2.12", "claim": null});
        status.mirrors[0].authority = serde_json::from_value(unsure).unwrap();
        let text = plain(&status);
        for expected in [
            "  ruling    unsure: no definite answer from 10.0.2.12\n",
            "  steering  route53 db.example.internal fulfilled\n",
            "  steering  route53 db.example.internal failing: ListResourceRecordSets: no answer\n",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn last_promotion_failed_reload_and_earlier_history_are_shown() {
        let mut status = document();
        status.configuration = serde_json::from_value(serde_json::json!({
            "source": "/etc/mirrorvip/mirrorvip.toml", "loaded_at": "2026-11-21T02:40:00.000000Z",
            "last_reload": {"at": "2026-11-21T02:58:00.000000Z", "error": "failed to accept the configuration: 1 problem"}
        }))
        .unwrap();
        let mirror = &mut status.mirrors[0];
        mirror.steering = serde_json::from_value(serde_json::json!([{
            "target": "route53 db.example.internal", "state": "fulfilled", "reason": null,
            "since": "2026-11-21T02:50:00.123456Z", "last_success": null, "attempts": 0, "last_error": null,
            "ladder": {"epoch": 7, "role_changed": "2026-11-21T02:50:00.111000Z", "page_flipped": "2026-11-21T02:50:00.123000Z",
                       "accepted": "2026-11-21T02:50:00.411000Z", "fulfilled": null},
            "calls": [], "drift_repaired": 0, "writes_left": 20
        }]))
        .unwrap();
        mirror.earlier_transitions = serde_json::from_value(serde_json::json!([
            {"at": "2026-11-20T01:00:00.000000Z", "from": "starting", "to": "backup", "promotion": 6, "reason": "the instance is backup"}
        ]))
        .unwrap();
        let text = plain(&status);
        for expected in [
            "configuration /etc/mirrorvip/mirrorvip.toml, loaded 2026-11-21 02:40:00Z\n",
            "the reload at 2026-11-21 02:58:00Z failed: failed to accept the configuration: 1 problem\n",
            "            promotion 7 at 2026-11-21 02:50:00Z: page +0.01 s, API accepted +0.30 s\n",
            "primary: the instance is primary\n            2026-11-20 01:00:00Z  starting -> backup: the instance is backup\n",
        ] {
            assert!(text.contains(expected), "{expected}{text}");
        }
    }

    #[test]
    fn term_and_decision_in_force_are_shown() {
        let mut status = document();
        let mirror = &mut status.mirrors[0];
        (mirror.term, mirror.seen) = (6, Claim { term: 7, member: "db2".to_owned() });
        mirror.authority = Some(AuthorityStatus {
            ruling: "superseded".to_owned(),
            reason: Some("db2 (term 7) was promoted later".to_owned()),
            term: None,
            claim: None,
        });
        (mirror.serving, mirror.page, mirror.state) = (false, 503, "superseded".to_owned());
        let text = plain(&status);
        assert!(text.contains("  term      6; the highest known is 7, of db2\n"), "{text}");
        assert!(text.contains("  ruling    superseded: db2 (term 7) was promoted later\n"), "{text}");

        let mirror = &mut status.mirrors[0];
        (mirror.term, mirror.seen) = (8, Claim { term: 8, member: "db1".to_owned() });
        mirror.taken = Some(Taken {
            reason: "db2 is lost".to_owned(),
            user: "anna from 127.0.0.1".to_owned(),
            at: "2026-11-21T02:58:00.123456Z".to_owned(),
            overrode: "superseded: db2 (term 7) was promoted later".to_owned(),
        });
        let text = plain(&status);
        assert!(text.contains("  term      8, the highest known\n"), "{text}");
        let expected = "  taken     by anna from 127.0.0.1 at 2026-11-21 02:58:00Z: db2 is lost\n            it overrode: superseded: db2 (term 7)";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn refusing_page_has_a_reason_and_missing_checks_are_reported() {
        let mut status = document();
        let mirror = &mut status.mirrors[0];
        (mirror.serving, mirror.page, mirror.state) = (false, 503, "no-evidence".to_owned());
        (mirror.role, mirror.reason) = (None, Some("no answer within 2s".to_owned()));
        mirror.checkers.clear();
        let text = plain(&status);
        assert!(
            text.contains("PROD  no-evidence  page 503 FAILED\n  why       no answer within 2s\n"),
            "{text}"
        );
        assert!(text.contains("no client has asked"), "{text}");
    }
}
