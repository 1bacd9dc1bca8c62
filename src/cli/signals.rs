//! The signals that steer a daemon, caught from its first instruction on.
//!
//! | signal | until the daemon has started | afterwards |
//! |---|---|---|
//! | HUP, USR1 | remembered, and carried out as soon as it has | reload, probe |
//! | TERM, INT | the process ends at once, with the exit code of an orderly stop | orderly stop |
//!
//! By default each of them kills a process, and a reload or a wake-up may come at any time: from a script that renews
//! certificates, from a log rotation, while the daemon restarts. A stop during the start is carried out in the signal's
//! handler: it also ends a process whose only thread waits for a file system that hangs. Nothing has begun by then that
//! would have to be finished.
//!
//! What is left is the time between `execve` and [`catch`]: the loader maps the libraries, about a millisecond, and no
//! instruction of ours has run yet. A starter that must close it, too, starts the daemon with these signals ignored
//! (`trap '' HUP USR1` in a shell): [`catch`] takes them over.

use std::env;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{flag, low_level};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;

/// The verbs that are daemons. Every other verb keeps what signals do by default.
const DAEMONS: [&str; 2] = ["run", "publish"];

/// Whether TERM and INT end the process at once.
static STARTING: AtomicBool = AtomicBool::new(false);

/// Whether the signals do what they do by default, because the verb turned out not to be a daemon.
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
    /// What came during the start.
    reload_is_due: bool,
    probe_is_due: bool,
}

/// What a signal means.
pub(super) enum Order {
    Stop(&'static str),
    Reload,
    Probe,
}

/// Catches the signals if this process is to be a daemon. To be called before anything else.
pub fn catch() {
    // The arguments are not parsed yet, which takes longer than everything here. One that only looks like a verb is
    // put right by `release`.
    if !env::args_os().skip(1).any(|argument| DAEMONS.iter().any(|verb| argument == *verb)) {
        return;
    }
    STARTING.store(true, Ordering::SeqCst);
    // These fail for signals that cannot be caught, which these can.
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

/// Gives the signals back what they do by default: the verb is no daemon after all.
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
    /// Takes the signals over from [`catch`], for the runtime that this is called in. Until [`started`](Self::started),
    /// a stop still ends the process at once.
    pub(super) fn new() -> io::Result<Self> {
        let (hang_up, user1) = (signal(SignalKind::hangup())?, signal(SignalKind::user_defined1())?);
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up,
            user1,
            // After the runtime listens: what comes in between counts twice, which is better than not at all.
            reload_is_due: HANG_UP.load(Ordering::SeqCst),
            probe_is_due: USER1.load(Ordering::SeqCst),
        })
    }

    /// From here on a stop is an order that [`next`](Self::next) gives.
    #[expect(
        clippy::unused_self,
        reason = "only who listens may take the ending of the process from the handler"
    )]
    pub(super) fn started(&self) {
        STARTING.store(false, Ordering::SeqCst);
    }

    /// The next order. Cancel-safe: a signal that was not taken stays.
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
