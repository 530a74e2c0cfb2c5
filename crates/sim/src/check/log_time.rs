//! The time that entries carry: never further ahead than a quorum's clocks have ever shown, and the bound. So as long as a majority
//! of the clocks is right, no other one moves the time of the log.

use std::collections::BTreeMap;

use quorate_core::config::Config;
use quorate_core::entry::{Entry, Membership};
use quorate_core::types::NodeId;

use super::{Seen, Violation};

/// What the clocks have shown.
#[derive(Debug)]
pub struct LogTime {
    /// The latest time that each node's wall clock has shown to it.
    shown: BTreeMap<NodeId, u64>,
    /// The latest time of any entry.
    newest_ms: u64,
    /// How far an entry may be ahead.
    bound_ms: u64,
}

impl Default for LogTime {
    fn default() -> LogTime {
        let bound_ms = Config::new(NodeId::new(1)).clock_skew_max_ms;
        LogTime { shown: BTreeMap::new(), newest_ms: 0, bound_ms }
    }
}

impl LogTime {
    /// A node looks at its wall clock.
    pub(super) fn on_wall(&mut self, node: NodeId, wall_ms: u64) {
        let shown = self.shown.entry(node).or_default();
        *shown = wall_ms.max(*shown);
    }

    /// A leader asks for a write with entries of its own, under these memberships in the course of the turn.
    pub(super) fn on_write<'a>(
        &mut self,
        seen: Seen,
        entries: &[Entry],
        in_force: impl Iterator<Item = &'a Membership>,
    ) -> Result<(), Violation> {
        let own = entries.iter().filter(|entry| seen.leads && entry.id.term == seen.term);
        let Some(ahead) = own.filter(|entry| entry.timestamp_ms > self.newest_ms).last() else {
            return Ok(());
        };
        let reached = in_force.map(|membership| self.reached_by_quorum(membership)).max().unwrap_or(0);
        if ahead.timestamp_ms > reached.saturating_add(self.bound_ms) {
            let by_ms = ahead.timestamp_ms - reached;
            let what = format!("{} gave {} a time {by_ms} ms ahead: {:?}", seen.node, ahead.id, self.shown);
            return Err(Violation::safety("the time of the log stays with a quorum's clocks", what));
        }
        self.newest_ms = ahead.timestamp_ms;
        Ok(())
    }

    /// The latest time of any entry.
    pub(super) fn newest_ms(&self) -> u64 {
        self.newest_ms
    }

    /// The latest time that a majority of the voters, and of the outgoing ones if there are any, have been shown.
    fn reached_by_quorum(&self, membership: &Membership) -> u64 {
        let sets = [&membership.voters, &membership.voters_outgoing];
        let reached = sets.into_iter().filter(|voters| !voters.is_empty()).map(|voters| {
            let mut shown: Vec<u64> =
                voters.iter().map(|voter| self.shown.get(voter).copied().unwrap_or(0)).collect();
            shown.sort_unstable();
            // So many from the top are more than half.
            shown[(voters.len() - 1) / 2]
        });
        reached.min().unwrap_or(0)
    }
}
