//! Who waits for which place of the log, and the proposals of peers that wait at this leader.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_core::entry::Entry;
use quorate_core::types::{EntryId, Index, NodeId};

use crate::explain::Trace;
use crate::input::Ticket;

/// The proposals that got a place in the log, by that place.
///
/// Invariant: indices rise strictly. A place that a later leader's entry took over is found when that entry is handed to
/// the applier, when this node appends there again, or when the log ends before it.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    by_index: VecDeque<(EntryId, u64)>,
}

/// What became of a place that somebody waited for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// The entry is committed.
    Committed(Index),
    /// Another entry stands there.
    Replaced,
}

impl Waiters {
    /// Proposal `number` waits for `entry`. The proposals whose places this entry shows to be replaced.
    pub(crate) fn push(&mut self, entry: EntryId, number: u64) -> Vec<u64> {
        let replaced = self.cut(entry.index.prev());
        assert!(
            self.by_index.back().is_none_or(|(last, _)| last.index < entry.index),
            "waiters stand in the order of the log"
        );
        self.by_index.push_back((entry, number));
        replaced
    }

    /// The log ends at `last`: the proposals whose places it does not hold any more.
    pub(crate) fn cut(&mut self, last: Index) -> Vec<u64> {
        let keep = self.by_index.partition_point(|(entry, _)| entry.index <= last);
        self.by_index.split_off(keep).into_iter().map(|(_, number)| number).collect()
    }

    /// These entries are committed: who waited for them, in order, and whether it was for them.
    pub(crate) fn take(&mut self, entries: &[Entry]) -> Vec<(u64, Place)> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Vec::new();
        };
        let len = self.by_index.partition_point(|(entry, _)| entry.index <= last.id.index);
        let mut taken = Vec::with_capacity(len);
        for (waited, number) in self.by_index.drain(..len) {
            assert!(waited.index >= first.id.index, "no batch leaves out an entry that somebody waits for");
            let at = usize::try_from(waited.index.0 - first.id.index.0).expect("a batch fits into memory");
            let place =
                if entries[at].id == waited { Place::Committed(waited.index) } else { Place::Replaced };
            taken.push((number, place));
        }
        taken
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_index.is_empty()
    }
}

/// The proposals of peers that this node took in as the leader.
///
/// Invariant: each is answered once, then it is gone. No two are copies of one message.
#[derive(Debug, Default)]
pub(crate) struct Forwarded {
    by_number: BTreeMap<u64, ForwardedProposal>,
    /// The same by what their peers call them.
    names: BTreeSet<(NodeId, Ticket)>,
}

/// A proposal of a peer.
#[derive(Debug)]
pub(crate) struct ForwardedProposal {
    /// Who sent it.
    pub(crate) peer: NodeId,
    /// The peer's name for it.
    pub(crate) ticket: Ticket,
    /// The bytes of its command.
    pub(crate) bytes: usize,
    /// Whether it is at the applier: then it is committed, whatever becomes of the leadership.
    pub(crate) handed: bool,
    /// Its place in the log, once it has one.
    pub(crate) entry: Option<EntryId>,
    /// The steps so far, if the peer asked for them.
    pub(crate) trace: Option<Box<Trace>>,
}

impl Forwarded {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether the proposal that `peer` calls `ticket` waits.
    pub(crate) fn waits(&self, peer: NodeId, ticket: Ticket) -> bool {
        self.names.contains(&(peer, ticket))
    }

    /// Takes one in.
    pub(crate) fn insert(&mut self, number: u64, proposal: ForwardedProposal) {
        let fresh = self.names.insert((proposal.peer, proposal.ticket));
        assert!(fresh, "a copy of a proposal that waits is not taken in");
        let before = self.by_number.insert(number, proposal);
        assert!(before.is_none(), "numbers are given once");
    }

    /// The one of this number, if it still waits.
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut ForwardedProposal> {
        self.by_number.get_mut(&number)
    }

    /// Takes one out, to be answered.
    pub(crate) fn remove(&mut self, number: u64) -> Option<ForwardedProposal> {
        let proposal = self.by_number.remove(&number)?;
        self.names.remove(&(proposal.peer, proposal.ticket));
        assert!(self.names.len() == self.by_number.len(), "each that waits has its name");
        Some(proposal)
    }

    /// Takes out all whose entries are not known to be committed: the leadership is lost.
    pub(crate) fn remove_uncommitted(&mut self) -> Vec<ForwardedProposal> {
        let (handed, lost) =
            std::mem::take(&mut self.by_number).into_iter().partition(|(_, proposal)| proposal.handed);
        self.by_number = handed;
        self.names = self.by_number.values().map(|proposal| (proposal.peer, proposal.ticket)).collect();
        let lost: BTreeMap<u64, ForwardedProposal> = lost;
        assert!(self.by_number.values().all(|proposal| proposal.handed), "what is left is at the applier");
        lost.into_values().collect()
    }
}
