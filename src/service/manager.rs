//! Sends the datagrams of `sd_notify(3)` to the service manager.
//!
//! No library is used because no send may block: a manager that does not read must not stop the control plane. If a
//! datagram cannot be sent, the caller sends it again if it still matters.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, process};

use tokio::sync::watch;

use crate::clock;
use crate::text::printable;

/// The longest status, in characters. The manager drops datagrams above 4096 bytes, and a character takes up to
/// four.
const MAX_STATUS: usize = 960;

/// How long a stop may take in addition to `drain`: requests and steering steps in flight, the last write.
const STOPPING: Duration = Duration::from_secs(30);

/// The service manager, or none.
#[derive(Debug)]
pub struct Manager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
    /// Whether readiness was reported.
    ready: AtomicBool,
    /// Whether the last reload was refused.
    refused: watch::Sender<bool>,
}

// === impl Manager ===

impl Manager {
    /// The manager at `NOTIFY_SOCKET`; the watchdog of `WATCHDOG_USEC`, unless `WATCHDOG_PID` is another process.
    pub fn from_environment() -> Self {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let socket = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty());
        let socket = socket.and_then(|address| {
            let connected = connect(&address);
            // The daemon serves without notifications as well.
            if let Err(error) = &connected {
                tracing::warn!(%error, "the service manager's socket cannot be used");
            }
            connected.ok()
        });
        let watchdog = watchdog(
            variable("WATCHDOG_USEC").as_deref(),
            variable("WATCHDOG_PID").as_deref(),
            process::id(),
        );
        Self { watchdog: watchdog.filter(|_| socket.is_some()), socket, ..Self::none() }
    }

    /// No service manager.
    pub fn none() -> Self {
        Self {
            socket: None,
            watchdog: None,
            ready: AtomicBool::new(false),
            refused: watch::Sender::new(false),
        }
    }

    /// Whether there is a service manager.
    pub(crate) fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// The timeout of the watchdog, if there is one.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Whether the last reload was refused, and changes of that.
    pub(crate) fn refused(&self) -> watch::Receiver<bool> {
        self.refused.subscribe()
    }

    /// Reports that every mirror has a verdict. Returns whether the message was sent.
    pub(crate) fn ready(&self) -> bool {
        let sent = self.send("READY=1");
        if sent {
            self.ready.store(true, Ordering::Relaxed);
        }
        sent
    }

    /// Reports the daemon's current state as text. Returns whether the message was sent.
    pub(crate) fn status(&self, text: &str) -> bool {
        self.send(&format!("STATUS={}", printable(text, MAX_STATUS)))
    }

    /// Reports that the daemon works.
    pub(crate) fn feed_watchdog(&self) -> bool {
        self.send("WATCHDOG=1")
    }

    /// Reports that a reload begins; [`reloaded`](Self::reloaded) must follow. The time distinguishes it from an earlier
    /// reload; systemd 253 and later wait for both messages.
    pub fn reloading(&self) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::monotonic_microseconds()));
    }

    /// Reports that the reload is over. If it was refused, the status says so until a reload succeeds.
    pub fn reloaded(&self, applied: bool) {
        self.refused.send_replace(!applied);
        // During the start, "ready" would be too early.
        if self.ready.load(Ordering::Relaxed) {
            self.send("READY=1");
        }
    }

    /// Reports that the daemon stops, which takes about `drain`.
    pub fn stopping(&self, drain: Duration) {
        let extend = drain.saturating_add(STOPPING).as_micros();
        self.send(&format!("STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC={extend}"));
    }

    fn send(&self, message: &str) -> bool {
        let Some(socket) = &self.socket else { return true };
        match socket.send(message.as_bytes()) {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, message, "the service manager was not notified");
                false
            }
        }
    }
}

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(Path::new(address))?,
    };
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// The watchdog's timeout; `None` if there is none, or if it watches another process.
fn watchdog(microseconds: Option<&str>, process: Option<&str>, own: u32) -> Option<Duration> {
    if process.is_some_and(|process| process.parse() != Ok(own)) {
        return None;
    }
    let microseconds = microseconds?.parse().ok().filter(|&patience: &u64| patience > 0)?;
    Some(Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_ours_only_if_it_watches_this_process() {
        let five = Some(Duration::from_secs(5));
        assert_eq!(watchdog(Some("5000000"), None, 7), five);
        assert_eq!(watchdog(Some("5000000"), Some("7"), 7), five);
        assert_eq!(watchdog(Some("5000000"), Some("8"), 7), None);
        assert_eq!(watchdog(Some("5000000"), Some("?"), 7), None);
        assert_eq!(watchdog(Some("0"), None, 7), None);
        assert_eq!(watchdog(Some("much"), None, 7), None);
        assert_eq!(watchdog(None, None, 7), None);
    }

    #[test]
    fn a_manager_that_does_not_read_delays_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let silent = UnixDatagram::bind(&path).unwrap();
        let manager = Manager { socket: Some(connect(path.as_os_str()).unwrap()), ..Manager::none() };
        let sent = (0..100_000).take_while(|_| manager.status("PROD: SUCCESS")).count();
        assert!((1..100_000).contains(&sent), "{sent} messages fit into its queue");
        assert!(!manager.ready(), "it is notified again until it was");
        let mut buffer = [0; 64];
        let length = silent.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"STATUS=PROD: SUCCESS");
        assert!(manager.ready());
    }

    #[test]
    fn abstract_addresses_are_understood() {
        let name = format!("mirrorvip-test-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listening = UnixDatagram::bind_addr(&address).unwrap();
        let manager =
            Manager { socket: Some(connect(OsStr::new(&format!("@{name}"))).unwrap()), ..Manager::none() };
        manager.stopping(Duration::from_secs(2));
        let mut buffer = [0; 128];
        let length = listening.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        assert_eq!(text, "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=32000000");
    }

    #[test]
    fn a_status_is_one_line_and_fits() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listening = UnixDatagram::bind(&path).unwrap();
        let manager = Manager { socket: Some(connect(path.as_os_str()).unwrap()), ..Manager::none() };
        assert!(manager.status(&format!("a\nWATCHDOG=1\n{}", "\u{1f4a5}".repeat(5_000))));
        let mut buffer = [0; 8_192];
        let length = listening.recv(&mut buffer).unwrap();
        assert!(length <= 4_096, "{length}");
        assert_eq!(std::str::from_utf8(&buffer[..length]).unwrap().lines().count(), 1);
    }
}
