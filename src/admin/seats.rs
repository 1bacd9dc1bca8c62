//! Decides which connections of the admin listener stay when there are too many.
//!
//! A connection is a stranger's until its first request has been admitted, with the token where there is one. Strangers and
//! admitted clients have separate seats, so strangers never displace a scrape or an operator. When all seats of a kind are
//! taken, the network with the most of them loses its oldest: an honest client has one or two and keeps them. Clients count
//! by their [`network`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::network;

/// All seats of one listener.
#[derive(Clone, Debug)]
pub(super) struct Seats {
    /// The number of seats of each kind.
    limit: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// In the order in which they came.
    seats: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    network: IpAddr,
    admitted: bool,
    shed: CancellationToken,
}

/// The seat of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    number: u64,
    shed: CancellationToken,
}

// === impl Seats ===

impl Seats {
    /// Makes `limit` seats for strangers and as many for admitted clients.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, taken: Arc::default() }
    }

    /// A stranger's seat for `client`. May close another stranger's connection.
    pub(super) fn take(&self, client: IpAddr) -> Seat {
        let shed = CancellationToken::new();
        let mut taken = self.lock();
        let number = taken.next;
        taken.next += 1;
        taken.seats.push(Entry { number, network: network::of(client), admitted: false, shed: shed.clone() });
        taken.make_room(self.limit, false);
        Seat { seats: self.clone(), number, shed }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Taken ===

impl Taken {
    /// Closes connections until at most `limit` of a kind remain. The newest one of a network is closed last.
    fn make_room(&mut self, limit: usize, admitted: bool) {
        while self.seats.iter().filter(|entry| entry.admitted == admitted).count() > limit {
            let Some(index) = self.least_worthy(admitted) else { return };
            self.seats.remove(index).shed.cancel();
        }
    }

    /// The oldest seat of the network with the most seats of this kind.
    fn least_worthy(&self, admitted: bool) -> Option<usize> {
        let of_kind = || self.seats.iter().enumerate().filter(|(_, entry)| entry.admitted == admitted);
        let mut counts = HashMap::new();
        for (_, entry) in of_kind() {
            *counts.entry(entry.network).or_insert(0_usize) += 1;
        }
        let most = counts.values().max().copied()?;
        of_kind().find(|(_, entry)| counts.get(&entry.network) == Some(&most)).map(|(index, _)| index)
    }
}

// === impl Seat ===

impl Seat {
    /// Makes this the seat of an admitted client. May close another admitted client's connection.
    pub(super) fn admit(&self) {
        let mut taken = self.seats.lock();
        let Some(index) = taken.seats.iter().position(|entry| entry.number == self.number) else { return };
        if !taken.seats[index].admitted {
            let mut own = taken.seats.remove(index);
            own.admitted = true;
            taken.seats.push(own);
            taken.make_room(self.seats.limit, true);
        }
    }

    /// Waits until the seat is taken away; the connection must end then.
    pub(super) async fn shed(&self) {
        self.shed.cancelled().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().seats.retain(|entry| entry.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn is_shed(seat: &Seat) -> bool {
        seat.shed.is_cancelled()
    }

    #[test]
    fn the_busiest_network_makes_room_and_a_distant_client_keeps_its_seat() {
        let seats = Seats::new(4);
        let distant = seats.take(client("192.0.2.1"));
        let flood: Vec<_> = (0..100).map(|_| seats.take(client("203.0.113.9"))).collect();
        assert!(!is_shed(&distant), "the oldest of all");
        let shed = flood.iter().filter(|seat| is_shed(seat)).count();
        assert_eq!(shed, 97);
        assert!(flood[97..].iter().all(|seat| !is_shed(seat)), "the newest stay");
        assert_eq!(seats.lock().seats.len(), 4);
    }

    #[test]
    fn one_ipv6_network_counts_as_one_client() {
        let seats = Seats::new(2);
        let honest = seats.take(client("2001:db8:1::1"));
        let first = seats.take(client("2001:db8:2::1"));
        let second = seats.take(client("2001:db8:2::2"));
        let third = seats.take(client("2001:db8:2::3"));
        assert!(!is_shed(&honest) && is_shed(&first) && is_shed(&second) && !is_shed(&third));
        let elsewhere = seats.take(client("2001:db8:3::1"));
        assert!(is_shed(&honest) && !is_shed(&elsewhere), "the oldest, where no client has more than others");
        let mapped = network::of(client("::ffff:10.0.0.1"));
        assert_eq!(mapped, client("10.0.0.1"));
    }

    #[test]
    fn strangers_never_take_the_seat_of_the_admitted() {
        let seats = Seats::new(2);
        let admitted: Vec<_> = (0..2).map(|_| seats.take(client("10.0.0.1"))).collect();
        admitted.iter().for_each(Seat::admit);
        let strangers: Vec<_> = (0..10).map(|_| seats.take(client("10.0.0.1"))).collect();
        assert!(!admitted.iter().any(is_shed));
        strangers[9].admit();
        strangers[9].admit();
        assert!(is_shed(&admitted[0]) && !is_shed(&admitted[1]), "they have a limit as well");
        strangers[0].admit();
        assert!(!is_shed(&admitted[1]), "a seat that was shed is none");
        drop((admitted, strangers));
        assert!(seats.lock().seats.is_empty());
    }
}
