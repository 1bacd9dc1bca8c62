//! Crowds of one source, of strangers, of a thousand sources, and the clients that keep a seat among them.

use std::net::Ipv4Addr;

use tokio::sync::oneshot;

use super::*;

fn source(n: u32) -> Source {
    Source::Network(Ipv4Addr::from(n).into())
}

impl Table {
    fn all(&self) -> usize {
        self.parties.values().map(|party| party.seats.len()).sum()
    }
}

/// A table and the connections on its seats, none of which ends by itself.
struct Hall {
    seats: Arc<Seats>,
    limit: usize,
    ends: Vec<(u32, oneshot::Receiver<()>)>,
}

impl Hall {
    fn new(limit: usize) -> Self {
        Self { seats: Arc::default(), limit, ends: Vec::new() }
    }

    fn come(&mut self, n: u32) -> bool {
        self.come_from(source(n), n)
    }

    fn come_from(&mut self, source: Source, n: u32) -> bool {
        // The sender is dropped with its task.
        let (held, end) = oneshot::channel::<()>();
        let shed = self.seats.take(self.limit, source, async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        self.ends.push((n, end));
        shed
    }

    /// Whose connections are open, after everything that was shed has gone.
    async fn seated(&mut self) -> Vec<u32> {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
            self.ends.retain_mut(|(_, end)| end.try_recv() == Err(oneshot::error::TryRecvError::Empty));
            if self.ends.len() == self.seats.lock().all() {
                break;
            }
        }
        let seated: Vec<_> = self.ends.iter().map(|(n, _)| *n).collect();
        let table = self.seats.lock();
        assert_eq!(table.all(), seated.len());
        assert_eq!(table.order.len(), table.parties.len(), "each party has one rank");
        seated
    }
}

#[tokio::test]
async fn among_sources_with_few_seats_the_oldest_makes_room() {
    let mut hall = Hall::new(3);
    let shed: Vec<_> = [1, 2, 3, 4].into_iter().map(|n| hall.come(n)).collect();
    assert_eq!(shed, [false, false, false, true]);
    assert_eq!(hall.seated().await, [2, 3, 4]);
    while hall.seats.shed_one() {}
    hall.seats.empty().await;
    assert_eq!(hall.seated().await, [0; 0]);
}

#[tokio::test]
async fn the_source_with_the_most_makes_room_however_old_the_others_are() {
    let mut hall = Hall::new(40);
    hall.come(1);
    for n in 0..1_000 {
        hall.come(2);
        if n % 100 == 0 {
            hall.come(3);
        }
    }
    let seated = hall.seated().await;
    assert_eq!((seated.len(), seated[0]), (40, 1), "the first of all has its seat still");
    assert_eq!(seated.iter().filter(|n| **n == 3).count(), 10);
}

#[tokio::test]
async fn one_source_has_its_share_and_no_more() {
    let mut hall = Hall::new(40);
    let shed = (0..31).filter(|_| hall.come(1)).count();
    assert_eq!(shed, 1, "three quarters of forty are thirty");
    assert_eq!(hall.seated().await.len(), 30);
    // A quarter is left for all others.
    assert!((2..12).all(|n| !hall.come(n)));
    assert_eq!(hall.seated().await.len(), 40);
}

#[tokio::test]
async fn strangers_share_a_few_seats_and_take_no_others() {
    let mut hall = Hall::new(20);
    for n in 100..120 {
        hall.come(n);
    }
    for n in 0..100 {
        hall.come_from(Source::Strangers, n);
    }
    assert_eq!(hall.seated().await, (100..120).chain(84..100).collect::<Vec<_>>());
    assert!(hall.come(200), "seats of strangers are not for allowed clients");
    assert_eq!(hall.seated().await[0], 101);
    assert!(hall.seats.shed_one());
    assert!(!hall.seated().await.contains(&84), "for want of descriptors strangers go first");
}

#[tokio::test]
async fn a_regular_keeps_its_seat_among_a_thousand_sources() {
    let mut hall = Hall::new(20);
    hall.seats.answered(source(1), true);
    hall.come(1);
    for n in 2..1_000 {
        hall.come(n);
    }
    assert_eq!(hall.seated().await[0], 1, "all others are younger, and none is a regular");
}

#[tokio::test]
async fn a_connection_that_ends_leaves_its_seat() {
    let seats = Arc::new(Seats::default());
    assert!(!seats.take(1, source(1), async {}));
    assert_eq!(seats.taken(), 1);
    seats.empty().await;
    assert_eq!(seats.taken(), 0);
    assert!(!seats.shed_one());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_asks_nothing_gets_so_many_seats_a_second() {
    let mut hall = Hall::new(40);
    hall.come(1);
    let admitted = |hall: &Hall, n| (0..10_000).filter(|_| hall.seats.admit(source(n))).count();
    assert_eq!(admitted(&hall, 1), 4_096);
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    assert_eq!(admitted(&hall, 1), 2_048);
    hall.come(2);
    assert!(hall.seats.admit(source(2)), "another source has its own");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_gets_its_token_back() {
    let mut hall = Hall::new(40);
    hall.come(1);
    for _ in 0..100_000 {
        assert!(hall.seats.admit(source(1)));
        hall.seats.answered(source(1), false);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_many_sources_takes_no_seat_from_a_regular() {
    let mut hall = Hall::new(40);
    hall.seats.answered(source(1), true);
    hall.come(1);
    let admitted = (2..100_000).filter(|n| hall.seats.admit(source(*n))).count();
    assert_eq!(admitted, 8_192);
    assert!(hall.seats.admit(source(1)));
    let strangers = (0..10_000).filter(|_| hall.seats.admit(Source::Strangers)).count();
    assert_eq!(strangers, 64);
}
