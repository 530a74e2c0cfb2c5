//! Linearizable reads without a log entry (thesis 6.4).
//!
//! A read takes the commit index of the moment and waits until a quorum has answered a heartbeat round that began after the
//! read came in. Only then is it certain that no newer leader had committed anything before the read began. Reads of a turn
//! share a round. A leader that has not committed an entry of its own term does not know the commit index yet: its reads wait.

use std::collections::VecDeque;

use crate::types::Index;

/// Reads that wait at the leader.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Reads {
    /// Reads without a round, oldest first.
    held: Vec<u64>,
    /// Reads with a round. Invariant: rounds rise strictly, indices never fall.
    rounds: VecDeque<ReadRound>,
    /// How many reads wait in all.
    len: usize,
}

/// The reads of one heartbeat round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ReadRound {
    /// The round.
    pub(crate) round: u64,
    /// The commit index when the round began.
    pub(crate) index: Index,
    /// Who reads.
    pub(crate) tickets: Vec<u64>,
}

impl Reads {
    /// How many reads wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether reads wait for a round to begin.
    pub(crate) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// A read came in.
    pub(crate) fn hold(&mut self, ticket: u64) {
        self.held.push(ticket);
        self.len += 1;
    }

    /// The reads that have no round: they are served at once.
    pub(crate) fn take_held(&mut self) -> Vec<u64> {
        assert!(self.held.len() <= self.len, "no read is served twice");
        self.len -= self.held.len();
        std::mem::take(&mut self.held)
    }

    /// Round `round` begins now, with this commit index: it serves all reads that have none yet.
    pub(crate) fn begin_round(&mut self, round: u64, index: Index) {
        assert!(self.rounds.back().is_none_or(|newest| newest.round < round), "rounds only rise");
        assert!(
            self.rounds.back().is_none_or(|newest| newest.index <= index),
            "the commit index never falls"
        );
        self.rounds.push_back(ReadRound { round, index, tickets: std::mem::take(&mut self.held) });
    }

    /// A quorum has answered this round or a later one: its reads and all before it may be served.
    pub(crate) fn confirm(&mut self, confirmed: impl Fn(u64) -> bool) -> Vec<(u64, Index)> {
        let mut served = Vec::new();
        while let Some(oldest) = self.rounds.front() {
            if !confirmed(oldest.round) {
                break;
            }
            let ReadRound { index, tickets, .. } =
                self.rounds.pop_front().expect("it was looked at just now");
            served.extend(tickets.into_iter().map(|ticket| (ticket, index)));
        }
        assert!(served.len() <= self.len, "no read is served twice");
        self.len -= served.len();
        served
    }

    /// The node leads no more: these reads must be refused.
    pub(crate) fn drain(&mut self) -> Vec<u64> {
        let rounds = std::mem::take(&mut self.rounds);
        let mut tickets: Vec<u64> = rounds.into_iter().flat_map(|round| round.tickets).collect();
        tickets.append(&mut self.held);
        assert!(tickets.len() == self.len, "every read is answered once");
        self.len = 0;
        tickets
    }

    /// The rounds, for the invariants.
    pub(crate) fn rounds(&self) -> &VecDeque<ReadRound> {
        &self.rounds
    }

    /// Reads without a round, for the canonical encoding.
    pub(crate) fn held(&self) -> &[u64] {
        &self.held
    }
}
