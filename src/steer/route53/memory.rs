//! What a record that bears no ownership record showed in the present epoch: one look cannot tell a record that is still to
//! be taken from one that was taken away. PURE.

use crate::role::Epoch;

/// The epoch, and whether the record led here in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory(Option<InEpoch>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InEpoch {
    epoch: Epoch,
    /// The read with which the epoch began. It may be older than the promotion, so it proves nothing.
    first_read: u64,
    led_here: bool,
}

// === impl Memory ===

impl Memory {
    /// Takes note of what a read in `epoch` showed. `read` numbers the reads.
    pub(super) fn note(&mut self, epoch: Epoch, leads_here: bool, read: u64) {
        let begun = InEpoch { epoch, first_read: read, led_here: false };
        let mut current = self.0.filter(|current| current.epoch == epoch).unwrap_or(begun);
        current.led_here |= leads_here && read > current.first_read;
        self.0 = Some(current);
    }

    /// Whether the record led here in `epoch`.
    pub(super) fn led_here(&self, epoch: Epoch) -> bool {
        self.0.is_some_and(|current| current.epoch == epoch && current.led_here)
    }

    /// Forgets what `epoch` showed so far: the record is to be taken as if for the first time.
    pub(super) fn forget(&mut self, epoch: Epoch) {
        self.0 = self.0.filter(|current| current.epoch != epoch);
    }
}
