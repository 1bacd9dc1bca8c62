//! What happens in the demo: an orderly failover, a crash, a hung instance, a machine that is reverted to a snapshot,
//! the promotion of C.
//!
//! Each failover changes the primary's state and then expects, in this order and each within a deadline: the old primary's
//! page stops saying 200, the new primary's page says it, the client reaches the new primary, the load balancer has
//! switched, and the cloud's target group and record lead only to the new primary. The reverted machine must take nothing
//! and say why. Observers verify throughout that no two pages say 200 at the same time and that only the primary writes to
//! the cloud.

use std::time::Duration;

use super::report::Page;
use super::snapshot::StateFiles;
use super::stage::Stage;
use super::{DemoError, Figures, SUPERSEDED_WITHIN, Summary};
use crate::simulation::{Event, MemberId};

/// Deadline of each step: many times what it takes, for slow and busy machines.
const LIMIT: Duration = Duration::from_secs(20);
/// Pause between two scenarios, for the reader and for late observations.
const PAUSE: Duration = Duration::from_millis(700);
/// Pause between two requests for a daemon's status.
const STATUS_PAUSE: Duration = Duration::from_millis(50);
/// How long a reverted member is watched.
const SETTLED_PAUSE: Duration = Duration::from_secs(2);
/// How long the operator takes before promoting C.
const HUMAN_PAUSE: Duration = Duration::from_secs(1);

/// Plays all scenarios and prints the summary.
pub(crate) async fn play_all(stage: &mut Stage<'_>) -> Result<Summary, DemoError> {
    heading(stage, "Start: A is primary, B backup, C connected")?;
    let settled = |stage: &Stage<'_>| {
        serves_alone(stage, MemberId::A)
            && cloud_leads_to(stage, MemberId::A)
            && stage.is_standby(MemberId::B)
            && stage.is_standby(MemberId::C)
    };
    stage.until("A to serve alone, with B and C standing by", LIMIT, settled).await?;
    stage.rest(PAUSE).await?;
    let mut scenarios = vec![
        orderly_failover(stage, MemberId::A, MemberId::B).await?,
        crash(stage, MemberId::B, MemberId::A).await?,
    ];
    let snapshot = stage.snapshot(MemberId::A)?;
    stage.announce("operator", "takes a snapshot of A's machine while A is primary")?;
    scenarios.push(hung_instance(stage, MemberId::A, MemberId::B).await?);
    let reverted_page = old_snapshot(stage, MemberId::A, &snapshot, MemberId::B).await?;
    scenarios.push(promotion(stage).await?);
    let violations = stage.cloud.violations();
    if !violations.is_empty() {
        return Err(DemoError::Violation(format!(
            "the cloud directed clients to no member: {}",
            violations.join("; ")
        )));
    }
    let (samples, writes) = (stage.witness().samples(), stage.cloud.writes());
    let summary = Summary { scenarios, samples, reverted_page, writes };
    stage.timeline.summary(&summary)?;
    Ok(summary)
}

async fn orderly_failover(stage: &mut Stage<'_>, old: MemberId, new: MemberId) -> Result<Figures, DemoError> {
    heading(stage, &format!("Orderly failover: {old} is shut down, {new} takes over"))?;
    stage.simulate(Event::Stop(old))?;
    let figures = watch_failover(stage, "orderly failover", &[old], new).await?;
    stand_by_again(stage, old).await?;
    Ok(figures)
}

async fn crash(stage: &mut Stage<'_>, old: MemberId, new: MemberId) -> Result<Figures, DemoError> {
    heading(stage, &format!("Crash: the host of {old} dies with its daemon, {new} takes over"))?;
    stage.kill(old).await?;
    stage.simulate(Event::Crash(old))?;
    let figures = watch_failover(stage, "crash", &[old], new).await?;
    stand_by_again(stage, old).await?;
    Ok(figures)
}

async fn hung_instance(stage: &mut Stage<'_>, old: MemberId, new: MemberId) -> Result<Figures, DemoError> {
    heading(stage, &format!("Hung instance: `iris` of {old} does not answer, {new} takes over"))?;
    stage.simulate(Event::Hang(old))?;
    let hung_at = stage.board.changed[old.index()];
    stage.until(&format!("the page of {old} to expire"), LIMIT, |stage| !says_success(stage, old)).await?;
    let expired_at = stage.board.pages[old.index()].1;
    let mut figures = watch_failover(stage, "hung instance", &[old], new).await?;
    figures.old_page_expired = Some(expired_at.saturating_sub(hung_at));
    stand_by_again(stage, old).await?;
    Ok(figures)
}

/// Reverts the machine of `old` to a `snapshot` from when it was primary, while `primary` serves. Returns how long its page
/// said SUCCESS.
async fn old_snapshot(
    stage: &mut Stage<'_>,
    old: MemberId,
    snapshot: &StateFiles,
    primary: MemberId,
) -> Result<Duration, DemoError> {
    heading(stage, &format!("Snapshot: {old} is reverted to when it was primary, while {primary} serves"))?;
    stage.revert(old, snapshot).await?;
    let reverted_at = stage.now();
    let why = loop {
        match stage.ask_why_superseded(old).await {
            Some(why) => break why,
            None if stage.now() >= reverted_at + LIMIT => {
                let what = format!("the daemon of {old} to find that {primary} was promoted later");
                return Err(DemoError::NotInTime { what, limit: LIMIT });
            }
            None => stage.rest(STATUS_PAUSE).await?,
        }
    };
    stage.until(&format!("the page of {old} to say 503"), LIMIT, |stage| says_failed(stage, old)).await?;
    stage.timeline.reason(&format!("{old} takes nothing"), &why)?;
    // Long enough for rounds of questions to peers, and for writes, which must not happen.
    stage.rest(SETTLED_PAUSE).await?;
    let unmoved = |stage: &Stage<'_>| serves_alone(stage, primary) && cloud_leads_to(stage, primary);
    stage.until(&format!("clients to stay with {primary}"), LIMIT, unmoved).await?;
    let page = stage.witness().excuse_ends();
    if page > SUPERSEDED_WITHIN {
        let violation = format!("{primary} and {old} answered SUCCESS at the same time for {page:?}");
        return Err(DemoError::Violation(violation));
    }
    stage.timeline.reverted(old.name(), page)?;
    stage.announce("operator", &format!("shuts {old} down and starts it as a member again"))?;
    stage.simulate(Event::Stop(old))?;
    stand_by_again(stage, old).await?;
    Ok(page)
}

async fn promotion(stage: &mut Stage<'_>) -> Result<Figures, DemoError> {
    let (failover_members, new) = ([MemberId::A, MemberId::B], MemberId::C);
    heading(stage, "Disaster: the hosts of A and B die, an operator promotes C")?;
    for member in failover_members {
        stage.kill(member).await?;
        stage.simulate(Event::Crash(member))?;
    }
    stage.rest(HUMAN_PAUSE).await?;
    stage.announce("operator", "promotes C to failover member")?;
    stage.simulate(Event::Promote(new))?;
    watch_failover(stage, "promotion of C", &failover_members, new).await
}

/// Waits until `new` serves the clients, and measures each step.
async fn watch_failover(
    stage: &mut Stage<'_>,
    scenario: &'static str,
    old: &[MemberId],
    new: MemberId,
) -> Result<Figures, DemoError> {
    let silenced = |stage: &Stage<'_>| !old.iter().any(|&member| says_success(stage, member));
    stage.until("the old primary's page to stop saying 200", LIMIT, silenced).await?;
    stage.until(&format!("{new} to be primary"), LIMIT, |stage| stage.primary() == Some(new)).await?;
    let primary_since = stage.board.changed[new.index()];
    stage.until(&format!("the page of {new} to say 200"), LIMIT, |stage| says_success(stage, new)).await?;
    let reached = |stage: &Stage<'_>| {
        stage.board.client.is_some_and(|(member, at)| member == new && at >= primary_since)
    };
    stage.until(&format!("the client to reach {new}"), LIMIT, reached).await?;
    let outage = stage.board.outage;
    let client_since = stage.board.client.map_or(primary_since, |(_, at)| at);
    let what = format!("the load balancer to send to {new} alone");
    stage.until(&what, LIMIT, |stage| serves_alone(stage, new)).await?;
    let what = format!("target group and record to lead to {new} alone");
    stage.until(&what, LIMIT, |stage| cloud_leads_to(stage, new)).await?;
    let board = &stage.board;
    let after = |at: Duration| at.saturating_sub(primary_since);
    let figures = Figures {
        scenario,
        role_seen: board.ruled[new.index()].map(after),
        page_flipped: after(board.pages[new.index()].1),
        balancer_switched: after(board.healthy[new.index()].1),
        group_follows: after(board.group.1),
        record_follows: after(board.record.1),
        client_reached: after(client_since),
        outage,
        old_page_expired: None,
    };
    stage.timeline.figures(&figures)?;
    Ok(figures)
}

/// Repairs `member` and waits until it is standby.
pub(crate) async fn stand_by_again(stage: &mut Stage<'_>, member: MemberId) -> Result<(), DemoError> {
    stage.restart(member).await?;
    stage.simulate(Event::Start(member))?;
    let what = format!("{member} to become standby again");
    stage.until(&what, LIMIT, |stage| stage.is_standby(member)).await?;
    stage.rest(PAUSE).await
}

fn says_success(stage: &Stage<'_>, member: MemberId) -> bool {
    stage.board.pages[member.index()].0 == Page::SUCCESS
}

fn says_failed(stage: &Stage<'_>, member: MemberId) -> bool {
    stage.board.pages[member.index()].0 == Page::FAILED
}

/// Whether the load balancer sends only to `member`, and the client reaches it.
fn serves_alone(stage: &Stage<'_>, member: MemberId) -> bool {
    let board = &stage.board;
    MemberId::ALL.into_iter().all(|other| board.healthy[other.index()].0 == (other == member))
        && board.client.is_some_and(|(reached, _)| reached == member)
}

/// Whether the cloud's target group contains only `member` and sends to it, and the record names it.
fn cloud_leads_to(stage: &Stage<'_>, member: MemberId) -> bool {
    let board = &stage.board;
    board.group.0 == [member] && board.registered == member.name() && board.record.0 == Some(member)
}

fn heading(stage: &mut Stage<'_>, text: &str) -> Result<(), DemoError> {
    stage.timeline.heading(text)
}
