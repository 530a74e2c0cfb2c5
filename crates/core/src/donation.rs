//! A voter that refuses a candidate for its older log gives it what it lacks (Omni-Paxos, EuroSys 2023, learns the same from promises). Where
//! links have failed so that one node alone hears a majority, and its log is older than that of another, nobody else can win and it
//! cannot win either (thesis 3.6.1): without this the cluster stands still although a majority is connected.
//!
//! Why it is safe: the candidate only ever adds entries *behind* its last one, and only if the voter's log holds exactly that last entry, so
//! that by log matching (3.5) both are equal up to it. What it adds are entries as a leader made them, in their places. It is as if an append of
//! that leader had been under way for a long time and came without anybody being told: nothing that the node holds is cut, nothing is
//! acknowledged, so nobody counts the copy for that leader, and entries of older terms still are committed only by an own entry
//! (3.6.2). Its log gets newer by (term, index), so who votes for it holds nothing that it lacks. None of this asks who is a voter, so
//! it is the same in a joint membership. To take the place of entries that the candidate holds would need a proof that no
//! leader counts them; it is not done.

use crate::entry::Entry;
use crate::message::{Ground, Message};
use crate::planted::{self, Bug};
use crate::raft::Raft;
use crate::ready::Fact;
use crate::role::RoleState;
use crate::types::{EntryId, NodeId, Term};

impl Raft {
    /// Sends a candidate whose log ends with `last` what it lacks, in place of a refusal. False if this node cannot: it does not hold that
    /// entry itself, or what comes behind it is not in memory.
    pub(crate) fn donate(&mut self, to: NodeId, last: EntryId) -> bool {
        let mut prev = last;
        if by_length() {
            prev = self.log.last_at_or_below(last);
        }
        let holds = self.log.term_at(prev.index) == Some(prev.term);
        if !self.config.donation || !holds || !self.log.damage().is_none() {
            return false;
        }
        let (from, through) = (prev.index.next(), self.log.last().index);
        let entries = self.log.entries(from, through, self.config.append_bytes_max).unwrap_or_default();
        if entries.is_empty() {
            return false;
        }
        self.send(to, Message::Donation { prev, entries });
        true
    }

    /// Whether a candidate whose log ends with `last` lacks something that this node holds (thesis 3.6.1).
    pub(crate) fn is_newer_than(&self, last: EntryId) -> bool {
        let own = self.binding_last();
        own > last || (by_length() && own.index > last.index)
    }

    /// A voter refuses, and brings what this candidate lacks: with it, it asks again. What does not fit is a refusal and nothing more.
    pub(crate) fn on_donation(&mut self, from: NodeId, term: Term, prev: EntryId, entries: Vec<Entry>) {
        let awaits = match &self.role {
            RoleState::PreCandidate(_) | RoleState::Candidate(_) => true,
            // The refusal that came before it may have ended the candidacy.
            RoleState::Follower(follower) => follower.leader.is_none(),
            RoleState::Leader(_) => false,
        };
        if !awaits {
            return;
        }
        if !self.config.donation {
            self.on_refused(from, term);
            return;
        }
        if let Some(reason) = self.unsound(prev, &entries) {
            self.ignore(from, reason);
            return;
        }
        let last = self.log.last();
        let donated = entries.last().map_or(prev, |entry| entry.id);
        if donated.index <= last.index {
            let differs = self.log.term_at(donated.index).is_some_and(|term| term != donated.term);
            if differs {
                self.on_refused(from, term);
            }
            // Else it was overtaken: what it brings is here, and the voter was asked again.
            return;
        }
        let fits = prev == last || entries.iter().any(|entry| entry.id == last);
        if !(fits || by_length()) || self.takes_nothing() || !self.log.damage().is_none() {
            self.on_refused(from, term);
            return;
        }
        for entry in entries {
            // What stands in front is the same here, or compacted: one of them is the last entry.
            if entry.id.index > last.index {
                self.log.append(entry);
            } else if by_length() && self.log.term_at(entry.id.index) != Some(entry.id.term) {
                self.log.truncate(entry.id.index);
                self.log.append(entry);
            }
        }
        assert!(self.log.last() > last || by_length(), "what is given makes the log newer");
        self.out.facts.push(Fact::Adopted { from, through: self.log.last() });
        self.ask_again();
    }

    /// A donation that brought nothing says no like any refusal of the present term.
    fn on_refused(&mut self, from: NodeId, term: Term) {
        if term == self.hard_state.term {
            match &self.role {
                RoleState::PreCandidate(_) => self.on_pre_vote_refused(from, false),
                RoleState::Candidate(_) => self.on_vote_response(from, false),
                RoleState::Follower(_) | RoleState::Leader(_) => {}
            }
        }
    }

    /// The log is another one: who refused it is asked anew. The requests for votes wait until it is durable, as ever.
    fn ask_again(&mut self) {
        let last = self.log.last();
        let stands = matches!(self.role, RoleState::PreCandidate(_) | RoleState::Candidate(_));
        if stands && !self.may_campaign() {
            // It was given the membership in which it has no vote.
            return self.become_follower(None, "it is no voter any more");
        }
        match &mut self.role {
            RoleState::PreCandidate(_) => self.pre_campaign(),
            RoleState::Candidate(role) => {
                role.votes.retain(|_, granted| *granted);
                for voter in self.other_voters() {
                    self.promise(voter, Message::VoteRequest { last, ground: Ground::Silence });
                }
            }
            RoleState::Follower(_) | RoleState::Leader(_) => {}
        }
    }
}

/// Logs are compared by their length alone: a mistake, made only to prove the checks.
fn by_length() -> bool {
    planted::is(Bug::DonationByLength)
}
