//! A small network load balancer: polls status pages, forwards TCP to the targets whose page says 200.
//!
//! It behaves as AWS documents its Network Load Balancer, only faster: each check is a new connection; a target's health
//! changes after [`Settings::threshold`] equal results in a row; new connections go to the healthy targets in turn; when
//! a target becomes unhealthy, its connections are cut
//! (`target_health_state.unhealthy.connection_termination.enabled`); and when no target is healthy it *fails open* and
//! sends to all of them, which cannot be turned off. If the target refuses a connection, the connection is closed.
//!
//! Unlike a real one it runs in one user-space process, and takes targets in turn instead of hashing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::report::{Observed, Reporter};
use crate::http;
use crate::simulation::MemberId;

#[cfg(test)]
mod tests;

/// How long a target may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long a connection may last; the real one closes idle connections after 350 s.
const LONGEST_CONNECTION: Duration = Duration::from_secs(350);
/// How many connections may be open at once: the next waits.
const MOST_CONNECTIONS: usize = 256;
/// Checks are spread over the interval as if there were this many targets.
const MOST_TARGETS: u32 = 3;
/// Rest after an error of the listening socket.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How targets are checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// From one check to the next.
    pub(crate) interval: Duration,
    /// How long one check may take.
    pub(crate) timeout: Duration,
    /// How many equal results in a row change a target's health.
    pub(crate) threshold: u32,
    /// Path of the status page.
    pub(crate) path: &'static str,
}

/// The addresses of one member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Which member.
    pub(crate) member: MemberId,
    /// Its status page.
    pub(crate) page: SocketAddr,
    /// Where its clients go.
    pub(crate) server: SocketAddr,
}

/// The health of one target, as its checks show it. PURE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Opinion {
    healthy: bool,
    /// Checks in a row that contradict it.
    contradictions: u32,
}

/// The targets and their health.
struct Pool {
    targets: Vec<(Target, watch::Sender<bool>)>,
}

/// Checks `targets` and forwards what `listener` accepts, until the tasks are aborted.
pub(crate) fn start(
    settings: Settings,
    targets: &[Target],
    listener: TcpListener,
    reporter: &Reporter,
    tasks: &mut JoinSet<()>,
) {
    let targets = targets.iter().map(|&target| (target, watch::Sender::new(false))).collect();
    let pool = Arc::new(Pool { targets });
    for position in 0..pool.targets.len() {
        tasks.spawn(check(settings, pool.clone(), position, reporter.clone()));
    }
    tasks.spawn(accept(listener, pool, reporter.clone()));
}

async fn check(settings: Settings, pool: Arc<Pool>, position: usize, reporter: Reporter) {
    let (target, health) = &pool.targets[position];
    let mut opinion = Opinion::default();
    // Checks are spread out, as those of a real load balancer are.
    let offset = u32::try_from(position).unwrap_or(0) * settings.interval / MOST_TARGETS;
    let mut due = tokio::time::Instant::now() + offset;
    tokio::time::sleep_until(due).await;
    loop {
        let answer = http::get(target.page, settings.path, settings.timeout).await;
        let passed = answer.is_ok_and(|answer| answer.status == 200);
        if opinion.record(passed, settings.threshold) {
            health.send_replace(opinion.healthy);
            let member = target.member;
            reporter.report(reporter.now(), Observed::Target { member, healthy: opinion.healthy }).await;
            if !opinion.healthy && pool.fails_open() {
                reporter.report(reporter.now(), Observed::FailsOpen).await;
            }
        }
        // A slow check neither shifts the schedule nor causes a burst.
        due = (due + settings.interval).max(tokio::time::Instant::now());
        tokio::time::sleep_until(due).await;
    }
}

async fn accept(listener: TcpListener, pool: Arc<Pool>, reporter: Reporter) {
    let mut connections = JoinSet::new();
    let mut turn = 0_usize;
    loop {
        while connections.len() >= MOST_CONNECTIONS {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, _)) => {
                turn = turn.wrapping_add(1);
                connections.spawn(forward(client, pool.clone(), turn, reporter.clone()));
            }
            Err(error) => {
                reporter.report_if_exhausted(error).await;
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Carries one connection to one target, until either end closes or the target becomes unhealthy.
async fn forward(mut client: TcpStream, pool: Arc<Pool>, turn: usize, reporter: Reporter) {
    let Some((address, mut health)) = pool.choose(turn) else {
        return;
    };
    let mut server = match timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
        Ok(Ok(server)) => server,
        Ok(Err(error)) => return reporter.report_if_exhausted(error).await,
        Err(_elapsed) => return,
    };
    let carry = tokio::io::copy_bidirectional(&mut client, &mut server);
    tokio::select! {
        // In both cases dropping the sockets closes the connection.
        _ = timeout(LONGEST_CONNECTION, carry) => {}
        () = becomes_unhealthy(&mut health) => {}
    }
}

/// Waits for the change from healthy to unhealthy: a connection made while the load balancer failed open goes to a target
/// that was never healthy.
async fn becomes_unhealthy(health: &mut watch::Receiver<bool>) {
    // The sender lives in the pool, which the caller holds.
    let _ = health.wait_for(|healthy| *healthy).await;
    let _ = health.wait_for(|healthy| !*healthy).await;
}

impl Pool {
    fn fails_open(&self) -> bool {
        self.targets.iter().all(|(_, health)| !*health.borrow())
    }

    /// The target whose turn it is, among the healthy ones or, if there are none, all.
    fn choose(&self, turn: usize) -> Option<(SocketAddr, watch::Receiver<bool>)> {
        let open = self.fails_open();
        let eligible: Vec<_> = self.targets.iter().filter(|(_, health)| open || *health.borrow()).collect();
        let (target, health) = eligible.get(turn.checked_rem(eligible.len())?)?;
        Some((target.server, health.subscribe()))
    }
}

impl Opinion {
    /// Records the result of one check; returns whether the health changed.
    fn record(&mut self, passed: bool, threshold: u32) -> bool {
        if passed == self.healthy {
            self.contradictions = 0;
            return false;
        }
        self.contradictions += 1;
        if self.contradictions < threshold {
            return false;
        }
        *self = Self { healthy: passed, contradictions: 0 };
        true
    }
}
