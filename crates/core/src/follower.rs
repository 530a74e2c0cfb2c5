//! Taking entries from a leader (thesis 3.5): the consistency check, truncation of what conflicts, and how far a follower
//! may commit. Every rule here holds for messages that are late, repeated or overtaken.

use crate::entry::Entry;
use crate::message::Message;
use crate::planted::{self, Bug};
use crate::raft::Raft;
use crate::ready::Fact;
use crate::role::RoleState;
use crate::types::{EntryId, Index, NodeId};

impl Raft {
    /// The leader of this term was heard. A candidate gives up for it whatever else the message brings, also when the logs
    /// do not fit yet.
    ///
    /// # Panics
    /// If another node was known to lead this term: two leaders of one term are a broken election, and going on would let
    /// two logs grow apart.
    pub(crate) fn hear_leader(&mut self, leader: NodeId) {
        assert!(self.leader().is_none_or(|known| known == leader), "a term has one leader");
        match &mut self.role {
            RoleState::Candidate(_) if planted::is(Bug::CandidateIgnoresLeader) => {}
            RoleState::Follower(follower) if follower.leader == Some(leader) => follower.silent_ticks = 0,
            RoleState::Follower(_) | RoleState::PreCandidate(_) | RoleState::Candidate(_) => {
                self.become_follower(Some(leader), "the leader of the term was heard");
            }
            RoleState::Leader(_) => {
                unreachable!("a leader is known to itself, so it cannot hear another one")
            }
        }
        self.election_elapsed_ticks = 0;
        self.fitness.passed = 0;
    }

    /// Entries, or a question without any. If the entry at `prev` is here, the logs agree up to it (Log Matching), and what
    /// the request brings is appended; only an entry that contradicts it is cut away, with all behind it. A request that is
    /// late brings what is here already and changes nothing.
    ///
    /// A node whose window or disk is full takes nothing and does not answer what it cannot take. Any answer would make the leader
    /// send the same again at once, and both would do nothing else; so the leader asks with its next heartbeat.
    pub(crate) fn on_append_request(
        &mut self,
        from: NodeId,
        prev: EntryId,
        entries: Vec<Entry>,
        commit: Index,
    ) {
        if let Some(reason) = self.unsound(prev, &entries) {
            self.ignore(from, reason);
            return;
        }
        self.hear_leader(from);
        if prev.index >= self.log.base().index && self.log.term_at(prev.index) != Some(prev.term) {
            if prev.index > self.log.last().index && self.takes_nothing() {
                return;
            }
            let hint = self.log.last_at_or_below(prev);
            self.send(from, Message::AppendRejected { prev: prev.index, hint });
            return;
        }
        let offers_entries = !entries.is_empty();
        let covered = self.append_new(from, prev, entries);
        // Above what this request covers the log may still hold entries of a deposed leader: they are not committed here.
        let bound = if planted::is(Bug::CommitBeyondCovered) { self.log.last().index } else { covered };
        self.commit_through(commit.min(bound));
        if covered > prev.index || !offers_entries {
            // The logs agree by their ids. What is damaged in between is not on this disk, whatever stands behind it.
            self.promise(from, Message::AppendResponse { matched: covered.min(self.log.at_hand()) });
        }
    }

    /// Appends those of `entries` that are not here. Returns the last index up to which the log is equal to the leader's.
    fn append_new(&mut self, from: NodeId, prev: EntryId, entries: Vec<Entry>) -> Index {
        let mut covered = prev.index;
        for entry in entries {
            let id = entry.id;
            if id.index <= self.log.last().index {
                // Entries before the base are covered by what was compacted, which was committed.
                let is_equal = self.log.term_at(id.index) == Some(id.term)
                    && !planted::is(Bug::CommittedEntriesTruncated);
                if id.index <= self.log.base().index || is_equal {
                    if is_equal && self.log.cure(&entry) {
                        self.out.facts.push(Fact::Repaired { entries: 1, from });
                    }
                    covered = id.index;
                    continue;
                }
                assert!(id.index > self.commit, "what is committed is never truncated");
                if self.is_paused() {
                    break;
                }
                self.log.truncate(id.index);
                self.out.facts.push(Fact::Truncated { from: id.index });
            } else if self.takes_nothing() {
                // The disk or the state machine does not keep up. What was taken before this entry is acknowledged.
                break;
            }
            self.log.append(entry);
            covered = id.index;
        }
        if planted::is(Bug::StaleAppendShortensLog)
            && covered >= self.commit
            && covered < self.log.last().index
        {
            self.log.truncate(covered.next());
        }
        assert!(covered >= prev.index, "a request covers at least what it builds on");
        covered
    }

    /// Whether there is no room for more entries: in the window, or on the disk.
    pub(crate) fn takes_nothing(&self) -> bool {
        self.log.is_full() || self.is_paused()
    }

    /// Why no correct leader sends such a request, if so. What comes from the wire must not reach an assertion.
    pub(crate) fn unsound(&self, prev: EntryId, entries: &[Entry]) -> Option<&'static str> {
        let mut before = prev;
        let mut timestamp_ms = 0;
        for entry in entries {
            if before.index.0.checked_add(1) != Some(entry.id.index.0) {
                return Some("entries are not consecutive");
            }
            if entry.id.term < before.term || entry.id.term > self.hard_state.term {
                return Some("the terms of entries fall, or exceed the sender's");
            }
            if entry.timestamp_ms < timestamp_ms {
                return Some("the timestamps of entries fall");
            }
            before = entry.id;
            timestamp_ms = entry.timestamp_ms;
        }
        (prev.term > self.hard_state.term).then_some("the term of an entry exceeds the sender's")
    }

    /// "I still lead." The commit index in it is capped at what this node acknowledged in this term, so all up to it is
    /// equal to the leader's log. The answer leaves at once: it promises nothing that has to be on a disk. That no newer term is
    /// known here is true now; and a vote that is promised away for a while is withheld for as long after a crash as well.
    pub(crate) fn on_heartbeat(&mut self, from: NodeId, commit: Index, round: u64, asks_promise: bool) {
        self.hear_leader(from);
        if commit > self.log.last().index {
            self.ignore(from, "the heartbeat commits what this node never acknowledged");
        } else {
            self.commit_through(commit);
        }
        let promise_us = if asks_promise { self.promise_leader(round) } else { 0 };
        let answer = self.heartbeat_answer(round, promise_us);
        self.send(from, answer);
    }
}
