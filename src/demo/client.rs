//! The two ends of the traffic: superservers that answer with their name, and a client that never rests.
//!
//! A superserver stands for what an instance does with its clients: the primary answers, other running or
//! stopped instances close at once, one that hangs lets its clients wait. The client connects through the
//! load balancer, over and over: what it reaches is what an application would.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::CLIENT_INTERVAL;
use super::report::{Reporter, Sight};
use crate::simulation::{Instance, MemberId};

/// How long the client waits for its answer.
const CLIENT_PATIENCE: Duration = Duration::from_millis(200);
/// How many attempts in a row must fail before the client calls the service lost. With three targets and
/// a load balancer that fails open, one attempt in three may still succeed.
const LOST_AFTER: u32 = 4;
/// How long a superserver that hangs keeps a client waiting, and how many.
const LONGEST_SILENCE: Duration = Duration::from_secs(1);
const MOST_WAITING: usize = 64;

/// How an instance treats who connects to its superserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Answers with its name.
    Answers,
    /// Closes the connection.
    Refuses,
    /// Takes the connection and says nothing.
    Hangs,
}

impl Service {
    /// How `instance` treats them.
    pub(crate) fn of(instance: Instance) -> Self {
        match (instance.hung, instance.says_primary()) {
            (true, _) => Self::Hangs,
            (false, true) => Self::Answers,
            (false, false) => Self::Refuses,
        }
    }
}

/// Serves a member's superserver port until the task is aborted.
///
/// The port stays open while the instance is down, so that nobody else takes it; closing each connection
/// at once looks the same to the client, but for a segment or two.
pub(crate) async fn serve(
    member: MemberId,
    listener: TcpListener,
    service: watch::Receiver<Service>,
    reporter: Reporter,
) {
    let mut waiting = JoinSet::new();
    loop {
        while waiting.len() >= MOST_WAITING {
            waiting.join_next().await;
        }
        while waiting.try_join_next().is_some() {}
        let connection = match listener.accept().await {
            Ok((connection, _)) => connection,
            Err(error) => {
                reporter.tell_if_exhausted(error).await;
                sleep(CLIENT_INTERVAL).await;
                continue;
            }
        };
        let how = *service.borrow();
        waiting.spawn(treat(connection, member, how));
    }
}

async fn treat(mut connection: TcpStream, member: MemberId, how: Service) {
    match how {
        Service::Refuses => drop(connection),
        Service::Hangs => sleep(LONGEST_SILENCE).await,
        Service::Answers => {
            // Whether the client still listens is the client's affair.
            let _ = timeout(LONGEST_SILENCE, connection.write_all(member.name().as_bytes())).await;
        }
    }
}

/// Connects to `address` all the time and reports whom it reaches, until the task is aborted.
pub(crate) async fn run(address: SocketAddr, reporter: Reporter) {
    let mut reached = None;
    let mut last_answer = None;
    let mut failures = 0;
    loop {
        match timeout(CLIENT_PATIENCE, ask(address)).await {
            Ok(Ok(member)) => {
                let now = reporter.now();
                if reached != Some(member) {
                    let since_last_answer = last_answer.map(|last: Duration| now.saturating_sub(last));
                    reporter.tell(now, Sight::ClientReached { member, since_last_answer }).await;
                }
                (reached, last_answer, failures) = (Some(member), Some(now), 0);
            }
            failed => {
                if let Ok(Err(error)) = failed {
                    reporter.tell_if_exhausted(error).await;
                }
                failures += 1;
                if failures == LOST_AFTER && reached.take().is_some() {
                    reporter.tell(reporter.now(), Sight::ClientLost).await;
                }
            }
        }
        sleep(CLIENT_INTERVAL).await;
    }
}

async fn ask(address: SocketAddr) -> io::Result<MemberId> {
    let connection = TcpStream::connect(address).await?;
    let mut name = String::new();
    connection.take(8).read_to_string(&mut name).await?;
    let member = MemberId::ALL.into_iter().find(|member| member.name() == name);
    member.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
