//! The whole state of a node as bytes, in one canonical form: two nodes with the same bytes and the same configuration do
//! the same for ever. Comparing runs and exploring the states of a cluster both need it. It is never written to disk or wire.
//!
//! And the state as it would be if the nodes had other names. No rule of the protocol asks which of two names is the smaller
//! one, so a cluster with other names does the same under these names; an explorer need not look at both.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use crate::changes::Changing;
use crate::codec::put_standing;
use crate::entry::{Entry, HardState, Membership, Payload};
use crate::fitness::Fitness;
use crate::log::Log;
use crate::log_time::Clocks;
use crate::message::{Envelope, Message};
use crate::pause::Pause;
use crate::progress::{Progress, Sending};
use crate::raft::{Outbox, Raft};
use crate::repair::Repair;
use crate::rng::Rng;
use crate::role::{Candidate, Follower, Leader, PreCandidate, RoleState};
use crate::transfer::Transfer;
use crate::types::{EntryId, NodeId, WriteNumber};
use crate::watch::Watch;

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
        self.fitness = Fitness::default();
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
                leader.watch = Watch::default();
                leader.clocks.asked = (0, 0);
                if let Some(transfer) = &mut leader.transfer {
                    transfer.elapsed_ticks = 0;
                }
                leader.changing.departing.values_mut().for_each(|ticks| *ticks = 0);
                for round in leader.changing.catching_up.values_mut() {
                    in_two_steps(&mut round.elapsed_ticks);
                }
                for peer in leader.peers.values_mut() {
                    in_two_steps(&mut peer.silent_ticks);
                    (peer.stalled_ticks, peer.standing) = (0, None);
                }
            }
        }
    }

    /// A transfer that is under way is an election timeout old: the next tick gives it up. Not for production: [`Raft::forget_time`]
    /// forgets how long it has been under way, and an explorer says when that is long enough.
    pub fn overdue_transfer(&mut self) {
        let timeout = self.config.election_timeout_ticks;
        if let RoleState::Leader(leader) = &mut self.role
            && let Some(transfer) = &mut leader.transfer
        {
            transfer.elapsed_ticks = timeout;
        }
        assert!(self.out == Outbox::default(), "time passes between turns");
    }

    /// Counts the newest write under way, which was empty, as a part of the one before it. Not for production.
    ///
    /// An empty write only holds messages back until the one before it is durable. That they then leave at once, and not a
    /// little later, is one of the things that can happen; that they leave later is the same as a slow network.
    ///
    /// # Panics
    /// If no other write is under way, or the newest one was not empty.
    pub fn join_empty_write(&mut self) {
        self.log.join_newest_write();
        self.write_number = WriteNumber(self.write_number.0 - 1);
    }

    /// The node as it would be if each node were called what `name` says. `name` gives no two nodes one name. The generator
    /// stays what it is, so the seeds of the nodes must be equal, as [`Raft::forget_time`] needs them as well.
    ///
    /// # Panics
    /// If a turn is under way.
    #[must_use]
    pub fn renamed(&self, name: Name<'_>) -> Raft {
        assert!(self.out == Outbox::default(), "the state is looked at between turns");
        let role = match &self.role {
            RoleState::Follower(Follower { leader, silent_ticks }) => {
                RoleState::Follower(Follower { leader: leader.map(name), silent_ticks: *silent_ticks })
            }
            RoleState::PreCandidate(PreCandidate { answers }) => {
                RoleState::PreCandidate(PreCandidate { answers: keys_renamed(answers, name) })
            }
            RoleState::Candidate(Candidate { votes, own_vote_write, clocks }) => {
                let (votes, clocks) = (keys_renamed(votes, name), keys_renamed(clocks, name));
                let own_vote_write = *own_vote_write;
                RoleState::Candidate(Candidate { votes, own_vote_write, clocks })
            }
            RoleState::Leader(leader) => RoleState::Leader(Box::new(leader_renamed(leader, name))),
        };
        // Every field is named here, so that one which is new cannot be forgotten.
        let Raft {
            mut config,
            rng,
            hard_state,
            hard_state_is_new,
            mut log,
            commit,
            applied,
            role: _,
            fitness,
            ..
        } = self.clone();
        let Raft {
            election_elapsed_ticks,
            election_due_ticks,
            wall_ms,
            promised,
            write_number,
            reading_back,
            members_told,
            ..
        } = *self;
        assert!(self.install.is_none(), "the state is looked at between turns");
        assert!(self.repair == Repair::default() && self.log.damage().is_none(), "no disk is damaged here");
        assert!(self.pause.is_none(), "no explorer fills disks");
        config.node = name(config.node);
        log.rename(name);
        Raft {
            config,
            rng,
            hard_state: hard_state.renamed(name),
            hard_state_is_new,
            log,
            commit,
            applied,
            role,
            fitness,
            election_elapsed_ticks,
            election_due_ticks,
            wall_ms,
            promised,
            write_number,
            reading_back,
            members_told,
            snapshot: self.snapshot,
            install: None,
            repair: Repair::default(),
            installing: None,
            pause: None,
            anew: self.anew,
            hard_state_write: self.hard_state_write,
            out: Outbox::default(),
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
            self.promised.clock_us.map_or(0, |us| us.saturating_add(1)),
            self.promised.held_until_us,
            self.promised.leader.term.0,
            self.promised.leader.round,
            self.promised.leader.until_us,
            self.write_number.0,
        ] {
            out.put_u64_le(number);
        }
        for word in self.rng.words() {
            out.put_u64_le(word);
        }
        out.put_u8(u8::from(self.reading_back));
        for number in self.pause.into_iter().flat_map(Pause::numbers) {
            out.put_u64_le(number);
        }
        assert!(self.install.is_none(), "the state is looked at between turns");
        assert!(self.repair == Repair::default() && self.log.damage().is_none(), "no disk is damaged here");
        put_id(out, self.snapshot);
        put_fitness(out, &self.fitness);
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
                put_len(out, role.clocks.len());
                for (node, wall_ms) in &role.clocks {
                    out.put_u64_le(node.get());
                    out.put_u64_le(*wall_ms);
                }
            }
            RoleState::Leader(leader) => {
                out.put_u8(3);
                put_leader(out, leader);
            }
        }
    }
}

/// What a node is called under other names.
pub type Name<'a> = &'a dyn Fn(NodeId) -> NodeId;

impl HardState {
    /// The same under other names.
    #[must_use]
    pub fn renamed(self, name: Name<'_>) -> HardState {
        HardState { term: self.term, vote: self.vote.map(name) }
    }
}

impl Entry {
    /// The same under other names.
    #[must_use]
    pub fn renamed(&self, name: Name<'_>) -> Entry {
        let Entry { id, timestamp_ms, payload } = self;
        let payload = match payload {
            Payload::Noop => Payload::Noop,
            Payload::Command(command) => Payload::Command(command.clone()),
            Payload::Membership(membership) => Payload::Membership(Arc::new(membership.renamed(name))),
        };
        Entry { id: *id, timestamp_ms: *timestamp_ms, payload }
    }
}

impl Membership {
    /// The same under other names.
    #[must_use]
    pub fn renamed(&self, name: Name<'_>) -> Membership {
        let Membership { voters, voters_outgoing, learners, promotions, addresses, id_given } = self;
        let promotions = keys_renamed(promotions, name);
        let promotions = promotions.into_iter().map(|(node, replaced)| (node, replaced.map(name))).collect();
        let addresses = keys_renamed(addresses, name);
        let [voters, voters_outgoing, learners] =
            [voters, voters_outgoing, learners].map(|nodes| nodes.iter().copied().map(name).collect());
        Membership { voters, voters_outgoing, learners, promotions, addresses, id_given: *id_given }
    }
}

impl Envelope {
    /// The same under other names.
    #[must_use]
    pub fn renamed(&self, name: Name<'_>) -> Envelope {
        let mut message = self.message.clone();
        match &mut message {
            Message::AppendRequest { prev: _, entries, commit: _ }
            | Message::Donation { prev: _, entries } => {
                entries.iter_mut().for_each(|entry| *entry = entry.renamed(name));
            }
            Message::PreVoteRequest { last: _ }
            | Message::PreVoteResponse { granted: _ }
            | Message::VoteRequest { last: _, ground: _ }
            | Message::VoteResponse { granted: _, wall_ms: _ }
            | Message::AppendResponse { matched: _ }
            | Message::AppendRejected { prev: _, hint: _ }
            | Message::SnapshotOffer { last: _ }
            | Message::Heartbeat { commit: _, round: _, asks_promise: _ }
            | Message::HeartbeatResponse { round: _, standing: _, wall_ms: _, features: _, promise_us: _ }
            | Message::RepairRequest { wanted: _, state_behind: _ }
            | Message::TimeoutNow { round: _ } => {}
            Message::RepairResponse { entries, snapshot: _ } => {
                entries.iter_mut().for_each(|entry| *entry = entry.renamed(name));
            }
        }
        Envelope { from: name(self.from), to: name(self.to), term: self.term, message }
    }
}

fn leader_renamed(leader: &Leader, name: Name<'_>) -> Leader {
    // Every field is named here, so that one which is new cannot be forgotten.
    let Leader { peers, disk_silent_ticks, round, reads, transfer, changing, watch, clocks, lease, .. } =
        leader.clone();
    let Leader { heartbeat_elapsed_ticks, term_first, .. } = *leader;
    let Changing { asker, catching_up, departing } = changing;
    let changing = Changing {
        asker: asker.map(|(ticket, node)| (ticket, node.map(name))),
        catching_up: keys_renamed(&catching_up, name),
        departing: keys_renamed(&departing, name),
    };
    let transfer = transfer.map(|transfer| Transfer { to: name(transfer.to), ..transfer });
    let Clocks { shown, reached_ms, asked, off, features } = clocks;
    let (shown, off) = (keys_renamed(&shown, name), keys_renamed(&off, name));
    let clocks = Clocks { shown, reached_ms, asked, off, features: keys_renamed(&features, name) };
    let peers = keys_renamed(&peers, name);
    Leader {
        peers,
        heartbeat_elapsed_ticks,
        disk_silent_ticks,
        round,
        reads,
        term_first,
        transfer,
        changing,
        watch,
        clocks,
        lease,
    }
}

fn keys_renamed<T: Clone>(map: &BTreeMap<NodeId, T>, name: Name<'_>) -> BTreeMap<NodeId, T> {
    let renamed: BTreeMap<NodeId, T> = map.iter().map(|(node, value)| (name(*node), value.clone())).collect();
    assert!(renamed.len() == map.len(), "no two nodes get one name");
    renamed
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

fn put_fitness(out: &mut BytesMut, fitness: &Fitness) {
    let Fitness { disk, rest, handover, passed } = fitness;
    let pauses = [rest, handover].map(|pause| [pause.left_ticks, pause.len_ticks, pause.over_ticks]);
    for number in pauses.into_iter().flatten().chain([disk.since_ticks, disk.mean_sixteenths, *passed]) {
        out.put_u64_le(number);
    }
}

fn put_watch(out: &mut BytesMut, watch: &Watch) {
    let Watch { led_ticks, behind, behind_ticks, giving_way } = watch;
    // Nothing is committed at index 0, so a disk that is not behind is told from any other.
    let (through, ticks) = behind.map_or((0, 0), |(through, ticks)| (through.0, ticks));
    for number in [*led_ticks, through, ticks, *behind_ticks] {
        out.put_u64_le(number);
    }
    out.put_u8(u8::from(giving_way.is_some()));
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
        transfer.and_then(|transfer| transfer.ticket).unwrap_or(0),
        transfer.map_or(0, |transfer| transfer.elapsed_ticks),
    ] {
        out.put_u64_le(number);
    }
    put_len(out, leader.lease.rounds().len());
    for (round, sent_us) in leader.lease.rounds() {
        out.put_u64_le(*round);
        out.put_u64_le(*sent_us);
    }
    put_changing(out, &leader.changing);
    put_watch(out, &leader.watch);
    put_clocks(out, &leader.clocks);
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

fn put_changing(out: &mut BytesMut, changing: &Changing) {
    put_len(out, usize::from(changing.asker.is_some()));
    if let Some((ticket, node)) = changing.asker {
        out.put_u64_le(ticket);
        out.put_u64_le(node.map_or(0, NodeId::get));
    }
    put_len(out, changing.catching_up.len());
    for (learner, round) in &changing.catching_up {
        for number in [learner.get(), round.goal.0, round.elapsed_ticks] {
            out.put_u64_le(number);
        }
    }
    put_len(out, changing.departing.len());
    for (node, ticks) in &changing.departing {
        out.put_u64_le(node.get());
        out.put_u64_le(*ticks);
    }
}

fn put_clocks(out: &mut BytesMut, clocks: &Clocks) {
    for number in [clocks.reached_ms, clocks.asked.0, clocks.asked.1] {
        out.put_u64_le(number);
    }
    put_len(out, clocks.shown.len());
    for (node, shown) in &clocks.shown {
        for number in [node.get(), shown.round, shown.wall_ms] {
            out.put_u64_le(number);
        }
        out.put_u8(u8::from(shown.skew_ms.is_some()));
        out.put_i64_le(shown.skew_ms.unwrap_or(0));
    }
    put_len(out, clocks.off.len());
    for (node, by_ms) in &clocks.off {
        out.put_u64_le(node.get());
        out.put_i64_le(*by_ms);
    }
    put_len(out, clocks.features.len());
    for (node, features) in &clocks.features {
        out.put_u64_le(node.get());
        out.put_u16_le(*features);
    }
}

fn put_progress(out: &mut BytesMut, progress: &Progress) {
    for number in [
        progress.matched().0,
        progress.next().0,
        progress.silent_ticks,
        progress.stalled_ticks,
        progress.confirmed_round,
        progress.sent_round(),
        progress.promised_until_us,
        // No fetch begins at index 0: nothing stands there.
        progress.fetching().map_or(0, |index| index.0),
    ] {
        out.put_u64_le(number);
    }
    put_len(out, usize::from(progress.standing.is_some()));
    progress.standing.iter().for_each(|standing| put_standing(out, *standing));
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
        Sending::Snapshot { offered } => {
            out.put_u8(2);
            out.put_u8(u8::from(*offered));
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
