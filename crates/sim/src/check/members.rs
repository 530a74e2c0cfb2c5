//! Who decides (thesis chapter 4): the newest membership in a node's log is in force there, also after a restart; one change at a
//! time, and none before an entry of the own term is committed; voters change through a joint membership only; and no decision
//! counts a learner or a node that was removed. What a quorum is, is counted here anew and not asked of the code under test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_core::entry::{Entry, Membership, Payload};
use quorate_core::ready::Write;
use quorate_core::types::{EntryId, NodeId, Term};

use super::by_node::ByNode;
use super::{Seen, Violation, position};

/// The memberships of all logs.
#[derive(Debug, Default)]
pub struct Members {
    /// For each node the membership entries of its log, oldest first.
    logs: ByNode<Vec<(EntryId, Arc<Membership>)>>,
    /// Every membership entry that was ever written.
    known: BTreeMap<EntryId, Arc<Membership>>,
    /// Whether the node whose turn it is wrote entries in it.
    wrote: bool,
    /// What was in force there in the course of the turn, if it did. Else it is the newest of its log.
    in_turn: Vec<Arc<Membership>>,
}

impl Members {
    /// A node starts with this log, behind the entries that are compacted.
    pub(super) fn on_start(&mut self, node: NodeId, compacted: &[EntryId], log: &[Entry]) {
        self.known.extend(memberships(log));
        self.on_install(node, compacted);
        self.logs.of(node).extend(memberships(log));
    }

    /// A log begins anew behind a snapshot that covers these entries.
    pub(super) fn on_install(&mut self, node: NodeId, covered: &[EntryId]) {
        let known = |id: &EntryId| self.known.get(id).map(|membership| (*id, Arc::clone(membership)));
        self.logs.insert(node, covered.iter().filter_map(known).collect());
    }

    /// The members by the newest membership that is committed, as `is_committed` tells.
    pub(super) fn committed(&self, is_committed: impl Fn(EntryId) -> bool) -> BTreeSet<NodeId> {
        let newest = |log: &Vec<(EntryId, Arc<Membership>)>| {
            log.iter().rev().find(|(id, _)| is_committed(*id)).cloned()
        };
        let newest = self.logs.values().filter_map(newest).max_by_key(|(id, _)| id.index);
        newest.map(|(_, membership)| membership.members()).unwrap_or_default()
    }

    /// A node asks for a write, and has committed up to `seen.commit` by the end of the turn; `log` is what it held before.
    pub(super) fn on_write(
        &mut self,
        seen: Seen,
        write: Option<&Write>,
        log: &[EntryId],
    ) -> Result<(), Violation> {
        self.wrote = false;
        let own = self.logs.of(seen.node);
        for (id, membership) in memberships(write.map_or(&[], |write| &write.repaired)) {
            let place = own.partition_point(|(other, _)| other.index < id.index);
            own.insert(place, (id, membership));
        }
        let Some(first) = write.and_then(|write| write.entries.first()) else { return Ok(()) };
        self.wrote = true;
        self.in_turn.clear();
        self.in_turn.extend(own.last().map(|(_, last)| Arc::clone(last)));
        own.retain(|(id, _)| id.index < first.id.index);
        for (id, membership) in memberships(&write.expect("it has entries").entries) {
            if seen.leads && id.term == seen.term {
                check_change(seen, id, own.last(), &membership, log)?;
            }
            self.in_turn.push(Arc::clone(&membership));
            self.known.insert(id, Arc::clone(&membership));
            own.push((id, membership));
        }
        Ok(())
    }

    /// The memberships that were in force at this node, whose turn it is, in the course of the turn.
    pub(super) fn in_force(&self, node: NodeId) -> impl Iterator<Item = &Membership> {
        let newest = || self.logs.get(&node).and_then(|log| log.last()).map(|(_, newest)| newest);
        let (in_turn, newest) =
            if self.wrote { (self.in_turn.as_slice(), None) } else { (&[][..], newest()) };
        in_turn.iter().chain(newest).map(AsRef::as_ref)
    }

    /// The rule that a new leader, whose turn it is, was elected by a quorum of a membership that was in force at it.
    pub(super) fn check_election(
        &self,
        node: NodeId,
        term: Term,
        voted: impl Fn(NodeId) -> bool,
    ) -> Result<(), Violation> {
        if self.in_force(node).any(|membership| is_quorum(membership, &voted)) {
            return Ok(());
        }
        let in_force: Vec<&Membership> = self.in_force(node).collect();
        Err(Violation::safety(
            "a leader is elected by a quorum of the members in force",
            format!("{node} leads {term} without the votes of a quorum of {in_force:?}"),
        ))
    }
}

fn memberships(log: &[Entry]) -> impl Iterator<Item = (EntryId, Arc<Membership>)> + '_ {
    log.iter().filter_map(|entry| match &entry.payload {
        Payload::Membership(membership) => Some((entry.id, Arc::clone(membership))),
        Payload::Noop | Payload::Command(_) => None,
    })
}

/// What a leader may put behind the newest membership of its log.
fn check_change(
    seen: Seen,
    id: EntryId,
    before: Option<&(EntryId, Arc<Membership>)>,
    after: &Membership,
    log: &[EntryId],
) -> Result<(), Violation> {
    let Some((known, before)) = before else {
        return Err(Violation::safety(
            "a leader is a member",
            format!("{} made the first membership", seen.node),
        ));
    };
    if known.index > seen.commit {
        return Err(Violation::safety(
            "one change of members at a time (thesis 4.1)",
            format!("{} wrote {id} and had committed {}, before {known}", seen.node, seen.commit),
        ));
    }
    let newest_committed = seen.commit.0.checked_sub(1).and_then(|_| log.get(position(seen.commit)));
    if newest_committed.is_none_or(|newest| newest.term < seen.term) {
        return Err(Violation::safety(
            "no change of members before an entry of the own term is committed (the bug of 2015)",
            format!("{} wrote {id} with {newest_committed:?} committed", seen.node),
        ));
    }
    let enters = !before.is_joint() && after.is_joint() && after.voters_outgoing == before.voters;
    let leaves = before.is_joint() && !after.is_joint() && after.voters == before.voters;
    let keeps = !before.is_joint() && !after.is_joint() && after.voters == before.voters;
    if !(enters || leaves || keeps) {
        return Err(Violation::safety(
            "voters change through a joint membership (thesis 4.3)",
            format!("{} wrote {id}: {before:?} became {after:?}", seen.node),
        ));
    }
    let reused =
        after.members().difference(&before.members()).find(|node| node.get() <= before.id_last()).copied();
    match reused {
        Some(node) => Err(Violation::safety("an id is given once", format!("{id} gives {node} again"))),
        None => Ok(()),
    }
}

/// Whether the nodes for which `holds` are a majority of the voters, and of the outgoing ones if there are any.
pub(crate) fn is_quorum(membership: &Membership, holds: impl Fn(NodeId) -> bool) -> bool {
    let is_majority = |voters: &BTreeSet<NodeId>| {
        let missing = voters.iter().filter(|voter| !holds(**voter)).count();
        2 * missing < voters.len()
    };
    is_majority(&membership.voters) && (!membership.is_joint() || is_majority(&membership.voters_outgoing))
}
