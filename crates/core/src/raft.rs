//! The one door of the protocol: `step` takes an input, `ready` gives what the world must do after a turn of them.
//!
//! Here stand the rules that hold for every message, whatever the role: how terms are compared and adopted (thesis 3.3).
//! What a message means in its term is in `election.rs`, `follower.rs` and `leader.rs`.

use crate::config::Config;
use crate::entry::{Entry, HardState};
use crate::fitness::{Fitness, slow_disk_ticks};
use crate::invariants;
use crate::lease::Promised;
use crate::log::Log;
use crate::message::{Envelope, Ground, Message};
use crate::pause::Pause;
use crate::planted::{self, Bug};
use crate::ready::{Barrier, ChangeEnd, Fact, Fetch, Input, Ready, Refusal, TransferEnd, Write};
use crate::repair::Repair;
use crate::rng::Rng;
use crate::role::{Follower, RoleState};
use crate::snapshot::SnapshotMeta;
use crate::status::Role;
use crate::stored::Stored;
use crate::types::{EntryId, Index, NodeId, Term, WriteNumber};

/// The protocol of one node. Synchronous and deterministic: the same inputs give the same outputs, for ever.
///
/// A turn is any number of [`Raft::step`] and then one [`Raft::ready`]; all that the turn appended goes into one write and,
/// where the window allows, one message for each peer.
#[derive(Clone)]
pub struct Raft {
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    /// Term and vote. Invariant: the term never falls, the vote within a term never changes once given.
    pub(crate) hard_state: HardState,
    /// Whether `hard_state` changed since the last write.
    pub(crate) hard_state_is_new: bool,
    pub(crate) log: Log,
    /// The last entry that the newest durable snapshot covers. Invariant: between the base of the log and `commit`.
    pub(crate) snapshot: EntryId,
    /// The received snapshot behind which the log begins anew with the next write.
    pub(crate) install: Option<SnapshotMeta>,
    /// The same once a write carries it, until that write is durable: a disk without room refuses it.
    pub(crate) installing: Option<(WriteNumber, SnapshotMeta)>,
    /// The disk is full.
    pub(crate) pause: Option<Pause>,
    /// A write was refused, and none has been handed out since that was heard.
    pub(crate) anew: bool,
    /// The last write that carried term and vote.
    pub(crate) hard_state_write: WriteNumber,
    /// Invariant: never falls, at most the last entry.
    pub(crate) commit: Index,
    /// Invariant: never falls, at most `commit`.
    pub(crate) applied: Index,
    pub(crate) role: RoleState,
    /// What it knows of its own fitness to lead.
    pub(crate) fitness: Fitness,
    /// Ticks since the election timer was restarted. Runs in every role but leader.
    pub(crate) election_elapsed_ticks: u64,
    /// When the election timer fires: between one and two election timeouts.
    pub(crate) election_due_ticks: u64,
    /// The wall clock as last told.
    pub(crate) wall_ms: u64,
    /// What it has promised, and by which time.
    pub(crate) promised: Promised,
    /// The number of the last write that was handed out.
    pub(crate) write_number: WriteNumber,
    /// Whether the state machine waits for entries that are being read back.
    pub(crate) reading_back: bool,
    /// The index of the membership that was told last. Between turns that of the newest one.
    pub(crate) members_told: Index,
    pub(crate) repair: Repair,
    pub(crate) out: Outbox,
}

/// What the inputs of a turn ask of the world, until `ready` takes it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Outbox {
    /// Messages that promise nothing.
    pub(crate) send: Vec<Envelope>,
    /// Messages that promise something that may not be durable yet. All are of the current term: a node that has moved on
    /// makes no promise in an older one.
    pub(crate) promises: Vec<Envelope>,
    pub(crate) accepted: Vec<(u64, EntryId)>,
    pub(crate) refused: Vec<(u64, Refusal)>,
    pub(crate) reads: Vec<(u64, Index)>,
    pub(crate) leased: Vec<(u64, Index)>,
    pub(crate) fetches: Vec<Fetch>,
    pub(crate) transfers: Vec<(u64, TransferEnd)>,
    pub(crate) changes: Vec<(u64, ChangeEnd)>,
    pub(crate) offers: Vec<(NodeId, EntryId)>,
    pub(crate) refused_snapshot: Option<EntryId>,
    pub(crate) snapshot_wanted: bool,
    pub(crate) facts: Vec<Fact>,
}

impl Raft {
    /// A follower with what its disk holds. It knows no leader, and waits a random election timeout before it stands for
    /// election, as every follower does.
    ///
    /// # Panics
    /// If the configuration is not valid or what was stored contradicts itself.
    pub fn new(config: Config, stored: Stored) -> Raft {
        if let Err(error) = config.validate() {
            panic!("the configuration is valid: {error}");
        }
        // The state that this node starts from was committed in the term of its snapshot at the latest, and this node may have seen
        // that term without having written it down. It must not answer a leader of an older one.
        let mut hard_state = stored.hard_state;
        let snapshot_term = stored.snapshot.as_ref().map_or(Term(0), |snapshot| snapshot.term);
        if snapshot_term > hard_state.term {
            hard_state = HardState { term: snapshot_term, vote: None };
        }
        let hard_state_is_new = hard_state != stored.hard_state;
        let snapshot = stored.snapshot.as_ref().map_or(EntryId::ZERO, |snapshot| snapshot.last);
        let state_lost = stored.snapshot_lost.is_some();
        assert!(
            state_lost || snapshot.index >= stored.base.index,
            "a snapshot holds what the log lacks in front"
        );
        assert!(!state_lost || stored.snapshot.is_none(), "a state that is lost is not there");
        // What the log let go of was committed, also where the state that it led to is lost.
        let commit = snapshot.index.max(stored.base.index);
        assert!(snapshot.index <= stored.last.index, "log and snapshot meet");
        assert!(hard_state.term >= stored.last.term, "the term of a node is at least that of its last entry");
        let mut raft = Raft {
            rng: Rng::new(config.seed),
            hard_state,
            hard_state_is_new,
            log: Log::new(stored, config.window_bytes_max),
            snapshot,
            install: None,
            commit,
            installing: None,
            pause: None,
            anew: false,
            hard_state_write: WriteNumber(0),
            applied: snapshot.index,
            role: RoleState::Follower(Follower::default()),
            fitness: Fitness::default(),
            election_elapsed_ticks: 0,
            election_due_ticks: config.election_timeout_ticks,
            wall_ms: 0,
            promised: Promised::default(),
            write_number: WriteNumber(0),
            reading_back: false,
            members_told: Index(0),
            repair: Repair::default(),
            out: Outbox::default(),
            config,
        };
        raft.members_told = raft.newest_membership().map_or(Index(0), |(index, _)| index);
        raft.log.on_committed(raft.log.base().index, raft.commit);
        raft.restart_election_timer();
        raft.tell_damage();
        if planted::is(Bug::DamagedNodeCampaigns)
            && let Some((first, _)) = raft.log.damage().range()
        {
            raft.log.truncate(first.index);
        }
        invariants::check_watermarks(&raft);
        raft
    }

    /// Takes one input.
    pub fn step(&mut self, input: Input) {
        let was_damaged = !self.log.damage().is_none();
        match input {
            Input::Tick { elapsed, wall_ms } => self.on_tick(elapsed, wall_ms),
            // Comes with every turn, and changes nothing of what is checked below.
            Input::Clock { monotonic_us } => return self.on_clock(monotonic_us),
            Input::Received(envelope) => self.on_envelope(envelope),
            Input::Propose { ticket, command, timestamp_ms } => {
                self.on_propose(ticket, command, timestamp_ms)
            }
            Input::ReadIndex { ticket } => self.on_read_index(ticket),
            Input::Persisted(number) => self.on_persisted(number),
            Input::NoRoom { from } => self.on_no_room(from),
            Input::Applied(index) => self.on_applied(index),
            Input::Fetched { peer, entries } => self.on_fetched(peer, entries),
            Input::FetchedForRepair { peer, entries } => self.on_fetched_for_repair(peer, entries),
            Input::ReadingBack(reading) => self.on_reading_back(reading),
            Input::SnapshotTaken { last } => self.on_snapshot_taken(last),
            Input::SnapshotReceived(meta) => self.on_snapshot_received(meta),
            Input::Compacted { base } => self.on_compacted(base),
            Input::Dropped { peer } => self.on_dropped(peer),
            Input::Campaign => self.on_campaign(Ground::Operator),
            Input::Transfer { ticket, to } => self.on_transfer(ticket, to),
            Input::Change { ticket, change } => self.on_change(ticket, &change),
        }
        self.notice_whole(was_damaged);
        invariants::check_watermarks(self);
    }

    /// What the world must do after the inputs of this turn.
    pub fn ready(&mut self) -> Ready {
        self.drive_changes();
        self.tell_members();
        self.begin_read_round();
        self.send_appends();
        if planted::is(Bug::PromiseBeforeFsync) {
            self.out.send.append(&mut self.out.promises);
        }
        let mut promises = std::mem::take(&mut self.out.promises);
        let writes_log = self.may_write_log() && self.log_waits();
        let writes_hard_state = self.hard_state_is_new && self.may_write_hard_state();
        if !writes_log {
            self.cap_promises(&mut promises);
        }
        let Outbox {
            mut send,
            promises: _,
            accepted,
            refused,
            reads,
            leased,
            fetches,
            offers,
            refused_snapshot,
            snapshot_wanted,
            transfers,
            changes,
            facts,
        } = std::mem::take(&mut self.out);
        let write = if writes_log || writes_hard_state {
            Some(self.begin_write(promises))
        } else if !promises.is_empty() && self.log.writes_under_way() > 0 {
            // Nothing new to write, but the promises may rest on a write that is under way. Writes are carried out in
            // order, so an empty one behind it holds them back until that one is durable.
            Some(self.begin_write(promises))
        } else {
            send.extend(promises);
            None
        };
        invariants::check_watermarks(self);
        Ready {
            write,
            send,
            accepted,
            refused,
            reads,
            leased,
            apply_through: self.apply_through(),
            fetches,
            transfers,
            changes,
            offers,
            refused_snapshot,
            snapshot_wanted,
            facts,
        }
    }

    /// Hands out all that is not on its way to the disk, with the messages that wait for it.
    fn begin_write(&mut self, mut promises: Vec<Envelope>) -> Write {
        self.write_number = WriteNumber(self.write_number.0.checked_add(1).expect("writes are never 2^64"));
        let number = self.write_number;
        let writes_log = self.may_write_log();
        let mut hard_state = None;
        if self.may_write_hard_state() && std::mem::take(&mut self.hard_state_is_new) {
            hard_state = Some(self.hard_state);
            self.hard_state_write = number;
        }
        if planted::is(Bug::VoteNotPersisted) {
            hard_state = hard_state.map(|hard_state| HardState { vote: None, ..hard_state });
        }
        if let RoleState::Candidate(candidate) = &mut self.role {
            candidate.own_vote_write.get_or_insert(number);
        }
        let mut entries = Vec::new();
        let mut install = None;
        let mut repaired = Vec::new();
        if writes_log {
            install = self.install.take();
            repaired = self.log.take_repaired(number);
            self.installing = install.clone().map(|meta| (number, meta)).or(self.installing.take());
            // What tries a full disk again is no larger than what was refused.
            let bytes_max = self.pause.map(|_| self.config.append_bytes_max);
            let carries_more = install.is_some() || !repaired.is_empty();
            entries = self.log.begin_write(number, bytes_max, carries_more);
            if carries_more || !entries.is_empty() || hard_state.is_some() {
                self.on_trial(number);
            }
        } else {
            self.log.begin_write_without(number);
        }
        self.cap_promises(&mut promises);
        Write {
            number,
            after_refusal: std::mem::take(&mut self.anew),
            hard_state,
            install,
            repaired,
            entries,
            barrier: Barrier::new(number, promises),
        }
    }

    /// All writes up to `number` are durable: the own vote may count, the leader's own copies may count, more may be applied.
    fn on_persisted(&mut self, number: WriteNumber) {
        assert!(number <= self.write_number, "only what was handed out becomes durable");
        if !self.log.on_persisted(number) {
            return;
        }
        self.on_disk_answered();
        self.on_room(number);
        self.log.evict(self.applied);
        match &mut self.role {
            RoleState::Candidate(_) => self.on_own_vote_persisted(number),
            RoleState::Leader(leader) => {
                leader.disk_silent_ticks = 0;
                let bound = slow_disk_ticks(&self.config);
                leader.watch.on_moved(self.log.persisted(), self.commit, bound);
                self.advance_commit();
            }
            RoleState::Follower(_) | RoleState::PreCandidate(_) => {}
        }
    }

    /// A read for the state machine began or ended; an end is a sign of life of the disk.
    fn on_reading_back(&mut self, reading: bool) {
        assert!(self.reading_back != reading, "one batch is read back for the state machine at a time");
        self.reading_back = reading;
        if let RoleState::Leader(leader) = &mut self.role
            && !reading
        {
            leader.disk_silent_ticks = 0;
        }
    }

    fn on_applied(&mut self, index: Index) {
        assert!(index <= self.commit, "only what is committed is applied");
        self.applied = self.applied.max(index);
        self.log.evict(self.applied);
    }

    /// The rules of terms (thesis 3.3): a newer term is adopted, an older one is answered with the newer.
    ///
    /// Two kinds of message do not follow them. A pre-vote request and its grant speak of a term in which nobody stands yet.
    /// And a vote request is not even heard while a leader is (thesis 4.2.3, 6.2): a node that comes back after a cut must
    /// not depose a leader that serves its quorum. Only an election that was asked for is heard in spite of that.
    fn on_envelope(&mut self, envelope: Envelope) {
        let Envelope { from, to, term, message } = envelope;
        if to != self.config.node || from == to {
            self.ignore(from, "the addresses do not fit this node");
            return;
        }
        self.hear_for_repair(from);
        match &message {
            Message::PreVoteRequest { last } => return self.on_pre_vote_request(from, term, *last),
            Message::PreVoteResponse { granted: true } => return self.on_pre_vote_granted(from, term),
            // What is damaged is repaired by whoever has it, in whichever term each of the two is.
            Message::RepairRequest { wanted, state_behind } => {
                return self.on_repair_request(from, wanted, *state_behind);
            }
            Message::RepairResponse { .. } | Message::Donation { .. } => {}
            Message::VoteRequest { ground, .. } if term > self.hard_state.term => {
                let hears_leader = *ground == Ground::Silence && self.hears_leader();
                let withheld = !hears_leader && self.withholds_vote(term, *ground);
                if withheld {
                    self.note_withheld(from);
                }
                if hears_leader || withheld {
                    let answer = self.vote_answer(false);
                    return self.send(from, answer);
                }
            }
            Message::PreVoteResponse { granted: false }
            | Message::VoteRequest { .. }
            | Message::VoteResponse { .. }
            | Message::AppendRequest { .. }
            | Message::AppendResponse { .. }
            | Message::AppendRejected { .. }
            | Message::SnapshotOffer { .. }
            | Message::Heartbeat { .. }
            | Message::HeartbeatResponse { .. }
            | Message::TimeoutNow { .. } => {}
        }
        if let Message::RepairResponse { entries, snapshot } = message {
            return self.on_repair_response(from, entries, snapshot);
        }
        if let Message::Donation { prev, entries } = message {
            // What a voter gives is what a leader made, in whichever term the voter is.
            if term > self.hard_state.term {
                self.adopt_term(term);
            }
            return self.on_donation(from, term, prev, entries);
        }
        if term < self.hard_state.term {
            self.on_older_term(from, &message);
            return;
        }
        if term > self.hard_state.term {
            self.adopt_term(term);
        }
        self.on_message_of_term(from, message);
    }

    /// A message of the current term.
    fn on_message_of_term(&mut self, from: NodeId, message: Message) {
        match message {
            Message::PreVoteRequest { .. } => {
                unreachable!("pre-vote requests were taken out before terms are compared")
            }
            Message::PreVoteResponse { granted } => self.on_pre_vote_refused(from, granted),
            Message::VoteRequest { last, ground } => self.on_vote_request(from, last, ground),
            Message::VoteResponse { granted, wall_ms } => {
                self.on_voters_clock(from, wall_ms);
                self.on_vote_response(from, granted);
            }
            Message::AppendRequest { prev, entries, commit } => {
                self.on_append_request(from, prev, entries, commit)
            }
            Message::AppendResponse { matched } => self.on_append_response(from, matched),
            Message::AppendRejected { prev, hint } => self.on_append_rejected(from, prev, hint),
            Message::SnapshotOffer { last } => self.on_snapshot_offer(from, last),
            Message::Heartbeat { commit, round, asks_promise } => {
                self.on_heartbeat(from, commit, round, asks_promise);
            }
            Message::HeartbeatResponse { round, standing, wall_ms, features, promise_us } => {
                self.on_heartbeat_response(from, round, standing, wall_ms, promise_us);
                self.on_features(from, features);
            }
            Message::Donation { .. } => unreachable!("donations were taken out before terms are compared"),
            Message::TimeoutNow { round } => self.on_timeout_now(from, round),
            Message::RepairRequest { .. } | Message::RepairResponse { .. } => {
                unreachable!("repairs were taken out before terms are compared")
            }
        }
    }

    /// A message of an older term: its sender learns of the newer one if it asked for anything. Without that, a node with a
    /// higher term and its leader would ignore each other for ever (etcd #8243).
    fn on_older_term(&mut self, from: NodeId, message: &Message) {
        match message {
            Message::VoteRequest { .. } => {
                let answer = self.vote_answer(false);
                self.send(from, answer);
            }
            Message::AppendRequest { prev, .. } => {
                self.send(from, Message::AppendRejected { prev: prev.index, hint: EntryId::ZERO });
            }
            Message::SnapshotOffer { .. } => {
                self.send(from, Message::AppendRejected { prev: Index(0), hint: EntryId::ZERO });
            }
            // Rounds begin anew in each term, and the sender may lead this term too. So the answer names no round: it would
            // confirm the one of the same number, which may not have begun yet.
            Message::Heartbeat { .. } => {
                let answer = self.heartbeat_answer(0, 0);
                self.send(from, answer);
            }
            Message::AppendResponse { matched } if planted::is(Bug::OldAcknowledgementCounted) => {
                self.on_append_response(from, *matched);
            }
            Message::PreVoteRequest { .. }
            | Message::PreVoteResponse { .. }
            | Message::VoteResponse { .. }
            | Message::AppendResponse { .. }
            | Message::AppendRejected { .. }
            | Message::HeartbeatResponse { .. }
            | Message::RepairRequest { .. }
            | Message::RepairResponse { .. }
            | Message::Donation { .. }
            | Message::TimeoutNow { .. } => {}
        }
    }

    /// Moves to a newer term without a vote in it. The election timer runs on: only a leader, a given vote or an own
    /// campaign restarts it (thesis 3.4).
    pub(crate) fn adopt_term(&mut self, term: Term) {
        assert!(term > self.hard_state.term, "terms only rise");
        self.become_follower(None, "a newer term was seen");
        self.set_hard_state(HardState { term, vote: None });
    }

    /// Changes term and vote. What was promised in an older term is not said any more: it may be about entries or votes that
    /// the write to come no longer holds.
    pub(crate) fn set_hard_state(&mut self, hard_state: HardState) {
        assert!(hard_state.term >= self.hard_state.term, "terms only rise");
        if hard_state.term == self.hard_state.term {
            assert!(self.hard_state.vote.is_none(), "a vote is given once for each term");
        } else {
            self.out.promises.clear();
        }
        self.hard_state = hard_state;
        self.hard_state_is_new = true;
    }

    /// Sends a message that promises nothing, in the current term.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        let (from, term) = (self.config.node, self.hard_state.term);
        self.out.send.push(Envelope { from, to, term, message });
    }

    /// Sends a message that may leave only once all that this node holds now is durable.
    pub(crate) fn promise(&mut self, to: NodeId, message: Message) {
        let (from, term) = (self.config.node, self.hard_state.term);
        // Within a term a later acknowledgement to the same leader says all that the earlier one did: one for each turn.
        if let (
            Message::AppendResponse { matched },
            Some(Envelope {
                to: last_to, message: Message::AppendResponse { matched: last_matched }, ..
            }),
        ) = (&message, self.out.promises.last_mut())
            && *last_to == to
        {
            *last_matched = (*last_matched).max(*matched);
            return;
        }
        let envelope = Envelope { from, to, term, message };
        if !self.out.promises.contains(&envelope) {
            self.out.promises.push(envelope);
        }
    }

    /// Notes that a message was dropped because no correct peer sends such a one.
    pub(crate) fn ignore(&mut self, from: NodeId, reason: &'static str) {
        self.out.facts.push(Fact::Ignored { from, reason });
    }

    /// All up to `index` is committed, if that is news.
    pub(crate) fn commit_through(&mut self, index: Index) {
        if index > self.commit {
            self.log.on_committed(self.commit, index);
            self.commit = index;
        }
        assert!(self.commit >= index, "the commit index never falls");
    }

    /// All up to here may be applied. Not more than is on the own disk: else a restart could find a state machine that is
    /// ahead of its log.
    fn apply_through(&self) -> Index {
        self.commit.min(self.log.persisted())
    }

    /// After how many ticks the next timer fires: at least 1.
    pub fn next_deadline_ticks(&self) -> u64 {
        let left = match &self.role {
            RoleState::Leader(leader) => {
                self.config.heartbeat_ticks.saturating_sub(leader.heartbeat_elapsed_ticks)
            }
            RoleState::Follower(_) | RoleState::PreCandidate(_) | RoleState::Candidate(_) => {
                self.election_due_ticks.saturating_sub(self.election_elapsed_ticks)
            }
        };
        let due = [self.repair_deadline_ticks(), self.next_pause_ticks()];
        due.into_iter().flatten().fold(left, u64::min).max(1)
    }

    /// Entries from `from` up to `through`, at most `bytes_max` bytes but at least one entry if there is any. `None` when
    /// `from` lies before the window in memory: then they are read from the log.
    pub fn entries(&self, from: Index, through: Index, bytes_max: usize) -> Option<Vec<Entry>> {
        self.log.entries(from, through, bytes_max)
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.config.node
    }

    /// Who leads the current term, as far as this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            RoleState::Leader(_) => Some(self.config.node),
            RoleState::Follower(follower) => follower.leader,
            RoleState::PreCandidate(_) | RoleState::Candidate(_) => None,
        }
    }

    /// The role of this node.
    pub fn role(&self) -> Role {
        self.role.name()
    }

    /// The current term.
    pub fn term(&self) -> Term {
        self.hard_state.term
    }

    /// All up to here is committed.
    pub fn commit_index(&self) -> Index {
        self.commit
    }

    /// The last entry of the log.
    pub fn last(&self) -> EntryId {
        self.log.last()
    }
}
