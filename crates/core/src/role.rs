//! The four roles (thesis figure 3.3 and 9.6), each with the state that only it has, so that what a follower lacks cannot
//! be read.

use std::collections::BTreeMap;

use crate::changes::Changing;
use crate::lease::Lease;
use crate::log_time::Clocks;
use crate::progress::Progress;
use crate::read_index::Reads;
use crate::status::Role;
use crate::transfer::Transfer;
use crate::types::{Index, NodeId, WriteNumber};
use crate::watch::Watch;

/// A role with its state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RoleState {
    /// Takes entries from a leader, or waits for one.
    Follower(Follower),
    /// Asks whether it could win an election.
    PreCandidate(PreCandidate),
    /// Stands for election.
    Candidate(Candidate),
    /// Orders the log.
    Leader(Box<Leader>),
}

/// State of a follower.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Follower {
    /// The leader of the current term, once it was heard.
    pub(crate) leader: Option<NodeId>,
    /// For how many ticks the leader was not heard. Without a leader it means nothing.
    pub(crate) silent_ticks: u64,
}

/// State of a pre-candidate.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct PreCandidate {
    /// Who said what, itself included.
    pub(crate) answers: BTreeMap<NodeId, bool>,
}

/// State of a candidate.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Candidate {
    /// Who said what. Its own vote counts only once it is durable: a node that votes for itself, crashes and then votes for
    /// another would give the term two leaders.
    pub(crate) votes: BTreeMap<NodeId, bool>,
    /// The write that carries its own vote, once it was handed out.
    pub(crate) own_vote_write: Option<WriteNumber>,
    /// What the others' wall clocks showed when they answered. Nobody who showed nothing.
    pub(crate) clocks: BTreeMap<NodeId, u64>,
}

/// State of a leader.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Leader {
    /// What it knows of each other member. Invariant: never of itself.
    pub(crate) peers: BTreeMap<NodeId, Progress>,
    /// Ticks since the last heartbeat to all.
    pub(crate) heartbeat_elapsed_ticks: u64,
    /// For how many ticks the own disk has answered none of the writes and reads that are under way.
    pub(crate) disk_silent_ticks: u64,
    /// The newest heartbeat round. Rises within the term and starts at 0.
    pub(crate) round: u64,
    /// Reads that wait.
    pub(crate) reads: Reads,
    /// The no-op that opened the term. Once it is committed, the commit index is the newest of all (thesis 6.4).
    pub(crate) term_first: Index,
    /// The transfer of the leadership that is under way.
    pub(crate) transfer: Option<Transfer>,
    /// What it knows of changes of the membership.
    pub(crate) changing: Changing,
    /// What it watches of itself.
    pub(crate) watch: Watch,
    /// What it knows of wall clocks.
    pub(crate) clocks: Clocks,
    /// What it knows of its rounds, for its lease.
    pub(crate) lease: Lease,
}

impl RoleState {
    /// The role's name.
    pub(crate) fn name(&self) -> Role {
        match self {
            RoleState::Follower(_) => Role::Follower,
            RoleState::PreCandidate(_) => Role::PreCandidate,
            RoleState::Candidate(_) => Role::Candidate,
            RoleState::Leader(_) => Role::Leader,
        }
    }
}
