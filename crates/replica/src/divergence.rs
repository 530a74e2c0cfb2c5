//! Notices that a state machine did something else than the others did with the same entries: a bug in `apply` (a clock, a
//! random number, the order of a hash map), a flipped bit in memory, another binary.
//!
//! The applier keeps a running hash of what it did. At every [`STATE_MARK_EVERY`]th index it notes it, nodes tell each other their
//! notes, and each compares what it hears with its own. Who differs from a quorum that agrees is wrong, or at least alone:
//! it stops at once, before more of its callers see a state that the cluster does not have. Where no quorum agrees nobody can
//! tell who is right, so nobody stops and the difference is reported.

use std::collections::BTreeMap;

use quorate_core::entry::Membership;
use quorate_core::quorum;
use quorate_core::types::{Index, NodeId};

/// What a node had done when it had applied all up to an index.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct StateMark {
    /// The last entry applied: a multiple of [`STATE_MARK_EVERY`].
    pub index: Index,
    /// The running hash of all outcomes up to it.
    pub hash: u64,
}

/// Every so many entries the applier notes its hash. The same on all nodes, or they would have nothing to compare.
pub const STATE_MARK_EVERY: u64 = 64;

/// How many indices ahead of this node's last note are listened to: 32,768 entries. A node that is further behind is compared when it
/// has come nearer.
const AHEAD_LEN_MAX: u64 = 512;
/// For how many indices notes are kept: as many behind as ahead.
const STATE_MARKS_LEN_MAX: usize = 1_024;

/// What the comparison showed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Difference {
    /// Where it was noticed: the cause lies before.
    pub(crate) index: Index,
    /// Who differs from this node, in order.
    pub(crate) from: Vec<NodeId>,
    /// Whether a quorum agrees on something else.
    pub(crate) outvoted: bool,
}

/// The notes of this node and of its peers.
#[derive(Debug, Default)]
pub(crate) struct Divergence {
    /// For each index what each node had done there.
    marks: BTreeMap<Index, BTreeMap<NodeId, u64>>,
    /// The last index that this node noted.
    own_last: Index,
    /// Own notes that the peers have not been told.
    untold: Vec<StateMark>,
    /// The highest index of a difference without a verdict that was told.
    told_through: Index,
}

impl Divergence {
    /// The applier of this node has noted these.
    pub(crate) fn on_applied(
        &mut self,
        membership: &Membership,
        node: NodeId,
        marks: Vec<StateMark>,
    ) -> Option<Difference> {
        assert!(marks.is_sorted_by_key(|mark| mark.index), "entries are applied in order");
        self.own_last = marks.last().map_or(self.own_last, |mark| mark.index);
        let mut found = None;
        for mark in &marks {
            found = graver(found, self.note(membership, node, node, *mark));
        }
        self.untold.extend(marks);
        let excess = self.untold.len().saturating_sub(STATE_MARKS_LEN_MAX);
        self.untold.drain(..excess);
        found
    }

    /// A peer tells its notes. After a restart it tells them again, perhaps others than before.
    pub(crate) fn on_heard(
        &mut self,
        membership: &Membership,
        node: NodeId,
        from: NodeId,
        marks: Vec<StateMark>,
    ) -> Option<Difference> {
        if !membership.members().contains(&from) {
            return None;
        }
        let through = self.own_last.0.saturating_add(AHEAD_LEN_MAX * STATE_MARK_EVERY);
        let mut found = None;
        for mark in marks.into_iter().filter(|mark| mark.index.0 <= through) {
            found = graver(found, self.note(membership, node, from, mark));
        }
        found
    }

    /// What the peers must be told.
    pub(crate) fn take_untold(&mut self) -> Vec<StateMark> {
        std::mem::take(&mut self.untold)
    }

    /// Notes what `of` had done, and compares what is known of that index with what `node`, this one, had done.
    fn note(
        &mut self,
        membership: &Membership,
        node: NodeId,
        of: NodeId,
        mark: StateMark,
    ) -> Option<Difference> {
        let index = mark.index;
        self.marks.entry(index).or_default().insert(of, mark.hash);
        let difference = self.compare(membership, node, index);
        if self.marks.len() > STATE_MARKS_LEN_MAX {
            self.marks.pop_first();
        }
        let difference = difference?;
        let is_news = difference.outvoted || index > self.told_through;
        self.told_through = self.told_through.max(index);
        is_news.then_some(difference)
    }

    fn compare(&self, membership: &Membership, node: NodeId, index: Index) -> Option<Difference> {
        let marks = self.marks.get(&index)?;
        let own = marks.get(&node)?;
        let from: Vec<NodeId> =
            marks.iter().filter(|(_, hash)| *hash != own).map(|(peer, _)| *peer).collect();
        let outvoted = from
            .iter()
            .filter_map(|peer| marks.get(peer))
            .any(|other| quorum::has_quorum(membership, |voter| marks.get(&voter) == Some(other)));
        (!from.is_empty()).then_some(Difference { index, from, outvoted })
    }
}

/// The one to tell of two differences: the verdict of a quorum before all else, then the one that was found first.
fn graver(first: Option<Difference>, second: Option<Difference>) -> Option<Difference> {
    match (first, second) {
        (Some(first), Some(second)) if second.outvoted && !first.outvoted => Some(second),
        (Some(first), _) => Some(first),
        (None, second) => second,
    }
}
