//! Everything a member can ask for. Data goes down as effects and comes up as inputs; nobody calls back.

use std::sync::Arc;

use bytes::Bytes;
use quorate_core::entry::{Entry, Membership};
use quorate_core::ready::{Fact, Write};
use quorate_core::types::{EntryId, Index, NodeId, Term};

use crate::cluster::{ClusterDone, ClusterError};
use crate::error::{ProposeError, ReadError};
use crate::explain::Trace;
use crate::input::Ticket;
use crate::peer_message::PeerMessage;

/// What the state machine (or the replicated session table) said to a proposal: the encoded reply, or why there is none.
pub type Outcome = Result<Bytes, ProposeError>;

/// Everything a member can ask for. The switchboard carries effects out in order.
#[derive(Debug)]
pub enum Effect {
    /// Send now. May be lost.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: PeerMessage,
    },
    /// Write, sync, then release the barrier's messages and send them, then feed `Input::Persisted`.
    Persist(Write),
    /// Apply these entries in order, then feed `Input::Applied`. Replies to local tickets go straight to the callers.
    Apply(ApplyBatch),
    /// Run this local read now: everything that it must see is applied by the batches before it.
    Read {
        /// Who reads.
        ticket: Ticket,
        /// The index that it is ordered at (its read index).
        index: Index,
    },
    /// Read entries back from the log, off the hot path, then feed `Input::Fetched`.
    Fetch {
        /// Why, to be given back.
        purpose: FetchPurpose,
        /// The first index.
        from: Index,
        /// The last index at most.
        through: Index,
        /// How many bytes at most; at least one entry.
        bytes_max: usize,
    },
    /// Take a snapshot behind all batches that were handed over before: detached from the state, written while more is applied, made
    /// durable. Then feed `Input::SnapshotTaken` or `Input::SnapshotFailed`.
    TakeSnapshot {
        /// The term that the snapshot is taken in.
        term: Term,
    },
    /// Let the log go of all up to here, in whole segments, and of all snapshots but the newest and these. Then feed `Input::Compacted`.
    Compact {
        /// The last index that may go.
        through: Index,
        /// Snapshots that peers fetch.
        keep: Vec<EntryId>,
    },
    /// Replace the state by that of the snapshot that ends with this entry, behind all batches that were handed over before. Then feed
    /// `Input::Applied`, as the applier reports it.
    Restore {
        /// The last entry that it covers.
        last: EntryId,
    },
    /// Read a piece of a snapshot for a peer, off the hot path, then feed `Input::PieceRead`.
    ReadPiece {
        /// The peer.
        to: NodeId,
        /// The last entry that the snapshot covers.
        last: EntryId,
        /// Which piece.
        piece: u64,
    },
    /// Store a piece of the snapshot that this node fetches; the first one begins it. Then feed `Input::PieceStored` or `Input::PieceRefused`.
    StorePiece {
        /// Which piece.
        piece: u64,
        /// Its bytes.
        bytes: Bytes,
    },
    /// What was stored of a fetched snapshot is not wanted: remove it.
    DiscardSnapshot,
    /// A local proposal ended without the state machine.
    RefuseProposal {
        /// Whose.
        ticket: Ticket,
        /// Why.
        error: ProposeError,
    },
    /// A local proposal of a peer's leader was answered: the forwarded reply has arrived.
    Answer {
        /// Whose.
        ticket: Ticket,
        /// What was said, and each step if asked for.
        answered: Answered,
    },
    /// A local read ended without being served.
    RefuseRead {
        /// Whose.
        ticket: Ticket,
        /// Why.
        error: ReadError,
    },
    /// This node's state machine did something else than that of other nodes. If a quorum agrees on something else, the node
    /// must stop at once and say so; else it is an alarm.
    Diverged {
        /// At which index it was noticed.
        index: Index,
        /// Who differs from this node.
        from: Vec<NodeId>,
        /// Whether the node must stop.
        outvoted: bool,
    },
    /// What a local caller asked of the cluster was done, or will not be.
    AnswerCluster {
        /// Whose.
        ticket: Ticket,
        /// What came of it.
        result: Result<ClusterDone, ClusterError>,
    },
    /// The members are others from here on, committed or not: talk to these.
    Members {
        /// Who.
        members: Arc<Membership>,
    },
    /// Something worth a line in the log; carries no duty.
    Fact(Fact),
}

/// Committed entries and who waits for which of them.
#[derive(Debug)]
pub struct ApplyBatch {
    /// Consecutive entries.
    pub entries: Vec<Entry>,
    /// Who waits: the entry's index, the ticket, whether the reply comes back in `Input::Applied`, and the steps so far if
    /// they were asked for. Sorted by index, at most one for each index.
    pub waiting: Vec<Waiting>,
}

/// One who waits for an entry to be applied.
#[derive(Debug)]
pub struct Waiting {
    /// The index that is waited for.
    pub index: Index,
    /// Who waits.
    pub ticket: Ticket,
    /// Whether the answer belongs to the replica (for a peer, or for the node's own session) and not to a local caller.
    pub forwarded: bool,
    /// The steps so far, if the caller asked for them. Those of a peer's proposal stay at the replica.
    pub trace: Option<Box<Trace>>,
}

/// Why entries are read back.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FetchPurpose {
    /// For a peer behind the window in memory.
    Peer(NodeId),
    /// For a peer that has lost them.
    Repair(NodeId),
    /// For this node's own applier after a restart.
    Apply,
}

/// The answer to a proposal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// What was said.
    pub outcome: Outcome,
    /// The steps on the way, if they were asked for.
    pub trace: Option<Vec<Step>>,
}

/// One step of a proposal, for `quorate propose --explain`. Times are microseconds on the clock of the node that names itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Where it happened.
    pub node: NodeId,
    /// When, in microseconds since that node got the proposal.
    pub at_us: u64,
    /// What happened.
    pub what: StepKind,
}

/// What happened to a proposal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StepKind {
    /// A node took it from a client.
    Accepted,
    /// It was carried to the leader.
    Forwarded {
        /// The leader.
        leader: NodeId,
    },
    /// The leader gave it a place in the log.
    Appended {
        /// The entry.
        entry: quorate_core::types::EntryId,
    },
    /// A node has it on its disk.
    Acknowledged {
        /// Which one.
        by: NodeId,
    },
    /// A quorum has it.
    Committed,
    /// The state machine has answered.
    Applied,
}
