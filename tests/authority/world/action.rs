//! What can happen in the world, and how often in one story.

/// How often each kind of trouble may come in one story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Moves in all, time included.
    pub(super) moves: u8,
    /// Promotions.
    pub(super) promotions: u8,
    /// Faults of machines: restarts, lost state, snapshots, isolation, hangs.
    pub(super) faults: u8,
    /// Connections that are cut.
    pub(super) cuts: u8,
    /// Forged answers and records, names that are mixed up, and promotions by mistake.
    pub(super) mischief: u8,
    /// Decisions of the operator.
    pub(super) takes: u8,
}

/// What the members can ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Setup {
    /// Each other.
    Peers,
    /// No member: `peers = "none"`.
    Alone,
    /// Each other, though one has a status page and nothing else.
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// So many milliseconds pass: a second, or long enough for every answer to be stale.
    Time(u64),
    /// The daemon asks its instance.
    Observe(usize),
    /// The daemon asks its peers.
    Poll(usize),
    /// A loop reads the object and the pool, consults the arbiter, and if it may takes the object, and either adds itself to
    /// the pool or, in a later move, removes the others. Read and write are one move: two removals that cross on the wire
    /// can empty a pool for a moment, which no rule prevents where a load balancer has no compare-and-swap.
    Act(usize),
    /// The operator decides that its promotion is the latest, which is true.
    Take(usize),
    /// The mirror makes it the primary.
    Promote(usize),
    /// It hands the role over in order.
    StepDown(usize),
    /// It is cut off from the mirror, and goes on saying that it is the primary.
    Isolate(usize),
    /// Its instance answers nothing.
    Hang(usize),
    /// It is connected to the mirror again.
    Rejoin(usize),
    /// An administrator makes it the primary while another is.
    Force(usize),
    Cut(usize, usize),
    Heal(usize, usize),
    CutCloud(usize),
    HealCloud(usize),
    Stop(usize),
    Start(usize),
    /// Its state directory is lost while the daemon is down.
    Lose(usize),
    Snapshot(usize),
    /// Its machine is reverted to the snapshot.
    Revert(usize),
    /// It gets a forged answer that says that the other is the primary of a later promotion.
    Forge(usize, usize),
    /// It gets a forged answer of the other with a term that no member can accept.
    Exaggerate(usize, usize),
    /// Another tool writes such a term into the record, in the name of this member.
    ForgeRecord(usize),
    /// The answers of the second to the first are in the name of another, until that is corrected.
    Confuse(usize, usize),
    Clarify(usize, usize),
    /// Its configuration is read again.
    Reload(usize),
}

impl Default for Budget {
    fn default() -> Self {
        Self { moves: 12, promotions: 2, faults: 2, cuts: 2, mischief: 1, takes: 1 }
    }
}

impl Budget {
    pub(crate) fn generous() -> Self {
        Self { moves: 80, promotions: 6, faults: 5, cuts: 5, mischief: 3, takes: 2 }
    }
}
