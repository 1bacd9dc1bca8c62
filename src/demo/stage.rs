//! The stage owns every process, port and observer of the demo, and runs its event loop.
//!
//! Each turn of the loop handles one report of an observer or one due event of the simulated mirror, verifies that all
//! daemons live, and prints. The [`Board`] holds the observed state; scenarios wait [`until`](Stage::until) it shows what
//! they expect. Observers run in their own tasks and end with the stage.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anstyle::Style;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::board::Board;
use super::client::{self, Service};
use super::cloud::{self, Cloud, Reigns, Written};
use super::member::Member;
use super::names::{describe_change, describe_page};
use super::report::{self, Observed, Page, Report, Reporter};
use super::sampler::{self, Witness};
use super::snapshot::StateFiles;
use super::status;
use super::timeline::{BAD, DEED, DIM, GOOD, PLAIN, Timeline, span};
use super::{BALANCER, DemoError, TIMING, balancer};
use crate::clock::{Clock, Timestamp};
use crate::simulation::{Change, Event, Instance, MemberId, SimulatedMirror, Status};
use crate::text::printable;

/// How often the daemons' processes are checked.
const LIFE_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// How often held-back events are written.
const SETTLE_INTERVAL: Duration = Duration::from_millis(20);
/// How many commands may be queued while one is carried out.
const MOST_COMMANDS: usize = 16;

/// All running parts of the demo. Dropping it kills the daemons.
pub(crate) struct Stage<'a> {
    /// The observed state.
    pub(crate) board: Board,
    /// The output.
    pub(crate) timeline: Timeline<'a>,
    started: Instant,
    /// The directory with all files of the demo.
    pub(crate) directory: PathBuf,
    began: Timestamp,
    mirror: SimulatedMirror,
    members: Vec<Member>,
    /// The simulated cloud.
    pub(crate) cloud: Arc<Cloud>,
    reigns: Reigns,
    services: [watch::Sender<Service>; 3],
    /// Where clients connect.
    pub(crate) balancer: SocketAddr,
    witness: Arc<Mutex<Witness>>,
    /// The observers' end of the queue.
    pub(crate) reporter: Reporter,
    reports: mpsc::Receiver<Report>,
    /// The observers.
    pub(crate) tasks: JoinSet<()>,
    /// Whether a daemon that exits or writes without the role is reported and does not end the demo.
    pub(crate) tolerant: bool,
}

/// What one turn of the event loop handles.
enum Turn {
    Report(Report),
    MirrorDue,
    LifeCheck,
    DeadlinePassed,
    ObserverEnded,
}

impl<'a> Stage<'a> {
    /// Starts everything: the mirror at rest, three daemons, load balancer, client, cloud and sampler.
    pub(crate) async fn set_up(
        program: &Path,
        directory: &Path,
        timeline: Timeline<'a>,
    ) -> Result<Self, DemoError> {
        let clock = Clock::system();
        let mirror = SimulatedMirror::new(directory, TIMING, clock.clone()).map_err(DemoError::FakeIris)?;
        let cloud = Arc::new(Cloud::start()?);
        let irises = MemberId::ALL.map(|id| mirror.iris(id));
        let members = Member::start_all(program, directory, irises, &cloud).await?;
        let (started, began) = (Instant::now(), clock.now());
        let (reporter, reports) = report::channel(started);
        let mut reigns = Reigns::default();
        reigns.record(Duration::ZERO, Duration::ZERO, mirror.mirror().primary());
        let mut tasks = JoinSet::new();
        let services = MemberId::ALL.map(|id| watch::Sender::new(Service::of(mirror.mirror().instance(id))));
        let mut targets = Vec::with_capacity(members.len());
        for (id, member) in MemberId::ALL.into_iter().zip(&members) {
            let (listener, server) = client::listen().await?;
            let service = services[id.index()].subscribe();
            tasks.spawn(client::serve(id, listener, service, reporter.clone()));
            cloud.place(id, member.page, server);
            targets.push(balancer::Target { member: id, page: member.page, server });
        }
        let (listener, balancer) = client::listen().await?;
        balancer::start(BALANCER, &targets, listener, &reporter, &mut tasks);
        tasks.spawn(client::run(balancer, reporter.clone()));
        let pages = MemberId::ALL.map(|id| members[id.index()].page);
        tasks.spawn(cloud::watch(cloud.clone(), began, reporter.clone()));
        let witness = sampler::start(pages, &reporter, &mut tasks);
        Ok(Self {
            board: Board::default(),
            timeline,
            started,
            directory: directory.to_owned(),
            began,
            mirror,
            members,
            cloud,
            reigns,
            services,
            balancer,
            witness,
            reporter,
            reports,
            tasks,
            tolerant: false,
        })
    }

    /// Time since the demo began.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The state of a member's simulated instance.
    pub(crate) fn instance(&self, member: MemberId) -> Instance {
        self.mirror.mirror().instance(member)
    }

    /// The acting primary.
    pub(crate) fn primary(&self) -> Option<MemberId> {
        self.mirror.mirror().primary()
    }

    /// A member's process and addresses.
    pub(crate) fn member(&self, member: MemberId) -> &Member {
        &self.members[member.index()]
    }

    /// The record of the answers of all pages.
    pub(crate) fn witness(&self) -> MutexGuard<'_, Witness> {
        self.witness.lock().expect("no holder of this lock panics")
    }

    /// Writes an action of `who` to the timeline.
    pub(crate) fn announce(&mut self, who: &str, what: &str) -> Result<(), DemoError> {
        self.timeline.event(self.started.elapsed(), who, DEED, what);
        self.settle().map(drop)
    }

    /// Writes the events that are due. Returns whether others are held back.
    fn settle(&mut self) -> Result<bool, DemoError> {
        self.timeline.settle(self.started.elapsed())
    }

    /// Applies an event to the simulated mirror.
    pub(crate) fn simulate(&mut self, event: Event) -> Result<(), DemoError> {
        let now = self.now();
        let changes = self.mirror.handle(now, event)?;
        self.reigns.record(now, self.now(), self.primary());
        self.show(now, &changes);
        Ok(())
    }

    /// Kills the daemon of `member`, as a crash of its host does.
    pub(crate) async fn kill(&mut self, member: MemberId) -> Result<(), DemoError> {
        self.announce(member.name(), "daemon killed (SIGKILL)")?;
        self.members[member.index()].kill().await;
        Ok(())
    }

    /// Starts the daemon of `member` again, if it does not run.
    pub(crate) async fn restart(&mut self, member: MemberId) -> Result<(), DemoError> {
        if self.member(member).runs() {
            return Ok(());
        }
        self.announce(member.name(), "daemon started again")?;
        self.members[member.index()].restart().await
    }

    /// Takes a snapshot of the daemon's state on the machine of `member`.
    pub(crate) fn snapshot(&self, member: MemberId) -> Result<StateFiles, DemoError> {
        StateFiles::read(&self.member(member).state())
            .map_err(DemoError::set_up("read the state of a daemon"))
    }

    /// Reverts the machine of `member`, instance and daemon, to a `snapshot` from when it was primary. Its page may say
    /// SUCCESS beside another until [`excuse_ends`](Witness::excuse_ends).
    pub(crate) async fn revert(&mut self, member: MemberId, snapshot: &StateFiles) -> Result<(), DemoError> {
        self.announce(member.name(), "machine and state reverted to the snapshot")?;
        self.witness().excuse(member);
        let process = &mut self.members[member.index()];
        process.kill().await;
        snapshot.restore(&process.state()).map_err(DemoError::set_up("revert the state of a daemon"))?;
        self.simulate(Event::Revert(member))?;
        self.restart(member).await
    }

    /// Runs the event loop until the board shows what is `expected`; fails if that takes longer than `limit`.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut expected: impl FnMut(&Self) -> bool,
    ) -> Result<(), DemoError> {
        let deadline = Instant::now() + limit;
        while !expected(self) {
            if !self.turn(deadline).await? {
                return Err(DemoError::NotInTime { what: what.to_owned(), limit });
            }
        }
        Ok(())
    }

    /// Runs the event loop for a while.
    pub(crate) async fn rest(&mut self, length: Duration) -> Result<(), DemoError> {
        let deadline = Instant::now() + length;
        while self.turn(deadline).await? {}
        Ok(())
    }

    /// Stops the observers and the daemons, cleanly where possible.
    pub(crate) async fn shut_down(mut self) {
        // The caller reports failures of the output.
        let _ = self.timeline.finish();
        self.tasks.shutdown().await;
        let [a, b, c] = self.members.as_mut_slice() else {
            unreachable!("a stage is set up with three members");
        };
        tokio::join!(a.stop(), b.stop(), c.stop());
    }

    /// Waits for one event and handles it; `false` if `deadline` passed first.
    async fn turn(&mut self, deadline: Instant) -> Result<bool, DemoError> {
        let due = self.mirror.mirror().next_due().map_or(deadline, |due| self.started + due);
        let pause = if self.settle()? { SETTLE_INTERVAL } else { LIFE_CHECK_INTERVAL };
        // Cancel-safe: a report stays in the queue until it is received.
        let turn = tokio::select! {
            biased;
            Some(_) = self.tasks.join_next() => Turn::ObserverEnded,
            () = sleep_until(due), if due < deadline => Turn::MirrorDue,
            Some(report) = self.reports.recv() => Turn::Report(report),
            () = sleep_until(deadline) => Turn::DeadlinePassed,
            () = tokio::time::sleep(pause) => Turn::LifeCheck,
        };
        match turn {
            Turn::Report(report) => self.take(report).await?,
            Turn::MirrorDue => {
                let now = self.now();
                let changes = self.mirror.advance(now)?;
                self.reigns.record(now, self.now(), self.primary());
                self.show(now, &changes);
            }
            Turn::LifeCheck => {}
            Turn::DeadlinePassed => return Ok(false),
            Turn::ObserverEnded => return Err(DemoError::ObserverEnded),
        }
        self.check_lives()?;
        Ok(true)
    }

    fn check_lives(&mut self) -> Result<(), DemoError> {
        for member in &mut self.members {
            match member.check_alive() {
                Err(DemoError::MemberEnded { member, status, .. }) if self.tolerant => {
                    let what = format!("daemon exited with {status}");
                    let now = self.started.elapsed();
                    self.timeline.event(now, member.name(), BAD, &what);
                }
                result => result?,
            }
        }
        Ok(())
    }

    /// Applies changes of the mirror to the superservers, the board and the timeline.
    fn show(&mut self, now: Duration, changes: &[Change]) {
        for change in changes {
            let member = change.member();
            let (style, what) = match change {
                Change::Became { from, to, .. } => {
                    self.services[member.index()].send_replace(Service::of(*to));
                    self.board.changed[member.index()] = now;
                    (PLAIN, describe_change(*from, *to))
                }
                Change::Logged { line, .. } if line.severity > 0 => (DIM, format!("log: {}", line.text)),
                Change::Logged { .. } => continue,
            };
            self.timeline.event(now, member.name(), style, &what);
        }
    }

    /// Applies a report to the board and the timeline.
    async fn take(&mut self, Report { at, observed }: Report) -> Result<(), DemoError> {
        let (who, style, what) = match observed {
            Observed::Page { member, from, to } => {
                self.board.pages[member.index()] = (to, at);
                let style = if to == Page::SUCCESS { GOOD } else { BAD };
                (member.name(), style, self.describe_page(member, at, from, to).await)
            }
            Observed::TwoSuccess(overlap) => {
                let [(first, one), (second, other)] = *overlap;
                return Err(DemoError::Violation(format!(
                    "{first} and {second} answered SUCCESS at the same time: {one:?} and {other:?}"
                )));
            }
            Observed::Target { member, healthy } => {
                self.board.healthy[member.index()] = (healthy, at);
                let (style, word) = if healthy { (GOOD, "healthy") } else { (BAD, "unhealthy") };
                ("balancer", style, format!("{member} is {word}"))
            }
            Observed::FailsOpen => {
                ("balancer", BAD, "no target is healthy: it fails open and sends to all".to_owned())
            }
            Observed::ClientReached { member, since_last_answer } => {
                self.board.client = Some((member, at));
                self.board.outage = since_last_answer;
                let gap = since_last_answer.map(|gap| format!(", {} after the last answer", span(gap)));
                ("client", GOOD, format!("reaches {member}{}", gap.unwrap_or_default()))
            }
            Observed::ClientLost => {
                self.board.client = None;
                ("client", BAD, "gets no answer".to_owned())
            }
            Observed::Written(written) => match self.judge(*written)? {
                Some(written) => written,
                None => return Ok(()),
            },
            Observed::Group { members, fails_open } => {
                let style = if fails_open { BAD } else { GOOD };
                let why = if fails_open { " (none healthy: it fails open)" } else { "" };
                let what = format!("target group sends to {}{why}", cloud::name(&members));
                self.board.group = (if fails_open { Vec::new() } else { members }, at);
                ("cloud", style, what)
            }
            Observed::Record(member) => {
                self.board.record = (member, at);
                let whose = member.map_or("no member", MemberId::name);
                ("cloud", GOOD, format!("{} resolves to {whose}", cloud::RECORD))
            }
            Observed::Command(command) => {
                let what = format!("command {}", printable(&command, 40));
                if self.board.commands.len() < MOST_COMMANDS {
                    self.board.commands.push_back(command);
                }
                ("you", DIM, what)
            }
            Observed::Exhausted(error) => return Err(DemoError::Exhausted(error)),
        };
        self.timeline.event(at, who, style, &what);
        Ok(())
    }

    /// The timeline entry for a write to the cloud, if it needs one; fails if the member was not primary.
    fn judge(&mut self, written: Written) -> Result<Option<(&'static str, Style, String)>, DemoError> {
        let Written { member, received, action, directs } = written;
        if !self.reigns.was_primary(member, received) {
            if !self.tolerant {
                return Err(DemoError::Violation(format!(
                    "{member} sent {action} to the cloud at {received:?}, when it was not primary"
                )));
            }
            return Ok(Some((member.name(), BAD, format!("{action} without being primary"))));
        }
        Ok(directs.map(|(what, before, after)| {
            if what == cloud::GROUP {
                self.board.registered.clone_from(&after);
            }
            (member.name(), DEED, format!("writes the {what}: {before} -> {after}"))
        }))
    }

    async fn describe_page(&mut self, member: MemberId, at: Duration, from: Page, to: Page) -> String {
        let changed = self.board.changed[member.index()];
        let mut seen = None;
        if to == Page::SUCCESS {
            let ruled = self.ask_when_ruled(member).await;
            self.board.ruled[member.index()] = ruled;
            seen = ruled.and_then(|ruled| ruled.checked_sub(changed));
        }
        describe_page((from, to), self.instance(member), at.saturating_sub(changed), seen)
    }

    /// The reason that the daemon of `member` reports for taking no traffic, if another member supersedes it.
    pub(crate) async fn ask_why_superseded(&self, member: MemberId) -> Option<String> {
        status::why_superseded(self.member(member).admin).await
    }

    /// When the daemon of `member` last ruled that it is the primary, as it reports itself.
    async fn ask_when_ruled(&self, member: MemberId) -> Option<Duration> {
        let ruled_at = status::promoted_at(self.member(member).admin).await?;
        ruled_at.checked_sub(self.began.since_unix_epoch())
    }

    /// Whether the instance of `member` is backup or connected async, and its page says FAILED.
    pub(crate) fn is_standby(&self, member: MemberId) -> bool {
        let settled = matches!(self.instance(member).status, Status::Backup | Status::Connected);
        settled && self.board.pages[member.index()].0 == Page::FAILED
    }
}
