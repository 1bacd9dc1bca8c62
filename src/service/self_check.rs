//! Verifies that the health port answers, with requests of the daemon itself.
//!
//! [`Pulse`](crate::health::Pulse) verifies from inside that the health thread runs. This module verifies from outside: it
//! connects to each address, sends a request, and expects any reaction before the deadline (an answer with any status, a
//! TLS alert, a closed connection). It needs to know nothing about certificates, PROXY headers and allowed networks, as
//! each of them causes a reaction.
//!
//! A firewall or a network namespace may block the daemon from its own port while load balancers reach it. So silence
//! counts only at an address that answered such a request before.
//!
//! A *busy* port is not *dead*: if it answers or accepts other connections in the meantime, a restart would not help. But a
//! port that accepts every connection and answers none for a minute is dead.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::health::{Counters, Tally};
use crate::network;

/// How long a flood of connections may explain that no request is answered. A handshake waits a few seconds at most.
const CROWDED: Duration = Duration::from_secs(60);

const REQUEST: &[u8] = b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// The addresses that answered before.
#[derive(Debug, Default)]
pub(super) struct SelfCheck {
    known: HashSet<SocketAddr>,
    /// Since when neither these requests nor those of other clients are answered.
    unanswered: Option<Instant>,
}

/// The result of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    Answered,
    Silence,
    /// The request could not be sent.
    NotSent,
}

// === impl SelfCheck ===

impl SelfCheck {
    /// Requests all `addresses` in parallel, for at most `patience`. Returns those that stopped answering.
    pub(super) async fn run(
        &mut self,
        addresses: &[SocketAddr],
        tally: &Tally,
        patience: Duration,
    ) -> Vec<SocketAddr> {
        let before = tally.read();
        let began = Instant::now();
        let mut requests = JoinSet::new();
        for &address in addresses {
            requests.spawn(async move { (address, request(address, patience).await) });
        }
        let mut silent = Vec::new();
        for (address, reaction) in requests.join_all().await {
            match reaction {
                Reaction::Answered => {
                    self.known.insert(address);
                }
                Reaction::Silence if self.known.contains(&address) => silent.push(address),
                Reaction::Silence | Reaction::NotSent => {}
            }
        }
        self.known.retain(|address| addresses.contains(address));
        if silent.is_empty() || tally.read().answered != before.answered {
            self.unanswered = None;
            return Vec::new();
        }
        let since = *self.unanswered.get_or_insert(began);
        if is_crowded(before, tally.read(), addresses.len()) && since.elapsed() < CROWDED {
            return Vec::new();
        }
        silent.sort_unstable();
        silent
    }
}

/// Whether more connections were accepted than this check made.
fn is_crowded(before: Counters, after: Counters, requests: usize) -> bool {
    after.accepted.saturating_sub(before.accepted) > requests as u64
}

async fn request(address: SocketAddr, patience: Duration) -> Reaction {
    let exchange = async {
        let mut stream = TcpStream::connect(network::reachable(address)).await?;
        stream.write_all(REQUEST).await?;
        stream.read(&mut [0; 1]).await
    };
    match timeout(patience, exchange).await {
        Ok(Ok(_)) => Reaction::Answered,
        Ok(Err(error)) => match error.kind() {
            // A server closed the connection early.
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Reaction::Answered,
            io::ErrorKind::ConnectionRefused => Reaction::Silence,
            _ => Reaction::NotSent,
        },
        Err(_elapsed) => Reaction::Silence,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    /// The system accepts for a listener that no thread serves, as for a daemon that hangs.
    #[tokio::test]
    async fn silence_counts_where_an_answer_came_before() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (mut self_check, tally) = (SelfCheck::default(), Tally::default());
        assert!(self_check.run(&[address], &tally, SOON).await.is_empty(), "never answered there");
        self_check.known.insert(address);
        assert_eq!(self_check.run(&[address], &tally, SOON).await, [address]);
        drop(listener);
        assert_eq!(self_check.run(&[address], &tally, SOON).await, [address], "refused");
        assert!(self_check.run(&[], &tally, SOON).await.is_empty());
        assert!(self_check.known.is_empty(), "the address was taken out of the configuration");
    }

    #[tokio::test]
    async fn any_reaction_will_do() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (mut self_check, tally) = (SelfCheck::default(), Tally::default());
        let closing = std::thread::spawn(move || drop(listener.accept().unwrap()));
        assert!(self_check.run(&[address], &tally, Duration::from_secs(60)).await.is_empty());
        closing.join().unwrap();
        assert!(self_check.known.contains(&address));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_explains_silence_for_a_minute() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let tally = Tally::default();
        let mut self_check = SelfCheck { known: HashSet::from([address]), unanswered: None };
        let crowd = async {
            loop {
                tokio::time::sleep(SOON / 10).await;
                tally.accept_for_test();
            }
        };
        tokio::select! {
            () = crowd => unreachable!("it has no end"),
            () = async {
                let began = Instant::now();
                while began.elapsed() + SOON < CROWDED {
                    assert!(self_check.run(&[address], &tally, SOON).await.is_empty(), "busy");
                }
                tokio::time::sleep(SOON).await;
                assert_eq!(self_check.run(&[address], &tally, SOON).await, [address], "no request is ever answered");
            } => {}
        }
        assert_eq!(self_check.run(&[address], &tally, SOON).await, [address], "and no other client came");
    }
}
