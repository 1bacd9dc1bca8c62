//! A small network load balancer: polls status pages, forwards TCP to the targets whose page says 200.
//!
//! It behaves as AWS documents its Network Load Balancer, at a faster pace: a new connection for each check;
//! a target changes sides after [`Settings::threshold`] checks in a row; new connections go to the healthy
//! targets in turn; when a target becomes unhealthy, its connections are cut
//! (`target_health_state.unhealthy.connection_termination.enabled`); and when no target is healthy it
//! *fails open* and sends to all of them, which cannot be turned off. A connection that its target does not
//! take is closed, not sent to another one.
//!
//! Unlike the real one it balances in user space, in one place, and in turn where the real one hashes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::http;
use super::report::{Reporter, Sight};
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
    /// How many checks in a row change a target's side, in either direction.
    pub(crate) threshold: u32,
    /// Path of the status page.
    pub(crate) path: &'static str,
}

/// Where one member is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Which member.
    pub(crate) member: MemberId,
    /// Its status page.
    pub(crate) page: SocketAddr,
    /// Where its clients go.
    pub(crate) server: SocketAddr,
}

/// Opinion about one target. PURE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Opinion {
    healthy: bool,
    /// Checks in a row that contradict it.
    contradictions: u32,
}

/// A target and the present opinion about it.
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
    // Spread out, as the checks of a real one are.
    let offset = u32::try_from(position).unwrap_or(0) * settings.interval / MOST_TARGETS;
    let mut due = tokio::time::Instant::now() + offset;
    tokio::time::sleep_until(due).await;
    loop {
        let answer = http::get(target.page, settings.path, settings.timeout).await;
        let passed = answer.as_ref().is_ok_and(|answer| answer.status == 200);
        if let Err(error) = answer {
            reporter.tell_if_exhausted(error).await;
        }
        if opinion.record(passed, settings.threshold) {
            health.send_replace(opinion.healthy);
            let member = target.member;
            reporter.tell(reporter.now(), Sight::Target { member, healthy: opinion.healthy }).await;
            if !opinion.healthy && pool.fails_open() {
                reporter.tell(reporter.now(), Sight::FailsOpen).await;
            }
        }
        // Checks keep their pace whatever one of them took, and never catch up in a burst.
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
                reporter.tell_if_exhausted(error).await;
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
        Ok(Err(error)) => return reporter.tell_if_exhausted(error).await,
        Err(_elapsed) => return,
    };
    let carry = tokio::io::copy_bidirectional(&mut client, &mut server);
    tokio::select! {
        // Either way both sockets are dropped, and that is all there is to do.
        _ = timeout(LONGEST_CONNECTION, carry) => {}
        () = becomes_unhealthy(&mut health) => {}
    }
}

/// Waits for the change from healthy to unhealthy: a connection that was made because the load balancer
/// failed open is to a target that is unhealthy all the time.
async fn becomes_unhealthy(health: &mut watch::Receiver<bool>) {
    // The sender lives in the pool, which the caller holds.
    let _ = health.wait_for(|healthy| *healthy).await;
    let _ = health.wait_for(|healthy| !*healthy).await;
}

impl Pool {
    fn fails_open(&self) -> bool {
        self.targets.iter().all(|(_, health)| !*health.borrow())
    }

    /// The target whose turn it is; any of them when none is healthy.
    fn choose(&self, turn: usize) -> Option<(SocketAddr, watch::Receiver<bool>)> {
        let open = self.fails_open();
        let eligible: Vec<_> = self.targets.iter().filter(|(_, health)| open || *health.borrow()).collect();
        let (target, health) = eligible.get(turn.checked_rem(eligible.len())?)?;
        Some((target.server, health.subscribe()))
    }
}

impl Opinion {
    /// Takes the result of one check; says whether the opinion changed.
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
