//! The one door of the protocol: `step` takes an input, `ready` gives what the world must do.

use crate::config::Config;
use crate::entry::Entry;
use crate::ready::{Input, Ready};
use crate::status::{Role, Status};
use crate::stored::Stored;
use crate::types::{EntryId, Index, NodeId, Term};

/// The protocol of one node.
#[derive(Clone)]
pub struct Raft {
    config: Config,
    stored: Stored,
}

impl Raft {
    /// A follower with what its disk holds.
    pub fn new(config: Config, stored: Stored) -> Raft {
        Raft { config, stored }
    }

    /// Takes one input.
    pub fn step(&mut self, _input: Input) {
        unimplemented!()
    }

    /// What the world must do after the inputs of this turn.
    pub fn ready(&mut self) -> Ready {
        unimplemented!()
    }

    /// This node as it sees itself.
    pub fn status(&self) -> Status {
        unimplemented!()
    }

    /// After how many ticks the next timer fires: at least 1.
    pub fn next_deadline_ticks(&self) -> u64 {
        unimplemented!()
    }

    /// Entries from `from` up to `through`, at most `bytes_max` bytes but at least one entry. `None` when `from` lies
    /// before the window in memory: then they are read from the log.
    pub fn entries(&self, _from: Index, _through: Index, _bytes_max: usize) -> Option<Vec<Entry>> {
        unimplemented!()
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.config.node
    }

    /// Who leads the current term, as far as this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        unimplemented!()
    }

    /// The role of this node.
    pub fn role(&self) -> Role {
        unimplemented!()
    }

    /// The current term.
    pub fn term(&self) -> Term {
        self.stored.hard_state.term
    }

    /// All up to here is committed.
    pub fn commit_index(&self) -> Index {
        unimplemented!()
    }

    /// The last entry of the log.
    pub fn last(&self) -> EntryId {
        self.stored.last
    }
}
