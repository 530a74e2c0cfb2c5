//! Gives committed commands to the state machine: in order, each exactly once, alike on every node.

use std::io;

use quorate_core::types::EntryId;

use crate::effect::{Answered, ApplyBatch, Outcome};
use crate::explain::Trace;
use crate::input::{Input, Ticket};
use crate::session::SessionLimits;
use crate::state_machine::StateMachine;

/// The state machine with what makes it exactly-once. Lives on a thread of its own.
pub struct Applier<S: StateMachine> {
    machine: S,
    limits: SessionLimits,
}

/// What came of a batch.
#[derive(Debug)]
pub struct Applied {
    /// Answers for local callers.
    pub answers: Vec<LocalAnswer>,
    /// Goes to the replica as it is.
    pub report: Input,
}

/// An answer for a local caller.
#[derive(Debug)]
pub struct LocalAnswer {
    /// Who.
    pub ticket: Ticket,
    /// What was said.
    pub outcome: Outcome,
    /// The steps so far, if they were asked for.
    pub trace: Option<Box<Trace>>,
}

impl LocalAnswer {
    /// The answer with its last step; `now_us` is the node's monotonic clock in microseconds.
    pub fn finish(self, now_us: u64) -> Answered {
        Answered { outcome: self.outcome, trace: self.trace.map(|trace| trace.finish(now_us)) }
    }
}

impl<S: StateMachine> Applier<S> {
    /// An applier before the first entry.
    pub fn new(machine: S, limits: SessionLimits) -> Applier<S> {
        Applier { machine, limits }
    }

    /// Applies a batch. Panics of the state machine pass through: then the node stops.
    pub fn apply(&mut self, _batch: ApplyBatch) -> Applied {
        unimplemented!("being written")
    }

    /// The state, for reads.
    pub fn state(&self) -> &S {
        &self.machine
    }

    /// The last entry that was applied.
    pub fn applied(&self) -> EntryId {
        unimplemented!("being written")
    }

    /// A running hash of what apply did: equal at equal applied entries, or a replica has diverged.
    pub fn state_hash(&self) -> u64 {
        unimplemented!("being written")
    }

    /// Writes the state, the sessions and the applied entry.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write(&self, _out: &mut dyn io::Write) -> io::Result<()> {
        unimplemented!("being written")
    }

    /// Reads what [`write`](Self::write) wrote; `machine` is restored from it.
    ///
    /// # Errors
    /// When the source cannot be read or does not hold a state.
    pub fn read(machine: S, limits: SessionLimits, _source: &mut dyn io::Read) -> io::Result<Applier<S>> {
        Ok(Applier { machine, limits })
    }
}
