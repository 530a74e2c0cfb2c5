//! What the log is made of: entries, and the hard state that is persisted beside them (thesis 3.4, figure 3.1).

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::types::{EntryId, NodeId, Term};

/// One slot of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Term and index.
    pub id: EntryId,
    /// The leader's wall clock in milliseconds since 1970, never lower than that of the entry before.
    /// The only clock that `apply` sees.
    pub timestamp_ms: u64,
    /// What the entry holds.
    pub payload: Payload,
}

/// What an entry holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    /// The first entry of each leader: commits what earlier terms left (thesis 3.6.2) and opens reads (6.4).
    Noop,
    /// A command for the state machine. The bytes are one shared buffer from the socket to the log, the peers and apply.
    Command(Bytes),
    /// The members from here on (thesis 4.1).
    Membership(Arc<Membership>),
}

/// Who decides. Two voter sets while a change is under way (joint consensus, thesis 4.3): then both must agree.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Membership {
    /// The voters of the configuration that is entered, or simply in force.
    pub voters: BTreeSet<NodeId>,
    /// The voters of the configuration that is left; empty when no change is under way.
    pub voters_outgoing: BTreeSet<NodeId>,
    /// Nodes that receive the log but never count. Invariant: disjoint from both voter sets.
    pub learners: BTreeSet<NodeId>,
}

/// What a node must remember besides its log: a vote forgotten is a term with two leaders (thesis 3.4).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct HardState {
    /// The highest term seen.
    pub term: Term,
    /// Whom this node voted for in that term.
    pub vote: Option<NodeId>,
}
