//! Calls that may hang in the kernel, at most one at a time.
//!
//! A name lookup, or a file or program on a network file system, can block a thread for as long as a server does not answer,
//! and no signal ends it. A [`SingleFlight`] makes such a call on the runtime's blocking pool and remembers it when its
//! caller gives up: the next caller first waits for the old call. So a hang costs one thread, and not one per call.

use std::panic;

use tokio::task::{JoinHandle, spawn_blocking};

/// One blocking call at a time.
#[derive(Debug)]
pub(crate) struct SingleFlight<T> {
    pending: Option<JoinHandle<T>>,
}

// === impl SingleFlight ===

impl<T: Send + 'static> SingleFlight<T> {
    /// Nothing is under way.
    pub(crate) const fn new() -> Self {
        Self { pending: None }
    }

    /// Makes `call` once an abandoned one has returned; the old result is discarded.
    ///
    /// Waits for as long as the call takes: the caller sets the deadline. When the future is dropped the
    /// call goes on and is remembered.
    pub(crate) async fn run(&mut self, call: impl FnOnce() -> T + Send + 'static) -> T {
        drop(self.settle().await);
        self.pending = Some(spawn_blocking(call));
        self.settle().await.expect("a call was put there just above")
    }

    /// Waits for a call whose caller gave up, and returns its result; `None` if there is none.
    pub(crate) async fn settle(&mut self) -> Option<T> {
        let joined = self.pending.as_mut()?.await;
        self.pending = None;
        match joined {
            Ok(result) => Some(result),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => panic::resume_unwind(payload),
                // The runtime is shutting down: the caller that waits here is about to be dropped.
                Err(_cancelled) => std::future::pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn an_abandoned_call_is_waited_for_and_its_result_discarded() {
        let (release, hang) = mpsc::channel::<()>();
        let mut single_flight = SingleFlight::new();
        let abandoned = single_flight.run(move || {
            hang.recv().expect("the test holds the sender");
            "old"
        });
        assert!(timeout(Duration::from_millis(1), abandoned).await.is_err());
        // The second call is not even started while the first one hangs.
        let (started, starts) = mpsc::channel::<()>();
        let second = single_flight.run(move || {
            drop(started);
            "second"
        });
        assert!(timeout(Duration::from_millis(1), second).await.is_err());
        assert_eq!(starts.recv(), Err(mpsc::RecvError), "its closure was dropped, not run");
        release.send(()).expect("the first call waits");
        assert_eq!(single_flight.run(|| "third").await, "third");
    }

    #[tokio::test]
    async fn settle_hands_over_what_was_abandoned() {
        let (release, hang) = mpsc::channel::<u32>();
        let mut single_flight = SingleFlight::new();
        assert_eq!(single_flight.settle().await, None);
        let abandoned = single_flight.run(move || hang.recv().expect("the test holds the sender"));
        assert!(timeout(Duration::from_millis(1), abandoned).await.is_err());
        release.send(7).expect("the call waits");
        assert_eq!(single_flight.settle().await, Some(7));
        assert_eq!(single_flight.settle().await, None);
    }
}
