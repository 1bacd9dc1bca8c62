//! The open connections that wait for their client, and which of them makes room.
//!
//! Every connection in this table waits for its client and for nothing else: an answer is computed without
//! waiting. So the oldest is the one whose client has been silent or slow for longest, and it is shed when
//! there are too many. An honest check takes milliseconds and is never the oldest of thousands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use super::thread::AbortOnPanic;

/// The table.
#[derive(Debug, Default)]
pub(super) struct Connections {
    tasks: TaskTracker,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// In the order in which they came.
    tasks: BTreeMap<u64, AbortHandle>,
}

/// Takes a connection out of the table when its task ends, in whatever way.
struct Seat {
    table: Arc<Connections>,
    number: u64,
}

// === impl Connections ===

impl Connections {
    /// Runs `connection` in a task of its own. Sheds the oldest when `limit` others are open; tells whether it
    /// did.
    pub(super) fn adopt(
        self: &Arc<Self>,
        limit: usize,
        connection: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        let shed = self.lock().tasks.len() >= limit && self.shed_oldest();
        let number = {
            let mut open = self.lock();
            open.next += 1;
            open.next
        };
        let seat = Seat { table: Arc::clone(self), number };
        let task = self.tasks.spawn(async move {
            let _alarm = AbortOnPanic;
            let _seat = seat;
            connection.await;
        });
        // The thread is this one: the task has not run yet, and its seat is not given up yet.
        self.lock().tasks.insert(number, task.abort_handle());
        shed
    }

    /// Closes the oldest connection, as soon as the runtime turns; `false` if there is none.
    pub(super) fn shed_oldest(&self) -> bool {
        let oldest = self.lock().tasks.pop_first();
        oldest.is_some_and(|(_, task)| {
            task.abort();
            true
        })
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.lock().tasks.len()
    }

    /// Returns when there is none at a moment.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Only this thread uses it, and a panic on this thread ends the process.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Seat ===

impl Drop for Seat {
    fn drop(&mut self) {
        self.table.lock().tasks.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn the_oldest_makes_room() {
        let table = Arc::new(Connections::default());
        let mut ends = Vec::new();
        for number in 0..4 {
            // The sender is dropped with its task.
            let (held, end) = oneshot::channel::<()>();
            let shed = table.adopt(3, async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
            assert_eq!(shed, number == 3);
            ends.push(end);
        }
        assert!(ends.remove(0).await.is_err(), "the first was shed");
        tokio::task::yield_now().await;
        assert_eq!(table.len(), 3);
        assert!(ends.iter_mut().all(|end| end.try_recv() == Err(oneshot::error::TryRecvError::Empty)));
        while table.shed_oldest() {}
        table.ended().await;
        assert_eq!(table.len(), 0);
    }

    #[tokio::test]
    async fn a_connection_that_ends_leaves_the_table() {
        let table = Arc::new(Connections::default());
        assert!(!table.adopt(1, async {}));
        assert_eq!(table.len(), 1);
        table.ended().await;
        assert_eq!(table.len(), 0);
        assert!(!table.shed_oldest());
    }
}
