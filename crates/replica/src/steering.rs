//! The replica's way with requests for the cluster as a whole: any node takes one, the leader carries it out, and whoever asked is
//! answered exactly once. Unlike a proposal such a request is never sent twice: a leader that is asked to go twice would.

use std::collections::BTreeMap;

use quorate_core::membership::ChangeRefusal;
use quorate_core::ready::{self, ChangeEnd, TransferEnd, TransferRefusal};
use quorate_core::types::{NodeId, Term};

use crate::cluster::{ClusterDone, ClusterError, ClusterRefusal, ClusterRequest};
use crate::effect::Effect;
use crate::input::Ticket;
use crate::peer_message::PeerMessage;
use crate::replica::Replica;

/// The requests that wait, by their numbers.
///
/// Invariant: all have the same time to live, so they end by time in the order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct Steering {
    pending: BTreeMap<u64, Pending>,
}

/// One request.
#[derive(Debug)]
struct Pending {
    asker: Asker,
    request: ClusterRequest,
    /// Given up at this tick.
    deadline: u64,
    /// Whether it waits its turn behind another change.
    waits_its_turn: bool,
    stage: Stage,
}

/// Who is to be answered.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Asker {
    Local(Ticket),
    Peer(NodeId, Ticket),
}

/// Where a request is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// Waits for a leader, and for this tick.
    Queued { not_before: u64 },
    /// With the protocol of this node, which leads.
    Begun,
    /// On its way to the leader, or with it.
    Sent { to: NodeId },
    /// Done in so far as this node no longer leads that term. The answer is who leads a later one.
    SteppedDown { from: Term },
}

impl Steering {
    /// The next tick after `tick` at which time alone changes something.
    pub(crate) fn next_tick(&self, tick: u64) -> Option<u64> {
        let next = |pending: &Pending| match pending.stage {
            Stage::Queued { not_before } if not_before > tick => not_before.min(pending.deadline),
            Stage::Queued { .. } | Stage::Begun | Stage::Sent { .. } | Stage::SteppedDown { .. } => {
                pending.deadline
            }
        };
        self.pending.values().map(next).min()
    }
}

impl Replica {
    /// A local caller asks.
    pub(crate) fn on_cluster(&mut self, ticket: Ticket, request: ClusterRequest) {
        self.take_in(Asker::Local(ticket), request);
    }

    /// A peer asks this node as the leader.
    pub(crate) fn on_cluster_request(&mut self, from: NodeId, ticket: Ticket, request: ClusterRequest) {
        self.take_in(Asker::Peer(from, ticket), request);
    }

    fn take_in(&mut self, asker: Asker, request: ClusterRequest) {
        if self.steering.pending.len() >= REQUESTS_LEN_MAX {
            return self.answer_cluster(asker, Err(ClusterError::Overloaded));
        }
        let number = self.next_number();
        let deadline = self.tick + self.config.proposal_timeout_ticks;
        let stage = Stage::Queued { not_before: self.tick };
        let pending = Pending { asker, request, deadline, waits_its_turn: false, stage };
        let before = self.steering.pending.insert(number, pending);
        assert!(before.is_none(), "numbers are given once");
    }

    /// Gives what is queued to the leader: to the own protocol, or to the peer that leads. What a peer asked is not carried
    /// further: if this node does not lead, the peer is told, and asks again where the leader is then.
    pub(crate) fn send_cluster_requests(&mut self) {
        let (node, tick, leader) = (self.raft.node(), self.tick, self.raft.leader());
        let is_due =
            |pending: &Pending| matches!(pending.stage, Stage::Queued { not_before } if not_before <= tick);
        let due = self.steering.pending.iter().filter(|(_, pending)| is_due(pending));
        let due: Vec<u64> = due.map(|(number, _)| *number).collect();
        for number in due {
            let pending = self.steering.pending.get_mut(&number).expect("it was found just now");
            match (leader, pending.asker) {
                (Some(leader), _) if leader == node => self.begin_cluster_request(number),
                (leader, Asker::Peer(..)) => self.end_cluster(number, Err(ClusterError::NoLeader { leader })),
                (Some(leader), Asker::Local(_)) => {
                    pending.stage = Stage::Sent { to: leader };
                    let (ticket, request) = (Ticket(number), pending.request.clone());
                    self.send(leader, PeerMessage::ClusterRequest { ticket, request });
                }
                (None, Asker::Local(_)) => {}
            }
        }
    }

    /// Gives a request to the own protocol, which leads.
    fn begin_cluster_request(&mut self, number: u64) {
        let (level, not_before) = (self.level.applied(), self.tick + self.config.retry_pause_ticks);
        let pending = self.steering.pending.get_mut(&number).expect("what is begun waits");
        pending.stage = Stage::Begun;
        let input = match &pending.request {
            ClusterRequest::Transfer { to } => ready::Input::Transfer { ticket: number, to: *to },
            ClusterRequest::Join { .. } if level == 0 => {
                // Nothing was applied since the start, so what is in force is not known.
                pending.stage = Stage::Queued { not_before };
                return;
            }
            ClusterRequest::Join { level_max, .. } if *level_max < level => {
                let level_max = *level_max;
                let refusal = ClusterRefusal::LevelTooLow { level, level_max };
                return self.end_cluster(number, Err(ClusterError::Refused(refusal)));
            }
            ClusterRequest::Change(change) | ClusterRequest::Join { change, .. } => {
                ready::Input::Change { ticket: number, change: change.clone() }
            }
        };
        self.raft.step(input);
    }

    /// The leader has answered. An answer of somebody else is none.
    pub(crate) fn on_cluster_reply(
        &mut self,
        from: NodeId,
        number: u64,
        result: Result<ClusterDone, ClusterError>,
    ) {
        let is_asked = |pending: &&mut Pending| pending.stage == Stage::Sent { to: from };
        let not_before = self.pause_until();
        let Some(pending) = self.steering.pending.get_mut(&number).filter(is_asked) else { return };
        if let Err(ClusterError::NoLeader { .. }) = result {
            pending.stage = Stage::Queued { not_before };
        } else {
            self.end_cluster(number, result);
        }
    }

    /// A request never left: its link is down, or full. So it may go out once more, unlike one that the leader may have heard of.
    pub(crate) fn on_cluster_unsent(&mut self, number: u64) {
        let not_before = self.pause_until();
        let Some(pending) = self.steering.pending.get_mut(&number) else { return };
        let was_sent = matches!((pending.stage, pending.asker), (Stage::Sent { .. }, Asker::Local(_)));
        assert!(was_sent, "only a request of an own caller goes out to a leader");
        pending.stage = Stage::Queued { not_before };
    }

    /// The own protocol has ended a transfer.
    pub(crate) fn on_transfer_end(&mut self, number: u64, end: TransferEnd) {
        let not_before = self.pause_until();
        let Some(pending) = self.steering.pending.get_mut(&number) else { return };
        let refusal = match end {
            TransferEnd::SteppedDown { from } => {
                pending.stage = Stage::SteppedDown { from };
                return;
            }
            TransferEnd::Refused(TransferRefusal::NotLeader { .. }) => {
                pending.stage = Stage::Queued { not_before };
                return;
            }
            TransferEnd::Refused(TransferRefusal::LeadsAlready) => {
                return self.end_cluster(number, Ok(ClusterDone::Leads(self.raft.node())));
            }
            TransferEnd::GivenUp { to } => ClusterRefusal::NotTakenOver { to },
            TransferEnd::Refused(TransferRefusal::UnderWay { to }) => ClusterRefusal::TransferUnderWay { to },
            TransferEnd::Refused(TransferRefusal::NobodyElse) => ClusterRefusal::NobodyElse,
            TransferEnd::Refused(TransferRefusal::NotVoter { to }) => ClusterRefusal::NotVoter(to),
        };
        self.end_cluster(number, Err(ClusterError::Refused(refusal)));
    }

    /// The own protocol has ended a change of the members.
    pub(crate) fn on_change_end(&mut self, number: u64, end: ChangeEnd) {
        let not_before = self.pause_until();
        let Some(pending) = self.steering.pending.get_mut(&number) else { return };
        let result = match end {
            ChangeEnd::Done { node } => Ok(ClusterDone::Members { node }),
            ChangeEnd::Refused(
                refusal @ (ChangeRefusal::NotLeader { .. } | ChangeRefusal::NotYet | ChangeRefusal::UnderWay),
            ) => {
                pending.waits_its_turn = refusal == ChangeRefusal::UnderWay;
                pending.stage = Stage::Queued { not_before };
                return;
            }
            ChangeEnd::Refused(refusal) => Err(ClusterError::Refused(ClusterRefusal::Change(refusal))),
            // The next leader may hold it and complete it, or hold nothing of it.
            ChangeEnd::LeadershipLost => Err(ClusterError::TimedOut),
        };
        self.end_cluster(number, result);
    }

    /// Answers those who wait to hear who leads now.
    pub(crate) fn notice_successor(&mut self) {
        let term = self.raft.term();
        let Some(leader) = self.raft.leader() else { return };
        let is_answered =
            |pending: &Pending| matches!(pending.stage, Stage::SteppedDown { from } if from < term);
        let answered = self.steering.pending.iter().filter(|(_, pending)| is_answered(pending));
        let answered: Vec<u64> = answered.map(|(number, _)| *number).collect();
        for number in answered {
            self.end_cluster(number, Ok(ClusterDone::Leads(leader)));
        }
    }

    /// Gives up the requests whose time is over.
    pub(crate) fn expire_cluster_requests(&mut self) {
        while let Some((number, oldest)) = self.steering.pending.first_key_value()
            && oldest.deadline <= self.tick
        {
            let error = match oldest.stage {
                Stage::Queued { .. } if oldest.waits_its_turn => {
                    ClusterError::Refused(ClusterRefusal::Change(ChangeRefusal::UnderWay))
                }
                Stage::Queued { .. } => ClusterError::NoLeader { leader: self.last_leader() },
                Stage::Begun | Stage::Sent { .. } | Stage::SteppedDown { .. } => ClusterError::TimedOut,
            };
            self.end_cluster(*number, Err(error));
        }
    }

    fn end_cluster(&mut self, number: u64, result: Result<ClusterDone, ClusterError>) {
        let pending = self.steering.pending.remove(&number).expect("only what waits is answered");
        self.answer_cluster(pending.asker, result);
    }

    fn answer_cluster(&mut self, asker: Asker, result: Result<ClusterDone, ClusterError>) {
        match asker {
            Asker::Local(ticket) => self.effects.push(Effect::AnswerCluster { ticket, result }),
            Asker::Peer(peer, ticket) => self.send(peer, PeerMessage::ClusterReply { ticket, result }),
        }
    }
}

/// How many requests may wait at a node. They are made by hand; more are refused as `Overloaded`.
pub(crate) const REQUESTS_LEN_MAX: usize = 64;
