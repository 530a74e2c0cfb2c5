//! Linearizable reads in the replica: one question for all reads of a turn, the index that answers it, and who is told. What waits stands in
//! `reads.rs`. The other part of `replica.rs`.

use quorate_core::ready;
use quorate_core::types::Index;

use crate::effect::Effect;
use crate::error::ReadError;
use crate::input::Ticket;
use crate::peer_message::PeerMessage;
use crate::reads::Read;
use crate::replica::Replica;

impl Replica {
    pub(crate) fn on_read(&mut self, ticket: Ticket) {
        if self.reads.len() >= self.config.reads_len_max {
            return self.refuse_read(ticket, ReadError::Overloaded);
        }
        self.reads.push(Read { ticket, deadline: self.tick + self.config.read_timeout_ticks });
    }

    pub(crate) fn refuse_read(&mut self, ticket: Ticket, error: ReadError) {
        self.metrics.reads_refused += 1;
        self.effects.push(Effect::RefuseRead { ticket, error });
    }

    /// Questions that are too old, or all, because they were asked of a leadership that is over, are asked again in this turn.
    pub(crate) fn ask_stale_anew(&mut self, all: bool) {
        let sent_until = if all { u64::MAX } else { self.tick };
        for number in self.reads.stale(sent_until) {
            for (peer, ticket) in self.reads.on_refusal(number, self.tick) {
                self.send(peer, PeerMessage::ForwardReadReply { ticket, index: None });
            }
        }
    }

    /// One question for all reads of this turn: to the own protocol if this node leads, else to the leader if one is known.
    pub(crate) fn send_question(&mut self) {
        let node = self.raft.node();
        if !self.leads() {
            for (peer, ticket) in self.reads.refuse_peers() {
                self.send(peer, PeerMessage::ForwardReadReply { ticket, index: None });
            }
        }
        if !self.reads.wants_question(self.tick) {
            return;
        }
        let Some(leader) = self.raft.leader() else {
            return;
        };
        let number = self.next_number();
        self.reads.ask(number, leader, self.tick + self.config.forward_retry_ticks);
        if leader == node {
            self.raft.step(ready::Input::ReadIndex { ticket: number });
        } else {
            self.send(leader, PeerMessage::ForwardRead { ticket: Ticket(number) });
        }
    }

    /// A question has its index: local reads wait for the applier, peers are told. How many it stood for.
    pub(crate) fn on_read_index(&mut self, number: u64, index: Index) -> u64 {
        let (local_len, peers) = self.reads.on_answer(number, index);
        let len = (local_len + peers.len()) as u64;
        for (peer, ticket) in peers {
            self.send(peer, PeerMessage::ForwardReadReply { ticket, index: Some(index) });
        }
        len
    }

    pub(crate) fn on_question_refused(&mut self, number: u64) {
        let not_before = self.pause_until();
        for (peer, ticket) in self.reads.on_refusal(number, not_before) {
            self.send(peer, PeerMessage::ForwardReadReply { ticket, index: None });
        }
    }

    /// Serves the reads whose index the applier was handed: the effects stand behind the batches that they must see.
    pub(crate) fn serve_reads(&mut self) {
        for (ticket, index) in self.reads.serve(self.apply.handed()) {
            assert!(
                index <= self.apply.handed(),
                "no read is served before its index is handed to the applier"
            );
            self.metrics.reads_served += 1;
            self.effects.push(Effect::Read { ticket, index });
        }
    }

    /// A node whose disk is full does not get what came after: reads that must see it are told at once, not when their time is over.
    pub(crate) fn refuse_starved_reads(&mut self) {
        if self.reads.len() == 0 || !self.raft.must_not_lead() {
            return;
        }
        let (last, leaderless) = (self.raft.status().persisted, self.raft.leader().is_none());
        for ticket in self.reads.refuse_starved(last, leaderless) {
            self.refuse_read(ticket, ReadError::DiskFull);
        }
    }
}
