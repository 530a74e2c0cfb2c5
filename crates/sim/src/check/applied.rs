//! State-machine safety (thesis figure 3.2): every node applies the committed entries, each once, in order, and none before
//! it is on the node's own disk; and equal entries make equal states.

use quorate_core::entry::Entry;
use quorate_core::types::{EntryId, Index, NodeId};

use super::by_node::ByNode;
use super::commit::Commits;
use super::log_matching::Logs;
use super::{Violation, position};

/// What was applied where.
#[derive(Debug, Default)]
pub struct Applied {
    through: ByNode<Index>,
    /// The fingerprint of the state at each index from 1 on, and the node that showed it first; none where nobody did.
    states: Vec<Option<(u64, NodeId)>>,
}

impl Applied {
    /// A node starts with an empty state.
    pub(super) fn on_start(&mut self, node: NodeId) {
        self.through.insert(node, Index(0));
    }

    /// The state of a snapshot takes the place of what was applied.
    pub(super) fn on_restore(&mut self, node: NodeId, last: EntryId, logs: &Logs) -> Result<(), Violation> {
        let through = self.through(node);
        if last.index <= through {
            let what = format!("{node} applied {through} and restored {last}");
            return Err(Violation::safety("a state is never replaced by an older one", what));
        }
        if logs.durable(node).get(position(last.index)) != Some(&last) {
            let what = format!("{node} restored {last}");
            return Err(Violation::safety("log and snapshot meet before the state is replaced", what));
        }
        self.through.insert(node, last.index);
        Ok(())
    }

    /// How far a node has applied since it started.
    pub(super) fn through(&self, node: NodeId) -> Index {
        self.through.get(&node).copied().unwrap_or_default()
    }

    pub(super) fn on_apply(
        &mut self,
        node: NodeId,
        entries: &[Entry],
        commits: &Commits,
        logs: &Logs,
    ) -> Result<(), Violation> {
        let broken = |rule, what| Err(Violation::safety(rule, what));
        let mut through = self.through(node);
        for entry in entries {
            if entry.id.index != through.next() {
                return broken(
                    "entries are applied in order, each once",
                    format!("{node} applied {} after {through}", entry.id),
                );
            }
            if commits.entry(entry.id.index) != Some(entry.id) {
                return broken(
                    "only committed entries are applied",
                    format!("{node} applied {}, committed is {:?}", entry.id, commits.entry(entry.id.index)),
                );
            }
            if logs.damage(node).is_some_and(|damage| damage.is_lost(entry.id)) {
                return broken("no damaged entry is applied", format!("{node} applied {}", entry.id));
            }
            if logs.durable(node).get(position(entry.id.index)) != Some(&entry.id) {
                return broken(
                    "nothing is applied before it is on the node's own disk",
                    format!("{node} applied {}", entry.id),
                );
            }
            if !logs.is_known(entry) {
                return broken(
                    "the entry that is applied is the entry that was written",
                    format!("{node} applied another command under {}", entry.id),
                );
            }
            through = entry.id.index;
        }
        self.through.insert(node, through);
        Ok(())
    }

    pub(super) fn on_state(&mut self, node: NodeId, index: Index, fingerprint: u64) -> Result<(), Violation> {
        let at = position(index);
        if self.states.len() <= at {
            self.states.resize(at + 1, None);
        }
        let (known, first) = *self.states[at].get_or_insert((fingerprint, node));
        if known == fingerprint {
            return Ok(());
        }
        Err(Violation::safety(
            "equal states at equal indices",
            format!("{node} and {first} differ after applying {index}"),
        ))
    }
}
