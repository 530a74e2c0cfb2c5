//! The whole state of a node as bytes, in one canonical form: two nodes with the same bytes and the same configuration do
//! the same for ever. Comparing runs and exploring the states of a cluster both need it. It is never written to disk or wire.

use bytes::{BufMut, BytesMut};

use crate::log::Log;
use crate::progress::{Progress, Sending};
use crate::raft::{Outbox, Raft};
use crate::rng::Rng;
use crate::role::{Leader, RoleState};
use crate::types::{EntryId, NodeId, WriteNumber};

impl Raft {
    /// Brings the node into the one state that stands for all that differ from it only in what an explorer of states does
    /// not tell apart. Not for production: the node forgets when its timers fire.
    ///
    /// - The generator starts over and every timer has just been restarted. What a peer's silence means is kept in two
    ///   steps: shorter than an election timeout, or not.
    /// - The writes under way are numbered from 1 on. Numbers are only ever compared with each other.
    pub fn forget_time(&mut self) {
        let timeout = self.config.election_timeout_ticks;
        let in_two_steps = |ticks: &mut u64| *ticks = if *ticks < timeout { 0 } else { timeout };
        self.rng = Rng::new(self.config.seed);
        self.election_elapsed_ticks = 0;
        self.election_due_ticks = timeout;
        let numbers = self.log.renumber_writes();
        assert!(
            numbers.iter().all(|number| *number <= self.write_number),
            "only what was handed out is under way"
        );
        self.write_number = WriteNumber(numbers.len() as u64);
        match &mut self.role {
            RoleState::Follower(follower) => in_two_steps(&mut follower.silent_ticks),
            RoleState::PreCandidate(_) => {}
            RoleState::Candidate(candidate) => {
                if let Some(write) = &mut candidate.own_vote_write {
                    // A write that is not under way is durable, and so below all that are.
                    let place = numbers.iter().position(|number| number == write);
                    *write = WriteNumber(place.map_or(0, |place| place as u64 + 1));
                }
            }
            RoleState::Leader(leader) => {
                leader.heartbeat_elapsed_ticks = 0;
                if let Some(transfer) = &mut leader.transfer {
                    transfer.elapsed_ticks = 0;
                }
                leader.peers.values_mut().for_each(|peer| in_two_steps(&mut peer.silent_ticks));
            }
        }
    }

    /// Appends the whole state but the configuration, which never changes.
    ///
    /// # Panics
    /// If a turn is under way: what the last [`Raft::ready`] has not taken yet is no part of the state.
    pub fn encode_state(&self, out: &mut BytesMut) {
        assert!(self.out == Outbox::default(), "the state is looked at between turns");
        self.hard_state.encode(out);
        out.put_u8(u8::from(self.hard_state_is_new));
        for number in [
            self.commit.0,
            self.applied.0,
            self.election_elapsed_ticks,
            self.election_due_ticks,
            self.wall_ms,
            self.write_number.0,
        ] {
            out.put_u64_le(number);
        }
        for word in self.rng.words() {
            out.put_u64_le(word);
        }
        out.put_u8(u8::from(self.reading_back));
        put_log(out, &self.log);
        match &self.role {
            RoleState::Follower(follower) => {
                out.put_u8(0);
                out.put_u64_le(follower.leader.map_or(0, NodeId::get));
                out.put_u64_le(follower.silent_ticks);
            }
            RoleState::PreCandidate(role) => {
                out.put_u8(1);
                put_answers(out, &role.answers);
            }
            RoleState::Candidate(role) => {
                out.put_u8(2);
                put_answers(out, &role.votes);
                out.put_u64_le(role.own_vote_write.map_or(0, |write| write.0));
            }
            RoleState::Leader(leader) => {
                out.put_u8(3);
                put_leader(out, leader);
            }
        }
    }
}

fn put_log(out: &mut BytesMut, log: &Log) {
    put_id(out, log.base());
    put_id(out, log.last());
    for number in [log.last_timestamp_ms(), log.persisted().0, log.unwritten().0] {
        out.put_u64_le(number);
    }
    put_len(out, log.term_starts().len());
    for start in log.term_starts() {
        put_id(out, *start);
    }
    put_len(out, log.memberships().len());
    for (index, membership) in log.memberships() {
        out.put_u64_le(index.0);
        membership.encode(out);
    }
    put_len(out, log.window().len());
    for entry in log.window() {
        entry.encode(out);
    }
    put_len(out, log.writes().len());
    for write in log.writes() {
        out.put_u64_le(write.number.0);
        out.put_u64_le(write.through.0);
    }
}

fn put_answers(out: &mut BytesMut, answers: &std::collections::BTreeMap<NodeId, bool>) {
    put_len(out, answers.len());
    for (node, granted) in answers {
        out.put_u64_le(node.get());
        out.put_u8(u8::from(*granted));
    }
}

fn put_leader(out: &mut BytesMut, leader: &Leader) {
    let ticks = [leader.heartbeat_elapsed_ticks, leader.disk_silent_ticks];
    for number in ticks.into_iter().chain([leader.round, leader.term_first.0]) {
        out.put_u64_le(number);
    }
    // No node has the number 0, so a leader without a transfer is told from any other.
    let transfer = leader.transfer;
    for number in [
        transfer.map_or(0, |transfer| transfer.to.get()),
        transfer.map_or(0, |transfer| transfer.ticket),
        transfer.map_or(0, |transfer| transfer.elapsed_ticks),
    ] {
        out.put_u64_le(number);
    }
    put_len(out, leader.reads.held().len());
    for ticket in leader.reads.held() {
        out.put_u64_le(*ticket);
    }
    put_len(out, leader.reads.rounds().len());
    for read in leader.reads.rounds() {
        out.put_u64_le(read.round);
        out.put_u64_le(read.index.0);
        put_len(out, read.tickets.len());
        for ticket in &read.tickets {
            out.put_u64_le(*ticket);
        }
    }
    put_len(out, leader.peers.len());
    for (node, progress) in &leader.peers {
        out.put_u64_le(node.get());
        put_progress(out, progress);
    }
}

fn put_progress(out: &mut BytesMut, progress: &Progress) {
    for number in [
        progress.matched().0,
        progress.next().0,
        progress.silent_ticks,
        progress.confirmed_round,
        progress.sent_round(),
        // No fetch begins at index 0: nothing stands there.
        progress.fetching().map_or(0, |index| index.0),
    ] {
        out.put_u64_le(number);
    }
    match &progress.sending {
        Sending::Probe { asked, bare } => {
            out.put_u8(0);
            out.put_u8(u8::from(*asked));
            out.put_u8(u8::from(*bare));
        }
        Sending::Replicate { inflight, inflight_bytes: _ } => {
            out.put_u8(1);
            put_len(out, inflight.len());
            for (last, bytes) in inflight {
                out.put_u64_le(last.0);
                put_len(out, *bytes);
            }
        }
    }
}

fn put_id(out: &mut BytesMut, id: EntryId) {
    out.put_u64_le(id.term.0);
    out.put_u64_le(id.index.0);
}

fn put_len(out: &mut BytesMut, len: usize) {
    out.put_u64_le(len as u64);
}
