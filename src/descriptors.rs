//! The process's descriptors: how many there are, and how many of them connections of the health port may take.
//!
//! Systems start a process with a soft limit of 1024 for the sake of programs that use `select`, and a hard limit far
//! above it. A daemon that accepts connections [raises](raise) the one to the other, and keeps [`RESERVED`] for what its
//! verdict and its steering depend on: clients that open connections can use up the rest, and never the probe's. Commands get
//! the soft limit that they [would have had](give_back).

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

use crate::config::Health;

/// What connections of the health port never get: listeners, logs, three pipes a child, inotify, the admin listener's
/// connections, the peers', the pools of connections to clouds.
pub(crate) const RESERVED: u64 = 256;

/// Connections that even the smallest limit allows, the least that the configuration may ask for.
const LEAST: usize = 16;

/// The limit before it was raised.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit to the hard one.
pub(crate) fn raise() {
    let before = getrlimit(Resource::Nofile);
    if before.current == before.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: before.maximum, ..before }) {
        Ok(()) => {
            let _set_by_an_earlier_call = BEFORE.set(before);
        }
        Err(error) => tracing::debug!(%error, "the limit of descriptors stays as it is"),
    }
}

/// Gives a command that was just started the limit that it would have had without [`raise`]: some programs use
/// `select`, and some close every descriptor that they could have, which takes long if that is a million.
pub(crate) fn give_back(command: Pid) {
    if let Some(before) = BEFORE.get() {
        // Not for a program of another user; it manages with more.
        let _limit = prlimit(Some(command), Resource::Nofile, *before);
    }
}

/// The most connections that `limit` descriptors leave room for; half of them where the limit is small.
pub(crate) fn room_for_connections(limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return usize::MAX };
    let room = limit - RESERVED.min(limit / 2);
    usize::try_from(room).unwrap_or(usize::MAX).max(LEAST)
}

/// The settings with as many connections as there is room for. Warns when they are fewer than asked for.
pub(crate) fn fitted(settings: &Health) -> Health {
    let limit = getrlimit(Resource::Nofile).current;
    let room = room_for_connections(limit);
    if settings.max_connections > room {
        tracing::warn!(
            configured = settings.max_connections,
            in_force = room,
            limit,
            "there are not enough descriptors for max_connections, fewer connections are let in \
             (LimitNOFILE= in the unit raises the limit)"
        );
    }
    Health { max_connections: settings.max_connections.min(room), ..settings.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_kept_back_and_something_is_left() {
        assert_eq!(room_for_connections(Some(8192)), 8192 - 256);
        assert_eq!(room_for_connections(Some(1024)), 768);
        assert_eq!(room_for_connections(Some(64)), 32);
        assert_eq!(room_for_connections(Some(0)), LEAST);
        assert_eq!(room_for_connections(None), usize::MAX);
    }
}
