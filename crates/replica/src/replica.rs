//! One member without its I/O.

use quorate_core::raft::Raft;

use crate::config::ReplicaConfig;
use crate::effect::Effect;
use crate::input::{Input, Now};
use crate::status::ReplicaStatus;

/// One member of the cluster without its I/O. A turn is `begin_turn`, any number of `step`s, and one `drain`.
pub struct Replica {
    config: ReplicaConfig,
    raft: Raft,
}

impl Replica {
    /// A member with the protocol as its disk left it. Nothing is applied yet: the applier starts empty.
    ///
    /// # Panics
    /// If the settings make no sense ([`ReplicaConfig::validate`]).
    pub fn new(config: ReplicaConfig, raft: Raft) -> Replica {
        Replica { config, raft }
    }

    /// Starts a turn: the clocks, read once for all its inputs.
    pub fn begin_turn(&mut self, _now: Now) {
        unimplemented!("being written")
    }

    /// Takes one input. `StatusRequest` and `StatusReply` are the switchboard's own and never come here.
    pub fn step(&mut self, _input: Input) {
        unimplemented!("being written")
    }

    /// Ends a turn: all that the world must do, in order.
    pub fn drain(&mut self) -> Vec<Effect> {
        unimplemented!("being written")
    }

    /// After how many ticks at most the next turn is due even if nothing happens: at least 1.
    pub fn next_deadline_ticks(&self) -> u64 {
        self.raft.next_deadline_ticks()
    }

    /// The protocol, to look at.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// This replica as it sees itself.
    pub fn status(&self) -> ReplicaStatus {
        let _ = &self.config;
        unimplemented!("being written")
    }
}
