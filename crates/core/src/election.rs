//! Who leads (thesis 3.4, 3.6.1, 6.2, 9.6): the election timer, pre-votes, votes, and what makes a leader give up.
//!
//! Pre-vote and check-quorum stand together: a cut-off node raises no terms, and a leader that is cut off stops being one,
//! so that nodes which still hear it elect another (Howard and Abraham 2020).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::changes::Changing;
use crate::entry::{Entry, HardState, Membership, Payload};
use crate::lease::Lease;
use crate::message::{Ground, Message};
use crate::planted::{self, Bug};
use crate::quorum::{self, PollResult};
use crate::raft::Raft;
use crate::ready::{ChangeEnd, Fact, Refusal, TransferEnd};
use crate::role::{Candidate, Follower, Leader, PreCandidate, RoleState};
use crate::transfer::Transfer;
use crate::types::{EntryId, NodeId, Term, WriteNumber};
use crate::watch::Watch;

impl Raft {
    /// Time has passed.
    pub(crate) fn on_tick(&mut self, elapsed: u64, wall_ms: u64) {
        self.wall_ms = wall_ms;
        self.on_fitness_tick(elapsed);
        self.on_repair_tick(elapsed);
        self.on_pause_tick(elapsed);
        match &mut self.role {
            RoleState::Leader(_) => return self.on_leader_tick(elapsed),
            RoleState::Follower(follower) => {
                follower.silent_ticks = follower.silent_ticks.saturating_add(elapsed);
            }
            RoleState::PreCandidate(_) | RoleState::Candidate(_) => {}
        }
        self.election_elapsed_ticks = self.election_elapsed_ticks.saturating_add(elapsed);
        // What this node promised by its monotonic clock may outlast the ticks that it has counted. It looks again with each tick.
        if self.election_elapsed_ticks >= self.election_due_ticks
            && !self.withholds_vote(self.hard_state.term.next(), Ground::Silence)
        {
            self.on_election_timeout();
        }
    }

    /// No leader for a while: stand for election, if that makes sense.
    fn on_election_timeout(&mut self) {
        self.restart_election_timer();
        if let RoleState::Candidate(candidate) = &self.role
            && !candidate.votes.contains_key(&self.config.node)
            && !planted::is(Bug::TermsRaisedWhileDiskWaits)
        {
            // The own vote is not durable yet. Another term would not make the disk faster, only the terms higher.
            return;
        }
        if self.may_campaign() && !self.is_paused() && !self.lets_others_stand() {
            self.pre_campaign();
        } else {
            self.become_follower(None, "the election timer fired");
        }
    }

    /// Whether this node may stand for election: its log is whole, because a leader must be able to give all that it holds to others, and it
    /// is a voter of the newest membership in its log, or of the one before it while the newest is not known to be
    /// committed (thesis 4.2.2): a leader that was removed may hold that entry alone, and nobody else could be elected over its log.
    pub(crate) fn may_campaign(&self) -> bool {
        if !self.log.damage().is_none() {
            return false;
        }
        let newest = self.newest_membership();
        let is_voter = |membership: &Membership| membership.is_voter(self.config.node);
        newest.is_some_and(|(index, membership)| {
            let before = self.log.memberships().iter().rev().find(|(other, _)| *other < index);
            is_voter(membership) || index > self.commit && before.is_some_and(|(_, before)| is_voter(before))
        })
    }

    /// The members by the newest membership in the log; nobody at a node that joins and has heard of none yet.
    pub fn membership(&self) -> Arc<Membership> {
        self.newest_membership().map(|(_, membership)| Arc::clone(membership)).unwrap_or_default()
    }

    /// The voters but this node.
    pub(crate) fn other_voters(&self) -> Vec<NodeId> {
        let membership = self.membership();
        membership
            .members()
            .into_iter()
            .filter(|node| *node != self.config.node && membership.is_voter(*node))
            .collect()
    }

    /// Starts the election timer anew, with a new random share, so that two nodes do not stay in step (thesis 3.4).
    pub(crate) fn restart_election_timer(&mut self) {
        let timeout = self.config.election_timeout_ticks;
        self.election_elapsed_ticks = 0;
        let delay = self.priority_delay_ticks();
        self.election_due_ticks = timeout + self.rng.below(timeout) + delay;
        assert!(self.election_due_ticks < 2 * timeout + delay, "the random share is below one timeout");
    }

    /// Whether a leader is alive as far as this node can tell: then votes are refused and terms are not raised by
    /// candidates (thesis 4.2.3, 9.6). A leader counts itself: check-quorum bounds how long it may be wrong.
    pub(crate) fn hears_leader(&self) -> bool {
        match &self.role {
            RoleState::Leader(_) => true,
            RoleState::Follower(follower) => {
                follower.leader.is_some() && follower.silent_ticks < self.config.election_timeout_ticks
            }
            RoleState::PreCandidate(_) | RoleState::Candidate(_) => false,
        }
    }

    /// Follows `leader`, or nobody yet, in the current term. A leader that steps down answers all reads that wait.
    pub(crate) fn become_follower(&mut self, leader: Option<NodeId>, reason: &'static str) {
        if let RoleState::Leader(role) = &mut self.role {
            assert!(leader.is_none(), "a term has one leader");
            let reads = role.reads.drain();
            self.out.refused.extend(reads.into_iter().map(|ticket| (ticket, Refusal::NotLeader { leader })));
            if let Some((ticket, _)) = role.changing.asker {
                self.out.changes.push((ticket, ChangeEnd::LeadershipLost));
            }
            if let Some(Transfer { ticket: Some(ticket), .. }) = role.transfer {
                let end = TransferEnd::SteppedDown { from: self.hard_state.term };
                self.out.transfers.push((ticket, end));
            }
            let reason = role.watch.giving_way.unwrap_or(reason);
            self.out.facts.push(Fact::SteppedDown { term: self.hard_state.term, reason });
            self.restart_election_timer();
        }
        if let Some(leader) = leader
            && self.leader() != Some(leader)
        {
            assert!(self.leader().is_none(), "a term has one leader");
            self.out.facts.push(Fact::Follows { term: self.hard_state.term, leader });
        }
        self.role = RoleState::Follower(Follower { leader, silent_ticks: 0 });
        if planted::is(Bug::VoteErasedOnStepDown) {
            self.hard_state.vote = None;
        }
    }

    /// Asks whether this node would win, before any term is raised (thesis 9.6).
    pub(crate) fn pre_campaign(&mut self) {
        assert!(!matches!(self.role, RoleState::Leader(_)), "a leader does not stand for election");
        let term = self.hard_state.term.next();
        self.out.facts.push(Fact::PreCampaign(term));
        let last = self.log.last();
        for voter in self.other_voters() {
            self.send(voter, Message::PreVoteRequest { last });
            let envelope = self.out.send.last_mut().expect("it was pushed just now");
            envelope.term = term;
        }
        let mut role = PreCandidate::default();
        role.answers.insert(self.config.node, true);
        self.role = RoleState::PreCandidate(role);
        self.count_pre_votes();
    }

    /// Stands for election: a new term, a vote for itself, and requests that leave once both are durable.
    fn campaign(&mut self, ground: Ground) {
        assert!(!matches!(self.role, RoleState::Leader(_)), "a leader does not stand for election");
        assert!(self.may_campaign(), "only a voter stands for election");
        let term = self.hard_state.term.next();
        assert!(!self.withholds_vote(term, ground), "nobody votes for itself against its own promise");
        self.set_hard_state(HardState { term, vote: Some(self.config.node) });
        self.restart_election_timer();
        self.role = RoleState::Candidate(Candidate::default());
        self.out.facts.push(Fact::Campaign(term));
        let last = self.log.last();
        for voter in self.other_voters() {
            self.promise(voter, Message::VoteRequest { last, ground });
        }
        if planted::is(Bug::OwnVoteCountedUnsynced) {
            self.on_vote_response(self.config.node, true);
        }
    }

    /// Campaigns at once, without asking first, and is heard although a leader is alive. Ignored where it makes no sense: by a leader, by who has no vote, and by a
    /// candidate whose own vote is not durable yet; and by who has promised a leader not to.
    pub(crate) fn on_campaign(&mut self, ground: Ground) {
        let waits = match &self.role {
            RoleState::Candidate(candidate) => !candidate.votes.contains_key(&self.config.node),
            RoleState::Leader(_) => true,
            RoleState::Follower(_) | RoleState::PreCandidate(_) => false,
        };
        if waits || !self.may_campaign() || self.is_paused() {
            return;
        }
        if self.withholds_vote(self.hard_state.term.next(), ground) {
            self.note_withheld(self.config.node);
        } else {
            self.campaign(ground);
        }
    }

    /// "Would you vote for me in this term?" Nothing changes here, whatever the answer. A refusal carries this node's own
    /// term, and the asker adopts it if it is higher: without that, nodes of a lower term could never get out of it.
    pub(crate) fn on_pre_vote_request(&mut self, from: NodeId, term: Term, last: EntryId) {
        let hears_leader = self.hears_leader() && !planted::is(Bug::PreVoteWhileLeaderLives);
        let would_hear = term > self.hard_state.term && !hears_leader;
        let lacks = would_hear && self.is_newer_than(last);
        if lacks && self.donate(from, last) {
            return;
        }
        let may_win = would_hear && !lacks;
        let granted = may_win && !self.withholds_vote(term, Ground::Silence);
        if may_win && !granted {
            self.note_withheld(from);
        }
        self.send(from, Message::PreVoteResponse { granted });
        if granted {
            let envelope = self.out.send.last_mut().expect("it was pushed just now");
            envelope.term = term;
        }
    }

    /// A grant counts only for the term that this node would campaign in now: one of an earlier round is void.
    pub(crate) fn on_pre_vote_granted(&mut self, from: NodeId, term: Term) {
        let current = self.hard_state.term.next();
        if let RoleState::PreCandidate(role) = &mut self.role
            && term == current
        {
            role.answers.insert(from, true);
            self.count_pre_votes();
        }
    }

    /// A refusal in the current term; one with a higher term has turned this node into a follower before it came here.
    pub(crate) fn on_pre_vote_refused(&mut self, from: NodeId, granted: bool) {
        assert!(!granted, "grants were taken out before terms are compared");
        if let RoleState::PreCandidate(role) = &mut self.role {
            role.answers.entry(from).or_insert(false);
            self.count_pre_votes();
        }
    }

    fn count_pre_votes(&mut self) {
        let RoleState::PreCandidate(role) = &self.role else {
            unreachable!("only a pre-candidate counts pre-votes")
        };
        match quorum::poll_result(&self.membership(), |node| role.answers.get(&node).copied()) {
            PollResult::Won => self.campaign(Ground::Silence),
            PollResult::Lost => self.become_follower(None, "the pre-vote was lost"),
            PollResult::Pending => {}
        }
    }

    /// "Vote for me": at most one vote for each term, and only for a log that is at least as new as the own (thesis 3.6.1).
    /// Logs are compared by the term of the last entry first, then by its index.
    pub(crate) fn on_vote_request(&mut self, from: NodeId, last: EntryId, ground: Ground) {
        if self.withholds_vote(self.hard_state.term, ground) {
            self.note_withheld(from);
            let answer = self.vote_answer(false);
            return self.send(from, answer);
        }
        let free = match self.hard_state.vote {
            None => self.leader().is_none(),
            Some(voted_for) => voted_for == from,
        };
        let refused = self.is_newer_than(last) && !planted::is(Bug::VoteForOlderLog);
        if free && refused && self.donate(from, last) {
            return;
        }
        if !free || refused {
            let answer = self.vote_answer(false);
            self.send(from, answer);
            return;
        }
        if self.hard_state.vote.is_none() {
            self.set_hard_state(HardState { term: self.hard_state.term, vote: Some(from) });
            self.restart_election_timer();
        }
        let answer = self.vote_answer(true);
        self.promise(from, answer);
        assert!(self.hard_state.vote == Some(from), "a vote is remembered before it is told");
    }

    /// A voter's answer to this candidate. The first one stands.
    pub(crate) fn on_vote_response(&mut self, from: NodeId, granted: bool) {
        if let RoleState::Candidate(role) = &mut self.role {
            // A vote that was given stays given; a refusal may have been for a log that was older then.
            let vote = role.votes.entry(from).or_insert(granted);
            *vote |= granted;
            self.count_votes();
        }
    }

    /// The own vote counts once the write that carries it is durable.
    pub(crate) fn on_own_vote_persisted(&mut self, number: WriteNumber) {
        let RoleState::Candidate(role) = &mut self.role else {
            unreachable!("only a candidate waits for its vote")
        };
        if role.own_vote_write.is_some_and(|write| write <= number) {
            role.votes.entry(self.config.node).or_insert(true);
            self.count_votes();
        }
    }

    fn count_votes(&mut self) {
        let RoleState::Candidate(role) = &self.role else { unreachable!("only a candidate counts votes") };
        match quorum::poll_result(&self.membership(), |node| role.votes.get(&node).copied()) {
            PollResult::Won => self.become_leader(),
            PollResult::Lost => self.become_follower(None, "the election was lost"),
            PollResult::Pending => {}
        }
    }

    /// Leads the term. Nothing is assumed of any disk, the own one included: what earlier terms had under way counts when it
    /// is acknowledged. The no-op commits what earlier terms left (thesis 3.6.2) and opens reads (6.4).
    fn become_leader(&mut self) {
        assert!(matches!(self.role, RoleState::Candidate(_)), "only a candidate becomes leader");
        assert!(self.hard_state.vote == Some(self.config.node), "a leader has voted for itself");
        assert!(self.log.damage().is_none(), "a leader has all bytes of its log");
        let last = self.log.last().index;
        let clocks = self.voters_clocks();
        self.role = RoleState::Leader(Box::new(Leader {
            peers: BTreeMap::new(),
            heartbeat_elapsed_ticks: 0,
            disk_silent_ticks: 0,
            round: 0,
            reads: crate::read_index::Reads::default(),
            term_first: last.next(),
            transfer: None,
            changing: Changing::default(),
            watch: Watch::default(),
            clocks,
            lease: Lease::default(),
        }));
        self.sync_peers();
        self.fitness.passed = 0;
        self.out.facts.push(Fact::BecameLeader(self.hard_state.term));
        let noop = self.append_own(Payload::Noop, self.wall_ms);
        assert!(noop.term == self.hard_state.term, "the first entry of a leader is of its own term");
    }

    /// Appends an entry of this leader, made when its wall clock shows `own_ms`. Its timestamp is never lower than that of the entry
    /// before: `apply` sees no other clock, and that one must not run backwards when the leader changes.
    pub(crate) fn append_own(&mut self, payload: Payload, own_ms: u64) -> EntryId {
        let id = EntryId { term: self.hard_state.term, index: self.log.last().index.next() };
        let timestamp_ms = self.log_time(own_ms);
        assert!(timestamp_ms >= self.log.last_timestamp_ms(), "time never falls along the log");
        let entry = Entry { id, timestamp_ms, payload };
        assert!(matches!(self.role, RoleState::Leader(_)), "only a leader makes entries");
        self.log.append(entry);
        id
    }
}
