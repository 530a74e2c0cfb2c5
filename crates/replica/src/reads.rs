//! Linearizable reads on any node (thesis 6.4): ask the leader for an index, wait until the local applier was handed all
//! up to it, then read. One question of a turn stands for all its reads.

use std::collections::{BTreeMap, VecDeque};

use quorate_core::types::{Index, NodeId};

use crate::input::Ticket;
use crate::ticks::earlier;

/// The reads without an answer.
///
/// Invariant: a read is confirmed only by a question that was asked after the read came in. Questions have numbers that
/// no other question of this node ever had, also before a restart, so that a late answer confirms nothing newer.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Not asked for yet.
    waiting: VecDeque<Read>,
    /// Questions of peers, not asked for yet.
    peers_waiting: Vec<(NodeId, Ticket)>,
    /// Before this tick nothing is asked: the last attempt was refused.
    not_before: u64,
    /// Asked for. Invariant: the ticks at which they are asked again rise with their numbers.
    questions: BTreeMap<u64, Question>,
    /// Those that have their index and wait for the applier.
    confirmed: BTreeMap<Index, Vec<Read>>,
    /// Local reads in all places.
    len: usize,
    /// Questions of peers in all places.
    peers_len: usize,
    /// No local read ends by time before this tick.
    expiry: u64,
}

/// One local read.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Read {
    pub(crate) ticket: Ticket,
    /// Given up at this tick.
    pub(crate) deadline: u64,
}

/// One question, for all reads of a turn.
#[derive(Debug)]
pub(crate) struct Question {
    /// Who was asked: this node itself if it led.
    of: NodeId,
    /// Asked again from this tick on.
    resend_at: u64,
    reads: Vec<Read>,
    peers: Vec<(NodeId, Ticket)>,
}

impl Reads {
    /// How many local reads wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many questions of peers wait.
    pub(crate) fn peers_len(&self) -> usize {
        self.peers_len
    }

    /// Takes in a local read.
    pub(crate) fn push(&mut self, read: Read) {
        self.expiry = if self.len == 0 { read.deadline } else { self.expiry.min(read.deadline) };
        self.len += 1;
        self.waiting.push_back(read);
    }

    /// Takes in a peer's question.
    pub(crate) fn push_peer(&mut self, peer: NodeId, ticket: Ticket) {
        self.peers_len += 1;
        self.peers_waiting.push((peer, ticket));
    }

    /// Whether a question is due: from a peer at once, for local reads once the pause is over.
    pub(crate) fn wants_question(&self, tick: u64) -> bool {
        !self.peers_waiting.is_empty() || (!self.waiting.is_empty() && tick >= self.not_before)
    }

    /// Asks the leader `of` for all that waits. Peers' questions go along; they are for a leader only.
    pub(crate) fn ask(&mut self, number: u64, of: NodeId, resend_at: u64) {
        let question = Question {
            of,
            resend_at,
            reads: self.waiting.drain(..).collect(),
            peers: std::mem::take(&mut self.peers_waiting),
        };
        assert!(!(question.reads.is_empty() && question.peers.is_empty()), "a question stands for somebody");
        assert!(
            self.questions
                .last_key_value()
                .is_none_or(|(last, newest)| *last < number && newest.resend_at <= resend_at),
            "questions are asked again in the order of their numbers"
        );
        let before = self.questions.insert(number, question);
        assert!(before.is_none(), "a question's number is never used again");
    }

    /// This node does not lead: the questions of peers that wait here, to be refused.
    pub(crate) fn refuse_peers(&mut self) -> Vec<(NodeId, Ticket)> {
        self.peers_len -= self.peers_waiting.len();
        std::mem::take(&mut self.peers_waiting)
    }

    /// Question `number` has its answer: how many local reads it was for, and the peers to be told. Answers to questions that are no
    /// longer open change nothing.
    pub(crate) fn on_answer(&mut self, number: u64, index: Index) -> (usize, Vec<(NodeId, Ticket)>) {
        let Some(question) = self.questions.remove(&number) else {
            return (0, Vec::new());
        };
        let local_len = question.reads.len();
        if !question.reads.is_empty() {
            self.confirmed.entry(index).or_default().extend(question.reads);
        }
        self.peers_len -= question.peers.len();
        (local_len, question.peers)
    }

    /// Question `number` was refused: its reads wait for another one, not before `not_before`. The peers to be told.
    pub(crate) fn on_refusal(&mut self, number: u64, not_before: u64) -> Vec<(NodeId, Ticket)> {
        let Some(question) = self.questions.remove(&number) else {
            return Vec::new();
        };
        self.not_before = not_before;
        self.waiting.extend(question.reads);
        self.peers_len -= question.peers.len();
        question.peers
    }

    /// The numbers of the questions that are to be asked again by `tick`.
    pub(crate) fn stale(&self, tick: u64) -> Vec<u64> {
        let due = |(_, question): &(&u64, &Question)| question.resend_at <= tick;
        self.questions.iter().take_while(due).map(|(number, _)| *number).collect()
    }

    /// Whether question `number` was asked of `node`.
    pub(crate) fn asked(&self, number: u64, node: NodeId) -> bool {
        self.questions.get(&number).is_some_and(|question| question.of == node)
    }

    /// The applier was handed all up to `handed`: the reads that are served now, each with its index.
    pub(crate) fn serve(&mut self, handed: Index) -> Vec<(Ticket, Index)> {
        let mut served = Vec::new();
        while let Some(first) = self.confirmed.first_entry()
            && *first.key() <= handed
        {
            let index = *first.key();
            served.extend(first.remove().into_iter().map(|read| (read.ticket, index)));
        }
        self.len -= served.len();
        served
    }

    /// The disk is full, and the log on it ends with `last`: gives up the local reads that must see more than that, and without a leader
    /// also those that wait to be asked for.
    pub(crate) fn refuse_starved(&mut self, last: Index, leaderless: bool) -> Vec<Ticket> {
        let starved = self.confirmed.split_off(&last.next());
        let mut refused: Vec<Ticket> = starved.into_values().flatten().map(|read| read.ticket).collect();
        if leaderless {
            refused.extend(self.waiting.drain(..).map(|read| read.ticket));
        }
        assert!(refused.len() <= self.len, "only reads that wait are given up");
        self.len -= refused.len();
        refused
    }

    /// Gives up the local reads whose time is over.
    pub(crate) fn expire(&mut self, tick: u64) -> Vec<Ticket> {
        if self.len == 0 || tick < self.expiry {
            return Vec::new();
        }
        let mut expired = Vec::new();
        let mut expiry = u64::MAX;
        let mut keep = |read: &Read| {
            if read.deadline <= tick {
                expired.push(read.ticket);
                return false;
            }
            expiry = expiry.min(read.deadline);
            true
        };
        self.waiting.retain(&mut keep);
        self.questions.values_mut().for_each(|question| question.reads.retain(&mut keep));
        self.confirmed.values_mut().for_each(|reads| reads.retain(&mut keep));
        self.confirmed.retain(|_, reads| !reads.is_empty());
        self.questions.retain(|_, question| !question.reads.is_empty() || !question.peers.is_empty());
        self.expiry = expiry;
        self.len -= expired.len();
        assert!(self.len > 0 || self.waiting.is_empty(), "the count of reads is that of the reads");
        expired
    }

    /// The next tick after `tick` at which time alone changes something.
    pub(crate) fn next_tick(&self, tick: u64) -> Option<u64> {
        let expiry = (self.len > 0).then_some(self.expiry);
        let pause = (!self.waiting.is_empty() && self.not_before > tick).then_some(self.not_before);
        let resend = self.questions.values().next().map(|oldest| oldest.resend_at);
        earlier(earlier(expiry, pause), resend)
    }
}
