//! Leases for reads (thesis 6.4.1): a leader that knows that nobody else can have been elected answers reads without a round.
//!
//! A node that hears a heartbeat promises to vote for nobody else, itself included, for a while by its own clock, and says so in its
//! answer. The leader counts from the moment at which it *sent* the round: the peer heard it later, so its promise ends later. As long
//! as the promises of a quorum hold, no election can be won, and what this leader knows to be committed is all that is.
//!
//! Three things make that true, and each was left out by somebody once. Clocks may run apart, so the leader counts with the promise as
//! the fastest clock would measure it. A promise outlives the process that gave it: after a start a node votes for nobody for as long as
//! it would have promised. And the leader itself may set voters free, by asking a peer to lead in its place: then all that was promised
//! up to that word is void, and only newer rounds count.
//!
//! Time is what [`crate::ready::Input::Clock`] says, read before the inputs of the turn are looked at. However long the process stands
//! still afterwards, what it concludes holds for that moment: a read came in before it, and its answer leaves after it.

use std::collections::VecDeque;

use crate::config::Config;
use crate::message::Ground;
use crate::planted::{self, Bug};
use crate::quorum;
use crate::raft::Raft;
use crate::ready::Fact;
use crate::role::RoleState;
use crate::types::{NodeId, Term};

/// What this node promised to a leader.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Promise {
    /// The term of the leader.
    pub(crate) term: Term,
    /// Its newest round that was heard.
    pub(crate) round: u64,
    /// By the own clock, in microseconds.
    pub(crate) until_us: u64,
}

/// What this node must keep to when it is asked for its vote.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Promised {
    /// The monotonic clock as last told. Invariant: never falls.
    pub(crate) clock_us: Option<u64>,
    /// Until when it votes for nobody because it has just started.
    pub(crate) held_until_us: u64,
    /// What it promised to a leader since.
    pub(crate) leader: Promise,
}

/// What a leader knows of its rounds. What came of them stands with each peer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Lease {
    /// When rounds were sent, by the own clock in microseconds. Not all rounds are noted: an answer to one that is not counts for the one
    /// before it. Invariant: both rise.
    rounds: VecDeque<(u64, u64)>,
}

impl Lease {
    /// Round `round` begins at this time. Rounds that begin soon after another are not noted: so the number of notes is bounded.
    fn on_round(&mut self, round: u64, now_us: u64, promise_us: u64) {
        while self.rounds.front().is_some_and(|(_, sent_us)| sent_us.saturating_add(promise_us) < now_us) {
            self.rounds.pop_front();
        }
        let apart_us = promise_us / ROUNDS_NOTED_MAX;
        if self.rounds.back().is_none_or(|(_, sent_us)| sent_us.saturating_add(apart_us) < now_us) {
            self.rounds.push_back((round, now_us));
        }
        assert!(self.rounds.len() as u64 <= ROUNDS_NOTED_MAX + 1, "the number of noted rounds is bounded");
    }

    /// A time at which round `round` had not been sent yet, if one is known.
    fn sent_us(&self, round: u64) -> Option<u64> {
        self.rounds.iter().rev().find(|(noted, _)| *noted <= round).map(|(_, sent_us)| *sent_us)
    }

    /// The notes, for the invariants and the canonical encoding.
    pub(crate) fn rounds(&self) -> &VecDeque<(u64, u64)> {
        &self.rounds
    }
}

impl Raft {
    /// The monotonic clock, at the beginning of a turn.
    pub(crate) fn on_clock(&mut self, monotonic_us: u64) {
        assert!(
            self.promised.clock_us.is_none_or(|before_us| before_us <= monotonic_us),
            "the monotonic clock never falls"
        );
        if self.promised.clock_us.is_none() {
            // What this node promised in an earlier life is not known any more, but how long it can have been.
            self.promised.held_until_us = monotonic_us.saturating_add(self.promise_us());
        }
        self.promised.clock_us = Some(monotonic_us);
    }

    /// What the clock shows to whoever asks for a lease.
    fn lease_clock_us(&self) -> Option<u64> {
        if planted::is(Bug::LeaseByWallClock) {
            return Some(self.wall_ms.saturating_mul(1_000));
        }
        self.promised.clock_us
    }

    /// For how long this node promises, when it hears a heartbeat; 0 without leases.
    fn promise_us(&self) -> u64 {
        self.config.lease.map_or(0, |lease| lease.promise_us)
    }

    /// The leader of the current term was heard in this round: nobody else gets a vote for a while. Returns for how long.
    pub(crate) fn promise_leader(&mut self, round: u64) -> u64 {
        let (Some(now_us), promise_us) = (self.lease_clock_us(), self.promise_us()) else { return 0 };
        let term = self.hard_state.term;
        assert!(self.promised.leader.term <= term, "nobody promises anything to a leader of a later term");
        let newest =
            if self.promised.leader.term == term { self.promised.leader.round.max(round) } else { round };
        self.promised.leader = Promise { term, round: newest, until_us: now_us.saturating_add(promise_us) };
        promise_us
    }

    /// Whether this node has promised not to take part in an election for `term` on this ground.
    pub(crate) fn withholds_vote(&self, term: Term, ground: Ground) -> bool {
        if self.config.lease.is_none() {
            return false;
        }
        let Some(now_us) = self.lease_clock_us() else { return true };
        if now_us < self.promised.held_until_us && !planted::is(Bug::RestartedFollowerVotes) {
            return true;
        }
        let is_void = match ground {
            Ground::Silence | Ground::Operator => false,
            // A leader who was elected after the one that was promised was elected in spite of that promise: it held nobody any more.
            Ground::Leader { round } => {
                let (of, promised) = (Term(term.0.saturating_sub(1)), self.promised.leader.term);
                let is_newest = self.promised.leader.round <= round || planted::is(Bug::OldWordFreesVoters);
                promised < of || (promised == of && is_newest)
            }
        };
        now_us < self.promised.leader.until_us && !is_void
    }

    /// Notes that somebody asked for a vote that was promised away.
    pub(crate) fn note_withheld(&mut self, from: NodeId) {
        let after_start = self.promised.clock_us.is_none_or(|now_us| now_us < self.promised.held_until_us);
        self.out.facts.push(Fact::VoteWithheld { from, after_start });
    }

    /// A round begins with this turn.
    pub(crate) fn note_round(&mut self) {
        let (Some(now_us), promise_us) = (self.lease_clock_us(), self.promise_us()) else { return };
        let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader has rounds") };
        if promise_us > 0 {
            leader.lease.on_round(leader.round, now_us, promise_us);
        }
    }

    /// A peer has answered a round with a promise of this length.
    pub(crate) fn on_promised(&mut self, from: NodeId, round: u64, promise_us: u64) {
        let (Some(lease), Some(now_us)) = (self.config.lease, self.lease_clock_us()) else { return };
        let RoleState::Leader(leader) = &mut self.role else {
            unreachable!("only a leader is promised anything")
        };
        let (Some(sent_us), Some(progress)) = (leader.lease.sent_us(round), leader.peers.get_mut(&from))
        else {
            return;
        };
        let (sent_us, us) = match promise_us {
            _ if planted::is(Bug::LeaseFromReceipt) => (now_us, lease.lease_us(promise_us)),
            _ if planted::is(Bug::LeaseIgnoresDrift) => (sent_us, promise_us),
            0 if planted::is(Bug::LeaseWithoutPromise) => (sent_us, lease.lease_us(lease.promise_us)),
            promise_us => (sent_us, lease.lease_us(promise_us)),
        };
        progress.promised_until_us = progress.promised_until_us.max(sent_us.saturating_add(us));
    }

    /// Until when the promises of a quorum hold, by the own clock in microseconds, if they do now. A leader is one of the quorum: whom it
    /// votes for, it does not lead any more.
    pub(crate) fn lease_until_us(&self) -> Option<u64> {
        let RoleState::Leader(leader) = &self.role else { return None };
        let now_us = self.lease_clock_us().filter(|_| self.config.lease.is_some())?;
        // While the leadership is handed over, somebody else may be elected at any moment.
        if leader.transfer.is_some() && !keeps_lease() {
            return None;
        }
        let until_us = |voter: NodeId| {
            let peer = leader.peers.get(&voter).map(|peer| peer.promised_until_us);
            if voter == self.config.node { u64::MAX } else { peer.unwrap_or(0) }
        };
        let membership = self.membership();
        let holds = |at_us: u64| quorum::has_quorum(&membership, |voter| until_us(voter) >= at_us);
        let ends = leader.peers.values().map(|peer| peer.promised_until_us).chain([u64::MAX]);
        ends.filter(|end_us| *end_us > now_us && holds(*end_us)).max()
    }

    /// The leader sets voters free: it asks a peer to lead in its place. What was promised so far counts no more, also when the transfer
    /// comes to nothing: the word may still arrive. It frees nobody who has heard a newer round, so newer rounds count.
    pub(crate) fn void_promises(&mut self) {
        let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader hands over") };
        if keeps_lease() {
            return;
        }
        // An answer to a round that is not noted any more counts for nothing.
        leader.lease.rounds.clear();
        leader.peers.values_mut().for_each(|peer| peer.promised_until_us = 0);
    }

    /// For how many microseconds more reads are answered without a round, as of this turn; `None` where none is.
    pub fn lease_left_us(&self) -> Option<u64> {
        let now_us = self.lease_clock_us()?;
        self.lease_until_us().map(|until_us| until_us.saturating_sub(now_us))
    }
}

/// Whether a lease outlasts that somebody else is asked to lead. It does not.
fn keeps_lease() -> bool {
    planted::is(Bug::TransferKeepsLease)
}

/// The settings of leases.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LeaseConfig {
    /// For how many microseconds by its own clock a node that heard a heartbeat votes for nobody else; also after each start. No longer
    /// than the shortest election timeout, or elections wait for it.
    pub promise_us: u64,
    /// By how many percent the clock of one node may run faster than that of another. If one runs faster still, a read may miss the newest
    /// writes; nothing else goes wrong.
    pub clock_drift_max_percent: u64,
}

impl LeaseConfig {
    /// For how long by its own clock a leader may rely on a promise that is kept for `promise_us` by a clock that runs faster by no more
    /// than the bound: `promise / (1 + drift)`, less a millisecond for what both clocks leave off their last digit.
    pub fn lease_us(&self, promise_us: u64) -> u64 {
        let by_own_clock = u128::from(promise_us) * 100 / u128::from(100 + self.clock_drift_max_percent);
        u64::try_from(by_own_clock).unwrap_or(u64::MAX).saturating_sub(MARGIN_US)
    }

    /// Whether the settings make sense.
    pub(crate) fn is_sound(&self) -> bool {
        (1..=DRIFT_PERCENT_MAX).contains(&self.clock_drift_max_percent)
            && self.promise_us <= PROMISE_US_MAX
            && self.lease_us(self.promise_us) > 0
    }
}

impl Config {
    /// The same settings with leases.
    #[must_use]
    pub fn with_lease(self, promise_us: u64, clock_drift_max_percent: u64) -> Config {
        Config { lease: Some(LeaseConfig { promise_us, clock_drift_max_percent }), ..self }
    }
}

/// How many rounds of the time for which a promise holds are noted.
const ROUNDS_NOTED_MAX: u64 = 32;
/// What is taken off each lease.
const MARGIN_US: u64 = 1_000;
/// Clocks that run twice as fast as others are no clocks.
const DRIFT_PERCENT_MAX: u64 = 100;
/// The longest promise: an hour. A node that starts votes for nobody for as long.
const PROMISE_US_MAX: u64 = 3_600_000_000;
