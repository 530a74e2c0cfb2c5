//! The check that nobody leads with a full disk for longer than it takes to hand over.

use quorate_core::types::{NodeId, Term};

use super::Violation;
use super::by_node::ByNode;

/// For how long each node has led although its disk is full.
#[derive(Debug, Default)]
pub(super) struct FullLeaders(ByNode<(Term, u64)>);

impl FullLeaders {
    /// A node ends a turn in which so many ticks passed for it, and leads this term although its disk is full, or does not (`None`).
    pub(super) fn on_turn(
        &mut self,
        node: NodeId,
        led: Option<Term>,
        ticks: u64,
        timeout_ticks: u64,
    ) -> Result<(), Violation> {
        let Some(term) = led else {
            self.0.remove(&node);
            return Ok(());
        };
        let before = self.0.get(&node).filter(|(before, _)| *before == term).map(|(_, passed)| *passed);
        let passed = before.map_or(0, |passed| passed + ticks);
        self.0.insert(node, (term, passed));
        // A transfer ends after one election timeout, whatever comes of it.
        if passed > 2 * timeout_ticks {
            return Err(Violation::safety(
                "a leader whose disk is full gives way",
                format!("{node} leads {term} and has been full for {passed} ticks"),
            ));
        }
        Ok(())
    }
}
