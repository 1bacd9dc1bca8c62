//! The signals of a daemon, handled from its first instruction on.
//!
//! | signal | until the daemon has started | afterwards |
//! |---|---|---|
//! | HUP, USR1 | remembered, and carried out as soon as it has | reload, probe |
//! | TERM, INT | the process ends at once, with the exit code of a clean shutdown | clean shutdown |
//!
//! By default each of them kills a process, and a reload or a wake-up may arrive at any time: from a script that renews
//! certificates or from log rotation, while the daemon restarts. A stop during the start runs in the signal handler, so it
//! also ends a process whose only thread waits for a hung file system. Nothing that must be finished has begun by then.
//!
//! The gap between `execve` and [`catch`] remains: about a millisecond in which the loader maps the libraries. To close it
//! as well, start the daemon with these signals ignored (`trap '' HUP USR1` in a shell): [`catch`] handles them again.

use std::env;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{flag, low_level};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;

/// The verbs that are daemons. For every other verb signals keep their default effect.
const DAEMONS: [&str; 2] = ["run", "publish"];

/// Whether TERM and INT end the process at once.
static STARTING: AtomicBool = AtomicBool::new(false);

/// Whether the signals have their default effect, because the verb is not a daemon.
static DEFAULT: AtomicBool = AtomicBool::new(false);

/// Whether HUP came during the start.
static HANG_UP: AtomicBool = AtomicBool::new(false);

/// Whether USR1 came during the start.
static USER1: AtomicBool = AtomicBool::new(false);

/// The signals that a daemon understands.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user1: Signal,
    /// Signals that came during the start.
    reload_is_due: bool,
    probe_is_due: bool,
}

/// What a signal means.
pub(super) enum Order {
    Stop(&'static str),
    Reload,
    Probe,
}

/// Catches the signals if this process will be a daemon. Must be called first.
pub fn catch() {
    // Parsing the arguments takes too long here. If an argument only looks like a verb, `release` undoes this.
    if !env::args_os().skip(1).any(|argument| DAEMONS.iter().any(|verb| argument == *verb)) {
        return;
    }
    STARTING.store(true, Ordering::SeqCst);
    // Registering fails only for signals that cannot be caught.
    let caught = |signal, flag| -> io::Result<()> {
        flag::register_conditional_default(signal, &DEFAULT)?;
        flag::register(signal, flag)?;
        Ok(())
    };
    let ends = |signal| -> io::Result<()> {
        flag::register_conditional_default(signal, &DEFAULT)?;
        flag::register_conditional_shutdown(signal, Exit::Ok as i32, &STARTING)?;
        Ok(())
    };
    let registered = caught(SIGHUP, &HANG_UP)
        .and_then(|()| caught(SIGUSR1, &USER1))
        .and_then(|()| ends(SIGTERM))
        .and_then(|()| ends(SIGINT));
    debug_assert!(registered.is_ok(), "{registered:?}");
}

/// Restores the default effect of the signals: the verb is not a daemon.
pub(super) fn release() {
    STARTING.store(false, Ordering::SeqCst);
    DEFAULT.store(true, Ordering::SeqCst);
    for (signal, came) in [(SIGHUP, &HANG_UP), (SIGUSR1, &USER1)] {
        if came.load(Ordering::SeqCst) {
            let _it_kills = low_level::emulate_default_handler(signal);
        }
    }
}

// === impl Signals ===

impl Signals {
    /// Takes the signals over from [`catch`] for the current runtime. Until [`started`](Self::started), a stop still ends
    /// the process at once.
    pub(super) fn new() -> io::Result<Self> {
        let (hang_up, user1) = (signal(SignalKind::hangup())?, signal(SignalKind::user_defined1())?);
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up,
            user1,
            // Read after the runtime listens: a signal in between counts twice, which is better than not at all.
            reload_is_due: HANG_UP.load(Ordering::SeqCst),
            probe_is_due: USER1.load(Ordering::SeqCst),
        })
    }

    /// From here on [`next`](Self::next) returns a stop as an order.
    #[expect(
        clippy::unused_self,
        reason = "only a listener for signals may stop the handler from ending the process"
    )]
    pub(super) fn started(&self) {
        STARTING.store(false, Ordering::SeqCst);
    }

    /// The next order. Cancel-safe: a signal that was not received stays pending.
    pub(super) async fn next(&mut self) -> Order {
        if std::mem::take(&mut self.reload_is_due) {
            return Order::Reload;
        }
        if std::mem::take(&mut self.probe_is_due) {
            return Order::Probe;
        }
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop("TERM"),
            _ = self.interrupt.recv() => Order::Stop("INT"),
            _ = self.hang_up.recv() => Order::Reload,
            _ = self.user1.recv() => Order::Probe,
        }
    }

    pub(super) async fn stop_again(&mut self) {
        while !matches!(self.next().await, Order::Stop(_)) {}
    }
}
