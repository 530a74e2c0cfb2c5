//! Leader completeness, leader append-only, and what "committed" promises (thesis 3.6, figure 3.2): a committed entry is
//! durable on a quorum, stands in the log of every later leader, and is never cut from a log.

use quorate_core::entry::{Entry, Membership};
use quorate_core::ready::Write;
use quorate_core::types::{EntryId, Index, NodeId, Term};

use super::by_node::ByNode;
use super::log_matching::Logs;
use super::members::{Members, is_quorum};
use super::{Seen, Violation, last_index, position};

/// Every commit of the run.
#[derive(Debug, Default)]
pub struct Commits {
    /// The committed entries from index 1 on, each with the term of the node that committed it first.
    committed: Vec<(EntryId, Term)>,
    seen: ByNode<Seen>,
    /// Installs that found no room: they come again.
    refused: ByNode<EntryId>,
}

impl Commits {
    /// How far the cluster is known to have committed.
    pub(super) fn committed(&self) -> Index {
        last_index(&self.committed)
    }

    /// The committed entry of this index.
    pub(super) fn entry(&self, index: Index) -> Option<EntryId> {
        self.committed.get(position(index)).map(|(id, _)| *id)
    }

    /// All entries up to `last`, of which a node says that a snapshot covers them.
    pub(super) fn prefix(&self, node: NodeId, last: EntryId) -> Result<Vec<EntryId>, Violation> {
        if last == EntryId::ZERO {
            return Ok(Vec::new());
        }
        if self.entry(last.index) != Some(last) {
            let known = self.entry(last.index);
            let what = format!("{node} covers up to {last}, committed there is {known:?}");
            return Err(Violation::safety("a snapshot covers committed entries only", what));
        }
        Ok(self.committed[..=position(last.index)].iter().map(|(id, _)| *id).collect())
    }

    /// A node starts anew: its commit index may be behind what it was.
    pub(super) fn on_start(&mut self, node: NodeId) {
        self.seen.remove(&node);
        self.refused.remove(&node);
    }

    /// A write that cuts a log must not cut what is committed, and a leader never cuts.
    pub(super) fn on_write(
        &self,
        seen: Seen,
        write: &Write,
        log: &[EntryId],
        gives_back: bool,
    ) -> Result<(), Violation> {
        if let Some(meta) = &write.install {
            return self.on_install(seen, meta.last, log, gives_back);
        }
        let Some(first) = write.entries.first().map(|entry| entry.id.index) else {
            return Ok(());
        };
        // What found no room is handed out again, by now perhaps with more behind it: nothing is cut.
        let stands = |entry: &Entry| log.get(position(entry.id.index)).is_none_or(|id| *id == entry.id);
        let reaches_on = write.entries.last().is_some_and(|last| last.id.index >= last_index(log));
        if first > last_index(log) || reaches_on && write.entries.iter().all(stands) {
            return Ok(());
        }
        let node = seen.node;
        let led = self.seen.get(&node).is_some_and(|before| before.leads && before.term == seen.term);
        if led && seen.leads {
            return Err(Violation::safety(
                "leader append-only",
                format!("{node} leads {} and cut its log from {first}", seen.term),
            ));
        }
        // An entry that was committed in the term of the leader who orders the cut, or before, stands in that leader's log: whoever has it keeps
        // it. A turn may take in what leaders of several terms have sent; then the first entry tells the least term that it can have been.
        let before = self.seen.get(&node).map_or(Term(0), |before| before.term);
        let ordered = if before == seen.term { seen.term } else { before.max(write.entries[0].id.term) };
        let lost = log[position(first)..].iter().find(|id| {
            self.committed.get(position(id.index)).is_some_and(|(committed, term)| {
                committed == *id && *term <= ordered && !write.entries.iter().any(|entry| entry.id == **id)
            })
        });
        match lost {
            Some(id) => Err(Violation::safety(
                "a committed entry is never cut from a log",
                format!("{node} in {} cut {id}", seen.term),
            )),
            None => Ok(()),
        }
    }

    /// A node's disk had no room for an install up to this entry: it is asked for again, although the node has counted it as committed.
    pub(super) fn on_install_refused(&mut self, node: NodeId, last: EntryId) {
        self.refused.insert(node, last);
    }

    /// A log begins anew behind a snapshot: a newer one than what the node knew, and nothing that is committed behind it may go.
    /// One that gives back what the disk had lost may be older.
    fn on_install(
        &self,
        seen: Seen,
        last: EntryId,
        log: &[EntryId],
        gives_back: bool,
    ) -> Result<(), Violation> {
        let node = seen.node;
        if self.refused.get(&node) == Some(&last) {
            return Ok(());
        }
        let before = self.seen.get(&node).map_or(Index(0), |before| before.commit);
        if last.index <= before && !gives_back {
            return Err(Violation::safety(
                "a newer snapshot wins, an older one is refused",
                format!("{node} had committed {before} and installs {last}"),
            ));
        }
        if log.get(position(last.index)) == Some(&last) {
            // What stands behind it stays.
            return Ok(());
        }
        let behind = log.get(position(last.index) + 1..).unwrap_or(&[]);
        match behind.iter().find(|id| self.entry(id.index) == Some(**id)) {
            Some(id) => Err(Violation::safety(
                "a committed entry is never cut from a log",
                format!("{node} in {} cut {id} behind the snapshot up to {last}", seen.term),
            )),
            None => Ok(()),
        }
    }

    /// What a node counts as committed must be what everybody else does, and must rest on a quorum of disks.
    pub(super) fn on_turn(&mut self, seen: Seen, logs: &Logs, members: &Members) -> Result<(), Violation> {
        let bound = if seen.paused { last_index(logs.written(seen.node)) } else { seen.commit };
        let seen = Seen { commit: seen.commit.min(bound), ..seen };
        let before = self.seen.insert(seen.node, seen);
        let commit_before = before.map_or(Index(0), |seen| seen.commit);
        if let Some(before) = before
            && (before.term > seen.term || before.commit > seen.commit)
        {
            let what = format!("{before:?} became {seen:?}");
            return Err(Violation::safety("term and commit index never go back", what));
        }
        let log = logs.written(seen.node);
        if seen.commit > last_index(log) {
            return Err(Violation::safety(
                "nothing beyond the log is committed",
                format!("{seen:?} with {} entries", log.len()),
            ));
        }
        let known = self.committed();
        for index in (commit_before.0 + 1..=seen.commit.0).map(Index) {
            let id = log[position(index)];
            match self.entry(index) {
                Some(committed) if committed != id => {
                    return Err(Violation::safety(
                        "state-machine safety (one committed entry at an index)",
                        format!("{} committed {id} where {committed} was committed", seen.node),
                    ));
                }
                Some(_) => {}
                None => self.committed.push((id, seen.term)),
            }
        }
        if seen.commit <= known {
            return Ok(());
        }
        let newest = log[position(seen.commit)];
        if seen.leads && newest.term != seen.term {
            return Err(Violation::safety(
                "a leader commits by counting only entries of its own term (thesis 3.6.2)",
                format!("{} leads {} and committed {newest}", seen.node, seen.term),
            ));
        }
        check_quorum(seen, newest, logs, members)
    }

    /// Leader completeness: all that was committed in earlier terms stands in the new leader's log. By log matching the
    /// last such entry stands for all.
    pub(super) fn on_new_leader(&self, seen: Seen, log: &[EntryId]) -> Result<(), Violation> {
        let earlier = self.committed.iter().rev().find(|(_, term)| *term < seen.term);
        match earlier {
            Some((id, term)) if log.get(position(id.index)) != Some(id) => Err(Violation::safety(
                "leader completeness",
                format!("{} leads {} without {id}, committed in {term}", seen.node, seen.term),
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// A new commit: its last entry, and with it all before, is durable on a quorum of the members in force.
fn check_quorum(seen: Seen, id: EntryId, logs: &Logs, members: &Members) -> Result<(), Violation> {
    let holds = |node: NodeId| logs.held(node, id);
    let in_force = || members.in_force(seen.node);
    if in_force().any(|membership| is_quorum(membership, holds)) {
        return Ok(());
    }
    let holders: Vec<NodeId> = in_force().flat_map(Membership::members).filter(|node| holds(*node)).collect();
    Err(Violation::safety(
        "what is committed is durable on a quorum of the members in force",
        format!(
            "{} committed {id}, durable on {holders:?} of {:?}",
            seen.node,
            in_force().collect::<Vec<_>>()
        ),
    ))
}
