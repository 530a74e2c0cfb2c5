//! What the log is made of: entries, and the hard state that is persisted beside them (thesis 3.4, figure 3.1).

use std::collections::{BTreeMap, BTreeSet};
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
    /// Learners that become voters by themselves once they have caught up, each with the voter whose place it takes, if any.
    pub promotions: BTreeMap<NodeId, Option<NodeId>>,
    /// Where members are reached, as far as a change has said so. The initial members know each other from their settings.
    pub addresses: BTreeMap<NodeId, String>,
    /// The highest id that was given by a change; see [`Membership::id_last`].
    pub id_given: u64,
}

/// What a node must remember besides its log: a vote forgotten is a term with two leaders (thesis 3.4).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct HardState {
    /// The highest term seen.
    pub term: Term,
    /// Whom this node voted for in that term.
    pub vote: Option<NodeId>,
}

impl Entry {
    /// The first entry of every initial member's log: id 0:1, timestamp 0. Term 0 belongs to nobody, so the same bytes
    /// stand in all logs before anybody was elected; the first leader's no-op commits it.
    pub fn bootstrap(membership: Membership) -> Entry {
        Entry { id: EntryId::new(0, 1), timestamp_ms: 0, payload: Payload::Membership(Arc::new(membership)) }
    }
}

impl Membership {
    /// A membership of these voters, with no change under way.
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Membership {
        Membership { voters: voters.into_iter().collect(), ..Membership::default() }
    }

    /// Whether the node counts in quorums, in either set while a change is under way.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.voters_outgoing.contains(&node)
    }

    /// All members, voters of both sets and learners, in order of their ids.
    pub fn members(&self) -> BTreeSet<NodeId> {
        self.voters.iter().chain(&self.voters_outgoing).chain(&self.learners).copied().collect()
    }
}
