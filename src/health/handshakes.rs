//! The order of TLS handshakes.
//!
//! A handshake is the only work on the health thread that costs more than microseconds: a signature, from 0.1 ms for
//! ECDSA P-256 to several for RSA-4096, due as soon as a client has sent its hello, and any client can replay a hello. So
//! a client that has sent its hello waits here for a slot, and keeps it until the handshake has succeeded:
//!
//! - A source has [`OF_ONE_SOURCE`] slots. A slot whose client stalls is taken until that client's `header_timeout`, and
//!   for [`UNSUCCESSFUL`] if it leaves: a replayer gets that many signatures in that time, however fast it is.
//! - Sources that are not [regular](super::source) checkers share [`OF_NEWCOMERS`] slots, and come after regulars.
//! - Sources take turns: one waiting client of each, its oldest first.
//! - The thread grants one slot per turn, so that all other tasks run between two signatures.
//!
//! A waiting client gives up at its deadline and leaves the line when it is dropped, so a line never exceeds the number of
//! seats.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::source::Source;

/// Handshakes of one source at a time. A balancer's checks are one or two; a hundred checks a second from one that is
/// 120 ms away are twelve.
const OF_ONE_SOURCE: usize = 16;

/// How long a slot stays taken if its handshake fails.
const UNSUCCESSFUL: Duration = Duration::from_millis(250);

/// Handshakes at a time of all sources that are not known as checkers.
const OF_NEWCOMERS: usize = 256;

/// The slots, and the clients that wait for one.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    lines: Mutex<Lines>,
    news: Notify,
}

/// The right to shake hands, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    handshakes: Arc<Handshakes>,
    grant: Grant,
    succeeded: bool,
}

/// The source of a slot, and until when it stays taken if its handshake fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Grant {
    until: Instant,
    source: Source,
    regular: bool,
}

#[derive(Debug, Default)]
struct Lines {
    /// Numbers those who wait, in the order in which they came.
    next: u64,
    newcomers: usize,
    sources: HashMap<Source, Line>,
    regulars_turn: VecDeque<Source>,
    newcomers_turn: VecDeque<Source>,
    /// Of slots that were given up before their time.
    taken: BinaryHeap<Reverse<Grant>>,
}

/// What one source has and wants.
#[derive(Debug, Default)]
struct Line {
    slots: usize,
    waiting: BTreeMap<u64, (Grant, oneshot::Sender<Slot>)>,
    /// Whether it is in one of the queues of whose turn it is.
    queued: bool,
}

/// A place in a line, given up when it is dropped.
struct Place<'a> {
    handshakes: &'a Handshakes,
    source: Source,
    number: u64,
}

// === impl Handshakes ===

impl Handshakes {
    /// Waits for a slot, for as long as it takes: the caller has a deadline.
    pub(super) async fn enter(self: &Arc<Self>, source: Source, regular: bool) -> Slot {
        let (sender, given) = oneshot::channel();
        let number = self.lock().join(Grant { until: Instant::now(), source, regular }, sender);
        let _place = Place { handshakes: self, source, number };
        self.news.notify_one();
        given
            .await
            .expect("the owner of slots lives as long as the thread, and drops no sender that has a place")
    }

    /// Grants the slots without end: one at each turn of the thread.
    pub(super) async fn give(self: Arc<Self>) {
        loop {
            let next_free = self.lock().next_free();
            let free = async {
                match next_free {
                    Some(moment) => sleep_until(moment).await,
                    None => std::future::pending().await,
                }
            };
            // Cancel-safe: a timer, and a notice that stays until it is taken.
            tokio::select! {
                () = self.news.notified() => {}
                () = free => {}
            }
            self.lock().free(Instant::now());
            while let Some((sender, mut grant)) = self.next() {
                grant.until = Instant::now() + UNSUCCESSFUL;
                // A client that gave up meanwhile has cost no signature.
                if let Err(mut slot) =
                    sender.send(Slot { handshakes: Arc::clone(&self), grant, succeeded: false })
                {
                    slot.succeeded = true;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    fn next(&self) -> Option<(oneshot::Sender<Slot>, Grant)> {
        self.lock().next()
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // Only this thread uses it, and a panic on this thread ends the process.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Lines ===

impl Lines {
    fn join(&mut self, grant: Grant, sender: oneshot::Sender<Slot>) -> u64 {
        self.next += 1;
        self.sources.entry(grant.source).or_default().waiting.insert(self.next, (grant, sender));
        self.queue(grant.source);
        self.next
    }

    /// Queues a source that wants a slot and may have one; forgets one that has and wants nothing.
    fn queue(&mut self, source: Source) {
        let Some(line) = self.sources.get_mut(&source) else { return };
        if line.queued {
            return;
        }
        match line.waiting.first_key_value() {
            Some((_, (grant, _))) if line.slots < OF_ONE_SOURCE => {
                line.queued = true;
                let turn = if grant.regular { &mut self.regulars_turn } else { &mut self.newcomers_turn };
                turn.push_back(source);
            }
            Some(_) => {}
            None if line.slots == 0 => {
                self.sources.remove(&source);
            }
            None => {}
        }
    }

    fn next(&mut self) -> Option<(oneshot::Sender<Slot>, Grant)> {
        loop {
            let source = match self.regulars_turn.pop_front() {
                Some(source) => source,
                None if self.newcomers < OF_NEWCOMERS => self.newcomers_turn.pop_front()?,
                None => return None,
            };
            // It stays while it is queued.
            let Some(line) = self.sources.get_mut(&source) else { continue };
            line.queued = false;
            let first = line.waiting.pop_first();
            if let Some((_, (grant, _))) = &first {
                line.slots += 1;
                self.newcomers += usize::from(!grant.regular);
            }
            self.queue(source);
            if let Some((_, (grant, sender))) = first {
                return Some((sender, grant));
            }
        }
    }

    fn leave(&mut self, source: Source, number: u64) {
        if let Some(line) = self.sources.get_mut(&source) {
            line.waiting.remove(&number);
        }
        self.queue(source);
    }

    fn give_back(&mut self, grant: Grant) {
        if let Some(line) = self.sources.get_mut(&grant.source) {
            line.slots -= 1;
        }
        self.newcomers -= usize::from(!grant.regular);
        self.queue(grant.source);
    }

    /// When the next slot that was given up is free.
    fn next_free(&self) -> Option<Instant> {
        self.taken.peek().map(|Reverse(grant)| grant.until)
    }

    fn free(&mut self, now: Instant) {
        while self.next_free().is_some_and(|moment| moment <= now)
            && let Some(Reverse(grant)) = self.taken.pop()
        {
            self.give_back(grant);
        }
    }
}

// === impl Slot ===

impl Slot {
    /// The client has gone on to the end.
    pub(super) fn succeeded(mut self) {
        self.succeeded = true;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut lines = self.handshakes.lock();
        if self.succeeded {
            lines.give_back(self.grant);
        } else {
            lines.taken.push(Reverse(self.grant));
        }
        drop(lines);
        self.handshakes.news.notify_one();
    }
}

// === impl Place ===

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.handshakes.lock().leave(self.source, self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn source(n: u32) -> Source {
        Source::Network(Ipv4Addr::from(n).into())
    }

    struct Rig {
        handshakes: Arc<Handshakes>,
        until: Instant,
        waiting: Vec<(u32, u64, oneshot::Receiver<Slot>)>,
    }

    impl Rig {
        fn new() -> Self {
            let until = Instant::now() + UNSUCCESSFUL;
            Self { handshakes: Arc::default(), until, waiting: Vec::new() }
        }

        fn come(&mut self, n: u32, regular: bool) {
            let (sender, given) = oneshot::channel();
            let grant = Grant { until: self.until, source: source(n), regular };
            let number = self.handshakes.lock().join(grant, sender);
            self.waiting.push((n, number, given));
        }

        /// Whose turn it is, up to `most` times.
        fn turns(&mut self, most: usize) -> Vec<(u32, Slot)> {
            let mut slots = Vec::new();
            while slots.len() < most
                && let Some((sender, grant)) = self.handshakes.next()
            {
                let Source::Network(IpAddr::V4(address)) = grant.source else { panic!("{grant:?}") };
                let slot = Slot { handshakes: Arc::clone(&self.handshakes), grant, succeeded: false };
                drop(sender);
                slots.push((u32::from(address), slot));
            }
            slots
        }
    }

    fn succeed(slots: Vec<(u32, Slot)>) {
        for (_, slot) in slots {
            slot.succeeded();
        }
    }

    fn names(slots: &[(u32, Slot)]) -> Vec<u32> {
        slots.iter().map(|(n, _)| *n).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_has_so_many_slots_and_the_others_are_not_kept_waiting() {
        let mut rig = Rig::new();
        for _ in 0..5_000 {
            rig.come(1, false);
        }
        rig.come(2, false);
        let slots = rig.turns(usize::MAX);
        assert_eq!(names(&slots[..2]), [1, 2], "it goes round");
        assert_eq!(slots.len(), OF_ONE_SOURCE + 1, "no slot comes back, and the others wait");
        succeed(slots);
        let slots = rig.turns(usize::MAX);
        assert_eq!(slots.len(), OF_ONE_SOURCE, "given back");
        drop(slots);
        assert!(rig.turns(usize::MAX).is_empty(), "who leaves has its slot until its time is over");
        rig.handshakes.lock().free(rig.until);
        assert_eq!(rig.turns(usize::MAX).len(), OF_ONE_SOURCE);
    }

    #[tokio::test(start_paused = true)]
    async fn regulars_come_first_and_no_crowd_takes_their_slots() {
        let mut rig = Rig::new();
        for n in 1..=1_000 {
            rig.come(n, false);
        }
        let crowd = rig.turns(usize::MAX);
        assert_eq!(crowd.len(), OF_NEWCOMERS);
        rig.come(2_000, true);
        let regular = rig.turns(usize::MAX);
        assert_eq!(names(&regular), [2_000]);
        succeed(regular);
        succeed(crowd);
        rig.come(2_000, true);
        assert_eq!(names(&rig.turns(1)), [2_000], "before all that came earlier");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_wait_leaves_nothing_behind() {
        let mut rig = Rig::new();
        for n in 0..100 {
            rig.come(n % 10, false);
        }
        for (n, number, _given) in rig.waiting.drain(..) {
            rig.handshakes.lock().leave(source(n), number);
        }
        assert!(rig.turns(usize::MAX).is_empty());
        let lines = rig.handshakes.lock();
        assert!(lines.sources.is_empty() && lines.newcomers_turn.is_empty(), "{lines:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn slots_go_to_waiting_clients_and_are_returned() {
        let handshakes = Arc::<Handshakes>::default();
        let giving = Arc::clone(&handshakes).give();
        let work = async {
            for _ in 0..3 {
                let mut held = Vec::new();
                for _ in 0..OF_ONE_SOURCE {
                    held.push(handshakes.enter(source(1), false).await);
                }
                let one_more = handshakes.enter(source(1), false);
                tokio::pin!(one_more);
                tokio::select! {
                    biased;
                    _ = &mut one_more => panic!("there was none left"),
                    () = tokio::task::yield_now() => {}
                }
                held.pop().expect("it is full").succeeded();
                one_more.await.succeeded();
                // The others leave, and their time passes.
            }
        };
        tokio::select! {
            () = giving => panic!("it ends never"),
            () = work => {}
        }
        let mut lines = handshakes.lock();
        lines.free(Instant::now() + UNSUCCESSFUL);
        assert!(lines.sources.is_empty() && lines.newcomers == 0, "{lines:?}");
    }
}
