//! The two synchronous interfaces of the core: `Input` goes in, `Ready` comes out.
//! The output type keeps every message that promises durability behind the write that makes it true (thesis 3.8, 10.2.1).

use std::sync::Arc;

use bytes::Bytes;

use crate::entry::{Entry, HardState, Membership};
use crate::membership::{Change, ChangeRefusal};
use crate::message::Envelope;
use crate::snapshot::SnapshotMeta;
use crate::types::{EntryId, Index, NodeId, Term, WriteNumber};

/// Everything that can happen to the protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Time has passed.
    Tick {
        /// How many ticks since the last one.
        elapsed: u64,
        /// The wall clock in milliseconds, for the timestamp of entries that the core makes itself.
        wall_ms: u64,
    },
    /// The monotonic clock in microseconds, from any start: it never falls, it goes on while the process or the machine sleeps, and it was
    /// read after all other inputs of the turn had arrived. Comes first in each turn. Needed for leases only: without it none holds, and
    /// a node that is to promise something votes for nobody.
    Clock {
        /// What it shows.
        monotonic_us: u64,
    },
    /// A message arrived from a peer.
    Received(Envelope),
    /// Append a command, if this node leads.
    Propose {
        /// Comes back in [`Ready::accepted`] or [`Ready::refused`].
        ticket: u64,
        /// The command.
        command: Bytes,
        /// The wall clock in milliseconds.
        timestamp_ms: u64,
    },
    /// Ask for an index that a linearizable read must have applied, if this node leads (thesis 6.4).
    ReadIndex {
        /// Comes back in [`Ready::reads`] or [`Ready::refused`].
        ticket: u64,
    },
    /// All writes up to this number are durable.
    Persisted(WriteNumber),
    /// The disk had no room for this write: neither it nor any later one that was handed out so far is carried out, and the log is as it
    /// was before it. Whoever carries out writes drops them until one comes that says [`Write::after_refusal`].
    NoRoom {
        /// The first write that is not carried out.
        from: WriteNumber,
    },
    /// The state machine has applied all up to this index: the window in memory may let go of it.
    Applied(Index),
    /// The answer to a [`Fetch`]: entries read back from the log, for a peer behind the window in memory.
    Fetched {
        /// For whom.
        peer: NodeId,
        /// Consecutive entries from the index that was asked for; at least one.
        entries: Vec<Entry>,
    },
    /// The answer to a [`Fetch`] for a peer that lost these entries.
    FetchedForRepair {
        /// For whom.
        peer: NodeId,
        /// Consecutive entries from the index that was asked for; none if the log let go of them meanwhile.
        entries: Vec<Entry>,
    },
    /// Whether the state machine waits for entries that are being read back from the log: the disk owes an answer. Said when
    /// such a read begins and when it has ended.
    ReadingBack(bool),
    /// This node took a snapshot of its own state that ends with this entry, and it is durable.
    SnapshotTaken {
        /// The last entry that it covers.
        last: EntryId,
    },
    /// A snapshot from a peer has arrived whole, and is durable beside the log. Answered by [`Write::install`] or
    /// [`Ready::refused_snapshot`] of the same turn.
    SnapshotReceived(SnapshotMeta),
    /// The log let go of all up to this entry, of which a snapshot holds the state.
    Compacted {
        /// The entry before the first one that the log still holds.
        base: EntryId,
    },
    /// Messages to this peer were dropped before they left (queue overflow, connection lost): probe it.
    Dropped {
        /// Which peer.
        peer: NodeId,
    },
    /// Campaign now, whatever the timers say (tests and operators).
    Campaign,
    /// Hand the leadership over, if this node leads (thesis 3.10).
    Transfer {
        /// Comes back in [`Ready::transfers`].
        ticket: u64,
        /// Who shall lead; nobody in particular leaves the choice to the leader.
        to: Option<NodeId>,
    },
    /// Change the members, if this node leads (thesis chapter 4).
    Change {
        /// Comes back in [`Ready::changes`].
        ticket: u64,
        /// What is wanted.
        change: Change,
    },
}

/// What the world must do after a turn of inputs. Everything in it is the caller's to carry out.
#[derive(Debug, Default)]
#[must_use = "a Ready that is dropped loses messages and writes"]
pub struct Ready {
    /// What must reach the disk, with the messages that wait for it. Writes are carried out in order of their numbers.
    pub write: Option<Write>,
    /// Messages that promise nothing that is not durable already: they may leave now.
    pub send: Vec<Envelope>,
    /// Proposals that got a place in the log: ticket and entry.
    pub accepted: Vec<(u64, EntryId)>,
    /// Proposals and reads that were refused before anything happened: a retry is safe.
    pub refused: Vec<(u64, Refusal)>,
    /// Reads that are linearizable once this index is applied.
    pub reads: Vec<(u64, Index)>,
    /// The same, of reads that waited for no round: a lease held when the turn began.
    pub leased: Vec<(u64, Index)>,
    /// All up to here may be applied: min(commit index, persisted index).
    pub apply_through: Index,
    /// Entries to read back from the log, each answered by [`Input::Fetched`] or [`Input::FetchedForRepair`].
    pub fetches: Vec<Fetch>,
    /// Transfers of the leadership that have ended, each exactly once.
    pub transfers: Vec<(u64, TransferEnd)>,
    /// Changes of the membership that have ended, each exactly once.
    pub changes: Vec<(u64, ChangeEnd)>,
    /// Snapshots that the leader offers because this node lacks what they cover: who offers, and the last entry. Offered again as long
    /// as that is so.
    pub offers: Vec<(NodeId, EntryId)>,
    /// The received snapshot with this last entry is not wanted: this node has all that it covers.
    pub refused_snapshot: Option<EntryId>,
    /// A peer has lost its state, and no snapshot of this node reaches far enough to give it back: one is to be taken soon.
    pub snapshot_wanted: bool,
    /// What happened, in words for the log and the metrics; carries no duty.
    pub facts: Vec<Fact>,
}

/// A write and the messages behind it.
#[derive(Debug)]
pub struct Write {
    /// The number of this write: one more than that of the write before.
    pub number: WriteNumber,
    /// It is the first one since this node heard that an earlier one was refused ([`Input::NoRoom`]): what was handed out before it and
    /// not carried out never is.
    pub after_refusal: bool,
    /// Term and vote, if they changed.
    pub hard_state: Option<HardState>,
    /// The received snapshot that is used from now on. If the log holds the entry with which it ends, what stands behind that entry stays:
    /// this node has promised it. Else the log begins anew behind the snapshot, and all that it holds goes. Either way the log's
    /// base is the end of the snapshot. Comes before the entries.
    pub install: Option<SnapshotMeta>,
    /// Entries with exactly the ids of damaged ones ([`crate::stored::Stored::damaged`]), in ascending order: the log takes their bytes in
    /// at their place and cuts nothing. Once the write is durable they are whole. They come after the install and before the entries.
    pub repaired: Vec<Entry>,
    /// Entries to append. When the first has an index that the log already holds, the log is cut there first.
    /// May be empty: then the write only carries messages that wait for earlier writes.
    pub entries: Vec<Entry>,
    /// The messages that promise this write.
    pub barrier: Barrier,
}

/// Messages that may not leave before a write is durable. There is no way to get them out but a [`Durable`] of that write.
#[derive(Debug)]
pub struct Barrier {
    number: WriteNumber,
    messages: Vec<Envelope>,
}

impl Barrier {
    /// Holds `messages` until write `number` is durable.
    pub(crate) fn new(number: WriteNumber, messages: Vec<Envelope>) -> Barrier {
        Barrier { number, messages }
    }

    /// The write that the messages wait for.
    pub fn number(&self) -> WriteNumber {
        self.number
    }

    /// Lets the messages go.
    ///
    /// # Panics
    /// If `durable` does not reach the write: an acknowledgement before its fsync is the one lie that loses data.
    pub fn release(self, durable: Durable) -> Vec<Envelope> {
        assert!(durable.0 >= self.number, "no message leaves before the write that it promises is durable");
        self.messages
    }
}

/// Proof that all writes up to a number are durable. Made in one place: the log's `sync`, after the fsync returned.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Durable(WriteNumber);

impl Durable {
    /// Attests that all writes up to `number` are durable. Only the log may call this (tidy checks it).
    pub fn attest(number: WriteNumber) -> Durable {
        Durable(number)
    }

    /// The last write that is durable.
    pub fn number(self) -> WriteNumber {
        self.0
    }
}

/// A wish to read entries back from the log, off the hot path.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// For which peer.
    pub peer: NodeId,
    /// What it wants them for, and so how it is answered.
    pub purpose: FetchFor,
    /// From which index.
    pub from: Index,
    /// Up to which index at most.
    pub through: Index,
    /// Up to how many bytes; at least one entry is read.
    pub bytes_max: usize,
}

/// What a peer wants entries for that are read back.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FetchFor {
    /// It lags behind the leader's window: [`Input::Fetched`].
    Append,
    /// It has lost them: [`Input::FetchedForRepair`].
    Repair,
}

/// Why a proposal or a read was refused. Nothing happened: a retry is safe.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Another node leads, or nobody does that is known.
    NotLeader {
        /// Who leads, if known.
        leader: Option<NodeId>,
    },
    /// This node is handing its leadership over: another one will lead within an election timeout, or this one goes on.
    HandingOver,
    /// The disk of this node is full: it gives up the leadership.
    DiskFull,
    /// Too many bytes wait for their commit.
    Overloaded,
    /// The command is larger than `Config::command_bytes_max`.
    TooLarge,
}

/// How a transfer of the leadership ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TransferEnd {
    /// This node leads no more. Most likely the one that was to lead does, or will in a moment.
    SteppedDown {
        /// The term that it led.
        from: Term,
    },
    /// The other has not taken over within an election timeout: this node leads on.
    GivenUp {
        /// Who was to lead.
        to: NodeId,
    },
    /// Nothing was begun.
    Refused(TransferRefusal),
}

/// How a change of the membership ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChangeEnd {
    /// It is complete and committed, or all was as wanted already. A node that is to be a voter becomes one later, by itself.
    Done {
        /// The node that was added.
        node: Option<NodeId>,
    },
    /// Nothing was begun.
    Refused(ChangeRefusal),
    /// This node leads no more: if the change stands in the next leader's log, that one completes it.
    LeadershipLost,
}

/// Why a transfer of the leadership was not begun.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TransferRefusal {
    /// Another node leads, or nobody does that is known.
    NotLeader {
        /// Who leads, if known.
        leader: Option<NodeId>,
    },
    /// The node that shall lead does.
    LeadsAlready,
    /// The node that shall lead is no voter of the membership in force.
    NotVoter {
        /// Which one.
        to: NodeId,
    },
    /// Another transfer is under way.
    UnderWay {
        /// To whom.
        to: NodeId,
    },
    /// No other voter was heard within the election timeout.
    NobodyElse,
}

/// What happened, for the log, the metrics and the golden scripts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    /// The node asks whether it would win an election in this term.
    PreCampaign(Term),
    /// The node stands for election in this term.
    Campaign(Term),
    /// The node leads this term.
    BecameLeader(Term),
    /// The node stopped leading.
    SteppedDown {
        /// The term that it led.
        term: Term,
        /// Why, in words.
        reason: &'static str,
    },
    /// The node follows this leader.
    Follows {
        /// The term.
        term: Term,
        /// The leader.
        leader: NodeId,
    },
    /// The membership in force at this node is another one, committed or not.
    Members {
        /// Where it stands in the log.
        index: Index,
        /// Which one.
        members: Arc<Membership>,
    },
    /// The leader hands its leadership over.
    HandsOver {
        /// To whom.
        to: NodeId,
    },
    /// A candidate took from a voter what its log lacked.
    Adopted {
        /// The voter.
        from: NodeId,
        /// The last entry now.
        through: EntryId,
    },
    /// The leader hands its leadership over without having been asked.
    GivesWay {
        /// To whom.
        to: NodeId,
        /// Why, in words.
        reason: &'static str,
    },
    /// The leader held a lease and gives it up, because it hands over.
    LeaseGivenUp,
    /// This node refused its vote, or stood for no election, because it may have promised a leader not to.
    VoteWithheld {
        /// Who asked.
        from: NodeId,
        /// Whether it is a promise that may have been given before the last start.
        after_start: bool,
    },
    /// Nobody took over in time: the leader goes on.
    LeadsOn {
        /// Who was to lead.
        to: NodeId,
    },
    /// The disk is full: this node takes no entries and does not lead until there is room.
    Paused,
    /// There is room on the disk again.
    Resumed,
    /// Entries from here on were replaced by a newer leader's. Never at or below the commit index.
    Truncated {
        /// The first entry that went.
        from: Index,
    },
    /// The log began anew behind a received snapshot.
    Installed {
        /// The last entry that it covers.
        last: EntryId,
    },
    /// The disk has lost entries: this node does not stand for election, and asks its peers for them.
    Damaged {
        /// How many.
        entries: u64,
        /// The first of them.
        first: EntryId,
        /// The last of them.
        last: EntryId,
    },
    /// A peer that has lost its state told what that covered: it is committed, and stands in the log here.
    CommittedElsewhere {
        /// The last entry that it covered.
        last: EntryId,
        /// Who had it.
        by: NodeId,
    },
    /// The state from which the log goes on is lost: a peer must give a snapshot.
    StateLost {
        /// The entry before the first one in the log.
        behind: EntryId,
    },
    /// Damaged entries came back.
    Repaired {
        /// How many.
        entries: u64,
        /// From whom.
        from: NodeId,
    },
    /// Nothing of what the node counts on is damaged any more: what was fetched in its place is on the disk, or a snapshot that covers it is
    /// being written. If power goes before that write is durable, the next start finds the damage again and says so.
    Whole,
    /// A wall clock begins or ends to be further from a quorum's than the bound.
    Clock {
        /// Whose.
        node: NodeId,
        /// By how many milliseconds it is ahead.
        by_ms: i64,
        /// Whether that is more than the bound.
        is_off: bool,
    },
    /// A message was dropped because no correct peer sends such a one.
    Ignored {
        /// The sender.
        from: NodeId,
        /// Why, in words.
        reason: &'static str,
    },
}
