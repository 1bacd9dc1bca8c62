//! The thread of the steering loops, with a runtime of its own.
//!
//! What clouds answer is read, parsed and judged there, and nowhere else in the daemon: however long an answer takes,
//! the probe loops, the arbiters and the admin listener go on beside it, and the page is never older for it.

use std::io;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// The thread; it ends with this, and the tasks on it with the thread.
#[derive(Debug)]
pub(super) struct Thread {
    handle: Handle,
    ending: CancellationToken,
}

// === impl Thread ===

impl Thread {
    /// Starts it.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let ending = CancellationToken::new();
        let ended = ending.clone();
        std::thread::Builder::new().name("steering".to_owned()).spawn(move || {
            runtime.block_on(ended.cancelled());
            // A look-up of a name that hangs must not keep the thread.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, ending })
    }

    /// Where tasks are spawned so that they run on it.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio_util::task::TaskTracker;

    use super::*;

    #[tokio::test]
    async fn what_keeps_the_thread_busy_keeps_nobody_else() {
        let (thread, tasks) = (Thread::start().expect("there are threads"), TaskTracker::new());
        let (begun, busy) = oneshot::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let task = tasks.spawn_on(
            async move {
                begun.send(()).expect("the test waits");
                released.recv()
            },
            thread.handle(),
        );
        busy.await.expect("it runs, and gives nothing else a turn");
        tokio::time::sleep(Duration::from_millis(1)).await;
        release.send(()).expect("it waits for this");
        task.await.expect("it does not panic").expect("it was released");
    }

    #[tokio::test]
    async fn it_ends_with_its_tasks() {
        let (thread, tasks) = (Thread::start().expect("there are threads"), TaskTracker::new());
        let task = tasks.spawn_on(std::future::pending::<()>(), thread.handle());
        drop(thread);
        assert!(task.await.expect_err("it never ends by itself").is_cancelled());
    }
}
