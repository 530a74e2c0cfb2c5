//! What the nodes say to each other. Each variant names sender, receiver, when it is sent and the section of the thesis.

use crate::entry::Entry;
use crate::types::{EntryId, Index, NodeId, Term};

/// A message with its addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The sender's term; for pre-vote requests and granted pre-votes the term that the candidate would campaign in.
    pub term: Term,
    /// What is said.
    pub message: Message,
}

/// How fit a node is to lead, as it says of itself.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Its priority, see [`crate::config::Config::priority`].
    pub priority: u8,
    /// How many ticks its disk takes for a write, the one under way included.
    pub disk_ticks: u32,
    /// Whether it gave way as unfit a short time ago.
    pub rests: bool,
    /// Whether it can acknowledge no more entries for now: it has no room for them, or its disk has lost some before them.
    pub full: bool,
}

impl Default for Standing {
    /// A node in good health, of the priority that all have unless it is set.
    fn default() -> Standing {
        Standing { priority: crate::config::PRIORITY_MAX, disk_ticks: 0, rests: false, full: false }
    }
}

/// What is said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// Pre-candidate to voters: "would you vote for me in this term?" Changes nothing at the receiver (thesis 9.6).
    PreVoteRequest {
        /// The last entry of the candidate's log.
        last: EntryId,
    },
    /// Voter to pre-candidate.
    PreVoteResponse {
        /// Whether the voter would vote for it. A refusal carries the voter's own term.
        granted: bool,
    },
    /// Candidate to voters: "vote for me" (thesis 3.4, 3.6.1).
    VoteRequest {
        /// The last entry of the candidate's log.
        last: EntryId,
        /// Why it stands, and so whether a voter that hears a leader hears it nevertheless.
        ground: Ground,
    },
    /// Voter to candidate. A grant leaves only once the vote is durable.
    VoteResponse {
        /// Whether the vote was given.
        granted: bool,
        /// The voter's wall clock in milliseconds since 1970; 0 when it does not know it or does not say it. Not before version 1.
        wall_ms: u64,
    },
    /// Voter to pre-candidate or candidate, in place of a refusal: its log is older, and this is what it lacks. The receiver adds it behind
    /// its last entry and asks again (`donation.rs`).
    Donation {
        /// The last entry of the candidate's log, which the voter holds too.
        prev: EntryId,
        /// Consecutive entries; the first has index `prev.index + 1`.
        entries: Vec<Entry>,
    },
    /// Leader to peer: entries that follow `prev`, or a probe without entries (thesis 3.5).
    AppendRequest {
        /// The entry that must stand right before the first of `entries`.
        prev: EntryId,
        /// Consecutive entries; the first has index `prev.index + 1`.
        entries: Vec<Entry>,
        /// The leader's commit index. The receiver commits up to min(this, last entry that this request covers).
        commit: Index,
    },
    /// Leader to peer: what the peer lacks is compacted, but a snapshot holds it (thesis 5.2). The peer fetches it outside of the protocol, and
    /// answers with an `AppendResponse` once it holds what it covers, or at once if it does already.
    SnapshotOffer {
        /// The last entry that the snapshot covers.
        last: EntryId,
    },
    /// Peer to leader: all up to `matched` is on the peer's disk and equal to the leader's log.
    /// Leaves only once that is durable.
    AppendResponse {
        /// The last entry that the answered request covered.
        matched: Index,
    },
    /// Peer to leader: `prev` of the request is not in the peer's log (thesis 3.5, conflict hints as in its footnote).
    AppendRejected {
        /// The index of `prev` in the refused request, so that a stale refusal is recognised.
        prev: Index,
        /// Where the logs may still agree: the last entry of the peer with index ≤ `prev` and term ≤ that of `prev`.
        hint: EntryId,
    },
    /// Leader to peer, on a timer and when reads wait: "I still lead" (thesis 3.4, 6.4).
    Heartbeat {
        /// The commit index, capped at what this peer is known to hold, so that it never commits a suffix of its own.
        commit: Index,
        /// The number of this round within the term; answers carry it back, so that a late answer confirms no later read.
        round: u64,
        /// Whether the leader wants a lease: the peer is to vote for nobody else for a while (thesis 6.4.1). Not while it hands over: then the
        /// others shall vote for its successor.
        asks_promise: bool,
    },
    /// Peer to leader, at once.
    HeartbeatResponse {
        /// The round that is answered; 0, which is none, when the heartbeat was of an older term than the answer.
        round: u64,
        /// How fit the peer is to lead.
        standing: Standing,
        /// The peer's wall clock in milliseconds since 1970; 0 when the peer does not know it or does not say it. Not before version 1.
        wall_ms: u64,
        /// What the peer's binary understands, a number that the protocol only carries; 0 when it does not say it. Not before version 1.
        features: u16,
        /// For how many microseconds by its own clock, from when it heard the heartbeat on, the peer votes for nobody else, a crash in between
        /// included (thesis 6.4.1). 0: it promises nothing.
        promise_us: u64,
    },
    /// Damaged node to any peer, on a timer: "give me these entries, whose bytes my disk has lost". Means the same in every term: an id names one entry.
    RepairRequest {
        /// Their ids, ascending; at most 256.
        wanted: Vec<EntryId>,
        /// The entry before the first one in the sender's log, if the state up to it is lost: a snapshot that covers it is wanted.
        state_behind: Option<EntryId>,
    },
    /// Peer to damaged node, at once or when they are read back. Means the same in every term. What the receiver did not miss it drops.
    RepairResponse {
        /// Those of the wanted entries that the sender has intact, as many as fit a message.
        entries: Vec<Entry>,
        /// The last entry of the sender's snapshot, if that covers what is wanted and no entry can be given; else [`EntryId::ZERO`].
        snapshot: EntryId,
    },
    /// Leader to the peer that shall lead in its place: "stand for election now" (thesis 3.10). The peer holds all that the leader does.
    TimeoutNow {
        /// The newest heartbeat round when this was said: nobody is held any more by what was promised up to it. Whoever has heard a newer one
        /// knows that the leader has gone on since.
        round: u64,
    },
}

/// Why a node stands for election.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Ground {
    /// It has heard no leader for a while. A voter that hears one refuses and keeps its term (thesis 4.2.3).
    Silence,
    /// An operator asked for it. It is heard although a leader is alive, but by nobody who has promised that leader not to.
    Operator,
    /// The leader asked for it (thesis 3.10), in the term before the one that the candidate stands in.
    Leader {
        /// Promises up to this heartbeat round of that leader hold nobody any more.
        round: u64,
    },
}
