//! Listening sockets that the service manager opened and keeps open.
//!
//! They outlive this process: a client that connects between two processes waits in the socket's queue, and the next
//! process answers it. A socket serves the configured address that it is bound to. Its name (`FileDescriptorName=`) matters
//! only if it is one of ours: a socket named `admin` never becomes a page.
//!
//! The originals stay open for the life of the process, and listeners use duplicates. So if one reload removes an address
//! and another adds it again, its socket is still there; the process could not bind it again.

use std::collections::HashSet;
use std::env;
use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use crate::config::Config;
use crate::text::printable;

/// More sockets than any unit passes; a wrong variable must not exhaust the memory.
const MAX_SOCKETS: usize = 128;

/// How much of a name is shown, in characters.
const SHOWN: usize = 80;

/// The passed sockets and the purpose of each.
#[derive(Debug, Default)]
pub struct Inherited {
    passed: Vec<Passed>,
}

#[derive(Debug)]
struct Passed {
    purpose: Purpose,
    address: SocketAddr,
    socket: TcpListener,
}

/// The purpose of a passed socket, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// `health`
    Page,
    /// `agent-check`
    AgentCheck,
    /// `admin`
    Admin,
    /// Any other name, such as that of the unit: its address decides.
    ByAddress,
}

/// Why passed sockets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// `LISTEN_FDS` is not a number of sockets.
    #[error("take over the sockets of the service manager: LISTEN_FDS is {0:?}")]
    Count(String),
    /// A passed descriptor is something else.
    #[error("take over socket {number} ({name}) of the service manager: it is not a listening TCP socket")]
    Kind {
        /// Its place among the passed ones, from 1.
        number: usize,
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A socket is named for one purpose and bound to the address of another.
    #[error(
        "use the socket {address}: the service manager passes it as `{passed}`, and the configuration has the address at {configured}"
    )]
    Contradiction {
        /// The address.
        address: SocketAddr,
        /// The name that it was passed with.
        passed: &'static str,
        /// The key that has its address.
        configured: &'static str,
    },
    /// No descriptor is left to duplicate one.
    #[error("duplicate a socket of the service manager")]
    Duplicate(#[source] io::Error),
}

// === impl Inherited ===

impl Inherited {
    /// The sockets that `LISTEN_FDS` counts, if they are for this process, with the names in `LISTEN_FDNAMES`.
    /// They are marked so that no child inherits them. Returns them only once; must be called before this process
    /// opens any descriptor or starts any thread.
    pub fn from_environment() -> Result<Self, SocketError> {
        let count = env::var("LISTEN_FDS").unwrap_or_default();
        if count.is_empty() {
            return Ok(Self::default());
        }
        let wrong = || SocketError::Count(printable(&count, SHOWN));
        let number: usize = count.parse().map_err(|_| wrong())?;
        if number > MAX_SOCKETS {
            return Err(wrong());
        }
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(|name| printable(name, SHOWN));
        let mut descriptors = ListenFd::from_env();
        let mut passed = Vec::new();
        for index in 0..descriptors.len() {
            let name = names.next().unwrap_or_default();
            let kind = |source| SocketError::Kind { number: index + 1, name: name.clone(), source };
            // Each index exists and is taken once.
            let Some(socket) = descriptors.take_tcp_listener(index).map_err(kind)? else { continue };
            let address = socket.local_addr().map_err(kind)?;
            passed.push(Passed { purpose: Purpose::named(&name), address, socket });
        }
        Ok(Self { passed })
    }

    /// Duplicates of the sockets that the health listener may use.
    pub(crate) fn for_health(&self) -> Result<Vec<TcpListener>, SocketError> {
        let fitting = self.passed.iter().filter(|passed| passed.purpose != Purpose::Admin);
        fitting.map(|passed| passed.socket.try_clone().map_err(SocketError::Duplicate)).collect()
    }

    /// A duplicate of the socket for the admin listener at `address`, if there is one.
    pub(crate) fn for_admin(&self, address: SocketAddr) -> Result<Option<TcpListener>, SocketError> {
        let fits = |passed: &&Passed| {
            passed.address == address && matches!(passed.purpose, Purpose::Admin | Purpose::ByAddress)
        };
        let found = self.passed.iter().find(fits);
        found.map(|passed| passed.socket.try_clone().map_err(SocketError::Duplicate)).transpose()
    }

    /// Fails for a socket whose name and address contradict each other.
    pub(crate) fn check<T>(&self, config: &Config<T>) -> Result<(), SocketError> {
        for passed in &self.passed {
            for (purpose, address) in addresses(config) {
                if passed.address == address
                    && passed.purpose != purpose
                    && passed.purpose != Purpose::ByAddress
                {
                    return Err(SocketError::Contradiction {
                        address,
                        passed: passed.purpose.name(),
                        configured: purpose.key(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Warns of sockets that are not answered, and of addresses on which a restart will refuse checks.
    pub(crate) fn warn<T>(&self, config: &Config<T>) {
        if self.passed.is_empty() {
            return;
        }
        let configured: HashSet<_> = addresses(config).map(|(_, address)| address).collect();
        let passed: HashSet<_> = self.passed.iter().map(|passed| passed.address).collect();
        for address in passed.difference(&configured) {
            tracing::warn!(
                %address,
                "the service manager listens on an address that is not in the configuration, so no \
                 request there is answered; change `listen`, or ListenStream= of the socket unit"
            );
        }
        for (purpose, address) in addresses(config) {
            // The admin listener is usually not passed, and nothing depends on it during a restart.
            if purpose != Purpose::Admin && !passed.contains(&address) {
                tracing::warn!(
                    %address,
                    "the service manager passes sockets, but none for this address: a restart will refuse \
                     checks here; add it as ListenStream= to the socket unit"
                );
            }
        }
    }
}

/// Every address that the configuration listens on.
fn addresses<T>(config: &Config<T>) -> impl Iterator<Item = (Purpose, SocketAddr)> {
    let pages = config.health.listen.iter().map(|address| (Purpose::Page, *address));
    let agent_check = config.health.agent_check.map(|address| (Purpose::AgentCheck, address));
    pages.chain(agent_check).chain([(Purpose::Admin, config.admin.listen)])
}

// === impl Purpose ===

impl Purpose {
    fn named(name: &str) -> Self {
        match name {
            "health" => Self::Page,
            "agent-check" => Self::AgentCheck,
            "admin" => Self::Admin,
            _ => Self::ByAddress,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Page => "health",
            Self::AgentCheck => "agent-check",
            Self::Admin => "admin",
            Self::ByAddress => "any",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Page => "[health] listen",
            Self::AgentCheck => "[health] agent_check",
            Self::Admin => "[admin] listen",
            Self::ByAddress => "no key",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(name: &str) -> (Inherited, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        (Inherited { passed: vec![Passed { purpose: Purpose::named(name), address, socket }] }, address)
    }

    fn config(page: &str, admin: &str) -> crate::provider::Config {
        let text = format!(
            "[health]\nlisten = \"{page}\"\n[admin]\nlisten = \"{admin}\"\n\
             [[mirror]]\nname = \"PROD\"\n[mirror.probe.qlist]\ninstance = \"IRIS\"\n"
        );
        crate::config::parse(&text, "test").unwrap()
    }

    #[test]
    fn a_name_and_an_address_must_not_contradict_each_other() {
        let elsewhere = "127.0.0.1:1";
        let (health, address) = passed("health");
        assert!(health.check(&config(&address.to_string(), elsewhere)).is_ok());
        let error = health.check(&config(elsewhere, &address.to_string())).unwrap_err();
        assert!(error.to_string().contains("as `health`"), "{error}");
        assert!(error.to_string().contains("at [admin] listen"), "{error}");
        let (unit, address) = passed("mirrorvip.socket");
        assert!(unit.check(&config(&address.to_string(), elsewhere)).is_ok());
        assert!(unit.check(&config(elsewhere, &address.to_string())).is_ok());
    }

    #[test]
    fn an_admin_socket_is_never_a_page() {
        let (admin, address) = passed("admin");
        assert!(admin.for_health().unwrap().is_empty());
        assert!(admin.for_admin(address).unwrap().is_some());
        let (page, address) = passed("health");
        assert_eq!(page.for_health().unwrap().len(), 1);
        assert!(page.for_admin(address).unwrap().is_none());
    }

    #[test]
    fn a_socket_can_be_used_again_and_again() {
        let (inherited, address) = passed("");
        for _ in 0..2 {
            assert_eq!(inherited.for_admin(address).unwrap().unwrap().local_addr().unwrap(), address);
            assert_eq!(inherited.for_health().unwrap()[0].local_addr().unwrap(), address);
        }
    }
}
