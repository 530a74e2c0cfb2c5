//! The replica's way with proposals: take them in, get them to the leader again and again under one request id, and
//! answer each exactly once. The other half of `replica.rs`.

use bytes::Bytes;
use quorate_core::planted::{self, Bug};
use quorate_core::ready::{self, Refusal};
use quorate_core::types::{EntryId, Index, NodeId};

use crate::effect::{Answered, Effect, Outcome, StepKind, Waiting};
use crate::error::ProposeError;
use crate::explain::Trace;
use crate::input::Ticket;
use crate::peer_message::{ForwardAnswer, PeerMessage};
use crate::proposals::{Command, Pending, Stage};
use crate::replica::Replica;
use crate::request::{CommandEnvelope, CommandKind, RequestId};
use crate::waiters::ForwardedProposal;

impl Replica {
    /// A local caller proposes: refused here and now, or taken in.
    pub(crate) fn on_propose(
        &mut self,
        ticket: Ticket,
        command: CommandEnvelope,
        explain: bool,
        patience_ticks: Option<u64>,
    ) {
        if let Err(error) = self.admissible(&command) {
            self.count_refusal(&error);
            self.effects.push(Effect::RefuseProposal { ticket, error });
            return;
        }
        self.metrics.proposals_admitted += 1;
        let trace = self.new_trace(explain);
        self.admit(Some(ticket), command, trace, patience_ticks);
    }

    /// Whether a command may be taken in. The applier's lag counts at the leader only: its own applier is what the
    /// cluster's throughput hangs on, while a follower that catches up may well carry proposals to the leader.
    fn admissible(&self, command: &CommandEnvelope) -> Result<(), ProposeError> {
        let bytes = command.body.len();
        let bytes_max = self.config.command_bytes_max;
        if bytes > bytes_max {
            return Err(ProposeError::TooLarge { bytes, bytes_max });
        }
        command.check().map_err(|error| ProposeError::Malformed(error.what))?;
        if command.kind == CommandKind::RaiseLevel {
            return Err(ProposeError::Malformed("the feature level is raised by leaders alone".into()));
        }
        if command.kind == CommandKind::OpenSession
            && !matches!(command.request_id, Some(RequestId::Session { sequence: 0, .. }))
        {
            return Err(ProposeError::Malformed("to open a session takes its id and the sequence 0".into()));
        }
        if self.refuses_for_its_disk() {
            return Err(ProposeError::DiskFull);
        }
        let full = self.proposals.len() >= self.config.pending_len_max
            || (self.proposals.bytes() + bytes > self.config.pending_bytes_max
                && !planted::is(Bug::PendingBytesUnbounded))
            || self.is_applier_behind()
            || self.is_leader_overloaded();
        if full { Err(ProposeError::Overloaded) } else { Ok(()) }
    }

    /// The leader has refused proposals of this node for want of room just now: more of them would wait here, and go there and back, for
    /// nothing.
    fn is_leader_overloaded(&self) -> bool {
        !self.leads() && self.tick < self.leader_overloaded_until
    }

    /// A node whose disk is full takes no proposals, not even for another leader: what came of them would not be seen here.
    fn refuses_for_its_disk(&self) -> bool {
        self.raft.must_not_lead()
    }

    fn is_applier_behind(&self) -> bool {
        self.leads() && self.apply.lag_len() > self.config.apply_lag_len_max
    }

    fn admit(
        &mut self,
        ticket: Option<Ticket>,
        command: CommandEnvelope,
        trace: Option<Box<Trace>>,
        patience_ticks: Option<u64>,
    ) {
        let number = self.next_number();
        if trace.is_some() {
            self.traced.push(number);
        }
        let bytes = command.body.len();
        let command = if command.request_id.is_some() {
            let bytes = command.encode().expect("the limits of its fields were checked before");
            Command::Encoded { bytes, own: None }
        } else {
            Command::Unnamed(command)
        };
        let deadline = self.tick + self.config.proposal_timeout_ticks;
        let patience = patience_ticks.filter(|patience| *patience < self.config.proposal_timeout_ticks);
        let given_up_at = patience.map(|patience| self.tick + patience);
        let admitted_us = self.now.monotonic_us;
        let pending = Pending {
            ticket,
            command,
            bytes,
            deadline,
            given_up_at,
            stage: Stage::Queued,
            sent: false,
            overloads: 0,
            admitted_us,
            trace,
        };
        self.proposals.admit(number, pending);
    }

    /// A trace that starts now, if it is wanted and not too many are written already.
    fn new_trace(&self, explain: bool) -> Option<Box<Trace>> {
        if !explain || self.traced.len() >= self.config.explain_len_max {
            return None;
        }
        let mut trace = Trace::new(self.raft.node(), self.now.monotonic_us);
        trace.add(self.now.monotonic_us, StepKind::Accepted);
        Some(Box::new(trace))
    }

    /// Gives all queued proposals to the leader: to the own protocol, or to the peer that leads, in as few messages as
    /// their bound in bytes allows. Without a leader they stay in the queue.
    pub(crate) fn send_proposals(&mut self) {
        let Some(leader) = self.raft.leader() else {
            return self.refuse_unsent();
        };
        if !self.proposals.has_queued() {
            return;
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(number) = self.proposals.next_queued() {
            let Some(command) = self.proposals.encoded(number) else {
                self.open_session();
                continue;
            };
            if leader == self.raft.node() {
                self.offer(number, command);
                continue;
            }
            bytes += command.len();
            batch.push(self.forward(number, command, leader));
            if bytes >= self.config.forward_bytes_max {
                self.send(leader, PeerMessage::Forward { proposals: std::mem::take(&mut batch) });
                bytes = 0;
            }
        }
        if !batch.is_empty() {
            self.send(leader, PeerMessage::Forward { proposals: batch });
        }
    }

    /// Nobody leads, and this node will not: whoever waits here and was never sent anywhere is told at once.
    fn refuse_unsent(&mut self) {
        if !self.refuses_for_its_disk() {
            return;
        }
        for number in self.proposals.unsent() {
            self.end(number, Err(ProposeError::DiskFull), None);
        }
    }

    /// Opens the node's own session, unless that is under way. Its proposal joins the queue.
    fn open_session(&mut self) {
        if self.proposals.session.is_closed() {
            let number_of_opening = self.peek_number();
            let command = self.proposals.session.open(number_of_opening);
            self.admit(None, command, None, None);
        }
    }

    fn offer(&mut self, number: u64, command: Bytes) {
        let pending = self.proposals.get_mut(number).expect("what is queued is pending");
        pending.stage = Stage::Offered;
        let timestamp_ms = self.now.wall_ms;
        self.raft.step(ready::Input::Propose { ticket: number, command, timestamp_ms });
    }

    fn forward(&mut self, number: u64, command: Bytes, leader: NodeId) -> (Ticket, Bytes, bool) {
        self.metrics.forwards_sent += 1;
        self.proposals.on_forwarded(number, leader, self.tick + self.config.forward_retry_ticks);
        let pending = self.proposals.get_mut(number).expect("what is queued is pending");
        if let Some(trace) = &mut pending.trace {
            trace.add(self.now.monotonic_us, StepKind::Forwarded { leader });
        }
        (Ticket(number), command, pending.trace.is_some())
    }

    /// Proposals of a peer, for this node as the leader. If it does not lead, its protocol says so.
    pub(crate) fn on_forward(&mut self, peer: NodeId, proposals: Vec<(Ticket, Bytes, bool)>) {
        for (ticket, command, explain) in proposals {
            self.metrics.forwards_received += 1;
            if self.forwarded.waits(peer, ticket) {
                // A copy of one that is answered as soon as it is applied, or once the leadership is lost.
                continue;
            }
            if self.forwarded.len() >= self.config.forwarded_len_max || self.is_applier_behind() {
                self.reply(peer, ticket, ForwardAnswer::Overloaded);
                continue;
            }
            let number = self.next_number();
            let wanted = explain && self.traced.len() < self.config.explain_len_max;
            let trace = wanted.then(|| Box::new(Trace::new(self.raft.node(), self.now.monotonic_us)));
            if trace.is_some() {
                self.traced.push(number);
            }
            let bytes = command.len();
            let proposal = ForwardedProposal { peer, ticket, bytes, handed: false, entry: None, trace };
            self.forwarded.insert(number, proposal);
            let timestamp_ms = self.now.wall_ms;
            self.raft.step(ready::Input::Propose { ticket: number, command, timestamp_ms });
        }
    }

    /// A proposal got a place in the log of this leader.
    pub(crate) fn on_accepted(&mut self, number: u64, entry: EntryId) {
        let now_us = self.now.monotonic_us;
        let trace = if let Some(pending) = self.proposals.get_mut(number) {
            assert!(pending.stage == Stage::Offered, "only what was offered is accepted");
            pending.stage = Stage::Appended(entry);
            pending.sent = true;
            &mut pending.trace
        } else if let Some(proposal) = self.forwarded.get_mut(number) {
            proposal.entry = Some(entry);
            &mut proposal.trace
        } else {
            return;
        };
        if let Some(trace) = trace {
            trace.add(now_us, StepKind::Appended { entry });
        }
        for replaced in self.waiters.push(entry, number) {
            self.on_replaced(replaced);
        }
    }

    /// The own protocol refused a proposal: nothing happened.
    pub(crate) fn on_refused(&mut self, number: u64, refusal: Refusal) {
        if let Some(proposal) = self.forwarded.remove(number) {
            let answer = match refusal {
                Refusal::NotLeader { leader } => ForwardAnswer::NotLeader { leader },
                Refusal::HandingOver | Refusal::DiskFull => ForwardAnswer::NotLeader { leader: None },
                Refusal::Overloaded => ForwardAnswer::Overloaded,
                Refusal::TooLarge => ForwardAnswer::Answered(Answered {
                    outcome: Err(self.too_large(proposal.bytes)),
                    trace: None,
                }),
            };
            return self.reply(proposal.peer, proposal.ticket, answer);
        }
        let Some(pending) = self.proposals.get_mut(number) else {
            return;
        };
        assert!(pending.stage == Stage::Offered, "only what was offered is refused");
        match refusal {
            // In a moment there is another leader, or this one goes on.
            Refusal::NotLeader { .. } | Refusal::HandingOver => self.retry_later(number, false),
            // Whoever was sent nowhere is told at once: to wait would take the room of others, and end the same way.
            Refusal::Overloaded if pending.sent || pending.ticket.is_none() => self.retry_later(number, true),
            Refusal::Overloaded => self.end(number, Err(ProposeError::Overloaded), None),
            Refusal::DiskFull if pending.sent || pending.ticket.is_none() => self.retry_later(number, false),
            Refusal::DiskFull => self.end(number, Err(ProposeError::DiskFull), None),
            Refusal::TooLarge => {
                let bytes = pending.bytes;
                let error = self.too_large(bytes);
                self.end(number, Err(error), None);
            }
        }
    }

    /// The node that was asked to append proposal `number` has answered.
    pub(crate) fn on_forward_answer(&mut self, from: NodeId, number: u64, answer: ForwardAnswer) {
        let Some(pending) = self.proposals.get_mut(number) else {
            return;
        };
        let overloaded = match answer {
            // An answer of the state machine holds whoever brings it, and wherever the proposal is by now.
            ForwardAnswer::Answered(Answered { outcome, trace }) => {
                return self.end(number, outcome, trace);
            }
            ForwardAnswer::NotLeader { .. } | ForwardAnswer::LeadershipLost => false,
            ForwardAnswer::Overloaded => true,
        };
        // A late refusal is of no interest when the proposal has been sent elsewhere since.
        if matches!(pending.stage, Stage::Forwarded { to, .. } if to == from) {
            self.retry_later(number, overloaded);
            if overloaded {
                self.leader_overloaded_until = self.tick + self.config.retry_pause_ticks;
            }
        }
    }

    /// Another entry took the place of this proposal's: it goes to the leader again under its request id.
    pub(crate) fn on_replaced(&mut self, number: u64) {
        let is_appended = |pending: &mut Pending| matches!(pending.stage, Stage::Appended(_));
        if self.proposals.get_mut(number).is_some_and(is_appended) {
            self.metrics.proposals_retried += 1;
            self.proposals.requeue(number);
        }
    }

    /// The log of a node that does not lead may have lost its end: those who waited there try again.
    pub(crate) fn notice_replaced(&mut self) {
        if self.waiters.is_empty() || self.leads() {
            return;
        }
        for number in self.waiters.cut(self.raft.last().index) {
            self.on_replaced(number);
        }
    }

    /// A proposal that was refused is tried again after a pause, which grows while the leader is overloaded: all that wait would else go
    /// there and back again and again, and be what it is busy with.
    fn retry_later(&mut self, number: u64, overloaded: bool) {
        let until = self.pause_until();
        let (tick, pause) = (self.tick, until - self.tick);
        if let Some(pending) = self.proposals.get_mut(number) {
            pending.overloads =
                if overloaded { (pending.overloads + 1).min(OVERLOADS_COUNTED_MAX) } else { 0 };
            let doublings = u32::from(pending.overloads.saturating_sub(1));
            self.proposals.pause(number, tick + (pause << doublings));
        }
    }

    /// The entry of proposal `number` is committed: who waits for it at the applier. From here on the applier answers.
    pub(crate) fn waiting(&mut self, number: u64, index: Index) -> Option<Waiting> {
        if let Some(proposal) = self.forwarded.get_mut(number) {
            assert!(!proposal.handed, "a proposal of a peer is handed to the applier once");
            proposal.handed = true;
            return Some(Waiting { index, ticket: Ticket(number), forwarded: true, trace: None });
        }
        let is_appended = |pending: &mut Pending| matches!(pending.stage, Stage::Appended(_));
        if !self.proposals.get_mut(number).is_some_and(is_appended) {
            // It has moved on: an earlier copy was answered by another leader, or it was sent again.
            return None;
        }
        let pending = self.proposals.remove(number)?;
        let Some(ticket) = pending.ticket else {
            return Some(Waiting { index, ticket: Ticket(number), forwarded: true, trace: None });
        };
        self.metrics.proposals_applied_here += 1;
        self.metrics.commit_latency_us.observe(self.now.monotonic_us.saturating_sub(pending.admitted_us));
        Some(Waiting { index, ticket, forwarded: false, trace: pending.trace })
    }

    /// The applier has answered a proposal whose answer belongs to the replica.
    pub(crate) fn on_applied_for_others(&mut self, number: u64, outcome: Outcome) {
        if self.proposals.session.on_opened(number, &outcome) {
            return self.proposals.on_session();
        }
        let Some(proposal) = self.forwarded.remove(number) else {
            return;
        };
        let trace = proposal.trace.map(|trace| trace.finish(self.now.monotonic_us));
        let outcome = self.portable(outcome);
        self.reply(proposal.peer, proposal.ticket, ForwardAnswer::Answered(Answered { outcome, trace }));
    }

    /// An outcome as it can travel. A reply that no frame holds would be dropped without a word, and asked for again and again.
    fn portable(&self, outcome: Outcome) -> Outcome {
        let (bytes, bytes_max) = (outcome.as_ref().map_or(0, Bytes::len), self.config.reply_bytes_max);
        if bytes <= bytes_max {
            return outcome;
        }
        Err(ProposeError::ReplyMalformed(format!(
            "it has {bytes} bytes, and {bytes_max} can be brought from the node that leads"
        )))
    }

    /// Gives up the proposals whose time is over.
    pub(crate) fn expire_proposals(&mut self) {
        while let Some(number) = self.proposals.next_expired(self.tick) {
            let pending = self.proposals.get_mut(number).expect("what expires is pending");
            let error = if pending.sent {
                ProposeError::TimedOut
            } else if pending.overloads > 0 {
                ProposeError::Overloaded
            } else {
                ProposeError::NoLeader { leader: self.last_leader() }
            };
            self.end(number, Err(error), None);
        }
    }

    /// Ends a proposal here: its caller gets this outcome and no other. `steps` are those of the leader, if any.
    fn end(&mut self, number: u64, outcome: Outcome, steps: Option<Vec<crate::effect::Step>>) {
        let Some(pending) = self.proposals.remove(number) else {
            return;
        };
        if outcome == Err(ProposeError::SessionUnknown)
            && matches!(pending.command, Command::Encoded { own: Some((session, _)), .. } if session == self.proposals.session.id())
        {
            // Forgotten by the replicas. This one may have been applied while the session was known, so its outcome is
            // unknown; all that never left get their ids from a fresh session.
            self.proposals.session.replace();
        }
        let Some(ticket) = pending.ticket else {
            if self.proposals.session.on_opened(number, &outcome) {
                self.proposals.on_session();
            }
            return;
        };
        let trace = pending.trace.map(|trace| {
            let mut all = trace.steps;
            all.extend(steps.unwrap_or_default());
            all
        });
        match outcome {
            Err(error) if trace.is_none() => {
                self.count_refusal(&error);
                self.effects.push(Effect::RefuseProposal { ticket, error });
            }
            outcome => {
                self.metrics.proposals_answered_by_peer += 1;
                self.effects.push(Effect::Answer { ticket, answered: Answered { outcome, trace } });
            }
        }
    }

    fn too_large(&self, bytes: usize) -> ProposeError {
        ProposeError::TooLarge { bytes, bytes_max: self.config.command_bytes_max }
    }

    fn count_refusal(&mut self, error: &ProposeError) {
        let counter = match error {
            ProposeError::Overloaded => &mut self.metrics.refused_overloaded,
            ProposeError::NoLeader { .. } => &mut self.metrics.refused_no_leader,
            ProposeError::TimedOut => &mut self.metrics.refused_timed_out,
            ProposeError::DiskFull => &mut self.metrics.refused_disk_full,
            ProposeError::TooLarge { .. }
            | ProposeError::Forgotten
            | ProposeError::SessionUnknown
            | ProposeError::KeyReused
            | ProposeError::Malformed(_)
            | ProposeError::ReplyMalformed(_)
            | ProposeError::Stopped { .. } => &mut self.metrics.refused_other,
        };
        *counter += 1;
    }

    /// Adds to the traces what this leader has learned in this turn: whose disks hold the entry, whether it is committed.
    pub(crate) fn follow_traces(&mut self) {
        if self.traced.is_empty() {
            return;
        }
        let status = self.raft.status();
        let now_us = self.now.monotonic_us;
        let leads = self.leads();
        let mut traced = std::mem::take(&mut self.traced);
        traced.retain(|number| {
            let (entry, trace) = if let Some(pending) = self.proposals.get_mut(*number) {
                match pending.stage {
                    Stage::Appended(entry) => (Some(entry), &mut pending.trace),
                    Stage::Queued | Stage::Paused { .. } | Stage::Offered | Stage::Forwarded { .. } => {
                        return true;
                    }
                }
            } else if let Some(proposal) = self.forwarded.get_mut(*number) {
                (proposal.entry, &mut proposal.trace)
            } else {
                return false;
            };
            let (Some(entry), Some(trace)) = (entry, trace) else {
                return true;
            };
            if !leads || entry.term != status.term {
                return true;
            }
            if status.persisted >= entry.index {
                trace.acknowledged(now_us, status.node);
            }
            for peer in status.peers.iter().filter(|peer| peer.matched >= entry.index) {
                trace.acknowledged(now_us, peer.node);
            }
            if status.commit >= entry.index {
                trace.committed(now_us);
            }
            true
        });
        self.traced = traced;
    }
}

/// How often the pause before another attempt is doubled at most, less one: to 32 times what it is at first.
const OVERLOADS_COUNTED_MAX: u8 = 6;
