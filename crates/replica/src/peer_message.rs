//! What travels between nodes: Raft's own messages, and proposals and reads on their way to the leader.

use bytes::Bytes;
use quorate_core::message::Envelope;
use quorate_core::snapshot::SnapshotName;
use quorate_core::types::{EntryId, Index, NodeId};

use crate::cluster::{ClusterDone, ClusterError, ClusterRequest};
use crate::divergence::StateMark;
use crate::effect::Answered;
use crate::input::Ticket;

/// One message between two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerMessage {
    /// The protocol's own.
    Raft(Envelope),
    /// Any node to the leader: append these for me. Each carries a request id, so that sending it twice is harmless.
    Forward {
        /// The sender's ticket, the encoded command envelope, whether the steps are wanted.
        proposals: Vec<(Ticket, Bytes, bool)>,
    },
    /// The leader to the node that forwarded.
    ForwardReply {
        /// The ticket of each forwarded proposal with its answer.
        answers: Vec<(Ticket, ForwardAnswer)>,
    },
    /// Any node to the leader: which index must a linearizable read have applied?
    ForwardRead {
        /// The sender's tickets: one question may stand for many reads.
        ticket: Ticket,
    },
    /// The leader to the node that asked.
    ForwardReadReply {
        /// The ticket of the question.
        ticket: Ticket,
        /// The index, or nothing when the node does not lead (any more).
        index: Option<Index>,
    },
    /// Any node to any other: how are you? Answered by the switchboard with its status, opaque to the replica.
    StatusRequest {
        /// Names the question.
        ticket: Ticket,
    },
    /// The answer.
    StatusReply {
        /// The question.
        ticket: Ticket,
        /// The encoded status.
        status: Bytes,
    },
    /// Any node to one that has a snapshot: send me a piece of it.
    SnapshotAsk {
        /// The last entry that it covers.
        last: EntryId,
        /// Which piece.
        piece: u64,
    },
    /// The answer.
    SnapshotPiece {
        /// The snapshot.
        name: SnapshotName,
        /// Which piece.
        piece: u64,
        /// Its bytes, with their checksum.
        bytes: Bytes,
    },
    /// The answer of a node that does not have that snapshot any more.
    SnapshotGone {
        /// The last entry that it covers.
        last: EntryId,
    },
    /// Any node to the leader: I fetch this snapshot from another node, keep the log behind it for me.
    SnapshotFetching {
        /// The last entry that it covers.
        last: EntryId,
    },
    /// Any node to all others: this is what I had done at these indices. To be compared (`divergence`).
    StateMarks {
        /// In the order of their indices.
        marks: Vec<StateMark>,
    },
    /// A node to a peer that it has just reached: this is where all members are. For the switchboard.
    Introduction {
        /// The members with their addresses.
        members: Vec<(NodeId, String)>,
    },
    /// Any node to the leader: an operator asks this of the cluster. Sent once: it may be lost.
    ClusterRequest {
        /// The sender's name for it.
        ticket: Ticket,
        /// What is asked.
        request: ClusterRequest,
    },
    /// The leader to the node that asked.
    ClusterReply {
        /// The sender's name for it.
        ticket: Ticket,
        /// What came of it.
        result: Result<ClusterDone, ClusterError>,
    },
}

impl PeerMessage {
    /// Whether this is a part of a snapshot's way between nodes: it goes on a connection of its own, so that it never stands in front of a
    /// heartbeat.
    pub fn is_bulk(&self) -> bool {
        matches!(
            self,
            PeerMessage::SnapshotAsk { .. }
                | PeerMessage::SnapshotPiece { .. }
                | PeerMessage::SnapshotGone { .. }
        )
    }
}

/// What became of a forwarded proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardAnswer {
    /// It was answered by the state machine or the session table.
    Answered(Answered),
    /// The node does not lead: nothing happened, ask the other one.
    NotLeader {
        /// Who leads, if known.
        leader: Option<NodeId>,
    },
    /// The leader is overloaded: nothing happened.
    Overloaded,
    /// Leadership was lost after the append: the outcome is unknown; ask the next leader with the same request id.
    LeadershipLost,
}

impl ForwardAnswer {
    /// About how many bytes it takes in a message.
    pub(crate) fn bytes_len(&self) -> usize {
        match self {
            ForwardAnswer::Answered(Answered { outcome, trace }) => {
                let reply = outcome.as_ref().map_or(0, Bytes::len);
                ANSWER_BYTES + reply + trace.as_ref().map_or(0, |steps| steps.len() * STEP_BYTES)
            }
            ForwardAnswer::NotLeader { .. } | ForwardAnswer::Overloaded | ForwardAnswer::LeadershipLost => {
                ANSWER_BYTES
            }
        }
    }
}

const ANSWER_BYTES: usize = 24;
const STEP_BYTES: usize = 33;
