//! Listening sockets: opening them, the reasons why one cannot be opened, and keeping them over a reload.
//!
//! A socket belongs to the address that the configuration names. While that address stays in the
//! configuration the socket stays open, backlog and all, so that a reload loses no connection.
//!
//! An inherited socket belongs to another process, which keeps it open after this one. Listeners work on duplicates
//! of it, so that it can be used again after a reload that did without it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::tls::TlsError;

/// How many connections may wait to be accepted. Each of a thousand checkers may come at once after a pause
/// of the machine; the system lowers it to `net.core.somaxconn`, 4096 by default.
const BACKLOG: i32 = 4096;

/// Why the health listener cannot start, or cannot apply a new configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What to do about it: a full sentence, empty when there is nothing to add.
        hint: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate cannot be served.
    #[error("load the certificate of the health listener")]
    Tls(#[from] TlsError),
    /// The thread cannot be started.
    #[error("start the health thread")]
    Thread(#[source] io::Error),
}

/// One open listening socket, not blocking.
#[derive(Debug)]
pub(super) struct Listener {
    configured: SocketAddr,
    local: SocketAddr,
    inherited: bool,
    socket: TcpListener,
}

/// Opens a socket for each of `addresses`, in their order, unless one of `kept` or `inherited` is open on it
/// already.
pub(super) fn open_all(
    addresses: &[SocketAddr],
    kept: &[Arc<Listener>],
    inherited: &[TcpListener],
) -> Result<Vec<Arc<Listener>>, StartError> {
    let mut kept: Vec<_> = kept.iter().collect();
    addresses
        .iter()
        .map(|&address| {
            if let Some(index) = kept.iter().position(|listener| listener.configured == address) {
                return Ok(Arc::clone(kept.swap_remove(index)));
            }
            let matches = |socket: &TcpListener| socket.local_addr().is_ok_and(|local| local == address);
            let opened = match inherited.iter().find(|socket| matches(socket)) {
                Some(socket) => Listener::adopt(address, socket),
                None => Listener::bind(address),
            };
            opened.map(Arc::new).map_err(|source| StartError::Listen { address, hint: hint(&source), source })
        })
        .collect()
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "Ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= in the unit) or a socket from \
             the service manager."
        }
        io::ErrorKind::AddrInUse => {
            "Another process listens there, maybe another mirrorvip or a web server (`ss -ltnp` shows \
             which); a wildcard address takes the port of all others."
        }
        io::ErrorKind::AddrNotAvailable => "No interface of this machine has the address (`ip address`).",
        _ if error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => {
            "IPv6 is switched off on this machine."
        }
        _ => "",
    }
}

// === impl StartError ===

impl StartError {
    /// What to do about it: a full sentence, if there is one to say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Listen { hint, .. } => Some(*hint).filter(|hint| !hint.is_empty()),
            Self::Tls(_) | Self::Thread(_) => None,
        }
    }
}

// === impl Listener ===

impl Listener {
    /// Where it listens: the port is the real one where the configuration says 0.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether another process keeps it open after this one.
    pub(super) fn is_inherited(&self) -> bool {
        self.inherited
    }

    fn new(configured: SocketAddr, socket: TcpListener, inherited: bool) -> io::Result<Self> {
        // Accepted connections inherit it: a request is acknowledged by its answer, without a segment of its own.
        sockopt::set_tcp_quickack(&socket, false)?;
        Ok(Self { configured, local: socket.local_addr()?, inherited, socket })
    }

    fn bind(address: SocketAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        // A restart need not wait for the previous process's connections to leave TIME_WAIT.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() {
            // `[::]` and `0.0.0.0` are two addresses and may share a port, whatever net.ipv6.bindv6only says.
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Self::new(address, socket.into(), false)
    }

    fn adopt(address: SocketAddr, socket: &TcpListener) -> io::Result<Self> {
        let socket = socket.try_clone()?;
        socket.set_nonblocking(true)?;
        Self::new(address, socket, true)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: &str = "127.0.0.1:0";

    fn refusal(address: SocketAddr) -> StartError {
        open_all(&[address], &[], &[]).map(|_| ()).unwrap_err()
    }

    #[test]
    fn errors_name_the_address_and_the_way_out() {
        let holder = TcpListener::bind(ANY).unwrap();
        let taken = holder.local_addr().unwrap();
        let in_use = refusal(taken);
        assert_eq!(in_use.to_string(), format!("listen on {taken}"));
        assert!(in_use.hint().unwrap().contains("ss -ltnp"));
        // TEST-NET-1 of RFC 5737: no machine has it.
        assert!(refusal("192.0.2.1:0".parse().unwrap()).hint().unwrap().contains("ip address"));
        assert!(hint(&rustix::io::Errno::ACCESS.into()).contains("CAP_NET_BIND_SERVICE"));
        assert!(hint(&rustix::io::Errno::AFNOSUPPORT.into()).contains("switched off"));
    }

    #[test]
    fn wildcards_of_both_families_share_a_port() {
        // The IPv4 port may belong to another process by chance; hardly ten times in a row.
        let shared = (0..10).any(|_| {
            let six = open_all(&["[::]:0".parse().unwrap()], &[], &[]).unwrap();
            let four = SocketAddr::from(([0, 0, 0, 0], six[0].local().port()));
            open_all(&[four], &[], &[]).is_ok_and(|open| open[0].local() == four)
        });
        assert!(shared);
    }

    #[test]
    fn sockets_are_kept_inherited_or_opened() {
        let any: SocketAddr = ANY.parse().unwrap();
        let before = open_all(&[any, any], &[], &[]).unwrap();
        let socket = TcpListener::bind(ANY).unwrap();
        let address = socket.local_addr().unwrap();
        let inherited = [TcpListener::bind(ANY).unwrap(), socket];
        let after = open_all(&[any, address, any], &before, &inherited).unwrap();
        assert!(Arc::ptr_eq(&after[0], &before[0]) && Arc::ptr_eq(&after[2], &before[1]));
        assert_eq!(after[1].local(), address);
        assert!(after[1].is_inherited() && !after[0].is_inherited());
        drop(after);
        let again = open_all(&[address], &[], &inherited).unwrap();
        assert_eq!(again[0].local(), address, "it is there for another time");
    }
}
