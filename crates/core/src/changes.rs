//! Changing the members (thesis chapter 4): the leader's side. A change is an entry, in force as soon as it stands in a log,
//! committed or not (4.1).
//!
//! One change at a time, and none before an entry of the own term is committed: without that, two leaders of different terms could
//! each change one voter and split the cluster, the bug of 2015. What was begun is completed by whoever leads: a joint membership
//! is left once it is committed, a learner that has caught up is promoted. A leader that is removed goes when the membership
//! without it is committed, and hands over first.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::entry::{Membership, Payload};
use crate::membership::{Change, ChangeRefusal};
use crate::planted::{self, Bug};
use crate::progress::Progress;
use crate::quorum;
use crate::raft::Raft;
use crate::ready::{ChangeEnd, Fact};
use crate::role::{Leader, RoleState};
use crate::transfer::Transfer;
use crate::types::{Index, NodeId};

/// What a leader knows of changes, beside the memberships in its log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Changing {
    /// Who waits for the change under way to be complete, and which node it added.
    pub(crate) asker: Option<(u64, Option<NodeId>)>,
    /// The learners that wait to be promoted.
    pub(crate) catching_up: BTreeMap<NodeId, CatchUp>,
    /// Nodes that were removed, with the ticks since: they are still sent the entry that says so.
    pub(crate) departing: BTreeMap<NodeId, u64>,
}

/// How a learner catches up (thesis 4.2.1): in rounds, each up to what the leader held when the round began. A round that took less
/// than an election timeout is short enough: less than that would be missing when it becomes a voter.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct CatchUp {
    /// Up to where this round goes.
    pub(crate) goal: Index,
    /// For how many ticks it has been under way.
    pub(crate) elapsed_ticks: u64,
}

impl Raft {
    /// The newest membership in the log with its index (thesis 4.1).
    pub(crate) fn newest_membership(&self) -> Option<(Index, &Arc<Membership>)> {
        let memberships = self.log.memberships();
        let newest = if planted::is(Bug::MembershipUsedWhenCommitted) {
            memberships.iter().rev().find(|(index, _)| *index <= self.commit).or(memberships.first())
        } else {
            memberships.last()
        };
        newest.map(|(index, membership)| (*index, membership))
    }

    /// Whether the newest membership is committed.
    fn is_membership_committed(&self) -> bool {
        self.log.memberships().last().is_none_or(|(index, _)| *index <= self.commit)
    }

    /// Whether this node was removed from the cluster, as far as it knows that to be committed. A node that joins was not: it has heard of no
    /// membership yet, or of none in which its id was given.
    pub fn was_removed(&self) -> bool {
        let node = self.config.node;
        let is_without =
            |newest: &Membership| newest.id_last() >= node.get() && !newest.members().contains(&node);
        self.is_membership_committed()
            && self.newest_membership().is_some_and(|(_, newest)| is_without(newest))
    }

    /// Who decides on what is committed.
    pub(crate) fn deciding_membership(&self) -> Arc<Membership> {
        let newest = self.membership();
        let memberships = self.log.memberships();
        if planted::is(Bug::RemovedNodeCounted)
            && let Some((_, before)) =
                memberships.len().checked_sub(2).and_then(|place| memberships.get(place))
        {
            return Arc::new(newest.counting_removed(before));
        }
        newest
    }

    /// Tells the members anew if they are others than at the end of the last turn.
    pub(crate) fn tell_members(&mut self) {
        let Some((index, members)) = self.newest_membership() else { return };
        if index != self.members_told {
            let members = Arc::clone(members);
            self.members_told = index;
            self.out.facts.push(Fact::Members { index, members });
        }
    }

    /// An operator wants another membership.
    pub(crate) fn on_change(&mut self, ticket: u64, change: &Change) {
        let next = match self.admit_change(change) {
            Ok(Some(next)) => next,
            Ok(None) => {
                let node = if let Change::Add { node, .. } = change { *node } else { None };
                return self.out.changes.push((ticket, ChangeEnd::Done { node }));
            }
            Err(refusal) => return self.out.changes.push((ticket, ChangeEnd::Refused(refusal))),
        };
        let added = next.learners.difference(&self.membership().learners).next().copied();
        self.append_membership(next);
        let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader admits a change") };
        assert!(leader.changing.asker.is_none(), "one change at a time");
        leader.changing.asker = Some((ticket, added));
    }

    /// What a change leads to, if it may be made now.
    fn admit_change(&self, change: &Change) -> Result<Option<Membership>, ChangeRefusal> {
        let RoleState::Leader(leader) = &self.role else {
            return Err(ChangeRefusal::NotLeader { leader: self.leader() });
        };
        let committed_own = self.commit >= leader.term_first || planted::is(Bug::ChangeBeforeOwnCommit);
        if !committed_own || leader.transfer.is_some() {
            return Err(ChangeRefusal::NotYet);
        }
        if !self.is_membership_committed() || leader.changing.asker.is_some() {
            return Err(ChangeRefusal::UnderWay);
        }
        let Some(next) = self.membership().after(change)? else { return Ok(None) };
        if next.is_joint() {
            self.check_alive(leader, &next)?;
        }
        Ok(Some(next))
    }

    /// A change after which no quorum would answer is refused: it could never be completed nor taken back.
    fn check_alive(&self, leader: &Leader, next: &Membership) -> Result<(), ChangeRefusal> {
        let timeout = self.config.election_timeout_ticks;
        let (node, peers) = (self.config.node, &leader.peers);
        let is_alive = |voter: NodeId| {
            voter == node || peers.get(&voter).is_some_and(|peer| peer.silent_ticks < timeout)
        };
        if quorum::has_quorum(next, is_alive) {
            return Ok(());
        }
        let silent = next.voters.iter().copied().filter(|voter| !is_alive(*voter)).collect();
        Err(ChangeRefusal::NoQuorum { silent })
    }

    fn append_membership(&mut self, next: Membership) {
        let next = next.with_addresses(&self.config.addresses);
        assert!(next.is_sound(), "a change leads from one sound membership to another");
        self.append_own(Payload::Membership(Arc::new(next)), self.wall_ms);
        self.sync_peers();
    }

    /// Brings what the leader knows of others in line with the newest membership.
    pub(crate) fn sync_peers(&mut self) {
        let (node, last) = (self.config.node, self.log.last().index);
        let membership = self.membership();
        let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader has peers") };
        let members = membership.members();
        for member in members.iter().filter(|member| **member != node) {
            leader.peers.entry(*member).or_insert_with(|| Progress::new(last));
            leader.changing.departing.remove(member);
        }
        for peer in leader.peers.keys().filter(|peer| !members.contains(peer)) {
            leader.changing.departing.entry(*peer).or_insert(0);
        }
        let catching_up = &mut leader.changing.catching_up;
        catching_up.retain(|learner, _| membership.promotions.contains_key(learner));
        for learner in membership.promotions.keys() {
            catching_up.entry(*learner).or_insert(CatchUp { goal: last, elapsed_ticks: 0 });
        }
        self.forget_clocks();
        self.weigh_clocks();
    }

    /// At the end of each turn a leader takes the next step of what was begun, if one is due.
    pub(crate) fn drive_changes(&mut self) {
        let RoleState::Leader(leader) = &self.role else { return };
        let may_change = self.is_membership_committed() && self.commit >= leader.term_first;
        if !may_change {
            return;
        }
        let membership = self.membership();
        if membership.is_joint() {
            // A transfer that is under way comes first; whoever leads after it leaves the joint membership.
            if leader.transfer.is_none() {
                self.append_membership(membership.left());
            }
            return;
        }
        self.report_change();
        if !membership.is_voter(self.config.node) {
            self.leave_office();
        } else if let Some(learner) = self.next_promotion(&membership) {
            self.append_membership(membership.promoted(learner));
        }
    }

    /// The change under way is complete: whoever asked for it is told.
    fn report_change(&mut self) {
        let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader makes changes") };
        if let Some((ticket, node)) = leader.changing.asker.take() {
            self.out.changes.push((ticket, ChangeEnd::Done { node }));
        }
    }

    /// A learner that has caught up, if nothing else is under way and the voters after it would be able to decide.
    fn next_promotion(&self, membership: &Membership) -> Option<NodeId> {
        let RoleState::Leader(leader) = &self.role else { unreachable!("only a leader promotes") };
        if leader.transfer.is_some() {
            return None;
        }
        let timeout = self.config.election_timeout_ticks;
        let has_caught_up = |learner: &NodeId, round: &CatchUp| {
            round.elapsed_ticks < timeout
                && leader.peers.get(learner).is_some_and(|peer| {
                    peer.silent_ticks < timeout && peer.matched() >= round.goal && peer.matched() > Index(0)
                })
        };
        let ready =
            leader.changing.catching_up.iter().filter(|(learner, round)| has_caught_up(learner, round));
        let fits = |learner: &NodeId| self.check_alive(leader, &membership.promoted(*learner)).is_ok();
        ready.map(|(learner, _)| *learner).find(fits)
    }

    /// This leader was removed, and that is committed (thesis 4.2.2): it hands over to whoever is fit, and goes in any case.
    fn leave_office(&mut self) {
        let membership = self.membership();
        let RoleState::Leader(leader) = &mut self.role else {
            unreachable!("only a leader leaves its office")
        };
        if leader.transfer.is_some() {
            return;
        }
        let timeout = self.config.election_timeout_ticks;
        let fit = leader
            .peers
            .iter()
            .filter(|(node, progress)| membership.voters.contains(node) && progress.silent_ticks < timeout);
        let fittest = fit.max_by_key(|(node, progress)| (progress.matched(), Reverse(**node)));
        match fittest.map(|(node, _)| *node) {
            Some(to) => {
                leader.transfer = Some(Transfer { ticket: None, to, elapsed_ticks: 0 });
                self.out.facts.push(Fact::HandsOver { to });
                self.urge_successor();
            }
            None => self.become_follower(None, "it was removed"),
        }
    }

    /// Time has passed for learners that catch up and for nodes that are going.
    pub(crate) fn on_changes_tick(&mut self, elapsed: u64) {
        let (timeout, last) = (self.config.election_timeout_ticks, self.log.last().index);
        let is_committed = self.is_membership_committed();
        let RoleState::Leader(leader) = &mut self.role else { return };
        let Leader { peers, changing, .. } = &mut **leader;
        for (learner, round) in &mut changing.catching_up {
            round.elapsed_ticks = round.elapsed_ticks.saturating_add(elapsed);
            let is_over = peers.get(learner).is_some_and(|peer| peer.matched() >= round.goal);
            if is_over && round.elapsed_ticks >= timeout {
                *round = CatchUp { goal: last, elapsed_ticks: 0 };
            }
        }
        // They are told for a while, no longer: a node that is gone would be kept for ever.
        if is_committed {
            for ticks in changing.departing.values_mut() {
                *ticks = ticks.saturating_add(elapsed);
            }
            let told_ticks = timeout.saturating_mul(TOLD_TIMEOUTS);
            peers.retain(|node, _| changing.departing.get(node).is_none_or(|ticks| *ticks < told_ticks));
            changing.departing.retain(|node, _| peers.contains_key(node));
        }
    }
}

/// For how many election timeouts a node that was removed is still told so.
const TOLD_TIMEOUTS: u64 = 2;
