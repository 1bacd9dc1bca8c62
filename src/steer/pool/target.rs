//! A pool as a steering target: the shell that all load balancers share around their own APIs.

use std::fmt;

use super::{Memory, Move, View};
use crate::clock::Timestamp;
use crate::role::Epoch;
use crate::steer::{Authorized, CallError, Intent, Plan, Step, Target};

/// One load balancer's API: how to read a pool and how to change it.
pub(crate) trait Balancer: Send {
    /// What identifies a member.
    type Key: Clone + fmt::Debug + fmt::Display + PartialEq + Send + Sync;
    /// What the service shows of the pool.
    type Observed: Clone + fmt::Debug + PartialEq + Send + Sync;
    /// One call that changes it.
    type Call: Step;

    /// Reads the pool: see [`Target::observe`].
    fn observe(&mut self) -> impl Future<Output = Result<Self::Observed, CallError>> + Send;

    /// The part of the pool that belongs to this mirror. PURE.
    fn view(&self, observed: &Self::Observed) -> View<Self::Key>;

    /// The calls from what was `observed` to `intent`. PURE.
    fn plan(
        &self,
        memory: &Memory<Self::Key>,
        intent: &Intent,
        observed: &Self::Observed,
        now: Timestamp,
    ) -> Plan<Self::Call>;

    /// What `observed` becomes once this member is registered and healthy. PURE.
    fn once_healthy(observed: &Self::Observed) -> Self::Observed;

    /// Makes a call in one attempt: the loop authorizes each attempt.
    fn send(&mut self, call: &Self::Call) -> impl Future<Output = Result<(), CallError>> + Send;

    /// What `call` changes once it is accepted. PURE.
    fn change(call: &Self::Call) -> Move<Self::Key>;
}

/// The pool of a load balancer.
#[derive(Debug)]
pub(crate) struct PoolTarget<B: Balancer> {
    balancer: B,
    reads: u64,
    memory: Memory<B::Key>,
}

// === impl PoolTarget ===

impl<B: Balancer> PoolTarget<B> {
    /// The pool that `balancer` reads and changes.
    pub(crate) fn new(balancer: B) -> Self {
        Self { balancer, reads: 0, memory: Memory::default() }
    }
}

impl<B: Balancer> Target for PoolTarget<B> {
    type Observed = B::Observed;
    type Step = B::Call;

    async fn observe(&mut self) -> Result<B::Observed, CallError> {
        let observed = self.balancer.observe().await?;
        self.reads += 1;
        Ok(observed)
    }

    fn note(&mut self, intent: &Intent, observed: &B::Observed, now: Timestamp) {
        self.memory.note(intent, &self.balancer.view(observed), self.reads, now);
    }

    fn reset_memory(&mut self, epoch: Epoch) {
        self.memory.forget(epoch);
    }

    fn plan(&self, intent: &Intent, observed: &B::Observed, now: Timestamp) -> Plan<B::Call> {
        self.balancer.plan(&self.memory, intent, observed, now)
    }

    fn once_healthy(&self, observed: &B::Observed) -> Option<B::Observed> {
        Some(B::once_healthy(observed))
    }

    async fn apply(&mut self, step: Authorized<'_, B::Call>) -> Result<(), CallError> {
        self.balancer.send(&step).await?;
        match B::change(&step) {
            Move::Add(me) => self.memory.added(&me),
            Move::Remove(others) => others.iter().for_each(|other| self.memory.removed(other)),
        }
        Ok(())
    }
}
