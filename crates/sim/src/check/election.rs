//! Election safety: at most one leader in a term, over the whole history of the run (thesis 3.4, figure 3.2), and what it
//! rests on: at most one vote of a node in a term, also across its crashes.

use std::collections::BTreeMap;

use quorate_core::types::{NodeId, Term};

use super::Violation;

/// Every leader and every vote of the run.
#[derive(Debug, Default)]
pub struct Elections {
    leaders: BTreeMap<Term, NodeId>,
    /// The leader that was seen last: nearly always it is seen again.
    seen_last: Option<(NodeId, Term)>,
    votes: BTreeMap<(NodeId, Term), NodeId>,
}

impl Elections {
    /// `node` leads `term`. True when that is news.
    pub(super) fn on_leader(&mut self, node: NodeId, term: Term) -> Result<bool, Violation> {
        if self.seen_last.replace((node, term)) == Some((node, term)) {
            return Ok(false);
        }
        match self.leaders.insert(term, node) {
            None => Ok(true),
            Some(known) if known == node => Ok(false),
            Some(known) => Err(Violation::safety(
                "election safety (one leader in a term)",
                format!("{node} leads {term}, which {known} led already"),
            )),
        }
    }

    /// `node` gave its vote to `candidate`: the vote became durable, or the world was told.
    pub(super) fn on_vote(&mut self, node: NodeId, term: Term, candidate: NodeId) -> Result<(), Violation> {
        match self.votes.insert((node, term), candidate) {
            Some(known) if known != candidate => Err(Violation::safety(
                "one vote of a node in a term",
                format!("{node} voted for {known} and then for {candidate} in {term}"),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether this voter is known to have voted so.
    pub(super) fn voted(&self, voter: NodeId, term: Term, candidate: NodeId) -> bool {
        self.votes.get(&(voter, term)) == Some(&candidate)
    }

    /// How many leaders there were.
    pub(super) fn leaders(&self) -> u64 {
        u64::try_from(self.leaders.len()).expect("a count of elections fits 64 bits")
    }
}
