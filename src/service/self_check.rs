//! A check of the health port by the daemon itself: is it answered?
//!
//! That the health thread turns is asked from within ([`Pulse`](crate::health::Pulse)). This asks from without:
//! a connection to each address, a request, and any reaction at all (an answer of whatever status, a TLS
//! alert, an orderly end) before the deadline. It knows nothing about certificates, PROXY headers and allowed
//! networks, and need not: each of them reacts.
//!
//! A firewall or a network namespace may keep the daemon from its own port while load balancers reach it. So
//! silence counts only at an address that has answered such a knock before.
//!
//! *Busy* is not *dead*: who answers others meanwhile, or takes others in, has a crowd at the door, and a restart would
//! help the crowd alone. But a port that accepts every connection and answers none for a minute is dead all the same.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::health::{Counters, Tally};

/// How long a crowd may explain that no request is answered. A handshake waits for seconds at most.
const CROWDED: Duration = Duration::from_secs(60);

const REQUEST: &[u8] = b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// The requests to oneself, and the addresses that answered before.
#[derive(Debug, Default)]
pub(super) struct SelfCheck {
    heard: HashSet<SocketAddr>,
    /// Since when knocks are not answered, nor anybody else.
    unanswered: Option<Instant>,
}

/// What came of one knock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    Heard,
    Silence,
    /// This side could not even ask.
    Unasked,
}

// === impl SelfCheck ===

impl SelfCheck {
    /// Knocks at all `addresses` at once, for at most `patience`. Returns those that have fallen silent.
    pub(super) async fn knock(
        &mut self,
        addresses: &[SocketAddr],
        tally: &Tally,
        patience: Duration,
    ) -> Vec<SocketAddr> {
        let before = tally.read();
        let began = Instant::now();
        let mut knocks = JoinSet::new();
        for &address in addresses {
            knocks.spawn(async move { (address, knock(address, patience).await) });
        }
        let mut silent = Vec::new();
        for (address, reaction) in knocks.join_all().await {
            match reaction {
                Reaction::Heard => {
                    self.heard.insert(address);
                }
                Reaction::Silence if self.heard.contains(&address) => silent.push(address),
                Reaction::Silence | Reaction::Unasked => {}
            }
        }
        self.heard.retain(|address| addresses.contains(address));
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

/// Whether more came in than knocked here.
fn is_crowded(before: Counters, after: Counters, knocks: usize) -> bool {
    after.accepted.saturating_sub(before.accepted) > knocks as u64
}

async fn knock(address: SocketAddr, patience: Duration) -> Reaction {
    let exchange = async {
        let mut stream = TcpStream::connect(at_home(address)).await?;
        stream.write_all(REQUEST).await?;
        stream.read(&mut [0; 1]).await
    };
    match timeout(patience, exchange).await {
        Ok(Ok(_)) => Reaction::Heard,
        Ok(Err(error)) => match error.kind() {
            // A server is there, and closes early.
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Reaction::Heard,
            io::ErrorKind::ConnectionRefused => Reaction::Silence,
            _ => Reaction::Unasked,
        },
        Err(_elapsed) => Reaction::Silence,
    }
}

/// Where this machine reaches what listens on `address`.
fn at_home(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    #[test]
    fn wildcards_are_reached_at_home() {
        let home = |text: &str| at_home(text.parse().unwrap()).to_string();
        assert_eq!(home("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(home("[::]:80"), "[::1]:80");
        assert_eq!(home("10.0.0.1:80"), "10.0.0.1:80");
    }

    /// The system accepts for a listener that no thread serves, as for a daemon that hangs.
    #[tokio::test]
    async fn silence_counts_where_somebody_was_heard_before() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (mut self_check, tally) = (SelfCheck::default(), Tally::default());
        assert!(self_check.knock(&[address], &tally, SOON).await.is_empty(), "never answered there");
        self_check.heard.insert(address);
        assert_eq!(self_check.knock(&[address], &tally, SOON).await, [address]);
        drop(listener);
        assert_eq!(self_check.knock(&[address], &tally, SOON).await, [address], "refused");
        assert!(self_check.knock(&[], &tally, SOON).await.is_empty());
        assert!(self_check.heard.is_empty(), "the address was taken out of the configuration");
    }

    #[tokio::test]
    async fn any_reaction_will_do() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (mut self_check, tally) = (SelfCheck::default(), Tally::default());
        let closing = std::thread::spawn(move || drop(listener.accept().unwrap()));
        assert!(self_check.knock(&[address], &tally, Duration::from_secs(60)).await.is_empty());
        closing.join().unwrap();
        assert!(self_check.heard.contains(&address));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_explains_silence_for_a_minute() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let tally = Tally::default();
        let mut self_check = SelfCheck { heard: HashSet::from([address]), unanswered: None };
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
                    assert!(self_check.knock(&[address], &tally, SOON).await.is_empty(), "busy");
                }
                tokio::time::sleep(SOON).await;
                assert_eq!(self_check.knock(&[address], &tally, SOON).await, [address], "no request is ever answered");
            } => {}
        }
        assert_eq!(self_check.knock(&[address], &tally, SOON).await, [address], "and no other client came");
    }
}
