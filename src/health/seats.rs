//! The open connections that wait for their client, and which of them makes room.
//!
//! Every connection in this table waits for its client and for nothing else: an answer is computed without waiting. Seats
//! are limited. A newcomer displaces a connection in this order:
//!
//! 1. If the newcomer's source has its whole share, three quarters of the seats: the oldest of the same source. All
//!    strangers share sixteen separate seats, and take none from allowed clients.
//! 2. If all seats are taken: the oldest of the source that has the most, if that is more than [`FEW`].
//! 3. Among sources with few seats each: one without [regular](super::source) checks, then the oldest.
//!
//! The rate of new seats is limited as well (`bucket`): a source that opens connections without requests gets a limited
//! number per second, and so do all sources together that are not regulars. The rest is closed before it costs anything.
//! A client that sends a request gets its token back.
//!
//! So a distant checker, whose request arrives a round trip after its connection, keeps its seat however fast one source,
//! or a thousand of them, open connections.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::source::{Regulars, Source};
use bucket::Bucket;

mod bucket;
use super::abort::AbortOnPanic;

/// A source with at most so many seats is no crowd: a balancer asks about several mirrors at once, and opens the next
/// connection before the last is closed.
const FEW: usize = 8;

/// How many seats all strangers share, besides the others. Their requests are refused, and no health check depends on it.
const STRANGERS: usize = 16;

/// The least that a share is, however few seats there are.
const LEAST_SHARE: usize = 16;

/// New seats of one source without a request: the kernel's whole queue at once, after a pause of the machine, and then so
/// many per second.
const OF_ONE_SOURCE: Bucket = Bucket::new(4_096, 2_048);

/// The same for all sources together that are not regulars.
const OF_NEWCOMERS: Bucket = Bucket::new(8_192, 4_096);

/// The same for all strangers together.
const OF_STRANGERS: Bucket = Bucket::new(64, 256);

/// The table.
#[derive(Debug, Default)]
pub(super) struct Seats {
    tasks: TaskTracker,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    /// Numbers the seats in the order in which they are taken.
    next: u64,
    /// Seats of allowed clients.
    taken: usize,
    parties: HashMap<Source, Party>,
    /// All parties, the next to make room first.
    order: BTreeSet<(Rank, Source)>,
    regulars: Regulars,
    newcomers: Bucket,
    strangers: Bucket,
}

/// The seats of one source.
#[derive(Debug)]
struct Party {
    regular: bool,
    bucket: Bucket,
    seats: BTreeMap<u64, AbortHandle>,
}

/// Orders parties: the first makes room first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    admitted: bool,
    beyond_few: Reverse<usize>,
    regular: bool,
    oldest: u64,
}

/// Takes a connection out of the table when its task ends, in whatever way.
struct Seat {
    seats: Arc<Seats>,
    source: Source,
    number: u64,
}

// === impl Seats ===

impl Seats {
    /// Whether a connection of `source` may have a seat. If not, it is part of a flood.
    pub(super) fn admit(&self, source: Source) -> bool {
        self.lock().admit(source, Instant::now())
    }

    /// Runs `connection` in a task of its own, on one of `limit` seats; returns whether another made room for it.
    pub(super) fn take(
        self: &Arc<Self>,
        limit: usize,
        source: Source,
        connection: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        let now = Instant::now();
        let (number, shed) = {
            let mut table = self.lock();
            let shed = table.make_room(limit, source);
            table.next += 1;
            (table.next, shed)
        };
        let seat = Seat { seats: Arc::clone(self), source, number };
        let task = self.tasks.spawn(async move {
            let _alarm = AbortOnPanic;
            let _seat = seat;
            connection.await;
        });
        // The thread is this one: the task has not run yet, and its seat is not given up yet.
        self.lock().seat(source, number, task.abort_handle(), now);
        shed
    }

    /// Closes the connection that makes room first, as soon as the runtime turns; `false` if there is none.
    pub(super) fn shed_one(&self) -> bool {
        self.lock().shed_first()
    }

    /// Records that a request from `source` was answered; `checks`: it was for a mirror's page.
    pub(super) fn answered(&self, source: Source, checks: bool) {
        let mut table = self.lock();
        if checks {
            table.regulars.answered(source, Instant::now());
        }
        table.give_back(source);
    }

    /// Whether a check from `source` was answered recently.
    pub(super) fn is_regular(&self, source: Source) -> bool {
        self.lock().regulars.know(source, Instant::now())
    }

    /// How many are taken, without those of strangers.
    pub(super) fn taken(&self) -> usize {
        self.lock().taken
    }

    /// Waits until none is taken.
    pub(super) async fn empty(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Only this thread uses it, and a panic on this thread ends the process.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Table ===

impl Default for Table {
    fn default() -> Self {
        Self {
            next: 0,
            taken: 0,
            parties: HashMap::new(),
            order: BTreeSet::new(),
            regulars: Regulars::default(),
            newcomers: OF_NEWCOMERS,
            strangers: OF_STRANGERS,
        }
    }
}

impl Table {
    fn admit(&mut self, source: Source, now: Instant) -> bool {
        if source == Source::Strangers {
            return self.strangers.spend(now);
        }
        let own = self.parties.get_mut(&source).is_none_or(|party| party.bucket.spend(now));
        own && (self.regulars.know(source, now) || self.newcomers.spend(now))
    }

    fn give_back(&mut self, source: Source) {
        if source == Source::Strangers {
            return self.strangers.give_back();
        }
        self.newcomers.give_back();
        if let Some(party) = self.parties.get_mut(&source) {
            party.bucket.give_back();
        }
    }

    fn make_room(&mut self, limit: usize, source: Source) -> bool {
        let share = match source {
            Source::Strangers => STRANGERS,
            Source::Network(_) => (limit / 4 * 3).max(LEAST_SHARE),
        };
        if self.parties.get(&source).is_some_and(|party| party.seats.len() >= share) {
            return self.shed_oldest_of(source);
        }
        source != Source::Strangers && self.taken >= limit && self.shed_first_admitted()
    }

    fn shed_first(&mut self) -> bool {
        let first = self.order.first().map(|&(_, source)| source);
        first.is_some_and(|source| self.shed_oldest_of(source))
    }

    fn shed_first_admitted(&mut self) -> bool {
        let first = self.order.iter().map(|&(_, source)| source).find(|source| *source != Source::Strangers);
        first.is_some_and(|source| self.shed_oldest_of(source))
    }

    fn shed_oldest_of(&mut self, source: Source) -> bool {
        let oldest = self.parties.get(&source).and_then(|party| party.seats.keys().next().copied());
        let task = oldest.and_then(|number| self.leave(source, number));
        task.is_some_and(|task| {
            task.abort();
            true
        })
    }

    fn seat(&mut self, source: Source, number: u64, task: AbortHandle, now: Instant) {
        let regular = self.regulars.know(source, now);
        let party = self.parties.entry(source).or_insert_with(|| Party {
            regular,
            bucket: OF_ONE_SOURCE,
            seats: BTreeMap::new(),
        });
        if let Some(rank) = party.rank(source) {
            self.order.remove(&(rank, source));
        }
        party.regular = regular;
        party.seats.insert(number, task);
        self.taken += usize::from(source != Source::Strangers);
        self.order.extend(party.rank(source).map(|rank| (rank, source)));
    }

    fn leave(&mut self, source: Source, number: u64) -> Option<AbortHandle> {
        let party = self.parties.get_mut(&source)?;
        let before = party.rank(source);
        let task = party.seats.remove(&number)?;
        self.taken -= usize::from(source != Source::Strangers);
        if let Some(rank) = before {
            self.order.remove(&(rank, source));
        }
        match party.rank(source) {
            Some(rank) => {
                self.order.insert((rank, source));
            }
            None => {
                self.parties.remove(&source);
            }
        }
        Some(task)
    }
}

// === impl Party ===

impl Party {
    /// `None` without a seat.
    fn rank(&self, source: Source) -> Option<Rank> {
        let oldest = *self.seats.keys().next()?;
        let beyond_few = Reverse(self.seats.len().saturating_sub(FEW));
        Some(Rank { admitted: source != Source::Strangers, beyond_few, regular: self.regular, oldest })
    }
}

// === impl Seat ===

impl Drop for Seat {
    fn drop(&mut self) {
        // A shed connection is already gone.
        self.seats.lock().leave(self.source, self.number);
    }
}

#[cfg(test)]
mod tests;
