//! The source of a connection, for fair limits, and which sources are regular checkers.
//!
//! A source is a [`network`], by the TCP peer; the address in a PROXY header does not count.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::network;

/// How many regular checkers are remembered. A Network Load Balancer has an address in each zone, an Application
/// Load Balancer a few dozen at most.
const MOST_REGULARS: usize = 256;

/// After how long without a check a source stops being a regular. Balancers check at least every five minutes.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);

/// A party that shares seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Source {
    /// All clients outside `allowed_networks` together.
    Strangers,
    /// The allowed clients of this network.
    Network(IpAddr),
}

/// The sources whose checks were answered recently.
#[derive(Debug, Default)]
pub(super) struct Regulars(HashMap<Source, Regular>);

#[derive(Debug)]
struct Regular {
    answers: u64,
    last: Instant,
}

// === impl Source ===

impl Source {
    /// Of a TCP peer.
    pub(super) fn of(peer: IpAddr, admitted: bool) -> Self {
        if admitted { Self::Network(network::of(peer)) } else { Self::Strangers }
    }
}

// === impl Regulars ===

impl Regulars {
    /// Records that a check from `source` was answered.
    ///
    /// When the table is full, the source with the fewest answers makes room: a thousand addresses that ask once replace
    /// each other, and not the balancer that has polled for days.
    pub(super) fn answered(&mut self, source: Source, now: Instant) {
        if let Some(known) = self.0.get_mut(&source) {
            known.answers = known.answers.saturating_add(1);
            known.last = now;
            return;
        }
        if self.0.len() >= MOST_REGULARS {
            let worth = |known: &Regular| (is_recent(known, now), known.answers, known.last);
            if let Some(least) = self.0.iter().min_by_key(|(_, known)| worth(known)).map(|(least, _)| *least)
            {
                self.0.remove(&least);
            }
        }
        self.0.insert(source, Regular { answers: 1, last: now });
    }

    /// Whether a check from `source` was answered recently.
    pub(super) fn know(&self, source: Source, now: Instant) -> bool {
        self.0.get(&source).is_some_and(|known| is_recent(known, now))
    }
}

fn is_recent(known: &Regular, now: Instant) -> bool {
    now.saturating_duration_since(known.last) < FORGOTTEN_AFTER
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn source(n: u32) -> Source {
        Source::Network(Ipv4Addr::from(n).into())
    }

    #[test]
    fn strangers_are_one_source_whatever_their_network() {
        let of = |text: &str, admitted| Source::of(text.parse().unwrap(), admitted);
        assert_ne!(of("10.0.0.1", true), of("10.0.0.2", true));
        assert_eq!(of("2001:db8:1:2::1", true), of("2001:db8:1:2:ffff::2", true));
        assert_eq!(of("10.0.0.1", false), of("2001:db8::1", false));
    }

    #[tokio::test(start_paused = true)]
    async fn crowds_that_ask_once_replace_each_other_and_no_regular() {
        let mut regulars = Regulars::default();
        let now = Instant::now();
        for _ in 0..2 {
            regulars.answered(source(0), now);
        }
        for n in 1..=10_000 {
            regulars.answered(source(n), now + Duration::from_millis(n.into()));
        }
        let now = now + Duration::from_secs(10);
        assert!(regulars.know(source(0), now) && regulars.know(source(10_000), now));
        assert!(!regulars.know(source(1), now));
        assert_eq!(regulars.0.len(), MOST_REGULARS);
        let later = now + FORGOTTEN_AFTER;
        assert!(!regulars.know(source(0), later), "no source is a regular for ever");
        regulars.answered(source(7), later);
        assert!(regulars.know(source(7), later));
    }
}
