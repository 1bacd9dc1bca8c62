//! Requests every member's status page all the time, and verifies that no two say SUCCESS at the same time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::report::{Observed, Page, Reporter};
use super::{PAGE_PATH, SAMPLE_INTERVAL};
use crate::http;
use crate::simulation::MemberId;

/// Time limit of an answer. Shorter than the time that every failover leaves between two primaries, so that a slow answer
/// of the old one does not overlap with the new one's.
const ANSWER_LIMIT: Duration = Duration::from_millis(300);

/// The time from a request for a page to its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// When it was sent.
    pub(crate) asked: Duration,
    /// When the answer arrived.
    pub(crate) answered: Duration,
}

/// Records when each member answered SUCCESS. PURE.
///
/// A member whose machine was reverted to a snapshot must ask the others before it knows that it is not the primary. While
/// it is [`excused`](Self::excuse), the overlap is measured and is no error.
///
/// Between two answers that both say SUCCESS the member counts as having said it throughout, so a run of them is one
/// window. It is compared with the window of each other member. Windows that overlap only because the machine was slow
/// count as well.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    runs: [Option<Run>; 3],
    samples: u64,
    accused: bool,
    excused: Option<(MemberId, Duration)>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    window: Window,
    is_unchanged: bool,
}

impl Witness {
    /// Records one answer; returns the first two windows that overlap, once.
    pub(crate) fn record(
        &mut self,
        member: MemberId,
        window: Window,
        page: Page,
    ) -> Option<[(MemberId, Window); 2]> {
        self.samples += 1;
        let run = &mut self.runs[member.index()];
        if page != Page::SUCCESS {
            if let Some(run) = run {
                run.is_unchanged = false;
            }
            return None;
        }
        let asked = match run {
            Some(run) if run.is_unchanged => run.window.asked,
            Some(_) | None => window.asked,
        };
        let mine = Window { asked, answered: window.answered };
        *run = Some(Run { window: mine, is_unchanged: true });
        if let Some((excused, longest)) = &mut self.excused
            && *excused == member
        {
            *longest = mine.answered.saturating_sub(mine.asked).max(*longest);
            return None;
        }
        if self.accused {
            return None;
        }
        let excused = self.excused.map(|(excused, _)| excused);
        let others = MemberId::ALL.into_iter().filter(|&other| other != member && Some(other) != excused);
        let overlap = others.into_iter().find_map(|other| {
            let theirs = self.runs[other.index()]?.window;
            let overlaps = mine.asked <= theirs.answered && theirs.asked <= mine.answered;
            overlaps.then_some([(other, theirs), (member, mine)])
        });
        self.accused = overlap.is_some();
        overlap
    }

    /// From here on an overlap of `member` is no error.
    pub(crate) fn excuse(&mut self, member: MemberId) {
        self.excused = Some((member, Duration::ZERO));
    }

    /// From here on every overlap is an error again. Returns how long the excused member answered SUCCESS at most; zero if
    /// it never did.
    pub(crate) fn excuse_ends(&mut self) -> Duration {
        let Some((member, longest)) = self.excused.take() else { return Duration::ZERO };
        self.runs[member.index()] = None;
        longest
    }

    /// How many answers it has recorded.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }
}

/// Samples the page of each member until the tasks are aborted; returns the shared record.
pub(crate) fn start(
    pages: [SocketAddr; 3],
    reporter: &Reporter,
    tasks: &mut JoinSet<()>,
) -> Arc<Mutex<Witness>> {
    let witness = Arc::<Mutex<Witness>>::default();
    for member in MemberId::ALL {
        tasks.spawn(sample(member, pages[member.index()], witness.clone(), reporter.clone()));
    }
    witness
}

async fn sample(member: MemberId, address: SocketAddr, witness: Arc<Mutex<Witness>>, reporter: Reporter) {
    let mut before = Page::default();
    loop {
        let asked = reporter.now();
        let answer = http::get(address, PAGE_PATH, ANSWER_LIMIT).await;
        let window = Window { asked, answered: reporter.now() };
        let page = answer.map_or(Page::Silent, |answer| Page::Status(answer.status.as_u16()));
        let overlap = witness.lock().expect("no holder of this lock panics").record(member, window, page);
        if let Some(overlap) = overlap {
            reporter.report(window.answered, Observed::TwoSuccess(Box::new(overlap))).await;
        }
        if page != before {
            reporter.report(window.answered, Observed::Page { member, from: before, to: page }).await;
            before = page;
        }
        sleep(SAMPLE_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(asked: u64, answered: u64) -> Window {
        Window { asked: Duration::from_millis(asked), answered: Duration::from_millis(answered) }
    }

    #[test]
    fn a_clean_failover_is_not_accused() {
        let mut witness = Witness::default();
        for at in 0..10 {
            assert_eq!(witness.record(MemberId::A, window(at, at + 1), Page::SUCCESS), None);
            assert_eq!(witness.record(MemberId::B, window(at, at + 1), Page::FAILED), None);
        }
        assert_eq!(witness.record(MemberId::A, window(20, 21), Page::FAILED), None);
        for at in 22..30 {
            assert_eq!(witness.record(MemberId::B, window(at, at + 1), Page::SUCCESS), None);
            assert_eq!(witness.record(MemberId::A, window(at, at + 1), Page::Silent), None);
        }
        assert_eq!(witness.record(MemberId::B, window(30, 31), Page::FAILED), None);
        assert_eq!(witness.record(MemberId::A, window(32, 33), Page::SUCCESS), None, "a new run begins");
        assert_eq!(witness.samples(), 39);
    }

    #[test]
    fn overlapping_answers_are_accused_once() {
        let mut witness = Witness::default();
        assert_eq!(witness.record(MemberId::A, window(0, 9), Page::SUCCESS), None);
        let overlap = [(MemberId::A, window(0, 9)), (MemberId::C, window(8, 12))];
        assert_eq!(witness.record(MemberId::C, window(8, 12), Page::SUCCESS), Some(overlap));
        assert_eq!(witness.record(MemberId::A, window(10, 13), Page::SUCCESS), None);
    }

    #[test]
    fn an_excused_member_is_measured_and_not_accused() {
        let mut witness = Witness::default();
        assert_eq!(witness.record(MemberId::B, window(0, 1), Page::SUCCESS), None);
        witness.excuse(MemberId::A);
        assert_eq!(witness.record(MemberId::A, window(2, 3), Page::SUCCESS), None);
        assert_eq!(witness.record(MemberId::B, window(4, 5), Page::SUCCESS), None);
        assert_eq!(witness.record(MemberId::A, window(6, 9), Page::SUCCESS), None);
        assert_eq!(witness.record(MemberId::A, window(10, 11), Page::FAILED), None);
        assert_eq!(witness.excuse_ends(), Duration::from_millis(7));
        assert_eq!(witness.record(MemberId::B, window(12, 13), Page::SUCCESS), None);
        assert!(witness.record(MemberId::A, window(13, 14), Page::SUCCESS).is_some());
    }

    #[test]
    fn between_two_answers_the_member_counts_as_serving() {
        let mut witness = Witness::default();
        assert_eq!(witness.record(MemberId::A, window(0, 1), Page::SUCCESS), None);
        assert_eq!(witness.record(MemberId::B, window(5, 6), Page::SUCCESS), None);
        let overlap = [(MemberId::B, window(5, 6)), (MemberId::A, window(0, 11))];
        assert_eq!(witness.record(MemberId::A, window(10, 11), Page::SUCCESS), Some(overlap));
    }
}
