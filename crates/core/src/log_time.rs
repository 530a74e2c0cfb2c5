//! The time that entries carry (no section of the thesis): the leader's wall clock, but never far from what a quorum's clocks show.
//!
//! What is remembered for a while is forgotten by this time, on all nodes alike, and it never goes back. So one wall clock that is a
//! year ahead would end everything at once and for good. Each heartbeat answer, and each vote, shows the peer's wall clock. The time that a
//! quorum has reached, the leader's own clock counted like any other, is one that some correct clock shows at least and
//! some other one at most, as long as fewer voters than a quorum lacks are wrong. An entry's time is the leader's clock, held within
//! [`Config::clock_skew_max_ms`](crate::config::Config::clock_skew_max_ms) of that, and at least that of the entry before.
//!
//! A fresh leader has the clocks of those who voted for it. Where they did not show them, because they speak an older version, its
//! entries carry the time of the entry before them until a quorum has shown theirs. Nobody steps down, and nothing is refused, however the clocks disagree: then time stands still or goes slowly, and what should
//! have expired is kept a little longer.

use std::collections::BTreeMap;

use crate::message::Message;
use crate::planted::{self, Bug};
use crate::quorum;
use crate::raft::Raft;
use crate::ready::Fact;
use crate::role::RoleState;
use crate::types::{Index, NodeId};

/// What a leader knows of wall clocks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Clocks {
    /// What each peer has shown. Nobody who has shown nothing.
    pub(crate) shown: BTreeMap<NodeId, Shown>,
    /// The time that a quorum has reached, in milliseconds since 1970; 0 until a quorum has shown one.
    pub(crate) reached_ms: u64,
    /// The last round that was begun by the timer, and the own wall clock then. A later answer is no older than that.
    pub(crate) asked: (u64, u64),
    /// Whose clock was last told to be off, and by how much.
    pub(crate) off: BTreeMap<NodeId, i64>,
    /// What each peer's binary understands, which stands in the same answers.
    pub(crate) features: BTreeMap<NodeId, u16>,
}

/// What a peer has shown of its wall clock.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    /// The round that it answered. An answer to an older one shows an older time.
    pub(crate) round: u64,
    /// What its clock showed, in milliseconds since 1970: a time that it had reached, so it needs no correction by the way back.
    pub(crate) wall_ms: u64,
    /// By how much its clock was ahead of the own one, when the answer was quick enough to tell.
    pub(crate) skew_ms: Option<i64>,
}

impl Raft {
    /// The wall clock, whenever the world has looked at it. Entries and answers carry it; no timer hangs on it.
    pub fn tell_wall(&mut self, wall_ms: u64) {
        self.wall_ms = wall_ms;
    }

    /// The time of an entry that is made now, when the own wall clock shows `own_ms`.
    pub(crate) fn log_time(&self, own_ms: u64) -> u64 {
        let RoleState::Leader(leader) = &self.role else { unreachable!("only a leader makes entries") };
        let (before, bound) = (self.log.last_timestamp_ms(), self.config.clock_skew_max_ms);
        let reached = leader.clocks.reached_ms;
        if planted::is(Bug::LeaderTrustsItsClock) {
            return own_ms.max(before);
        }
        if reached == 0 {
            return before;
        }
        own_ms.clamp(reached.saturating_sub(bound), reached.saturating_add(bound)).max(before)
    }

    /// What this node answers to a candidate.
    pub(crate) fn vote_answer(&self, granted: bool) -> Message {
        Message::VoteResponse { granted, wall_ms: self.wall_ms }
    }

    /// A voter shows its wall clock in its answer to this candidate; whoever answers late shows it to the leader that this became.
    pub(crate) fn on_voters_clock(&mut self, from: NodeId, wall_ms: u64) {
        match &mut self.role {
            RoleState::Candidate(candidate) if wall_ms > 0 => {
                candidate.clocks.insert(from, wall_ms);
            }
            RoleState::Leader(leader) if leader.peers.contains_key(&from) => {
                self.on_clock_shown(from, 0, wall_ms);
            }
            RoleState::Candidate(_)
            | RoleState::Leader(_)
            | RoleState::Follower(_)
            | RoleState::PreCandidate(_) => {}
        }
    }

    /// The clocks with which a candidate that was elected begins.
    pub(crate) fn voters_clocks(&self) -> Clocks {
        let RoleState::Candidate(candidate) = &self.role else { unreachable!("only a candidate is elected") };
        let shown = |wall_ms| Shown { round: 0, wall_ms, skew_ms: None };
        let shown = candidate.clocks.iter().map(|(voter, wall_ms)| (*voter, shown(*wall_ms))).collect();
        Clocks { shown, ..Clocks::default() }
    }

    /// What this node answers to a heartbeat of `round`.
    pub(crate) fn heartbeat_answer(&self, round: u64, promise_us: u64) -> Message {
        let (standing, wall_ms, features) = (self.standing(), self.wall_ms, self.config.features);
        Message::HeartbeatResponse { round, standing, wall_ms, features, promise_us }
    }

    /// A peer says what its binary understands. One that does not say it, says nothing.
    pub(crate) fn on_features(&mut self, from: NodeId, features: u16) {
        if let RoleState::Leader(leader) = &mut self.role
            && leader.peers.contains_key(&from)
        {
            // One that came back and does not say it any more understands what the first release did.
            leader.clocks.features.remove(&from);
            if features > 0 {
                leader.clocks.features.insert(from, features);
            }
        }
    }

    /// What the binaries of all members understand, if it is more than `level`: the lowest of what each has said, this node included. None unless
    /// this node leads, and each of the others was heard within the election timeout and has said it: a node that is down may come back with
    /// another binary.
    pub fn features_of_all_above(&self, level: u16) -> Option<u16> {
        let RoleState::Leader(leader) = &self.role else { return None };
        if self.config.features <= level {
            // Asked at each turn, and nearly always all that there is to say.
            return None;
        }
        let timeout = self.config.election_timeout_ticks;
        let of = |member: NodeId| -> Option<u16> {
            if member == self.config.node {
                return Some(self.config.features);
            }
            let is_heard = leader.peers.get(&member).is_some_and(|peer| peer.silent_ticks < timeout);
            leader.clocks.features.get(&member).copied().filter(|_| is_heard)
        };
        self.membership().members().into_iter().map(of).min().flatten().filter(|lowest| *lowest > level)
    }

    /// The timer begins a heartbeat round: what answers it shows a clock as it is after now.
    pub(crate) fn note_clock_round(&mut self) {
        let wall_ms = self.wall_ms;
        let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader has heartbeats") };
        leader.clocks.asked = (leader.round, wall_ms);
    }

    /// A peer shows its wall clock in its answer to `round`. 0 is no time: it does not know.
    pub(crate) fn on_clock_shown(&mut self, from: NodeId, round: u64, wall_ms: u64) {
        let (own_ms, bound) = (self.wall_ms, self.config.clock_skew_max_ms);
        let RoleState::Leader(leader) = &mut self.role else { return };
        let before = leader.clocks.shown.get(&from).copied();
        if before.is_some_and(|shown| shown.round >= round) {
            return;
        }
        if wall_ms == 0 {
            // It came back in an older version: what it showed before is no clock that goes on.
            leader.clocks.shown.remove(&from);
            return;
        }
        // The answer is not older than the last round of the timer that it is not older than. Without that, or with an own clock that has
        // jumped since, nothing is said about the difference.
        let (asked, asked_ms) = leader.clocks.asked;
        let age_ms = (asked > 0 && round >= asked).then(|| own_ms.checked_sub(asked_ms)).flatten();
        let is_fresh = age_ms.is_some_and(|age_ms| age_ms <= bound / 2);
        let skew_before = before.and_then(|shown| shown.skew_ms);
        let skew_ms = if is_fresh { Some(difference(wall_ms, own_ms)) } else { skew_before };
        leader.clocks.shown.insert(from, Shown { round, wall_ms, skew_ms });
        self.weigh_clocks();
        if is_fresh {
            self.judge_clock(from, wall_ms);
            self.judge_clock(self.config.node, own_ms);
        }
    }

    /// Works out which time a quorum has reached. For each tick, each answer and each change of the members, not for each entry.
    pub(crate) fn weigh_clocks(&mut self) {
        let membership = self.membership();
        let (node, own_ms) = (self.config.node, self.wall_ms);
        let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader weighs clocks") };
        let shown = &leader.clocks.shown;
        let reached = quorum::commit_index(&membership, |voter| {
            let shown = shown.get(&voter).map_or(0, |shown| shown.wall_ms);
            Index(if voter == node { own_ms } else { shown })
        });
        leader.clocks.reached_ms = reached.0;
    }

    /// Tells when a clock begins or ends to be further from a quorum's than the bound.
    fn judge_clock(&mut self, node: NodeId, wall_ms: u64) {
        let bound = self.config.clock_skew_max_ms;
        let RoleState::Leader(leader) = &mut self.role else { return };
        let reached = leader.clocks.reached_ms;
        let by_ms = difference(wall_ms, reached);
        let was_off = leader.clocks.off.contains_key(&node);
        // One that swings around the bound is not told each time.
        let limit = if was_off { bound / 2 } else { bound };
        let is_off = reached > 0 && by_ms.unsigned_abs() > limit;
        if is_off {
            leader.clocks.off.insert(node, by_ms);
        } else {
            leader.clocks.off.remove(&node);
        }
        if is_off != was_off {
            self.out.facts.push(Fact::Clock { node, by_ms, is_off });
        }
    }

    /// Forgets the clocks of nodes that are no members any more.
    pub(crate) fn forget_clocks(&mut self) {
        let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader weighs clocks") };
        let peers = &leader.peers;
        leader.clocks.shown.retain(|node, _| peers.contains_key(node));
        leader.clocks.features.retain(|node, _| peers.contains_key(node));
        let own = self.config.node;
        leader.clocks.off.retain(|node, _| *node == own || peers.contains_key(node));
    }
}

/// `one` less `other`, in milliseconds; what does not fit is cut to the largest that does.
fn difference(one: u64, other: u64) -> i64 {
    let by = i64::try_from(one.abs_diff(other)).unwrap_or(i64::MAX);
    if one >= other { by } else { -by }
}
