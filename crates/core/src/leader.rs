//! Ordering the log (thesis 3.5, 3.6.2, 6.4): proposals, what each peer is sent, what its answers teach, when entries are
//! committed, and reads.

use bytes::Bytes;

use crate::config::Config;
use crate::entry::{Entry, Payload};
use crate::fitness::slow_disk_ticks;
use crate::log::Log;
use crate::message::{Envelope, Message, Standing};
use crate::planted::{self, Bug};
use crate::progress::{Progress, Sending};
use crate::quorum;
use crate::raft::{Outbox, Raft};
use crate::ready::{Fetch, FetchFor, Refusal};
use crate::role::RoleState;
use crate::types::{EntryId, Index, NodeId, Term};

impl Raft {
    /// A command: it gets a place in the log, or is refused before anything happened.
    pub(crate) fn on_propose(&mut self, ticket: u64, command: Bytes, timestamp_ms: u64) {
        // One command is always taken, however small the budget: else it could never be.
        let uncommitted_bytes = self.log.uncommitted_bytes();
        let over_budget = uncommitted_bytes > 0
            && uncommitted_bytes.saturating_add(command.len()) > self.config.uncommitted_bytes_max
            && !planted::is(Bug::UncommittedBytesUnbounded);
        let refusal = if !matches!(self.role, RoleState::Leader(_)) {
            Refusal::NotLeader { leader: self.leader() }
        } else if self.must_not_lead() {
            Refusal::DiskFull
        } else if self.successor().is_some() && !planted::is(Bug::ProposalsTakenWhileHandingOver) {
            Refusal::HandingOver
        } else if command.len() > self.config.command_bytes_max {
            Refusal::TooLarge
        } else if over_budget || self.log.is_full() {
            Refusal::Overloaded
        } else {
            let id = self.append_own(Payload::Command(command), timestamp_ms);
            self.out.accepted.push((ticket, id));
            return;
        };
        self.out.refused.push((ticket, refusal));
    }

    /// The bytes of entries that are not committed, as they count against `uncommitted_bytes_max`.
    pub fn uncommitted_bytes(&self) -> usize {
        self.log.uncommitted_bytes()
    }

    /// The most bytes of entries that any one peer has not acknowledged to this leader, as they count against `inflight_bytes_max`; 0 if it
    /// does not lead.
    pub fn inflight_bytes(&self) -> usize {
        match &self.role {
            RoleState::Leader(leader) => {
                leader.peers.values().map(Progress::inflight_bytes).max().unwrap_or(0)
            }
            RoleState::Follower(_) | RoleState::PreCandidate(_) | RoleState::Candidate(_) => 0,
        }
    }

    /// A linearizable read: it waits for the end of this turn, and then for a heartbeat round that begins there, after it came in, unless a
    /// lease holds.
    pub(crate) fn on_read_index(&mut self, ticket: u64) {
        let leader_known = self.leader();
        let RoleState::Leader(leader) = &mut self.role else {
            self.out.refused.push((ticket, Refusal::NotLeader { leader: leader_known }));
            return;
        };
        if leader.reads.len() >= self.config.reads_len_max {
            self.out.refused.push((ticket, Refusal::Overloaded));
        } else {
            leader.reads.hold(ticket);
        }
    }

    /// Serves the reads of this turn if a lease holds, and else begins a heartbeat round for them; both once the commit index is known to
    /// be the newest of all: when the no-op of this term is committed (thesis 6.4).
    pub(crate) fn begin_read_round(&mut self) {
        let RoleState::Leader(leader) = &mut self.role else { return };
        let knows_commit = self.commit >= leader.term_first || planted::is(Bug::ReadBeforeOwnCommit);
        if !leader.reads.has_held() || !knows_commit {
            return;
        }
        assert!(self.log.term_at(self.commit) == Some(self.hard_state.term), "reads open with an own entry");
        if self.lease_until_us().is_some() {
            let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader has a lease") };
            let held = leader.reads.take_held();
            self.out.leased.extend(held.into_iter().map(|ticket| (ticket, self.commit)));
            return;
        }
        let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader has reads") };
        let round = leader.round + 1;
        leader.reads.begin_round(round, self.commit);
        self.broadcast_heartbeat();
        self.serve_reads();
    }

    /// Serves the reads whose round a quorum has answered. The leader itself always has.
    fn serve_reads(&mut self) {
        let membership = self.membership();
        let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader serves reads") };
        let (node, peers) = (self.config.node, &leader.peers);
        let served = leader.reads.confirm(|round| {
            planted::is(Bug::ReadWithoutRound)
                || quorum::has_quorum(&membership, |voter| {
                    voter == node || peers.get(&voter).is_some_and(|peer| peer.confirmed_round >= round)
                })
        });
        self.out.reads.extend(served);
    }

    /// Time has passed: gives up without a quorum or with a disk that hangs, says that it leads when that is due.
    pub(crate) fn on_leader_tick(&mut self, elapsed: u64) {
        self.weigh_clocks();
        let timeout = self.config.election_timeout_ticks;
        let membership = self.membership();
        let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader has this timer") };
        for peer in leader.peers.values_mut() {
            peer.silent_ticks = peer.silent_ticks.saturating_add(elapsed);
        }
        // Check-quorum (thesis 6.2): whoever cannot reach a quorum serves nobody, and nodes that still hear it must be free
        // to elect another.
        let (node, peers) = (self.config.node, &leader.peers);
        let has_quorum = quorum::has_quorum(&membership, |voter| {
            voter == node || peers.get(&voter).is_some_and(|peer| peer.silent_ticks < timeout)
        }) || planted::is(Bug::NoCheckQuorum);
        // A leader whose own disk stands commits through the others but applies nothing, so nobody is answered; its heartbeats
        // would keep it in office for as long as the disk stands. Where the others can do without it, it makes room. Reads
        // count as much as writes: a leader that cannot read back what it has yet to apply refuses all proposals, so that
        // it soon has no write under way.
        let reads = self.reading_back || leader.peers.values().any(|peer| peer.fetching().is_some());
        let owes = !leader.peers.is_empty() && (self.log.writes_under_way() > 0 || reads);
        leader.disk_silent_ticks = if owes { leader.disk_silent_ticks.saturating_add(elapsed) } else { 0 };
        let disk_stands = leader.disk_silent_ticks >= timeout.saturating_mul(DISK_SILENT_TIMEOUTS_MAX)
            && quorum::has_quorum(&membership, |voter| {
                peers.get(&voter).is_some_and(|peer| peer.silent_ticks < timeout)
            });
        leader.heartbeat_elapsed_ticks = leader.heartbeat_elapsed_ticks.saturating_add(elapsed);
        let due = leader.heartbeat_elapsed_ticks >= self.config.heartbeat_ticks;
        if !has_quorum {
            self.become_follower(None, "no quorum answered within the election timeout");
        } else if let Some(reason) = self.on_watch_tick(elapsed, disk_stands) {
            self.step_aside(reason);
        } else if matches!(self.role, RoleState::Leader(_)) {
            // Else it has given way in this very tick: one that is being removed leads no more once its successor is told.
            if due {
                self.broadcast_heartbeat();
                self.note_clock_round();
            }
            self.on_changes_tick(elapsed);
            self.on_transfer_tick(elapsed);
        }
    }

    /// Stops leading because it does so badly, and does not want to do it again soon.
    fn step_aside(&mut self, reason: &'static str) {
        self.begin_rest();
        if let RoleState::Leader(leader) = &mut self.role {
            leader.watch.giving_way = Some(reason);
        }
        self.become_follower(None, reason);
    }

    /// Begins a new heartbeat round. The commit index in it never exceeds what the peer acknowledged in this term: above
    /// that, the peer may hold entries of a deposed leader (hashicorp/raft #695).
    fn broadcast_heartbeat(&mut self) {
        let (from, term, commit) = (self.config.node, self.hard_state.term, self.commit);
        let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader has heartbeats") };
        leader.heartbeat_elapsed_ticks = 0;
        leader.round = leader.round.checked_add(1).expect("rounds are never 2^64");
        let asks_promise = self.config.lease.is_some() && leader.transfer.is_none();
        for (to, peer) in &leader.peers {
            let held = if planted::is(Bug::HeartbeatCommitNotCapped) { commit } else { peer.matched() };
            let message = Message::Heartbeat { commit: commit.min(held), round: leader.round, asks_promise };
            self.out.send.push(Envelope { from, to: *to, term, message });
        }
        self.note_round();
        self.urge_successor();
    }

    /// A peer answered in this term: it is alive. `None` if this node does not lead or does not know the peer.
    fn heard_peer(&mut self, from: NodeId) -> Option<&mut Progress> {
        let RoleState::Leader(leader) = &mut self.role else { return None };
        let progress = leader.peers.get_mut(&from)?;
        progress.silent_ticks = 0;
        Some(progress)
    }

    /// A peer holds all up to `matched` on its disk.
    pub(crate) fn on_append_response(&mut self, from: NodeId, matched: Index) {
        let (last, commit) = (self.log.last().index, self.commit);
        let Some(progress) = self.heard_peer(from) else { return };
        if matched > last {
            self.ignore(from, "the peer acknowledges what it was never sent");
        } else if progress.on_acknowledged(matched) {
            // One more copy of what is committed moves nothing: a quorum was counted without it.
            if matched > commit {
                self.advance_commit();
            }
            self.urge_successor();
        }
    }

    /// A peer does not hold the entry that was to stand before the ones sent: ask further back. The hint and the own terms
    /// together skip a whole run of conflicting entries at a time (thesis 3.5).
    pub(crate) fn on_append_rejected(&mut self, from: NodeId, prev: Index, hint: EntryId) {
        let found = self.log.last_at_or_below(hint);
        // Nothing in this log is as old as that, not even its base: so the peer lacks what is compacted. To ask it at the base would only
        // send entries in vain.
        let is_compacted = found.index > hint.index || found.term > hint.term;
        let agreed = if is_compacted { hint.index.min(found.index.prev()) } else { found.index };
        if let Some(progress) = self.heard_peer(from) {
            progress.on_rejected(prev, agreed);
        }
    }

    /// A peer answered a heartbeat round, and said how fit it is and what its wall clock shows.
    pub(crate) fn on_heartbeat_response(
        &mut self,
        from: NodeId,
        round: u64,
        standing: Standing,
        wall_ms: u64,
        promise_us: u64,
    ) {
        let RoleState::Leader(leader) = &self.role else { return };
        let newest_round = leader.round;
        let Some(progress) = self.heard_peer(from) else { return };
        progress.standing = Some(standing);
        if round > newest_round {
            self.ignore(from, "the peer answers a round that never began");
            return;
        }
        self.on_clock_shown(from, round, wall_ms);
        let Some(progress) = self.heard_peer(from) else { return };
        let round = if planted::is(Bug::OldRoundConfirmsNew) { newest_round } else { round };
        if progress.on_round_answered(round) {
            // Something sent before that round is unanswered: lost, or the peer's disk is slow. Asking costs little and
            // sends no entry twice: a peer that holds all answers once it is durable, one that does not refuses at once.
            progress.on_asked_again(newest_round);
            let index = progress.next().prev();
            let term = self.log.term_at(index).expect("what was sent to a peer is in the log");
            let prev = EntryId { term, index };
            self.send(from, Message::AppendRequest { prev, entries: Vec::new(), commit: self.commit });
        }
        self.on_promised(from, round, promise_us);
        self.serve_reads();
    }

    /// Messages to a peer were dropped before they left: what it holds above its last acknowledgement is unknown again.
    pub(crate) fn on_dropped(&mut self, peer: NodeId) {
        if let RoleState::Leader(leader) = &mut self.role
            && let Some(progress) = leader.peers.get_mut(&peer)
        {
            progress.on_dropped();
        }
    }

    /// Commits what a quorum holds on its disks, if that is of this term: an entry of an older term may be on a majority
    /// and still be replaced (figure 3.7). It is committed by the first own entry behind it (thesis 3.6.2). The leader is
    /// one of the quorum like any other: with what is on its disk.
    pub(crate) fn advance_commit(&mut self) {
        let membership = self.deciding_membership();
        let RoleState::Leader(leader) = &self.role else { unreachable!("only a leader counts copies") };
        let (node, mut persisted, peers) = (self.config.node, self.log.persisted(), &leader.peers);
        if planted::is(Bug::OwnEntriesCountedUnsynced) {
            persisted = self.log.last().index;
        }
        let held = quorum::commit_index(&membership, |voter| {
            if voter == node { persisted } else { peers.get(&voter).map_or(Index(0), Progress::matched) }
        });
        assert!(held <= self.log.last().index, "no quorum holds more than the leader");
        let is_own = self.log.term_at(held) == Some(self.hard_state.term);
        if held > self.commit && (is_own || planted::is(Bug::OldTermCommittedByCount)) {
            self.commit_through(held);
            let (persisted, commit, bound) =
                (self.log.persisted(), self.commit, slow_disk_ticks(&self.config));
            let RoleState::Leader(leader) = &mut self.role else {
                unreachable!("only a leader counts copies")
            };
            leader.watch.on_moved(persisted, commit, bound);
        }
    }

    /// Sends each peer what it lacks, as far as its window goes: one message for each peer and turn where that fits.
    pub(crate) fn send_appends(&mut self) {
        let RoleState::Leader(leader) = &mut self.role else { return };
        let sender = AppendSender {
            config: &self.config,
            log: &self.log,
            term: self.hard_state.term,
            commit: self.commit,
            round: leader.round,
            snapshot: self.snapshot,
        };
        for (to, progress) in &mut leader.peers {
            sender.send(*to, progress, &mut self.out);
        }
    }

    /// Entries that were read back for a peer behind the window. They were asked for in the past: since then the peer may
    /// have moved, and this node may have lost and won an election. So they are used only if they are still the next ones
    /// for this peer, and if the term of each is the one that the log has there now.
    pub(crate) fn on_fetched(&mut self, peer: NodeId, entries: Vec<Entry>) {
        let RoleState::Leader(leader) = &mut self.role else { return };
        leader.disk_silent_ticks = 0;
        let Some(progress) = leader.peers.get_mut(&peer) else { return };
        let Some(from) = progress.on_fetch_ended() else { return };
        let fits = |(place, entry): (usize, &Entry)| {
            let index = (place as u64).checked_add(from.0).map(Index);
            index == Some(entry.id.index) && self.log.term_at(entry.id.index) == Some(entry.id.term)
        };
        let wanted = from == progress.next() && matches!(progress.sending, Sending::Replicate { .. });
        let wanted = wanted || planted::is(Bug::StaleFetchUsed);
        if entries.is_empty()
            || !wanted
            || !entries.iter().enumerate().all(fits)
            || !progress.has_room(&self.config)
        {
            return;
        }
        let sender = AppendSender {
            config: &self.config,
            log: &self.log,
            term: self.hard_state.term,
            commit: self.commit,
            round: leader.round,
            snapshot: self.snapshot,
        };
        sender.send_entries(peer, progress, entries, &mut self.out);
    }
}

/// What all append messages of a turn share.
struct AppendSender<'a> {
    config: &'a Config,
    log: &'a Log,
    term: Term,
    commit: Index,
    round: u64,
    /// The last entry of the newest snapshot.
    snapshot: EntryId,
}

impl AppendSender<'_> {
    /// Fills the window of one peer.
    fn send(&self, to: NodeId, progress: &mut Progress, out: &mut Outbox) {
        let last = self.log.last().index;
        // The loop ends: each message of a stream moves `next` or fills the window, and a question is asked once.
        while progress.has_room(self.config) {
            let (next, first) = (progress.next(), self.log.window_first());
            if next <= self.log.base().index {
                progress.on_behind_log();
            }
            match progress.sending {
                Sending::Snapshot { offered: true } => return,
                Sending::Snapshot { offered: false } => {
                    let message = Message::SnapshotOffer { last: self.snapshot };
                    out.send.push(Envelope { from: self.config.node, to, term: self.term, message });
                    progress.on_offered(self.round);
                }
                Sending::Probe { bare, .. } => {
                    // Behind the window a question goes without entries: first see whether reading them back is worth it.
                    let entries =
                        if bare { None } else { self.log.entries(next, last, self.config.append_bytes_max) };
                    self.send_entries(to, progress, entries.unwrap_or_default(), out);
                }
                Sending::Replicate { .. } if next > last => return,
                Sending::Replicate { .. } => {
                    let Some(entries) = self.log.entries(next, last, self.config.append_bytes_max) else {
                        if progress.fetching().is_none() {
                            progress.on_fetch_begun();
                            let bytes_max = self.config.append_bytes_max;
                            out.fetches.push(Fetch {
                                peer: to,
                                purpose: FetchFor::Append,
                                from: next,
                                through: first.prev(),
                                bytes_max,
                            });
                        }
                        return;
                    };
                    self.send_entries(to, progress, entries, out);
                }
            }
        }
    }

    /// Sends these entries, which are the next ones for this peer.
    fn send_entries(&self, to: NodeId, progress: &mut Progress, entries: Vec<Entry>, out: &mut Outbox) {
        let index = progress.next().prev();
        let term =
            self.log.term_at(index).expect("what stands before the next entry of a peer is in the log");
        let prev = EntryId { term, index };
        let bytes = entries.iter().map(Entry::window_bytes).sum();
        let last = entries.last().map_or(index, |entry| entry.id.index);
        assert!(last <= self.log.last().index, "no more is sent than the leader holds");
        let message = Message::AppendRequest { prev, entries, commit: self.commit };
        out.send.push(Envelope { from: self.config.node, to, term: self.term, message });
        progress.on_sent(last, bytes, self.round);
    }
}

/// For how many election timeouts a leader's own disk may be silent. More than one: a slow disk is no reason to change the leader,
/// since the others may be as slow.
const DISK_SILENT_TIMEOUTS_MAX: u64 = 4;
