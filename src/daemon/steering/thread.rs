//! The thread of the steering loops, with its own runtime.
//!
//! Only this thread reads, parses and evaluates answers of clouds. So a slow answer delays neither probe loops nor arbiters
//! nor the admin listener, and the page never gets older for it.

use std::io;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// The thread; dropping this ends it with its tasks.
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
            // A name lookup that hangs must not keep the thread.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, ending })
    }

    /// The handle to spawn tasks on it.
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
    async fn a_busy_steering_thread_delays_no_other() {
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
