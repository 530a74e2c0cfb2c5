//! Everything that can happen to a member. The one way into a replica.

use bytes::Bytes;
use quorate_core::entry::Entry;
use quorate_core::snapshot::{SnapshotMeta, SnapshotName};
use quorate_core::types::{EntryId, Index, NodeId, WriteNumber};

use crate::cluster::ClusterRequest;
use crate::divergence::StateMark;
use crate::peer_message::PeerMessage;
use crate::request::CommandEnvelope;

/// Names somebody who waits for an answer at this node. Chosen by the switchboard, never reused while the node runs.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// The clocks at the start of a turn. Time is an input like any other.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// A clock that never jumps, in microseconds from any start.
    pub monotonic_us: u64,
    /// The wall clock in milliseconds since 1970.
    pub wall_ms: u64,
}

/// What was found where a piece of a snapshot should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// The piece.
    Here {
        /// The snapshot that it is of.
        name: SnapshotName,
        /// Which piece.
        piece: u64,
        /// Its bytes.
        bytes: Bytes,
    },
    /// There is no such snapshot, or no such piece of it.
    Gone,
    /// The disk no longer holds what was written.
    Damaged,
}

/// Everything that can happen to a member.
#[derive(Debug)]
pub enum Input {
    /// This many ticks have passed.
    Tick {
        /// How many.
        elapsed: u64,
    },
    /// A message from a peer.
    Received {
        /// The peer, as its handshake proved.
        from: NodeId,
        /// What it said.
        message: PeerMessage,
    },
    /// A local caller proposes a command. It is answered exactly once: through the applier, by `Effect::Answer` or by
    /// `Effect::RefuseProposal`.
    Propose {
        /// The caller.
        ticket: Ticket,
        /// The command. Without a request id the replica gives it one of the node's own session.
        command: CommandEnvelope,
        /// Whether the caller wants each step told (`Answered::trace`).
        explain: bool,
        /// How many ticks the caller waits, if that is less than the node's own patience. Only here it is known whether a proposal
        /// whose time is over has left.
        patience_ticks: Option<u64>,
    },
    /// A local caller wants a linearizable read. Answered by `Effect::Read` or `Effect::RefuseRead`, exactly once.
    Read {
        /// The caller.
        ticket: Ticket,
    },
    /// All writes up to this number are durable.
    Persisted(WriteNumber),
    /// The disk had no room for this write: neither it nor any later one that was handed out so far is carried out
    /// (`quorate_core::ready::Input::NoRoom`).
    NoRoom {
        /// The first write that is not carried out.
        from: WriteNumber,
    },
    /// A batch was applied. Made by the applier (`Applied::report`), handed on as it is.
    Applied {
        /// The last index of the batch.
        through: Index,
        /// Results for the waiting whose answer belongs to the replica: proposals of peers, openings of own sessions.
        forwarded: Vec<(Ticket, crate::effect::Outcome)>,
        /// Sessions that local proposals named and that are not open; empty but for rare cases.
        unknown_sessions: Vec<u128>,
        /// What the applier noted on the way, to be compared with the peers.
        marks: Vec<StateMark>,
        /// The feature level behind the batch.
        level: u16,
    },
    /// Entries were read back from the log, for the purpose that the effect named.
    Fetched {
        /// For whom they were read.
        purpose: crate::effect::FetchPurpose,
        /// Consecutive entries; none if the log let go of them meanwhile.
        entries: Vec<Entry>,
    },
    /// A snapshot of this node is durable. Also fed at the start for the one that was found.
    SnapshotTaken {
        /// Its name.
        name: SnapshotName,
    },
    /// The snapshot of this node could not be written for want of room, or the state machine could not write its state: nothing has changed.
    SnapshotFailed,
    /// The log was compacted.
    Compacted {
        /// The entry before the first one that it still holds.
        base: EntryId,
    },
    /// A piece was read for a peer.
    PieceRead {
        /// The peer.
        to: NodeId,
        /// The last entry that the snapshot covers.
        last: EntryId,
        /// What was found.
        found: Piece,
    },
    /// A piece of the fetched snapshot was stored.
    PieceStored {
        /// The name that the first piece gives.
        name: SnapshotName,
        /// The next piece that is missing.
        next: u64,
        /// How many pieces there are.
        pieces: u64,
        /// What the snapshot covers, once it is whole and durable.
        whole: Option<SnapshotMeta>,
    },
    /// A piece found no room on the disk: what had come before is kept.
    PieceNoRoom,
    /// A piece was not what it should be, or the whole was not what its first piece promised.
    PieceRefused,
    /// Messages to this peer were dropped before they left.
    Dropped {
        /// Which peer.
        peer: NodeId,
    },
    /// Stand for election now (tests and operators).
    Campaign,
    /// A local caller asks something of the cluster as a whole. Answered by `Effect::AnswerCluster`, exactly once.
    Cluster {
        /// The caller.
        ticket: Ticket,
        /// What is asked.
        request: ClusterRequest,
    },
    /// A request for the cluster as a whole did not get onto the link to the leader: nobody has heard of it.
    ClusterUnsent {
        /// The ticket of the message.
        ticket: Ticket,
    },
}
