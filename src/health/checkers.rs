//! The checkers: a bounded table of the clients that check, for `/status` and for the warning that none does.
//!
//! Health checkers are few and poll for ever. Of others (scanners, a forged PROXY header each time) the table
//! keeps the most recent, so it cannot be made to grow. The lock is held for the update of one row, or for the
//! copy of the table; a check is recorded after it was answered.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Timestamp;

/// How many rows are kept; the least recently seen makes room.
pub const MAX_CHECKERS: usize = 256;

/// The table of checkers. Cheap to clone; every clone is the same table.
#[derive(Clone, Debug, Default)]
pub struct Checkers(Arc<Mutex<Table>>);

/// One client that asks about one mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checker {
    /// Its address: the TCP peer's, or the one that its PROXY header claims.
    pub address: IpAddr,
    /// The mirror it asks about.
    pub mirror: Arc<str>,
    /// How often it has asked since it was first seen.
    pub count: u64,
    /// When it first asked.
    pub first: Timestamp,
    /// When it last asked.
    pub last: Timestamp,
    /// The status code of its last answer; for an agent check 200 stands for `up`, 503 for the rest.
    pub last_status: u16,
}

/// Requests for a mirror's verdict, of all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How often.
    pub count: u64,
    /// When last.
    pub last: Timestamp,
}

#[derive(Debug, Default)]
struct Table {
    rows: HashMap<(IpAddr, Arc<str>), Row>,
    asked: HashMap<Arc<str>, Asked>,
    turn: u64,
}

#[derive(Debug)]
struct Row {
    checker: Checker,
    /// Orders rows by when they were last seen, whatever the clocks do.
    turn: u64,
}

// === impl Checkers ===

impl Checkers {
    /// All checkers, the most recently seen first.
    pub fn snapshot(&self) -> Vec<Checker> {
        let mut rows: Vec<_> = {
            let table = self.lock();
            table.rows.values().map(|row| (row.turn, row.checker.clone())).collect()
        };
        rows.sort_unstable_by_key(|(turn, _)| std::cmp::Reverse(*turn));
        rows.into_iter().map(|(_, checker)| checker).collect()
    }

    /// Requests for the verdict on `mirror`; `None` when there was none.
    pub fn asked(&self, mirror: &str) -> Option<Asked> {
        self.lock().asked.get(mirror).copied()
    }

    /// Records that `address` got `status` about `mirror` at `now`. `verdict`: it asked for the verdict, as a load balancer
    /// for writers does.
    pub(super) fn record(
        &self,
        address: IpAddr,
        mirror: &Arc<str>,
        verdict: bool,
        status: u16,
        now: Timestamp,
    ) {
        let mut table = self.lock();
        let table = &mut *table;
        table.turn += 1;
        if verdict {
            match table.asked.get_mut(mirror) {
                Some(asked) => *asked = Asked { count: asked.count.saturating_add(1), last: now },
                None => {
                    table.asked.insert(Arc::clone(mirror), Asked { count: 1, last: now });
                }
            }
        }
        let key = (address, Arc::clone(mirror));
        if let Some(row) = table.rows.get_mut(&key) {
            row.turn = table.turn;
            row.checker.count = row.checker.count.saturating_add(1);
            row.checker.last = now;
            row.checker.last_status = status;
            return;
        }
        if table.rows.len() >= MAX_CHECKERS
            && let Some(oldest) =
                table.rows.iter().min_by_key(|(_, row)| row.turn).map(|(key, _)| key.clone())
        {
            table.rows.remove(&oldest);
        }
        let mirror = Arc::clone(mirror);
        let checker = Checker { address, mirror, count: 1, first: now, last: now, last_status: status };
        table.rows.insert(key, Row { checker, turn: table.turn });
    }

    /// Forgets everything about mirrors that are not among these.
    pub(super) fn retain(&self, mirrors: &[Arc<str>]) {
        let mut table = self.lock();
        table.rows.retain(|(_, mirror), _| mirrors.contains(mirror));
        table.asked.retain(|mirror, _| mirrors.contains(mirror));
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Each update leaves the table whole, whatever happens to its thread afterwards.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::new(Duration::from_secs(secs), Duration::from_secs(secs))
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn counts_for_each_client_and_mirror() {
        let checkers = Checkers::default();
        let (a, b): (Arc<str>, Arc<str>) = ("A".into(), "B".into());
        checkers.record(address(1), &a, true, 200, at(1));
        checkers.record(address(1), &a, true, 503, at(2));
        checkers.record(address(1), &b, false, 200, at(3));
        let rows = checkers.snapshot();
        assert_eq!(rows.len(), 2);
        assert_eq!((&*rows[0].mirror, rows[0].count), ("B", 1));
        assert_eq!((&*rows[1].mirror, rows[1].count, rows[1].last_status), ("A", 2, 503));
        assert_eq!((rows[1].first, rows[1].last), (at(1), at(2)));
        assert_eq!(checkers.asked("A"), Some(Asked { count: 2, last: at(2) }));
        assert_eq!(checkers.asked("B"), None, "a reader's check directs no writers");
        checkers.retain(&[b]);
        assert_eq!(checkers.snapshot().len(), 1);
        assert_eq!(checkers.asked("A"), None);
    }

    #[test]
    fn the_least_recently_seen_makes_room() {
        let checkers = Checkers::default();
        let mirror: Arc<str> = "A".into();
        for n in 0..256 {
            checkers.record(address(n), &mirror, true, 200, at(1));
        }
        checkers.record(address(0), &mirror, true, 200, at(1));
        checkers.record(address(1_000), &mirror, true, 200, at(1));
        let rows = checkers.snapshot();
        let known = |n| rows.iter().any(|row| row.address == address(n));
        assert_eq!(rows.len(), MAX_CHECKERS);
        assert!(known(0) && known(1_000) && known(2) && !known(1));
    }
}
