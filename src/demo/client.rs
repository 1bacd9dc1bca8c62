//! The two ends of the traffic: superservers that answer with their name, and a client that connects all the time.
//!
//! A superserver does what an instance does with its clients: a primary answers, any other running or stopped instance
//! closes the connection at once, a hung one lets clients wait. The client connects through the load balancer, as an
//! application would.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::report::{Observed, Reporter};
use super::{CLIENT_INTERVAL, DemoError};
use crate::simulation::{Instance, MemberId};

/// How long the client waits for its answer.
const CLIENT_PATIENCE: Duration = Duration::from_millis(200);
/// How many attempts in a row must fail before the service counts as lost. With three targets and a load balancer that
/// fails open, one attempt in three may still succeed.
const LOST_AFTER: u32 = 4;
/// How long a superserver that hangs keeps a client waiting, and how many.
const LONGEST_SILENCE: Duration = Duration::from_secs(1);
const MOST_WAITING: usize = 64;

/// How an instance treats connections to its superserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Answers with its name.
    Answers,
    /// Closes the connection.
    Refuses,
    /// Accepts the connection and sends nothing.
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
/// The port stays open while the instance is down, so that no other process takes it. To the client, a connection that is
/// closed at once looks almost like a refused one.
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
                reporter.report_if_exhausted(error).await;
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
            // The client may have closed the connection.
            let _ = timeout(LONGEST_SILENCE, connection.write_all(member.name().as_bytes())).await;
        }
    }
}

/// Connects to `address` all the time and reports which member answers, until the task is aborted.
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
                    reporter.report(now, Observed::ClientReached { member, since_last_answer }).await;
                }
                (reached, last_answer, failures) = (Some(member), Some(now), 0);
            }
            failed => {
                if let Ok(Err(error)) = failed {
                    reporter.report_if_exhausted(error).await;
                }
                failures += 1;
                if failures == LOST_AFTER && reached.take().is_some() {
                    reporter.report(reporter.now(), Observed::ClientLost).await;
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

/// A listener on a free port of loopback, and its address.
pub(crate) async fn listen() -> Result<(TcpListener, SocketAddr), DemoError> {
    let bind = async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bind.await.map_err(DemoError::set_up("open a port on 127.0.0.1"))
}
