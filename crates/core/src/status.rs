//! What a node can tell about itself: plain data for the dashboard, the CLI and the golden scripts, and its one-line form.

use std::fmt;

use crate::message::Standing;
use crate::progress::{Progress, Sending};
use crate::quorum;
use crate::raft::Raft;
use crate::role::RoleState;
use crate::types::{EntryId, Index, NodeId, Term};

/// The role of a node (thesis figure 3.3, and 9.6 for the pre-candidate).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Role {
    /// Takes entries from a leader, or waits for one. Every node starts as one.
    #[default]
    Follower,
    /// Asks whether it could win an election before it disturbs anybody with a new term.
    PreCandidate,
    /// Stands for election.
    Candidate,
    /// Orders the log.
    Leader,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Follower => "follower",
            Role::PreCandidate => "pre-candidate",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
        })
    }
}

/// A node as seen by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Who tells this.
    pub node: NodeId,
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
    /// Who leads that term, as far as it knows.
    pub leader: Option<NodeId>,
    /// The last entry of its log.
    pub last: EntryId,
    /// All up to here is committed.
    pub commit: Index,
    /// All up to here is on its disk.
    pub persisted: Index,
    /// All up to here was applied.
    pub applied: Index,
    /// The entry before the first one in its log: all up to it is compacted.
    pub base: EntryId,
    /// The last entry that its newest snapshot covers, or [`EntryId::ZERO`].
    pub snapshot: EntryId,
    /// Its disk is full: it takes no entries until there is room.
    pub paused: bool,
    /// How many bytes of recent entries it holds in memory.
    pub window_bytes: usize,
    /// How fit it is to lead.
    pub standing: Standing,
    /// How many entries of its log are damaged and not yet repaired. It does not stand for election before all are.
    pub damaged_len: u64,
    /// Whether the state from which its log goes on is lost: it applies nothing before a peer has given it a snapshot.
    pub state_lost: bool,
    /// What it knows of each peer, in order of their ids. Empty unless it leads.
    pub peers: Vec<PeerStatus>,
    /// For how many microseconds more it answers reads by its lease, as of its last turn; `None` without one.
    pub lease_left_us: Option<u64>,
}

/// What a leader knows of a peer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PeerStatus {
    /// The peer.
    pub node: NodeId,
    /// Whether it counts in quorums.
    pub voter: bool,
    /// All up to here is on the peer's disk and equal to the leader's log.
    pub matched: Index,
    /// The next entry to send.
    pub next: Index,
    /// How entries are sent to it.
    pub state: PeerState,
    /// How many append messages are unanswered.
    pub inflight: usize,
    /// Whether it answered within the election timeout.
    pub recently_active: bool,
    /// By how many milliseconds its wall clock was ahead of the leader's when it last answered; none before it has shown it. Too low by
    /// up to the time that the answer took.
    pub clock_skew_ms: Option<i64>,
    /// What its binary understands, as it last said; 0 before it has.
    pub features: u16,
}

/// How entries are sent to a peer.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PeerState {
    /// One message at a time, until it is known where the logs agree.
    Probe,
    /// A stream of messages, bounded by the in-flight window.
    Replicate,
    /// It lacks what is compacted here: it was offered the snapshot.
    Snapshot,
}

impl fmt::Display for Status {
    /// One line, the same in golden scripts, simulator traces and `quorate status`:
    /// `n3 t2 follower  last 2:3 commit 3  of n2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:<9} last {} commit {}", self.node, self.term, self.role, self.last, self.commit)?;
        if let Some(leader) = self.leader.filter(|leader| *leader != self.node) {
            write!(f, "  of {leader}")?;
        }
        if self.damaged_len > 0 {
            write!(f, "  damaged {}", self.damaged_len)?;
        }
        if self.state_lost {
            write!(f, "  state lost")?;
        }
        if self.paused { write!(f, "  disk full") } else { Ok(()) }
    }
}

impl Raft {
    /// This node as it sees itself.
    pub fn status(&self) -> Status {
        Status {
            node: self.config.node,
            role: self.role.name(),
            term: self.hard_state.term,
            vote: self.hard_state.vote,
            leader: self.leader(),
            last: self.log.last(),
            commit: self.commit,
            persisted: self.log.persisted(),
            applied: self.applied,
            base: self.log.base(),
            snapshot: self.snapshot,
            paused: self.is_paused(),
            window_bytes: self.log.window_bytes(),
            standing: self.standing(),
            damaged_len: self.log.damage().len() as u64,
            state_lost: self.log.damage().is_state_lost(),
            peers: self.peer_statuses(),
            lease_left_us: self.lease_left_us(),
        }
    }

    /// For how many ticks this node has heard nothing: a follower from its leader, a leader from a quorum. `None` where nobody is known
    /// to lead.
    pub fn contact_ticks(&self) -> Option<u64> {
        match &self.role {
            RoleState::Follower(follower) => follower.leader.map(|_| follower.silent_ticks),
            RoleState::PreCandidate(_) | RoleState::Candidate(_) => None,
            RoleState::Leader(leader) => {
                let membership = self.membership();
                let silent = |voter| {
                    if voter == self.config.node {
                        return Some(0);
                    }
                    leader.peers.get(&voter).map(|peer| peer.silent_ticks)
                };
                let heard_within = |ticks: u64| {
                    quorum::has_quorum(&membership, |voter| {
                        silent(voter).is_some_and(|silent| silent <= ticks)
                    })
                };
                let silences = leader.peers.values().map(|peer| peer.silent_ticks).chain([0]);
                silences.filter(|ticks| heard_within(*ticks)).min()
            }
        }
    }

    fn peer_statuses(&self) -> Vec<PeerStatus> {
        let RoleState::Leader(leader) = &self.role else { return Vec::new() };
        let membership = self.membership();
        let clocks = &leader.clocks;
        let status = |(node, progress): (&NodeId, &Progress)| PeerStatus {
            node: *node,
            voter: membership.is_voter(*node),
            matched: progress.matched(),
            next: progress.next(),
            state: match progress.sending {
                Sending::Probe { .. } => PeerState::Probe,
                Sending::Replicate { .. } => PeerState::Replicate,
                Sending::Snapshot { .. } => PeerState::Snapshot,
            },
            inflight: progress.inflight_len(),
            recently_active: progress.silent_ticks < self.config.election_timeout_ticks,
            clock_skew_ms: clocks.shown.get(node).and_then(|shown| shown.skew_ms),
            features: clocks.features.get(node).copied().unwrap_or(0),
        };
        leader.peers.iter().map(status).collect()
    }
}
