//! Health checks as a load balancer makes them: real connections to the members' real ports.
//!
//! One loop per pool. A target whose check still runs is not checked twice and delays no other target's check.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::objects::PoolName;
use super::pool::{Failure, ToCheck};
use super::settings::HealthCheck;
use super::state::Shared;

/// The shortest time limit of a check: it waits for a real process on a machine that may be busy.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);
/// The shortest pause between two rounds.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(5);
/// How much of an answer is read: enough for its status line.
const STATUS_LINE: usize = 64;

/// Checks the targets of a pool until there is no such pool.
pub(super) async fn run(shared: Arc<Shared>, pool: PoolName) {
    let mut running: JoinSet<(ToCheck, Result<(), Failure>)> = JoinSet::new();
    let mut busy: Vec<ToCheck> = Vec::new();
    let mut due = Instant::now();
    let real = {
        let settings = &shared.lock().objects.settings;
        let second = settings.real(Duration::from_secs(1));
        move |seconds: u32| second * seconds
    };
    loop {
        // Both arms may be cancelled: a moment stays due, a task that is not joined stays in its set.
        tokio::select! {
            () = sleep_until(due) => {
                let Some((settings, checks)) = shared.checks(&pool) else {
                    return;
                };
                for check in checks {
                    if busy.contains(&check.to_check) {
                        continue;
                    }
                    busy.push(check.to_check.clone());
                    let (settings, limit) = (settings.clone(), real(settings.timeout).max(SHORTEST_TIMEOUT));
                    running.spawn(async move {
                        let result = match check.address {
                            Some(address) => check_one(address, &settings, limit).await,
                            None => Err(Failure::Refused),
                        };
                        (check.to_check, result)
                    });
                }
                due = (due + real(settings.interval).max(SHORTEST_INTERVAL)).max(Instant::now());
            }
            Some(checked) = running.join_next() => {
                // A check that panicked is a bug of the simulation: panic here as well.
                let (to_check, result) = checked.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
                busy.retain(|other| *other != to_check);
                shared.checked(&pool, &to_check, result);
            }
        }
    }
}

async fn check_one(address: SocketAddr, settings: &HealthCheck, limit: Duration) -> Result<(), Failure> {
    let code = match timeout(limit, ask(address, settings.path.as_deref())).await {
        Err(_elapsed) => return Err(Failure::TimedOut),
        Ok(Err(_refused)) => return Err(Failure::Refused),
        Ok(Ok(None)) => return Ok(()),
        Ok(Ok(Some(code))) => code,
    };
    if settings.matches(code) { Ok(()) } else { Err(Failure::Code(code)) }
}

/// The status code of the answer; `None` for a check that only connects.
async fn ask(address: SocketAddr, path: Option<&str>) -> std::io::Result<Option<u16>> {
    let mut stream = TcpStream::connect(address).await?;
    let Some(path) = path else {
        return Ok(None);
    };
    // The Host of a load balancer's check is the address of its own node.
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 10.0.0.10\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::with_capacity(STATUS_LINE);
    let mut bounded = stream.take(STATUS_LINE as u64);
    while !head.contains(&b'\n') && bounded.read_buf(&mut head).await? > 0 {}
    let status = String::from_utf8_lossy(&head).split(' ').nth(1).and_then(|code| code.parse().ok());
    status.map(Some).ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}
