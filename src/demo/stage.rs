//! The stage: owns every process, port and observer of the demo, and pumps what happens on it.
//!
//! One task turns it: it takes the observers' reports, lets the simulated mirror do what is due, looks
//! whether all daemons live, and prints. What is known at any moment is on the [`Board`], and scenarios
//! wait [`until`](Stage::until) the board shows something. Observers run in tasks of their own and end with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anstyle::Style;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::board::Board;
use super::client::{self, Service};
use super::cloud::{self, Cloud, Reigns, Written};
use super::member::Member;
use super::names::{describe_change, describe_page};
use super::report::{self, Page, Report, Reporter, Sight, Stopwatch};
use super::sampler::{self, Witness};
use super::snapshot::StateFiles;
use super::status;
use super::timeline::{BAD, DEED, DIM, GOOD, PLAIN, Timeline, span};
use super::{BALANCER, DemoError, TIMING, balancer};
use crate::clock::{Clock, Timestamp};
use crate::simulation::{Change, Event, Instance, MemberId, SimulatedMirror, Status};
use crate::text::printable;

/// How often the daemons' processes are looked at.
const LIFE_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// How many commands may wait while one is carried out.
const MOST_COMMANDS: usize = 16;

/// Everything of the demo that runs. Dropping it kills the daemons.
pub(crate) struct Stage<'a> {
    /// What is known.
    pub(crate) board: Board,
    timeline: Timeline<'a>,
    stopwatch: Stopwatch,
    directory: PathBuf,
    began: Timestamp,
    mirror: SimulatedMirror,
    members: Vec<Member>,
    cloud: Arc<Cloud>,
    reigns: Reigns,
    services: [watch::Sender<Service>; 3],
    balancer: SocketAddr,
    witness: Arc<Mutex<Witness>>,
    reporter: Reporter,
    reports: mpsc::Receiver<Report>,
    tasks: JoinSet<()>,
    tolerant: bool,
}

/// What one turn of the stage was about.
enum Turn {
    Report(Report),
    MirrorDue,
    LifeCheck,
    DeadlinePassed,
    ObserverEnded,
}

impl<'a> Stage<'a> {
    /// Starts everything: the mirror at rest, three daemons that answer, load balancer, client and sampler.
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
        let (stopwatch, began) = (Stopwatch::start(), clock.now());
        let (reporter, reports) = report::channel(stopwatch);
        let mut reigns = Reigns::default();
        reigns.record(Duration::ZERO, Duration::ZERO, mirror.mirror().primary());
        let mut tasks = JoinSet::new();
        let services = MemberId::ALL.map(|id| watch::Sender::new(Service::of(mirror.mirror().instance(id))));
        let mut targets = Vec::with_capacity(members.len());
        for (id, member) in MemberId::ALL.into_iter().zip(&members) {
            let (listener, server) = listen().await?;
            let service = services[id.index()].subscribe();
            tasks.spawn(client::serve(id, listener, service, reporter.clone()));
            cloud.place(id, member.page(), server);
            targets.push(balancer::Target { member: id, page: member.page(), server });
        }
        let (listener, balancer) = listen().await?;
        balancer::start(BALANCER, &targets, listener, &reporter, &mut tasks);
        tasks.spawn(client::run(balancer, reporter.clone()));
        let pages = MemberId::ALL.map(|id| members[id.index()].page());
        tasks.spawn(cloud::watch(cloud.clone(), began, reporter.clone()));
        let witness = sampler::start(pages, &reporter, &mut tasks);
        Ok(Self {
            board: Board::default(),
            timeline,
            stopwatch,
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

    /// What the stopwatch shows.
    pub(crate) fn now(&self) -> Duration {
        self.stopwatch.elapsed()
    }

    /// What is written to the terminal besides events.
    pub(crate) fn timeline(&mut self) -> &mut Timeline<'a> {
        &mut self.timeline
    }

    /// What a member's simulated instance is.
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

    /// Where clients connect.
    pub(crate) fn balancer(&self) -> SocketAddr {
        self.balancer
    }

    /// The simulated cloud.
    pub(crate) fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// The directory with all files of the demo.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// How many answers the witness has looked at.
    pub(crate) fn samples(&self) -> u64 {
        self.witness.lock().expect("no holder of this lock panics").samples()
    }

    /// From here on a daemon that ends is told, and does not end the demo.
    pub(crate) fn tolerate_ended_daemons(&mut self) {
        self.tolerant = true;
    }

    /// Spawns another observer.
    pub(crate) fn observe<F>(&mut self, observer: impl FnOnce(Reporter) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(observer(self.reporter.clone()));
    }

    /// Another end of the observers' queue, for those that cannot be tasks.
    pub(crate) fn reporter(&self) -> Reporter {
        self.reporter.clone()
    }

    /// Writes that somebody does something.
    pub(crate) fn tell(&mut self, who: &str, what: &str) -> Result<(), DemoError> {
        self.timeline.event(self.stopwatch.elapsed(), who, DEED, what).map_err(DemoError::Output)
    }

    /// Lets something happen to the simulated mirror.
    pub(crate) fn simulate(&mut self, event: Event) -> Result<(), DemoError> {
        let now = self.now();
        let changes = self.mirror.handle(now, event)?;
        self.reigns.record(now, self.now(), self.primary());
        self.show(now, &changes)
    }

    /// Kills the daemon of `member`, as the death of its host does.
    pub(crate) async fn kill(&mut self, member: MemberId) -> Result<(), DemoError> {
        self.tell(member.name(), "daemon killed (SIGKILL)")?;
        self.members[member.index()].kill().await;
        Ok(())
    }

    /// Starts the daemon of `member` again, if it does not run.
    pub(crate) async fn restart(&mut self, member: MemberId) -> Result<(), DemoError> {
        if self.member(member).runs() {
            return Ok(());
        }
        self.tell(member.name(), "daemon started again")?;
        self.members[member.index()].restart().await
    }

    /// Takes a snapshot of the machine of `member`, as far as its daemon remembers there.
    pub(crate) fn snapshot(&self, member: MemberId) -> Result<StateFiles, DemoError> {
        StateFiles::read(&self.member(member).state())
            .map_err(|source| DemoError::SetUp { what: "read the state of a daemon", source })
    }

    /// Reverts the machine of `member`, instance and daemon, to a `snapshot` of when it was primary. Until the
    /// [end](Self::revert_ends) its page may say SUCCESS beside another.
    pub(crate) async fn revert(&mut self, member: MemberId, snapshot: &StateFiles) -> Result<(), DemoError> {
        self.tell(member.name(), "machine reverted to the snapshot, state and all")?;
        self.witness.lock().expect("no holder of this lock panics").excuse(member);
        let process = &mut self.members[member.index()];
        process.kill().await;
        snapshot
            .restore(&process.state())
            .map_err(|source| DemoError::SetUp { what: "revert the state of a daemon", source })?;
        self.simulate(Event::Revert(member))?;
        self.restart(member).await
    }

    /// From here on no two pages may say SUCCESS. Returns for how long the reverted member's page said it at most.
    pub(crate) fn revert_ends(&mut self) -> Duration {
        self.witness.lock().expect("no holder of this lock panics").excuse_ends()
    }

    /// Turns the stage until the board shows what is `expected`; an error when that takes longer than `limit`.
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

    /// Turns the stage for a while.
    pub(crate) async fn rest(&mut self, length: Duration) -> Result<(), DemoError> {
        let deadline = Instant::now() + length;
        while self.turn(deadline).await? {}
        Ok(())
    }

    /// Stops the daemons, in an orderly way where possible, and the observers.
    pub(crate) async fn shut_down(mut self) {
        self.tasks.shutdown().await;
        let [a, b, c] = self.members.as_mut_slice() else {
            unreachable!("a stage is set up with three members");
        };
        tokio::join!(a.stop(), b.stop(), c.stop());
    }

    /// Waits for one thing and handles it; `false` when `deadline` came first.
    async fn turn(&mut self, deadline: Instant) -> Result<bool, DemoError> {
        let due = self.mirror.mirror().next_due().map_or(deadline, |due| self.stopwatch.moment(due));
        // Nothing is lost when the other arms are dropped: a report stays in the queue until it is received.
        let turn = tokio::select! {
            biased;
            Some(_) = self.tasks.join_next() => Turn::ObserverEnded,
            () = sleep_until(due), if due < deadline => Turn::MirrorDue,
            Some(report) = self.reports.recv() => Turn::Report(report),
            () = sleep_until(deadline) => Turn::DeadlinePassed,
            () = tokio::time::sleep(LIFE_CHECK_INTERVAL) => Turn::LifeCheck,
        };
        match turn {
            Turn::Report(report) => self.take(report).await?,
            Turn::MirrorDue => {
                let now = self.now();
                let changes = self.mirror.advance(now)?;
                self.reigns.record(now, self.now(), self.primary());
                self.show(now, &changes)?;
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
                    let what = format!("daemon ended with {status}");
                    let now = self.stopwatch.elapsed();
                    self.timeline.event(now, member.name(), BAD, &what).map_err(DemoError::Output)?;
                }
                result => result?,
            }
        }
        Ok(())
    }

    /// Makes what happened in the mirror visible: to the clients, on the board, on the terminal.
    fn show(&mut self, now: Duration, changes: &[Change]) -> Result<(), DemoError> {
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
            self.timeline.event(now, member.name(), style, &what).map_err(DemoError::Output)?;
        }
        Ok(())
    }

    /// Puts a report on the board and on the terminal.
    async fn take(&mut self, Report { at, sight }: Report) -> Result<(), DemoError> {
        let (who, style, what) = match sight {
            Sight::Page { member, from, to } => {
                self.board.pages[member.index()] = (to, at);
                let style = if to == Page::SUCCESS { GOOD } else { BAD };
                (member.name(), style, self.describe_page(member, at, from, to).await)
            }
            Sight::TwoSuccess(overlap) => {
                let [(first, one), (second, other)] = *overlap;
                let windows = format!("{one:?} and {other:?}");
                return Err(DemoError::TwoSuccess { first, second, windows });
            }
            Sight::Target { member, healthy } => {
                self.board.healthy[member.index()] = (healthy, at);
                let (style, word) = if healthy { (GOOD, "healthy") } else { (BAD, "unhealthy") };
                ("balancer", style, format!("{member} is {word}"))
            }
            Sight::FailsOpen => {
                ("balancer", BAD, "none is healthy: fails open, sends to all of them".to_owned())
            }
            Sight::ClientReached { member, since_last_answer } => {
                self.board.client = Some((member, at));
                self.board.outage = since_last_answer;
                let gap = since_last_answer.map(|gap| format!(", {} after the last answer", span(gap)));
                ("client", GOOD, format!("reaches {member}{}", gap.unwrap_or_default()))
            }
            Sight::ClientLost => {
                self.board.client = None;
                ("client", BAD, "gets no answer".to_owned())
            }
            Sight::Written(written) => match self.judge(*written)? {
                Some(written) => written,
                None => return Ok(()),
            },
            Sight::Group { members, fails_open } => {
                let style = if fails_open { BAD } else { GOOD };
                let why = if fails_open { ", none is healthy: it fails open" } else { "" };
                let what = format!("target group sends to {}{why}", cloud::name(&members));
                self.board.group = (if fails_open { Vec::new() } else { members }, at);
                ("cloud", style, what)
            }
            Sight::Record(member) => {
                self.board.record = (member, at);
                let whose = member.map_or("nobody", MemberId::name);
                ("cloud", GOOD, format!("{} resolves to {whose}", cloud::RECORD))
            }
            Sight::Command(command) => {
                let what = format!("command {}", printable(&command, 40));
                if self.board.commands.len() < MOST_COMMANDS {
                    self.board.commands.push_back(command);
                }
                ("you", DIM, what)
            }
            Sight::Exhausted(error) => return Err(DemoError::Exhausted(error)),
        };
        self.timeline.event(at, who, style, &what).map_err(DemoError::Output)
    }

    /// What to say about a write to the cloud, if anything; an error when the member had no right to it.
    fn judge(&mut self, written: Written) -> Result<Option<(&'static str, Style, String)>, DemoError> {
        let Written { member, received, action, directs } = written;
        if !self.reigns.was_primary(member, received) {
            if !self.tolerant {
                return Err(DemoError::WroteWithoutRole { member, action, at: received });
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

    /// Why the daemon of `member` takes no traffic, in its own words, if another member supersedes it.
    pub(crate) async fn ask_why_superseded(&self, member: MemberId) -> Option<String> {
        status::why_superseded(self.member(member).admin()).await
    }

    /// When the daemon of `member` last ruled that it is the primary, by its own account.
    async fn ask_when_ruled(&self, member: MemberId) -> Option<Duration> {
        let ruled_at = status::promoted_at(self.member(member).admin()).await?;
        ruled_at.checked_sub(self.began.since_unix_epoch())
    }

    /// Whether the instance of `member` has settled as a backup or async member and its page says so.
    pub(crate) fn is_standby(&self, member: MemberId) -> bool {
        let settled = matches!(self.instance(member).status, Status::Backup | Status::Connected);
        settled && self.board.pages[member.index()].0 == Page::FAILED
    }
}

async fn listen() -> Result<(TcpListener, SocketAddr), DemoError> {
    let bind = async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bind.await.map_err(|source| DemoError::SetUp { what: "open a port on 127.0.0.1", source })
}
