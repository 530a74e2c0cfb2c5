//! Handing the leadership over (thesis 3.10): before a leader is stopped, or because another place suits better.
//!
//! The leader takes no more proposals, brings the node that shall lead up to date, and tells it to stand for election at once.
//! That candidate is heard although a leader is alive, because the leader itself has asked for it. One election timeout is all the
//! time that there is: if the other has not taken over by then, the leader goes on as if nothing had been.

use crate::message::{Ground, Message};
use crate::pause::DISK_FULL;
use crate::planted::{self, Bug};
use crate::progress::Progress;
use crate::raft::Raft;
use crate::ready::{Fact, TransferEnd, TransferRefusal};
use crate::role::RoleState;
use crate::types::NodeId;

/// A transfer that is under way.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Transfer {
    /// Who waits for its end; nobody when a leader goes because it was removed.
    pub(crate) ticket: Option<u64>,
    /// Who shall lead.
    pub(crate) to: NodeId,
    /// For how many ticks it has been under way.
    pub(crate) elapsed_ticks: u64,
}

impl Raft {
    /// Somebody wants another leader: this one, or whoever is most likely to take over quickly.
    pub(crate) fn on_transfer(&mut self, ticket: u64, to: Option<NodeId>) {
        match self.transfer_target(to) {
            Err(refusal) => self.out.transfers.push((ticket, TransferEnd::Refused(refusal))),
            Ok(to) => {
                if self.lease_until_us().is_some() {
                    self.out.facts.push(Fact::LeaseGivenUp);
                }
                let RoleState::Leader(leader) = &mut self.role else {
                    unreachable!("only a leader finds somebody to hand over to")
                };
                leader.transfer = Some(Transfer { ticket: Some(ticket), to, elapsed_ticks: 0 });
                self.out.facts.push(Fact::HandsOver { to });
                self.urge_successor();
            }
        }
    }

    /// Who shall lead, or why nobody can be asked to. The one with the longest log needs the least time, and among equals
    /// the one that was heard last is the least likely to be gone.
    pub(crate) fn transfer_target(&self, to: Option<NodeId>) -> Result<NodeId, TransferRefusal> {
        let RoleState::Leader(leader) = &self.role else {
            return Err(TransferRefusal::NotLeader { leader: self.leader() });
        };
        if let Some(under_way) = leader.transfer {
            return Err(TransferRefusal::UnderWay { to: under_way.to });
        }
        let membership = self.membership();
        match to {
            Some(node) if node == self.config.node => Err(TransferRefusal::LeadsAlready),
            // Whoever is leaving would have to go again at once, and whoever only learns may not stand for election.
            Some(node) if !membership.voters.contains(&node) => Err(TransferRefusal::NotVoter { to: node }),
            Some(node) => Ok(node),
            None => {
                let timeout = self.config.election_timeout_ticks;
                let is_fit = |(node, progress): &(&NodeId, &Progress)| {
                    let full = progress.standing.is_some_and(|standing| standing.full);
                    membership.voters.contains(node) && progress.silent_ticks < timeout && !full
                };
                let rank = |(node, progress): &(&NodeId, &Progress)| {
                    (progress.matched(), std::cmp::Reverse(progress.silent_ticks), std::cmp::Reverse(**node))
                };
                let fittest = leader.peers.iter().filter(is_fit).max_by_key(rank);
                fittest.map(|(node, _)| *node).ok_or(TransferRefusal::NobodyElse)
            }
        }
    }

    /// Tells the successor to stand for election, once it holds all that this leader does: with less it would lose, and the
    /// cluster its leader. Told again with each heartbeat, because the message may be lost; a second one comes too late
    /// to do anything.
    pub(crate) fn urge_successor(&mut self) {
        let last = self.log.last().index;
        let RoleState::Leader(leader) = &self.role else { return };
        let Some(Transfer { to, .. }) = leader.transfer else { return };
        let holds_all = leader.peers.get(&to).is_some_and(|progress| progress.matched() == last);
        if holds_all || planted::is(Bug::TransferToLaggingNode) {
            let round = leader.round;
            self.void_promises();
            self.send(to, Message::TimeoutNow { round });
            if !self.may_campaign() {
                // Nobody asks a node that was removed for its vote, so it would not notice that it is replaced.
                self.become_follower(None, "it was removed and has handed over");
            }
        }
    }

    /// Who shall lead next, while this leader hands over.
    pub fn successor(&self) -> Option<NodeId> {
        match &self.role {
            RoleState::Leader(leader) => leader.transfer.map(|transfer| transfer.to),
            RoleState::Follower(_) | RoleState::PreCandidate(_) | RoleState::Candidate(_) => None,
        }
    }

    /// Time has passed for a transfer that is under way, if one is: after an election timeout it is given up.
    pub(crate) fn on_transfer_tick(&mut self, elapsed: u64) {
        let timeout = self.config.election_timeout_ticks;
        let RoleState::Leader(leader) = &mut self.role else { return };
        let Some(transfer) = &mut leader.transfer else { return };
        transfer.elapsed_ticks = transfer.elapsed_ticks.saturating_add(elapsed);
        if transfer.elapsed_ticks >= timeout && !planted::is(Bug::TransferNeverGivenUp) {
            let Transfer { ticket, to, elapsed_ticks: _ } = *transfer;
            leader.transfer = None;
            leader.watch.giving_way = None;
            self.out.transfers.extend(ticket.map(|ticket| (ticket, TransferEnd::GivenUp { to })));
            if self.is_paused() {
                self.become_follower(None, DISK_FULL);
            } else if self.may_campaign() {
                self.out.facts.push(Fact::LeadsOn { to });
            } else {
                self.become_follower(None, "it was removed");
            }
        }
    }

    /// "Lead in my place." Only the leader that this node follows may say so. What is late changes nothing: it is of an older term, or of an
    /// older round than those in which this node has made promises since.
    pub(crate) fn on_timeout_now(&mut self, from: NodeId, round: u64) {
        if matches!(self.role, RoleState::Leader(_)) || self.leader() != Some(from) {
            self.ignore(from, "only the leader that is followed may hand its leadership over");
        } else {
            self.on_campaign(Ground::Leader { round });
        }
    }
}
