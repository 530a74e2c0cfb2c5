//! The loop: wait, step, drain, execute. The one owner of the replica, and the only caller of its methods.
//!
//! It never waits for a queue that leads away from it, so the inbox is always emptied and no circle of full queues can form.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_core::entry::Membership;
use quorate_core::ready::Fact;
use quorate_core::types::NodeId;
use quorate_replica::cluster::{ClusterDone, ClusterError};
use quorate_replica::effect::{Answered, Effect};
use quorate_replica::error::{ProposeError, ReadError};
use quorate_replica::input::{Input, Now, Ticket};
use quorate_replica::peer_message::PeerMessage;
use quorate_replica::replica::Replica;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::directory::Directory;
use crate::error::{NodeError, StatusError};
use crate::inbox_budget::InboxBudget;
use crate::mail::{ClusterMail, Mail, ProposalMail, ReadMail, StatusAnswers};
use crate::metrics::Metrics;
use crate::peers::{Peers, Unsent};
use crate::snapshot_workers::PieceJob;
use crate::status::{NodeStatus, PeerStatus, Published};
use crate::tickets::Tickets;
use crate::workers::{ApplierJob, LogJob};

/// The queues through which the loop gives work to the threads.
pub(crate) struct Jobs {
    pub(crate) log: mpsc::Sender<LogJob>,
    pub(crate) applier: mpsc::Sender<ApplierJob>,
    pub(crate) pieces: mpsc::Sender<PieceJob>,
}

/// Everything that the loop owns or reaches.
pub(crate) struct Loop {
    pub(crate) replica: Replica,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) inbox: mpsc::Receiver<Mail>,
    pub(crate) inbox_budget: Arc<InboxBudget>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) jobs: Jobs,
    pub(crate) directory: Directory,
    pub(crate) published: watch::Sender<Arc<Published>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stop: CancellationToken,
    pub(crate) proposals: Tickets<oneshot::Sender<Answered>>,
    pub(crate) reads: Tickets<ReadMail>,
    pub(crate) questions: Tickets<StatusAnswers>,
    pub(crate) operators: Tickets<oneshot::Sender<Result<ClusterDone, ClusterError>>>,
    /// Ticks given to the replica so far: those of the clock, less what was skipped after a pause.
    pub(crate) ticked: u64,
    pub(crate) published_at: Instant,
    /// Ticks that were skipped since a leader or a quorum was last heard of.
    pub(crate) stood_ticks: u64,
    /// This node was removed from the cluster, and has said so.
    pub(crate) left: bool,
}

/// How often the status is made known at most.
const PUBLISH_EVERY: Duration = Duration::from_millis(20);
/// How many questions for the status of the others may be open.
const QUESTIONS_LEN_MAX: usize = 64;

impl Loop {
    /// Runs until the node is stopped or one of its parts has ended.
    pub(crate) async fn run(mut self) -> Result<(), NodeError> {
        let mut mails = Vec::with_capacity(self.config.turn_len_max);
        loop {
            let deadline = self.next_deadline();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                count = self.inbox.recv_many(&mut mails, self.config.turn_len_max) => assert!(
                    count > 0,
                    "the inbox stays open while the loop runs: its parts hold senders"
                ),
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
            let command_bytes = mails.iter().map(Mail::command_bytes).sum();
            self.replica.begin_turn(self.clock.now());
            for mail in mails.drain(..) {
                self.take(mail)?;
            }
            self.tick();
            let mut changed = false;
            for effect in self.replica.drain() {
                changed |= matches!(effect, Effect::Fact(_));
                self.execute(effect)?;
            }
            self.inbox_budget.end_turn(command_bytes, self.replica.pending_bytes());
            self.publish(changed);
        }
    }

    /// When the next turn is due even if nothing happens.
    fn next_deadline(&self) -> Instant {
        let timer = self.clock.at_tick(self.ticked + self.replica.next_deadline_ticks());
        timer.min(self.published_at + IDLE_PUBLISH)
    }

    /// Gives the replica the ticks that have passed. After a pause of the process they come in small portions, after the
    /// messages that waited: a heartbeat in the socket must count before the election timeout that it prevents.
    fn tick(&mut self) {
        let passed = self.clock.ticks();
        let elapsed = passed - self.ticked;
        if elapsed == 0 {
            return;
        }
        let most = self.config.ticks(self.config.heartbeat).max(1);
        let skipped = elapsed.saturating_sub(most);
        self.clock.skip_ticks(skipped);
        let heard = self.replica.raft().contact_ticks() == Some(0);
        self.stood_ticks = if heard { skipped } else { self.stood_ticks.saturating_add(skipped) };
        self.ticked += elapsed.min(most);
        self.replica.step(Input::Tick { elapsed: elapsed.min(most) });
    }

    fn take(&mut self, mail: Mail) -> Result<(), NodeError> {
        match mail {
            Mail::Propose(proposal) => {
                let ProposalMail { command, explain, patience_ticks, reply } = proposal;
                let ticket = self.proposals.insert(reply);
                self.replica.step(Input::Propose { ticket, command, explain, patience_ticks });
            }
            Mail::Read(read) => {
                let ticket = self.reads.insert(read);
                self.replica.step(Input::Read { ticket });
            }
            Mail::Received { from, messages, room: _room } => {
                for message in messages {
                    self.take_message(from, message);
                }
            }
            Mail::ReadStale(read, contact) => {
                // The caller may have stopped waiting.
                let _ = contact.send(self.contact());
                self.queue_read(read)?;
            }
            Mail::Done(input) => self.replica.step(input),
            Mail::Cluster(ClusterMail { request, reply }) => {
                let ticket = self.operators.insert(reply);
                self.replica.step(Input::Cluster { ticket, request });
            }
            Mail::BulkLink => {}
            Mail::Linked(peer) => {
                self.replica.step(Input::Dropped { peer });
                let members = self.directory.introduction(&self.replica.raft().membership());
                self.send(peer, &PeerMessage::Introduction { members });
            }
            Mail::AskStatus(answers) => self.ask_status(&answers),
        }
        Ok(())
    }

    /// Questions about the status, and where nodes are, are the switchboard's own; all else is the replica's.
    fn take_message(&mut self, from: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::StatusRequest { ticket } => {
                let status = self.status().encode();
                self.send(from, &PeerMessage::StatusReply { ticket, status });
            }
            PeerMessage::StatusReply { ticket, status } => {
                if let Some(asker) = self.questions.take(ticket) {
                    // The asker may have stopped waiting.
                    let _ = asker
                        .try_send((from.get(), NodeStatus::decode(status).map_err(StatusError::Malformed)));
                }
            }
            PeerMessage::Introduction { members } => {
                let membership = self.replica.raft().membership();
                if self.directory.on_introduction(&membership, members) {
                    self.link(&membership);
                }
            }
            message @ (PeerMessage::Raft(_)
            | PeerMessage::Forward { .. }
            | PeerMessage::ForwardReply { .. }
            | PeerMessage::ForwardRead { .. }
            | PeerMessage::ForwardReadReply { .. }
            | PeerMessage::SnapshotAsk { .. }
            | PeerMessage::SnapshotPiece { .. }
            | PeerMessage::SnapshotGone { .. }
            | PeerMessage::SnapshotFetching { .. }
            | PeerMessage::StateMarks { .. }
            | PeerMessage::ClusterRequest { .. }
            | PeerMessage::ClusterReply { .. }) => self.replica.step(Input::Received { from, message }),
        }
    }

    /// Tells how this node is, and asks each peer how it is. A question without an answer is forgotten when newer ones need its place.
    fn ask_status(&mut self, answers: &StatusAnswers) {
        let own = self.status();
        // Room for one answer from each member is reserved by the asker.
        let _ = answers.try_send((own.node, Ok(own)));
        for peer in self.peers.ids() {
            let link = self.peers.status(peer);
            if let Some(link) = link.filter(|link| !link.connected) {
                let why = link.last_error.unwrap_or_else(|| "connecting".to_string());
                let _ = answers.try_send((peer.get(), Err(StatusError::NotConnected(why))));
                continue;
            }
            let ticket = self.questions.insert(answers.clone());
            self.questions.keep_newest(QUESTIONS_LEN_MAX);
            self.send(peer, &PeerMessage::StatusRequest { ticket });
        }
    }

    fn send(&mut self, to: NodeId, message: &PeerMessage) {
        let Err(unsent) = self.peers.send(to, message) else { return };
        match unsent {
            Unsent::Down => {}
            Unsent::Dropped => self.replica.step(Input::Dropped { peer: to }),
        }
        // All else that waits for an answer is sent again by itself: a transfer or a change must not be, once it may have been heard.
        if let PeerMessage::ClusterRequest { ticket, .. } = message {
            self.replica.step(Input::ClusterUnsent { ticket: *ticket });
        }
    }

    fn execute(&mut self, effect: Effect) -> Result<(), NodeError> {
        match effect {
            Effect::Send { to, message } => self.send(to, &message),
            Effect::Persist(write) => self.queue_for_log(LogJob::Write(write))?,
            Effect::Fetch { purpose, from, through, bytes_max } => {
                self.queue_for_log(LogJob::Fetch { purpose, from, through, bytes_max })?;
            }
            Effect::Apply(batch) => {
                let local = batch.waiting.iter().filter(|waiting| !waiting.forwarded);
                let callers =
                    local.map(|waiting| (waiting.ticket, self.take_caller(waiting.ticket))).collect();
                let job = ApplierJob::Apply { batch, callers };
                self.jobs.applier.try_send(job).map_err(|error| behind("applier", &error))?;
            }
            Effect::Read { ticket, .. } => {
                let read = self.reads.take(ticket).expect("a read is answered exactly once");
                self.queue_read(read)?;
            }
            Effect::Compact { through, keep } => self.queue_for_log(LogJob::Compact { through, keep })?,
            Effect::TakeSnapshot { term } => self.queue_for_applier(ApplierJob::TakeSnapshot { term })?,
            Effect::Restore { last } => self.queue_for_applier(ApplierJob::Restore { last })?,
            Effect::ReadPiece { to, last, piece } => {
                self.queue_for_pieces(PieceJob::Read { to, last, piece })?;
            }
            Effect::StorePiece { piece, bytes } => self.queue_for_pieces(PieceJob::Store { piece, bytes })?,
            Effect::DiscardSnapshot => self.queue_for_pieces(PieceJob::Discard)?,
            Effect::RefuseProposal { ticket, error } => {
                self.answer(ticket, Answered { outcome: Err(error), trace: None })
            }
            Effect::Answer { ticket, answered } => self.answer(ticket, answered),
            Effect::RefuseRead { ticket, error } => {
                self.reads.take(ticket).expect("a read is answered exactly once").refuse(error);
            }
            Effect::Diverged { index, from, outvoted } => {
                let index = index.0;
                let peers: Vec<u64> = from.into_iter().map(NodeId::get).collect();
                Metrics::add(&self.metrics.divergences, 1);
                if outvoted {
                    return Err(NodeError::Diverged { index, peers });
                }
                let node = self.replica.raft().node().get();
                tracing::error!(
                    node,
                    index,
                    ?peers,
                    "the state machines of these nodes differ; no quorum tells which is right"
                );
            }
            Effect::AnswerCluster { ticket, result } => {
                let operator = self.operators.take(ticket).expect("an operator is answered exactly once");
                // The operator may have stopped waiting.
                let _ = operator.send(result);
            }
            Effect::Members { members } => self.link(&members),
            Effect::Fact(fact) => self.tell(&fact),
        }
        Ok(())
    }

    fn queue_for_applier(&mut self, job: ApplierJob) -> Result<(), NodeError> {
        self.jobs.applier.try_send(job).map_err(|error| behind("applier", &error))
    }

    fn queue_for_pieces(&mut self, job: PieceJob) -> Result<(), NodeError> {
        self.jobs.pieces.try_send(job).map_err(|error| behind("snapshot pieces", &error))
    }

    fn queue_for_log(&mut self, job: LogJob) -> Result<(), NodeError> {
        self.jobs.log.try_send(job).map_err(|error| behind("log", &error))
    }

    /// Puts a read behind the batches that the applier has been handed.
    fn queue_read(&mut self, read: ReadMail) -> Result<(), NodeError> {
        match self.jobs.applier.try_send(ApplierJob::Read(read)) {
            Err(mpsc::error::TrySendError::Full(ApplierJob::Read(read))) => {
                read.refuse(ReadError::Overloaded);
                Ok(())
            }
            sent => sent.map_err(|error| behind("applier", &error)),
        }
    }

    /// How long ago this node last heard from a leader, or from a quorum if it leads itself. Time that the process stood still counts.
    fn contact(&self) -> Option<Duration> {
        let ticks = self.replica.raft().contact_ticks()?;
        Some(self.config.duration_of(ticks.saturating_add(self.stood_ticks)))
    }

    fn take_caller(&mut self, ticket: Ticket) -> oneshot::Sender<Answered> {
        self.proposals.take(ticket).expect("a proposal is answered exactly once")
    }

    fn answer(&mut self, ticket: Ticket, answered: Answered) {
        if let Err(ProposeError::Overloaded) = answered.outcome {
            Metrics::add(&self.metrics.overloaded, 1);
        }
        // The caller may have stopped waiting.
        let _ = self.take_caller(ticket).send(answered);
    }

    fn tell(&self, fact: &Fact) {
        let status = self.replica.raft().status();
        let (node, term) = (status.node.get(), status.term.0);
        match fact {
            Fact::PreCampaign(of) => tracing::debug!(node, term, of = of.0, "asks for pre-votes"),
            Fact::Campaign(of) => tracing::info!(node, term, of = of.0, "stands for election"),
            Fact::BecameLeader(of) => tracing::info!(node, term = of.0, last = %status.last, "leads"),
            Fact::SteppedDown { term, reason } => tracing::warn!(node, term = term.0, reason, "stepped down"),
            Fact::Follows { term, leader } => {
                tracing::info!(node, term = term.0, leader = leader.get(), "follows")
            }
            Fact::Members { index, members } => tell_members(node, index.0, members),
            Fact::HandsOver { to } => tracing::info!(node, term, to = to.get(), "hands its leadership over"),
            Fact::Adopted { from, through } => {
                tracing::info!(node, term, from = from.get(), through = %through, "was given what its log lacked");
            }
            Fact::GivesWay { to, reason } => {
                tracing::warn!(
                    node,
                    term,
                    to = to.get(),
                    reason,
                    "gives way to a node that is fitter to lead"
                );
            }
            Fact::LeaseGivenUp => tracing::debug!(node, term, "gives up its lease: it hands over"),
            Fact::VoteWithheld { from, after_start } => tell_withheld(node, *from, *after_start),
            Fact::LeadsOn { to } => {
                tracing::warn!(node, term, to = to.get(), "leads on: the other has not taken over");
            }
            Fact::Installed { last } => {
                tracing::info!(node, term, last = %last, "begins its log anew behind a peer's snapshot");
            }
            Fact::Paused | Fact::Resumed => tell_room(node, term, *fact == Fact::Resumed),
            Fact::Truncated { from } => {
                tracing::warn!(node, term, from = from.0, "entries were replaced by the leader's");
            }
            Fact::Damaged { .. }
            | Fact::StateLost { .. }
            | Fact::CommittedElsewhere { .. }
            | Fact::Repaired { .. }
            | Fact::Whole => {
                tell_damage(node, term, fact);
            }
            Fact::Clock { node: whose, by_ms, is_off } => tell_clock(node, whose.get(), *by_ms, *is_off),
            Fact::Ignored { from, reason } => {
                tracing::warn!(node, term, from = from.get(), reason, "a message was ignored");
            }
        }
    }

    /// Talks to these members from now on.
    pub(crate) fn link(&self, membership: &Membership) {
        // Nobody talks to a node that was removed, so it dials nobody.
        let others = if self.left { BTreeMap::new() } else { self.directory.others(membership) };
        self.peers.want(membership, &others);
    }

    /// Makes the status known: at once when something worth a line happened, else after a while.
    fn publish(&mut self, changed: bool) {
        let now = Instant::now();
        if changed || now.duration_since(self.published_at) >= PUBLISH_EVERY {
            self.published_at = now;
            if !self.left && self.replica.raft().was_removed() {
                self.left = true;
                let node = self.replica.raft().node().get();
                tracing::warn!(node, "this node was removed from the cluster: stop it");
                self.link(&self.replica.raft().membership());
            }
            self.peers.sweep();
            let published = Published { status: self.status(), replica: self.replica.status().metrics };
            self.published.send_replace(Arc::new(published));
        }
    }

    fn status(&self) -> NodeStatus {
        // What never changes while the node runs was set when it started.
        let fixed = self.published.borrow().status.clone();
        let replica = self.replica.status();
        let ids = self.peers.ids();
        let peers = ids.into_iter().map(|peer| self.peer_status(peer, &replica.raft)).collect();
        let raft = self.replica.raft();
        let voter = raft.membership().is_voter(raft.node());
        NodeStatus {
            voter,
            removed: raft.was_removed(),
            ..fixed.now(&replica, &self.metrics.fsync.read(), peers)
        }
    }

    fn peer_status(&self, peer: NodeId, raft: &quorate_core::status::Status) -> PeerStatus {
        let progress = raft.peers.iter().find(|progress| progress.node == peer);
        let link = self.peers.status(peer);
        let matched = progress.map_or(0, |progress| progress.matched.0);
        PeerStatus {
            node: peer.get(),
            address: link.as_ref().map(|link| link.address.clone()).unwrap_or_default(),
            connected: link.as_ref().is_some_and(|link| link.connected),
            last_error: link.as_ref().and_then(|link| link.last_error.clone()).unwrap_or_default(),
            matched_index: matched,
            lag_entries: if progress.is_some() { raft.last.index.0.saturating_sub(matched) } else { 0 },
            send_failures: link.as_ref().map_or(0, |link| link.frames_dropped),
            sent_bytes: link.as_ref().map_or(0, |link| link.bytes_sent),
            clock_skew_ms: progress.and_then(|progress| progress.clock_skew_ms),
        }
    }
}

fn tell_members(node: u64, index: u64, members: &Membership) {
    let names = |nodes: &std::collections::BTreeSet<NodeId>| -> Vec<u64> {
        nodes.iter().map(|node| node.get()).collect()
    };
    let (voters, learners) = (names(&members.voters), names(&members.learners));
    let leaving = names(&members.voters_outgoing);
    tracing::info!(node, index, ?voters, ?leaving, ?learners, "members");
}

fn tell_withheld(node: u64, from: NodeId, after_start: bool) {
    tracing::debug!(node, from = from.get(), after_start, "withholds its vote: it is promised");
}

/// Tells that a wall clock begins or ends to be far from those of a quorum.
fn tell_clock(node: u64, whose: u64, by_ms: i64, is_off: bool) {
    if is_off {
        tracing::warn!(
            node,
            whose,
            by_ms,
            "this node's wall clock is far from those of a quorum: check its time synchronisation (NTP, chrony); the time of \
             entries goes by the quorum's clocks"
        );
    } else {
        tracing::info!(node, whose, by_ms, "this node's wall clock fits those of a quorum again");
    }
}

/// The status of an idle node is made known this often.
const IDLE_PUBLISH: Duration = Duration::from_millis(100);

/// The disk is full, or has room again.
fn tell_room(node: u64, term: u64, has_room: bool) {
    if has_room {
        tracing::info!(node, term, "there is room on the disk again: this node goes on");
    } else {
        let what = "the disk is full: this node takes no proposals and does not lead until there is room; free some space";
        tracing::error!(node, term, "{what}");
    }
}

/// A queue that is thousands of jobs behind, or whose thread has ended. The watch over the parts knows the true cause.
fn behind<T>(part: &'static str, error: &mpsc::error::TrySendError<T>) -> NodeError {
    match error {
        mpsc::error::TrySendError::Full(_) => NodeError::Disk(format!(
            "the {part} is too many jobs behind: the disk or processor does not keep up"
        )),
        mpsc::error::TrySendError::Closed(_) => NodeError::Ended { part },
    }
}

/// The clocks at the start of a turn.
impl Clock {
    fn now(&self) -> Now {
        Now { monotonic_us: self.monotonic_us(), wall_ms: Clock::wall_ms() }
    }
}

/// What the disk has lost, and what came back of it.
#[expect(clippy::wildcard_enum_match_arm, reason = "only facts of this kind come here")]
fn tell_damage(node: u64, term: u64, fact: &Fact) {
    match fact {
        Fact::Damaged { entries, first, last } => {
            let what =
                "the disk has lost entries: this node asks its peers for them, and does not lead before";
            tracing::error!(node, term, entries, first = %first, last = %last, "{what}");
        }
        Fact::StateLost { behind } => {
            let what =
                "the disk has lost the snapshot: this node asks its peers for one, and does not lead before";
            tracing::error!(node, term, behind = %behind, "{what}");
        }
        Fact::CommittedElsewhere { last, by } => {
            let what = "a node that has lost its state told that this is committed";
            tracing::info!(node, term, last = %last, by = by.get(), "{what}");
        }
        Fact::Repaired { entries, from } => {
            tracing::info!(node, term, entries, from = from.get(), "lost entries came back");
        }
        Fact::Whole => tracing::warn!(node, term, "all that the disk had lost is back"),
        _ => {}
    }
}
