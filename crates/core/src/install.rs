//! Snapshots in the protocol (thesis 5): what is compacted here and still lacks there is offered as a snapshot, and whoever lacks it
//! begins its log anew behind the one that it got. The state itself travels outside of the protocol.

use crate::entry::HardState;
use crate::message::Message;
use crate::planted::{self, Bug};
use crate::raft::Raft;
use crate::ready::Fact;
use crate::role::RoleState;
use crate::snapshot::SnapshotMeta;
use crate::types::{EntryId, Index, NodeId};

impl Raft {
    /// The leader has compacted what this node lacks. Whoever holds all that the snapshot covers says so, as if entries had come;
    /// else it is told to the caller, who fetches the snapshot from where it is offered or goes on with one that is on its way. A node that has
    /// lost a newer state says nothing: it has not what is offered and cannot use it, and asks for what it can.
    pub(crate) fn on_snapshot_offer(&mut self, from: NodeId, last: EntryId) {
        if last.term > self.hard_state.term {
            self.ignore(from, "the term of a snapshot exceeds the sender's");
            return;
        }
        self.hear_leader(from);
        if self.log.term_at(last.index) == Some(last.term) {
            // A snapshot covers only what is committed, and the logs agree up to here.
            self.commit_through(last.index);
        }
        if self.lacks(last) {
            self.out.offers.push((from, last));
        } else if last.index <= self.log.at_hand() {
            let matched = self.commit.min(self.log.at_hand());
            self.promise(from, Message::AppendResponse { matched });
        }
    }

    /// A snapshot has arrived whole and is durable beside the log. A newer one wins, an older one is refused: what is committed here
    /// never goes back (thesis 5.2).
    ///
    /// It came outside of the protocol, perhaps from a node that is far ahead in terms. This node must not speak of what it covers
    /// in a term in which that was not committed yet: a leader of such a term could take the answer for one about other entries
    /// under the same indices. So the term in which the snapshot was taken is adopted with it.
    pub(crate) fn on_snapshot_received(&mut self, meta: SnapshotMeta) {
        let last = meta.last;
        assert!(meta.term >= last.term, "a snapshot is taken in the term of its last entry or later");
        if meta.term > self.hard_state.term && !planted::is(Bug::SnapshotTermIgnored) {
            self.adopt_term(meta.term);
        }
        let leads = matches!(self.role, RoleState::Leader(_));
        if !leads && self.log.term_at(last.index) == Some(last.term) {
            self.commit_through(last.index);
        }
        // What is damaged below the end of the snapshot is covered by it, and the state that was lost is in it: then it is used although the
        // log reaches as far.
        let lacks = self.lacks(last);
        if leads || (!lacks && !planted::is(Bug::OldSnapshotInstalled)) {
            self.out.refused_snapshot = Some(last);
            return;
        }
        if last.term > self.hard_state.term {
            self.set_hard_state(HardState { term: last.term, vote: None });
        }
        let durable = self.commit.min(self.log.persisted());
        self.log.install(&meta, durable);
        self.commit = self.commit.max(last.index);
        self.applied = last.index;
        self.snapshot = last;
        self.install = Some(meta);
        self.out.facts.push(Fact::Installed { last });
        if let Some(leader) = self.leader() {
            self.promise(leader, Message::AppendResponse { matched: last.index });
        }
        assert!(self.log.base() == last, "the log begins where the snapshot ends");
    }

    /// This node took a snapshot of its own state, and it is durable: it may be offered, and the log may be cut behind it.
    pub(crate) fn on_snapshot_taken(&mut self, last: EntryId) {
        assert!(last.index <= self.applied, "a snapshot covers only what was applied");
        if last.index > self.snapshot.index {
            self.snapshot = last;
        }
    }

    /// The log holds nothing up to `base` any more. Peers that lack it need the snapshot.
    pub(crate) fn on_compacted(&mut self, base: EntryId) {
        if base.index <= self.log.base().index {
            // It was compacted before the log was begun anew behind a later entry.
            return;
        }
        assert!(base.index <= self.snapshot.index, "a snapshot holds what the log lets go of");
        self.log.compact(base);
        if let RoleState::Leader(leader) = &mut self.role {
            for progress in leader.peers.values_mut().filter(|progress| progress.next() <= base.index) {
                progress.on_behind_log();
            }
        }
    }

    /// The newest snapshot that is durable here: the entry with which it ends, or [`EntryId::ZERO`].
    pub fn snapshot(&self) -> EntryId {
        self.snapshot
    }

    /// The entry before the first one in the log.
    pub fn base(&self) -> EntryId {
        self.log.base()
    }

    /// The lowest index that a peer which is not in want of a snapshot has yet to acknowledge, less one; `None` unless this node leads.
    /// To cut the log above it would cost that peer a whole snapshot.
    pub fn slowest_peer(&self) -> Option<Index> {
        let RoleState::Leader(leader) = &self.role else { return None };
        let reached = leader.peers.values().filter(|progress| !progress.wants_snapshot());
        reached.map(crate::progress::Progress::matched).min()
    }
}
