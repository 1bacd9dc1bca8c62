//! The process's file descriptors: their limit, and how many of them connections of the health port may use.
//!
//! A process starts with a soft limit of 1024, for programs that use `select`, and a much higher hard limit. The daemon
//! [raises](raise) the soft limit to the hard one and keeps [`RESERVED`] descriptors for its probes and steering, which
//! connections of clients can never use up. Commands get the [original](give_back) soft limit.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

use crate::config::Health;

/// Descriptors that connections of the health port never get: for listeners, logs, three pipes per child, inotify, admin
/// connections, and connections to peers and clouds.
pub(crate) const RESERVED: u64 = 256;

/// Connections that are allowed under any limit: the minimum of `max_connections`.
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
        Err(error) => tracing::debug!(%error, "failed to raise the limit of file descriptors"),
    }
}

/// Gives a command that was just started the limit from before [`raise`]: some programs use `select`, and some close every
/// possible descriptor, which takes long with a million of them.
pub(crate) fn give_back(command: Pid) {
    if let Some(before) = BEFORE.get() {
        // Fails for a program of another user, which then keeps the higher limit.
        let _limit = prlimit(Some(command), Resource::Nofile, *before);
    }
}

/// How many connections `limit` descriptors allow: all but the reserved ones, or half of them if the limit is small.
pub(crate) fn room_for_connections(limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return usize::MAX };
    let room = limit - RESERVED.min(limit / 2);
    usize::try_from(room).unwrap_or(usize::MAX).max(LEAST)
}

/// The settings with `max_connections` reduced to what the limit allows. Warns if it is reduced.
pub(crate) fn fitted(settings: &Health) -> Health {
    let limit = getrlimit(Resource::Nofile).current;
    let room = room_for_connections(limit);
    if settings.max_connections > room {
        tracing::warn!(
            configured = settings.max_connections,
            in_force = room,
            limit,
            "too few file descriptors for max_connections, fewer connections are accepted \
             (raise LimitNOFILE= in the unit)"
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
