//! One member without its I/O: the protocol, and everybody who waits for something that it decides.
//!
//! Every turn is the same, whatever came in: `begin_turn`, any number of `step`s, one `drain`. A step notes what
//! happened; the drain sends what is due (proposals and questions to the leader), asks the protocol once for all that
//! this turn changed, and hands committed entries to the applier. So one write, one message for each peer and one batch
//! carry all inputs of a turn.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_core::entry::Entry;
use quorate_core::raft::Raft;
use quorate_core::ready::{self, Fact, FetchFor, Ready, Refusal};
use quorate_core::status::Role;
use quorate_core::types::{Index, NodeId, Term};

use crate::apply_queue::ApplyQueue;
use crate::config::ReplicaConfig;
use crate::divergence::{Difference, Divergence, StateMark};
use crate::effect::{ApplyBatch, Effect, FetchPurpose, Outcome};
use crate::error::ReadError;
use crate::hash::Jitter;
use crate::input::{Input, Now, Ticket};
use crate::level::Level;
use crate::peer_message::{ForwardAnswer, PeerMessage};
use crate::proposals::Proposals;
use crate::reads::Reads;
use crate::snapshots::Snapshots;
use crate::status::{ReplicaMetrics, ReplicaStatus};
use crate::steering::Steering;
use crate::ticks::earlier;
use crate::waiters::{Forwarded, Place, Waiters};

/// One member of the cluster without its I/O.
///
/// It owes each local proposal and each local read exactly one answer. All that it names to others (core tickets,
/// tickets in forwarded messages, questions) comes from one rising counter, so that an answer can only fit what it answers.
pub struct Replica {
    pub(crate) config: ReplicaConfig,
    pub(crate) raft: Raft,
    pub(crate) now: Now,
    /// Ticks since the start.
    pub(crate) tick: u64,
    /// The last number given.
    number: u64,
    pub(crate) jitter: Jitter,
    /// Local proposals without an answer.
    pub(crate) proposals: Proposals,
    /// Before this tick the leader is taken to have no room for more proposals of this node.
    pub(crate) leader_overloaded_until: u64,
    /// Proposals of peers without an answer.
    pub(crate) forwarded: Forwarded,
    /// Which place of the log each of both waits for.
    pub(crate) waiters: Waiters,
    pub(crate) reads: Reads,
    pub(crate) apply: ApplyQueue,
    pub(crate) snapshots: Snapshots,
    /// The numbers of proposals that are traced. May name some that are answered.
    pub(crate) traced: Vec<u64>,
    /// The term that this node led when it last looked.
    leading: Option<Term>,
    /// Who led when this node last looked, and in which term; the last one heard of when nobody does.
    leader: Option<(NodeId, Term)>,
    /// Answers for peers, sent together at the end of the turn.
    replies: BTreeMap<NodeId, Vec<(Ticket, ForwardAnswer)>>,
    /// What this node and its peers did with the same entries.
    divergence: Divergence,
    /// The feature level, and when it is to be raised.
    pub(crate) level: Level,
    /// What operators asked, without an answer.
    pub(crate) steering: Steering,
    pub(crate) effects: Vec<Effect>,
    pub(crate) metrics: ReplicaMetrics,
}

impl Replica {
    /// A member with the protocol as its disk left it. The applier starts from the newest snapshot, or before the first entry.
    ///
    /// # Panics
    /// If the settings make no sense ([`ReplicaConfig::validate`]).
    pub fn new(config: ReplicaConfig, raft: Raft) -> Replica {
        let checked = config.validate();
        assert!(checked.is_ok(), "the replica's settings make sense: {checked:?}");
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the lower half of the session is taken on purpose"
        )]
        let number = config.session as u64 >> 2;
        Replica {
            now: Now::default(),
            tick: 0,
            number,
            jitter: Jitter::new(config.seed),
            proposals: Proposals::new(config.session),
            leader_overloaded_until: 0,
            forwarded: Forwarded::default(),
            waiters: Waiters::default(),
            reads: Reads::default(),
            apply: ApplyQueue::new(raft.snapshot().index),
            snapshots: Snapshots::default(),
            traced: Vec::new(),
            leading: None,
            leader: None,
            replies: BTreeMap::new(),
            divergence: Divergence::default(),
            level: Level::default(),
            steering: Steering::default(),
            effects: Vec::new(),
            metrics: ReplicaMetrics::default(),
            raft,
            config,
        }
    }

    /// Starts a turn: the clocks, read once for all its inputs.
    ///
    /// # Panics
    /// If the monotonic clock fell.
    pub fn begin_turn(&mut self, now: Now) {
        assert!(now.monotonic_us >= self.now.monotonic_us, "the monotonic clock never falls");
        self.now = now;
        self.raft.tell_wall(now.wall_ms);
        self.raft.step(ready::Input::Clock { monotonic_us: now.monotonic_us });
    }

    /// Takes one input. `StatusRequest` and `StatusReply` are the switchboard's own: it answers them before they get here,
    /// and those that do get here change nothing.
    pub fn step(&mut self, input: Input) {
        match input {
            Input::Tick { elapsed } => self.on_tick(elapsed),
            Input::Received { from, message } => self.on_message(from, message),
            Input::Propose { ticket, command, explain, patience_ticks } => {
                self.on_propose(ticket, command, explain, patience_ticks);
            }
            Input::Read { ticket } => self.on_read(ticket),
            Input::Persisted(number) => self.raft.step(ready::Input::Persisted(number)),
            Input::NoRoom { from } => self.raft.step(ready::Input::NoRoom { from }),
            Input::Applied { through, forwarded, unknown_sessions, marks, level } => {
                self.level.on_applied(level);
                self.on_applied(through, forwarded, &unknown_sessions);
                self.on_own_marks(marks);
            }
            Input::Fetched { purpose: FetchPurpose::Peer(peer), entries } => {
                self.raft.step(ready::Input::Fetched { peer, entries });
            }
            Input::Fetched { purpose: FetchPurpose::Repair(peer), entries } => {
                self.raft.step(ready::Input::FetchedForRepair { peer, entries });
            }
            Input::Fetched { purpose: FetchPurpose::Apply, entries } => {
                self.raft.step(ready::Input::ReadingBack(false));
                if self.apply.on_fetched(entries.first().map(|entry| entry.id.index)) {
                    self.hand(entries);
                }
            }
            Input::SnapshotTaken { name } => self.on_snapshot_taken(name),
            Input::SnapshotFailed => self.on_snapshot_failed(),
            Input::Compacted { base } => self.raft.step(ready::Input::Compacted { base }),
            Input::PieceRead { to, last, found } => self.on_piece_read(to, last, found),
            Input::PieceStored { name, next, pieces, whole } => {
                self.on_piece_stored(name, next, pieces, whole);
            }
            Input::PieceRefused => self.on_piece_refused(),
            Input::PieceNoRoom => self.on_piece_no_room(),
            Input::Dropped { peer } => self.raft.step(ready::Input::Dropped { peer }),
            Input::Campaign => self.raft.step(ready::Input::Campaign),
            Input::Cluster { ticket, request } => self.on_cluster(ticket, request),
            Input::ClusterUnsent { ticket } => self.on_cluster_unsent(ticket.0),
        }
    }

    /// Ends a turn: all that the world must do, in order.
    pub fn drain(&mut self) -> Vec<Effect> {
        self.notice_leader();
        self.notice_successor();
        self.send_proposals();
        self.send_cluster_requests();
        self.send_question();
        let ready = self.raft.ready();
        self.carry_out(ready);
        self.notice_replaced();
        self.follow_traces();
        self.restore();
        self.hand_over();
        self.take_snapshot();
        self.serve_reads();
        self.refuse_starved_reads();
        self.move_pieces();
        self.send_replies();
        self.send_marks();
        std::mem::take(&mut self.effects)
    }

    /// After how many ticks at most the next turn is due even if nothing happens: at least 1.
    pub fn next_deadline_ticks(&self) -> u64 {
        if self.proposals.has_queued() && self.raft.leader().is_some() {
            return 1;
        }
        let own = earlier(self.proposals.next_tick(), self.reads.next_tick(self.tick));
        let own = earlier(own, earlier(self.steering.next_tick(self.tick), self.next_snapshot_tick()));
        let own = own.map_or(u64::MAX, |at| at.saturating_sub(self.tick));
        own.min(self.raft.next_deadline_ticks()).max(1)
    }

    /// The protocol, to look at.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// This replica as it sees itself.
    pub fn status(&self) -> ReplicaStatus {
        ReplicaStatus {
            raft: self.raft.status(),
            apply_through: self.apply.through(),
            handed_through: self.apply.handed(),
            applied_through: self.apply.applied(),
            pending_len: self.proposals.len(),
            pending_bytes: self.proposals.bytes(),
            forwarded_len: self.forwarded.len(),
            reads_len: self.reads.len(),
            apply_inflight: self.apply.inflight_len(),
            level: self.level.applied(),
            metrics: self.metrics.clone(),
        }
    }

    /// The bytes of commands that local callers wait for.
    pub fn pending_bytes(&self) -> usize {
        self.proposals.bytes()
    }

    /// What was counted since the start.
    pub fn metrics(&self) -> &ReplicaMetrics {
        &self.metrics
    }

    /// The next number for something that will be answered by it.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// The number that `next_number` gives next.
    pub(crate) fn peek_number(&self) -> u64 {
        self.number + 1
    }

    /// The tick at which something refused is tried again.
    pub(crate) fn pause_until(&mut self) -> u64 {
        let pause = self.config.retry_pause_ticks;
        self.tick + pause + self.jitter.up_to(pause)
    }

    /// The last leader that this node heard of.
    pub(crate) fn last_leader(&self) -> Option<NodeId> {
        self.leader.map(|(leader, _)| leader)
    }

    /// Whether this node leads.
    pub(crate) fn leads(&self) -> bool {
        self.raft.role() == Role::Leader
    }

    /// Puts an answer for a peer into the turn's message to it.
    pub(crate) fn reply(&mut self, peer: NodeId, ticket: Ticket, answer: ForwardAnswer) {
        self.replies.entry(peer).or_default().push((ticket, answer));
    }

    pub(crate) fn send(&mut self, to: NodeId, message: PeerMessage) {
        self.effects.push(Effect::Send { to, message });
    }

    fn on_tick(&mut self, elapsed: u64) {
        self.tick += elapsed;
        self.raft.step(ready::Input::Tick { elapsed, wall_ms: self.now.wall_ms });
        self.metrics.proposals_retried += self.proposals.wake(self.tick);
        self.expire_proposals();
        self.expire_cluster_requests();
        self.on_snapshot_tick(elapsed);
        self.raise_level();
        self.ask_stale_anew(false);
        for ticket in self.reads.expire(self.tick) {
            let error = match self.raft.leader() {
                None => ReadError::NoLeader { leader: self.last_leader() },
                Some(_) => ReadError::TimedOut,
            };
            self.refuse_read(ticket, error);
        }
    }

    fn on_message(&mut self, from: NodeId, message: PeerMessage) {
        match message {
            // The handshake proved who speaks; an envelope that says otherwise is dropped, as is one for another node.
            PeerMessage::Raft(envelope) if envelope.from == from && envelope.to == self.raft.node() => {
                self.raft.step(ready::Input::Received(envelope));
            }
            PeerMessage::Raft(_) => {}
            PeerMessage::Forward { proposals } => self.on_forward(from, proposals),
            PeerMessage::ForwardReply { answers } => {
                for (ticket, answer) in answers {
                    self.on_forward_answer(from, ticket.0, answer);
                }
            }
            PeerMessage::ForwardRead { ticket } if self.reads.peers_len() >= self.config.reads_len_max => {
                self.send(from, PeerMessage::ForwardReadReply { ticket, index: None });
            }
            PeerMessage::ForwardRead { ticket } => self.reads.push_peer(from, ticket),
            PeerMessage::ForwardReadReply { ticket, index } => {
                if !self.reads.asked(ticket.0, from) {
                    return;
                }
                match index {
                    Some(index) => {
                        self.on_read_index(ticket.0, index);
                    }
                    None => self.on_question_refused(ticket.0),
                }
            }
            PeerMessage::StateMarks { marks } => {
                let (membership, node) = (self.raft.membership(), self.raft.node());
                let found = self.divergence.on_heard(&membership, node, from, marks);
                self.on_difference(found);
            }
            PeerMessage::ClusterRequest { ticket, request } => {
                self.on_cluster_request(from, ticket, request);
            }
            PeerMessage::ClusterReply { ticket, result } => self.on_cluster_reply(from, ticket.0, result),
            PeerMessage::SnapshotAsk { last, piece } => self.on_snapshot_ask(from, last, piece),
            PeerMessage::SnapshotPiece { name, piece, bytes } => {
                self.on_snapshot_piece(from, name, piece, bytes);
            }
            PeerMessage::SnapshotGone { last } => self.on_snapshot_gone(from, last),
            PeerMessage::SnapshotFetching { last } => {
                self.snapshots.supplier.on_fetching(from, last, self.tick);
            }
            PeerMessage::StatusRequest { .. }
            | PeerMessage::StatusReply { .. }
            | PeerMessage::Introduction { .. } => {}
        }
    }

    /// Sees what became of the leadership. Proposals of peers are told at once that it is lost: they carry request ids
    /// and ask the next leader. Local ones wait for what becomes of their entries, which this node will see.
    fn notice_leader(&mut self) {
        let leading = self.leads().then(|| self.raft.term());
        if self.leading != leading {
            for proposal in self.forwarded.remove_uncommitted() {
                self.reply(proposal.peer, proposal.ticket, ForwardAnswer::LeadershipLost);
            }
            self.leading = leading;
        }
        // Another leadership, be it of the same node in a later term: what is on the way to the old one may be lost.
        let leader = self.raft.leader().map(|leader| (leader, self.raft.term()));
        if leader.is_some() && self.leader != leader {
            self.leader = leader;
            self.leader_overloaded_until = 0;
            self.metrics.proposals_retried += self.proposals.on_leader();
            self.ask_stale_anew(true);
        }
    }

    /// All that the protocol wants. Messages that may leave now come before the write, so that the peers' disks work
    /// while this one does (thesis 10.2.1).
    fn carry_out(&mut self, ready: Ready) {
        if !ready.send.is_empty() || ready.write.is_some() {
            self.effects.reserve(ready.send.len() + EFFECTS_SPARE_LEN);
        }
        for envelope in ready.send {
            self.send(envelope.to, PeerMessage::Raft(envelope));
        }
        if let Some(meta) = ready.write.as_ref().and_then(|write| write.install.as_ref()) {
            self.on_installing(meta.last);
        }
        if ready.refused_snapshot.is_some() {
            self.on_snapshot_refused();
        }
        for (from, last) in ready.offers {
            self.on_snapshot_offered(from, last);
        }
        if ready.snapshot_wanted {
            self.snapshots.policy.on_wanted();
        }
        self.effects.extend(ready.write.map(Effect::Persist));
        for fetch in ready.fetches {
            self.effects.push(Effect::Fetch {
                purpose: match fetch.purpose {
                    FetchFor::Append => FetchPurpose::Peer(fetch.peer),
                    FetchFor::Repair => FetchPurpose::Repair(fetch.peer),
                },
                from: fetch.from,
                through: fetch.through,
                bytes_max: fetch.bytes_max,
            });
        }
        for (number, entry) in ready.accepted {
            self.on_accepted(number, entry);
        }
        for (number, refusal) in ready.refused {
            if self.reads.asked(number, self.raft.node()) {
                assert!(refusal != Refusal::TooLarge, "a question has no size");
                self.on_question_refused(number);
            } else {
                self.on_refused(number, refusal);
            }
        }
        for (number, index) in ready.reads {
            self.metrics.reads_by_round += self.on_read_index(number, index);
        }
        for (number, index) in ready.leased {
            self.metrics.reads_by_lease += self.on_read_index(number, index);
        }
        for (number, end) in ready.transfers {
            self.on_transfer_end(number, end);
        }
        for (number, end) in ready.changes {
            self.on_change_end(number, end);
        }
        self.apply.on_apply_through(ready.apply_through);
        for fact in ready.facts {
            if fact == Fact::Paused {
                self.on_paused();
            }
            if let Fact::Members { members, .. } = &fact {
                self.effects.push(Effect::Members { members: Arc::clone(members) });
            }
            if let Fact::SteppedDown { reason, .. } = &fact {
                *self.metrics.stepped_down.entry(reason).or_default() += 1;
            }
            self.effects.push(Effect::Fact(fact));
        }
    }

    /// Hands committed entries to the applier, as far as it takes more batches.
    fn hand_over(&mut self) {
        while let Some((from, through)) = self.apply.next(&self.config) {
            let bytes_max = self.config.apply_batch_bytes_max;
            match self.raft.entries(from, through, bytes_max) {
                Some(entries) => self.hand(entries),
                None => {
                    self.apply.on_fetching();
                    self.raft.step(ready::Input::ReadingBack(true));
                    let purpose = FetchPurpose::Apply;
                    self.effects.push(Effect::Fetch { purpose, from, through, bytes_max });
                }
            }
        }
    }

    /// Hands one batch to the applier, with those who wait for its entries.
    fn hand(&mut self, entries: Vec<Entry>) {
        let (first, last) = match (entries.first(), entries.last()) {
            (Some(first), Some(last)) => (first.id.index, last.id.index),
            _ => panic!("a batch for the applier holds at least one entry"),
        };
        self.apply.on_handed(first, last, self.now.monotonic_us);
        self.snapshots.policy.on_handed(&entries);
        self.metrics.batches_handed += 1;
        self.metrics.entries_handed += entries.len() as u64;
        let mut waiting = Vec::new();
        for (number, place) in self.waiters.take(&entries) {
            match place {
                Place::Committed(index) => waiting.extend(self.waiting(number, index)),
                Place::Replaced => self.on_replaced(number),
            }
        }
        self.effects.push(Effect::Apply(ApplyBatch { entries, waiting }));
    }

    fn on_applied(&mut self, through: Index, forwarded: Vec<(Ticket, Outcome)>, unknown_sessions: &[u128]) {
        let us = self.now.monotonic_us.saturating_sub(self.apply.on_applied(through));
        self.metrics.apply_latency_us.observe(us);
        self.raft.step(ready::Input::Applied(through));
        for (ticket, outcome) in forwarded {
            self.on_applied_for_others(ticket.0, outcome);
        }
        if unknown_sessions.contains(&self.proposals.session.id()) {
            self.proposals.session.replace();
        }
    }

    /// The applier has noted what it did: to be compared now, and told to all others.
    fn on_own_marks(&mut self, marks: Vec<StateMark>) {
        if marks.is_empty() {
            return;
        }
        let (membership, node) = (self.raft.membership(), self.raft.node());
        let found = self.divergence.on_applied(&membership, node, marks);
        self.on_difference(found);
    }

    fn on_difference(&mut self, found: Option<Difference>) {
        if let Some(Difference { index, from, outvoted }) = found {
            self.effects.push(Effect::Diverged { index, from, outvoted });
        }
    }

    /// Tells the others what was noted since the last turn.
    fn send_marks(&mut self) {
        let marks = self.divergence.take_untold();
        if marks.is_empty() {
            return;
        }
        let node = self.raft.node();
        for peer in self.raft.membership().members().into_iter().filter(|peer| *peer != node) {
            self.send(peer, PeerMessage::StateMarks { marks: marks.clone() });
        }
    }

    /// Sends the answers of this turn, a message for each peer, cut at its bound in bytes.
    fn send_replies(&mut self) {
        while let Some((peer, all)) = self.replies.pop_first() {
            let mut answers = Vec::new();
            let mut bytes = 0;
            for (ticket, answer) in all {
                bytes += answer.bytes_len();
                answers.push((ticket, answer));
                if bytes >= self.config.forward_bytes_max {
                    let answers = std::mem::take(&mut answers);
                    self.send(peer, PeerMessage::ForwardReply { answers });
                    bytes = 0;
                }
            }
            if !answers.is_empty() {
                self.send(peer, PeerMessage::ForwardReply { answers });
            }
        }
    }
}

/// For how many effects besides its messages a turn makes room at once.
const EFFECTS_SPARE_LEN: usize = 3;
